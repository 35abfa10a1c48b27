"""A folder where finished pretraining is kept, for runs that would only train it again.

RS, DTC and Table 7's rows begin with one and the same RotNet, all that are "w/ CL" with the same
contrastive learning. What decides a pretraining's weights makes its file's name, so
that no run finds another one's.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch

from newfound.disk.checkpoint import load_checkpoint, save_checkpoint
from newfound.disk.files import unwritable
from newfound.errors import RunFolderError
from newfound.machine.distributed import agreed, is_writer
from newfound.training.train import Training
from newfound.version import __version__

FORMAT = 3
"""Raised when pretraining no longer does what it did: what was kept before is then not found."""

_LATER = frozenset(
    {
        "preset",
        "method",
        "pretraining",
        "own_batch",
        "dtc_variant",
        "hashes",
        "window",
        "pairs",
        "cosine_threshold",
        "rank_top",
        "mu",
        "own_epochs",
        "own_weight_decay",
        "own_drops",
        "own_drop_factor",
        "share_factor",
        "heldout_epochs",
        "settle_steps",
        "same_view_pairs",
        "ce_weight",
        "bce_weight",
        "instance_weight",
        "category_weight",
        "consistency_weight",
        "ramp_scale",
        "ramp_length",
    }
)
"""Settings that pretraining does not read; `batch` and `own_batch` are the stage's own `batch`."""


class Shelf:
    """The finished pretrainings in a folder, which is made when there is one to keep.

    data: fingerprint of the items that could be read.  weights: of what networks start from, None
    for random values.
    """

    def __init__(self, folder: Path, data: str, weights: str | None = None) -> None:
        self.folder, self.data, self.weights = folder, data, weights

    def put(self, stage: str, training: Training, seconds: float) -> None:
        """Keep what a finished stage has made. Raises RunFolderError if it cannot be written."""
        if not is_writer():
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise unwritable(self.folder, error) from error
        state = {"network": training.network.state_dict(), "seconds": seconds}
        save_checkpoint(self._path(stage, training), state)

    def take(self, stage: str, training: Training) -> float | None:
        """Give the network what was kept of this stage; the seconds it had taken, None = nothing.

        phi_u and the WTA windows stay as they are: a method's own, and no pretraining trains them.
        Raises RunFolderError if the file is damaged.
        """
        path = self._path(stage, training)
        state = agreed(lambda: load_checkpoint(path) if path.exists() else None)
        if state is None:
            return None
        own = training.network.state_dict()
        kept = {
            name: value
            for name, value in state["network"].items()
            if not name.startswith(("novel.", "windows"))
        }
        try:
            training.network.load_state_dict(own | kept)
        except RuntimeError as error:
            raise RunFolderError(f"{path} does not fit this run ({error}); delete it") from error
        return float(state["seconds"])

    def _path(self, stage: str, training: Training) -> Path:
        settings: dict[str, Any] = training.config.model_dump(mode="json", exclude=set(_LATER))
        identity = {
            "stage": stage,
            "data": self.data,
            "rows": training.trainable.tolist(),
            "settings": settings,
            "known": training.network.known.out_features,
            "device": training.device.type,
            "torch": torch.__version__,
            "newfound": __version__,
            "format": FORMAT,
        }
        if self.weights is not None:
            identity["weights"] = self.weights
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
        return self.folder / f"{stage}-{digest[:16]}.pt"
