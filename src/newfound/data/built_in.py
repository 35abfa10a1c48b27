"""Sets that are known by name: scikit-learn's digits, CIFAR, and lists of published videos."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from torchvision import datasets

from newfound.data.catalogue import Catalogue, Truth, checked, split_classes
from newfound.data.clips import ClipFiles
from newfound.data.digits import placed_digits
from newfound.data.images import ArrayImages
from newfound.data.naming import row_names, unique_names
from newfound.data.paths import existing
from newfound.data.texts import Texts
from newfound.data.video_protocols import PROTOCOLS, read_protocol
from newfound.data.words import printable
from newfound.errors import InputError

_CIFAR_KNOWN = {"cifar10": 5, "cifar100": 80}  # section 4: the other 5 and 20 are novel


def digits_catalogue() -> tuple[Catalogue, Truth]:
    """Scikit-learn's handwritten digits (`placed_digits`): 0-4 labelled, 5-9 to be discovered."""
    pixels, classes = placed_digits()
    return split_classes(
        names=Texts(row_names("digits/", len(pixels))),
        classes=classes,
        class_names=[str(digit) for digit in range(10)],
        known=5,
        items=ArrayImages(pixels),
        source="digits",
    )


def cifar_catalogue(name: str, root: Path, download: bool) -> tuple[Catalogue, Truth]:
    """CIFAR by torchvision; the test split's known classes are held out."""
    opener = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
    try:
        train, test = (opener(root, train=part, download=download) for part in (True, False))
    except (RuntimeError, OSError) as error:
        cure = "see to the connection" if download else "pass --download to fetch it"
        raise InputError(f"{name} cannot be read from {str(root)!r} ({error}); {cure}") from error
    known = _CIFAR_KNOWN[name]
    tested = np.flatnonzero(np.array(test.targets) < known)
    n_train = len(train.targets)
    train_names = row_names("train/", n_train)
    test_names = row_names("test/", len(test.targets))[tested]
    return split_classes(
        names=Texts(np.concatenate([train_names, test_names])),
        classes=np.concatenate([train.targets, np.array(test.targets)[tested]]).astype(np.int64),
        class_names=train.classes,
        known=known,
        items=ArrayImages(np.concatenate([train.data, test.data[tested]])),
        source=name,
        held_out=np.arange(n_train + len(tested)) >= n_train,
    )


def listed_videos(
    name: str, csv: str | os.PathLike[str] | None, videos: str | os.PathLike[str] | None
) -> tuple[Catalogue, Truth]:
    """Kinetics-400 or VGG-Sound, as far as its videos are there."""
    if csv is None or videos is None:
        raise InputError(
            f"{name} is read from its published tables and a folder of videos; give --csv TABLES "
            f"and --videos DIR, or ./{name} for the folder of that name"
        )
    table, folder = existing(csv, "videos"), existing(videos, "videos")
    listed = read_protocol(PROTOCOLS[name], table, folder)
    catalogue, truth = split_classes(
        names=unique_names(Texts(listed.names)),
        classes=listed.classes,
        class_names=listed.class_names,
        known=listed.known,
        items=ClipFiles(listed.files, listed.start_seconds, listed.end_seconds),
        source=printable(f"{name}: {table}, {folder}"),
        held_out=listed.held_out,
    )
    return checked(replace(catalogue, missing=listed.missing)), truth
