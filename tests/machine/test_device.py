import subprocess
import sys

import pytest
import torch

from newfound.errors import InputError
from newfound.machine.device import choose_device, describe, uses_bfloat16

CPU = torch.device("cpu")


@pytest.mark.parametrize("wish", ["abacus", "cuda:99", "cpu:x", "meta"])
def test_a_device_that_is_not_there_is_named(wish: str) -> None:
    with pytest.raises(InputError, match=f"device '{wish}' is not on this machine; give auto"):
        choose_device(wish)


def test_auto_takes_what_there_is() -> None:
    assert choose_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert choose_device("cpu") == CPU


def test_precision_can_be_ordered() -> None:
    assert uses_bfloat16("bfloat16", CPU)
    assert not uses_bfloat16("float32", CPU)


def test_a_gpu_that_is_named_becomes_the_current_one(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen: list[torch.device] = []
    monkeypatch.setattr(torch, "empty", lambda *_, **__: None)
    monkeypatch.setattr(torch.cuda, "set_device", chosen.append)
    for wish in ("cuda:1", "cuda", "cpu"):
        assert choose_device(wish) == torch.device(wish)
    assert chosen == [torch.device("cuda:1")]


def test_hardware_is_named() -> None:
    assert describe(CPU).startswith("CPU, ")
    assert f"{torch.get_num_threads()} threads" in describe(CPU)


SETTINGS_OF_A_NOTEBOOK = [
    "",
    "torch.set_float32_matmul_precision('medium')",
    "torch.backends.cuda.matmul.allow_tf32 = True",
    "torch.backends.cuda.matmul.fp32_precision = 'tf32'",
    "torch.backends.mkldnn.matmul.fp32_precision = 'bf16'",
    "torch.backends.cudnn.conv.fp32_precision = 'ieee'",
    "torch.backends.cudnn.allow_tf32 = False",
    "torch.backends.fp32_precision = 'tf32'",
]

FLOAT32_AS_SUCH = """
import torch
from newfound.machine.device import float32_as_such

def state():
    told = []
    for get in (torch.get_float32_matmul_precision, lambda: torch.backends.cudnn.allow_tf32):
        try:
            told.append(get())
        except RuntimeError:
            told.append(None)
    backends = torch.backends
    kinds = backends.cuda.matmul, backends.mkldnn.matmul, backends.cudnn.conv, backends.cudnn.rnn
    return told, [kind.fp32_precision for kind in kinds]

{setting}
told, before = state()
for precision in ("float32", "bfloat16"):
    with float32_as_such(precision):
        (products, tf32), now = state()
        assert products == "highest" and now[:2] == ["ieee", "ieee"], now
        if precision == "float32":
            assert tf32 is False and now[2] == "ieee", (tf32, now)
        else:
            assert now[2] == before[2], now
    told_after, after = state()
    assert after == before, after
    assert all(was in (None, then) for was, then in zip(told, told_after)), told_after
"""


@pytest.mark.parametrize("setting", SETTINGS_OF_A_NOTEBOOK)
def test_float32_is_multiplied_as_such_whatever_a_notebook_says(setting: str) -> None:
    """In a process of its own, as some settings cannot be undone."""
    code = FLOAT32_AS_SUCH.format(setting=setting)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
