"""The paper's data sets as they lie on disk: which classes are labelled, which are novel.

Each function opens what lies in a folder as a catalogue and the truth of its unlabelled items, and
raises InputError that says what is looked for and where. Unlabelled are the training images of the
novel classes; of a test split only known classes are of use, to measure on.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from newfound.batch import UNLABELLED
from newfound.data.catalogue import Catalogue, Truth, split_classes
from newfound.data.folders import class_folders, files_below, folders_in
from newfound.data.images import ArrayImages, FileImages
from newfound.data.opening import open_catalogue, open_split
from newfound.data.source import Kind
from newfound.data.texts import Texts
from newfound.data.words import printable, some
from newfound.errors import InputError

Opened = tuple[Catalogue, Truth]

SUBSET_SEED = 0
"""Which items a small data set keeps never depends on the seed of a run."""


def open_class_folders(
    place: Path, known: int, novel: int | None = None, kind: Kind = "images"
) -> Opened:
    """PLACE/<class>/**, or PLACE/{train,test}/<class>/**: the first `known` in name order labelled.

    novel: how many classes there must be besides; None for any number.
    """
    catalogue, truth = open_catalogue(place, labelled_classes=known, kind=kind)
    assert truth is not None, "class folders have classes for all"
    return _with_all_classes(catalogue, truth, known, novel, place)


def open_split_folders(place: Path, known: int, novel: int) -> Opened:
    """PLACE/train/<class>/** and the same in test/ or val/; what else lies beside is left alone."""
    if not (place / "train").is_dir():
        raise InputError(f"no train/<class>/ in {_shown(place)}; give --data the whole data set")
    return _with_all_classes(*open_split(place, known, "images"), known, novel, place)


def _with_all_classes(
    catalogue: Catalogue, truth: Truth, known: int, novel: int | None, place: Path
) -> Opened:
    if novel is not None and len(truth.class_names) != novel:
        raise InputError(
            f"{_shown(place)} has {known + len(truth.class_names)} classes with items, and there "
            f"must be {known + novel}; give --data the whole data set"
        )
    return catalogue, truth


def open_cifar(place: Path, name: str, known: int) -> Opened:
    """CIFAR as class folders in train/ and test/, or in torchvision's own files.

    name: cifar10 or cifar100.
    """
    total = {"cifar10": 10, "cifar100": 100}[name]
    folder = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}[name]
    if (place / "train").is_dir():
        return open_split_folders(place, known, total - known)
    if (place / folder).is_dir():
        catalogue, truth = open_catalogue(name, root=place)
        assert truth is not None, "torchvision's sets have labels for all"
        names = (*catalogue.class_names, *truth.class_names)
        return resplit(catalogue, truth, names[:known], names[known:])
    raise InputError(
        f"no {name} in {_shown(place)}: neither train/<class>/ and test/<class>/ nor torchvision's "
        f"{folder}/, which torchvision.datasets.{name.upper()}(DIR, download=True) fetches"
    )


def open_svhn(place: Path) -> Opened:
    """The cropped digits, train_32x32.mat and test_32x32.mat: 0-4 labelled, 5-9 novel."""
    train, test = (_svhn_digits(place / f"{part}_32x32.mat") for part in ("train", "test"))
    tested = test[1] < 5
    pixels = np.concatenate([train[0], test[0][tested]])
    classes = np.concatenate([train[1], test[1][tested]])
    names = [f"train/{row:05}" for row in range(len(train[1]))]
    names += [f"test/{row:05}" for row in np.flatnonzero(tested)]
    return split_classes(
        names=Texts(names),
        classes=classes,
        class_names=tuple("0123456789"),
        known=5,
        items=ArrayImages(pixels),
        source=f"svhn: {printable(str(place))}",
        held_out=np.arange(len(classes)) >= len(train[1]),
    )


def _svhn_digits(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """(n, 32, 32, 3) and (n,) digits; the files call the digit 0 by the number 10."""
    try:
        table = loadmat(str(path))
        pixels, numbers = table["X"], table["y"]
    except (OSError, ValueError, KeyError, MatReadError) as error:
        raise InputError(
            f"no SVHN in {_shown(path.parent)}: {path.name} cannot be read ({error}); "
            "train_32x32.mat and test_32x32.mat are looked for there, which come from "
            "http://ufldl.stanford.edu/housenumbers"
        ) from error
    return np.ascontiguousarray(pixels.transpose(3, 0, 1, 2)), numbers[:, 0].astype(np.int64) % 10


def omniglot_alphabets(place: Path) -> tuple[str, ...]:
    """The alphabets of the evaluation set, each of which is a problem of its own."""
    return tuple(printable(folder.name) for folder in folders_in(_omniglot(place)[1]))


def open_omniglot(place: Path, alphabet: str) -> Opened:
    """All characters of the background set are labelled, those of one alphabet are novel."""
    background, evaluation = _omniglot(place)
    known = [c for letters in folders_in(background) for c in class_folders(letters, "images")]
    novel = class_folders(evaluation / alphabet, "images")
    if len(known) < 2 or len(novel) < 2:
        raise InputError(
            f"{_shown(place)} has {len(known)} characters to learn from and {len(novel)} in "
            f"{alphabet}; give --data the whole of Omniglot"
        )
    of_class = files_below([*known, *novel])
    paths = [path for paths in of_class for path in paths]
    classes = np.repeat(np.arange(len(of_class)), [len(paths) for paths in of_class])
    class_names = [f"{c.parent.name}/{c.name}" for c in (*known, *novel)]
    return split_classes(
        names=Texts(printable(str(Path(path).relative_to(place))) for path in paths),
        classes=classes,
        class_names=class_names,
        known=len(known),
        items=FileImages(paths),
        source=f"omniglot, {alphabet}: {printable(str(place))}",
    )


def _omniglot(place: Path) -> tuple[Path, Path]:
    root = place / "omniglot-py" if (place / "omniglot-py").is_dir() else place
    parts = root / "images_background", root / "images_evaluation"
    if not all(part.is_dir() for part in parts):
        raise InputError(
            f"no Omniglot in {_shown(place)}: images_background/<alphabet>/<character>/ and "
            "images_evaluation/<alphabet>/<character>/ are looked for there and in omniglot-py/, "
            "where torchvision.datasets.Omniglot(DIR, background=..., download=True) puts them"
        )
    return parts


def open_imagenet(place: Path, split: str) -> Opened:
    """ILSVRC-2012 in train/<wnid>/ and val/<wnid>/: 882 classes labelled, the split's 30 novel.

    The 88 classes that are neither take no part.
    """
    train = place / "train"
    if not train.is_dir():
        raise InputError(f"no ImageNet in {_shown(place)}: train/<wnid>/ and val/<wnid>/ are there")
    lists = imagenet_lists()
    wnids = {folder.name for folder in folders_in(train)}
    known = sorted(wnids - set(lists["probe_and_novel_118"]))
    absent = sorted(set(lists["probe_and_novel_118"]) - wnids)
    if absent or len(known) != 882:
        raise InputError(
            f"{_shown(train)} has {len(wnids)} classes, without {some(absent) or 'others'}; give "
            "--data the whole of ILSVRC-2012, which has 1000"
        )
    # Which classes are labelled is settled by resplit; open_catalogue leaves two unlabelled, and of
    # these no validation images are held out.
    return resplit(*open_split_folders(place, 998, 2), known, lists[f"novel_30_{split}"])


@cache
def imagenet_lists() -> dict[str, list[str]]:
    """WordNet ids: the 118 classes that are never labelled, and the novel ones of each split."""
    text = files("newfound.reproduce").joinpath("imagenet_novel_splits.json").read_text("utf-8")
    lists: dict[str, list[str]] = json.loads(text)
    return lists


def open_listed_videos(place: Path, name: str) -> Opened:
    """kinetics400 or vggsound: the published tables in annotations/, the videos in videos/."""
    tables, videos = place / "annotations", place / "videos"
    if not (tables.is_dir() and videos.is_dir()):
        raise InputError(
            f"no {name} in {_shown(place)}: its published tables are looked for in annotations/, "
            "and its videos in or below videos/"
        )
    catalogue, truth = open_catalogue(name, kind="videos", csv=tables, videos=videos)
    assert truth is not None, "published sets have labels for all"
    return catalogue, truth


def resplit(
    catalogue: Catalogue, truth: Truth, known: Sequence[str], novel: Sequence[str]
) -> Opened:
    """The same items with other classes labelled; what is of neither kind is left out.

    Held-out items of novel classes are left out too: they are of a test split.
    """
    names = (*catalogue.class_names, *truth.class_names)
    number_of = {name: number for number, name in enumerate((*known, *novel))}
    numbers = np.array([number_of.get(name, UNLABELLED) for name in names])
    classes = numbers[_classes(catalogue, truth)]
    of_use = (classes != UNLABELLED) & ~(catalogue.held_out & (classes >= len(known)))
    kept, classes = catalogue.subset(np.flatnonzero(of_use)), classes[of_use]
    is_known = classes < len(known)
    labels = np.where(is_known, classes, UNLABELLED)
    return (
        replace(kept, labels=labels, class_names=tuple(known)),
        Truth(classes[~is_known] - len(known), tuple(novel)),
    )


def few_of_each(catalogue: Catalogue, truth: Truth, per_class: int) -> Opened:
    """At most so many items of every class, and as many of its held-out ones, drawn at random.

    That of the novel classes as many are kept is a part of making the data set, as the choice of
    the classes is; what is kept is the same for every seed.
    """
    groups = 2 * _classes(catalogue, truth) + catalogue.held_out
    generator = np.random.default_rng(SUBSET_SEED)
    shuffled = generator.permutation(len(catalogue))
    kept = [shuffled[groups[shuffled] == group][:per_class] for group in np.unique(groups)]
    rows = np.sort(np.concatenate(kept))
    of_unlabelled = np.isin(catalogue.unlabelled, rows)
    return catalogue.subset(rows), replace(truth, labels=truth.labels[of_unlabelled])


def _classes(catalogue: Catalogue, truth: Truth) -> NDArray[np.int64]:
    """(n,) int64: the class of every item, known ones first, then those of the truth."""
    classes = catalogue.labels.copy()
    classes[catalogue.unlabelled] = len(catalogue.class_names) + truth.labels
    return classes


def _shown(path: Path) -> str:
    return repr(printable(str(path)))
