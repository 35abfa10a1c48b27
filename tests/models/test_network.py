import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from newfound.batch import Seen
from newfound.models.network import Network, make_network, weights_from
from newfound.objective.pairs import wta_agreement
from newfound.settings import make_config
from support.small_run import tiny_config


def test_outputs_have_the_shapes_of_figure_1_in_float32() -> None:
    network = make_network(tiny_config(), known=3, novel=5)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(Seen(torch.randn(8, 1, 16, 16)))
    assert outputs.fused.shape == (8, 32)
    assert outputs.contrast.keys() == {"visual"}
    assert outputs.contrast["visual"].shape == (8, 8)
    assert outputs.known.shape == (8, 3)
    assert outputs.novel.shape == (8, 5)
    fields = (outputs.fused, outputs.contrast["visual"], outputs.known, outputs.novel)
    assert {field.dtype for field in fields} == {torch.float32}
    torch.testing.assert_close(outputs.contrast["visual"].norm(dim=1), torch.ones(8))


@pytest.mark.parametrize(("px", "kernel"), [(32, 3), (33, 7)])
def test_the_stem_follows_the_image_size(px: int, kernel: int) -> None:
    encoder = make_network(tiny_config(px=px), 2, 2).encoders["visual"]
    assert encoder.conv1.kernel_size == (kernel, kernel)


def test_the_seed_alone_decides_the_first_weights() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = make_network(tiny_config(seed=3), 2, 2).state_dict()
    assert torch.equal(torch.get_rng_state(), before)  # the global generator is left alone
    torch.manual_seed(2)
    other = make_network(tiny_config(seed=3), 2, 2).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)
    another = make_network(tiny_config(seed=4), 2, 2).state_dict()
    for name in ("encoders.visual.conv1.weight", "known.weight", "novel.weight", "windows"):
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
    images = Seen(torch.randn(3, 1, 16, 16))
    order = np.array([2, 0, 3, 1])
    with torch.no_grad():
        before = network(images)
        network.order_novel(order)
        after = network(images)
    assert torch.equal(after.novel, before.novel[:, order])
    assert torch.equal(after.known, before.known)


def clips_and_sound(items: int = 4, heard: list[bool] | None = None) -> Seen:
    generator = torch.Generator().manual_seed(0)
    return Seen(
        torch.randn(items, 3, 4, 24, 24, generator=generator),
        torch.randn(items, 1, 33, 25, generator=generator),
        None if heard is None else torch.tensor(heard),
    )


def video_network(modalities: str = "both", **changed: Any) -> Network:
    pairs = "cross" if modalities == "both" else "within"
    config = tiny_config(
        preset="videos",
        channels=3,
        modalities=modalities,
        instance_pairs=pairs,
        category_pairs=pairs,
        fusion_size=24,
        **changed,
    )
    return make_network(config, 3, 5)


@pytest.mark.parametrize(
    ("modalities", "contrasts", "fused"),
    [("both", ["visual", "audio"], 24), ("visual", ["visual"], 32), ("audio", ["audio"], 32)],
)
def test_any_modalities_have_the_outputs_of_figure_1(
    modalities: str, contrasts: list[str], fused: int
) -> None:
    network = video_network(modalities, hashes=256)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = network(clips_and_sound())
    assert outputs.fused.shape == (4, fused) == (4, network.fused_size)
    assert outputs.known.shape == (4, 3)
    assert outputs.novel.shape == (4, 5)
    assert list(outputs.contrast) == contrasts
    for contrast in outputs.contrast.values():
        assert contrast.shape == (4, 8)
        torch.testing.assert_close(contrast.norm(dim=1), torch.ones(4))
    tensors = (outputs.fused, outputs.known, outputs.novel, *outputs.contrast.values())
    assert {tensor.dtype for tensor in tensors} == {torch.float32}
    assert network.windows.max() == fused - 1  # the windows read the fused features


def test_the_sizes_of_the_paper() -> None:
    """Section 4: 512 from each encoder, a hidden eta of output 512, MLPs of 512 and 128."""
    network = make_network(make_config("videos"), 350, 50)
    shapes = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    assert shapes["fusion.linear.weight"] == (512, 1024)
    for modality in ("visual", "audio"):
        assert shapes[f"projections.{modality}.0.weight"] == (512, 512)
        assert shapes[f"projections.{modality}.2.weight"] == (128, 512)
    assert shapes["encoders.audio.conv1.weight"] == (64, 1, 7, 7)
    assert shapes["encoders.visual.stem.0.weight"] == (64, 3, 3, 7, 7)
    assert shapes["known.weight"] == (350, 512)
    assert shapes["novel.weight"] == (50, 512)
    assert shapes["windows"] == (512, 4)


def test_eta_is_the_concatenation_through_a_layer_and_a_relu() -> None:
    network, seen = video_network().eval(), clips_and_sound()
    with torch.no_grad():
        fused = network(seen).fused
        pictures = network.encoders["visual"](seen.pixels)
        sound = network.encoders["audio"](seen.spectrogram)
        layer = network.fusion.linear
        expected = (torch.cat([pictures, sound], dim=1) @ layer.weight.T + layer.bias).relu()
    torch.testing.assert_close(fused, expected)


def test_threads_that_draw_weights_do_not_disturb_each_other() -> None:
    def draw(seed: int) -> Tensor:
        with weights_from(seed):
            first = torch.rand(1)
            time.sleep(0.05)
            return torch.cat([first, torch.rand(1)])

    alone = [draw(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(draw, range(4)))
    assert torch.equal(torch.stack(together), torch.stack(alone))


def test_the_heads_are_exact_under_bfloat16() -> None:
    network = make_network(tiny_config(), known=3, novel=5)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        outputs = network(Seen(torch.randn(8, 1, 16, 16)))
    assert torch.equal(outputs.known, network.known(outputs.fused))
    assert torch.equal(outputs.novel, network.novel(outputs.fused))


def test_the_fused_features_are_not_rounded_to_ties_under_bfloat16() -> None:
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        fused = video_network()(clips_and_sound()).fused
    assert not torch.equal(fused, fused.bfloat16().float())


def test_sound_that_is_not_there_says_and_learns_nothing() -> None:
    """In evaluation; in training it still is in the batch statistics of the audio encoder."""
    network, heard = video_network().eval(), [True, False, False, True]
    seen = clips_and_sound(4, heard)
    noise = torch.randn_like(seen.spectrogram)
    spectrograms = [
        torch.where(seen.heard[:, None, None, None], seen.spectrogram, other).requires_grad_()
        for other in (noise, torch.zeros_like(noise))
    ]
    one, other = (network(replace(seen, spectrogram=given)) for given in spectrograms)
    for ours, theirs in ((one.fused, other.fused), (one.known, other.known)):
        assert torch.equal(ours, theirs)
    (gradient,) = torch.autograd.grad(
        one.known.sum() + one.contrast["audio"].sum(), spectrograms[0]
    )
    assert [bool(of_item.any()) for of_item in gradient] == heard
    assert torch.equal(one.heard, seen.heard)


def test_channels_last_changes_speed_alone() -> None:
    network, seen = video_network().eval(), clips_and_sound()
    with torch.no_grad():
        plain = network(seen)
        ordered = network.channels_last()(seen)
    assert (
        network.encoders["visual"]
        .layer1[0]
        .conv1[0]
        .weight.is_contiguous(memory_format=torch.channels_last_3d)
    )
    assert (
        network.encoders["audio"]
        .layer1[0]
        .conv1.weight.is_contiguous(memory_format=torch.channels_last)
    )
    torch.testing.assert_close(ordered.fused, plain.fused)
    torch.testing.assert_close(ordered.novel, plain.novel)


def test_an_image_network_has_the_weights_it_always_had_for_a_seed() -> None:
    """Sums over the weights of seed 3 before there were modalities."""
    sums = {
        "encoders.visual.conv1.weight": -0.7126049282960594,
        "known.weight": -0.3854646682739258,
        "novel.bias": -0.3575498089194298,
    }
    state = make_network(tiny_config(seed=3), 3, 4).state_dict()
    for name, before in sums.items():
        assert state[name].double().sum().item() == pytest.approx(before, rel=1e-6)
