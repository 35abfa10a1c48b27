"""The trained model on disk, as safetensors: numbers and names only, never code."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from newfound.config import Config
from newfound.disk.files import write_atomically
from newfound.errors import RunFolderError
from newfound.models.network import Network, make_network
from newfound.results.answer import Calibration

_PREFIX = "calibration."


def save_model(
    path: Path, network: Network, calibration: Calibration, known: Sequence[str]
) -> None:
    """Write weights, WTA windows and calibration, and the names of the C_l known classes.

    Raises RunFolderError if the disk is full.
    """
    tensors = {name: value.cpu().contiguous() for name, value in network.state_dict().items()}
    tensors[_PREFIX + "temperature"] = torch.tensor(calibration.temperature, dtype=torch.float64)
    tensors[_PREFIX + "gate_weight"] = torch.from_numpy(calibration.gate_weight)
    tensors[_PREFIX + "gate_bias"] = torch.tensor(calibration.gate_bias, dtype=torch.float64)
    names = {"known": json.dumps(list(known))}
    write_atomically(path, lambda beside: save_file(tensors, beside, names))


def load_model(
    path: Path, config: Config, known: Sequence[str], novel: int
) -> tuple[Network, Calibration, tuple[str, ...]]:
    """The network, on the CPU in evaluation mode, its calibration, the names of the known classes.

    known: these names for a file of an older version, which does not tell them.
    Raises RunFolderError if the file is absent, damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            told = (file.metadata() or {}).get("known")
            names = tuple(known if told is None else json.loads(told))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        calibration = Calibration(
            float(tensors.pop(_PREFIX + "temperature")),
            tensors.pop(_PREFIX + "gate_weight").numpy().astype(np.float64),
            float(tensors.pop(_PREFIX + "gate_bias")),
        )
        network = make_network(config, len(names), novel)
        network.load_state_dict(tensors)
    except FileNotFoundError:
        raise RunFolderError(
            f"{path} is not there: the run has not ended, or the file was deleted; give the run's "
            "command again, which makes it"
        ) from None
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError, OSError) as error:
        raise RunFolderError(
            f"{path} is damaged or of another network: {error}. Delete it and give the run's "
            "command again, which makes it anew"
        ) from error
    return network.eval(), calibration, names
