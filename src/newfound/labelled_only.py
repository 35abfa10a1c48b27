"""What the network would know of the unlabelled items by labels alone, to compare with."""

import numpy as np
import torch

from newfound.data.catalogue import Catalogue
from newfound.data.items import Items
from newfound.ground import ground_of
from newfound.job import Job
from newfound.progress import Progress
from newfound.sequence import stopped
from newfound.stages import begin_labels_alone
from newfound.training.kept_training import KeptTraining


def labelled_only_features(
    job: Job, catalogue: Catalogue, items: Items, device: torch.device, progress: Progress
) -> tuple[np.ndarray, float]:
    """Features of the unlabelled items from the same network trained on labels alone.

    k-means on these is compared with every method; row (1) of Table 1 is a method of its own.
    Returns (n_unlabelled, d), and the seconds it took.
    """
    ground = ground_of(job, catalogue, None, device)
    training = begin_labels_alone(ground)
    title = "Training on labels alone"
    every, data = job.runtime.checkpoint_seconds, catalogue.fingerprint()
    kept = KeptTraining(training, title, job.folder.labelled_only, data, every)
    if not kept.run(items, progress, lambda _figures, _categories: None):
        raise stopped(job.folder)
    progress.stage("Looking at the unlabelled", len(ground.unlabelled))
    return ground.ask(items, ground.unlabelled, progress.advance).features, kept.seconds
