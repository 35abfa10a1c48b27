"""Decoding loses nothing in silence and never hangs; batches are what their definition says."""

import os
import signal
from collections import Counter
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image
from torch.utils.data import get_worker_info

from newfound.data import loader
from newfound.data.images import ArrayImages, FileImages
from newfound.data.loader import (
    CachedPixels,
    Skipped,
    StreamedPixels,
    check_all,
    check_share_bad,
    choose_cache,
    decode_all,
    epoch_batches,
)
from newfound.errors import InputError

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
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


def test_too_large_a_share_of_bad_images_is_an_error_with_the_cure() -> None:
    names = np.array([f"{i}.png" for i in range(60)])
    bad = [Skipped(i, "empty file") for i in range(4)]
    check_share_bad(bad[:3], names, "images", max_bad=0.05)
    check_share_bad([], names, "images", max_bad=0)
    with pytest.raises(InputError, match=r"4 of 60 .*: '0.png' \(empty file\), .*--max-bad 0.067"):
        check_share_bad(bad, names, "images", max_bad=0.05)
    check_share_bad(bad, names, "images", max_bad=0.067)


@pytest.mark.parametrize(
    "name", ["notes.txt", "Labels.CSV", "about.html", "more.zip", "a/b.c/d.PDF"]
)
def test_a_document_among_the_images_is_not_held_against_them(name: str) -> None:
    names = np.array(["0.png", "1.png", "2.jpg", name])
    document = Skipped(3, "no image format that Pillow reads")
    check_share_bad([document], names, "images", max_bad=0)
    broken = Skipped(1, "empty file")
    check_share_bad([broken, document], names, "images", max_bad=0.334)
    with pytest.raises(InputError, match=r"1 of 3 files \(33.3%\).*: '1.png' \(empty file\); "):
        check_share_bad([broken, document], names, "images", max_bad=0.3)
    with pytest.raises(InputError, match=f"4 of 4 .*{name}"):
        every = [Skipped(i, "empty file") for i in (3, 0, 1, 2)]
        check_share_bad(every, names, "images", max_bad=0)


@pytest.mark.parametrize(
    "name", ["a.ts", "a.mp4", "a.png", "a.bin", "a", "a.wav", "a.asf", "a.gif"]
)
def test_what_may_be_an_item_counts_where_it_is_bad(name: str) -> None:
    with pytest.raises(InputError, match="1 of 2 files"):
        check_share_bad([Skipped(1, "empty file")], np.array(["0.png", name]), "images", 0.05)


def test_where_every_image_is_bad_nothing_is_left_to_go_on_with() -> None:
    bad = [Skipped(i, "empty file") for i in range(4)]
    with pytest.raises(InputError, match=r"4 of 4 .*repair or remove them$"):
        check_share_bad(bad, np.array(["a", "b", "c", "d"]), "images", max_bad=0.05)


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


def test_what_a_worker_sends_needs_no_shared_memory() -> None:
    decoded = loader.ImageDecoding(ArrayImages(np.ones((4, 8, 8), np.uint8)), 8, 1).decode([3, 1])
    sent = bytes(ForkingPickler.dumps(decoded))
    assert sent.count(b"\1" * 2 * 8 * 8) == 1
    assert torch.equal(ForkingPickler.loads(sent).media.pixels, decoded.media.pixels)


@WORKERS
def test_streamed_pixels_equal_cached_ones(tmp_path: Path, workers: int) -> None:
    source = FileImages(write_images(tmp_path, 30))
    cached = CachedPixels(decode_all(source, 8, 1, workers=0)[0])
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
    (cached,) = CachedPixels(decode_all(source, 8, 1, 0)[0].to(CUDA)).batches(rows)
    (in_memory,) = CachedPixels(decode_all(source, 8, 1, 0)[0], pin=True).batches(rows)
    assert streamed.pixels.is_pinned() and in_memory.pixels.is_pinned() and cached.pixels.is_cuda
    assert torch.equal(streamed.pixels, cached.pixels.cpu())
    assert torch.equal(streamed.pixels, in_memory.pixels)


@pytest.mark.parametrize(
    ("n_items", "device", "wish", "expected"),
    [
        (400, CUDA, "auto", "device"),
        (600, CUDA, "auto", "memory"),
        (6000, CUDA, "auto", "none"),
        (400, CPU, "auto", "memory"),
        (6000, CPU, "auto", "none"),
        (6000, CUDA, "device", "device"),
        (6000, CPU, "device", "memory"),
        (6000, CPU, "memory", "memory"),
        (1, CUDA, "none", "none"),
    ],
)
def test_the_cache_is_where_it_fits_or_where_it_is_wished(
    monkeypatch: pytest.MonkeyPatch, n_items: int, device: torch.device, wish: Any, expected: str
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (1000 * 10, 0))
    monkeypatch.setattr(loader, "free_memory", lambda: 10_000 * 10)
    assert choose_cache(n_items, 10, device, wish) == expected


def test_free_memory_is_plausible() -> None:
    assert 2**20 < loader.free_memory() < 2**50


@pytest.mark.parametrize(
    ("group", "limits"),
    [("0::/job/step", [100, 700]), ("0::/", []), ("4:memory:/job/step\n0::/other", [])],
)
def test_the_memory_of_a_job_is_that_of_its_groups(
    tmp_path: Path, group: str, limits: list[int]
) -> None:
    step = tmp_path / "groups" / "job" / "step"
    step.mkdir(parents=True)
    (step / "memory.max").write_text("100\n")
    (step.parent / "memory.max").write_text("700\n")
    (step.parents[1] / "memory.max").write_text("max\n")
    (tmp_path / "own").write_text(group + "\n")
    assert list(loader._memory_limits(tmp_path / "own", step.parents[1])) == limits


def random_labels(n: int, seed: int) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(-1, 3, n)


@given(
    n=st.integers(4, 60), n_rows=st.integers(4, 60), batch=st.integers(1, 20), seed=st.integers(0)
)
def test_uniform_batches_are_rows_without_replacement(
    n: int, n_rows: int, batch: int, seed: int
) -> None:
    rows = np.random.default_rng(0).permutation(n)[:n_rows]
    batch = min(batch, len(rows))
    batches = epoch_batches(random_labels(n, 1), rows, batch, 0, seed)
    assert len(batches) == len(rows) // batch
    assert all(b.shape == (batch,) and b.dtype == torch.int64 for b in batches)
    used = torch.cat(batches).tolist()
    assert len(set(used)) == len(used) and set(used) <= set(rows.tolist())


@given(share=st.floats(0.01, 0.99), batch=st.integers(2, 16), seed=st.integers(0, 99))
def test_two_streams_keep_the_share_and_cycle_evenly(share: float, batch: int, seed: int) -> None:
    labels = random_labels(50, 1)
    rows = np.flatnonzero(np.random.default_rng(2).random(50) < 0.8)
    batches = epoch_batches(labels, rows, batch, 3, seed, unlabelled_share=share)
    assert len(batches) == len(rows) // batch
    n_unlabelled = min(max(round(share * batch), 1), batch - 1)
    for drawn in batches:
        assert (labels[drawn] == -1).sum() == n_unlabelled and len(drawn) == batch
    times = Counter(torch.cat(batches).tolist())
    assert set(times) <= set(rows.tolist())
    for stream in (rows[labels[rows] == -1], rows[labels[rows] != -1]):
        assert max(times[row] for row in stream) - min(times[row] for row in stream) <= 1


def test_batches_follow_seed_and_epoch_and_nothing_else() -> None:
    labels, rows = random_labels(40, 0), np.arange(40)

    def order(epoch: int, seed: int) -> list[int]:
        return torch.cat(epoch_batches(labels, rows, 8, epoch, seed)).tolist()

    first = order(0, 0)
    torch.manual_seed(1)
    np.random.seed(1)
    assert order(0, 0) == first
    assert len({tuple(order(epoch, seed)) for epoch in range(4) for seed in range(4)}) == 16


def test_every_row_is_equally_likely_to_be_dropped() -> None:
    labels, rows = np.zeros(10, np.int64), np.arange(10)
    dropped = Counter(
        row
        for epoch in range(2000)
        for row in set(range(10))
        - set(torch.cat(epoch_batches(labels, rows, 4, epoch, 0)).tolist())
    )
    assert sum(dropped.values()) == 2 * 2000
    assert all(abs(dropped[row] - 400) < 5 * np.sqrt(2000 * 0.2 * 0.8) for row in range(10))
