"""The trained model on disk, as safetensors: numbers only, never code."""

from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from newfound.config import Config
from newfound.disk.files import write_atomically
from newfound.errors import RunFolderError
from newfound.models.network import Network, make_network
from newfound.results.answer import Calibration

_PREFIX = "calibration."


def save_model(path: Path, network: Network, calibration: Calibration) -> None:
    """Write weights, WTA windows and calibration. Raises RunFolderError if the disk is full."""
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    tensors[_PREFIX + "temperature"] = torch.tensor(calibration.temperature, dtype=torch.float64)
    tensors[_PREFIX + "gate_weight"] = torch.from_numpy(calibration.gate_weight)
    tensors[_PREFIX + "gate_bias"] = torch.tensor(calibration.gate_bias, dtype=torch.float64)
    write_atomically(path, lambda beside: save_file(tensors, beside))


def load_model(path: Path, config: Config, known: int, novel: int) -> tuple[Network, Calibration]:
    """The network, on the CPU in evaluation mode, and its calibration.

    Raises RunFolderError if the file is absent, damaged or of another network.
    """
    try:
        tensors = load_file(path)
        calibration = Calibration(
            float(tensors.pop(_PREFIX + "temperature")),
            tensors.pop(_PREFIX + "gate_weight").numpy().astype(np.float64),
            float(tensors.pop(_PREFIX + "gate_bias")),
        )
        network = make_network(config, known, novel)
        network.load_state_dict(tensors)
    except FileNotFoundError:
        raise RunFolderError(
            f"{path} is not there: the run has not ended; give its command again to finish it"
        ) from None
    except (SafetensorError, KeyError, RuntimeError, OSError) as error:
        raise RunFolderError(
            f"{path} is damaged or of another network: {error}. Delete it and give the run's "
            "command again, which makes it anew"
        ) from error
    return network.eval(), calibration
