"""One look of a network at decoded items: views, then a forward pass in the run's precision.

In training, where several processes share a batch, each looks at its own items and is given the
outputs of all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

import torch
from torch import Generator

from newfound.batch import Media, Outputs, Seen
from newfound.config import Config
from newfound.machine import distributed
from newfound.machine.device import uses_bfloat16
from newfound.models.network import Network
from newfound.views.viewer import Viewer

_Computation = TypeVar("_Computation", bound=Callable[..., Any])


class Look:
    """A network, and how it sees items in a stage of training or in evaluation.

    compiles: whether torch.compile makes what training computes, which takes minutes at the first
    step.
    """

    def __init__(
        self,
        network: Network,
        config: Config,
        device: torch.device,
        compiles: bool = False,
    ) -> None:
        self.network = network
        self._compiles = compiles
        self._forward = self.compiled(network)
        self.device = device
        self.viewer = Viewer(config, device)
        self.bfloat16 = uses_bfloat16(config.precision, device)

    def compiled(self, computation: _Computation) -> _Computation:
        """A module or function of training as torch.compile makes it, or as it is."""
        return cast(_Computation, torch.compile(computation)) if self._compiles else computation

    def two(self, media: Media, generator: Generator) -> Outputs:
        """Of two random views of each of N items in one pass: 2N rows, [view 0 | view 1]."""
        return self.at(self.viewer.two(media, generator))

    def one(self, media: Media, generator: Generator) -> Outputs:
        """Of one random view of each of N items."""
        return self.at(self.viewer.one(media, generator))

    def at(self, seen: Seen) -> Outputs:
        """Of views made before."""
        with self.precision():
            outputs: Outputs = self._forward(seen)
        if distributed.count() == 1:
            return outputs
        return outputs.through(distributed.gathered_together)

    def plain(self, media: Media) -> Outputs:
        """Of the middle of each of N items, which are this process's alone."""
        seen = self.viewer.plain(media)
        with self.precision():
            outputs: Outputs = self.network(seen)
        return outputs

    @contextmanager
    def precision(self) -> Iterator[None]:
        """Within, the network computes in bfloat16 where the run does.

        Without torch's cache of cast weights: each is used once in a pass, and within another
        autocast, as a notebook may have it, those of the first step would stay.
        """
        device, enabled = self.device.type, self.bfloat16
        with torch.autocast(device, torch.bfloat16, enabled=enabled, cache_enabled=False):
            yield
