"""What the trained network says of items, un-augmented."""

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from newfound.batch import Media, Outputs
from newfound.blocks import blocks
from newfound.config import Config
from newfound.data.items import Items
from newfound.errors import NonFiniteLossError
from newfound.machine import distributed
from newfound.models.heads import NearestCentre
from newfound.models.network import Network
from newfound.training.look import Look

HELD_BATCHES = 32
"""The answers to so many batches stay on the device and are fetched at once: whoever fetches waits
for the device, which then has nothing to do."""


@dataclass(frozen=True)
class Answers:
    """The network's outputs for n items, float32.

    features: (n, d).  known: (n, C_l) logits of phi_l.  novel: (n, C_u) logits of phi_u.
    """

    features: np.ndarray
    known: np.ndarray
    novel: np.ndarray

    def __len__(self) -> int:
        return len(self.features)

    def check_finite(self) -> None:
        """Raise NonFiniteLossError if one of them is no number."""
        parts = (self.features, self.known, self.novel)
        if not all(np.isfinite(part[rows]).all() for part in parts for rows in blocks(len(part))):
            raise NonFiniteLossError(
                "the network's outputs are not finite: its last steps went astray. Train again "
                "with a lower --lr, or with --precision float32, and another --out"
            )


def ask(
    network: Network,
    items: Items,
    rows: np.ndarray,
    *,
    config: Config,
    device: torch.device,
    batch: int = 256,
    advance: Callable[[int], None] = lambda _: None,
) -> Answers:
    """One forward pass over the given rows of `items`, in their order, in evaluation mode.

    A video's answer is the mean over its clips: of the features, and of the heads' probabilities,
    whose logarithms are given as logits; of k-means the nearest centre to the mean features.

    The answers take 4 (d + C_l + C_u) bytes an item, and little else is kept. Several processes
    share the rows, and all get all the answers.

    advance is called with the number of items done since its last call.  Raises
    NonFiniteLossError if the network gives something else than numbers.
    """

    def work(own: Tensor) -> tuple[Tensor, ...]:
        done_here = distributed.count()  # items of all processes to each of this one's
        answers = _own_answers(
            network, items, own, config, device, batch, lambda n: advance(n * done_here)
        )
        return tuple(map(torch.from_numpy, (answers.features, answers.known, answers.novel)))

    distributed.with_the_writers_buffers(network)
    found = distributed.shared_out(torch.from_numpy(rows.astype(np.int64)), work)
    answers = Answers(*(part.numpy() for part in found))
    answers.check_finite()  # of all items in every process, so that all raise or none
    return answers


def _own_answers(
    network: Network,
    items: Items,
    rows: Tensor,
    config: Config,
    device: torch.device,
    batch: int,
    advance: Callable[[int], None],
) -> Answers:
    """`ask` for the rows of this process."""
    together = max(1, batch // items.clips)
    batches = [part for part in rows.split(together) if len(part)]
    sizes = (network.fused_size, network.known.out_features, network.novel.out_features)
    answers = Answers(*(np.empty((len(rows), size), np.float32) for size in sizes))
    done = 0
    looked_at = items.batches(batches)
    for part in answers_to(looked_at, network, items.clips, config, device, advance):
        answered = slice(done, done + len(part))
        answers.features[answered] = part.features
        answers.known[answered] = part.known
        answers.novel[answered] = part.novel
        done = answered.stop
    return answers


@torch.inference_mode()
def answers_to(
    batches: Iterable[Media],
    network: Network,
    clips: int,
    config: Config,
    device: torch.device,
    advance: Callable[[int], None] = lambda _: None,
) -> Iterator[Answers]:
    """What `ask` says of media as they come, for some `HELD_BATCHES` batches at a time, unchecked.

    clips: how many rows of the media are one item's, that follow one another.
    """
    network.eval()
    look = Look(network, config, device)
    held: list[Answered] = []
    for media in batches:
        outputs = look.plain(media.to(device, non_blocking=True))
        held.append(_over_clips(outputs, clips, network.novel))
        advance(len(media) // clips)
        if len(held) == HELD_BATCHES:
            yield _fetched(held)
            held = []
    if held:
        yield _fetched(held)


Answered = tuple[Tensor, Tensor, Tensor]
"""Features and logits of phi_l and phi_u, on the device."""


def _fetched(held: list[Answered]) -> Answers:
    return Answers(*(torch.cat(part).cpu().float().numpy() for part in zip(*held)))


def _over_clips(outputs: Outputs, clips: int, novel_head: nn.Module) -> Answered:
    """Of the items, whose `clips` rows follow one another."""
    fused, known, novel = outputs.fused, outputs.known, outputs.novel
    if clips > 1:
        fused = fused.unflatten(0, (-1, clips)).mean(dim=1)
        known, novel = (
            (logits.log_softmax(dim=1).unflatten(0, (-1, clips)).logsumexp(dim=1) - math.log(clips))
            for logits in (known, novel)
        )
        if isinstance(novel_head, NearestCentre):  # whose centres are those of such means
            novel = novel_head(fused)
    return fused, known, novel
