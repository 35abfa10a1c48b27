"""`--compile`: torch.compile takes the same steps, and has little to compile for it."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch._inductor import config as inductor
from torch._inductor.exc import TritonMissing
from torch.fx import GraphModule

from newfound.data.image_loader import KeptImages
from newfound.errors import InputError
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.settings import make_config
from newfound.stages import stages
from newfound.training.train import train
from support.clips_in_memory import ClipsInMemory
from support.made_images import make_folder
from support.small_run import TINY_VIDEOS, discover_command, newfound, tiny_config

STEPS = 3
"""Of a stage, each in an epoch of its own, as the ramp differs from one to the next."""


def losses_of(kind: str, compiles: bool, **settings: Any) -> list[float]:
    """The loss of each step of all stages."""
    common = {"epochs": STEPS, "batch": 8, "warmup_epochs": 0, "mu": "share"} | settings
    labels, pixels = np.array([0, 1, -1, -1, 0, 1, -1, -1]), torch.arange(8 * 256) * 7 % 256
    if kind == "images":
        config = tiny_config(**common)
        items: Any = KeptImages(pixels.byte().reshape(8, 1, 16, 16))
    else:
        config, items = make_config(**TINY_VIDEOS | common), ClipsInMemory(8, seed=0)
    ground = Ground(
        make_network(config, 2, 2),
        config,
        labels,
        np.arange(8),
        None,
        torch.device("cpu"),
        compiles,
    )
    losses: list[float] = []
    before = None
    for stage in stages(config):
        before = stage.begin(ground, before)

        def after_step(training: Any) -> bool:
            losses.append(float(training.last_total))
            return True

        assert train(before, items, after_step=after_step)
    return losses


CASES = [
    ("images", {}, 3),
    ("videos", {}, 3),
    ("videos", {"instance_pairs": "cross", "category_pairs": "cross"}, 3),
    ("images", {"method": "rs-ll", "pretraining": "cl"}, 5),
    ("videos", {"method": "kmeans", "pretraining": "simclr"}, 2),
]


@pytest.mark.parametrize(("kind", "settings", "graphs"), CASES)
def test_what_is_compiled_takes_the_same_steps(
    kind: str, settings: dict[str, Any], graphs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network is one graph without a break, and so is a loss, or two where omega rises."""
    made: list[GraphModule] = []

    def as_it_is(graph: GraphModule, _: list[torch.Tensor]) -> Any:
        made.append(graph)
        return graph.forward

    torch._dynamo.reset()
    plain = losses_of(kind, False, **settings)
    assert not made
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=as_it_is, fullgraph=True))
    assert losses_of(kind, True, **settings) == pytest.approx(plain, rel=1e-5)
    assert len(made) == graphs


def test_without_a_compiler_it_is_told_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    torch._dynamo.reset()
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "no-such-compiler"))
    with pytest.raises(InputError, match=r"not work here \(.*no-such-.*\); .*without --compile$"):
        losses_of("images", True)


@pytest.mark.parametrize(
    ("error", "raised", "told"),
    [
        (TritonMissing, InputError, "does not work here .*triton.*; give .* without --compile"),
        (torch.OutOfMemoryError, torch.OutOfMemoryError, "CUDA out of memory"),
    ],
)
def test_what_fails_while_it_compiles_is_told_as_what_it_is(
    error: Any, raised: type[Exception], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> Any:
        if error is TritonMissing:
            raise TritonMissing(None)
        raise error("CUDA out of memory")

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=failing))
    with pytest.raises(raised, match=f"(?i){told}"):
        losses_of("images", True)


def test_a_step_that_could_not_be_compiled_is_not_saved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is half taken; nor is a dry run's a mistake of the program."""
    made: list[GraphModule] = []

    def failing_at_the_third(graph: GraphModule, _: list[torch.Tensor]) -> Any:
        made.append(graph)
        if len(made) == 3:
            raise RuntimeError("no more of them")
        return graph.forward

    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=failing_at_the_third))
    photos, run = make_folder(tmp_path / "photos", each=8), tmp_path / "run"
    command = [*discover_command(photos, run, epochs=3, checkpoint_seconds=1000), "--compile"]
    assert newfound(*command) == 2
    assert "does not work here (no more of them)" in capsys.readouterr().err
    assert not (run / "checkpoint.pt").exists()

    torch._dynamo.reset()
    made[:] = [made[0], made[0]]
    assert newfound(*command, "--dry-run") == 2
    assert "does not work here (no more of them)" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["images", "videos"])
def test_compiled_by_torch_it_takes_the_same_steps(kind: str) -> None:
    assert losses_of(kind, True) == pytest.approx(losses_of(kind, False), rel=1e-3)
