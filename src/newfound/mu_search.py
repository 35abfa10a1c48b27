"""The threshold mu found on known classes: the search of section 4.4.

Some labelled classes are treated as if they were unlabelled; for each candidate a network is
trained on that smaller problem, and the candidate that sorts them best is taken. The unlabelled
items of the run take no part.
"""

from dataclasses import dataclass

import numpy as np
import torch

from newfound.batch import UNLABELLED
from newfound.candidates import MU_FRACTIONS
from newfound.config import Config
from newfound.data.items import Items
from newfound.data.rehearsal import hidden_classes
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.models.weights import Weights
from newfound.results.evaluate import clustering_accuracy
from newfound.settling import settle, settles
from newfound.stages import begin_ours
from newfound.training.train import Training


def candidates(window: int) -> list[float]:
    """Those of `MU_FRACTIONS` above 1/k, which unrelated items reach by chance."""
    return [fraction for fraction in MU_FRACTIONS if fraction > 1 / window]


@dataclass(frozen=True)
class Rehearsal:
    """A discovery problem made of labelled items only.

    labels: (n,) int64 of the whole catalogue, -1 for pretended-unlabelled items and all others.
    rows: those that take part.  pretended: the rows whose label is hidden.  hidden: their labels.
    """

    labels: np.ndarray
    rows: np.ndarray
    pretended: np.ndarray
    hidden: np.ndarray
    known: int
    novel: int


def make_rehearsal(labels: np.ndarray, labelled: np.ndarray, num_novel: int) -> Rehearsal:
    """Hide the labels of the last classes: as many as the run has novel ones, or half of all.

    Classes count that have items to train on.

    labels: (n,) int64.  labelled: rows with a label to train on.  Raises InputError with fewer
    than 4 classes (see `hidden_classes`).
    """
    classes, numbers = np.unique(labels[labelled], return_inverse=True)
    novel = hidden_classes(len(classes), num_novel)
    known = len(classes) - novel
    is_hidden = numbers >= known
    rehearsed = np.full_like(labels, UNLABELLED)
    rehearsed[labelled[~is_hidden]] = numbers[~is_hidden]
    return Rehearsal(rehearsed, labelled, labelled[is_hidden], numbers[is_hidden], known, novel)


def begin_trial(
    rehearsal: Rehearsal,
    fraction: float,
    config: Config,
    device: torch.device,
    compiles: bool,
    weights: Weights | None = None,
) -> tuple[Ground, Training]:
    """A training on the rehearsal with mu = `fraction` of H, not begun yet.

    compiles: as for `Look`.  weights: as for `make_network`.
    """
    network = make_network(config, rehearsal.known, rehearsal.novel, weights)
    shorter = config.model_copy(
        update={
            "epochs": config.heldout_epochs,
            "batch": min(config.batch, len(rehearsal.rows)),
            "warmup_epochs": min(config.warmup_epochs, config.heldout_epochs / 4),
        }
    )
    mu = fraction * config.hashes
    ground = Ground(network, shorter, rehearsal.labels, rehearsal.rows, mu, device, compiles)
    return ground, begin_ours(ground)


def score_trial(rehearsal: Rehearsal, ground: Ground, items: Items) -> float:
    """ACC on the pretended-unlabelled items of a trial that was trained; phi_u settles first."""
    answers = ground.ask(items, rehearsal.pretended)
    if settles(ground.config):
        settle(ground, torch.from_numpy(answers.features))
        answers = ground.ask_again(items, rehearsal.pretended, answers)
    return clustering_accuracy(rehearsal.hidden, answers.novel.argmax(axis=1))
