"""Whether a run can be done at all, said before anything is decoded or trained."""

import numpy as np

from newfound.data.catalogue import Catalogue, check_counts
from newfound.data.rehearsal import hidden_classes
from newfound.job import Job, with_held_out
from newfound.models.network import make_network
from newfound.stages import check_method


def check_feasible(job: Job, catalogue: Catalogue, *, are_final: bool) -> list[str]:
    """Whether these items suffice for the job.

    are_final: whether they are what can be used, or all that are listed.

    Raises InputError if they do not, as in several processes for a batch that these cannot share,
    and for weights of another network; returns warnings in plain words.
    """
    if job.weights and not are_final:
        make_network(job.config, len(catalogue.class_names), job.num_novel, job.weights)
    split = with_held_out(job, catalogue)
    warnings = check_counts(split, job.num_novel, job.config.batch)
    if job.config.mu == "heldout":
        hidden_classes(len(np.unique(split.labels[split.labelled])), job.num_novel)
    labelled, unlabelled = len(split.labelled), len(split.unlabelled)
    check_method(job.config, labelled, unlabelled, job.num_novel, are_final=are_final)
    return warnings
