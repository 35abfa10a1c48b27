"""Random views of a batch of images or clips, made on their device (SimCLR's, as section 4 uses).

Every image of a batch gets its own random crop, colours and blur from a few batched operations:
one affine grid holds crop, flip and turn, one matrix per image holds all changes of colour.
A clip is an image of many frames: (M, C, T, S, S) instead of (M, C, S, S), and all its frames get
the same crop, colours and blur. Parameters are drawn (`draw_*`) apart from being applied, nothing
waits for the device, and the pass over the pixels for colour or blur is left out when the
settings have none.

512 views of 32 x 32 colour images, without blur, take about 10 ms of one CPU core; torchvision's
transforms, image by image, 300 ms. 16 views of clips of 16 frames of 112 x 112, with blur, take
110 ms; torchvision's, clip by clip, 310 ms.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from newfound.machine.chance import uniform

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
GREY_MEAN = (0.459,)
"""Luma of IMAGENET_MEAN."""
GREY_STD = (0.226,)
"""Luma of IMAGENET_STD: the deviation if an image's channels vary together, as nearly all do."""
LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in grey (ITU-R BT.601)."""


@dataclass(frozen=True)
class Views:
    """How views differ; `Config` has the same names, meanings, ranges and checks."""

    px: int
    crop_scale: tuple[float, float]
    crop_ratio: tuple[float, float]
    flip: float
    rotate_degrees: float
    jitter: float
    brightness: float
    contrast: float
    saturation: float
    hue: float
    grey: float
    blur: float
    blur_sigma: tuple[float, float]
    shift: float = 0.0


@dataclass(frozen=True)
class Crops:
    """Where M views look in their images; each field (M,) float32.

    width, height: of the crop, share of the image's side.  left, top: of the crop, share of the
    side.  mirror: 1, or -1 = flipped left-right.  turn: anticlockwise, radians.
    """

    width: Tensor
    height: Tensor
    left: Tensor
    top: Tensor
    mirror: Tensor
    turn: Tensor


@dataclass(frozen=True)
class Colours:
    """How M views change colour, in the order of the fields; each field (M,).

    brightness, contrast, saturation: factors >= 0, 1 changes nothing.  hue: in turns.
    grey: bool, True drops all colour.
    """

    brightness: Tensor
    contrast: Tensor
    saturation: Tensor
    hue: Tensor
    grey: Tensor


def two_views(pixels: Tensor, views: Views, generator: Generator) -> Tensor:
    """Two independent views of each image or clip: `random_view` of all of them twice over.

    Returns (2N, C, px, px) or (2N, C, T, px, px) float32, [view 0 | view 1].
    """
    return random_view(pixels.repeat(2, *[1] * (pixels.ndim - 1)), views, generator)


def random_view(pixels: Tensor, views: Views, generator: Generator) -> Tensor:
    """A view of each image or clip.

    pixels: (N, C, S, S) or (N, C, T, S, S) uint8, N at least 1, C = 1 or 3.  generator: on the
    device of `pixels`; the same state gives the same views.  Returns (N, C, px, px) or
    (N, C, T, px, px) float32, normalised.

    The paper's clips, crops of 112 from frames of 128 pixels (section 4), are px = 112 with
    crop_scale = (0.875**2, 0.875**2) and crop_ratio = (1, 1).
    """
    images = pixels / 255
    count, channels = images.shape[:2]
    images = crop(images, draw_crops(views, count, generator), views.px)
    if _changes_colour(views, channels):
        images = change_colours(images, draw_colours(views, count, generator))
    if views.blur:
        images = blur(images, draw_sigmas(views, count, generator))
    return normalise(images)


def plain_view(pixels: Tensor, px: int) -> Tensor:
    """The middle of each image or clip, for evaluation.

    pixels: (N, C, S, S) or (N, C, T, S, S) uint8, C = 1 or 3.  Returns (N, C, px, px) or
    (N, C, T, px, px) float32, normalised; what is smaller than px is enlarged.
    """
    images = pixels / 255
    side = images.shape[-1]
    if side < px:
        planes = F.interpolate(_planes(images), size=(px, px), mode="bilinear")
        images = planes.view(*images.shape[:-2], px, px)
    elif side > px:
        start = (side - px) // 2
        images = images[..., start : start + px, start : start + px]
    return normalise(images)


def draw_crops(views: Views, count: int, generator: Generator) -> Crops:
    """Crops of `count` views, as torchvision's RandomResizedCrop but for the areas near 1.

    The area is uniform in crop_scale, the ratio log-uniform among those of crop_ratio at which
    such an area fits the image. (torchvision draws both again, up to ten times, until they fit,
    which makes large crops rarer.) Crops of one size alone are cut at whole pixels of an image of
    which they are px: between them they would be blurred. A shift widens the range of places
    either way, beyond the edge too, by whole pixels of the view. Whole images, shifted, are the
    weak views of AutoNovel's code.
    """
    area, ratio, left, top, flip, turn = _uniform(6, count, generator)
    log_area = _between(views.crop_scale, area).log()
    low, high = (math.log(end) for end in views.crop_ratio)
    # Width and height are both at most 1 where |log ratio| <= -log area.
    lowest = torch.minimum(log_area.clamp(min=low), -log_area)
    highest = torch.maximum((-log_area).clamp(max=high), log_area)
    log_ratio = torch.lerp(lowest, highest, ratio)
    width = ((log_area + log_ratio) / 2).exp()
    height = ((log_area - log_ratio) / 2).exp()
    if views.crop_scale[0] == views.crop_scale[1]:
        place_x, place_y = _on_pixels(left, width, views.px), _on_pixels(top, height, views.px)
    else:
        place_x, place_y = left * (1 - width), top * (1 - height)
    return Crops(
        width=width,
        height=height,
        left=place_x + _shifted(left, views),
        top=place_y + _shifted(top, views),
        mirror=1 - 2 * (flip < views.flip).float(),
        turn=(2 * turn - 1) * math.radians(views.rotate_degrees),
    )


def draw_colours(views: Views, count: int, generator: Generator) -> Colours:
    """Colour changes of `count` views: factors uniform in 1 +- strength, hue in +- strength."""
    *changes, jitter, grey = _uniform(6, count, generator)
    jittered = jitter < views.jitter
    brightness, contrast, saturation, hue = ((2 * change - 1) * jittered for change in changes)
    return Colours(
        brightness=1 + views.brightness * brightness,
        contrast=1 + views.contrast * contrast,
        saturation=1 + views.saturation * saturation,
        hue=views.hue * hue,
        grey=grey < views.grey,
    )


def draw_sigmas(views: Views, count: int, generator: Generator) -> Tensor:
    """Standard deviations of the blur of `count` views, (M,) pixels; 0 = not blurred."""
    blurred, sigma = _uniform(2, count, generator)
    return _between(views.blur_sigma, sigma) * (blurred < views.blur)


def crop(images: Tensor, crops: Crops, px: int) -> Tensor:
    """Crop, then flip, then turn (M, C, [T,] S, S) float images: (M, C, [T,] px, px), bilinear.

    A turned view shows what the image has beyond the crop, and the image's reflection beyond its
    edge: neither a black nor a white ground gets corners of another colour. Nothing is smoothed
    before a crop larger than px is made smaller: images are decoded at no more than 1.15 px.
    """
    cos, sin = crops.turn.cos(), crops.turn.sin()
    width, height = crops.mirror * crops.width, crops.height
    middle_x = 2 * crops.left + crops.width - 1
    middle_y = 2 * crops.top + crops.height - 1
    planes = _planes(images)
    # `F.affine_grid` multiplies matrices for this, which takes ten times as long on a CPU.
    centres = (2 * torch.arange(px, device=images.device) + 1) / px - 1
    grid = planes.new_empty(len(planes), px, px, 2)
    for axis, (by_x, by_y, middle) in enumerate(
        ((width * cos, -width * sin, middle_x), (height * sin, height * cos, middle_y))
    ):
        along_row = torch.outer(by_x, centres)[:, None, :]
        down_column = (torch.outer(by_y, centres) + middle[:, None])[:, :, None]
        torch.add(along_row, down_column, out=grid[..., axis])
    views = F.grid_sample(planes, grid, padding_mode="reflection", align_corners=False)
    return views.view(*images.shape[:-2], px, px)


def change_colours(images: Tensor, colours: Colours) -> Tensor:
    """Brightness, contrast, saturation, hue and grey of (M, C, [T,] H, W) images in [0, 1].

    The product of all changes is one affine map of colours per image, so values are clamped to
    [0, 1] once, after all of them; torchvision clamps after each. The contrast of a clip changes
    about the mean of all its frames, so that none flickers.
    """
    channels = images.shape[1]
    luma = _constant(LUMA if channels == 3 else (1.0,), images)
    matrix = colour_matrix(colours, channels)
    values = images.flatten(2)
    pivot = colours.brightness * (values.mean(dim=2) @ luma)
    offset = (1 - colours.contrast) * pivot
    changed = torch.baddbmm(offset[:, None, None], matrix, values)
    return changed.clamp_(0, 1).view_as(images)


def colour_matrix(colours: Colours, channels: int) -> Tensor:
    """The linear part of M colour changes: (M, C, C), every row of which sums to b * c."""
    gain = (colours.brightness * colours.contrast)[:, None, None]
    if channels == 1:
        return gain
    to_grey = _constant(LUMA, gain).expand(3, 3)
    saturation = colours.saturation[:, None, None]
    saturate = torch.lerp(to_grey, torch.eye(3, device=gain.device), saturation)
    coloured = hue_rotation(colours.hue) @ saturate
    return gain * torch.where(colours.grey[:, None, None], to_grey @ coloured, coloured)


def hue_rotation(turns: Tensor) -> Tensor:
    """Rotations of RGB space about its grey axis by (M,) turns: (M, 3, 3).

    The linear relative of turning HSV's hue (torchvision's adjust_hue), which it equals at thirds
    of a turn. Elsewhere, at h turns, no channel differs by more than 1/3 or 2 pi / sqrt(3) |h|
    of the colour's own spread (its largest channel less its smallest); turning I and Q of YIQ
    would be further off.
    """
    angle = 2 * math.pi * (turns[:, None] - torch.arange(3, device=turns.device) / 3)
    red = (1 + 2 * angle.cos()) / 3
    # Green and blue go where red goes, one and two thirds of a turn on.
    return torch.stack((red, red.roll(1, dims=1), red.roll(2, dims=1)), dim=2)


def blur(images: Tensor, sigma: Tensor) -> Tensor:
    """Gaussian blur of (M, C, [T,] H, W) images by (M,) sigmas in pixels, 0 = unchanged.

    The kernel spans a tenth of the side, as SimCLR's, made odd; edges are reflected.
    """
    planes = _planes(images)
    count, channels, height, width = planes.shape
    radius = max(width // 20, 1)
    offsets = torch.arange(-radius, radius + 1, device=images.device)
    # A sigma this small leaves all weight on the middle, without dividing by 0.
    narrowed = offsets / sigma.clamp(min=0.01)[:, None]
    kernel = (-0.5 * narrowed.square()).softmax(dim=1)
    kernel = kernel.repeat_interleave(channels, dim=0)[:, None, None, :]
    groups = count * channels
    padded = F.pad(planes, [radius] * 4, mode="reflect").view(
        1, groups, height + 2 * radius, width + 2 * radius
    )
    rows = F.conv2d(padded, kernel, groups=groups)
    return F.conv2d(rows, kernel.transpose(2, 3), groups=groups).view_as(images)


def normalise(images: Tensor) -> Tensor:
    """(M, C, [T,] H, W) in [0, 1] less ImageNet's mean, over its deviation (C = 1: of its grey)."""
    grey = images.shape[1] == 1
    per_channel = (-1, *[1] * (images.ndim - 2))
    mean = _constant(GREY_MEAN if grey else IMAGENET_MEAN, images).view(per_channel)
    std = _constant(GREY_STD if grey else IMAGENET_STD, images).view(per_channel)
    return torch.addcmul(-mean / std, images, 1 / std)


def _planes(images: Tensor) -> Tensor:
    """(M, C, H, W) as it is, (M, C, T, H, W) as (M, C * T, H, W): frames share what channels do."""
    return images.flatten(1, -3)


def _changes_colour(views: Views, channels: int) -> bool:
    coloured = channels == 3
    strength = max(views.brightness, views.contrast)
    if coloured:
        strength = max(strength, views.saturation, views.hue)
    return (views.jitter > 0 and strength > 0) or (coloured and views.grey > 0)


def _uniform(rows: int, count: int, generator: Generator) -> tuple[Tensor, ...]:
    """Rows of (count,) float32 in [0, 1), from one call."""
    return uniform((rows, count), generator, rows=1).unbind()


def _between(span: tuple[float, float], share: Tensor) -> Tensor:
    least, largest = span
    return least + (largest - least) * share


def _on_pixels(start: Tensor, size: Tensor, px: int) -> Tensor:
    """Where crops of this share of a side begin, share of it: at a pixel of px / size of them.

    start: in [0, 1), from the first to the last place.
    """
    side = px / size
    places = (side - px + 1e-3).floor() + 1
    return torch.minimum((start * places).floor() / side, 1 - size)


def _shifted(place: Tensor, views: Views) -> Tensor:
    """A shift by whole pixels, each of those up to `shift` of a side equally likely.

    place: in [0, 1).
    """
    most = round(views.shift * views.px)
    return ((place * (2 * most + 1)).floor() - most) / views.px


def _constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """The values on the device of `like`, sent there without waiting for it."""
    return torch.tensor(values).to(like.device, non_blocking=True)
