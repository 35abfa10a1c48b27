"""Decoding loses nothing in silence and never hangs."""

import gc
import os
import signal
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import get_worker_info

from newfound.data import image_loader
from newfound.data.image_loader import KeptImages, StreamedPixels, check_all, decode_all
from newfound.data.images import ArrayImages, FileImages
from newfound.data.skipped import Skipped
from newfound.errors import InputError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
FROZEN_BY_PYTHON = gc.get_freeze_count()
WORKERS = pytest.mark.parametrize("workers", [0, 2])


def write_images(folder: Path, n: int) -> list[Path]:
    """n images, each with its row's number in every pixel."""
    paths = [folder / f"{i}.png" for i in range(n)]
    for i, path in enumerate(paths):
        Image.new("L", (12, 10), i).save(path)
    return paths


@WORKERS
def test_decoding_keeps_the_order_and_lists_what_it_skips(tmp_path: Path, workers: int) -> None:
    paths = write_images(tmp_path, 40)
    paths[3].write_bytes(b"")
    paths[20].unlink()
    progress = []
    source = FileImages(paths)

    def note(done: int, total: int) -> None:
        progress.append((done, total))

    pixels, skipped = decode_all(source, 8, 3, workers, note)
    assert skipped == [Skipped(3, "empty file"), Skipped(20, "no such file")]
    assert pixels.shape == (38, 3, 8, 8) and pixels.dtype == torch.uint8
    expected = [i for i in range(40) if i not in (3, 20)]
    assert torch.equal(pixels.amin(dim=(1, 2, 3)), torch.tensor(expected, dtype=torch.uint8))
    assert torch.equal(pixels, pixels.amin(dim=(1, 2, 3), keepdim=True).expand_as(pixels))
    assert progress[-1] == (40, 40) and progress == sorted(progress) and len(progress) > 1
    assert check_all(source, 8, 3, workers) == skipped


def test_decoding_everything_equals_loading_one_by_one() -> None:
    colours = np.random.default_rng(0).integers(0, 256, (37, 9, 11, 3), dtype=np.uint8)
    source = ArrayImages(colours)
    pixels, skipped = decode_all(source, 16, 3, workers=0)
    assert skipped == []
    assert torch.equal(pixels, torch.stack([source.load(i, 16, 3) for i in range(37)]))


def test_all_may_be_unreadable(tmp_path: Path) -> None:
    pixels, skipped = decode_all(FileImages([tmp_path / "a", tmp_path / "b"]), 8, 1, 0)
    assert pixels.shape == (0, 1, 8, 8) and len(skipped) == 2


def test_a_forbidden_file_is_skipped_and_listed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_images(tmp_path, 3)
    really = Image.open

    def refuse_one(file: Any) -> Any:
        if file.name == str(paths[1]):
            raise PermissionError(13, "Permission denied", file.name)
        return really(file)

    monkeypatch.setattr(Image, "open", refuse_one)
    assert check_all(FileImages(paths), 8, 1, 0) == [Skipped(1, "permission denied")]


class Deadly(ArrayImages):
    """Its seventh image kills the process that decodes it, as the system does out of memory."""

    def __init__(self) -> None:
        super().__init__(np.zeros((40, 8, 8), np.uint8))

    def load(self, i: int, px: int, channels: int) -> torch.Tensor:
        if i == 7 and get_worker_info() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().load(i, px, channels)


@pytest.mark.timeout(60)
def test_a_killed_worker_is_an_error_not_an_endless_wait() -> None:
    with pytest.raises(InputError, match=r"killed.*--workers than 2"):
        decode_all(Deadly(), 8, 1, workers=2)
    with pytest.raises(InputError, match=r"killed.*--workers than 1"):
        list(StreamedPixels(Deadly(), 8, 1, workers=1, pin=False).batches([torch.arange(10)]))


class Broken(ArrayImages):
    """Has a mistake of ours in it."""

    def load(self, *_: int) -> torch.Tensor:
        raise RuntimeError("our own mistake")


@WORKERS
def test_our_own_mistakes_are_not_taken_for_killed_workers(workers: int) -> None:
    with pytest.raises(RuntimeError, match="our own mistake"):
        decode_all(Broken(np.zeros((2, 8, 8), np.uint8)), 8, 1, workers)


class Frozen(ArrayImages):
    """Tells in its pixels whether the process that decodes collects what was there before."""

    def load(self, i: int, px: int, channels: int) -> torch.Tensor:
        frozen = get_worker_info() is not None and gc.get_freeze_count() > FROZEN_BY_PYTHON
        return torch.full_like(super().load(i, px, channels), int(frozen))


def test_workers_do_not_collect_what_the_first_process_has_left() -> None:
    """Such as page-locked memory, which cannot be freed after a fork."""
    pixels, _ = decode_all(Frozen(np.zeros((4, 8, 8), np.uint8)), 8, 1, workers=1)
    assert pixels.all() and gc.get_freeze_count() == FROZEN_BY_PYTHON


def test_what_a_worker_sends_needs_no_shared_memory() -> None:
    decoded = image_loader.ImageDecoding(ArrayImages(np.ones((4, 8, 8), np.uint8)), 8, 1).decode(
        [3, 1]
    )
    sent = bytes(ForkingPickler.dumps(decoded))
    assert sent.count(b"\1" * 2 * 8 * 8) == 1
    assert torch.equal(ForkingPickler.loads(sent).media.pixels, decoded.media.pixels)


@WORKERS
def test_streamed_pixels_equal_cached_ones(tmp_path: Path, workers: int) -> None:
    source = FileImages(write_images(tmp_path, 30))
    cached = KeptImages(decode_all(source, 8, 1, workers=0)[0])
    streamed = StreamedPixels(source, 8, 1, workers, pin=False)
    rows = [torch.tensor([5, 2, 29]), torch.tensor([0]), torch.tensor([2, 2, 7, 11])]
    for _ in range(2):  # either can be gone through again
        pairs = list(zip(cached.batches(rows), streamed.batches(rows), strict=True))
        assert [len(media) for media, _ in pairs] == [3, 1, 4]
        assert all(torch.equal(kept.pixels, decoded.pixels) for kept, decoded in pairs)
        assert pairs[0][0].pixels[:, 0, 0, 0].tolist() == [5, 2, 29]


@WORKERS
def test_streaming_leaves_the_global_generator_alone(tmp_path: Path, workers: int) -> None:
    source = FileImages(write_images(tmp_path, 3))
    before = torch.get_rng_state()
    list(StreamedPixels(source, 8, 1, workers, pin=False).batches([torch.arange(3)]))
    assert torch.equal(torch.get_rng_state(), before)


@WORKERS
def test_an_image_that_vanishes_while_streaming_is_named(tmp_path: Path, workers: int) -> None:
    paths = write_images(tmp_path, 4)
    streamed = StreamedPixels(FileImages(paths), 8, 1, workers, pin=False)
    paths[2].unlink()
    batches = streamed.batches([torch.tensor([0, 1]), torch.tensor([2, 3])])
    assert next(batches).pixels.shape == (2, 1, 8, 8)
    with pytest.raises(InputError, match=r"no longer can: .*2\.png: no such file"):
        next(batches)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_batches_are_pinned_or_on_the_device(tmp_path: Path) -> None:
    source = FileImages(write_images(tmp_path, 4))
    rows = [torch.tensor([3, 1])]
    (streamed,) = StreamedPixels(source, 8, 1, 0, pin=True).batches(rows)
    (cached,) = KeptImages(decode_all(source, 8, 1, 0)[0].to(CUDA)).batches(rows)
    (in_memory,) = KeptImages(decode_all(source, 8, 1, 0)[0], pin=True).batches(rows)
    assert streamed.pixels.is_pinned() and in_memory.pixels.is_pinned() and cached.pixels.is_cuda
    assert torch.equal(streamed.pixels, cached.pixels.cpu())
    assert torch.equal(streamed.pixels, in_memory.pixels)
