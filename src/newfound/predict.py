"""What a finished run says of new files."""

import re
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from newfound.answer import one_answer
from newfound.config import Machine, VideoConfig, kind_of
from newfound.data.catalogue import files_in
from newfound.data.clips import ClipFiles
from newfound.data.images import FileImages
from newfound.data.reading import read_items
from newfound.data.source import printable
from newfound.device import choose_device, choose_workers, compute_threads
from newfound.errors import InputError
from newfound.inference import ask
from newfound.model_file import load_model
from newfound.progress import Progress
from newfound.run_folder import RunFolder
from newfound.tables import category_names


@dataclass(frozen=True)
class Prediction:
    """Answers for new files.

    table: one row per readable file: path, category, kind (known or novel), confidence (0..1),
    second, margin (0..1).  skipped: path and reason of the others.  files: (n,) full paths of
    the table's rows.
    """

    table: pd.DataFrame
    skipped: pd.DataFrame
    files: FileImages | ClipFiles


def predict(
    folder: RunFolder, data: str | Path, machine: Machine, progress: Progress
) -> Prediction:
    """The category, known or discovered, of one file or of every file below a folder.

    Raises InputError if there is nothing to read, RunFolderError if the run has not ended.
    """
    header, config = folder.read_config(), folder.config()
    known, novel = tuple(header["known"]), category_names(header["num_novel"])
    network, calibration = load_model(folder.model, config, len(known), len(novel))
    device = choose_device(machine.device)
    workers = choose_workers(machine.workers)
    kind = kind_of(config.preset)
    names, files = files_in(data, kind)

    if isinstance(config, VideoConfig):
        config = _to_predict_with(config)
    progress.stage(f"Reading {kind}", len(files))
    items, bad = read_items(files, config, workers, machine.cache, device, progress.follow)
    unreadable = np.array([b.index for b in bad], dtype=np.int64)
    rows = np.setdiff1d(np.arange(len(files)), unreadable)
    progress.stage("Predicting", len(rows))
    with compute_threads(machine.threads, config.width, config.px):
        answers = ask(
            network.to(device).channels_last(),
            items,
            np.arange(len(rows)),
            config=config,
            device=device,
            advance=progress.advance,
        )
    probabilities = one_answer(answers.features, answers.known, answers.novel, calibration)
    skipped = pd.DataFrame({"path": names[unreadable], "reason": [b.reason for b in bad]})
    table = _table(names[rows], probabilities, known, novel)
    return Prediction(table, skipped, files.subset(rows))


def _to_predict_with(config: VideoConfig) -> VideoConfig:
    """Without the places that only training sees; one bad file stops no others."""
    missing_audio = "zeros" if config.missing_audio == "zeros" else "skip"
    return config.model_copy(update={"places": config.clips, "missing_audio": missing_audio})


def check_unused(into: Path) -> None:
    """Raises InputError if `sort_files` could mix its files with others there."""
    if into.exists() and (not into.is_dir() or any(into.iterdir())):
        raise InputError(f"{into} is not empty; give a new folder to --copy-to")


def sort_files(prediction: Prediction, into: Path, how: Literal["copy", "link"]) -> None:
    """One folder per category below `into`, with a copy of, or a symbolic link to, each file.

    Raises InputError if they cannot be written.
    """
    answers = list(zip(prediction.table["kind"], prediction.table["category"]))
    folders = _folder_names(answers)
    for i, answer in enumerate(answers):
        source = Path(prediction.files.path(i)).absolute()
        target = _free_name(into / folders[answer] / source.name)
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if how == "link":
                target.symlink_to(source)
            else:
                shutil.copy2(source, target)
        except OSError as error:
            raise InputError(
                f"cannot write {printable(str(target))}: {error.strerror}; make room there, or "
                "give another folder to --copy-to"
            ) from error


def _table(
    names: np.ndarray, probabilities: np.ndarray, known: tuple[str, ...], novel: tuple[str, ...]
) -> pd.DataFrame:
    categories = np.array(known + novel, dtype=object)
    kinds = np.repeat(np.array(["known", "novel"], dtype=object), [len(known), len(novel)])
    second, best = np.argsort(probabilities, axis=1, kind="stable")[:, -2:].T
    rows = np.arange(len(names))
    confidence = probabilities[rows, best]
    return pd.DataFrame(
        {
            "path": names,
            "category": categories[best],
            "kind": kinds[best],
            "confidence": confidence,
            "second": categories[second],
            "margin": confidence - probabilities[rows, second],
        }
    )


def _folder_names(answers: Iterable[tuple[str, str]]) -> dict[tuple[str, str], str]:
    """A folder's name for each kind and category, no two the same.

    A label may hold anything, "../" too, and a known class may be called like a novel category.
    """
    names: dict[tuple[str, str], str] = {}
    for kind, category in sorted(set(answers)):
        name = re.sub(r"[/\\\0]", "_", category).strip(".") or "_"
        if name in names.values():
            name = f"{name} ({kind})"
        while name in names.values():
            name += "_"
        names[kind, category] = name
    return names


def _free_name(path: Path) -> Path:
    """The path, or with -2, -3, ... before its ending if files of one name meet."""
    candidate, count = path, 1
    while candidate.exists() or candidate.is_symlink():
        count += 1
        candidate = path.with_name(f"{path.stem}-{count}{path.suffix}")
    return candidate
