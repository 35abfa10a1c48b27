import json

import pytest

from newfound.config import Config, Method, VideoConfig
from newfound.presets import METHOD_SETTINGS, PRESETS
from newfound.settings import make_config


@pytest.mark.parametrize("name", PRESETS)
def test_presets_know_their_names_and_survive_json(name: str) -> None:
    preset = PRESETS[name]
    assert preset.preset == name
    assert type(preset).model_validate(json.loads(preset.model_dump_json())) == preset
    assert make_config(name) == preset


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


def test_each_kinds_own_defaults_are_those_of_its_first_preset() -> None:
    assert Config() == PRESETS["images"]
    assert VideoConfig() == PRESETS["videos"]


@pytest.mark.parametrize("name", PRESETS)
def test_all_settings_of_a_config_can_be_given_at_once(name: str) -> None:
    config = PRESETS[name].model_copy(update={"epochs": 7})
    assert make_config(**config.model_dump()) == config


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


def test_weak_views_follow_the_preset() -> None:
    """Small pictures whole and shifted, large ones cropped, clips as the paper crops them."""
    assert PRESETS["images"].weak_crop_scale == (0.5, 1.0)
    assert PRESETS["images"].weak_shift == 0
    videos = PRESETS["videos"]
    assert isinstance(videos, VideoConfig)
    assert videos.weak_crop_scale == videos.crop_scale
    for name in ("small-images", "quick", "digits", "quick-videos"):
        assert (PRESETS[name].weak_crop_scale, PRESETS[name].weak_shift) == ((1, 1), 1 / 8)
