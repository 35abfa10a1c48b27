"""What is chosen on is made of labelled items only, and the last classes are hidden in it."""

from dataclasses import replace

import numpy as np
import pytest

from newfound.data.arrays import from_arrays
from newfound.data.catalogue import Catalogue
from newfound.data.images import ArrayImages
from newfound.data.rehearsal import hidden_classes, pretend
from newfound.errors import InputError

LABELS = ["d", "", "a", "e", "b", "c", "", "e", "c", "a"]


def catalogue_of(labels: list[str], held_out: tuple[int, ...] = ()) -> Catalogue:
    pixels = np.arange(len(labels), dtype=np.uint8)[:, None, None] * np.ones((8, 8), np.uint8)
    marks = np.isin(np.arange(len(labels)), held_out)
    return replace(from_arrays(pixels, labels), held_out=marks)


def test_the_last_classes_are_unlabelled_and_their_truth_is_apart() -> None:
    rehearsed, truth = pretend(catalogue_of(LABELS), 2)
    assert rehearsed.names.tolist() == [f"{row:02}" for row in (0, 2, 3, 4, 5, 7, 8, 9)]
    assert rehearsed.labels.tolist() == [-1, 0, -1, 1, 2, -1, 2, 0]
    assert rehearsed.labels.dtype == np.int64
    assert rehearsed.class_names == ("a", "b", "c")
    assert truth.class_names == ("d", "e")
    assert truth.labels.tolist() == [0, 1, 1]
    assert truth.labels.dtype == np.int64


def test_unlabelled_items_take_no_part() -> None:
    items = pretend(catalogue_of(LABELS), 2)[0].items
    assert isinstance(items, ArrayImages)
    assert items.pixels[:, 0, 0].tolist() == [0, 2, 3, 4, 5, 7, 8, 9]


def test_held_out_items_of_known_classes_stay_so_and_those_of_hidden_ones_are_left_out() -> None:
    rehearsed, truth = pretend(catalogue_of(LABELS, held_out=(7, 9)), 2)
    assert rehearsed.names.tolist() == [f"{row:02}" for row in (0, 2, 3, 4, 5, 8, 9)]
    assert rehearsed.held_out.tolist() == [False] * 6 + [True]
    assert truth.labels.tolist() == [0, 1]


def test_a_class_without_items_to_train_on_is_not_counted() -> None:
    rehearsed, truth = pretend(catalogue_of(LABELS, held_out=(4,)), 2)  # all of b
    assert (rehearsed.class_names, truth.class_names) == (("a", "c"), ("d", "e"))
    assert rehearsed.labels.tolist() == [-1, 0, -1, 1, -1, 1, 0]
    assert truth.labels.tolist() == [0, 1, 1]


@pytest.mark.parametrize(
    ("classes", "num_novel", "hidden"),
    [(4, 2, 2), (5, 2, 2), (5, 9, 2), (350, 50, 50), (5, 5, 2), (9, 4, 4)],
)
def test_as_many_as_are_novel_or_half(classes: int, num_novel: int, hidden: int) -> None:
    assert hidden_classes(classes, num_novel) == hidden


def test_three_classes_are_too_few_and_one_category_is_none() -> None:
    three = catalogue_of(["a", "b", "c", ""])
    with pytest.raises(InputError, match="least 4 labelled classes to choose by, there are 3"):
        pretend(three, 2)
    with pytest.raises(InputError, match="num_novel is 1"):
        pretend(catalogue_of(LABELS), 1)
