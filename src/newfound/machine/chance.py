"""Random numbers of a batch, of which a process takes those of its own rows."""

from collections.abc import Sequence
from typing import Self

import torch
from torch import Generator, Tensor


class SharedGenerator(Generator):
    """A generator for the rows of a batch that `processes` of them share, as number `rank`.

    `uniform` draws for the whole batch from it, so that a batch is seen in the same views however
    many processes share it.
    """

    processes: int
    rank: int

    def __new__(cls, device: torch.device, processes: int, rank: int) -> Self:
        """A `torch.Generator` of the device, which takes no more arguments than that."""
        generator = super().__new__(cls, device)  # type: ignore[call-arg]
        generator.processes, generator.rank = processes, rank
        return generator


def uniform(size: Sequence[int], generator: Generator, rows: int = 0) -> Tensor:
    """Numbers uniform in [0, 1), float32, on the device of the generator.

    rows: the axis of `size` along which the rows of the batch, or the views of them, lie.  With a
    `SharedGenerator` `size` is that of a process's own share, every `processes`-th row.
    """
    if not isinstance(generator, SharedGenerator):
        return torch.rand(*size, generator=generator, device=generator.device)
    whole = list(size)
    whole[rows] *= generator.processes
    drawn = torch.rand(*whole, generator=generator, device=generator.device)
    own: Tensor = drawn.unflatten(rows, (size[rows], generator.processes)).select(
        rows + 1, generator.rank
    )
    return own
