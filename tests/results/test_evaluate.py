import json
import math
import warnings
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from newfound.errors import InputError
from newfound.results.evaluate import assessment, clustering_accuracy, match, scores


@st.composite
def clusterings(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    n = draw(st.integers(1, 30))
    classes, categories = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    truth = draw(st.lists(st.integers(0, classes - 1), min_size=n, max_size=n))
    predicted = draw(st.lists(st.integers(0, categories - 1), min_size=n, max_size=n))
    return np.array(truth), np.array(predicted)


def brute_force(truth: np.ndarray, predicted: np.ndarray) -> float:
    """The best of all one-to-one maps of categories to classes, one item at a time."""
    names = sorted(set(predicted))
    targets = sorted(set(truth)) + [None] * len(names)
    best = 0
    for chosen in set(permutations(targets, len(names))):
        named = dict(zip(names, chosen))
        best = max(best, sum(named[p] == t for t, p in zip(truth, predicted)))
    return best / len(truth)


@given(clusterings())
def test_accuracy_is_the_best_of_all_matchings(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = pair
    assert clustering_accuracy(truth, predicted) == pytest.approx(brute_force(truth, predicted))


@given(clusterings(), st.randoms(use_true_random=False))
def test_names_and_order_mean_nothing(pair: tuple[np.ndarray, np.ndarray], random) -> None:
    truth, predicted = pair
    other_names = np.array(random.sample(range(100), 5))
    order = np.array(random.sample(range(len(truth)), len(truth)))
    before = scores(truth, predicted)
    assert scores(truth[order], other_names[predicted][order]) == pytest.approx(before)
    assert scores(other_names[truth], predicted) == pytest.approx(before)


@given(clusterings())
def test_scores_are_scikit_learns_and_never_flattering(
    pair: tuple[np.ndarray, np.ndarray],
) -> None:
    truth, predicted = pair
    figures = scores(truth, predicted)
    assert figures["nmi"] == pytest.approx(normalized_mutual_info_score(truth, predicted))
    assert figures["ari"] == pytest.approx(adjusted_rand_score(truth, predicted))
    together = [(labels[:, None] == labels).tolist() for labels in pair]
    assert (figures["acc"] == 1) == (together[0] == together[1])


def test_accuracy_is_one_matching_over_all_items() -> None:
    """A matching for each half, as some code sums up, would call this 1."""
    truth = np.array([0, 0, 1, 1, 0, 0, 1, 1])
    predicted = np.array([0, 0, 1, 1, 1, 1, 0, 0])
    assert clustering_accuracy(truth, predicted) == 0.5


def test_accuracy_is_of_the_same_items_or_of_none() -> None:
    for truth, predicted in (([0, 1], [0]), ([[0, 1]], [[0, 1]]), ([0], []), (0, 0)):
        with pytest.raises(InputError, match=r"truth has the shape .*give one label for each item"):
            clustering_accuracy(np.array(truth), np.array(predicted))
    with warnings.catch_warnings(action="error"):
        assert math.isnan(clustering_accuracy(np.array([]), np.array([])))


def test_labels_of_two_kinds_cannot_be_told_apart() -> None:
    with pytest.raises(InputError, match=r"the labels of predicted cannot be put in order \("):
        clustering_accuracy(np.array([0, 1]), np.array(["a", None], dtype=object))


@given(clusterings())
def test_a_match_adds_up(pair: tuple[np.ndarray, np.ndarray]) -> None:
    truth, predicted = pair
    matched = match(truth, predicted, 4, 5)
    assert matched.counts.sum() == len(truth)
    assert matched.counts[matched.truth, matched.category].sum() / len(truth) == pytest.approx(
        clustering_accuracy(truth, predicted)
    )
    assert len(set(matched.category)) == len(matched.category) == 4


def test_an_assessment_by_hand() -> None:
    truth = np.array([0] * 5 + [1] * 3 + [2] * 2)
    predicted = np.array([1, 1, 1, 1, 2, 0, 0, 1, 2, 2])
    found = assessment(truth, predicted, ("a", "b", "c"), ("novel-1", "novel-2", "novel-3"))
    assert found["acc"] == pytest.approx(8 / 10)
    assert found["per_category"] == [
        {"category": "novel-2", "truth": "a", "size": 5, "correct": 4, "acc": 0.8},
        {"category": "novel-1", "truth": "b", "size": 2, "correct": 2, "acc": pytest.approx(2 / 3)},
        {"category": "novel-3", "truth": "c", "size": 3, "correct": 2, "acc": 1.0},
    ]
    assert found["confusion"] == {
        "truth": ["a", "b", "c"],
        "category": ["novel-2", "novel-1", "novel-3"],
        "counts": [[4, 0, 1], [1, 2, 0], [0, 0, 2]],
    }
    json.dumps(found)


@pytest.mark.parametrize("more", ["classes", "categories"])
def test_unequal_numbers_leave_some_without_a_partner(more: str) -> None:
    truth = np.array([0, 0, 1, 1, 2])
    predicted = np.array([0, 0, 1, 1, 1])
    if more == "categories":
        truth, predicted = predicted, truth
    names = {2: ("x", "y"), 3: ("x", "y", "z")}
    found = assessment(truth, predicted, names[truth.max() + 1], names[predicted.max() + 1])
    assert found["acc"] == pytest.approx(4 / 5)
    assert len(found["per_category"]) == 2
    counts = np.array(found["confusion"]["counts"])
    assert counts.shape == ((3, 2) if more == "classes" else (2, 3))
    assert counts.sum() == 5
    json.dumps(found)


def test_an_empty_class_has_no_share() -> None:
    found = assessment(np.array([0, 0]), np.array([0, 1]), ("a", "b"), ("n1", "n2"))
    assert [row["acc"] for row in found["per_category"]] == [0.5, None]
