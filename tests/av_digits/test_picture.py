import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import map_coordinates

from newfound.av_digits.picture import Path, moving_digit, placed, random_path
from support.digit_files import made_picture

TIMES = np.arange(40) / 10
DISC = (np.hypot(*(np.mgrid[:28, :28] - 13.5)) < 8).astype(np.uint8) * 255


def centres(frames: np.ndarray) -> np.ndarray:
    """(T, 2): the x and y of each frame's centre of mass, in pixels from the frame's corner."""
    rows, columns = np.mgrid[: frames.shape[1], : frames.shape[2]] + 0.5
    mass = frames.sum((1, 2))
    return np.stack([(frames * place).sum((1, 2)) / mass for place in (columns, rows)], 1)


def test_a_digit_is_placed_as_by_looking_up_every_pixel() -> None:
    digit = made_picture(0)
    path = Path(*np.array([[60.0, 30.0], [50.0, 90.0], [56.0, 41.0], [0.0, 0.3]], np.float32))
    rows, columns = np.mgrid[:128, :128] + 0.5
    for frame in range(2):
        right, down = columns - path.x_px[frame], rows - path.y_px[frame]
        cosine, sine = np.cos(path.tilt[frame]), np.sin(path.tilt[frame])
        across = (cosine * right + sine * down) * 28 / path.side_px[frame] + 13.5
        along = (-sine * right + cosine * down) * 28 / path.side_px[frame] + 13.5
        expected = map_coordinates(digit / 255, [along, across], order=1, cval=0)
        np.testing.assert_allclose(placed(digit, path)[frame], expected, atol=1e-3)


@given(seed=st.integers(0, 2**40))
@settings(max_examples=30, deadline=None)
def test_the_digit_moves_smoothly_and_stays_in_the_frame(seed: int) -> None:
    path = random_path(TIMES, np.random.default_rng(seed))
    for centre in (path.x_px, path.y_px):
        assert (centre - 0.4 * path.side_px >= 8 - 1e-3).all()
        assert (centre + 0.4 * path.side_px <= 120 + 1e-3).all()
        assert np.abs(np.diff(centre)).max() < 20  # pixels, in a tenth of a second
    assert path.side_px.min() >= 40 and path.side_px.max() <= 88
    assert np.ptp(path.x_px) + np.ptp(path.y_px) > 5


@pytest.mark.parametrize("seed", range(5))
def test_without_clutter_only_the_digit_is_there_and_it_moves(seed: int) -> None:
    frames = moving_digit(DISC, TIMES, 0, (seed,)).astype(float)
    ground = frames.min()
    assert (frames == ground).mean() > 0.6
    path = random_path(TIMES, np.random.default_rng([seed, 1]))
    found = centres(frames - ground)
    np.testing.assert_allclose(found, np.stack([path.x_px, path.y_px], 1), atol=0.5)
    assert np.ptp(found, axis=0).sum() > 5


def test_clutter_makes_it_harder() -> None:
    frames = [moving_digit(DISC, TIMES, clutter, (0,)).astype(float) for clutter in (0, 0.5, 1)]
    flicker = [np.abs(np.diff(video, axis=0)).mean() for video in frames]
    detail = [np.abs(np.diff(video.mean(0), axis=1)).mean() for video in frames]
    assert flicker[0] * 3 < flicker[1] < flicker[2]
    assert detail[0] < detail[1] < detail[2]


def test_a_video_is_a_function_of_its_seed() -> None:
    one, same, other = (moving_digit(DISC, TIMES, 0.5, (seed,)) for seed in (1, 1, 2))
    assert one.shape == (40, 128, 128)
    assert one.dtype == np.uint8
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
