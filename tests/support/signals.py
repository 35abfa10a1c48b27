"""Steps of a training into which a signal falls."""

import os
import signal
from collections.abc import Callable
from typing import Any

from newfound.training.train import Training


def signalled(
    is_due: Callable[[Training], bool], number: int = signal.SIGINT
) -> Callable[[Training, Any], None]:
    """`Training.take_step` after which this process gets a signal, where the training is due."""
    original = Training.take_step

    def take_step(self: Training, batch: Any) -> None:
        original(self, batch)
        if is_due(self):
            os.kill(os.getpid(), number)

    return take_step
