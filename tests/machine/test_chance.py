"""Random numbers of a batch that processes share."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from newfound.machine.chance import SharedGenerator, uniform
from newfound.settings import make_config
from newfound.views.augment import two_views
from newfound.views.spectrogram import LogMel, Sounds, two_sound_views
from newfound.views.viewer import Viewer

CPU = torch.device("cpu")
ALL_CHANGES = replace(Viewer(make_config("images"), CPU).views, px=8, rotate_degrees=20, shift=0.1)
SOUNDS = Sounds(sound_seconds=0.2, mels=12, sample_rate=1000)


def shared(processes: int, rank: int) -> torch.Generator:
    return SharedGenerator(CPU, processes, rank).manual_seed(5)


@pytest.mark.parametrize("processes", [1, 2, 3])
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_shares_are_the_whole_dealt_out_row_by_row(processes: int, rows: int) -> None:
    size = [2, 3, 4]
    whole = list(size)
    whole[rows] *= processes
    expected = torch.rand(*whole, generator=torch.Generator().manual_seed(5))
    for rank in range(processes):
        own = uniform(size, shared(processes, rank), rows=rows)
        at = torch.arange(rank, whole[rows], processes)
        assert torch.equal(own, expected.index_select(rows, at))


def test_a_generator_of_its_own_draws_as_torch_does() -> None:
    drawn = uniform((3, 2), torch.Generator().manual_seed(5))
    assert torch.equal(drawn, torch.rand(3, 2, generator=torch.Generator().manual_seed(5)))


def dealt(whole: Tensor, processes: int, rank: int) -> Tensor:
    """Of [view 0 | view 1] of all items those of a process's items."""
    views = [view[rank::processes] for view in whole.chunk(2)]
    return torch.cat(views)


@pytest.mark.parametrize("processes", [2, 3])
def test_an_item_is_seen_in_the_same_views_however_many_share_the_batch(processes: int) -> None:
    pixels = torch.randint(0, 256, (6, 3, 8, 8), dtype=torch.uint8)
    whole = two_views(pixels, ALL_CHANGES, torch.Generator().manual_seed(5))
    for rank in range(processes):
        own = two_views(pixels[rank::processes], ALL_CHANGES, shared(processes, rank))
        torch.testing.assert_close(own, dealt(whole, processes, rank))


@pytest.mark.parametrize("processes", [2, 3])
def test_so_is_a_sound(processes: int) -> None:
    log_mel = LogMel(SOUNDS, CPU)
    sound = torch.randint(-1000, 1000, (6, 2 * SOUNDS.samples), dtype=torch.int16)
    whole = two_sound_views(sound, log_mel, torch.Generator().manual_seed(5))
    for rank in range(processes):
        own = two_sound_views(sound[rank::processes], log_mel, shared(processes, rank))
        torch.testing.assert_close(own, dealt(whole, processes, rank))
