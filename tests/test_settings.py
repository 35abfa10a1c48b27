import pytest
from pydantic import ValidationError

from newfound.errors import InputError
from newfound.presets import PRESETS, kind_of
from newfound.settings import make_config


def test_what_is_given_replaces_the_presets_value_and_the_methods() -> None:
    config = make_config("images", epochs=3, unlabelled_share=0.5)
    assert (config.epochs, config.lr, config.unlabelled_share) == (3, 0.1, 0.5)
    assert make_config("quick-videos").places == 7
    assert make_config("quick-videos", places=None).places is None
    assert make_config("images", method="kcl").own_batch == 100
    assert make_config("images", method="kcl", own_batch=None).own_batch is None


def test_the_presets_warm_up_gives_way_to_few_epochs() -> None:
    own = make_config("quick").warmup_epochs
    assert make_config("quick", epochs=own).warmup_epochs == own / 10
    assert make_config("quick", epochs=own + 1).warmup_epochs == own
    assert make_config("images", epochs=1).warmup_epochs == 0
    with pytest.raises(InputError, match="warmup_epochs is 2 of 2 epochs; give fewer"):
        make_config("quick", epochs=2, warmup_epochs=2)
    with pytest.raises(InputError, match="epochs: Input should be greater than or equal to 1"):
        make_config("quick", epochs=0)
    with pytest.raises(InputError, match=r"epochs: .*given: None"):
        make_config("quick", epochs=None)


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
