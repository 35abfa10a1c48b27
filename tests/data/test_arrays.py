"""Images and labels in memory make a catalogue, and odd labels are told with the cure."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from newfound.data.arrays import from_arrays
from newfound.data.opening import open_catalogue
from newfound.errors import InputError
from support.made_layouts import made_of


def test_arrays_with_whole_labels() -> None:
    pixels = np.arange(5, dtype=np.uint8)[:, None, None].repeat(8, 1).repeat(8, 2)
    catalogue = from_arrays(pixels, np.array([10, -1, 9, 10, -1]))
    assert catalogue.class_names == ("9", "10")
    assert catalogue.labels.tolist() == [1, -1, 0, 1, -1]
    assert [int(catalogue.items.load(i, 8, 1).max()) for i in range(5)] == [0, 1, 2, 3, 4]
    again, truth = open_catalogue((pixels, [10, -1, 9, 10, -1]))
    assert truth is None and again.fingerprint() == catalogue.fingerprint()


@pytest.mark.parametrize("blank", ["", "  ", None])
def test_arrays_with_text_labels(blank: str | None) -> None:
    catalogue = made_of(["cat", blank, "ant", blank])
    assert catalogue.class_names == ("ant", "cat")
    assert catalogue.labels.tolist() == [1, -1, 0, -1]


@pytest.mark.parametrize("blank", [None, math.nan, pd.NA])
def test_labels_of_pandas_lack_what_is_missing(blank: Any) -> None:
    for labels in (["cat", blank, "ant", blank], pd.Series(["cat", blank, "ant", blank])):
        catalogue = from_arrays(np.zeros((4, 8, 8), np.uint8), labels)
        assert catalogue.class_names == ("ant", "cat")
        assert catalogue.labels.tolist() == [1, -1, 0, -1]


def test_whole_labels_of_pandas_lack_what_is_missing() -> None:
    for dtype in (None, "Int64", object):
        labels = pd.Series([7, 3, None, None], dtype=dtype)
        catalogue = from_arrays(np.zeros((4, 8, 8), np.uint8), labels)
        assert catalogue.labels.tolist() == [1, 0, -1, -1]
        assert catalogue.class_names == ("3", "7")


def test_whole_floats_are_whole_numbers() -> None:
    catalogue = from_arrays(np.zeros((4, 8, 8), np.uint8), np.array([7.0, 3.0, -1.0, np.nan]))
    assert catalogue.labels.tolist() == [1, 0, -1, -1]
    with pytest.raises(InputError, match=r"the labels hold 7\.5"):
        from_arrays(np.zeros((4, 8, 8), np.uint8), np.array([7.5, 3.0, -1.0, -1.0]))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (["cat", None, 3, None], "the labels hold 3"),
        ([True, False, None, None], "the labels hold True"),
        (np.array([True, False, -1, -1], dtype=object), "the labels hold True"),
        (None, r"the labels have the shape \(\)"),
        (5, r"the labels have the shape \(\)"),
    ],
)
def test_what_is_missing_makes_no_label_of_what_is_none(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(np.zeros((4, 8, 8), np.uint8), labels)


def test_whole_numbers_of_numpy_are_labels_among_what_is_missing() -> None:
    catalogue = from_arrays(
        np.zeros((4, 8, 8), np.uint8), pd.Series([np.int64(7), np.int64(3), pd.NA, pd.NA])
    )
    assert catalogue.labels.tolist() == [1, 0, -1, -1]


def test_images_of_several_sizes_are_no_array() -> None:
    images = [np.zeros((8, side), np.uint8) for side in (8, 8, 9)]
    with pytest.raises(InputError, match=r"make no array .*; resize them to one size, or write"):
        from_arrays(images, [0, 1, -1])  # type: ignore[arg-type]


def test_labels_that_are_no_valid_text_are_printable() -> None:
    catalogue = made_of(["\ud800x", "caf\udce9", ""])
    assert catalogue.class_names == ("caf\\udce9", "\\ud800x")
    assert len(catalogue.fingerprint()) == 16


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, -1], "4 images and 3 labels"),
        ([0.0, 1.5, -1.0, -1.0], r"labels hold 1\.5"),
        ([[0], [1], [2], [-1]], r"shape \(4, 1\)"),
        (["a", "b", "", -1], "labels hold -1"),
        (["a", "b", "-1", "-1"], "labels hold '-1'; give .* '' for unlabelled"),
        (["0.0", "1.0", "-1.0", "2.0"], "labels hold '-1.0'"),
        ([0, 1.5, math.nan, math.nan], r"labels hold 1\.5"),
        ([0, math.inf, math.nan, math.nan], "labels hold inf"),
        ([0, -2, math.nan, math.nan], "labels hold -2"),
        ([0, 1, -2, -1], "labels hold -2; give ints from 0 on with -1 for unlabelled"),
        ([0, 1, 2, 3], "no unlabelled image"),
        ([0, 0, -1, -1], "only '0'"),
        ([-1, -1, -1, -1], "has none"),
    ],
)
def test_labels_that_do_not_fit(labels: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        from_arrays(np.zeros((4, 8, 8), np.uint8), labels)


@pytest.mark.parametrize("column", [list, tuple, np.array, pd.Series])
def test_paths_are_told_where_they_belong(column: Callable[[list[str]], Any]) -> None:
    for take in (from_arrays, lambda *data: open_catalogue(data, kind="videos")):
        with pytest.raises(
            InputError, match=r"given as paths; give pandas.DataFrame\({'path': paths"
        ):
            take(column(["a.png", "b.png"]), ["x", None])
