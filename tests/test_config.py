from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from newfound.config import Method, Runtime
from newfound.errors import InputError
from newfound.settings import make_config, make_runtime


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
        (
            {"epochs": 5, "warmup_epochs": 5},
            "warmup_epochs is 5 of 5 epochs; give fewer, as --warmup-epochs 0.5",
        ),
        ({"pairs": "rank", "rank_top": 513}, "rank_top is 513, more than the 512 features"),
        ({"pairs": "rank", "mu": "heldout"}, "these are pairs rank of method ours"),
        ({"mu": "sharp"}, "mu: "),
        ({"shift": 0.6}, r"shift: .*less than or equal to 0.5 \(given: 0.6\)"),
        ({"weak_crop_scale": (0.9, 0.5)}, r"weak_crop_scale is \(0.9, 0.5\); give 0 < least"),
        ({"weak_crop_scale": (0.5, 1.5)}, "weak_crop_scale ends at 1.5; a crop is at most 1"),
        ({"drops": (0.5, 1.0)}, r"drops are \(0.5, 1.0\); give shares of the epochs between 0"),
        ({"own_drops": (0.0,)}, r"own_drops are \(0.0,\); give shares of the epochs between 0"),
        ({"drop_factor": 0}, "drop_factor: "),
        ({"own_batch": 3}, "own_batch: "),
        ({"ramp_length": 0}, "ramp_length: "),
        ({"cosine_threshold": 1.1}, "cosine_threshold: "),
        ({"pairs": "hamming"}, "pairs: .*'wta', 'rank', 'cosine' or 'nearest'"),
        ({"method": "uno"}, "method: .*'ours', 'kmeans', 'kcl', 'mcl', 'dtc', 'rs' or 'rs-ll'"),
        ({"method": "dtc", "dtc_variant": "tea"}, "dtc_variant: "),
        ({"pretraining": "cl"}, "our method is trained in one stage; leave it out"),
        ({"method": "dtc", "pretraining": "none"}, "method is dtc, which clusters what"),
        ({"method": "rs", "mu": "heldout"}, "these are pairs rank of method rs"),
        ({"method": "rs", "pairs": "wta", "mu": "heldout"}, "pairs wta of method rs"),
        ({"pairs": "cosine", "mu": "heldout"}, "these are pairs cosine of method ours"),
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
        ({"modalities": "audio", "method": "rs"}, "a sound cannot be rotated; give --pretraining"),
        ({"modalities": "audio", "method": "kmeans", "pretraining": "rotnet"}, "cannot be rotated"),
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


@pytest.mark.parametrize(
    ("method", "first"),
    [
        ("ours", "none"),
        ("kmeans", "labels"),
        ("kcl", "labels"),
        ("mcl", "labels"),
        ("dtc", "rotnet"),
        ("rs", "rotnet"),
        ("rs-ll", "rotnet"),
    ],
)
def test_auto_is_the_methods_own_pretraining(method: Method, first: str) -> None:
    assert make_config("images", method=method).first_stage == first
    if method != "ours":
        assert make_config("images", method=method, pretraining="simclr").first_stage == "simclr"


@pytest.mark.parametrize(
    "settings",
    [
        {"pairs": "rank"},
        {"pairs": "cosine"},
        {"pairs": "nearest"},
        {"method": "rs"},
        {"method": "kmeans"},
        {"method": "dtc"},
    ],
)
def test_a_mu_that_nothing_reads_is_not_judged(settings: dict[str, Any]) -> None:
    """As with few hashes, which the default of 240 does not fit."""
    assert make_config("images", hashes=64, **settings).mu == 240
    with pytest.raises(InputError, match="mu is 240"):
        make_config("images", **settings | {"hashes": 64, "pairs": "wta", "method": "rs"})


def test_audio_alone_can_be_pretrained_by_labels_or_contrast() -> None:
    alone = {"modalities": "audio", "instance_pairs": "within", "category_pairs": "within"}
    for pretraining in ("labels", "cl", "simclr", "none"):
        make_config("quick-videos", method="rs", pretraining=pretraining, **alone)
