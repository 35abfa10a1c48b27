"""The protocols on disk: which classes are labelled, which items are taken, what is refused."""

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.io import savemat

from newfound.data.catalogue import Catalogue, Truth
from newfound.data.opening import open_catalogue
from newfound.errors import InputError
from newfound.reproduce.protocols import (
    few_of_each,
    imagenet_lists,
    omniglot_alphabets,
    open_cifar,
    open_class_folders,
    open_imagenet,
    open_listed_videos,
    open_omniglot,
    open_split_folders,
    open_svhn,
    resplit,
)
from support.made_images import CLASSES, save_images


def touch(*paths: Path) -> None:
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(path.name.encode())


def truth_by_name(catalogue: Catalogue, truth: Truth) -> dict[str, str]:
    """The true class of every unlabelled item."""
    names = catalogue.names[catalogue.unlabelled]
    return {name: truth.class_names[label] for name, label in zip(names, truth.labels)}


def labels_by_name(catalogue: Catalogue) -> dict[str, str]:
    """The class of every labelled item, held out or not."""
    rows = np.flatnonzero(catalogue.labels >= 0)
    return {catalogue.names[row]: catalogue.class_names[catalogue.labels[row]] for row in rows}


@pytest.fixture
def six_classes(tmp_path: Path) -> Path:
    """train/ with 5 and test/ with 2 images of each of six classes."""
    for kind in range(6):
        save_images(tmp_path / "train" / CLASSES[kind], kind, range(5))
        save_images(tmp_path / "test" / CLASSES[kind], kind, range(5, 7))
    return tmp_path


def test_class_folders(six_classes: Path) -> None:
    catalogue, truth = open_class_folders(six_classes, 4, 2)
    assert catalogue.class_names == tuple(sorted(CLASSES)[:4])
    assert truth.class_names == tuple(sorted(CLASSES)[4:])
    assert len(catalogue.unlabelled) == 10 and catalogue.held_out.sum() == 8
    with pytest.raises(InputError, match="has 6 classes with items, and there must be 10"):
        open_class_folders(six_classes, 4, 6)
    with pytest.raises(InputError, match="has 6 class folders with files"):
        open_class_folders(six_classes, 5, 5)
    (six_classes / "labelled").mkdir()
    (six_classes / "unlabelled").mkdir()
    with pytest.raises(InputError, match="has labelled/"):
        open_class_folders(six_classes, 4)


def test_beside_a_published_split_all_else_is_left_alone(six_classes: Path) -> None:
    """As the folder of results in it, or torchvision's form of the same set."""
    catalogue, _ = open_class_folders(six_classes, 4, 2)
    save_images(six_classes / "results" / "runs", 0, range(3))
    save_images(six_classes / "val" / CLASSES[0], 0, range(3))
    beside, truth = open_split_folders(six_classes, 4, 2)
    assert beside.fingerprint() == catalogue.fingerprint()
    assert truth.class_names == tuple(sorted(CLASSES)[4:])
    with pytest.raises(InputError, match="has 6 classes with items, and there must be 10"):
        open_split_folders(six_classes, 4, 6)


@pytest.mark.parametrize("known", [5, 2])
def test_cifar_as_class_folders(tmp_path: Path, known: int) -> None:
    for label in range(10):
        touch(tmp_path / f"train/{label}/a.png", tmp_path / f"test/{label}/b.png")
    (tmp_path / "results" / "runs").mkdir(parents=True)
    catalogue, truth = open_cifar(tmp_path, "cifar10", known)
    assert catalogue.class_names == tuple("0123456789"[:known])
    assert truth_by_name(catalogue, truth) == {
        f"train/{label}/a.png": str(label) for label in range(known, 10)
    }


@pytest.mark.parametrize("known", [80, 50])
def test_cifar_as_torchvision_keeps_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, known: int
) -> None:
    monkeypatch.setattr("torchvision.datasets.CIFAR100._check_integrity", lambda _: True)
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *_: True)
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    pixels = np.arange(100, dtype=np.uint8)[:, None].repeat(3072, axis=1)
    for part in ("train", "test"):
        batch = {"data": pixels, "fine_labels": list(range(100))}
        (folder / part).write_bytes(pickle.dumps(batch))
    names = [f"class {label:02}" for label in range(100)]
    (folder / "meta").write_bytes(pickle.dumps({"fine_label_names": names}))

    catalogue, truth = open_cifar(tmp_path, "cifar100", known)
    assert catalogue.class_names == tuple(names[:known])
    assert truth_by_name(catalogue, truth) == {
        f"train/{label:03}": names[label] for label in range(known, 100)
    }
    assert labels_by_name(catalogue) == {
        f"{part}/{label:03}": names[label] for part in ("train", "test") for label in range(known)
    }
    assert catalogue.held_out.sum() == known
    for row in (0, known, len(catalogue) - 1):  # each still has its own pixels
        label = int(catalogue.names[row].split("/")[1])
        assert (catalogue.items.load(row, 32, 3) == label).all()


def test_svhn_calls_ten_zero(tmp_path: Path) -> None:
    digits = np.array([10, 1, 5, 9, 4])
    pixels = np.arange(5, dtype=np.uint8).repeat(32 * 32 * 3).reshape(5, 32, 32, 3)
    for part in ("train", "test"):
        table = {"X": pixels.transpose(1, 2, 3, 0), "y": digits[:, None]}
        savemat(tmp_path / f"{part}_32x32.mat", table)
    catalogue, truth = open_svhn(tmp_path)
    assert truth_by_name(catalogue, truth) == {"train/00002": "5", "train/00003": "9"}
    assert labels_by_name(catalogue) == {
        f"{part}/{row:05}": digit
        for part in ("train", "test")
        for row, digit in ((0, "0"), (1, "1"), (4, "4"))
    }
    assert catalogue.held_out.sum() == 3
    assert (catalogue.items.load(3, 32, 3) == 3).all()
    (tmp_path / "test_32x32.mat").write_bytes(b"no table")
    with pytest.raises(InputError, match=r"test_32x32.mat cannot be read"):
        open_svhn(tmp_path)


def test_omniglot_is_a_problem_for_each_alphabet(tmp_path: Path) -> None:
    for alphabet, characters in {"Greek": 3, "Latin": 2}.items():
        for number in range(characters):
            touch(tmp_path / f"omniglot-py/images_background/{alphabet}/c{number}/{number}.png")
    for alphabet in ("Ge_ez", "ULOG"):
        for number in range(4):
            character = tmp_path / f"omniglot-py/images_evaluation/{alphabet}/c{number}"
            touch(character / "a.png", character / "b.png")
    assert omniglot_alphabets(tmp_path) == ("Ge_ez", "ULOG")
    catalogue, truth = open_omniglot(tmp_path, "ULOG")
    assert catalogue.class_names == ("Greek/c0", "Greek/c1", "Greek/c2", "Latin/c0", "Latin/c1")
    assert truth.class_names == ("ULOG/c0", "ULOG/c1", "ULOG/c2", "ULOG/c3")
    assert truth_by_name(catalogue, truth) == {
        f"omniglot-py/images_evaluation/ULOG/c{number}/{name}.png": f"ULOG/c{number}"
        for number in range(4)
        for name in "ab"
    }
    assert len(catalogue.labelled) == 5


def test_imagenet_leaves_out_what_is_in_neither_list(tmp_path: Path) -> None:
    lists = imagenet_lists()
    never = lists["probe_and_novel_118"]
    known = [f"n{number:08}" for number in range(882)]
    for wnid in known + never:
        touch(tmp_path / "train" / wnid / "1.JPEG", tmp_path / "val" / wnid / "2.JPEG")
    (tmp_path / "results" / "runs").mkdir(parents=True)
    for split in "ABC":
        novel = lists[f"novel_30_{split}"]
        assert len(novel) == 30 and set(novel) < set(never)
        catalogue, truth = open_imagenet(tmp_path, split)
        assert catalogue.class_names == tuple(known)
        assert truth_by_name(catalogue, truth) == {f"train/{wnid}/1.JPEG": wnid for wnid in novel}
        assert len(catalogue.labelled) == 882
        assert {name.split("/")[1] for name in catalogue.names[catalogue.held_out]} == set(known)
    (tmp_path / "train" / never[5] / "1.JPEG").unlink()
    (tmp_path / "train" / never[5]).rmdir()
    with pytest.raises(InputError, match=f"has 999 classes, without '{never[5]}'"):
        open_imagenet(tmp_path, "A")


@pytest.mark.parametrize(
    ("opener", "sought"),
    [
        (lambda place: open_cifar(place, "cifar10", 5), "cifar-10-batches-py/"),
        (lambda place: open_cifar(place, "cifar100", 80), "train/<class>/"),
        (open_svhn, "train_32x32.mat and test_32x32.mat are looked for there"),
        (omniglot_alphabets, "images_background/<alphabet>/<character>/"),
        (lambda place: open_imagenet(place, "A"), "train/<wnid>/"),
        (lambda place: open_listed_videos(place, "vggsound"), "annotations/"),
        (lambda place: open_split_folders(place, 80, 20), "no train/<class>/"),
        (lambda place: open_class_folders(place, 5, 5, "videos"), "holds no folders of videos"),
    ],
)
def test_what_is_not_there_is_said_and_where_it_was_looked_for(
    tmp_path: Path, opener: Callable[[Path], object], sought: str
) -> None:
    with pytest.raises(InputError) as refused:
        opener(tmp_path)
    assert sought in str(refused.value)
    assert repr(str(tmp_path)) in str(refused.value)


def test_listed_videos_are_read_below_data(tmp_path: Path) -> None:
    rows = [(f"{number:011}", 1, f"class {number:03}", "train") for number in range(309)]
    (tmp_path / "annotations").mkdir()
    table = tmp_path / "annotations" / "vggsound.csv"
    pd.DataFrame(rows).to_csv(table, header=False, index=False)
    touch(*(tmp_path / "videos" / f"{video}_000001.mp4" for video, *_ in rows))
    catalogue, truth = open_listed_videos(tmp_path, "vggsound")
    assert (len(catalogue.class_names), len(truth.class_names)) == (270, 39)


def test_another_split_of_the_same_items(six_classes: Path) -> None:
    catalogue, truth = open_catalogue(six_classes, labelled_classes=4)
    assert truth is not None
    everything = labels_by_name(catalogue) | truth_by_name(catalogue, truth)
    names = sorted(CLASSES)
    known, novel = (names[5], names[0]), (names[4], names[1])
    again, its_truth = resplit(catalogue, truth, known, novel)
    assert again.class_names == known and its_truth.class_names == novel
    assert labels_by_name(again) == {n: c for n, c in everything.items() if c in known}
    assert truth_by_name(again, its_truth) == {
        n: c for n, c in everything.items() if c in novel and n.startswith("train/")
    }
    assert {name.split("/")[0] for name in again.names[again.held_out]} == {"test"}


def test_a_few_of_each_class_are_always_the_same(six_classes: Path) -> None:
    catalogue, truth = open_class_folders(six_classes, 4)
    few, fews_truth = few_of_each(catalogue, truth, 3)
    everything = labels_by_name(catalogue) | truth_by_name(catalogue, truth)
    kept = labels_by_name(few) | truth_by_name(few, fews_truth)
    assert kept.items() <= everything.items()
    trained_on = [everything[name] for name in few.names[few.trainable]]
    assert {name: trained_on.count(name) for name in CLASSES} == dict.fromkeys(CLASSES, 3)
    assert few.held_out.sum() == 8  # there are but two of each
    assert few_of_each(catalogue, truth, 3)[0].fingerprint() == few.fingerprint()
    assert [n for n in catalogue.names if n in set(few.names)] == list(few.names)
    assert few_of_each(catalogue, truth, 99)[0].fingerprint() == catalogue.fingerprint()
