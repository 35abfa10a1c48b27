"""What the suite trains is what the presets say, but for what a setting changes."""

import pytest

from benchmarks.trainings import Setting
from newfound.presets import PRESETS


@pytest.mark.parametrize("preset", PRESETS)
def test_a_setting_is_its_preset_but_for_what_it_changes(preset: str) -> None:
    config = Setting(preset).config("float32")
    assert config == PRESETS[preset].model_copy(update={"precision": "float32"})
    assert Setting(preset, batch=6).config("float32").batch == 6
