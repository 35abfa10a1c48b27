import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from newfound.config import Method, Runtime, VideoConfig
from newfound.errors import InputError
from newfound.presets import METHOD_SETTINGS, PRESETS, kind_of
from newfound.settings import make_config, make_runtime


@pytest.mark.parametrize("name", PRESETS)
def test_presets_know_their_names_and_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert preset.preset == name
    assert type(preset).model_validate(json.loads(preset.model_dump_json())) == preset
    assert make_config(name) == preset


def test_what_is_given_replaces_the_presets_value_and_the_methods() -> None:
    config = make_config("images", epochs=3, unlabelled_share=0.5)
    assert (config.epochs, config.lr, config.unlabelled_share) == (3, 0.1, 0.5)
    assert make_config("quick-videos").places == 7
    assert make_config("quick-videos", places=None).places is None
    assert make_config("images", method="kcl").own_batch == 100
    assert make_config("images", method="kcl", own_batch=None).own_batch is None


@pytest.mark.parametrize("setting", ["lr", "method"])
def test_none_is_refused_where_it_is_no_value(setting: str) -> None:
    with pytest.raises(InputError, match=f"{setting}: .*given: None"):
        make_config("images", **{setting: None})


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
        ({"method": "kmeans", "pretraining": "none"}, "would cluster an untrained network's"),
        ({"method": "dtc", "pretraining": "none"}, "method is dtc, which would cluster an"),
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


def test_what_is_no_setting_is_told_with_what_may_be_meant() -> None:
    for name, told in (
        ("epoch", r"no setting has this name; did you mean epochs( or \w+)*\? \(given: 3\)"),
        ("workers", r"a run takes it as runtime=newfound\.Runtime\(workers=\.\.\.\) \(given: 3\)"),
        ("xyzzy", r"no setting has this name \(given: 3\)"),
    ):
        with pytest.raises(InputError, match=f"^{name}: .*{told}$"):
            make_config("quick", **{name: 3})


def test_settings_of_videos_are_no_settings_of_images() -> None:
    with pytest.raises(InputError, match="clip_frames: a setting of videos alone"):
        make_config("images", clip_frames=4)
    assert kind_of("images") == kind_of("quick") == "images"
    assert kind_of("videos") == kind_of("quick-videos") == "videos"


# ---- baselines -----------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("method", METHOD_SETTINGS)
def test_a_method_changes_the_presets_defaults_and_gives_way_to_what_is_asked(
    preset: str, method: Method
) -> None:
    config, own = make_config(preset, method=method), METHOD_SETTINGS[method]
    expected = PRESETS[preset].model_dump() | own | {"method": method}
    assert config.model_dump() == expected
    if "pairs" in own:
        assert make_config(preset, method=method, pairs="nearest").pairs == "nearest"
    assert make_config(preset, method=method, consistency_weight=3).consistency_weight == 3


def test_methods_that_are_run_as_their_authors_run_them() -> None:
    """CIFAR-10's: see recipes of each in its module."""
    rs, dtc, kcl = (make_config("small-images", method=name) for name in ("rs", "dtc", "kcl"))
    assert (rs.pairs, rs.rank_top) == ("rank", 5)
    assert (rs.consistency_weight, rs.ramp_length * rs.epochs) == (5, 50)
    assert (rs.weak_crop_scale, rs.weak_shift * rs.px) == ((1, 1), 4)
    assert (dtc.consistency_weight, dtc.ramp_length * dtc.epochs / 2) == (10, 5)
    assert (dtc.dtc_variant, dtc.own_drops) == ("pi", ())
    assert kcl.own_batch == 100
    assert make_config("small-images").own_batch is None


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


def test_weak_views_follow_the_preset() -> None:
    """Small pictures whole and shifted, large ones cropped, clips as the paper crops them."""
    assert PRESETS["images"].weak_crop_scale == (0.5, 1.0)
    assert PRESETS["images"].weak_shift == 0
    videos = PRESETS["videos"]
    assert isinstance(videos, VideoConfig)
    assert videos.weak_crop_scale == videos.crop_scale
    for name in ("small-images", "quick", "digits", "quick-videos"):
        assert (PRESETS[name].weak_crop_scale, PRESETS[name].weak_shift) == ((1, 1), 1 / 8)


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
