"""The encoders against torchvision's, by name and by value."""

from collections.abc import Callable

import pytest
import torch
import torchvision
from torch import nn

from newfound.models.encoders import R3D18, Encoder, ResNet18


def published(model: nn.Module) -> tuple[dict[str, torch.Tensor], nn.Module]:
    """The state without classifier and the model without it, with statistics as after training."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    model.fc = nn.Identity()
    return model.state_dict(), model.eval()


@pytest.mark.parametrize(
    ("make", "ours", "shape"),
    [
        (torchvision.models.resnet18, ResNet18, (2, 3, 96, 96)),
        (torchvision.models.video.r3d_18, R3D18, (2, 3, 5, 40, 40)),
    ],
)
def test_published_weights_load_by_name_and_give_the_same_features(
    make: Callable[..., nn.Module], ours: Callable[[], Encoder], shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    state, model = published(make(weights=None))
    encoder = ours()
    encoder.load_state_dict(state)
    inputs = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(inputs), model(inputs))


def test_the_audio_encoder_is_resnet18_with_one_input_channel() -> None:
    """As torchvision's with its first convolution replaced, on a spectrogram of section 4."""
    torch.manual_seed(0)
    grey = torchvision.models.resnet18(weights=None)
    grey.conv1 = nn.Conv2d(1, 64, 7, stride=2, padding=3, bias=False)
    state, model = published(grey)
    encoder = ResNet18(64, channels=1)
    encoder.load_state_dict(state)
    spectrogram = torch.randn(1, 1, 257, 199)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(spectrogram), model(spectrogram))


@pytest.mark.parametrize(
    ("make", "ours"),
    [(torchvision.models.resnet18, ResNet18), (torchvision.models.video.r3d_18, R3D18)],
)
def test_the_encoders_have_as_many_parameters_as_torchvisions(
    make: Callable[..., nn.Module], ours: Callable[[], Encoder]
) -> None:
    model = make(weights=None)
    classifier = sum(parameter.numel() for parameter in model.fc.parameters())
    theirs = sum(parameter.numel() for parameter in model.parameters())
    assert sum(parameter.numel() for parameter in ours().parameters()) == theirs - classifier


@pytest.mark.parametrize("channels", [1, 3])
def test_r3d18_has_any_width_and_number_of_channels(channels: int) -> None:
    encoder = R3D18(4, channels)
    assert encoder(torch.randn(2, channels, 8, 32, 32)).shape == (2, encoder.size) == (2, 32)
    deviation = encoder.layer4[1].conv2[0].weight.std().item()
    assert deviation == pytest.approx((2 / (32 * 27)) ** 0.5, rel=0.05)  # He, fan out


@pytest.mark.parametrize(
    ("encoder", "shape"), [(ResNet18(8), (4, 3, 64, 64)), (R3D18(8), (2, 3, 8, 32, 32))]
)
def test_the_order_in_memory_changes_speed_alone(encoder: Encoder, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(shape)
    with torch.no_grad():
        plain = encoder.eval()(inputs)
        encoder.to(memory_format=encoder.memory_format)
        ordered = inputs.contiguous(memory_format=encoder.memory_format)
        for given in (inputs, ordered):
            torch.testing.assert_close(encoder(given), plain)


@pytest.mark.parametrize(
    ("small_stem", "side", "after_stem", "last"), [(True, 32, 32, 4), (False, 224, 56, 7)]
)
def test_stems_keep_the_usual_resolutions(
    small_stem: bool, side: int, after_stem: int, last: int
) -> None:
    encoder = ResNet18(4, 3, small_stem)
    sizes = {}
    for name in ("layer1", "layer4"):
        getattr(encoder, name).register_forward_hook(
            lambda _module, inputs, output, name=name: sizes.update(
                {name: (inputs[0].shape[-1], output.shape[-1])}
            )
        )
    features = encoder(torch.randn(2, 3, side, side))
    assert features.shape == (2, 32)
    assert sizes["layer1"][0] == after_stem
    assert sizes["layer4"][1] == last
    assert encoder.conv1.kernel_size == ((3, 3) if small_stem else (7, 7))


@pytest.mark.parametrize(
    ("encoder", "shape"),
    [
        (ResNet18(8, 1, small_stem=True), (16, 1, 16, 16)),
        (ResNet18(8, 1), (4, 1, 65, 50)),
        (R3D18(8), (4, 3, 4, 24, 24)),
    ],
)
def test_features_are_not_negative_and_stay_exact_under_bfloat16(
    encoder: Encoder, shape: tuple[int, ...]
) -> None:
    torch.manual_seed(0)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = encoder(torch.randn(shape))
    assert features.dtype == torch.float32
    assert (features >= 0).all()
    rounded = features.bfloat16().float()
    assert not torch.equal(features, rounded)  # pooled in float32, not rounded on the way


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 8])
@pytest.mark.parametrize("where", ["stem", "block"])
def test_a_convolution_of_clips_has_float32s_gradients_in_bfloat16(where: str, frames: int) -> None:
    """However many frames its maps have, to within bfloat16's rounding."""
    network = R3D18(width=32, channels=32).to(memory_format=R3D18.memory_format)
    convolution = network.stem[0] if where == "stem" else network.layer1[0].conv1[0]
    generator = torch.Generator().manual_seed(0)
    clips = torch.randn(4, 32, frames, 8, 8, generator=generator)
    clips = clips.contiguous(memory_format=R3D18.memory_format)
    weights = torch.randn(convolution(clips).shape, generator=generator)
    found: dict[bool, list[torch.Tensor]] = {}
    for bfloat16 in (True, False):
        x = clips.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            out = convolution(x).float()
        found[bfloat16] = [
            out,
            *torch.autograd.grad((out * weights).sum(), [x, convolution.weight]),
        ]
    for rounded, exact in zip(found[True], found[False]):
        assert (rounded - exact).norm() < 0.01 * exact.norm()
