"""Views against torchvision, one operation at a time; what is drawn against what was asked."""

import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, kstest
from torch import Tensor
from torch.profiler import profile
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as reference

from newfound.config import Config
from newfound.presets import PRESETS
from newfound.views.augment import (
    GREY_MEAN,
    GREY_STD,
    IMAGENET_MEAN,
    IMAGENET_STD,
    LUMA,
    Colours,
    Crops,
    Views,
    blur,
    change_colours,
    crop,
    draw_colours,
    draw_crops,
    draw_sigmas,
    hue_rotation,
    normalise,
    plain_view,
    random_view,
    two_views,
)

UNCHANGED = Views(
    px=32,
    crop_scale=(1, 1),
    crop_ratio=(1, 1),
    flip=0,
    rotate_degrees=0,
    jitter=0,
    brightness=0,
    contrast=0,
    saturation=0,
    hue=0,
    grey=0,
    blur=0,
    blur_sigma=(0.1, 2),
)
PHOTOS = replace(
    UNCHANGED,
    crop_scale=(0.08, 1),
    crop_ratio=(3 / 4, 4 / 3),
    flip=0.5,
    jitter=0.8,
    brightness=0.8,
    contrast=0.8,
    saturation=0.8,
    hue=0.2,
    grey=0.2,
    blur=0.5,
)
EVERYTHING = replace(PHOTOS, rotate_degrees=15)
STRENGTHS = ("brightness", "contrast", "saturation", "hue")
SHARES = st.floats(0, 1)
WAITS = {"aten::item", "aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select"}
"""Operations whose result the host waits for on a GPU."""


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_pixels(count: int = 4, channels: int = 3, side: int = 32) -> Tensor:
    shape = (count, channels, side, side)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))


def random_clips(count: int = 3, channels: int = 3, frames: int = 4, side: int = 32) -> Tensor:
    return random_pixels(count, channels * frames, side).unflatten(1, (channels, frames))


def random_images(count: int = 4, channels: int = 3, side: int = 32) -> Tensor:
    return random_pixels(count, channels, side) / 255


def smooth_images(count: int = 1, side: int = 32) -> Tensor:
    """Images whose neighbouring pixels are near enough that a wrong place shows, and no more."""
    return reference.resize(random_images(count, side=5), [side, side], antialias=False)


def crops(count: int = 1, **values: float) -> Crops:
    whole = {"width": 1.0, "height": 1.0, "left": 0.0, "top": 0.0, "mirror": 1.0, "turn": 0.0}
    return Crops(**{name: torch.full((count,), v) for name, v in (whole | values).items()})


def colours(count: int = 1, **values: Tensor | float) -> Colours:
    unchanged = {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0, "grey": False}
    return Colours(
        **{
            name: value if isinstance(value, Tensor) else torch.full((count,), value)
            for name, value in (unchanged | values).items()
        }
    )


def stack(images: Tensor, values: Tensor, change) -> Tensor:
    """`change(image, value)` of each image by itself: the slow twin of a batched operation."""
    return torch.stack([change(image, value) for image, value in zip(images, values.tolist())])


def assert_same(actual: Tensor, expected: Tensor, atol: float = 1e-5) -> None:
    torch.testing.assert_close(actual, expected, rtol=0, atol=atol)


def assert_share(hits: Tensor, probability: float) -> None:
    test = binomtest(int(hits.sum()), hits.numel(), probability)
    assert test.pvalue > 1e-6, f"{int(hits.sum())} of {hits.numel()} at {probability}"


def assert_uniform(values: Tensor, low: float, high: float) -> None:
    test = kstest(values.numpy(), "uniform", args=(low, high - low))
    assert test.pvalue > 1e-6, f"not uniform in ({low}, {high}): {test}"


class TestTwoViews:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize(("side", "px"), [(32, 32), (36, 32), (20, 32)])
    def test_shape_type_and_finite(self, channels, side, px):
        made = two_views(random_pixels(5, channels, side), replace(EVERYTHING, px=px), seeded())
        assert made.shape == (10, channels, px, px)
        assert made.dtype == torch.float32
        assert made.isfinite().all()

    @pytest.mark.parametrize("channels", [1, 3])
    def test_nothing_asked_leaves_the_images(self, channels):
        pixels = random_pixels(channels=channels)
        made = two_views(pixels, UNCHANGED, seeded())
        assert_same(made, plain_view(pixels, 32).repeat(2, 1, 1, 1), atol=1e-4)

    def test_same_generator_state_same_views_to_the_bit(self):
        pixels = random_pixels()
        first = two_views(pixels, EVERYTHING, seeded(3))
        assert torch.equal(first, two_views(pixels, EVERYTHING, seeded(3)))
        assert not torch.equal(first, two_views(pixels, EVERYTHING, seeded(4)))

    def test_generator_moves_on(self):
        generator = seeded(3)
        pixels = random_pixels()
        first = two_views(pixels, EVERYTHING, generator)
        assert not torch.equal(first, two_views(pixels, EVERYTHING, generator))

    def test_the_two_views_of_each_item_differ(self):
        first, second = two_views(random_pixels(), EVERYTHING, seeded()).chunk(2)
        assert ((first - second).abs().amax(dim=(1, 2, 3)) > 0.1).all()

    def test_rows_are_view_0_then_view_1_in_the_items_order(self):
        levels = torch.tensor([0, 100, 200], dtype=torch.uint8)
        pixels = levels[:, None, None, None].expand(3, 3, 32, 32)
        still = replace(PHOTOS, jitter=0, rotate_degrees=180)
        made = two_views(pixels, still, seeded())
        assert_same(made, plain_view(pixels, 32).repeat(2, 1, 1, 1))

    @pytest.mark.parametrize("preset", PRESETS)
    def test_settings_are_those_of_config(self, preset):
        config = PRESETS[preset]
        names = [field.name for field in fields(Views)]
        assert set(names) <= set(Config.model_fields)
        views = replace(Views(**{name: getattr(config, name) for name in names}), px=32)
        made = two_views(random_pixels(channels=config.channels), views, seeded())
        assert made.shape == (8, config.channels, 32, 32)

    @settings(max_examples=40, deadline=None)
    @given(
        views=st.builds(
            Views,
            px=st.just(16),
            crop_scale=st.tuples(st.floats(0.01, 1), st.just(1)),
            crop_ratio=st.tuples(st.floats(0.2, 1), st.floats(1, 5)),
            flip=SHARES,
            rotate_degrees=st.floats(0, 180),
            jitter=SHARES,
            brightness=SHARES,
            contrast=SHARES,
            saturation=SHARES,
            hue=st.floats(0, 0.5),
            grey=SHARES,
            blur=SHARES,
            blur_sigma=st.tuples(st.floats(1e-6, 2), st.just(2)),
            shift=st.floats(0, 0.5),
        ),
        level=st.integers(0, 255),
        channels=st.sampled_from([1, 3]),
    )
    def test_stays_between_black_and_white(self, views, level, channels):
        pixels = torch.full((3, channels, 20, 20), level, dtype=torch.uint8)
        made = two_views(pixels, views, seeded())
        black = normalise(torch.zeros(1, channels, 1, 1))
        white = normalise(torch.ones(1, channels, 1, 1))
        assert (made >= black - 1e-4).all() and (made <= white + 1e-4).all()

    def test_nothing_waits_for_the_device(self):
        assert not WAITS & operations(replace(EVERYTHING, shift=1 / 8))

    def test_what_is_off_costs_no_pass_over_the_pixels(self):
        assert {"aten::baddbmm", "aten::conv2d"} <= operations(EVERYTHING)
        assert "aten::conv2d" not in operations(replace(EVERYTHING, blur=0))
        for off in ({"jitter": 0.0, "grey": 0.0}, dict.fromkeys((*STRENGTHS, "grey"), 0.0)):
            assert "aten::baddbmm" not in operations(replace(EVERYTHING, **off))
        only_colour = replace(EVERYTHING, brightness=0, contrast=0)
        assert "aten::baddbmm" in operations(only_colour)
        assert "aten::baddbmm" not in operations(only_colour, channels=1)


class TestRandomView:
    @pytest.mark.parametrize("shape", [(5, 3, 32, 32), (5, 1, 36, 36), (3, 3, 4, 32, 32)])
    def test_two_views_are_views_of_the_images_twice_over(self, shape):
        pixels = torch.randint(0, 256, shape, dtype=torch.uint8, generator=seeded(9))
        twice = torch.cat([pixels, pixels])
        made = two_views(pixels, EVERYTHING, seeded(3))
        assert torch.equal(made, random_view(twice, EVERYTHING, seeded(3)))

    @pytest.mark.parametrize("channels", [1, 3])
    def test_one_view_of_each(self, channels):
        pixels = random_pixels(5, channels, 36)
        made = random_view(pixels, EVERYTHING, seeded(3))
        assert made.shape == (5, channels, 32, 32) and made.dtype == torch.float32
        assert torch.equal(made, random_view(pixels, EVERYTHING, seeded(3)))
        assert not torch.equal(made, random_view(pixels, EVERYTHING, seeded(4)))

    def test_what_is_drawn_is_drawn_once_for_each_image(self):
        """Crops, then colours, then blurs, as many as there are images and no more."""
        pixels, views, generator, other = random_pixels(), EVERYTHING, seeded(3), seeded(3)
        made = random_view(pixels, views, generator)
        images = crop(pixels / 255, draw_crops(views, 4, other), views.px)
        images = change_colours(images, draw_colours(views, 4, other))
        images = blur(images, draw_sigmas(views, 4, other))
        assert torch.equal(made, normalise(images))
        assert torch.equal(generator.get_state(), other.get_state())


SHIFTED = replace(UNCHANGED, shift=1 / 8)
"""AutoNovel's weak views of CIFAR-10: the whole of 32 pixels, up to 4 away."""


def shifted(images: Tensor, right: int, down: int) -> Tensor:
    """The images' windows so many pixels further right and down.

    Beyond its edge an image is reflected about the edge itself, not about the middle of its last
    pixel: that pixel comes twice, as in numpy's "symmetric" and unlike in torch's "reflect".
    """
    margin = 16
    padded = np.pad(images.numpy(), [(0, 0), (0, 0), *[(margin, margin)] * 2], mode="symmetric")
    top, left = margin + down, margin + right
    return torch.from_numpy(padded[:, :, top : top + 32, left : left + 32])


class TestShift:
    @pytest.mark.parametrize(("right", "down"), [(0, 0), (4, -3), (-1, 2), (-16, 16)])
    def test_by_whole_pixels_with_reflection_about_the_edge(self, right, down):
        images = random_images()
        moved = crop(images, crops(4, left=right / 32, top=down / 32), 32)
        assert_same(moved, shifted(images, right, down))

    def test_views_are_the_whole_image_moved_by_whole_pixels(self):
        """Between pixels a shift would blur."""
        pixels = random_pixels(1)
        made = random_view(pixels.expand(400, -1, -1, -1), SHIFTED, seeded())
        places = [(right, down) for right in range(-4, 5) for down in range(-4, 5)]
        every = torch.cat([shifted(normalise(pixels / 255), *place) for place in places])
        distance = torch.cdist(made.flatten(1), every.flatten(1), p=torch.inf)
        assert distance.min(dim=1).values.max() < 1e-3
        assert len(set(distance.argmin(dim=1).tolist())) > 70, "of 81 places"

    def test_each_shift_by_whole_pixels_is_equally_likely(self):
        drawn = draw_crops(SHIFTED, 4000, seeded())
        assert torch.equal(drawn.width, torch.ones(4000))
        for start in (drawn.left, drawn.top):
            pixels = 32 * start
            assert torch.equal(pixels, pixels.round())
            assert (pixels.min(), pixels.max()) == (-4, 4)
            for place in range(-4, 5):
                assert_share(pixels == place, 1 / 9)
        assert abs(torch.corrcoef(torch.stack((drawn.left, drawn.top)))[0, 1]) < 0.1

    def test_a_crop_is_moved_beyond_its_range_of_places(self):
        small = replace(UNCHANGED, crop_scale=(0.25, 0.25))
        still, moved = (
            draw_crops(replace(small, shift=shift), 1000, seeded()) for shift in (0, 0.25)
        )
        assert_uniform(still.left, 0, 0.5)
        assert torch.equal(still.width, moved.width)
        away = 32 * (moved.left - still.left)
        assert_same(away, away.round(), atol=1e-4)
        assert (away.abs() <= 8.001).all() and away.abs().max() > 7.9
        assert moved.left.min() < -0.2 and (moved.left + moved.width).max() > 1.2

    def test_none_leaves_what_was_drawn_before_there_were_shifts(self):
        views = replace(EVERYTHING, crop_scale=(0.3, 0.9))
        drawn, (_, _, left, top, _, _) = (
            draw_crops(views, 50, seeded()),
            torch.rand(6, 50, generator=seeded()).unbind(),
        )
        assert torch.equal(drawn.left, left * (1 - drawn.width))
        assert torch.equal(drawn.top, top * (1 - drawn.height))


def operations(views: Views, channels: int = 3) -> set[str]:
    return set(operation_counts(random_pixels(channels=channels), views))


def operation_counts(pixels: Tensor, views: Views) -> dict[str, int]:
    generator = seeded()
    with profile() as recorded:
        two_views(pixels, views, generator)
    return {event.key: event.count for event in recorded.key_averages()}


class TestTwoViewsOfClips:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize(("side", "px"), [(32, 32), (36, 32), (20, 32)])
    def test_every_frame_is_viewed_as_an_image_would_be(self, channels, side, px):
        clips = random_clips(3, channels, 4, side)
        views = replace(EVERYTHING, px=px, contrast=0)  # which turns about the mean of the clip
        made = two_views(clips, views, seeded())
        assert made.shape == (6, channels, 4, px, px)
        assert made.dtype == torch.float32
        for frame in range(4):
            assert_same(made[:, :, frame], two_views(clips[:, :, frame], views, seeded()))

    def test_a_still_clip_is_viewed_as_its_image(self):
        pixels = random_pixels()
        made = two_views(pixels[:, :, None].expand(-1, -1, 5, -1, -1), EVERYTHING, seeded())
        expected = two_views(pixels, EVERYTHING, seeded())
        assert_same(made, expected[:, :, None].expand_as(made), atol=1e-4)

    def test_one_clip_of_one_frame(self):
        clip = random_clips(1, frames=1)
        made = two_views(clip, EVERYTHING, seeded())
        assert_same(made[:, :, 0], two_views(clip[:, :, 0], EVERYTHING, seeded()))

    def test_the_two_views_of_each_clip_and_the_clips_differ(self):
        clips = random_clips(1).expand(3, -1, -1, -1, -1)
        made = two_views(clips, EVERYTHING, seeded()).flatten(1)
        assert torch.cdist(made, made).add(torch.eye(6) * 1e9).min() > 1

    def test_same_generator_state_same_views_to_the_bit(self):
        clips = random_clips()
        first = two_views(clips, EVERYTHING, seeded(3))
        assert torch.equal(first, two_views(clips, EVERYTHING, seeded(3)))
        assert not torch.equal(first, two_views(clips, EVERYTHING, seeded(4)))

    def test_frames_may_lie_in_memory_as_decoded(self):
        clips = random_clips()
        decoded = clips.permute(0, 2, 3, 4, 1).contiguous().permute(0, 4, 1, 2, 3)
        made = two_views(decoded, EVERYTHING, seeded())
        assert torch.equal(made, two_views(clips, EVERYTHING, seeded()))

    def test_more_frames_are_no_more_operations(self):
        one, eight = (
            operation_counts(random_clips(frames=frames), EVERYTHING) for frames in (1, 8)
        )
        assert one == eight
        assert not WAITS & set(eight)


CLIP_SHARE = 112 / 128
CLIPS = replace(UNCHANGED, px=112, crop_scale=(CLIP_SHARE**2, CLIP_SHARE**2))
"""The paper's crops of video: 112 of 128 pixels, anywhere."""


class TestClipCrops:
    def test_of_one_size_anywhere(self):
        drawn = draw_crops(CLIPS, 4000, seeded())
        for start, size in ((drawn.left, drawn.width), (drawn.top, drawn.height)):
            assert_same(size, torch.full((4000,), CLIP_SHARE), atol=1e-6)
            assert_same(128 * start, (128 * start).round(), atol=1e-4)
            for place in range(17):
                assert_share((128 * start).round() == place, 1 / 17)
        assert abs(torch.corrcoef(torch.stack((drawn.left, drawn.top)))[0, 1]) < 0.1

    @pytest.mark.parametrize(("left", "top"), [(0, 0), (16, 16), (3, 11)])
    def test_on_whole_pixels_are_plain_slices(self, left, top):
        clips = random_clips(2, frames=3, side=128) / 255
        size = {"width": CLIP_SHARE, "height": CLIP_SHARE}
        cut = crop(clips, crops(2, **size, left=left / 128, top=top / 128), 112)
        assert_same(cut, clips[..., top : top + 112, left : left + 112])

    def test_views_are_pieces_of_the_frames_pixel_for_pixel(self):
        # A picture of coordinates: each view says where it looked, with which spacing.
        place = torch.arange(128, dtype=torch.uint8)
        x, y = place.expand(128, 128), place[:, None].expand(128, 128)
        clips = torch.stack((x, y, x))[None, :, None].expand(8, -1, 2, -1, -1)
        seen = two_views(clips, CLIPS, seeded()) - normalise(torch.zeros(1, 3, 1, 1, 1))
        seen = 255 * seen * torch.tensor(IMAGENET_STD)[:, None, None, None]
        assert_same(seen[:, 0].diff(dim=-1), torch.ones(16, 2, 112, 111), atol=1e-3)
        assert_same(seen[:, 1].diff(dim=-2), torch.ones(16, 2, 111, 112), atol=1e-3)
        corners = seen[:, :2, 0, 0, 0]
        assert_same(corners, corners.round(), atol=1e-3)  # between pixels they would be blurred
        assert (corners >= -1e-3).all() and (corners <= 16 + 1e-3).all()
        assert corners.std(dim=0).min() > 2


class TestPlainView:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("side", [32, 36, 37])
    def test_middle_of_the_square(self, channels, side):
        pixels = random_pixels(channels=channels, side=side)
        expected = normalise(reference.center_crop(pixels, [32, 32]) / 255)
        if side % 2 == 0:  # torchvision rounds half a pixel the other way
            assert_same(plain_view(pixels, 32), expected)
        assert plain_view(pixels, 32).shape == expected.shape

    def test_unchanged_when_the_side_fits(self):
        pixels = random_pixels()
        assert_same(plain_view(pixels, 32), normalise(pixels / 255))

    def test_enlarges_what_is_smaller(self):
        pixels = random_pixels(side=20)
        expected = normalise(reference.resize(pixels / 255, [32, 32], antialias=False))
        assert_same(plain_view(pixels, 32), expected)

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("side", [20, 32, 36])
    def test_every_frame_of_a_clip_as_an_image(self, channels, side):
        clips = random_clips(3, channels, 4, side)
        made = plain_view(clips, 32)
        assert made.shape == (3, channels, 4, 32, 32)
        for frame in range(4):
            assert_same(made[:, :, frame], plain_view(clips[:, :, frame], 32))

    def test_middle_of_the_papers_clips(self):
        clips = random_clips(2, frames=3, side=128)
        assert_same(plain_view(clips, 112), normalise(clips[..., 8:120, 8:120] / 255))

    @pytest.mark.parametrize("shape", [(0, 3, 36, 36), (0, 3, 4, 36, 36)])
    def test_of_nothing_is_nothing(self, shape):
        made = plain_view(torch.zeros(shape, dtype=torch.uint8), 32)
        assert made.shape == (*shape[:-2], 32, 32)


class TestNormalise:
    def test_imagenet(self):
        images = random_images()
        assert_same(normalise(images), reference.normalize(images, IMAGENET_MEAN, IMAGENET_STD))

    def test_grey_constants_are_the_luma_of_imagenet(self):
        images = random_images(channels=1)
        assert_same(normalise(images), reference.normalize(images, GREY_MEAN, GREY_STD))
        for grey, coloured in ((GREY_MEAN, IMAGENET_MEAN), (GREY_STD, IMAGENET_STD)):
            assert grey[0] == pytest.approx(sum(w * c for w, c in zip(LUMA, coloured)), abs=5e-4)
        assert sum(LUMA) == pytest.approx(1)


class TestCrop:
    def test_on_whole_pixels_is_a_plain_crop(self):
        images = random_images(side=40)
        cut = crops(4, width=16 / 40, height=16 / 40, left=7 / 40, top=21 / 40)
        assert_same(crop(images, cut, 16), images[..., 21:37, 7:23])

    def test_resizes_as_torchvision_away_from_the_rim(self):
        # At the rim torchvision's crop has no neighbours; ours sees those the image has.
        images = random_images(side=40)
        cut = crops(4, width=10 / 40, height=20 / 40, left=7 / 40, top=11 / 40)
        expected = reference.resized_crop(images, 11, 7, 20, 10, [40, 40], antialias=True)
        assert_same(crop(images, cut, 40)[..., 2:-2, 2:-2], expected[..., 2:-2, 2:-2])

    def test_enlarges_the_whole_as_torchvision_to_the_rim(self):
        images = random_images(side=20)
        assert_same(crop(images, crops(4), 50), reference.resize(images, [50, 50]))

    def test_flip(self):
        images = random_images(side=40)
        where = {"width": 10 / 40, "height": 16 / 40, "left": 7 / 40, "top": 11 / 40}
        flipped = crop(images, crops(4, **where, mirror=-1), 32)
        assert_same(flipped, reference.horizontal_flip(crop(images, crops(4, **where), 32)))

    @pytest.mark.parametrize("degrees", [90, 180, -90])
    def test_quarter_turns(self, degrees):
        images = random_images()
        turned = crop(images, crops(4, turn=math.radians(degrees)), 32)
        assert_same(turned, reference.rotate(images, degrees), atol=1e-4)

    @pytest.mark.parametrize("degrees", [15, -40])
    def test_turns_as_torchvision_inside_the_image(self, degrees):
        images = smooth_images()
        turned = crop(images, crops(turn=math.radians(degrees)), 32)
        expected = reference.rotate(images, degrees, InterpolationMode.BILINEAR)
        axis = torch.linspace(-1, 1, 32)
        inside = axis[:, None].square() + axis.square() < 0.9
        assert_same(turned[..., inside], expected[..., inside], atol=1e-4)

    def test_flips_before_it_turns(self):
        images = random_images()
        both = crop(images, crops(4, mirror=-1, turn=math.radians(90)), 32)
        assert_same(both, reference.rotate(reference.horizontal_flip(images), 90), atol=1e-4)

    def test_no_foreign_colour_comes_in_at_the_corners(self):
        white = torch.ones(1, 3, 32, 32)
        assert_same(crop(white, crops(turn=math.radians(45)), 32), white)

    def test_each_image_has_its_own(self):
        images = random_images(6)
        drawn = draw_crops(EVERYTHING, 6, seeded())
        alone = [
            crop(images[i : i + 1], Crops(**{k: v[i : i + 1] for k, v in vars(drawn).items()}), 24)
            for i in range(6)
        ]
        assert_same(crop(images, drawn, 24), torch.cat(alone))


class TestDrawCrops:
    COUNT = 4000

    @settings(max_examples=60, deadline=None)
    @given(
        least=st.floats(0.01, 1),
        more=st.floats(0, 1),
        narrow=st.floats(0.3, 1),
        wide=st.floats(1, 3),
        seed=st.integers(0, 2**31),
    )
    def test_areas_ratios_and_places_in_range(self, least, more, narrow, wide, seed):
        scale = (least, least + more * (1 - least))
        views = replace(UNCHANGED, crop_scale=scale, crop_ratio=(narrow, wide))
        drawn = draw_crops(views, 200, seeded(seed))
        area, ratio = drawn.width * drawn.height, drawn.width / drawn.height
        assert (area > scale[0] * (1 - 1e-5)).all() and (area < scale[1] * (1 + 1e-5)).all()
        assert (ratio > narrow * (1 - 1e-5)).all() and (ratio < wide * (1 + 1e-5)).all()
        assert_inside(drawn)

    @pytest.mark.parametrize("ratios", [(1.5, 2.0), (0.4, 0.5)])
    def test_ratios_no_large_crop_has_give_way_to_the_area(self, ratios):
        views = replace(UNCHANGED, crop_scale=(0.5, 1), crop_ratio=ratios)
        drawn = draw_crops(views, self.COUNT, seeded())
        assert_inside(drawn)
        assert_uniform(drawn.width * drawn.height, 0.5, 1)

    def test_uniform_area_log_ratio_and_place(self):
        views = replace(UNCHANGED, crop_scale=(0.1, 0.5), crop_ratio=(0.5, 2))
        drawn = draw_crops(views, self.COUNT, seeded())
        assert_uniform(drawn.width * drawn.height, 0.1, 0.5)
        assert_uniform((drawn.width / drawn.height).log(), -math.log(2), math.log(2))
        assert_uniform(drawn.left / (1 - drawn.width), 0, 1)
        assert_uniform(drawn.top / (1 - drawn.height), 0, 1)

    def test_ratios_of_large_crops_are_uniform_among_those_that_fit(self):
        views = replace(UNCHANGED, crop_scale=(0.8, 0.8), crop_ratio=(0.5, 2))
        drawn = draw_crops(views, self.COUNT, seeded())
        assert_uniform((drawn.width / drawn.height).log(), math.log(0.8), -math.log(0.8))

    @pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
    def test_flips_as_often_as_asked(self, probability):
        drawn = draw_crops(replace(UNCHANGED, flip=probability), self.COUNT, seeded())
        assert drawn.mirror.abs().eq(1).all()
        assert_share(drawn.mirror == -1, probability)

    def test_turns_either_way(self):
        drawn = draw_crops(replace(UNCHANGED, rotate_degrees=30), self.COUNT, seeded())
        assert_uniform(drawn.turn.rad2deg(), -30, 30)


def assert_inside(drawn: Crops) -> None:
    for start, size in ((drawn.left, drawn.width), (drawn.top, drawn.height)):
        assert (size > 0).all()
        assert (start >= -1e-6).all() and (start + size <= 1 + 1e-6).all()


FACTORS = torch.tensor([0.0, 0.4, 1.0, 1.3, 2.0])


class TestChangeColours:
    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("name", ["brightness", "contrast"])
    def test_like_torchvision(self, name, channels):
        images = random_images(5, channels)
        expected = stack(images, FACTORS, getattr(reference, f"adjust_{name}"))
        assert_same(change_colours(images, colours(5, **{name: FACTORS})), expected, atol=2e-4)

    def test_saturation_like_torchvision(self):
        images = random_images(5)
        expected = stack(images, FACTORS, reference.adjust_saturation)
        assert_same(change_colours(images, colours(5, saturation=FACTORS)), expected, atol=2e-4)

    def test_grey_like_torchvision(self):
        images = random_images(4)
        which = torch.tensor([True, False, True, False])
        expected = stack(images, which, lambda x, on: reference.to_grayscale(x, 3) if on else x)
        assert_same(change_colours(images, colours(4, grey=which)), expected, atol=2e-4)

    def test_in_order_like_torchvision_where_nothing_is_clamped(self):
        images = 0.4 + 0.2 * random_images(3)
        for grey in (False, True):
            changed = change_colours(
                images,
                colours(3, brightness=1.3, contrast=0.6, saturation=1.5, hue=1 / 3, grey=grey),
            )
            expected = reference.adjust_brightness(images, 1.3)
            expected = reference.adjust_contrast(expected, 0.6)
            expected = reference.adjust_saturation(expected, 1.5)
            expected = reference.adjust_hue(expected, 1 / 3)
            expected = reference.to_grayscale(expected, 3) if grey else expected
            assert_same(changed, expected, atol=5e-4)

    def test_contrast_of_a_clip_is_about_the_mean_of_its_frames(self):
        clips = random_clips(5, frames=4) / 255
        tall = clips.flatten(2, 3)  # all frames below one another: one image with one mean
        expected = stack(tall, FACTORS, reference.adjust_contrast)
        changed = change_colours(clips, colours(5, contrast=FACTORS))
        assert_same(changed.flatten(2, 3), expected, atol=2e-4)

    def test_one_channel_has_no_saturation_hue_or_grey(self):
        images = random_images(channels=1)
        assert_same(change_colours(images, colours(4, saturation=0.3, hue=0.2, grey=True)), images)

    @pytest.mark.parametrize("turns", [-1 / 3, 0, 1 / 3])
    def test_hue_is_torchvisions_at_thirds_of_a_turn(self, turns):
        images = random_images()
        changed = change_colours(images, colours(4, hue=turns))
        assert_same(changed, reference.adjust_hue(images, turns))

    @pytest.mark.parametrize("turns", [-0.5, -0.2, -0.05, 0.01, 0.05, 0.1, 0.2, 0.5])
    def test_hue_is_near_torchvisions(self, turns):
        levels = torch.linspace(0, 1, 17)
        every = torch.stack(torch.meshgrid(levels, levels, levels, indexing="ij")).flatten(2)[None]
        changed = change_colours(every, colours(hue=turns))
        spread = every.amax(dim=1) - every.amin(dim=1)
        error = (changed - reference.adjust_hue(every, turns)).abs().amax(dim=1)
        bound = min(1 / 3, 2 * math.pi / math.sqrt(3) * abs(turns))
        assert (error <= bound * spread + 1e-5).all()

    def test_hue_keeps_greys_and_turns_back(self):
        forth, back = hue_rotation(torch.tensor([0.17, -0.17]))
        assert_same(forth @ torch.ones(3), torch.ones(3))
        assert_same(forth @ back, torch.eye(3))
        assert torch.linalg.det(forth) == pytest.approx(1)


class TestDrawColours:
    COUNT = 4000

    @pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
    def test_jitters_and_drops_colour_as_often_as_asked(self, probability):
        views = replace(PHOTOS, jitter=probability, grey=probability)
        drawn = draw_colours(views, self.COUNT, seeded())
        assert_share(drawn.grey, probability)
        for name in STRENGTHS:
            assert_share(getattr(drawn, name) != (0 if name == "hue" else 1), probability)

    def test_jitter_is_all_or_nothing(self):
        drawn = draw_colours(PHOTOS, self.COUNT, seeded())
        changed = [getattr(drawn, name) != (0 if name == "hue" else 1) for name in STRENGTHS]
        agree = torch.stack(changed).float().mean(dim=0)
        # A factor may round to 1 by itself, but hardly ever does.
        assert ((agree == 0) | (agree == 1)).float().mean() > 0.999

    @pytest.mark.parametrize("probability", [0.3, 1.0])
    def test_factors_of_the_jittered_are_uniform_in_the_strength(self, probability):
        views = replace(PHOTOS, jitter=probability, contrast=0.4, saturation=1.0, hue=0.2)
        drawn = draw_colours(views, self.COUNT, seeded())
        jittered = drawn.brightness != 1
        assert_uniform(drawn.brightness[jittered], 0.2, 1.8)
        assert_uniform(drawn.contrast[jittered], 0.6, 1.4)
        assert_uniform(drawn.saturation[jittered], 0.0, 2.0)
        assert_uniform(drawn.hue[jittered], -0.2, 0.2)

    def test_colour_is_dropped_from_jittered_and_others_alike(self):
        drawn = draw_colours(replace(PHOTOS, jitter=0.5, grey=0.5), self.COUNT, seeded())
        for group in (drawn.brightness == 1, drawn.brightness != 1):
            assert_share(drawn.grey[group], 0.5)

    def test_changes_are_unrelated(self):
        drawn = draw_colours(replace(PHOTOS, jitter=1), self.COUNT, seeded())
        related = torch.corrcoef(torch.stack([getattr(drawn, name) for name in STRENGTHS]))
        assert (related - torch.eye(4)).abs().max() < 0.1


class TestBlur:
    @pytest.mark.parametrize(("side", "kernel"), [(16, 3), (32, 3), (60, 7), (224, 23)])
    @pytest.mark.parametrize("channels", [1, 3])
    def test_like_torchvision(self, side, kernel, channels):
        images = random_images(3, channels, side)
        sigmas = torch.tensor([0.1, 0.8, 2.0])
        expected = stack(images, sigmas, lambda x, s: reference.gaussian_blur(x, kernel, s))
        assert_same(blur(images, sigmas), expected)

    def test_frames_of_a_clip_are_blurred_as_images(self):
        clips, sigmas = random_clips(3) / 255, torch.tensor([0.0, 0.8, 2.0])
        frames = [blur(frame, sigmas) for frame in clips.unbind(2)]
        assert_same(blur(clips, sigmas), torch.stack(frames, dim=2))

    def test_none_at_sigma_0(self):
        images = random_images()
        assert torch.equal(blur(images, torch.zeros(4)), images)

    @pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
    def test_blurs_as_often_as_asked(self, probability):
        sigmas = draw_sigmas(replace(PHOTOS, blur=probability), 4000, seeded())
        assert_share(sigmas > 0, probability)
        if probability > 0:
            assert_uniform(sigmas[sigmas > 0], 0.1, 2)
