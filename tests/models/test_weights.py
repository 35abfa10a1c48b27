"""Trained weights that a network starts from: what is taken of them, and what is refused."""

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from newfound.config import Config
from newfound.errors import InputError
from newfound.models.network import Network, make_network
from newfound.models.weights import read_weights
from newfound.settings import make_config

FULL = make_config("quick", width=64)
VIDEOS = make_config("videos")
TINY = make_config("quick", width=4, hashes=8, window=2, mu="share")
TINY_VIDEOS = make_config("quick-videos", width=4, fusion_size=16, hashes=8, window=2, mu="share")


def published(make: Callable[..., nn.Module]) -> nn.Module:
    """torchvision's network, with statistics as after training."""
    torch.manual_seed(7)
    model = make(weights=None).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


@pytest.fixture(scope="module")
def resnet18() -> nn.Module:
    return published(torchvision.models.resnet18)


def features(model: nn.Module, inputs: Tensor) -> Tensor:
    """Of torchvision's network, without its classifier."""
    classifier, model.fc = model.fc, nn.Identity()
    with torch.no_grad():
        found: Tensor = model(inputs)
    model.fc = classifier
    return found


def state(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor], within: str) -> None:
    """All that lies within a part is equal."""
    names = [name for name in one if name.startswith(within)]
    assert names
    assert [name for name in names if not torch.equal(one[name], other[name])] == []


def as_it_is(state: dict[str, Tensor], file: Path) -> None:
    torch.save(state, file)


def as_before_2018(state: dict[str, Tensor], file: Path) -> None:
    old = {name: v for name, v in state.items() if not name.endswith("num_batches_tracked")}
    torch.save(old, file, _use_new_zipfile_serialization=False)


def as_of_moco(state: dict[str, Tensor], file: Path) -> None:
    trained = {f"module.encoder_q.{name}": value for name, value in state.items()}
    torch.save({"epoch": 200, "state_dict": trained, "optimizer": {"state": {}}}, file)


def as_safetensors(state: dict[str, Tensor], file: Path) -> None:
    save_file(state, file)


@pytest.mark.parametrize(
    ("write", "name"),
    [
        (as_it_is, "weights.pth"),
        (as_before_2018, "weights.pth"),
        (as_of_moco, "checkpoint.pth.tar"),
        (as_safetensors, "weights.safetensors"),
    ],
)
def test_published_weights_give_the_features_of_their_own_network(
    resnet18: nn.Module,
    write: Callable[[dict[str, Tensor], Path], None],
    name: str,
    tmp_path: Path,
) -> None:
    write(resnet18.state_dict(), tmp_path / name)
    network = make_network(FULL, 3, 2, read_weights(tmp_path / name)).eval()
    pictures = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        ours = network.encoder("visual")(pictures)
    torch.testing.assert_close(ours, features(resnet18, pictures))


def test_of_clips_too_beside_an_audio_encoder_of_its_own(tmp_path: Path) -> None:
    r3d18 = published(torchvision.models.video.r3d_18)
    torch.save(r3d18.state_dict(), tmp_path / "r3d.pth")
    network = make_network(VIDEOS, 3, 2, read_weights(tmp_path / "r3d.pth")).eval()
    clips = torch.randn(2, 3, 5, 40, 40)
    with torch.no_grad():
        ours = network.encoder("visual")(clips)
    torch.testing.assert_close(ours, features(r3d18, clips))
    assert_equal(state(network), state(make_network(VIDEOS, 3, 2)), "encoders.audio.")


def test_weights_kept_with_their_gradients_are_weights(resnet18: nn.Module, tmp_path: Path) -> None:
    torch.save(resnet18.state_dict(), tmp_path / "a.pth")
    torch.save(resnet18.state_dict(keep_vars=True), tmp_path / "b.pth")
    a, b = (read_weights(tmp_path / f"{name}.pth") for name in "ab")
    assert a.fingerprint == b.fingerprint
    make_network(FULL, 3, 2, b)


@pytest.mark.parametrize("spoilt", [Tensor.to_sparse, lambda value: value.to(torch.complex64)])
def test_a_weight_that_is_no_plain_number_is_refused(
    resnet18: nn.Module, tmp_path: Path, spoilt: Callable[[Tensor], Tensor]
) -> None:
    broken = state(resnet18)
    broken["conv1.weight"] = spoilt(broken["conv1.weight"])
    torch.save(broken, tmp_path / "a.pth")
    with pytest.raises(
        InputError, match=r"a\.pth: encoders\.visual\.conv1\.weight is quantized, sp"
    ):
        read_weights(tmp_path / "a.pth")


@pytest.mark.parametrize("prefix", ["module.", "net.module."])
def test_our_own_network_is_known_after_a_prefix(tmp_path: Path, prefix: str) -> None:
    run = make_network(TINY_VIDEOS, 3, 2)
    saved(run, tmp_path / "a.safetensors")
    save_file(
        {prefix + name: value for name, value in state(run).items()},
        tmp_path / "b.safetensors",
    )
    a, b = (read_weights(tmp_path / f"{name}.safetensors").fingerprint for name in "ab")
    assert a == b


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_as_float32(
    resnet18: nn.Module, tmp_path: Path, dtype: torch.dtype
) -> None:
    half = {n: v.to(dtype) if v.is_floating_point() else v for n, v in state(resnet18).items()}
    torch.save(half, tmp_path / "half.pth")
    torch.save({name: value.float() for name, value in half.items()}, tmp_path / "whole.pth")
    weights = read_weights(tmp_path / "half.pth")
    weight = make_network(FULL, 3, 2, weights).encoder("visual").get_parameter("conv1.weight")
    assert weight.dtype == torch.float32
    assert torch.equal(weight, half["conv1.weight"].float())
    assert weights.fingerprint == read_weights(tmp_path / "whole.pth").fingerprint


def saved(network: Network, file: Path) -> Path:
    save_file(network.state_dict(), file)
    return file


@pytest.mark.parametrize("config", [TINY, TINY_VIDEOS])
def test_of_a_run_all_is_taken_but_its_heads_and_windows(config: Config, tmp_path: Path) -> None:
    other_seed = config.model_copy(update={"seed": 1})
    run = make_network(other_seed, 5, 4)
    saved(run, tmp_path / "model.safetensors")
    network = make_network(config, 3, 2, read_weights(tmp_path))
    taken, of_run, of_its_own = state(network), state(run), state(make_network(config, 3, 2))
    for part in run.encoders:
        assert_equal(taken, of_run, f"encoders.{part}.")
        assert_equal(taken, of_run, f"projections.{part}.")
    if config is TINY_VIDEOS:
        assert_equal(taken, of_run, "fusion.")
    for part in ("known.", "novel.", "windows"):
        assert_equal(taken, of_its_own, part)


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_of_two_modalities_one_can_be_taken(modality: str, tmp_path: Path) -> None:
    run = make_network(TINY_VIDEOS.model_copy(update={"seed": 1}), 3, 2)
    alone = {"modalities": modality, "instance_pairs": "within", "category_pairs": "within"}
    config = TINY_VIDEOS.model_copy(update=alone)
    weights = read_weights(saved(run, tmp_path / "run.safetensors"))
    taken = state(make_network(config, 3, 2, weights))
    assert_equal(taken, state(run), f"encoders.{modality}.")
    assert_equal(taken, state(run), f"projections.{modality}.")


def test_a_checkpoint_is_taken_as_the_model_is(tmp_path: Path) -> None:
    run = make_network(TINY.model_copy(update={"seed": 1}), 3, 2)
    of_training = {"network": run.state_dict(), "optimiser": {"state": {0: {"m": torch.ones(3)}}}}
    torch.save({"data": "", "training": of_training}, tmp_path / "checkpoint.pt")
    of_model = read_weights(saved(run, tmp_path / "model.safetensors"))
    of_checkpoint = read_weights(tmp_path / "checkpoint.pt")
    assert of_checkpoint.fingerprint == of_model.fingerprint


def test_the_fingerprint_is_of_names_and_values_alone(resnet18: nn.Module, tmp_path: Path) -> None:
    as_it_is(resnet18.state_dict(), tmp_path / "a.pth")
    as_of_moco(resnet18.state_dict(), tmp_path / "b.pth")
    as_before_2018(resnet18.state_dict(), tmp_path / "c.pth")
    other = state(resnet18)
    other["layer4.1.bn2.running_var"][3] += 1e-3
    as_it_is(other, tmp_path / "d.pth")
    a, b, c, d = (read_weights(tmp_path / f"{name}.pth").fingerprint for name in "abcd")
    assert a == b == c != d


@pytest.mark.parametrize(
    ("make", "changed", "message"),
    [
        ("resnet18", {"width": 16}, r"\(64, 3, 7, 7\) there and \(16, 3, 7, 7\).*give --width 64$"),
        ("resnet18", {"width": 64, "px": 32}, "give --px above 32$"),
        ("resnet18", {"channels": 1}, "give --width 64, --channels 3$"),
        ("resnet34", {"width": 64}, "layer1.2.bn1.bias is there and not here; give weights of a R"),
        (
            "resnet50",
            {"width": 64},
            "layer1.0.conv1.weight is .* there .* give weights of a ResNet",
        ),
        ("wide_resnet50_2", {"width": 64}, "another network"),
        ("vgg11", {}, "holds no weights that are known here; give weights of a ResNet-18"),
        ("video.r3d_18", {"width": 64}, "another network: .*give weights of a ResNet-18"),
    ],
)
def test_another_network_is_refused_with_the_cure(
    make: str, changed: dict[str, Any], message: str, tmp_path: Path
) -> None:
    model: Any = torchvision.models
    for name in make.split("."):
        model = getattr(model, name)
    torch.save(model(weights=None).state_dict(), tmp_path / "w.pth")
    with pytest.raises(InputError, match=message):
        make_network(make_config("quick", **changed), 3, 2, read_weights(tmp_path / "w.pth"))


def test_a_small_run_is_refused_for_large_pictures(tmp_path: Path) -> None:
    small = make_network(make_config("quick", px=32), 3, 2)
    weights = read_weights(saved(small, tmp_path / "small.safetensors"))
    with pytest.raises(InputError, match=r"give --px of 32 or less$"):
        make_network(make_config("quick"), 3, 2, weights)


def test_a_run_of_images_has_nothing_for_sound(tmp_path: Path) -> None:
    weights = read_weights(saved(make_network(TINY, 3, 2), tmp_path / "run.safetensors"))
    alone = {"modalities": "audio", "instance_pairs": "within", "category_pairs": "within"}
    with pytest.raises(InputError, match=r"has weights for visual, .* alone"):
        make_network(TINY_VIDEOS.model_copy(update=alone), 3, 2, weights)


class Trap:
    """Pickled, it makes a folder when it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def test_no_code_of_a_file_is_run(tmp_path: Path) -> None:
    (tmp_path / "trap.pth").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    with pytest.raises(InputError, match="cannot be read without running code"):
        read_weights(tmp_path / "trap.pth")
    assert not (tmp_path / "sprung").exists()


def test_what_is_no_file_of_weights_is_refused(resnet18: nn.Module, tmp_path: Path) -> None:
    (tmp_path / "text.pth").write_text("no weights")
    (tmp_path / "text.safetensors").write_text("no weights")
    torch.save(torch.ones(3), tmp_path / "tensor.pth")
    endless: dict[Any, Any] = {"a": 1, 2: torch.ones(3)}
    endless["itself"] = endless
    torch.save(endless, tmp_path / "other.pth")
    two = {f"{n}.{k}": v for n in ("encoder_q", "encoder_k") for k, v in state(resnet18).items()}
    torch.save(two, tmp_path / "two.pth")
    broken = state(resnet18)
    broken["layer3.0.conv1.weight"][0, 0, 0, 0] = float("nan")
    torch.save(broken, tmp_path / "nan.pth")
    for name, message in {
        "x" * 300: "cannot read .*File name too long",
        "absent.pth": "absent.pth is not there; give a file of weights, or the folder of a run",
        ".": "model.safetensors is not there; give .* the folder of a run that has ended",
        "text.pth": "text.pth is damaged, no file of weights",
        "text.safetensors": "text.safetensors is damaged or no file of safetensors",
        "tensor.pth": "holds no weights that are known here",
        "other.pth": "holds no weights that are known here",
        "two.pth": r"holds several networks, 'encoder_k\.' and 'encoder_q\.'; save the weights of",
        "nan.pth": r"encoders\.visual\.layer3\.0\.conv1\.weight has values that are no numbers",
    }.items():
        with pytest.raises(InputError, match=message):
            read_weights(tmp_path / name)
