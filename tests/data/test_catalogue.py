"""What is done with a catalogue: fingerprint, holding out, dropping, counting."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from newfound.data.catalogue import Catalogue, Truth, check_counts, drop, hold_out
from newfound.data.images import ArrayImages, FileImages
from newfound.data.opening import open_catalogue
from newfound.data.texts import Texts
from newfound.errors import InputError
from support.made_layouts import ODD_NAMES, made_of, write_image, write_layout


@given(
    sizes=st.lists(st.integers(1, 30), min_size=2, max_size=4),
    share=st.floats(0, 0.89),
    seed=st.integers(0, 1000),
)
def test_holding_out_is_stratified_and_leaves_every_class_something(
    sizes: list[int], share: float, seed: int
) -> None:
    catalogue = made_of([*np.repeat(np.arange(len(sizes)), sizes).tolist(), -1])
    held = hold_out(catalogue, share, seed)
    assert np.array_equal(held.held_out, hold_out(catalogue, share, seed).held_out)
    assert not held.held_out[held.unlabelled].any()
    assert not set(held.labelled) & set(np.flatnonzero(held.held_out))
    for label, size in enumerate(sizes):
        n_held_out = held.held_out[held.labels == label].sum()
        assert n_held_out <= size - 1
        assert abs(n_held_out - share * size) <= 0.5 or n_held_out == size - 1


@given(
    labels=st.lists(st.integers(-1, 4), min_size=1, max_size=40),
    share=st.floats(0, 0.89),
    seed=st.integers(0, 9),
)
def test_holding_out_is_done_class_by_class(labels: list[int], share: float, seed: int) -> None:
    """A class may have no item."""
    n = len(labels)
    catalogue = Catalogue(
        names=Texts(f"{row}" for row in range(n)),
        labels=np.array(labels, dtype=np.int64),
        class_names=tuple("abcde"),
        held_out=np.zeros(n, dtype=np.bool_),
        items=ArrayImages(np.zeros((n, 4, 4), np.uint8)),
        source="made",
    )
    generator = np.random.default_rng(seed)
    expected = np.zeros(n, dtype=np.bool_)
    for label in range(5):
        rows = np.array([row for row in range(n) if labels[row] == label], dtype=np.int64)
        n_held_out = min(round(share * len(rows)), len(rows) - 1)
        expected[generator.permutation(rows)[:n_held_out]] = True
    assert np.array_equal(hold_out(catalogue, share, seed).held_out, expected)


def test_holding_out_depends_on_the_seed_and_spares_a_test_split() -> None:
    catalogue = made_of([0] * 50 + [1] * 50 + [-1])
    first, second = hold_out(catalogue, 0.2, 0), hold_out(catalogue, 0.2, 1)
    assert first.held_out.sum() == second.held_out.sum() == 20
    assert not np.array_equal(first.held_out, second.held_out)
    assert hold_out(first, 0.5, 3) is first


def test_dropping_rows_keeps_the_truth_in_step() -> None:
    catalogue = made_of(["a", "b", "", "c", "", ""])
    kept, truth = drop(catalogue, Truth(np.array([2, 0, 1]), ("x", "y", "z")), [1, 5])
    assert truth is not None
    assert kept.names.tolist() == ["0", "2", "3", "4"]
    assert kept.class_names == ("a", "c") and kept.labels.tolist() == [0, -1, 1, -1]
    assert truth.labels.tolist() == [2, 0] and truth.class_names == ("x", "y", "z")
    assert drop(catalogue, None, [])[0].fingerprint() == catalogue.fingerprint()
    with pytest.raises(InputError, match="only 'c'"):
        drop(catalogue, None, [0, 1])
    with pytest.raises(InputError, match="holds no images"):
        drop(catalogue, None, range(6))


def test_a_class_that_is_measured_alone_is_refused() -> None:
    catalogue = made_of(["a", "b", "", "b", "c", "c"])
    measured = replace(catalogue, held_out=np.array([0, 0, 0, 1, 0, 1], dtype=np.bool_))
    assert drop(measured, None, [5])[0].class_names == ("a", "b", "c")
    with pytest.raises(InputError, match=r"of 'c' .* has images that are held out, and none that"):
        drop(measured, None, [4])


@pytest.mark.parametrize(
    "labels",
    [
        np.array([0, 2]),
        np.array([0, -1]),
        np.array(["x", "y"]),
        np.array([0.0, 1.0]),
        np.array([[0, 1]]),
        [0, 1],
    ],
)
def test_a_truth_is_of_numbers_of_its_classes(labels: Any) -> None:
    with pytest.raises(InputError, match=r"labels of a truth of 2 classes are numbers from 0 to 1"):
        Truth(labels, ("x", "y"))


def test_the_fingerprint_follows_names_labels_and_sizes(tmp_path: Path) -> None:
    def fingerprint() -> str:
        return open_catalogue(write_layout(tmp_path / "data"))[0].fingerprint()

    before = fingerprint()
    assert fingerprint() == before
    (tmp_path / "data").rename(tmp_path / "moved")
    assert open_catalogue(tmp_path / "moved")[0].fingerprint() == before
    (tmp_path / "moved/unlabelled/a.png").rename(tmp_path / "moved/unlabelled/z.png")
    assert open_catalogue(tmp_path / "moved")[0].fingerprint() != before
    catalogue = open_catalogue(write_layout(tmp_path / "data"))[0]
    relabelled = replace(catalogue, labels=np.array([0, 1, 1, 1, -1, -1, -1]))
    assert relabelled.fingerprint() != before
    with (tmp_path / "data/unlabelled/a.png").open("ab") as file:
        file.write(b"more")
    assert catalogue.fingerprint() != before


def test_the_fingerprint_is_one_of_the_rows_one_by_one(tmp_path: Path) -> None:
    """Run folders made before know their data by it: it never changes."""
    write_layout(tmp_path)
    for name in ODD_NAMES:
        write_image(tmp_path / "unlabelled" / os.fsdecode(name))
    write_image(tmp_path / "labelled/été/x.png")
    catalogue = open_catalogue(tmp_path)[0]
    digest = hashlib.sha256()
    for name in catalogue.names:
        digest.update(name.encode() + b"\0")
    for name in catalogue.class_names:
        digest.update(name.encode() + b"\0")
    for label in catalogue.labels:
        digest.update(int(label).to_bytes(8, "little", signed=True))
    for row in range(len(catalogue)):
        assert isinstance(catalogue.items, FileImages)
        size = Path(catalogue.items.path(row)).stat().st_size
        digest.update(size.to_bytes(8, "little"))
    assert catalogue.fingerprint() == digest.hexdigest()[:16]


def test_counts_that_suffice_only_warn() -> None:
    assert check_counts(made_of([0, 0, 1, 1, -1, -1]), num_novel=2, batch=6) == []
    (warning,) = check_counts(made_of(["cat", "dog", "dog", "", ""]), num_novel=2, batch=4)
    assert "'cat' has a single item" in warning
    held = made_of(["cat", "cat", "dog", "dog", "", ""])
    held = replace(held, held_out=np.arange(6) == 1)  # a class has one left to train on
    (warning,) = check_counts(held, num_novel=2, batch=4)
    assert "'cat' has a single item to train on" in warning


@pytest.mark.parametrize(
    "other", ["Dog", "DOG", "dog ", "\tdog", "\ufeffdog", "\ufeff dog", "\xa0dog"]
)
def test_classes_that_differ_only_in_how_they_are_written_are_warned_of(other: str) -> None:
    catalogue = made_of(["dog", "dog", other, other, "cat", "cat", "", ""])
    (warning,) = check_counts(catalogue, num_novel=2, batch=4)
    assert repr("dog") in warning and repr(other) in warning and "'cat'" not in warning
    assert "differ only in case" in warning and "name them alike" in warning


def test_numbers_that_differ_only_in_zeros_are_warned_of() -> None:
    warnings = check_counts(made_of([*["7", "007", "70", "0", "000"] * 2, "", ""]), 2, batch=4)
    assert [warning.split(" differ")[0][-10:] for warning in warnings] == [
        "'0', '000'",
        "'007', '7'",
    ]


def test_forms_of_unicode_are_one_class_perhaps_and_others_are_not() -> None:
    composed, apart = "\u00e9t\u00e9", "e\u0301te\u0301"
    (warning,) = check_counts(made_of([*[composed, apart, "ete"] * 2, "", ""]), 2, batch=4)
    assert repr(composed) in warning and repr(apart) in warning and "'ete'" not in warning


@pytest.mark.parametrize("name", ["nan", "NA", "N/A", " null", "None", "unlabelled", "Unknown"])
def test_a_class_called_like_no_label_is_warned_of(name: str) -> None:
    (warning,) = check_counts(made_of([name, name, "dog", "dog", "", ""]), num_novel=2, batch=4)
    assert f"labelled class {name!r}" in warning and "leave their labels empty" in warning


def test_what_was_left_out_is_warned_of_and_told_with_errors() -> None:
    catalogue = replace(made_of([0, 0, 1, 1, -1, -1]), warnings=("much is left out",))
    assert check_counts(catalogue, num_novel=2, batch=4) == ["much is left out"]
    assert drop(catalogue, None, [0])[0].warnings == catalogue.warnings
    with pytest.raises(InputError, match="more classes; much is left out"):
        drop(catalogue, None, [0, 1])
    with pytest.raises(InputError, match="with -1; much is left out"):
        drop(catalogue, None, [4, 5])


def test_one_item_is_not_to_be_sorted_into_fewer_than_two_categories() -> None:
    with pytest.raises(InputError, match=r"only 1 unlabelled items; add items$"):
        check_counts(made_of([0, 0, 1, 1, -1]), num_novel=2, batch=4)


def test_counts_that_do_not_suffice() -> None:
    catalogue = hold_out(made_of([0, 0, 1, 1, -1, -1, -1]), 0.5, 0)
    for num_novel in (-1, 0, 1):
        with pytest.raises(InputError, match=f"num_novel is {num_novel}.*at least 2"):
            check_counts(catalogue, num_novel, batch=4)
    with pytest.raises(InputError, match=r"num_novel is 4, .* only 3 unlabelled"):
        check_counts(catalogue, 4, batch=4)
    with pytest.raises(InputError, match=r"batch is 6, .* only 5 items .* --batch 5 or less$"):
        check_counts(catalogue, 2, batch=6)
    with pytest.raises(InputError, match=r"--batch 5 or less \(--preset quick is made for few"):
        check_counts(catalogue, 2, batch=1024)  # more than that preset's


def test_what_a_set_holds_out_is_a_part_of_what_it_is() -> None:
    """Or a training that saw an item would be continued, and measured on it."""
    catalogue = made_of([0, 0, 1, 1, -1, -1])
    held_out = [replace(catalogue, held_out=np.arange(6) == row) for row in (0, 1)]
    assert len({of.fingerprint() for of in (catalogue, *held_out)}) == 3


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (
            r"G\xe4nse",
            "holds bytes that are not UTF-8; if it comes from a table, save that as UTF-8",
        ),
        ("novel-2", "'novel-2' is called like a category that will be discovered; rename it"),
    ],
)
def test_names_of_classes_that_may_mislead_are_told(name: str, told: str) -> None:
    catalogue = made_of(["ant", "ant", name, name, *[""] * 3])
    [warning] = check_counts(catalogue, 2, 4)
    assert told in warning
    for plain in ("novel", "novels-1", r"a\xylophone", "Gänse"):
        assert not check_counts(made_of(["ant", "ant", plain, plain, *[""] * 3]), 2, 4)


def test_videos_taken_for_images_are_told_where_they_are_too_few_for_a_batch() -> None:
    names = Texts([f"{row}.mp4" for row in range(6)])
    catalogue = replace(made_of([0, 0, 1, 1, -1, -1]), names=names)
    with pytest.raises(InputError, match=r"items to train on; .*; these look like videos: newf"):
        check_counts(catalogue, 2, 8)
