import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newfound.blocks import BLOCK_ROWS, blocks
from newfound.results import tables
from newfound.results.tables import (
    CATEGORIES_SHOWN,
    MEMBERS_NAMED,
    MEMBERS_SHOWN,
    categories_table,
    category_names,
    choose_members,
    items_table,
    map_positions,
    pictures_each,
    sort_into_categories,
)


@given(st.integers(0, 2**31), st.integers(1, 40), st.integers(2, 12))
def test_categories_are_numbered_by_falling_size(seed: int, n: int, count: int) -> None:
    logits = np.random.default_rng(seed).normal(size=(n, count)).astype(np.float32)
    categories = sort_into_categories(logits)
    order = categories.order
    sizes = np.bincount(categories.assigned, minlength=count)
    assert (np.diff(sizes) <= 0).all()
    assert (order[categories.assigned] == logits.argmax(axis=1)).all()
    probabilities = categories.probabilities(slice(0, n))
    for i in range(n):
        powers = np.exp(logits[i].astype(np.float64))
        np.testing.assert_allclose(probabilities[i], (powers / powers.sum())[order])
    np.testing.assert_array_equal(categories.probabilities(slice(1, 3)), probabilities[1:3])


@pytest.mark.parametrize("block", [1, 7, 2**22])
def test_best_and_second_best_by_loops(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """With ties, and worked on few rows at a time."""
    monkeypatch.setattr(tables, "_BLOCK_VALUES", block)
    logits = np.random.default_rng(0).integers(0, 3, (60, 5)).astype(np.float32)
    categories = sort_into_categories(logits)
    for i, chances in enumerate(categories.probabilities(slice(0, 60))):
        best = max(range(5), key=lambda k: (chances[k], -k))  # of equals the first
        second = max(set(range(5)) - {best}, key=lambda k: (chances[k], k))  # the last
        assert (categories.assigned[i], categories.second[i]) == (best, second)
        assert categories.confidence[i] == chances[best]
        assert categories.margin[i] == chances[best] - chances[second]


def test_names_sort_as_numbers() -> None:
    assert category_names(3) == ("novel-1", "novel-2", "novel-3")
    names = category_names(100)
    assert names[0] == "novel-001"
    assert sorted(names) == list(names)


def test_items_have_their_best_and_second_best() -> None:
    random = np.random.default_rng(0)
    categories = sort_into_categories(random.normal(size=(20, 4)))
    paths = np.array([f"{i}.png" for i in range(20)])
    positions, clusters = random.normal(size=(20, 2)), random.integers(0, 4, 20)
    items = items_table(paths, categories, positions, clusters)
    probabilities = categories.probabilities(slice(0, 20))
    for i, row in items.iterrows():
        ranked = sorted(zip(probabilities[i], categories.names), reverse=True)
        assert row["path"] == paths[i]
        assert (row["confidence"], row["category"]) == ranked[0]
        assert row["second"] == ranked[1][1]
        assert row["margin"] == pytest.approx(ranked[0][0] - ranked[1][0])
        assert (row["x"], row["y"]) == tuple(positions[i])
        assert row["features_kmeans"] == clusters[i]


def test_a_tie_names_two_different_categories() -> None:
    categories = sort_into_categories(np.zeros((3, 3)))
    items = items_table(np.array(["a", "b", "c"]), categories, np.zeros((3, 2)), np.zeros(3))
    assert (items["category"] != items["second"]).all()
    assert (items["margin"] == 0).all()


@pytest.mark.parametrize("block", [3, BLOCK_ROWS])
def test_members_by_loops(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    """Of categories of many sizes, one of them empty, worked on few rows at a time."""
    monkeypatch.setattr(tables, "blocks", lambda n, rows=block: blocks(n, min(rows, block)))
    random = np.random.default_rng(0)
    group = random.permutation(np.repeat([1, 2, 4, 5], [1, 3, 7, 100]))
    logits = np.eye(6)[group] + 0.3 * random.random((len(group), 6))
    features = np.abs(random.normal(size=(len(group), 8)))
    categories = sort_into_categories(logits)
    members = choose_members(features, categories)

    units = [row / np.sqrt((row**2).sum()) for row in features]
    for category in range(6):
        rows = [i for i in range(len(group)) if categories.assigned[i] == category]
        middle = sum((units[i] for i in rows), np.zeros(8)) / max(len(rows), 1)
        near = sorted(rows, key=lambda i: -float(units[i] @ middle))
        named = min(MEMBERS_NAMED, (len(rows) + 1) // 2)
        assert members[category].typical.tolist() == near[:named]
        rest = [i for i in rows if i not in near[:named]]
        doubtful = sorted(rest, key=lambda i: categories.margin[i])[:named]
        assert members[category].doubtful.tolist() == doubtful
    assert [len(m.typical) for m in members] == [24, 4, 2, 1, 0, 0]


def test_features_of_all_zeros_are_members_too() -> None:
    categories = sort_into_categories(np.arange(8.0).reshape(4, 2))
    members = choose_members(np.zeros((4, 3)), categories)[0]
    assert sorted([*members.typical, *members.doubtful]) == [0, 1, 2, 3]


def test_the_more_categories_the_fewer_pictures_of_each() -> None:
    assert pictures_each(2) == pictures_each(50) == MEMBERS_NAMED
    for count in (5, 50, 51, 400, CATEGORIES_SHOWN, 10 * CATEGORIES_SHOWN):
        shown = min(count, CATEGORIES_SHOWN)
        assert 1 <= pictures_each(count) <= MEMBERS_SHOWN / shown / 2


def test_categories_are_rows_even_where_empty() -> None:
    logits = np.array([[3.0, 0, 0], [2.0, 0, 0], [0, 1.0, 0]])
    categories = sort_into_categories(logits)
    paths = np.array(["é.png", 'quote".png', "<b>.png"])
    items = items_table(paths, categories, np.zeros((3, 2)), np.zeros(3, int))
    members = choose_members(logits, categories)
    table = categories_table(items, categories.names, members)
    assert table["category"].tolist() == ["novel-1", "novel-2", "novel-3"]
    assert table["size"].tolist() == [2, 1, 0]
    expected = items.loc[[0, 1], "confidence"].mean()
    assert table["mean_confidence"][0] == pytest.approx(expected)
    assert pd.isna(table["mean_confidence"][2])
    listed = json.loads(table["typical"][0]) + json.loads(table["doubtful"][0])
    assert sorted(listed) == sorted(["é.png", 'quote".png'])
    assert table["typical"][2] == "[]"


@pytest.mark.parametrize("n", [1, 3, 4, 10])
def test_a_map_of_few_items(n: int) -> None:
    positions = map_positions(np.random.default_rng(0).normal(size=(n, 5)), seed=0)
    assert positions.shape == (n, 2)
    assert np.isfinite(positions).all() == (n >= 4)


def test_a_map_shows_a_sample_and_keeps_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAP_ITEMS", 60)
    random = np.random.default_rng(0)
    group = np.repeat([0, 1], 40)
    features = random.normal(size=(80, 10)) + 20 * group[:, None]
    positions = map_positions(features, seed=0)
    placed = np.isfinite(positions).all(axis=1)
    assert placed.sum() == 60
    np.testing.assert_array_equal(positions, map_positions(features, seed=0))
    points, of_group = positions[placed], group[placed]
    distances = np.linalg.norm(points[:, None] - points, axis=2)
    np.fill_diagonal(distances, np.inf)
    assert (of_group[distances.argmin(axis=1)] == of_group).mean() > 0.95


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_items_that_are_all_alike_have_no_map(value: float) -> None:
    """A collapsed network: t-SNE itself would take the program down with it."""
    assert np.isnan(map_positions(np.full((60, 8), value, np.float32), seed=0)).all()
