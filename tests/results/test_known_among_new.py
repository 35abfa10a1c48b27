from collections.abc import Sequence

import numpy as np
import pytest

from newfound.results.inference import Answers
from newfound.results.known_among_new import FEWEST, Alike, known_among_new, told_apart

CENTRES = np.array([[6, 0, 0, 0], [0, 6, 0, 0], [0, 0, 6, 0], [0, 0, 0, 6]], dtype=np.float32)


def answers(places: Sequence[int], known: Sequence[int], seed: int) -> Answers:
    """Items about the centres of these numbers, that phi_l gives to these of two classes."""
    noise = np.random.default_rng(seed).normal(size=(len(places), 4))
    features = (CENTRES[list(places)] + noise).astype(np.float32)
    return Answers(
        features, 9 * np.eye(2, dtype=np.float32)[list(known)], np.zeros((len(places), 3))
    )


def of_labelled(each: int = 40) -> tuple[Answers, np.ndarray]:
    labels = np.repeat([0, 1], each)
    return answers(labels, labels, seed=0), labels


def test_a_category_of_a_known_class_is_told_and_others_are_not() -> None:
    assigned = np.repeat([0, 1, 2], 50)
    unlabelled = answers(np.repeat([2, 1, 3], 50), np.repeat([0, 1, 1], 50), seed=1)
    shuffled = np.random.default_rng(2).permutation(150)
    mixed = Answers(*(part[shuffled] for part in vars(unlabelled).values()))
    found = list(known_among_new(mixed, assigned[shuffled], *of_labelled()))
    assert found == [Alike(category=1, known=1, share=1.0)]


def test_features_alone_or_the_known_head_alone_do_not_make_it_one() -> None:
    """Beside category 1 as above: 0 is like class 0 to phi_l alone, 2 like class 0 in its features
    alone, as phi_l gives half of it to the other class."""
    assigned = np.repeat([0, 1, 2], 50)
    known = np.concatenate([np.repeat([0, 1], 50), np.tile([0, 1], 25)])
    unlabelled = answers(np.repeat([3, 1, 0], 50), known, seed=1)
    [found] = known_among_new(unlabelled, assigned, *of_labelled())
    assert found.category == 1


@pytest.mark.parametrize(("members", "each"), [(FEWEST - 1, 40), (40, FEWEST - 1)])
def test_of_few_items_nothing_is_said(members: int, each: int) -> None:
    unlabelled = answers([1] * members, [1] * members, seed=1)
    assert not list(known_among_new(unlabelled, np.zeros(members, np.int64), *of_labelled(each)))
    enough = answers([1] * FEWEST, [1] * FEWEST, seed=1)
    assert list(known_among_new(enough, np.zeros(FEWEST, np.int64), *of_labelled(FEWEST)))


def test_an_empty_category_is_none() -> None:
    """Neither between others, nor at the end, where none is assigned."""
    unlabelled = answers([1] * 30, [1] * 30, seed=1)
    [found] = known_among_new(unlabelled, np.full(30, 2), *of_labelled())
    assert found.category == 2


@pytest.mark.parametrize(("apart", "low", "high"), [(0, 0.3, 0.7), (1, 0.65, 0.85), (9, 1, 1)])
def test_told_apart_is_the_area_under_the_curve(apart: float, low: float, high: float) -> None:
    """Of two normal distributions it is Phi(d / sqrt 2), 0.76 for d = 1."""
    random = np.random.default_rng(0)
    one, other = random.normal(size=(300, 3)), random.normal(size=(200, 3))
    other[:, 0] += apart
    assert low <= told_apart(one, other) <= high
