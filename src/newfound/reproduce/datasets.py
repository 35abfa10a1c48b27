"""The data sets of the tables: how each is opened, and with which settings each method is run.

Full scale are the paper's settings and, for a baseline, those its authors' code runs with; small
scale is the same on fewer and smaller items, with a narrower network and fewer epochs, so that two
cores can do a table in an hour or so. Both go one way: a scale is data.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from newfound.config import Config, Method, VideoConfig
from newfound.data.source import Kind
from newfound.discovery import choose_preset
from newfound.errors import InputError
from newfound.reproduce.protocols import (
    Opened,
    few_of_each,
    omniglot_alphabets,
    open_cifar,
    open_class_folders,
    open_imagenet,
    open_listed_videos,
    open_omniglot,
    open_split_folders,
    open_svhn,
)
from newfound.reproduce.rows import ScaleName
from newfound.settings import make_config

OfMethods = Mapping[Method, Mapping[str, Any]]


@dataclass(frozen=True)
class Scale:
    """How large runs are: a preset, what all methods change of it, and what one of them does.

    per_class: at most so many items of each class are kept.  parts: so many of the data set's
    parts are run; None: all.
    """

    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    of_method: OfMethods = field(default_factory=dict)
    per_class: int | None = None
    parts: int | None = None


@dataclass(frozen=True)
class DataSet:
    """A data set by its protocol.

    classes: labelled / novel, in words.  layout: what is looked for in DATA, in words.
    open: (DATA, part) -> what is there, the whole of it.  parts: DATA -> its problems by name, each
    with a run of its own, whose mean is the figure.  stands_for: whose order of methods the paper
    has to compare with, where the set is not in the paper itself.  all_folders: whether each folder
    in DATA is a class.
    """

    name: str
    kind: Kind
    classes: str
    layout: str
    open: Callable[[Path, str], Opened]
    full: Scale
    small: Scale
    parts: Callable[[Path], tuple[str, ...]] = lambda _: ("",)
    stands_for: str = ""
    all_folders: bool = False

    def scale(self, name: ScaleName) -> Scale:
        """Full or small."""
        return self.full if name == "full" else self.small

    def problems(self, data: Path, scale: ScaleName) -> tuple[str, ...]:
        """The names of the parts that are run at this scale."""
        return self.parts(self.place(data))[: self.scale(scale).parts]

    def opened(self, data: Path, scale: ScaleName, part: str) -> Opened:
        """What is run at this scale of DATA, or of the folder in it that is named after the set."""
        catalogue, truth = self.open(self.place(data), part)
        per_class = self.scale(scale).per_class
        return few_of_each(catalogue, truth, per_class) if per_class else (catalogue, truth)

    def config(self, scale: ScaleName, settings: Mapping[str, Any], seed: int = 0) -> Config:
        """The settings of a row at this scale; the row's own stand above all others.

        The novel head does not settle after training, at any scale: the paper's does not.

        Raises InputError, as for settings that videos alone have.
        """
        size = self.scale(scale)
        of_method = size.of_method.get(settings.get("method", "ours"), {})
        config = make_config(
            size.preset,
            **{"settle_steps": 0, **size.settings, **of_method, **settings, "seed": seed},
        )
        return config.model_copy(update={"pretraining": config.first_stage})

    def place(self, data: Path) -> Path:
        """DATA, or the folder in it that is named after the set."""
        return data / self.name if (data / self.name).is_dir() else data


def shrink_in_words(data_set: DataSet) -> str:
    """What small scale is on a data set."""
    scale, config = data_set.small, data_set.config("small", {})
    parts = f"{scale.parts} of its problems, " if scale.parts else ""
    frames = f", {config.clip_frames} frames" if isinstance(config, VideoConfig) else ""
    return (
        f"{parts}{scale.per_class} {data_set.kind} of each class, {config.px} px{frames}, width "
        f"{config.width} of 64, {config.epochs} epochs, batch {config.batch}"
    )


# Where the authors' code of a baseline differs from `METHOD_SETTINGS`, which are CIFAR-10's.
_CIFAR100_METHODS: OfMethods = {
    "dtc": {
        "own_drops": (0.2, 0.4, 0.6, 0.8),
        "own_drop_factor": 0.5,
        "own_weight_decay": 1e-5,
    },
    "rs": {"consistency_weight": 50.0, "ramp_length": 0.75},
    "rs-ll": {"consistency_weight": 25.0, "ramp_length": 0.75},
}
_SVHN_METHODS: OfMethods = {
    "rs": {"consistency_weight": 50.0, "ramp_length": 0.4},
    "rs-ll": {"consistency_weight": 50.0, "ramp_length": 0.4},
}
_IMAGENET_RS = {
    "pretraining": "labels",
    "consistency_weight": 10.0,
    "ramp_length": 50 / 90,
    "own_drops": (1 / 3, 2 / 3),
}
_IMAGENET_METHODS: OfMethods = {
    "dtc": {"consistency_weight": 100.0, "ramp_length": 5 / 60, "own_weight_decay": 1e-5},
    "rs": _IMAGENET_RS,
    "rs-ll": _IMAGENET_RS,
}

# Batches and epochs of the authors' code, which small scale does not follow.
_CIFAR_SIZES: OfMethods = {
    "dtc": {"own_batch": 128},
    "rs": {"own_batch": 128},
    "rs-ll": {"own_batch": 128},
}
_CIFAR100_SIZES = {**_CIFAR_SIZES, "rs-ll": {"own_batch": 256, "own_epochs": 400}}
_IMAGENET_SIZES: OfMethods = {
    "dtc": {"own_batch": 128, "own_epochs": 120},
    "rs": {"own_batch": 512, "own_epochs": 90},
    "rs-ll": {"own_batch": 512, "own_epochs": 90},
}


def _and(settings: OfMethods, sizes: OfMethods) -> OfMethods:
    methods = settings.keys() | sizes.keys()
    return {method: {**settings.get(method, {}), **sizes.get(method, {})} for method in methods}


# A narrow network on 16 px takes 970 images a second on one thread: the two following are some 90 s
# of training for ours, and a baseline of several stages takes up to three times as long.
_SMALL = {"own_batch": 64}
_SMALL_CIFAR10 = {**_SMALL, "px": 16, "width": 16, "batch": 64, "epochs": 30, "warmup_epochs": 1}
_SMALL_CIFAR100 = {**_SMALL_CIFAR10, "epochs": 18}


def _cifar100(name: str, known: int) -> DataSet:
    return DataSet(
        name,
        "images",
        f"{known} / {100 - known}",
        "train/<class>/ and test/<class>/, or torchvision's cifar-100-python/",
        lambda place, _: open_cifar(place, "cifar100", known),
        Scale("small-images", {}, _and(_CIFAR100_METHODS, _CIFAR100_SIZES)),
        Scale("quick", _SMALL_CIFAR100, _CIFAR100_METHODS, per_class=50),
    )


def _listed_videos(name: str, classes: str) -> DataSet:
    return DataSet(
        name,
        "videos",
        classes,
        "annotations/ with the published tables, and videos/",
        lambda place, _: open_listed_videos(place, name),
        Scale("videos"),
        Scale("quick-videos", {"epochs": 10, "warmup_epochs": 1, "own_batch": 32}, per_class=10),
    )


DATA_SETS: dict[str, DataSet] = {
    data_set.name: data_set
    for data_set in (
        DataSet(
            "cifar10",
            "images",
            "5 / 5",
            "train/<class>/ and test/<class>/, or torchvision's cifar-10-batches-py/",
            lambda place, _: open_cifar(place, "cifar10", 5),
            Scale("small-images", {}, _CIFAR_SIZES),
            Scale("quick", _SMALL_CIFAR10, per_class=300),
        ),
        _cifar100("cifar100", 80),
        _cifar100("cifar100-50", 50),
        DataSet(
            "tiny100",
            "images",
            "80 / 20",
            "train/<class>/ and val/<class>/ of 100 classes of Tiny-ImageNet",
            lambda place, _: open_split_folders(place, 80, 20),
            Scale("small-images", {}, _and(_CIFAR100_METHODS, _CIFAR100_SIZES)),
            Scale("quick", _SMALL_CIFAR100, _CIFAR100_METHODS, per_class=50),
            stands_for="cifar100",
        ),
        # Novel images are rare, so a quarter of each batch is of them, as in RS's code.
        DataSet(
            "imagenet",
            "images",
            "882 / 30, splits A, B and C",
            "train/<wnid>/ and val/<wnid>/ of ILSVRC-2012",
            open_imagenet,
            Scale("images", {"unlabelled_share": 0.25}, _and(_IMAGENET_METHODS, _IMAGENET_SIZES)),
            Scale(
                "quick",
                {**_SMALL_CIFAR10, "px": 32, "epochs": 10, "unlabelled_share": 0.25},
                _IMAGENET_METHODS,
                per_class=10,
                parts=1,
            ),
            parts=lambda _: ("A", "B", "C"),
        ),
        _listed_videos("kinetics400", "350 / 50"),
        _listed_videos("vggsound", "270 / 39"),
        DataSet(
            "svhn",
            "images",
            "5 / 5",
            "train_32x32.mat and test_32x32.mat, as torchvision fetches them",
            lambda place, _: open_svhn(place),
            Scale("small-images", {"flip": 0.0}, _and(_SVHN_METHODS, _CIFAR_SIZES)),
            Scale("quick", {**_SMALL_CIFAR10, "flip": 0.0}, _SVHN_METHODS, per_class=300),
        ),
        # Nobody published settings: the digits' views, and CIFAR-10's for the rest.
        DataSet(
            "omniglot",
            "images",
            "964 / one of 20 alphabets, in turn",
            "images_background/ and images_evaluation/, there or in torchvision's omniglot-py/",
            open_omniglot,
            Scale(
                "digits",
                {"px": 32, "width": 64, "mu": 240, "epochs": 200, "batch": 256}
                | {"schedule": "step", "warmup_epochs": 0, "unlabelled_share": 0.25},
                _CIFAR_SIZES,
            ),
            Scale(
                "digits",
                {**_SMALL, "epochs": 10, "warmup_epochs": 1, "unlabelled_share": 0.25},
                per_class=10,
                parts=2,
            ),
            parts=omniglot_alphabets,
        ),
        # Grey and never flipped, as was chosen on known digits (docs/LOG.md). NCE-I across the
        # modalities leaves chance after some 500 steps, so fewer epochs would measure nothing.
        DataSet(
            "avdigits",
            "videos",
            "5 / 5",
            "<digit>/ folders of videos, as newfound make-av-digits writes them",
            lambda place, _: open_class_folders(place, 5, 5, "videos"),
            Scale("videos", {"batch": 64}),
            Scale(
                "quick-videos",
                {"flip": 0.0, "grey": 1.0, "epochs": 40, "own_batch": 32},
                per_class=100,
            ),
            stands_for="kinetics400",
            all_folders=True,
        ),
    )
}
"""By name; `folder` is made by `folder_data_set`."""

SMALL_FOLDER = {**_SMALL, "width": 16, "batch": 64, "epochs": 30, "warmup_epochs": 1}


def folder_data_set(data: Path, labelled_classes: int) -> DataSet:
    """Any folder of class folders of images; its preset is chosen by them. Raises InputError."""
    opened = open_class_folders(data, labelled_classes)
    preset = choose_preset(opened[0])
    novel = len(opened[1].class_names)
    small = "digits" if preset == "digits" else "quick"
    return DataSet(
        "folder",
        "images",
        f"{labelled_classes} / {novel}",
        "<class>/ folders of images",
        lambda _data, _part: opened,
        Scale(preset),
        Scale(small, {**SMALL_FOLDER, "px": 16 if small == "digits" else 32}, per_class=300),
        all_folders=True,
    )


def find_data_set(name: str, data: Path, labelled_classes: int | None) -> DataSet:
    """A data set by its name. Raises InputError that lists what there is."""
    if name == "folder":
        if labelled_classes is None:
            raise InputError(
                "the data set folder is any folder of class folders; say with --labelled-classes N "
                "how many, in name order, are labelled"
            )
        return folder_data_set(data, labelled_classes)
    if labelled_classes is not None:
        raise InputError(f"--labelled-classes goes with --dataset folder; {name} has its own")
    if name not in DATA_SETS:
        raise InputError(f"no data set is named {name!r}; there are {', '.join(DATA_SETS)}, folder")
    return DATA_SETS[name]
