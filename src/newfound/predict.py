"""What a finished run says of new files."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from newfound.config import Machine
from newfound.data.catalogue import Source
from newfound.data.new_items import NewData, open_new_items
from newfound.data.one_pass import OnePass
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError
from newfound.machine.cores import choose_workers, compute_threads
from newfound.machine.device import choose_device, float32_as_such
from newfound.machine.memory import lack_of_memory_in_words
from newfound.presets import kind_of
from newfound.progress import Progress
from newfound.results.answer import Calibration, one_answer
from newfound.results.inference import Answers, answers_to
from newfound.results.model_file import load_model
from newfound.results.tables import category_names
from newfound.results.two_best import TwoBest


@dataclass(frozen=True)
class Prediction:
    """Answers for new items.

    table: one row per readable item: path, of parts of files start_seconds and end_seconds,
    category, kind (known or novel), confidence (0..1), second, margin (0..1). Its index is that
    of a DataFrame or a Series, of a list the positions in it, else 0, 1, ...  skipped: path, with
    the seconds of a part, and reason of the others.  items: (n,) what is in the table's rows.
    """

    table: pd.DataFrame
    skipped: pd.DataFrame
    items: Source


def predict(
    folder: RunFolder,
    data: NewData,
    machine: Machine,
    progress: Progress,
) -> Prediction:
    """The category, known or discovered, of new items.

    data: see `open_new_items`.
    Raises InputError if there is nothing to read or nothing that can be read, RunFolderError if the
    network of the run is not there yet, or damaged.
    """
    header, config = folder.read_config(), folder.config()
    novel = category_names(header["num_novel"])
    network, calibration, known = load_model(folder.model, config, header["known"], len(novel))
    device = choose_device(machine.device)
    workers = choose_workers(machine.workers)
    kind = kind_of(config.preset)
    items = open_new_items(
        data, kind, progress.new_shards, lambda text: progress.message(f"warning: {text}")
    )

    n = len(items.contents)
    progress.stage("Predicting", n)
    pin = device.type == "cuda"
    one_pass = OnePass(items.contents, config, workers, pin, progress.follow)
    network.to(device).channels_last()
    with (
        lack_of_memory_in_words("give --device cpu, or end what else works on this one"),
        compute_threads(machine.threads, config.width, config.px),
        float32_as_such(config.precision),
    ):
        answers = answers_to(one_pass, network, one_pass.clips, config, device)
        two_best = TwoBest.joined(_two_best(part, calibration) for part in answers)
    unreadable = np.array([skipped.index for skipped in one_pass.skipped], dtype=np.int64)
    reasons = [skipped.reason for skipped in one_pass.skipped]
    rows = np.setdiff1d(np.arange(n), unreadable)
    left_out = pd.DataFrame({"path": items.names(unreadable), "reason": reasons})
    if not len(rows):
        raise InputError(
            f"none of {n} {kind} can be read: {reasons_in_words(left_out)}; give {kind}, as the "
            "run was trained on"
        )
    table = items.called(rows).assign(**_answers(two_best, known, novel))
    contents = items.contents.subset(rows) if len(unreadable) else items.contents
    return Prediction(table, left_out, contents)


def _two_best(answers: Answers, calibration: Calibration) -> TwoBest:
    answers.check_finite()
    return TwoBest.of(one_answer(answers.features, answers.known, answers.novel, calibration))


def reasons_in_words(skipped: pd.DataFrame) -> str:
    """The first few of what was left out, see `Prediction`, and why."""
    first = [f"{path!r} ({why})" for path, why in zip(skipped["path"][:3], skipped["reason"])]
    return ", ".join(first) + (", ..." if len(skipped) > 3 else "")


def _answers(
    two_best: TwoBest, known: tuple[str, ...], novel: tuple[str, ...]
) -> dict[str, np.ndarray]:
    categories = np.array(known + novel, dtype=object)
    kinds = np.repeat(np.array(["known", "novel"], dtype=object), [len(known), len(novel)])
    return {
        "category": categories[two_best.best],
        "kind": kinds[two_best.best],
        "confidence": two_best.confidence,
        "second": categories[two_best.second],
        "margin": two_best.margin,
    }
