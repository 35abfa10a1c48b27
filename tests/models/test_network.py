import numpy as np
import pytest
import torch
import torchvision
from torch import nn

from newfound.models.encoders import ResNet18
from newfound.models.network import make_network
from newfound.objective.pairs import wta_agreement
from support.small_run import tiny_config


def test_published_resnet18_weights_load_by_name_and_give_the_same_features() -> None:
    torch.manual_seed(0)
    published = torchvision.models.resnet18(weights=None)
    for module in published.modules():  # as after training: statistics that are not 0 and 1
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    encoder = ResNet18(64, 3, small_stem=False)
    state = {k: v for k, v in published.state_dict().items() if not k.startswith("fc.")}
    encoder.load_state_dict(state)
    published.fc = nn.Identity()
    images = torch.randn(2, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(encoder.eval()(images), published.eval()(images))


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


def test_features_are_not_negative_and_stay_exact_under_bfloat16() -> None:
    torch.manual_seed(0)
    encoder = ResNet18(8, 1, small_stem=True)
    images = torch.randn(16, 1, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        features = encoder(images)
    assert features.dtype == torch.float32
    assert (features >= 0).all()
    rounded = features.bfloat16().float()
    assert not torch.equal(features, rounded)  # pooled in float32, not rounded on the way


def test_outputs_have_the_shapes_of_figure_1_in_float32() -> None:
    network = make_network(tiny_config(), known=3, novel=5)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(torch.randn(8, 1, 16, 16))
    assert outputs.fused.shape == (8, 32)
    assert outputs.contrast.shape == (8, 8)
    assert outputs.known.shape == (8, 3)
    assert outputs.novel.shape == (8, 5)
    fields = (outputs.fused, outputs.contrast, outputs.known, outputs.novel)
    assert {field.dtype for field in fields} == {torch.float32}
    torch.testing.assert_close(outputs.contrast.norm(dim=1), torch.ones(8))


@pytest.mark.parametrize(("px", "kernel"), [(32, 3), (33, 7)])
def test_the_stem_follows_the_image_size(px: int, kernel: int) -> None:
    assert make_network(tiny_config(px=px), 2, 2).encoder.conv1.kernel_size == (kernel, kernel)


def test_the_seed_alone_decides_the_first_weights() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = make_network(tiny_config(seed=3), 2, 2).state_dict()
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is left alone
    torch.manual_seed(2)
    other = make_network(tiny_config(seed=3), 2, 2).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    another = make_network(tiny_config(seed=4), 2, 2).state_dict()
    for name in ("encoder.conv1.weight", "known.weight", "novel.weight", "windows"):
        assert not torch.equal(one[name], another[name])


def test_the_windows_are_saved_with_the_weights() -> None:
    network = make_network(tiny_config(), 2, 2)
    assert network.state_dict()["windows"].shape == (32, 4)
    restored = make_network(tiny_config(seed=9), 2, 2)
    restored.load_state_dict(network.state_dict())
    features = torch.rand(5, 32)
    expected = wta_agreement(features, network.windows)
    assert torch.equal(wta_agreement(features, restored.windows), expected)


def test_the_novel_outputs_can_be_reordered() -> None:
    network = make_network(tiny_config(), 2, 4).eval()
    images = torch.randn(3, 1, 16, 16)
    order = np.array([2, 0, 3, 1])
    with torch.no_grad():
        before = network(images)
        network.order_novel(order)
        after = network(images)
    assert torch.equal(after.novel, before.novel[:, order])
    assert torch.equal(after.known, before.known)
