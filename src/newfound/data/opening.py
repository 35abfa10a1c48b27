"""From what a user gives to a catalogue: folders, tables, shards, built-in sets, arrays."""

import difflib
import math
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from torchvision import datasets

from newfound.batch import UNLABELLED, UNLABELLED_AS_TEXT
from newfound.data.catalogue import Catalogue, Source, Truth, checked
from newfound.data.clips import ClipFiles
from newfound.data.digits import placed_digits
from newfound.data.folders import (
    beginning_of,
    class_folders,
    files_below,
    folders_in,
    other_kind_in_words,
    some,
)
from newfound.data.images import ArrayImages, FileImages
from newfound.data.index import Listings
from newfound.data.layouts import BUILT_IN, LAYOUTS
from newfound.data.manifest import read_manifest
from newfound.data.shard_names import are_shards
from newfound.data.shards import Shards, read_shards
from newfound.data.source import Kind, OnProgress, printable
from newfound.data.texts import Texts
from newfound.data.video_protocols import PROTOCOLS, read_protocol
from newfound.errors import InputError

_FILES: dict[Kind, type[FileImages] | type[ClipFiles]] = {
    "images": FileImages,
    "videos": ClipFiles,
}

_CIFAR_KNOWN = {"cifar10": 5, "cifar100": 80}  # section 4: the other 5 and 20 are novel

_SPLITS = {"train", "test", "val"}


Data = (
    str
    | os.PathLike[str]
    | Catalogue
    | tuple[Catalogue, Truth | None]
    | tuple[ArrayLike, ArrayLike]
)
"""What `open_catalogue` takes."""


def open_catalogue(
    data: Data | None,
    *,
    labelled: str | os.PathLike[str] | None = None,
    unlabelled: str | os.PathLike[str] | None = None,
    labelled_classes: int | None = None,
    download: bool = False,
    root: str | os.PathLike[str] = "data",
    kind: Kind = "images",
    csv: str | os.PathLike[str] | None = None,
    videos: str | os.PathLike[str] | None = None,
    on_progress: OnProgress | None = None,
) -> tuple[Catalogue, Truth | None]:
    """The items of a folder, a manifest, shards, a built-in set, arrays or a catalogue.

    data: a path; shards as `shard_names.shard_addresses` has them; a built-in name (a folder of
    that name is `./digits`); (pixels, labels) as for `from_arrays`; a catalogue, alone or as
    (catalogue, truth), which is returned here; or None with the folders `labelled` and
    `unlabelled`. See also `LAYOUTS`.
    labelled_classes: with a folder of class folders, or shards of items that all have labels, how
    many in name order are labelled; the rest become unlabelled and their truth is returned. Such
    a folder may also hold just
    `train` and `test` (or `val`), each with the class folders: the known classes of the
    second are held out.
    root, download: where torchvision's sets are kept, and whether they may be fetched.
    kind: what the files are. A manifest of videos may have the columns start_seconds and
    end_seconds, between which each item lies in its file; empty is the file's own end.
    csv, videos: with `kinetics400` and `vggsound`, the built-in names of videos: the published
    table, or the folder of the tables, and the folder that the videos lie in or below (see
    `video_protocols.read_protocol`).
    on_progress: called with (done, total) shards while new ones are read, from 0 on.

    Raises InputError if there is nothing to read or it is of another kind, less than two labelled
    classes, or no unlabelled item.
    """
    if not isinstance(data, str | os.PathLike | Catalogue | tuple | None):
        raise InputError(
            f"the data are of the type {type(data).__name__}; give the path of a folder, a table "
            "or shards as text, (pixels, labels), or a catalogue"
        )
    is_listed = kind == "videos" and data in BUILT_IN["videos"]
    if (csv is not None or videos is not None) and not is_listed:
        raise InputError(
            "--csv and --videos go with kinetics400 and vggsound, as in: newfound discover videos "
            "kinetics400 --csv TABLES --videos DIR"
        )
    if labelled is not None or unlabelled is not None:
        if data is not None or labelled is None or unlabelled is None:
            raise InputError(
                "--labelled and --unlabelled go together and replace DATA; give both folders, "
                "or DATA alone"
            )
        if labelled_classes is not None:
            raise InputError(
                "--labelled already says what is labelled; leave --labelled-classes out"
            )
        source = printable(f"{labelled} and {unlabelled}")
        catalogue = _two_folders(
            _existing(labelled, kind), _existing(unlabelled, kind), source, kind
        )
        return checked(catalogue), None
    if data is None:
        raise InputError(f"no data given\n{LAYOUTS[kind]}")
    if isinstance(data, str | os.PathLike) and data not in BUILT_IN[kind]:
        return _from_path(data, labelled_classes, kind, on_progress)
    if labelled_classes is not None:
        raise InputError(
            "labelled_classes goes with class folders or shards alone; leave it out here"
            + (f", or give ./{data} for the folder of that name" if isinstance(data, str) else "")
        )
    if is_listed:
        return _listed_videos(str(data), csv, videos)
    if isinstance(data, Catalogue):
        data = (data, None)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InputError(f"the data are {len(data)} things; give two, (pixels, labels)")
        return _of_objects(data[0], data[1], kind)
    _check_kind("images", kind)
    return digits_catalogue() if data == "digits" else _cifar(str(data), Path(root), download)


def from_arrays(pixels: ArrayLike, labels: ArrayLike | Sequence[Any]) -> Catalogue:
    """A catalogue of images in memory.

    pixels: uint8, (n, h, w) grey or (n, h, w, 3) RGB.
    labels: (n,) ints from 0 on with -1 = unlabelled, or strings with blanks, None or pandas' NaN =
    unlabelled; known classes are numbered in their order (ints by value, strings by name).

    Raises InputError for other pixels or labels, less than two labelled classes, or no
    unlabelled item.
    """
    images = ArrayImages(np.asarray(pixels))
    values = _label_values(labels)
    if len(values) != len(images):
        raise InputError(
            f"there are {len(images)} images and {len(values)} labels; give each image one, "
            "-1 for unlabelled"
        )
    numbers, class_names = _numbered(values)
    names = Texts(_row_names("", len(images)))
    return checked(_catalogue(names, numbers, class_names, images, "arrays"))


def digits_catalogue() -> tuple[Catalogue, Truth]:
    """Scikit-learn's handwritten digits (`placed_digits`): 0-4 labelled, 5-9 to be discovered."""
    pixels, classes = placed_digits()
    return _split_classes(
        names=Texts(_row_names("digits/", len(pixels))),
        classes=classes,
        class_names=[str(digit) for digit in range(10)],
        known=5,
        items=ArrayImages(pixels),
        source="digits",
    )


def files_in(
    path: str | os.PathLike[str],
    kind: Kind = "images",
    on_progress: OnProgress | None = None,
    on_warning: Callable[[str], None] = lambda _text: None,
) -> tuple[Texts, FileImages | ClipFiles]:
    """The names and contents of all files in and below a folder, of one file, or of the images or
    videos in shards, labels or not.

    on_progress: see `open_catalogue`.  on_warning: is told of what is left out of shards and may
    have been meant. Names are made like a catalogue's. Raises InputError if there is none.
    """
    if are_shards(path):
        shards = read_shards(path, kind, on_progress)
        for text in shards.warnings:
            on_warning(text)
        return _names(shards.members.names), _FILES[kind](shards.members)
    place = _existing(path, kind)
    if not place.is_dir():
        return _names(Texts([place.name])), _FILES[kind]([place])
    listed = Listings(place)
    [files] = files_below([place], listed)
    listed.keep()
    if not len(files):
        raise InputError(f"{printable(str(place))!r} holds no files; give a folder of {kind}")
    return _names(files.begun_with(_below(files, place))), _FILES[kind](files)


def _from_path(
    data: str | os.PathLike[str],
    labelled_classes: int | None,
    kind: Kind,
    on_progress: OnProgress | None,
) -> tuple[Catalogue, Truth | None]:
    if are_shards(data):
        return _of_shards(read_shards(data, kind, on_progress), labelled_classes, kind)
    path = _existing(data, kind)
    shown = printable(str(path))
    if not path.is_dir():
        return _manifest(path, labelled_classes, kind), None
    parts = [part for part in ("labelled", "unlabelled") if (path / part).is_dir()]
    if parts and labelled_classes is not None:
        raise InputError(f"{shown!r} has {parts[0]}/, so leave --labelled-classes out")
    if len(parts) == 2:
        return checked(_two_folders(path / "labelled", path / "unlabelled", shown, kind)), None
    if parts:
        missing = "unlabelled" if parts == ["labelled"] else "labelled"
        raise InputError(
            f"{shown!r} has {parts[0]}/ but no {missing}/; {_renaming(path) or 'add that folder'}, "
            f"or give both with --labelled and --unlabelled\n{LAYOUTS[kind]}"
        )
    found = [printable(folder.name) for folder in folders_in(path)]
    if not found:
        [files] = files_below([path])
        hint = other_kind_in_words(files, kind)
        raise InputError(f"{shown!r} holds no folders of {kind}{hint}\n{LAYOUTS[kind]}")
    if labelled_classes is None:
        cure = _renaming(path) or (
            "if these are class folders, say with --labelled-classes N how many are labelled"
        )
        raise InputError(
            f"{shown!r} has neither labelled/ nor unlabelled/ but {some(found)}; {cure}"
            f"\n{LAYOUTS[kind]}"
        )
    return _class_folders(path, labelled_classes, kind)


def _of_objects(content: Any, about: Any, kind: Kind) -> tuple[Catalogue, Truth | None]:
    """What is in memory: pixels with labels, or a catalogue with its truth, None for none."""
    if not isinstance(content, Catalogue):
        _check_kind("images", kind)
        return from_arrays(content, about), None
    _check_kind(content.items.kind, kind)
    if not isinstance(about, Truth | None):
        raise InputError(
            f"beside the catalogue there is a {type(about).__name__}; give its newfound.Truth, as "
            "newfound.open_catalogue returned it, or the catalogue alone"
        )
    if about is not None and len(about.labels) != len(content.unlabelled):
        raise InputError(
            f"the truth is of {len(about.labels)} items, and the catalogue has "
            f"{len(content.unlabelled)} unlabelled ones; give its own truth, or the catalogue alone"
        )
    return checked(content), about


def _renaming(path: Path) -> str:
    """What to do about folders that are nearly called labelled and unlabelled, "" for none."""
    names = [folder.name for folder in folders_in(path)]
    meant = {name: name.lower().replace("labeled", "labelled") for name in names}
    renamings = " and ".join(
        f"{name}/ to {right}/"
        for name, right in meant.items()
        if name != right and right in ("labelled", "unlabelled")
    )
    return f"rename {renamings}" if renamings else ""


def _two_folders(labelled: Path, unlabelled: Path, source: str, kind: Kind) -> Catalogue:
    """labelled/<class>/** and unlabelled/**."""
    folders = class_folders(labelled)
    listed = Listings(labelled, unlabelled)
    *members, heap = files_below([*folders, unlabelled], listed)
    listed.keep()
    known = Texts.joined(members)
    files = Texts.joined([known, heap])
    below = [*_below(known, labelled, "labelled/"), *_below(heap, unlabelled, "unlabelled/")]
    classes = [printable(folder.name) for folder, of_class in zip(folders, members) if of_class]
    numbers, class_names = _numbered(classes)
    counts = [len(of_class) for of_class in members if of_class]
    labels = np.repeat([*numbers, UNLABELLED], [*counts, len(heap)])
    names = _names(files.begun_with(below))
    return _catalogue(names, labels, class_names, _FILES[kind](files), source)


def _class_folders(path: Path, labelled_classes: int, kind: Kind) -> tuple[Catalogue, Truth]:
    """<class>/**; or that in train/, with the known classes of test/ or val/ held out."""
    splits = {folder.name for folder in folders_in(path)}
    is_split = "train" in splits and splits <= _SPLITS
    train = path / "train" if is_split else path
    listed = Listings(path)
    members = _files_by_class(train, listed)
    class_names = sorted(members)
    if not 2 <= labelled_classes <= len(class_names) - 2:
        raise InputError(
            f"labelled_classes is {labelled_classes}, and {printable(str(train))!r} has "
            f"{len(class_names)} class folders with files ({some(class_names)}); at least two "
            "must be labelled and at least two left to discover"
        )
    parts = [members[name] for name in class_names]
    classes = list(range(len(parts)))
    n_train = sum(map(len, parts))
    if is_split and len(splits) > 1:
        tested = _files_by_class(path / ("test" if "test" in splits else "val"), listed)
        known = [label for label in range(labelled_classes) if class_names[label] in tested]
        parts += [tested[class_names[label]] for label in known]
        classes += known
    listed.keep()
    files = Texts.joined(parts)
    return _split_classes(
        names=_names(files.begun_with(_below(files, path))),
        classes=np.repeat(classes, [len(part) for part in parts]),
        class_names=class_names,
        known=labelled_classes,
        items=_FILES[kind](files),
        source=printable(str(path)),
        held_out=np.arange(len(files)) >= n_train,
    )


def _files_by_class(folder: Path, listed: Listings) -> dict[str, Texts]:
    """Class folders' printable names and files, empty ones left out."""
    classes = class_folders(folder)
    return {
        printable(of_class.name): files
        for of_class, files in zip(classes, files_below(classes, listed))
        if files
    }


def _of_shards(
    shards: Shards, labelled_classes: int | None, kind: Kind
) -> tuple[Catalogue, Truth | None]:
    """The images or videos of shards, labelled where they have a label."""
    names, items = _names(shards.members.names), _FILES[kind](shards.members)
    class_names = shards.class_names
    if labelled_classes is None:
        whole = _catalogue(names, shards.labels, class_names, items, shards.source)
        return checked(replace(whole, warnings=shards.warnings)), None
    n_unlabelled = int((shards.labels == UNLABELLED).sum())
    if n_unlabelled or not 2 <= labelled_classes <= len(class_names) - 2:
        raise InputError(
            f"labelled_classes is {labelled_classes}, and {shards.source!r} has {len(names)} "
            f"{kind}, {n_unlabelled} of them without a label, of {len(class_names)} classes "
            f"({some(class_names)}); all must have one, at least two classes must be labelled and "
            "at least two left to discover"
        )
    catalogue, truth = _split_classes(
        names=names,
        classes=shards.labels,
        class_names=class_names,
        known=labelled_classes,
        items=items,
        source=shards.source,
    )
    return replace(catalogue, warnings=shards.warnings), truth


def _manifest(path: Path, labelled_classes: int | None, kind: Kind) -> Catalogue:
    shown = printable(str(path))
    if path.suffix.lower() not in (".csv", ".parquet"):
        hint = other_kind_in_words([path.name], kind)
        raise InputError(f"{shown!r} is neither a folder nor a table{hint}\n{LAYOUTS[kind]}")
    if labelled_classes is not None:
        raise InputError(
            f"{shown!r} says in its label column what is labelled; leave --labelled-classes out"
        )
    listed = read_manifest(path, spans=kind == "videos")
    items: Source = FileImages(listed.files)
    if kind == "videos":
        items = ClipFiles(listed.files, listed.start_seconds, listed.end_seconds)
    names = _names(listed.names)
    return checked(_catalogue(names, listed.labels, listed.class_names, items, shown))


def _listed_videos(
    name: str, csv: str | os.PathLike[str] | None, videos: str | os.PathLike[str] | None
) -> tuple[Catalogue, Truth]:
    """Kinetics-400 or VGG-Sound, as far as its videos are there."""
    if csv is None or videos is None:
        raise InputError(
            f"{name} is read from its published tables and a folder of videos; give --csv TABLES "
            f"and --videos DIR, or ./{name} for the folder of that name"
        )
    table, folder = _existing(csv, "videos"), _existing(videos, "videos")
    listed = read_protocol(PROTOCOLS[name], table, folder)
    catalogue, truth = _split_classes(
        names=_names(Texts(listed.names)),
        classes=listed.classes,
        class_names=listed.class_names,
        known=listed.known,
        items=ClipFiles(listed.files, listed.start_seconds, listed.end_seconds),
        source=printable(f"{name}: {table}, {folder}"),
        held_out=listed.held_out,
    )
    return checked(replace(catalogue, missing=listed.missing)), truth


def _cifar(name: str, root: Path, download: bool) -> tuple[Catalogue, Truth]:
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
    train_names = _row_names("train/", n_train)
    test_names = _row_names("test/", len(test.targets))[tested]
    return _split_classes(
        names=Texts(np.concatenate([train_names, test_names])),
        classes=np.concatenate([train.targets, np.array(test.targets)[tested]]).astype(np.int64),
        class_names=train.classes,
        known=known,
        items=ArrayImages(np.concatenate([train.data, test.data[tested]])),
        source=name,
        held_out=np.arange(n_train + len(tested)) >= n_train,
    )


def _split_classes(
    *,
    names: Texts,
    classes: NDArray[np.int64],
    class_names: Sequence[str],
    known: int,
    items: Source,
    source: str,
    held_out: NDArray[np.bool_] | None = None,
) -> tuple[Catalogue, Truth]:
    """A protocol: the first `known` classes are labelled, the others become the truth."""
    is_known = classes < known
    labels = np.where(is_known, classes, UNLABELLED)
    catalogue = _catalogue(names, labels, tuple(class_names[:known]), items, source)
    if held_out is not None:
        catalogue = replace(catalogue, held_out=held_out)
    return catalogue, Truth(classes[~is_known] - known, tuple(class_names[known:]))


def _catalogue(
    names: Texts,
    labels: NDArray[np.int64],
    class_names: tuple[str, ...],
    items: Source,
    source: str,
) -> Catalogue:
    """With nothing held out."""
    nothing = np.zeros(len(names), dtype=np.bool_)
    return Catalogue(names, labels, class_names, nothing, items, source)


def _check_kind(held: Kind, wanted: Kind) -> None:
    if held != wanted:
        raise InputError(f"the data are {held}, and the preset is of {wanted}; give one of {held}")


def _existing(path: str | os.PathLike[str], kind: Kind) -> Path:
    """The path; raises InputError, with a near name if there is one, if nothing is there."""
    if not os.fspath(path):  # which would be the current folder to Path
        raise InputError("the path is empty; give one, or . for the current folder")
    place = Path(path)
    shown = printable(str(place))
    try:
        if place.exists():
            return place
        neighbours = [entry.name for entry in place.parent.iterdir()]
    except FileNotFoundError:
        neighbours = []
    except OSError as error:
        raise InputError(
            f"{shown!r} cannot be opened ({error.strerror}); give a path that can be read"
        ) from error
    if re.match("[a-z0-9+]{2,}:/", shown):
        raise InputError(f"{shown!r} is an address, and of these only shards are read, as DATA")
    near = difflib.get_close_matches(place.name, [*sorted(neighbours), *BUILT_IN[kind]], n=1)
    cure = f"did you mean {printable(near[0])!r}?" if near else "see how it is spelt"
    raise InputError(f"{shown!r} does not exist; {cure}")


def _label_values(labels: ArrayLike | Sequence[Any]) -> list[Any]:
    """Labels as ints or strings, None = unlabelled. Raises InputError for any other type."""
    values = np.asarray(labels)
    if values.dtype.kind == "U":  # as numpy makes of a number among texts, too
        values = np.asarray(labels, dtype=object)
    values = values.astype(object)
    if values.ndim != 1:
        raise InputError(f"the labels have the shape {values.shape}; give one axis, (n,)")
    if all(isinstance(value, int) for value in values):
        odd = [value for value in values if value < UNLABELLED]
        is_label = [value != UNLABELLED for value in values]
    else:
        odd = [value for value in values if not (_is_text(value) or _is_missing(value))]
        is_label = [isinstance(value, str) and bool(value.strip()) for value in values]
    if odd:
        raise InputError(
            f"the labels hold {odd[0]!r}; give ints from 0 on with -1 for unlabelled, or strings "
            "with '' for unlabelled"
        )
    return [value if keep else None for value, keep in zip(values, is_label)]


def _is_text(value: Any) -> bool:
    """Whether it is text, and not what -1 becomes as text."""
    return isinstance(value, str) and value.strip() not in UNLABELLED_AS_TEXT


def _is_missing(value: Any) -> bool:
    """Whether it stands for no text: None, or what pandas makes of it."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def _numbered(values: Sequence[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(n,) int64 numbers of the labels in their order, -1 for None; and the classes' names."""
    known = sorted({value for value in values if value is not None})
    number_of = {value: number for number, value in enumerate(known)}
    numbers = [number_of.get(value, UNLABELLED) for value in values]
    texts = (str(value).encode("utf-8", "backslashreplace").decode() for value in known)
    return np.array(numbers, dtype=np.int64), tuple(texts)


def _names(paths: Texts) -> Texts:
    r"""Printable, unique names: one that spells out another's \xNN has its row added."""
    if paths.is_utf8 and paths.are_unique:
        return paths
    names = [printable(path) for path in paths]
    uses = Counter(names)
    unique = [name if uses[name] == 1 else f"{name} ({row})" for row, name in enumerate(names)]
    return _names(Texts(unique))


def _row_names(prefix: str, n: int) -> NDArray[np.str_]:
    width = len(str(n))
    return np.array([f"{prefix}{row:0{width}}" for row in range(n)], dtype=np.str_)


def _below(files: Texts, folder: Path, prefix: str = "") -> list[str]:
    """What begins the names of files below a folder, in place of what begins their paths."""
    above = beginning_of(str(folder))
    return [prefix + at.removeprefix(above).replace(os.sep, "/") for at in files.beginnings]
