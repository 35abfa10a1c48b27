"""What the trained network says of items, un-augmented."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from newfound.batch import Outputs
from newfound.config import Config
from newfound.data.loader import Items
from newfound.errors import NonFiniteLossError
from newfound.look import Look
from newfound.models.network import Network


@dataclass(frozen=True)
class Answers:
    """The network's outputs for n items, float32.

    features: (n, d).  known: (n, C_l) logits of phi_l.  novel: (n, C_u) logits of phi_u.
    """

    features: np.ndarray
    known: np.ndarray
    novel: np.ndarray


@torch.inference_mode()
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
    whose logarithms are given as logits.

    advance is called with the number of items done since its last call.  Raises
    NonFiniteLossError if the network gives something else than numbers.
    """
    network.eval()
    look = Look(network, config, device)
    together = max(1, batch // items.clips)
    batches = [
        part for part in torch.from_numpy(rows.astype(np.int64)).split(together) if len(part)
    ]
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for asked, media in zip(batches, items.batches(batches)):
        outputs = look.plain(media.to(device, non_blocking=True))
        parts.append(_over_clips(outputs, items.clips))
        advance(len(asked))
    if not parts:
        sizes = (network.fused_size, network.known.out_features, network.novel.out_features)
        return Answers(*(np.empty((0, size), np.float32) for size in sizes))
    answers = [torch.cat(part).float() for part in zip(*parts)]
    if not all(answer.isfinite().all() for answer in answers):
        raise NonFiniteLossError(
            "the network's outputs are not finite: its last steps went astray. Train again with a "
            "lower --lr, or with --precision float32, and another --out"
        )
    return Answers(*(answer.numpy() for answer in answers))


def _over_clips(outputs: Outputs, clips: int) -> tuple[Tensor, Tensor, Tensor]:
    """Features and logits of the items, whose `clips` rows follow one another, on the CPU."""
    fused, known, novel = outputs.fused, outputs.known, outputs.novel
    if clips > 1:
        fused = fused.unflatten(0, (-1, clips)).mean(dim=1)
        known, novel = (
            (logits.log_softmax(dim=1).unflatten(0, (-1, clips)).logsumexp(dim=1) - math.log(clips))
            for logits in (known, novel)
        )
    return fused.cpu(), known.cpu(), novel.cpu()
