"""Whether a run can be done at all, said before anything is decoded or trained."""

from collections.abc import Sequence

import numpy as np

from newfound.data.catalogue import Catalogue, check_counts
from newfound.data.rehearsal import hidden_classes
from newfound.data.words import some
from newfound.errors import InputError
from newfound.job import Job, with_held_out
from newfound.models.network import make_network
from newfound.models.weights import Weights
from newfound.stages import check_method, stages


def known_to_weights_in_words(
    weights: Weights, known: Sequence[str], hidden: Sequence[str]
) -> list[str]:
    """What is measured too well where the weights to start from have learnt some of the labels.

    known: the classes of a run.  hidden: those of them that a search takes as unknown.
    """
    told = f"{weights.source} was trained with labels of"
    if not_new := sorted(weights.taught.intersection(hidden)):
        return [
            f"{told} {some(not_new)}, which are taken as unknown here: what is chosen by them may "
            "be wrong. Choose without --weights, or give --mu share"
        ]
    if of_known := sorted(weights.taught.intersection(known)):
        return [
            f"{told} {some(of_known)}: of items that are held out now it may know some, so that "
            "the accuracy on them may be too high"
        ]
    return []


def check_features(job: Job) -> None:
    """That the weights fit, and if nothing is trained that they make all features."""
    weights = job.weights
    if weights:
        known = len(job.catalogue.class_names)
        network = make_network(job.config, known, job.num_novel, weights)
    if stages(job.config):
        return
    if not weights:
        raise InputError(
            "pretraining is none, and method is kmeans, which clusters features that were learnt; "
            "give trained --weights, or --pretraining labels, cl, simclr or rotnet"
        )
    if missing := [name for name in network.encoders if f"encoders.{name}" not in weights.parts]:
        raise InputError(
            f"nothing is trained, and {weights.source} has no weights for {', '.join(missing)}; "
            "give --pretraining labels, cl or simclr, or other --weights"
        )


def check_feasible(job: Job, catalogue: Catalogue, *, are_final: bool) -> list[str]:
    """Whether these items suffice for the job.

    are_final: whether they are what can be used, or all that are listed.

    Raises InputError if they do not, as in several processes for a batch that these cannot share,
    and for weights of another network; returns warnings in plain words.
    """
    split = with_held_out(job, catalogue)
    warnings = check_counts(split, job.num_novel, job.config.batch)
    hidden: list[str] = []
    if job.config.mu == "heldout":
        present = np.unique(split.labels[split.labelled])
        n_hidden = hidden_classes(len(present), job.num_novel)
        hidden = [catalogue.class_names[label] for label in present[-n_hidden:]]
    if not are_final:
        check_features(job)
    if job.weights and not are_final:
        warnings += known_to_weights_in_words(job.weights, catalogue.class_names, hidden)
    labelled, unlabelled = len(split.labelled), len(split.unlabelled)
    check_method(job.config, labelled, unlabelled, job.num_novel, are_final=are_final)
    return warnings
