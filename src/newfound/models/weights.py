"""Trained weights that a network starts from: published ones, or those of an earlier run."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from newfound.errors import InputError
from newfound.models.encoders import SMALL_STEM_PX

_OF_A_RUN = re.compile(r"(?:.*\.)?((?:encoders|projections)\.\w+|fusion)\.(.+)")
"""A part of our network, and a name within it. The heads are each run's own."""

_OF_AN_ENCODER = re.compile(r"(?:conv1|bn1|stem|layer\d)\..+")
"""As torchvision and timm call what comes before a ResNet's classifier."""

_LAST_OF_AN_ENCODER = re.compile(
    r"(?P<of_images>.*)layer4\.1\.bn2\.weight|(?P<of_videos>.*)layer4\.1\.conv2\.1\.weight"
)
"""The last BatchNorm of a ResNet-18 or an R3D-18, after whatever a training put before names."""

_COUNTER = "num_batches_tracked"
"""Older files do not have it, and nothing here reads it."""

_CURE = "give weights of a ResNet-18, of videos of an R3D-18, or a run with the same settings"


@dataclass(frozen=True)
class Weights:
    """Trained weights of some parts of a network.

    source: where they were read.  parts: the part's name in `Network`, as encoders.visual -> its
    state, float32 on the CPU.  taught: the classes whose labels they learnt, as far as it is known.
    """

    source: Path
    parts: Mapping[str, Mapping[str, Tensor]]
    taught: frozenset[str] = frozenset()

    @cached_property
    def fingerprint(self) -> str:
        """Equal where names and values are, whatever file they are in."""
        digest = hashlib.sha256()
        for part, state in sorted(self.parts.items()):
            for name, value in sorted(state.items()):
                if not name.endswith(_COUNTER):
                    digest.update(f"{part}.{name}{tuple(value.shape)}".encode())
                    digest.update(value.numpy().tobytes())
        return digest.hexdigest()[:16]

    @property
    def in_words(self) -> str:
        """As `resnet18.pth (encoders.visual)`."""
        return f"{self.source} ({', '.join(self.parts)})"

    @torch.no_grad()
    def fill(self, network: nn.Module) -> None:
        """Give them to those parts that a `Network` has; its other parts stay as they are.

        Raises InputError where a part is another one here, or none of the encoders is among them.
        """
        parts = dict(network.named_modules())
        if not any(name in parts for name in self.parts if name.startswith("encoders.")):
            there = ", ".join(name.removeprefix("encoders.") for name in self.parts)
            raise InputError(f"{self.source} has weights for {there} alone; {_CURE}")
        for name, state in self.parts.items():
            if name in parts and (own := parts[name].state_dict()):
                self._check(own, state)
                parts[name].load_state_dict({**own, **state})

    def _check(self, own: Mapping[str, Tensor], theirs: Mapping[str, Tensor]) -> None:
        """Raise InputError unless names, but for counters, and shapes are the same."""
        for name in own:
            if name in theirs and theirs[name].shape != own[name].shape:
                there, here = tuple(theirs[name].shape), tuple(own[name].shape)
                raise InputError(
                    f"{self.source} has the weights of another network: {name} is {there} there "
                    f"and {here} here; {_cure(name, there, here)}"
                )
        names = {name for name in own.keys() ^ theirs.keys() if not name.endswith(_COUNTER)}
        if names:
            name = min(names)
            where = "there and not here" if name in theirs else "here and not there"
            raise InputError(
                f"{self.source} has the weights of another network: {name} is {where}; {_CURE}"
            )


def read_weights(path: Path) -> Weights:
    """Weights from the folder of a run, or from a file of PyTorch or safetensors.

    path: a run, of which encoders, contrastive MLPs and eta are taken; its `model.safetensors` or
    a checkpoint; or a ResNet-18's or R3D-18's state by torchvision's names, which timm has too,
    alone or within a dict, after any prefix, for the encoder of what is seen.
    Reading never runs code from the file. Raises InputError for anything else.
    """
    file = path / "model.safetensors" if os.path.isdir(path) else path  # noqa: PTH112 - never raises
    for state in _states(_read(file)):
        if parts := _parts_of_a_run(state) or _encoder(state, file):
            plain = {
                part: {n: _plain(value, f"{file}: {part}.{n}") for n, value in weights.items()}
                for part, weights in parts.items()
            }
            return Weights(file, plain, _taught(file))
    raise InputError(f"{file} holds no weights that are known here; {_CURE}")


def _read(file: Path) -> Any:
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(
            f"{file} is not there; give a file of weights, or the folder of a run that has ended"
        ) from None
    except OSError as error:
        raise InputError(f"cannot read {file}: {error.strerror or error}") from error
    except SafetensorError as error:
        raise InputError(f"{file} is damaged or no file of safetensors: {error}") from error
    except Exception as error:  # a damaged pickle raises nearly anything
        raise InputError(
            f"{file} is damaged, no file of weights, or cannot be read without running code from "
            "it; where it is a whole model, save its weights alone: "
            "torch.save(model.state_dict(), 'weights.pth')"
        ) from error


def _states(read: Any, depth: int = 2) -> Iterator[dict[str, Tensor]]:
    """What may be the state of a network: all that was read, or a dict within, to some depth."""
    if isinstance(read, Mapping):
        tensors = {name: value for name, value in read.items() if isinstance(value, Tensor)}
        yield {name: value for name, value in tensors.items() if isinstance(name, str)}
        for value in read.values() if depth else ():
            yield from _states(value, depth - 1)


def _taught(file: Path) -> frozenset[str]:
    """The known classes of the run that a file lies in, none where it is in no run's folder."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        header = json.loads((file.parent / "config.json").read_text(encoding="utf-8"))
        return frozenset(map(str, header["known"]))
    return frozenset()


def _plain(value: Tensor, called: str) -> Tensor:
    """A weight as float32. Raises InputError where it cannot be that, or has no finite numbers."""
    if value.layout != torch.strided or value.is_quantized or value.is_complex() or value.is_meta:
        raise InputError(f"{called} is quantized, sparse, complex or empty; give plain weights")
    plain = value.detach().float()
    if not plain.isfinite().all():
        raise InputError(f"{called} has values that are no numbers; give other weights")
    return plain


def _parts_of_a_run(state: Mapping[str, Tensor]) -> dict[str, dict[str, Tensor]]:
    """Those of our network, {} for the state of anything else."""
    parts: dict[str, dict[str, Tensor]] = {}
    for name, value in state.items():
        if match := _OF_A_RUN.fullmatch(name):
            parts.setdefault(match[1], {})[match[2]] = value
    return parts if any(part.startswith("encoders.") for part in parts) else {}


def _encoder(state: Mapping[str, Tensor], file: Path) -> dict[str, dict[str, Tensor]]:
    """A published encoder as the only part, {} for the state of anything else."""
    last = [match for name in state if (match := _LAST_OF_AN_ENCODER.fullmatch(name))]
    if not last:
        return {}
    prefix, *others = sorted({match["of_images"] or match["of_videos"] or "" for match in last})
    if others:
        raise InputError(
            f"{file} holds several networks, {prefix!r} and {others[0]!r}; save the weights of one "
            "of them alone"
        )
    bare = {name[len(prefix) :]: v for name, v in state.items() if name.startswith(prefix)}
    return {"encoders.visual": {n: v for n, v in bare.items() if _OF_AN_ENCODER.fullmatch(n)}}


def _cure(name: str, there: tuple[int, ...], here: tuple[int, ...]) -> str:
    """What makes the network the one that the weights are of, where the first convolution tells."""
    if name not in ("conv1.weight", "stem.0.weight") or len(there) != len(here):
        return _CURE
    flags = []
    if there[0] != here[0]:
        flags.append(f"--width {there[0]}")
    if there[1] != here[1]:
        flags.append(f"--channels {there[1]}")
    if there[2:] != here[2:]:
        is_small = there[-1] == 3
        flags.append(
            f"--px of {SMALL_STEM_PX} or less" if is_small else f"--px above {SMALL_STEM_PX}"
        )
    return "give " + ", ".join(flags)
