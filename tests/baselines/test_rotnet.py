"""RotNet's turns, pixel by pixel."""

import pytest
import torch
from torch import Tensor

from newfound.baselines.rotnet import four_rotations, rotation_labels
from reference import baselines

SHAPES = {"images": (3, 2, 5, 5), "clips": (2, 3, 4, 6, 6)}
both_kinds = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)


def pixels_of(shape: tuple[int, ...]) -> Tensor:
    """All different."""
    return torch.arange(torch.Size(shape).numel(), dtype=torch.float32).reshape(shape)


@both_kinds
def test_each_row_is_turned_by_what_its_label_says(shape: tuple[int, ...]) -> None:
    pixels, items = pixels_of(shape), shape[0]
    turned, labels = four_rotations(pixels), rotation_labels(items)
    assert turned.shape == (4 * items, *shape[1:])
    assert labels.dtype == torch.int64
    assert labels.bincount().tolist() == [items] * 4
    for row, label in enumerate(labels.tolist()):
        planes = pixels[row % items].flatten(0, -3)
        for plane, found in zip(planes, turned[row].flatten(0, -3)):
            expected = plane.tolist()
            for _ in range(label):
                expected = baselines.quarter_turn(expected)
            assert found.tolist() == expected


@both_kinds
def test_four_quarters_return_to_the_start(shape: tuple[int, ...]) -> None:
    pixels, items = pixels_of(shape), shape[0]
    once = pixels
    for _ in range(4):
        once = four_rotations(once)[items : 2 * items]
    assert torch.equal(once, pixels)
    assert torch.equal(four_rotations(pixels)[:items], pixels)


def test_two_quarters_are_the_half_turn() -> None:
    pixels = pixels_of(SHAPES["images"])
    quarter, half = four_rotations(pixels)[3:9].chunk(2)
    assert torch.equal(four_rotations(quarter)[3:6], half)
    assert torch.equal(half, pixels.flip(-1, -2))


def test_bytes_stay_bytes() -> None:
    assert four_rotations(torch.zeros(2, 3, 4, 4, dtype=torch.uint8)).dtype == torch.uint8
