"""The named presets, the paper's and those for a CPU, and what each method changes of them."""

from typing import Any, Literal

from newfound.config import Config, Method, VideoConfig
from newfound.errors import InputError

PRESETS: dict[str, Config] = {
    # The paper's (section 4).
    "images": Config(),
    # The paper's for CIFAR; tau, half the colour distortion and no blur are SimCLR's there (B.9),
    # the weak views AutoNovel's.
    "small-images": Config(
        preset="small-images",
        weak_crop_scale=(1.0, 1.0),
        weak_shift=1 / 8,
        px=32,
        batch=256,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        blur=0.0,
        temperature=0.5,
    ),
    # For a CPU or a deadline, and photographs: fewer pixels, a quarter of the channels, fewer
    # epochs of more steps, and colours that stay near their own.
    "quick": Config(
        preset="quick",
        weak_crop_scale=(1.0, 1.0),
        weak_shift=1 / 8,
        px=64,
        width=16,
        batch=64,
        epochs=60,
        brightness=0.4,
        contrast=0.4,
        saturation=0.2,
        hue=0.05,
        grey=0.0,
        blur=0.0,
        temperature=0.5,
        mu="share",
        crop_scale=(0.2, 1.0),
        schedule="cosine",
        warmup_epochs=3,
        settle_steps=300,
    ),
    # Small grey images of signs: turned a little, never flipped.
    "digits": Config(
        preset="digits",
        weak_crop_scale=(1.0, 1.0),
        weak_shift=1 / 8,
        px=16,
        channels=1,
        width=16,
        batch=64,
        epochs=100,
        temperature=0.5,
        mu="share",
        crop_scale=(0.6, 1.0),
        crop_ratio=(0.8, 1.25),
        flip=0.0,
        rotate_degrees=15,
        brightness=0.4,
        contrast=0.4,
        saturation=0.0,
        hue=0.0,
        grey=0.0,
        blur=0.0,
        schedule="cosine",
        warmup_epochs=3,
        settle_steps=300,
    ),
    # The paper's for Kinetics-400 and VGG-Sound: crops of 112 out of 128, nothing else.
    "videos": VideoConfig(),
    # For a CPU or a deadline: small pictures, few frames, a narrow network. Half of SimCLR's
    # colour distortion, without which a clip is known by the colour of its ground.
    "quick-videos": VideoConfig(
        preset="quick-videos",
        weak_crop_scale=(1.0, 1.0),
        weak_shift=1 / 8,
        px=32,
        width=16,
        clip_frames=4,
        mels=64,
        fusion_size=256,
        sound_seconds=1.0,
        sound_offset_seconds=0.25,
        clips=4,
        places=7,
        batch=32,
        epochs=60,
        lr=0.03,
        mu="share",
        crop_scale=(0.6, 1.0),
        crop_ratio=(3 / 4, 4 / 3),
        flip=0.5,
        jitter=0.8,
        brightness=0.4,
        contrast=0.4,
        saturation=0.4,
        hue=0.1,
        grey=0.2,
        schedule="cosine",
        warmup_epochs=3,
        settle_steps=300,
    ),
}


_AS_TRAINED: dict[str, Any] = {"settle_steps": 0}


METHOD_SETTINGS: dict[Method, dict[str, Any]] = {
    "ours": {},
    "kmeans": _AS_TRAINED,
    # A similarity network sees the pairs of a whole batch.
    "kcl": {**_AS_TRAINED, "own_batch": 100},
    "mcl": {**_AS_TRAINED, "own_batch": 100},
    # CIFAR-10's, as the authors' code runs them; `newfound reproduce` has those of other sets.
    "dtc": {**_AS_TRAINED, "own_drops": (), "consistency_weight": 10.0, "ramp_length": 0.05},
    "rs": {**_AS_TRAINED, "pairs": "rank", "consistency_weight": 5.0, "ramp_length": 0.25},
    "rs-ll": {**_AS_TRAINED, "pairs": "rank", "consistency_weight": 5.0, "ramp_length": 0.25},
}
"""The settings in which a method's defaults differ from the preset's."""


def settings_type(preset: str) -> type[Config]:
    """`Config` for a preset of images, `VideoConfig` for one of videos. Raises InputError."""
    if preset not in PRESETS:
        raise InputError(f"no preset is named {preset!r}; there are {', '.join(PRESETS)}")
    return type(PRESETS[preset])


def kind_of(preset: str) -> Literal["images", "videos"]:
    """What a preset is made for. Raises InputError."""
    return "videos" if settings_type(preset) is VideoConfig else "images"


QUICK: dict[str, str] = {"images": "quick", "videos": "quick-videos"}
"""The preset for a CPU or few items, by kind."""
