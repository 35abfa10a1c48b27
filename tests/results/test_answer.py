import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import log_softmax, softmax

from newfound.results.answer import (
    ENOUGH,
    FEWEST,
    Calibration,
    calibrate,
    fit_temperature,
    one_answer,
    rows_to_calibrate_on,
)


def held_out(n: int) -> np.ndarray:
    """All of them are."""
    return np.ones(n, dtype=np.bool_)


def logits(seed: int, n: int, classes: int, scale: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, scale, (n, classes)).astype(np.float32)


@given(seed=st.integers(0, 2**31), scale=st.floats(0, 300), temperature=st.floats(0.05, 20))
def test_probabilities_sum_to_one_whatever_the_logits(
    seed: int, scale: float, temperature: float
) -> None:
    features, known, novel = (logits(seed + i, 5, n, scale) for i, n in enumerate((4, 3, 2)))
    weight = np.random.default_rng(seed).normal(size=4)
    answer = one_answer(features, known, novel, Calibration(temperature, weight, 0.3))
    assert answer.shape == (5, 5)
    assert ((answer >= 0) & (answer <= 1)).all()
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-9)


def test_an_answer_by_hand() -> None:
    features, known, novel = logits(2, 4, 2), logits(0, 4, 3), logits(1, 4, 2)
    weight, bias, temperature = np.array([0.1, -0.2]), -0.7, 2.0
    answer = one_answer(features, known, novel, Calibration(temperature, weight, bias))
    for i in range(4):
        evidence = sum(w * x for w, x in zip(weight, features[i])) + bias
        is_novel = 1 / (1 + np.exp(-evidence))
        by_known = np.exp(known[i] / temperature) / np.exp(known[i] / temperature).sum()
        by_novel = np.exp(novel[i]) / np.exp(novel[i]).sum()
        expected = [*((1 - is_novel) * by_known), *(is_novel * by_novel)]
        np.testing.assert_allclose(answer[i], expected, rtol=1e-5)


def test_the_gate_separates_known_from_novel_and_the_heads_decide_within() -> None:
    random = np.random.default_rng(0)
    labels, clusters = random.integers(0, 3, 60), random.integers(0, 2, 90)
    features = random.normal([3, 0, 0, 0], 0.5, (60, 4))
    unlabelled = random.normal([0, 3, 0, 0], 0.5, (90, 4))
    known, known_of_unlabelled = 4 * np.eye(3)[labels], random.normal(0, 0.5, (90, 3))
    novel, novel_of_unlabelled = random.normal(0, 0.5, (60, 2)), 4 * np.eye(2)[clusters]
    calibration = calibrate(features, known, labels, held_out(60), unlabelled)
    of_labelled = one_answer(features, known, novel, calibration)
    assert (of_labelled.argmax(axis=1) == labels).all()
    of_unlabelled = one_answer(unlabelled, known_of_unlabelled, novel_of_unlabelled, calibration)
    assert (of_unlabelled.argmax(axis=1) == 3 + clusters).all()


def test_few_labelled_items_are_not_outvoted_by_many_unlabelled() -> None:
    """The gate weighs both kinds alike: how many of either there are says nothing of a new file."""
    features, known, novel = logits(2, 400, 2), logits(0, 400, 2), logits(1, 400, 2)
    calibration = calibrate(
        features[:20], known[:20], np.arange(20) % 2, held_out(20), features[20:]
    )
    share_novel = one_answer(features, known, novel, calibration)[:, 2:].sum(axis=1)
    assert share_novel.mean() == pytest.approx(0.5, abs=0.1)


def test_a_rare_class_is_not_outvoted_by_a_frequent_one() -> None:
    """Its items lie nearer to the unlabelled ones, of which there are as many as of the rest."""
    random = np.random.default_rng(0)
    places = np.repeat([[0.0, 6.0], [3.0, 0.0], [4.0, 0.0]], [500, 20, 520], axis=0)
    features = random.normal(places, 0.3)
    labels, known = np.repeat([0, 1], [500, 20]), logits(0, 520, 2)
    calibration = calibrate(features[:520], known, labels, held_out(520), features[520:])
    answer = one_answer(features, np.zeros((1040, 2)), np.zeros((1040, 2)), calibration)
    called_novel = answer[:, 2:].sum(axis=1) > 0.5
    assert called_novel[:500].mean() == 0
    assert called_novel[500:520].mean() < 0.2
    assert called_novel[520:].mean() > 0.9


@given(
    labels=st.lists(st.integers(-1, 3), min_size=1, max_size=200),
    share=st.sampled_from([0.0, 0.1, 0.5]),
)
def test_of_each_class_there_are_enough_and_all_held_out_ones(
    labels: list[int], share: float
) -> None:
    given_labels = np.array([*labels, 0], dtype=np.int64)
    held = (np.random.default_rng(0).random(len(given_labels)) < share) & (given_labels >= 0)
    rows = rows_to_calibrate_on(given_labels, held)
    assert (np.diff(rows) > 0).all()
    assert set(np.flatnonzero(held)) <= set(rows)
    for label in range(4):
        of_class = np.flatnonzero(given_labels == label)
        chosen = np.intersect1d(rows, of_class)
        assert len(chosen) == max(held[of_class].sum(), min(FEWEST, len(of_class)))
    assert (given_labels[rows] >= 0).all()


def test_only_as_many_join_as_are_wanting() -> None:
    labels, held = np.zeros(100, dtype=np.int64), np.arange(100) < 7
    assert len(rows_to_calibrate_on(labels, held)) == FEWEST
    assert len(rows_to_calibrate_on(labels, np.arange(100) < 30)) == 30


def test_those_that_join_are_spread_over_their_class() -> None:
    """Neighbours may be of one burst or film."""
    rows = rows_to_calibrate_on(np.zeros(1000, dtype=np.int64), np.zeros(1000, dtype=np.bool_))
    assert len(rows) == FEWEST
    assert (rows[0], rows[-1]) == (0, 999)
    assert np.diff(rows).min() > 40


def test_the_temperature_is_that_of_held_out_items_where_there_are_some() -> None:
    n = 3 * FEWEST
    known, labels, features = logits(0, n, 3), np.arange(n) % 3, logits(1, n, 2)
    some = np.arange(n) < FEWEST
    of_some = calibrate(features, known, labels, some, features)
    assert of_some.temperature == fit_temperature(known[some], labels[some])
    some[0] = False
    too_few = calibrate(features, known, labels, some, features)
    assert too_few.temperature == fit_temperature(known, labels)


def test_a_large_set_is_thinned_evenly_not_cut_off() -> None:
    """Items come class by class: the first ones alone would hide what the others are like."""
    n = 4 * ENOUGH
    unlabelled = np.repeat([[0.0, 5.0], [5.0, 0.0]], n // 2, axis=0)
    labelled = np.zeros((50, 2))
    calibration = calibrate(labelled, logits(0, 50, 2), np.arange(50) % 2, held_out(50), unlabelled)
    gate = one_answer(unlabelled, np.zeros((n, 2)), np.zeros((n, 2)), calibration)[:, 2:].sum(1)
    assert gate.min() > 0.9


def test_the_temperature_of_a_large_set_is_that_of_a_part_of_it() -> None:
    n = 3 * ENOUGH
    known, labels, features = logits(0, n, 3), np.arange(n) % 4 % 3, logits(1, n, 2)
    calibration = calibrate(features, known, labels, held_out(n), features)
    part = np.sort(np.argsort(labels, kind="stable")[::3])
    assert calibration.temperature == fit_temperature(known[part], labels[part])


def test_no_class_is_lost_where_a_large_set_is_thinned() -> None:
    """Items may be in turns of each class, of which every second or third would leave some out."""
    classes = 6
    labels = np.arange(2 * ENOUGH) % classes
    features = np.where(labels[:, None] % 2 == 0, [[9.0, 0.0]], [[0.0, 9.0]])
    unlabelled = np.full((50, 2), 4.5)
    calibration = calibrate(
        features, logits(0, len(labels), classes), labels, labels >= 0, unlabelled
    )
    at_odd, at_even = one_answer(
        np.array([[0.0, 9.0], [9.0, 0.0]]), np.zeros((2, 2)), np.zeros((2, 2)), calibration
    )[:, 2:].sum(axis=1)
    assert at_odd == pytest.approx(at_even, abs=1e-3)


@pytest.mark.parametrize("truth_temperature", [0.3, 1.0, 4.0])
def test_the_temperature_equals_a_grid_search(truth_temperature: float) -> None:
    random = np.random.default_rng(0)
    scores = random.normal(0, 2, (500, 4))
    chances = softmax(scores / truth_temperature, axis=1)
    labels = np.array([random.choice(4, p=row) for row in chances])

    def loss(temperature: float) -> float:
        return float(-log_softmax(scores / temperature, axis=1)[np.arange(500), labels].mean())

    grid = np.geomspace(0.05, 20, 4000)
    best = grid[np.argmin([loss(temperature) for temperature in grid])]
    found = fit_temperature(scores, labels)
    assert found == pytest.approx(best, rel=0.005)
    assert found == pytest.approx(truth_temperature, rel=0.25)


def test_faultless_logits_stay_within_the_bounds() -> None:
    assert 0.05 <= fit_temperature(np.eye(3) * 5, np.arange(3)) < 0.5
    assert fit_temperature(-np.eye(3) * 5, np.arange(3)) == pytest.approx(20, rel=0.01)
