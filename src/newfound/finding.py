"""What a run has found once its network is trained."""

from dataclasses import dataclass

import numpy as np
import torch

from newfound.config import Config
from newfound.data.catalogue import Catalogue, Truth
from newfound.data.items import Items
from newfound.disk.run_folder import RunFolder
from newfound.models.network import Network
from newfound.results.inference import Answers


@dataclass(frozen=True)
class Finding:
    """A trained network, what it was trained on, and how long each stage took.

    unlabelled: what the network says of `catalogue.unlabelled`.  labelled: of
    `rows_to_calibrate_on`.  labelled_only: (n_unlabelled, d) features of the network trained on
    labels alone, or None.  skipped: items that were left out.  head_changed_since: whether the
    novel head is another than training left.  seconds: stage -> seconds, of "sorting" those that
    the answers took.
    """

    folder: RunFolder
    catalogue: Catalogue
    truth: Truth | None
    config: Config
    network: Network
    media: Items
    device: torch.device
    workers: int
    unlabelled: Answers
    labelled: Answers
    labelled_only: np.ndarray | None
    skipped: int
    head_changed_since: bool
    seconds: dict[str, float]
