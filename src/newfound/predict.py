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
from newfound.results.answer import one_answer
from newfound.results.inference import answers_to
from newfound.results.model_file import load_model
from newfound.results.tables import category_names
from newfound.results.two_best import TwoBest


@dataclass(frozen=True)
class Prediction:
    """Answers for new items.

    table: one row per readable item: path, category, kind (known or novel), confidence (0..1),
    second, margin (0..1).  skipped: path and reason of the others.  items: (n,) what is in
    the table's rows.
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
    run has not ended.
    """
    header, config = folder.read_config(), folder.config()
    novel = category_names(header["num_novel"])
    network, calibration, known = load_model(folder.model, config, header["known"], len(novel))
    device = choose_device(machine.device)
    workers = choose_workers(machine.workers)
    kind = kind_of(config.preset)
    names, items = open_new_items(
        data, kind, progress.new_shards, lambda text: progress.message(f"warning: {text}")
    )

    progress.stage("Predicting", len(items))
    pin = device.type == "cuda"
    one_pass = OnePass(items, config, workers, pin, progress.follow)
    network.to(device).channels_last()
    with (
        lack_of_memory_in_words("give --device cpu, or end what else works on this one"),
        compute_threads(machine.threads, config.width, config.px),
        float32_as_such(config.precision),
    ):
        answers = answers_to(one_pass, network, one_pass.clips, config, device)
        two_best = TwoBest.joined(
            TwoBest.of(one_answer(part.features, part.known, part.novel, calibration))
            for part in answers
        )
    unreadable = np.array([skipped.index for skipped in one_pass.skipped], dtype=np.int64)
    reasons = [skipped.reason for skipped in one_pass.skipped]
    rows = np.setdiff1d(np.arange(len(items)), unreadable)
    if not len(rows):
        first = ", ".join(f"{name!r} ({why})" for name, why in zip(names[unreadable[:3]], reasons))
        raise InputError(
            f"none of {len(items)} {kind} can be read: {first}"
            f"{', ...' if len(reasons) > 3 else ''}; give {kind}, as the run was trained on"
        )
    table = _table(names[rows], two_best, known, novel)
    skipped = pd.DataFrame({"path": names[unreadable], "reason": reasons})
    return Prediction(table, skipped, items.subset(rows) if len(unreadable) else items)


def _table(
    names: np.ndarray, two_best: TwoBest, known: tuple[str, ...], novel: tuple[str, ...]
) -> pd.DataFrame:
    categories = np.array(known + novel, dtype=object)
    kinds = np.repeat(np.array(["known", "novel"], dtype=object), [len(known), len(novel)])
    return pd.DataFrame(
        {
            "path": names,
            "category": categories[two_best.best],
            "kind": kinds[two_best.best],
            "confidence": two_best.confidence,
            "second": categories[two_best.second],
            "margin": two_best.margin,
        }
    )
