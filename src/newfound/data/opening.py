"""From what a user gives to a catalogue: folders, tables, shards, built-in sets, arrays."""

import operator
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from newfound.batch import UNLABELLED
from newfound.data.arrays import from_arrays
from newfound.data.built_in import cifar_catalogue, digits_catalogue, listed_videos
from newfound.data.catalogue import (
    Catalogue,
    Truth,
    checked,
    plain_catalogue,
    split_classes,
)
from newfound.data.endings import other_kind_in_words
from newfound.data.folders import class_folders, files_below, folders_in
from newfound.data.index import Listings
from newfound.data.kinds import FILES, items_of
from newfound.data.labels import numbered
from newfound.data.layouts import BUILT_IN, LAYOUTS
from newfound.data.manifest import read_manifest
from newfound.data.naming import names_below, unique_names
from newfound.data.paths import existing
from newfound.data.shard_names import are_shards
from newfound.data.shards import Shards, read_shards
from newfound.data.source import Kind, OnProgress
from newfound.data.tables import GivenTable, is_table
from newfound.data.texts import Texts
from newfound.data.words import printable, some
from newfound.errors import InputError

_HELD_OUT = ("test", "val", "valid", "validation")
"""Folders beside `train`, as benchmarks call them; the known classes of the first are held out."""


Data = (
    str
    | os.PathLike[str]
    | pd.DataFrame
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

    data: a path; a DataFrame with the columns of a manifest, whose paths are relative to the
    current folder; shards as `shard_names.shard_addresses` has them; a built-in name (a folder of
    that name is `./digits`); (pixels, labels) as for `from_arrays`; a catalogue, alone or as
    (catalogue, truth), which is returned here; or None with the folders `labelled` and
    `unlabelled`. See also `LAYOUTS`.
    labelled_classes: with a folder of class folders, or shards of items that all have labels, how
    many in name order are labelled; the rest become unlabelled and their truth is returned. Such
    a folder may also hold just
    `train` and `test`, `val`, `valid` or `validation`, each with the class folders: the known
    classes of the second, of several the first of these, are held out.
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
    _check_types(data, kind)
    if labelled_classes is not None:
        labelled_classes = whole_number(labelled_classes, "labelled_classes")
    is_listed = kind == "videos" and isinstance(data, str) and data in BUILT_IN["videos"]
    if (csv is not None or videos is not None) and not is_listed:
        raise InputError(
            "--csv and --videos go with kinetics400 and vggsound, as in: newfound discover videos "
            "kinetics400 --csv TABLES --videos DIR"
        )
    if labelled is not None or unlabelled is not None:
        return _from_pair(data, labelled, unlabelled, labelled_classes, kind), None
    if data is None:
        raise InputError(f"no data given\n{LAYOUTS[kind]}")
    if isinstance(data, str | os.PathLike) and data not in BUILT_IN[kind]:
        return _from_path(data, labelled_classes, kind, on_progress)
    if isinstance(data, pd.DataFrame):
        return _manifest(GivenTable(data), labelled_classes, kind), None
    if labelled_classes is not None:
        raise InputError(
            "labelled_classes goes with class folders or shards alone; leave it out here"
            + (f", or give ./{data} for the folder of that name" if isinstance(data, str) else "")
        )
    if is_listed:
        return listed_videos(str(data), csv, videos)
    if isinstance(data, Catalogue):
        data = (data, None)
    if isinstance(data, tuple):
        if len(data) != 2:
            raise InputError(f"the data are {len(data)} things; give two, (pixels, labels)")
        return _of_objects(data[0], data[1], kind)
    _check_kind("images", kind)
    return (
        digits_catalogue() if data == "digits" else cifar_catalogue(str(data), Path(root), download)
    )


def _check_types(data: Any, kind: Any) -> None:
    if not isinstance(data, str | os.PathLike | pd.DataFrame | Catalogue | tuple | None):
        raise InputError(
            f"the data are of the type {type(data).__name__}; give the path of a folder, a table "
            "or shards as text, a DataFrame of paths and labels, (pixels, labels), or a catalogue"
        )
    if kind not in FILES:
        raise InputError(f"the kind is {kind!r}; give {' or '.join(map(repr, FILES))}")


def whole_number(value: Any, name: str) -> int:
    """Raises InputError for what is none."""
    try:
        return operator.index(value)
    except TypeError:
        raise InputError(f"{name} is {value!r}; give a whole number, as {name}=5") from None


def _from_pair(
    data: Any,
    labelled: str | os.PathLike[str] | None,
    unlabelled: str | os.PathLike[str] | None,
    labelled_classes: int | None,
    kind: Kind,
) -> Catalogue:
    """What --labelled and --unlabelled lead to."""
    if data is not None or labelled is None or unlabelled is None:
        raise InputError(
            "--labelled and --unlabelled go together and replace DATA; give both folders, "
            "or DATA alone"
        )
    if labelled_classes is not None:
        raise InputError("--labelled already says what is labelled; leave --labelled-classes out")
    source = printable(f"{labelled} and {unlabelled}")
    return checked(_two_folders(existing(labelled, kind), existing(unlabelled, kind), source, kind))


def _from_path(
    data: str | os.PathLike[str],
    labelled_classes: int | None,
    kind: Kind,
    on_progress: OnProgress | None,
) -> tuple[Catalogue, Truth | None]:
    if are_shards(data):
        return _of_shards(read_shards(data, kind, on_progress), labelled_classes, kind)
    path = existing(data, kind)
    shown = printable(str(path))
    if not path.is_dir():
        if not is_table(path):
            hint = other_kind_in_words([path.name], kind)
            raise InputError(f"{shown!r} is neither a folder nor a table{hint}\n{LAYOUTS[kind]}")
        return _manifest(GivenTable(path), labelled_classes, kind), None
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
        catalogue = from_arrays(content, about)
        _check_kind("images", kind)
        return catalogue, None
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
    folders = class_folders(labelled, kind)
    listed = Listings(labelled, unlabelled)
    *members, heap = files_below([*folders, unlabelled], listed)
    listed.keep()
    known = Texts.joined(members)
    files = Texts.joined([known, heap])
    below = [
        *names_below(known, labelled, "labelled/"),
        *names_below(heap, unlabelled, "unlabelled/"),
    ]
    classes = [printable(folder.name) for folder, of_class in zip(folders, members) if of_class]
    numbers, class_names = numbered(classes)
    counts = [len(of_class) for of_class in members if of_class]
    labels = np.repeat([*numbers, UNLABELLED], [*counts, len(heap)])
    names = unique_names(files.begun_with(below))
    catalogue = plain_catalogue(names, labels, class_names, FILES[kind](files), source)
    empty = [printable(folder.name) for folder, of_class in zip(folders, members) if not of_class]
    told = f"no {kind} lie in these class folders, which are left out: {some(empty)}"
    return replace(catalogue, warnings=(told,)) if empty else catalogue


def open_split(path: Path, labelled_classes: int, kind: Kind) -> tuple[Catalogue, Truth]:
    """train/<class>/**, the known classes of one of `_HELD_OUT` held out, whatever lies beside.

    labelled_classes: as for `open_catalogue`, which takes a folder for split only if nothing else
    lies in it. Raises InputError as it does.
    """
    held_out = [path / name for name in _HELD_OUT if (path / name).is_dir()]
    catalogue, truth = _of_classes(path, path / "train", held_out[:1], labelled_classes, kind)
    if not held_out[1:]:
        return catalogue, truth
    beside = some([f"{folder.name}/" for folder in held_out[1:]])
    told = f"the known classes are held out by {held_out[0].name}/; left out: {beside}"
    return replace(catalogue, warnings=(*catalogue.warnings, told)), truth


def _class_folders(path: Path, labelled_classes: int, kind: Kind) -> tuple[Catalogue, Truth]:
    """<class>/**, or split."""
    splits = {folder.name for folder in folders_in(path)}
    if "train" in splits and splits <= {"train", *_HELD_OUT}:
        return open_split(path, labelled_classes, kind)
    return _of_classes(path, path, [], labelled_classes, kind)


def _of_classes(
    path: Path, train: Path, held_out: list[Path], labelled_classes: int, kind: Kind
) -> tuple[Catalogue, Truth]:
    """The class folders of `train`, and the known ones of what is held out; all lie in `path`."""
    listed = Listings(path)
    members = _files_by_class(train, listed, kind)
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
    for folder in held_out:
        tested = _files_by_class(folder, listed, kind)
        known = [label for label in range(labelled_classes) if class_names[label] in tested]
        parts += [tested[class_names[label]] for label in known]
        classes += known
    listed.keep()
    files = Texts.joined(parts)
    return split_classes(
        names=unique_names(files.begun_with(names_below(files, path))),
        classes=np.repeat(classes, [len(part) for part in parts]),
        class_names=class_names,
        known=labelled_classes,
        items=FILES[kind](files),
        source=printable(str(path)),
        held_out=np.arange(len(files)) >= n_train,
    )


def _files_by_class(folder: Path, listed: Listings, kind: Kind) -> dict[str, Texts]:
    """Class folders' printable names and files, empty ones left out."""
    classes = class_folders(folder, kind)
    return {
        printable(of_class.name): files
        for of_class, files in zip(classes, files_below(classes, listed))
        if files
    }


def _of_shards(
    shards: Shards, labelled_classes: int | None, kind: Kind
) -> tuple[Catalogue, Truth | None]:
    """The images or videos of shards, labelled where they have a label."""
    names, items = unique_names(shards.members.names), FILES[kind](shards.members)
    class_names = shards.class_names
    if labelled_classes is None:
        _check_some_have_labels(shards, kind)
        whole = plain_catalogue(names, shards.labels, class_names, items, shards.source)
        return checked(replace(whole, warnings=shards.warnings + shards.label_warnings)), None
    n_unlabelled = int((shards.labels == UNLABELLED).sum())
    if n_unlabelled or not 2 <= labelled_classes <= len(class_names) - 2:
        raise InputError(
            f"labelled_classes is {labelled_classes}, and {shards.source!r} has {len(names)} "
            f"{kind}, {n_unlabelled} of them without a label, of {len(class_names)} classes "
            f"({some(class_names)}); all must have one, at least two classes must be labelled and "
            f"at least two left to discover{_warned(shards)}"
        )
    catalogue, truth = split_classes(
        names=names,
        classes=shards.labels,
        class_names=class_names,
        known=labelled_classes,
        items=items,
        source=shards.source,
    )
    return replace(catalogue, warnings=shards.warnings), truth


def _check_some_have_labels(shards: Shards, kind: Kind) -> None:
    """Raise InputError if all samples have a label or none, with what labels are by in shards."""
    if not shards.class_names:
        raise InputError(
            f'{shards.source!r} has no labels: that of a sample is its .cls, or "label" in its '
            f".json{_warned(shards)}"
        )
    if (shards.labels != UNLABELLED).all():
        raise InputError(
            f"{shards.source!r} has no unlabelled {kind}, so there is nothing to discover: all are "
            f"labelled {some(shards.class_names)}; leave out the labels of those to sort, or say "
            "with --labelled-classes N how many of the classes are known, to be told how well the "
            f"others are found{_warned(shards)}"
        )


def _warned(shards: Shards) -> str:
    """Its warnings, to end an error with."""
    return "".join(f"; {text}" for text in shards.warnings + shards.label_warnings)


def _manifest(table: GivenTable, labelled_classes: int | None, kind: Kind) -> Catalogue:
    if labelled_classes is not None:
        raise InputError(
            f"{table.shown} says in its label column what is labelled; leave --labelled-classes out"
        )
    listed = read_manifest(table, spans=kind == "videos")
    items = items_of(listed, kind)
    names = unique_names(listed.names)
    return checked(plain_catalogue(names, listed.labels, listed.class_names, items, table.name))


def _check_kind(held: Kind, wanted: Kind) -> None:
    if held != wanted:
        raise InputError(f"the data are {held}, and the preset is of {wanted}; give one of {held}")
