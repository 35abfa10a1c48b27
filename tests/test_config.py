import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from newfound.config import PRESETS, Runtime, kind_of, make_config, make_runtime
from newfound.errors import InputError


@pytest.mark.parametrize("name", PRESETS)
def test_presets_know_their_names_and_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert preset.preset == name
    assert type(preset).model_validate(json.loads(preset.model_dump_json())) == preset
    assert make_config(name) == preset


def test_none_leaves_the_presets_value_and_anything_else_replaces_it() -> None:
    config = make_config("images", epochs=3, lr=None, unlabelled_share=0.5)
    assert (config.epochs, config.lr, config.unlabelled_share) == (3, 0.1, 0.5)


def test_settings_cannot_be_changed_or_invented() -> None:
    with pytest.raises(ValidationError):
        PRESETS["images"].lr = 1.0  # type: ignore[misc]
    with pytest.raises(InputError, match="learning_rate"):
        make_config("images", learning_rate=0.1)
    with pytest.raises(InputError, match="no preset is named 'tiny'; there are images"):
        make_config("tiny")


@given(
    hashes=st.integers(8, 2048),
    window=st.integers(2, 8),
    mu=st.one_of(st.integers(1, 4096), st.floats(0.001, 1.0)),
)
def test_mu_lies_between_chance_and_h(hashes: int, window: int, mu: float) -> None:
    """A count above H/k and at most H; a float up to 1 is a fraction of H."""
    count = mu * hashes if isinstance(mu, float) else mu
    if hashes / window < count <= hashes:
        assert make_config("images", mu=mu, hashes=hashes, window=window).mu_count() == count
    else:
        with pytest.raises(InputError, match=f"mu is {mu}: unrelated items agree"):
            make_config("images", mu=mu, hashes=hashes, window=window)


def test_a_count_of_1_is_no_fraction() -> None:
    with pytest.raises(InputError, match="mu is 1: "):
        make_config("images", mu=1)
    assert make_config("images", mu=1.0).mu_count() == 512


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"ramp_scale": 1.01}, r"ramp_scale: .*less than or equal to 1 \(given: 1.01\)"),
        ({"lr": float("nan")}, "lr: .*finite"),
        ({"seed": -1}, "seed: "),
        ({"channels": 2}, r"channels: .*1 or 3 \(given: 2\)"),
        ({"crop_scale": (0.5, 0.4)}, r"crop_scale is \(0.5, 0.4\); give 0 < least <= largest"),
        ({"crop_scale": (0.5, 1.4)}, "crop_scale ends at 1.4; a crop is at most 1"),
        ({"blur_sigma": (0.0, 1.0)}, "blur_sigma is"),
        ({"width": 4, "window": 33}, "window is 33, more than the 32 features of width 4"),
        ({"epochs": 5, "warmup_epochs": 5}, "warmup_epochs is 5.0 of 5 epochs; make it shorter"),
        ({"pairs": "rank", "rank_top": 513}, "rank_top is 513, more than the 512 features"),
        ({"pairs": "rank", "mu": "heldout"}, "these are pairs rank of method ours"),
        ({"mu": "sharp"}, "mu: "),
        ({"epochs": 0, "batch": 1}, "epochs: .*; batch: "),
    ],
)
def test_each_bad_setting_is_named_with_its_value(settings: dict[str, Any], complaint: str) -> None:
    with pytest.raises(InputError, match=complaint) as caught:
        make_config("images", **settings)
    assert "pydantic" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_runtime_settings_are_checked_alike() -> None:
    assert make_runtime(workers=None, device="cpu") == Runtime(device="cpu")
    with pytest.raises(InputError, match=r"workers: .*given: -1"):
        make_runtime(workers=-1)
    with pytest.raises(InputError, match="cache: "):
        make_runtime(cache="disk")


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"fusion_size": 8, "window": 9}, "window is 9, more than the 8 features of fusion_size"),
        (
            {"modalities": "visual", "width": 4, "window": 33},
            "window is 33, more than the 32 features of width 4",
        ),
        ({"channels": 1}, r"channels: .*3 \(given: 1\)"),
        ({"sound_seconds": 0.01}, "sound_seconds: "),
        ({"clips": 0}, "clips: "),
        ({"places": 0}, "places: "),
        ({"modalities": "audio", "instance_pairs": "cross"}, "--instance-pairs within or off"),
        ({"modalities": "audio", "category_pairs": "cross"}, "--category-pairs within or off"),
        ({"modalities": "smell"}, "modalities: "),
        ({"modalities": "audio", "missing_audio": "zeros"}, "give --missing-audio skip"),
    ],
)
def test_settings_of_videos_are_checked_too(settings: dict[str, Any], complaint: str) -> None:
    alone = {"instance_pairs": "within", "category_pairs": "within"}
    with pytest.raises(InputError, match=complaint):
        make_config("quick-videos", **(alone if "modalities" in settings else {}) | settings)


def test_the_window_reads_the_features_of_eta_or_of_the_only_encoder() -> None:
    """With two modalities eta's output is what is hashed, however narrow the encoders."""
    make_config("quick-videos", width=4, window=33, fusion_size=33)
    make_config(
        "quick-videos",
        modalities="audio",
        instance_pairs="within",
        category_pairs="within",
        width=8,
        window=33,
        fusion_size=8,
    )


def test_settings_of_videos_are_no_settings_of_images() -> None:
    with pytest.raises(InputError, match="clip_frames: Extra inputs"):
        make_config("images", clip_frames=4)
    assert kind_of("images") == kind_of("quick") == "images"
    assert kind_of("videos") == kind_of("quick-videos") == "videos"
