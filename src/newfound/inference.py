"""What the trained network says of items, un-augmented."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from newfound.augment import plain_view
from newfound.data.loader import Pixels
from newfound.errors import NonFiniteLossError
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
    pixels: Pixels,
    rows: np.ndarray,
    *,
    px: int,
    device: torch.device,
    bfloat16: bool,
    batch: int = 256,
    advance: Callable[[int], None] = lambda _: None,
) -> Answers:
    """One forward pass over the given rows of `pixels`, in their order, in evaluation mode.

    advance is called with the number of items done since its last call.  Raises
    NonFiniteLossError if the network gives something else than numbers.
    """
    network.eval()
    batches = list(torch.from_numpy(rows.astype(np.int64)).split(batch))
    parts: list[tuple[Tensor, Tensor, Tensor]] = []
    for decoded in pixels.batches(batches):
        view = plain_view(decoded.to(device, non_blocking=True), px).contiguous(
            memory_format=torch.channels_last
        )
        with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
            outputs = network(view)
        parts.append((outputs.fused.cpu(), outputs.known.cpu(), outputs.novel.cpu()))
        advance(len(decoded))
    if not parts:
        sizes = (network.encoder.size, network.known.out_features, network.novel.out_features)
        return Answers(*(np.empty((0, size), np.float32) for size in sizes))
    answers = [torch.cat(part).float() for part in zip(*parts)]
    if not all(answer.isfinite().all() for answer in answers):
        raise NonFiniteLossError(
            "the network's outputs are not finite: its last steps went astray. Train again with a "
            "lower --lr, or with --precision float32, and another --out"
        )
    return Answers(*(answer.numpy() for answer in answers))
