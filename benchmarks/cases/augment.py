"""Our views against kornia's and torchvision's of the same images with the same settings."""

from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec

import torch
from torch import Tensor
from torchvision.transforms import v2

from benchmarks.clock import Budget, take_turns
from benchmarks.devices import devices
from benchmarks.results import CaseResult, Row, Size, times
from benchmarks.trainings import noise
from newfound.config import Config
from newfound.machine.cores import compute_threads
from newfound.settings import make_config
from newfound.views.augment import IMAGENET_MEAN, IMAGENET_STD, Views, two_views

_BUDGETS: dict[Size, Budget] = {
    "tiny": Budget(0, 2),
    "default": Budget(10, 15),
    "full": Budget(60, 30),
}
_IMAGES = {"small-images": 256, "images": 16}
"""Of 32 pixels without blur, and of 256 pixels for views of 224 with blur."""

MakeViews = Callable[[Tensor], Tensor]
"""(N, 3, S, S) uint8 -> (2N, 3, px, px) float32, normalised, [view 0 | view 1]."""


def run(size: Size) -> CaseResult:
    """Each preset's views on each device, by each library that is installed."""
    with_kornia = find_spec("kornia") is not None
    rows: list[Row] = []
    for device in devices():
        check(device, with_kornia)
        for preset, count in _IMAGES.items():
            config, images = make_config(preset), 2 if size == "tiny" else count
            with compute_threads(1, config.width, config.px):
                rows += measured(config, images, device, with_kornia, _BUDGETS[size])
    notes = [
        "crop, flip, colour jitter, grey, blur (of `images` alone), normalisation, with the "
        "preset's strengths and probabilities; bilinear without antialiasing; on a CPU one thread, "
        "in CPU time. torchvision draws once a call, so it is called image by image. Not equal: "
        "how hue turns, and the order of the changes of colour, which is fixed here and drawn there"
    ]
    if not with_kornia:
        notes.append("kornia is not installed, so it was left out: pip install -e '.[bench]'")
    return CaseResult(rows=rows, notes=notes)


def measured(
    config: Config, count: int, device: torch.device, with_kornia: bool, budget: Budget
) -> list[Row]:
    """Two views each of `count` images, a row for each other library."""
    pixels = noise(config, count).pixels
    assert pixels is not None
    pixels, views = pixels.to(device), views_of(config)
    others = other_libraries(views, with_kornia)
    works: list[Callable[[], Tensor]] = [
        lambda make=make: make(pixels)  # type: ignore[misc]
        for make in (our_views(views, device), *others.values())
    ]
    ours, *theirs = take_turns(works, device, budget)
    what = f"{config.preset}, {config.px} px, {device.type}"
    return [
        times(f"{what}: {name}", ours, name, taken, unit="µs/view", items=2 * count)
        for name, taken in zip(others, theirs)
    ]


def check(device: torch.device, with_kornia: bool) -> None:
    """Raise AssertionError unless all make the same of what leaves nothing to chance.

    Whole images, mirrored, without colour, blurred by one pixel. Libraries round grey's weights,
    and torchvision its 8 bits.
    """
    config = make_config("images")
    views = replace(
        views_of(config),
        px=256,
        crop_scale=(1.0, 1.0),
        crop_ratio=(1.0, 1.0),
        flip=1.0,
        jitter=0.0,
        grey=1.0,
        blur=1.0,
        blur_sigma=(1.0, 1.0),
    )
    pixels = noise(config, 2).pixels
    assert pixels is not None and pixels.shape[-1] == views.px
    pixels = pixels.to(device)
    expected = our_views(views, device)(pixels)
    for make in other_libraries(views, with_kornia).values():
        torch.testing.assert_close(make(pixels), expected, rtol=0, atol=2 / 255 / min(IMAGENET_STD))


def views_of(config: Config) -> Views:
    """The views of a preset."""
    return Views(**{name: getattr(config, name) for name in Views.__dataclass_fields__})


def our_views(views: Views, device: torch.device) -> MakeViews:
    """newfound's, all images of a batch at once."""
    generator = torch.Generator(device).manual_seed(0)
    return lambda pixels: two_views(pixels, views, generator)


def other_libraries(views: Views, with_kornia: bool) -> dict[str, MakeViews]:
    """By name."""
    others = {"torchvision v2": torchvision_views(views)}
    if with_kornia:
        others["kornia"] = kornia_views(views)
    return others


def torchvision_views(views: Views) -> MakeViews:
    """torchvision's transforms v2, image by image."""
    strengths = views.brightness, views.contrast, views.saturation, views.hue
    steps = [
        v2.RandomResizedCrop(views.px, views.crop_scale, views.crop_ratio, antialias=False),
        v2.RandomHorizontalFlip(views.flip),
        v2.RandomApply([v2.ColorJitter(*strengths)], views.jitter),
        v2.RandomGrayscale(views.grey),
    ]
    if views.blur:
        blur = v2.GaussianBlur(_kernel_size(views), views.blur_sigma)
        steps.append(v2.RandomApply([blur], views.blur))
    steps += [v2.ToDtype(torch.float32, scale=True), v2.Normalize(IMAGENET_MEAN, IMAGENET_STD)]
    view = v2.Compose(steps)
    return lambda pixels: torch.stack([view(image) for image in pixels.repeat(2, 1, 1, 1)])


def kornia_views(views: Views) -> MakeViews:
    """kornia's augmentations, all images of a batch at once."""
    import kornia.augmentation as K  # noqa: PLC0415 - an extra, which may be missing

    strengths = views.brightness, views.contrast, views.saturation, views.hue
    size = (views.px, views.px)
    steps = [
        K.RandomResizedCrop(size, views.crop_scale, views.crop_ratio, cropping_mode="resample"),
        K.RandomHorizontalFlip(p=views.flip),
        K.ColorJitter(*strengths, p=views.jitter),
        K.RandomGrayscale(p=views.grey),
    ]
    if views.blur:
        kernel = _kernel_size(views)
        steps.append(K.RandomGaussianBlur((kernel, kernel), views.blur_sigma, p=views.blur))
    steps.append(K.Normalize(IMAGENET_MEAN, IMAGENET_STD))
    view = K.AugmentationSequential(*steps)
    return lambda pixels: view(pixels.repeat(2, 1, 1, 1) / 255)


def _kernel_size(views: Views) -> int:
    """As ours: a tenth of the side, odd."""
    return 2 * max(views.px // 20, 1) + 1
