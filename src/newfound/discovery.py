"""The main job as one call, and what it found as one object."""

import os
import shutil
import tempfile
import warnings
import weakref
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from newfound.batch import UNLABELLED_AS_TEXT
from newfound.config import Runtime
from newfound.data.catalogue import Catalogue
from newfound.data.clips import ClipFiles
from newfound.data.images import all_grey, image_sides
from newfound.data.new_items import NewData
from newfound.data.opening import Data, open_catalogue, whole_number
from newfound.disk.embedding import read_embedding
from newfound.disk.out_place import check_apart_from_data
from newfound.disk.outputs import read_categories, read_item_table
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError, RunFolderError, Stopped
from newfound.job import Job
from newfound.machine.distributed import is_writer
from newfound.machine.surroundings import plain_surroundings
from newfound.machine.torchrun import started
from newfound.models.weights import read_weights
from newfound.predict import predict, reasons_in_words
from newfound.presets import kind_of
from newfound.progress import Progress
from newfound.report.page import write_report
from newfound.results.evaluate import assessment
from newfound.results.tables import category_names
from newfound.run import run
from newfound.settings import make_config, make_machine

SMALL_IMAGE_PX = 64
"""Up to this side images are small: see `choose_preset`."""


class Discovery:
    """A finished run: what was found in the unlabelled items, which are rows of every array."""

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder  # by its full path: the current folder may change under a Discovery
        header = folder.read_config()
        self.categories_: tuple[str, ...] = category_names(header["num_novel"])
        self.result_: dict[str, Any] = folder.result()
        # Of those in config.json some may have been left out; runs of older versions do not tell.
        self.known_: tuple[str, ...] = tuple(self.result_.get("known_names", header["known"]))
        self._items = read_item_table(folder)
        self._ended_at = folder.ended_at()

    def table(self) -> pd.DataFrame:
        """One row per unlabelled item: path, category, confidence, second, margin, x, y, ...

        Rows are numbered from 0; to put them beside rows of your own, merge by the path.
        """
        return self._items.copy()

    def categories(self) -> pd.DataFrame:
        """One row per category: category, size, mean_confidence, typical and doubtful members.

        The last two are lists of paths.
        """
        return read_categories(self._same_folder())

    @property
    def labels_(self) -> np.ndarray:
        """(n,) int64: the category of each unlabelled item, a position in `categories_`."""
        codes = pd.Categorical(self._items["category"], categories=self.categories_).codes
        return codes.astype(np.int64)

    @property
    def probabilities_(self) -> np.ndarray:
        """(n, C_u) float64: phi_u of each unlabelled item, columns as in `categories_`."""
        return self._array("probabilities")

    @property
    def embedding_(self) -> np.ndarray:
        """(n, d) float32: the shared representation z-bar of each unlabelled item."""
        return self._array("features")

    @plain_surroundings()
    def predict(self, data: NewData, **machine: Any) -> pd.DataFrame:
        """Known and discovered categories of new items; a warning tells of those left out.

        The columns are path, of a table with parts of files start_seconds and end_seconds,
        category, kind (known or novel), confidence (0..1), second (the next best category) and
        margin (0..1, how far it is behind). Rows are in the order of what is given, with its own
        index where that is a DataFrame or a Series; what cannot be used has no row.

        data: a file, a folder, or shards as for `newfound.open_catalogue`; a table, in a file or as
        a DataFrame, with the column path, and of videos start_seconds and end_seconds if need be; a
        list or another column of paths; or images in memory, uint8, (n, h, w) grey or (n, h, w, 3)
        RGB, whose path is their number as text.  machine: device, threads and workers, as in
        `newfound.Runtime`.
        Raises InputError for anything else.
        """
        with Progress(quiet=True) as progress:
            prediction = predict(self._same_folder(), data, make_machine(**machine), progress)
        skipped = prediction.skipped
        if len(skipped):
            n = len(skipped) + len(prediction.table)
            told = f"{len(skipped)} of {n} are left out: {reasons_in_words(skipped)}"
            warnings.warn(told, stacklevel=3)  # of who called, beyond the decorator
        return prediction.table

    def evaluate(self, truth: Mapping[str, str], *, partial: bool = False) -> dict[str, Any]:
        """ACC, NMI, ARI, per category, against true class names by the table's paths.

        partial: whether the truth may be of some of the items, which alone are scored then.
        Raises InputError if not every item's truth is given; None, NaN, a blank and -1 are none.
        """
        if not isinstance(truth, Mapping):
            raise InputError(
                f"the truth is given as {type(truth).__name__}; give a dict of path -> class, as "
                "dict(zip(table['path'], table['label'])) makes it of a DataFrame"
            )
        paths = self._items["path"]
        has_class = np.array([not _is_no_class(truth.get(path)) for path in paths], dtype=bool)
        missing = paths[~has_class]
        if len(missing) and not any(path in truth for path in paths):
            theirs = next(map(repr, truth), "nothing")
            raise InputError(
                f"the truth is of {theirs}, ... and the items are {missing.iloc[0]!r}, ...; give "
                "their paths as items.csv has them, and a class for each"
            )
        if len(missing) and not (partial and has_class.any()):
            raise InputError(
                f"the truth lacks {len(missing)} of {len(paths)} items, first "
                f"{missing.iloc[0]!r}; give path and label for every row of items.csv, or score "
                "those that have one by --partial, in Python partial=True"
            )
        names = [str(truth[path]) for path in paths[has_class]]
        classes = tuple(sorted(set(names)))
        number = {name: position for position, name in enumerate(classes)}
        numbers = np.array([number[name] for name in names])
        return assessment(numbers, self.labels_[has_class], classes, self.categories_)

    def report(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the page anew, to `path` if given. Returns where it is.

        Raises InputError if `path` lies in no folder.
        """
        to = None if path is None else _path(path, "the page to write")
        if to is not None and not to.parent.is_dir():
            raise InputError(f"{to.parent} is no folder; give one that is there")
        return write_report(self._same_folder().path, to)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Copy the run folder to a new place.

        Raises InputError if something is there, or within the folder itself.
        """
        place = _path(path, "the place to save to")
        if place.exists():
            raise InputError(f"{path} is there already; save to a new folder")
        if place.resolve().is_relative_to(self.folder.path.resolve()):
            raise InputError(f"{path} lies in the run's own folder; save to one outside of it")
        shutil.copytree(self._same_folder().path, path, ignore=shutil.ignore_patterns(".lock"))

    def __repr__(self) -> str:
        sizes = self._items["category"].value_counts().reindex(self.categories_, fill_value=0)
        found = ", ".join(f"{name}: {size}" for name, size in sizes.items())
        return f"Discovery({len(self._items)} items; {found})"

    def _array(self, name: str) -> np.ndarray:
        return read_embedding(self._same_folder().embedding, name, len(self._items))

    def _same_folder(self) -> RunFolder:
        """The run's folder. Raises RunFolderError if another run has ended there since."""
        if self.folder.ended_at() not in (None, self._ended_at):  # what is gone is told elsewhere
            raise RunFolderError(
                f"{self.folder.path} has another result than this one; newfound.load reads it"
            )
        return self.folder


def load(run: str | os.PathLike[str]) -> Discovery:
    """A finished run from its folder; runs no code from it.

    Raises RunFolderError if there is none, it has not ended, is damaged or too new, and InputError
    for what is no path.
    """
    return Discovery(RunFolder(_path(run, "a run").absolute()))


@plain_surroundings()
def discover(
    data: Data | None = None,
    *,
    num_novel: int,
    out: str | os.PathLike[str] | None = None,
    preset: str = "auto",
    labelled: str | os.PathLike[str] | None = None,
    unlabelled: str | os.PathLike[str] | None = None,
    labelled_classes: int | None = None,
    download: bool = False,
    csv: str | os.PathLike[str] | None = None,
    videos: str | os.PathLike[str] | None = None,
    weights: str | os.PathLike[str] | None = None,
    compare_labelled_only: bool = False,
    quiet: bool = False,
    runtime: Runtime | None = None,
    **settings: Any,
) -> Discovery:
    """Train on labelled and unlabelled items together, and sort the unlabelled ones.

    data: see `newfound.open_catalogue`, as are labelled, unlabelled, labelled_classes, download,
    csv and videos.
    num_novel: C_u, the number of categories to discover.
    out: the run folder; the same call continues it. None: a temporary one, gone with the result
    unless that is saved.
    preset: a name in `newfound.PRESETS`, or `auto` to choose by the images. A preset of videos,
    `videos` or `quick-videos`, says that the data are videos.
    weights: what the network starts from in place of random values, a run or a file as for
    `newfound.models.weights.read_weights`.
    compare_labelled_only: also train on labels alone, for the k-means baseline on its features.
    runtime: a `newfound.Runtime`; that class itself, like `newfound.Config`, raises pydantic's
    ValidationError, a ValueError, for a value out of its range.
    settings: fields of `newfound.Config` that replace the preset's; None is a value, too. All of
    a config's are given by `**config.model_dump()`, as of a changed copy of a preset.

    Whatever torch and numpy are set to outside (`no_grad`, a default dtype or device, autocast, the
    precision of products, errors of numpy), within they are as in a fresh process.

    In a script of torchrun a process that gets an error ends best by `os._exit`: what Python does
    at its end may wait for the others.

    Raises InputError for what cannot be used, Stopped when the user interrupts.
    """
    num_novel = whole_number(num_novel, "num_novel")
    _check_runtime(runtime)
    place = None if out is None else _path(out, "out").absolute()
    if place is not None:
        check_apart_from_data(place, data, labelled, unlabelled)
    quiet = quiet or not is_writer()
    with Progress(quiet=quiet) as progress:
        catalogue, truth = open_catalogue(
            data,
            labelled=labelled,
            unlabelled=unlabelled,
            labelled_classes=labelled_classes,
            download=download,
            kind="images" if preset == "auto" else kind_of(preset),
            csv=csv,
            videos=videos,
            on_progress=progress.new_shards,
        )
    config = make_config(choose_preset(catalogue) if preset == "auto" else preset, **settings)
    folder = _temporary_folder() if place is None else RunFolder(place)
    speed = runtime or Runtime()
    start = None if weights is None else read_weights(_path(weights, "weights"))
    job = Job(folder, catalogue, truth, num_novel, config, speed, compare_labelled_only, start)
    try:
        with Progress(quiet=quiet) as progress:
            run(job, progress)
            found = Discovery(folder)
            for warning in found.result_["warnings"]:
                progress.message(f"warning: {warning}")
    except Stopped:
        if place is not None:
            raise
        raise Stopped("stopped; without `out`, nothing of the run is kept") from None
    return found


def choose_preset(catalogue: Catalogue) -> str:
    """`digits` for small grey images, `small-images` for small coloured ones, else `images`.

    A look at some of the images decides. Raises InputError if none can be read.
    """
    images = catalogue.items
    assert not isinstance(images, ClipFiles), "chosen by the images is a preset of images"
    if image_sides(images) > SMALL_IMAGE_PX:
        return "images"
    return "digits" if all_grey(images) else "small-images"


def _temporary_folder() -> RunFolder:
    """One that is removed with the object, which a `Discovery` holds."""
    if started() > 1:
        raise InputError(f"{started()} processes work on one run folder; give out")
    folder = RunFolder(Path(tempfile.mkdtemp(prefix="newfound-")))
    weakref.finalize(folder, shutil.rmtree, folder.path, ignore_errors=True)
    return folder


def _check_runtime(runtime: Any) -> None:
    if not isinstance(runtime, Runtime | None):
        raise InputError(
            f"runtime is given as {type(runtime).__name__}; give a newfound.Runtime, as "
            "newfound.Runtime(workers=0)"
        )


def _path(place: Any, what: str) -> Path:
    """Raises InputError for what is no path."""
    if not isinstance(place, str | os.PathLike):
        raise InputError(
            f"{what} is given as {type(place).__name__}; give its path, a text or a pathlib.Path"
        )
    return Path(place)


def _is_no_class(label: Any) -> bool:
    """Whether a label is what stands for none, in a DataFrame, a table or an array."""
    if not pd.api.types.is_scalar(label):
        return False
    return bool(pd.isna(label)) or str(label).strip() in ("", *UNLABELLED_AS_TEXT)
