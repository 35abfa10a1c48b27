"""What all stages of a run stand on: a network, and the items it may learn from."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from newfound.blocks import blocks
from newfound.config import Config
from newfound.data.catalogue import Catalogue
from newfound.data.items import Items
from newfound.job import Job
from newfound.models.network import Network, make_network
from newfound.results.inference import Answers, ask


@dataclass(frozen=True)
class Ground:
    """What all stages of a run stand on.

    labels: (n,) int64 of the whole catalogue, -1 = unlabelled.  trainable: rows that training may
    see.  threshold: of pairs, as `fixed` of `PseudoLabels`.  compiles: as for `Look`.
    """

    network: Network
    config: Config
    labels: np.ndarray
    trainable: np.ndarray
    threshold: float | None
    device: torch.device
    compiles: bool = False

    @property
    def labelled(self) -> np.ndarray:
        """Rows with a label to train on."""
        rows: np.ndarray = self.trainable[self.labels[self.trainable] >= 0]
        return rows

    @property
    def unlabelled(self) -> np.ndarray:
        """Rows without a label."""
        rows: np.ndarray = self.trainable[self.labels[self.trainable] < 0]
        return rows

    def ask(
        self, items: Items, rows: np.ndarray, advance: Callable[[int], None] = lambda _: None
    ) -> Answers:
        """What the network says of some rows, as `results.inference.ask`."""
        return ask(
            self.network, items, rows, config=self.config, device=self.device, advance=advance
        )

    @torch.no_grad()
    def ask_again(
        self,
        items: Items,
        rows: np.ndarray,
        before: Answers,
        advance: Callable[[int], None] = lambda _: None,
    ) -> Answers:
        """What it says now that phi_u alone is another one than in the answers before.

        The answer of an item of one clip follows from its features, without another look.
        """
        if items.clips > 1:
            return self.ask(items, rows, advance)
        features = torch.from_numpy(before.features)
        logits = [self.network.novel(features[b].to(self.device)) for b in blocks(len(features))]
        return replace(before, novel=torch.cat(logits).cpu().numpy())


def ground_of(
    job: Job, catalogue: Catalogue, threshold: float | None, device: torch.device
) -> Ground:
    """A new network for a job, on the device, and what can be used of its items."""
    network = make_network(job.config, len(catalogue.class_names), job.num_novel, job.weights)
    return Ground(
        network.to(device).channels_last(),
        job.config,
        catalogue.labels,
        catalogue.trainable,
        threshold,
        device,
        job.runtime.compile,
    )
