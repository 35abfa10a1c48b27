"""A column of texts is a list of them, only smaller."""

import os
import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newfound.data import texts as module
from newfound.data.texts import Texts, column

PATHS = st.binary(max_size=6).map(os.fsdecode)
"""Whatever a path may hold, bytes that are not UTF-8 too."""


@st.composite
def columns(draw: st.DrawFn) -> tuple[Texts, list[str]]:
    """A column made in one of the ways there are, and the list that it stands for."""
    beginnings = draw(st.lists(PATHS, min_size=1, max_size=3))
    pairs = draw(st.lists(st.tuples(st.integers(0, len(beginnings) - 1), PATHS), max_size=9))
    listed = [os.fsencode(beginnings[number]) + os.fsencode(ending) for number, ending in pairs]
    composed = Texts.composed(
        column(beginnings),
        np.array([number for number, _ in pairs], dtype=np.int32),
        column(ending for _, ending in pairs),
    )
    plain = draw(st.lists(PATHS, max_size=4))
    texts = Texts.joined([Texts(plain), composed, Texts([])])
    return texts, plain + [os.fsdecode(text) for text in listed]


@given(columns(), st.data())
def test_it_does_what_the_list_does(pair: tuple[Texts, list[str]], data: st.DataObject) -> None:
    texts, listed = pair
    n = len(listed)
    assert len(texts) == n and [*texts] == texts.tolist() == listed
    assert [texts[row] for row in range(-n, n)] == listed + listed
    assert texts.are_unique == (len(set(listed)) == n)
    assert [os.fsdecode(text) for text in texts.flat().to_pylist()] == listed
    assert all(text in texts for text in listed)
    assert pickle.loads(pickle.dumps(texts)).tolist() == listed
    rows = data.draw(st.lists(st.integers(0, n - 1), max_size=5) if n else st.just([]))
    for chosen in (rows, np.array(rows, dtype=np.int64)):
        assert texts[chosen].tolist() == [listed[row] for row in rows]
    assert texts.subset(np.array(rows, dtype=np.int64)).tolist() == [listed[row] for row in rows]
    mask = np.isin(np.arange(n), rows)
    assert texts[mask].tolist() == [text for text, is_chosen in zip(listed, mask) if is_chosen]
    part = data.draw(st.slices(n))
    assert texts[part].tolist() == texts.subset(part).tolist() == listed[part]


@given(columns())
def test_what_is_valid_utf8_is_known(pair: tuple[Texts, list[str]]) -> None:
    texts, _ = pair
    parts = [*texts.beginnings, *texts.begun_with([""] * len(texts.beginnings))]
    valid = all(os.fsencode(part).decode("utf-8", "ignore") == part for part in parts)
    assert texts.is_utf8 == valid


def test_rows_are_arrays_that_pandas_takes_as_text() -> None:
    texts = Texts(["a", "bc", "é"])
    assert texts[[0, 2]].dtype == texts[[]].dtype == np.asarray(texts).dtype == object
    by_array = pd.DataFrame({"path": texts[np.array([2, 0])]})
    assert by_array.equals(pd.DataFrame({"path": np.array(["é", "a"])}))
    with pytest.raises(IndexError):
        texts[3]
    with pytest.raises(IndexError):
        texts[[3]]


def test_other_beginnings_leave_the_endings_shared() -> None:
    paths = Texts.composed(
        column(["/d/a/", "/d/b/"]), np.array([0, 1, 1], dtype=np.int32), column("xyz")
    )
    names = paths.begun_with(["a/", "b/"])
    assert names.tolist() == ["a/x", "b/y", "b/z"]
    assert names._endings is paths._endings
    assert paths.beginnings == ["/d/a/", "/d/b/"]


def test_columns_longer_than_what_is_made_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_AT_ONCE", 3)
    listed = [f"{number}" for number in range(10)]
    texts = Texts(iter(listed))
    assert texts.tolist() == listed and texts.are_unique
    assert not Texts([*listed, "0"]).are_unique


def test_a_text_takes_its_ending_and_little_more() -> None:
    n = 100_000
    endings = column(f"image_{number:08}.jpg" for number in range(n))
    texts = Texts.composed(column(["/data/of/a/long/path/"]), np.zeros(n, np.int32), endings)
    held = texts._endings.get_total_buffer_size() + texts._beginning_of.nbytes
    assert held / n < len("image_00000000.jpg") + 12.5
