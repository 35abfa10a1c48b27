import pytest
import torch

from newfound.device import choose_device, describe, float32_as_such, uses_bfloat16
from newfound.errors import InputError

CPU = torch.device("cpu")


@pytest.mark.parametrize("wish", ["abacus", "cuda:99", "cpu:x"])
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


@pytest.mark.parametrize(("precision", "tf32"), [("float32", False), ("bfloat16", True)])
def test_float32_is_multiplied_as_such_whatever_a_notebook_says(precision: str, tf32: bool) -> None:
    left, right = torch.randn(2, 512, 512, generator=torch.Generator().manual_seed(0)).unbind()
    exact = left @ right
    torch.set_float32_matmul_precision("medium")
    try:
        with float32_as_such(precision):
            assert torch.get_float32_matmul_precision() == "highest"
            assert torch.backends.cudnn.allow_tf32 == tf32
            assert torch.equal(left @ right, exact)
        assert torch.get_float32_matmul_precision() == "medium"
        assert torch.backends.cudnn.allow_tf32
    finally:
        torch.set_float32_matmul_precision("highest")
