"""Clips kept and streamed are the same; where they lie is drawn by seed, epoch and row alone."""

import os
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import get_worker_info

from newfound.batch import Media
from newfound.config import VideoConfig
from newfound.data import clip_loader, videos
from newfound.data.clip_loader import (
    NO_SOUND,
    KeptClips,
    StreamedClips,
    bytes_per_clip,
    clip_shape,
    kept_places,
    read_clips,
    tried_places,
)
from newfound.data.clips import ClipFiles, evenly
from newfound.data.items import Draw, Items
from newfound.data.skipped import Skipped
from newfound.data.videos import Video
from newfound.errors import InputError
from newfound.settings import make_config
from support.made_videos import Picture, Sound, clicks, steady, tone, write_bad_videos, write_video

CPU = torch.device("cpu")
WORKERS = pytest.mark.parametrize("workers", [0, 2])
SECONDS = [2.0, 1.5, 1.0]
"""Of the videos; a clip lasts half a second."""


def video_config(**changed: Any) -> VideoConfig:
    """Tiny clips from few places."""
    settings: dict[str, Any] = {
        "px": 14,
        "clip_seconds": 0.5,
        "clip_frames": 2,
        "sound_seconds": 0.4,
        "sound_offset_seconds": 0.125,
        "clips": 2,
        "places": 3,
    }
    config = make_config("quick-videos", **settings | changed)
    assert isinstance(config, VideoConfig)
    return config


ANYWHERE = video_config().model_copy(update={"places": None})


def write_clip(path: Path, seconds: float, hertz: float | None = 440.0) -> Path:
    picture = Picture(steady(seconds, rate=8), width=32, height=16, split=True)
    return write_video(path, picture, None if hertz is None else Sound(tone(seconds, hertz)))


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three videos of different lengths and tones."""
    folder = tmp_path_factory.mktemp("videos")
    return [
        write_clip(folder / f"{row}.mp4", seconds, 300.0 * (row + 1))
        for row, seconds in enumerate(SECONDS)
    ]


@pytest.fixture(params=["no track", "a silent track"])
def silent(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return write_clip(tmp_path / "silent.mp4", 1.0, None if request.param == "no track" else 0.0)


def read(
    paths: list[Path], config: VideoConfig | None = None, workers: int = 0, cache: Any = "memory"
) -> tuple[Items, list[Skipped]]:
    return read_clips(ClipFiles(paths), config or video_config(), workers, cache, CPU)


def equal(one: Media, other: Media) -> bool:
    pairs = [(one.pixels, other.pixels), (one.sound, other.sound), (one.heard, other.heard)]
    return all(a is b is None or torch.equal(a, b) for a, b in pairs)


def rows(*batches: list[int]) -> list[torch.Tensor]:
    return [torch.tensor(batch) for batch in batches]


# ---- kept and streamed ----------------------------------------------------------------------


@WORKERS
@pytest.mark.parametrize("draw", [None, Draw(0, 1), Draw(0, 2), Draw(5, 1)])
def test_kept_clips_equal_streamed_ones(paths: list[Path], workers: int, draw: Draw | None) -> None:
    kept, nothing = read(paths, workers=workers)
    streamed, _ = read(paths, workers=workers, cache="none")
    assert isinstance(kept, KeptClips) and isinstance(streamed, StreamedClips)
    assert nothing == []
    asked = rows([2, 0], [1], [1, 1, 2], [0, 1, 2] * 7)  # the last is decoded in several chunks
    for _ in range(2):  # either can be gone through again
        pairs = list(zip(kept.batches(asked, draw), streamed.batches(asked, draw), strict=True))
        each = 2 if draw is None else 1
        assert [len(media) for media, _ in pairs] == [2 * each, each, 3 * each, 21 * each]
        assert all(equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_the_clips_of_a_row_follow_one_another(paths: list[Path], cache: str) -> None:
    config = video_config(clips=3, places=2)
    items, _ = read(paths, config, cache=cache)
    assert items.clips == 3
    (media,) = items.batches(rows([2, 0]))
    source, shape = ClipFiles(paths), clip_shape(config)
    expected = [source.load_clip(row, at, 0.5, shape) for row in (2, 0) for at in (0.0, 0.5, 1.0)]
    assert media.pixels is not None and media.sound is not None and media.heard is not None
    assert media.pixels.shape == (6, 3, 2, 16, 16)
    assert media.sound.shape == (6, 10400)
    for k, clip in enumerate(expected):
        assert torch.equal(media.pixels[k], clip.pixels)
        assert torch.equal(media.sound[k], clip.sound)
    assert not torch.equal(media.pixels[3], media.pixels[4])  # of the long video
    assert media.heard.all()


def test_training_sees_other_clips_than_evaluation(paths: list[Path]) -> None:
    """With `places` 3 the middle one, which 2 clips in evaluation never show, is drawn too."""
    items, _ = read(paths)
    (plain,) = items.batches(rows([0]))
    drawn = [next(iter(items.batches(rows([0]), Draw(0, epoch)))) for epoch in range(1, 20)]
    different = {bytes(media.pixels.numpy()) for media in drawn}
    assert len(different) == 3
    assert {bytes(clip.numpy()) for clip in plain.pixels} < different


# ---- where clips are drawn ------------------------------------------------------------------


class Noting:
    """In place of decoding: what was asked for."""

    def __init__(self, *_: Any) -> None:
        self.asked: list[Any] = []

    def __getitems__(self, places: list[Any]) -> Any:
        self.asked += places
        return clip_loader.Chunk(Media(torch.zeros(len(places), 1)), [])


def drawn(
    monkeypatch: pytest.MonkeyPatch, n: int, config: VideoConfig, draw: Draw, order: list[int]
) -> dict[int, Any]:
    monkeypatch.setattr(clip_loader, "ClipDecoding", Noting)
    streamed = StreamedClips(ClipFiles(["x"] * n), config, workers=0, pin=False)
    list(streamed.batches(list(torch.tensor(order).split(7)), draw))
    assert isinstance(streamed.dataset, Noting)
    return {place.row: place for place in streamed.dataset.asked}


@pytest.mark.parametrize(("workers", "ahead"), [(0, 7), (1, 7), (2, 4), (8, 2)])
def test_about_one_batch_is_decoded_ahead_in_small_chunks(
    monkeypatch: pytest.MonkeyPatch, workers: int, ahead: int
) -> None:
    """A batch of the paper's takes 0.9 GB, and each worker would make two of them ahead."""
    asked: list[list[Any]] = []

    def noted(
        _dataset: Any, requests: list[Any], n_workers: int, pin: bool, each: int
    ) -> Iterator[clip_loader.Chunk]:
        assert (n_workers, pin, each) == (workers, False, ahead)
        asked.extend(requests)
        yield from (clip_loader.Chunk(Media(torch.zeros(len(r), 1)), []) for r in requests)

    monkeypatch.setattr(clip_loader, "decoded", noted)
    streamed = StreamedClips(ClipFiles(["x"] * 100), ANYWHERE, workers, pin=False)
    batches = [torch.arange(100), torch.arange(5)]
    assert [len(media) for media in streamed.batches(batches, Draw(0, 1))] == [100, 5]
    assert [len(request) for request in asked] == [16] * 6 + [4, 5]
    assert [place.row for request in asked for place in request] == [*range(100), *range(5)]


def test_a_draw_is_a_function_of_seed_epoch_and_row(monkeypatch: pytest.MonkeyPatch) -> None:
    def of(draw: Draw, order: list[int]) -> dict[int, Any]:
        return drawn(monkeypatch, 40, ANYWHERE, draw, order)

    first = of(Draw(3, 2), list(range(40)))
    torch.manual_seed(1)
    np.random.seed(1)
    assert of(Draw(3, 2), list(range(40))[::-1]) == first
    assert of(Draw(3, 2), [30, 4]) == {row: first[row] for row in (30, 4)}  # in mid-epoch
    for other in (Draw(3, 3), Draw(4, 2), Draw(2, 3)):
        changed = of(other, list(range(40)))
        assert all(changed[row].at != first[row].at for row in first)
        assert all(changed[row].across != first[row].across for row in first)


def test_draws_are_uniform_and_independent(monkeypatch: pytest.MonkeyPatch) -> None:
    places = drawn(monkeypatch, 20_000, ANYWHERE, Draw(0, 1), list(range(20_000))).values()
    at = np.array([place.at for place in places])
    across = np.array([place.across for place in places])
    for value in (at, across):
        counts = np.histogram(value, bins=10, range=(0, 1))[0]
        assert counts.sum() == 20_000
        assert (abs(counts - 2000) < 5 * np.sqrt(2000 * 0.9)).all()
    assert abs(np.corrcoef(at, across)[0, 1]) < 0.04
    assert abs(np.corrcoef(at[1:], at[:-1])[0, 1]) < 0.04


def test_set_places_are_drawn_alike_often_and_never_others(monkeypatch: pytest.MonkeyPatch) -> None:
    config = video_config(places=4)
    places = drawn(monkeypatch, 8000, config, Draw(0, 1), list(range(8000))).values()
    counts = Counter(place.at for place in places)
    assert counts.keys() == {0.0, 1 / 3, 2 / 3, 1.0} == set(evenly(4))
    assert all(abs(count - 2000) < 5 * np.sqrt(2000 * 0.75) for count in counts.values())
    assert {place.across for place in places} == {0.5}


def test_places_drawn_anywhere_are_cut_anywhere(paths: list[Path]) -> None:
    """Left half grey, right half white: where the square lies shows in its mean."""
    items, _ = read(paths, ANYWHERE)
    assert isinstance(items, StreamedClips)
    white = set()
    for epoch in range(1, 6):
        (media,) = items.batches(rows([0]), Draw(0, epoch))
        assert media.pixels is not None
        white.add(int((media.pixels[0, 0, 0] > 250).sum()))
    assert len(white) > 2


# ---- what is left out -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clips", "places", "tried"),
    [
        (2, 3, [0, 0.5, 1]),
        (3, 2, [0, 0.5, 1]),
        (4, 7, [k / 6 for k in range(7)]),
        (1, 1, [0.5]),
        (1, 2, [0, 0.5, 1]),
        (3, None, [1]),
    ],
)
def test_places_that_are_tried_and_kept(clips: int, places: int | None, tried: list[float]) -> None:
    config = ANYWHERE.model_copy(update={"clips": clips, "places": places})
    assert tried_places(config) == pytest.approx(tried)
    if places is not None:
        assert kept_places(config) == pytest.approx(tried)


@WORKERS
@pytest.mark.parametrize("cache", ["memory", "none"])
def test_bad_files_are_listed_and_the_others_move_up(
    paths: list[Path], tmp_path: Path, workers: int, cache: str
) -> None:
    reasons = write_bad_videos(tmp_path) | {"absent.mp4": "no such file"}
    bad = [tmp_path / name for name in reasons]
    progress = []

    def note(done: int, total: int) -> None:
        progress.append((done, total))

    mixed = [*bad[:3], paths[0], *bad[3:], paths[2]]
    items, skipped = read_clips(ClipFiles(mixed), video_config(), workers, cache, CPU, note)
    assert {mixed[item.index].name: item.reason for item in skipped} == reasons
    assert [item.index for item in skipped] == [0, 1, 2, 4, 5, 6, 7]
    assert not any(item.by_choice for item in skipped)
    assert progress == [(done, 9) for done in range(1, 10)]
    good, _ = read([paths[0], paths[2]])
    for ours, expected in zip(items.batches(rows([1, 0])), good.batches(rows([1, 0])), strict=True):
        assert equal(ours, expected)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_items_that_begin_after_their_file_ends_are_listed(paths: list[Path], cache: Any) -> None:
    source = ClipFiles(paths, np.array([2.5, 0.5, np.nan]))
    _, skipped = read_clips(source, video_config(), 0, cache, CPU)
    assert skipped == [Skipped(0, "it is to start at second 2.5, but ends at 2")]


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_file_that_takes_too_long_is_listed(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, cache: str
) -> None:
    now = 0.0
    original = videos._TimedFile.read

    def slow_for_one(file: Any, *size: int) -> bytes:
        nonlocal now
        if file.name == paths[1].name:
            now += videos.MAX_SECONDS + 1
        return original(file, *size)

    monkeypatch.setattr(videos, "monotonic", lambda: now)
    monkeypatch.setattr(videos._TimedFile, "read", slow_for_one)
    _, skipped = read(paths, cache=cache)
    assert skipped == [Skipped(1, "it takes longer than 60 s to read")]


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_all_may_be_bad(tmp_path: Path, cache: str) -> None:
    items, skipped = read([tmp_path / "a.mp4", tmp_path / "b.mp4"], cache=cache)
    assert len(skipped) == 2
    assert items.clips == 2
    assert list(items.batches([])) == []


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_a_video_without_sound_is_left_out(paths: list[Path], silent: Path, cache: str) -> None:
    items, skipped = read([paths[0], silent, paths[1]], cache=cache)
    assert skipped == [Skipped(1, NO_SOUND, by_choice=True)]
    (media,) = items.batches(rows([0, 1]))
    assert media.heard is not None and media.heard.all()


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_or_it_stays_with_zeros(paths: list[Path], silent: Path, cache: str) -> None:
    items, skipped = read([paths[0], silent], video_config(missing_audio="zeros"), cache=cache)
    assert skipped == []
    (media,) = items.batches(rows([1, 0]))
    assert media.heard is not None and media.sound is not None and media.pixels is not None
    assert media.heard.tolist() == [False, False, True, True]
    assert not media.sound[:2].any() and media.sound[2:].any(dim=1).all()
    assert media.pixels[:2].any()


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_or_it_is_an_error_with_the_cure(paths: list[Path], silent: Path, cache: str) -> None:
    with pytest.raises(InputError, match=r"silent\.mp4' has no sound; .*--missing-audio skip"):
        read([paths[0], silent], video_config(missing_audio="error"), cache=cache)


def test_pictures_alone_need_no_sound(silent: Path) -> None:
    seen = video_config(modalities="visual", instance_pairs="within", category_pairs="within")
    for missing in ("skip", "error"):
        config = seen.model_copy(update={"missing_audio": missing})
        items, skipped = read([silent], config)
        (media,) = items.batches(rows([0]))
        assert skipped == [] and media.sound is media.heard is None
        assert media.pixels is not None and media.pixels.shape == (2, 3, 2, 16, 16)


def test_for_sound_alone_no_picture_is_decoded(
    paths: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> Any:
        raise AssertionError("a picture was decoded")

    monkeypatch.setattr(Video, "frames", fail)
    only_sound = write_video(tmp_path / "sound.mp4", sound=Sound(tone(1.0)))
    config = video_config(modalities="audio", instance_pairs="within", category_pairs="within")
    for cache in ("memory", "none"):
        items, skipped = read([paths[0], only_sound], config, cache=cache)
        (media,) = items.batches(rows([0, 1]))
        assert skipped == [] and media.pixels is None
        assert media.sound is not None and media.sound.shape == (4, 10400)


def test_both_need_a_picture(paths: list[Path], tmp_path: Path) -> None:
    only_sound = write_video(tmp_path / "sound.mp4", sound=Sound(tone(1.0)))
    _, skipped = read([paths[0], only_sound])
    assert skipped == [Skipped(1, "no picture in it")]


@pytest.mark.parametrize("heard_at", [0.05, 2.9])
def test_where_clips_are_kept_does_not_change_what_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, heard_at: float
) -> None:
    """Sound beyond what is listened to is in some of the clips only: the last one decides."""
    monkeypatch.setattr("newfound.data.clips.LISTENED_SECONDS", 0.01)
    path = tmp_path / "late.mkv"
    sound = Sound(clicks(3.0, [heard_at]), codec="pcm_s16le")
    write_video(path, Picture(steady(3.0, rate=8), width=32, height=16), sound)
    _, by_kept = read([path])
    _, by_streamed = read([path], cache="none")
    assert (
        by_kept == by_streamed == ([] if heard_at > 1 else [Skipped(0, NO_SOUND, by_choice=True)])
    )


# ---- what happens later, and where ----------------------------------------------------------


@WORKERS
def test_a_file_that_disappears_in_mid_run_is_named(tmp_path: Path, workers: int) -> None:
    paths = [write_clip(tmp_path / f"{row}.mp4", 0.75) for row in range(3)]
    items, _ = read(paths, workers=workers, cache="none")
    paths[1].unlink()
    batches = items.batches(rows([0], [2, 1], [0]), Draw(0, 1))
    assert len(next(batches)) == 1
    with pytest.raises(InputError, match=r"no longer can: .*1\.mp4: no such file; put it back"):
        next(batches)


@pytest.fixture
def undecodable_in_the_middle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Key frames at 0 and 18 of 20 seconds: from 10 s on there is too much to decode up to 18."""
    picture = Picture(steady(20, rate=4), width=32, height=16, key_every=72)
    monkeypatch.setattr(videos, "MAX_DECODED_PIXELS", 40 * 256 * 256)
    return write_video(tmp_path / "rare.mp4", picture, Sound(tone(20)))


@WORKERS
def test_a_part_that_was_never_tried_is_not_told_as_a_file_that_changed(
    paths: list[Path], undecodable_in_the_middle: Path, workers: int
) -> None:
    config = ANYWHERE.model_copy(update={"clips": 6})  # the fourth begins at 0.6 of 19.5 s
    items, skipped = read([paths[0], undecodable_in_the_middle], config, workers)
    assert skipped == []
    batches = items.batches(rows([0], [1]))
    assert len(next(batches)) == 6
    told = r"rare\.mp4 cannot be decoded at second 11\.7: too much to decode .*remove the file, or"
    with pytest.raises(InputError, match=told + r" give --places N.*another --out"):
        next(batches)


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_with_set_places_every_one_is_tried_before_training(
    paths: list[Path], undecodable_in_the_middle: Path, cache: str
) -> None:
    config = video_config(clips=2, places=6)
    _, skipped = read([paths[0], undecodable_in_the_middle], config, cache=cache)
    assert [item.index for item in skipped] == [1]
    assert skipped[0].reason.startswith("too much to decode")


def test_kept_clips_need_no_file(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "gone.mp4", 0.75)
    items, _ = read([path])
    path.unlink()
    (media,) = items.batches(rows([0]))
    assert len(media) == 2


@pytest.mark.parametrize(
    ("config", "cache", "kept"),
    [
        (video_config(), "auto", True),
        (video_config(), "device", True),
        (video_config(), "memory", True),
        (video_config(), "none", False),
        (ANYWHERE, "auto", False),
        (ANYWHERE, "memory", False),  # there is no end of clips to keep
    ],
)
def test_clips_are_kept_where_that_is_possible(
    paths: list[Path], config: VideoConfig, cache: str, kept: bool
) -> None:
    items, _ = read(paths[:1], config, cache=cache)
    assert isinstance(items, KeptClips if kept else StreamedClips)


@pytest.mark.parametrize(("n_bytes", "kept"), [(0, True), (-2, False)])
def test_auto_keeps_them_if_all_places_of_all_videos_fit(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch, n_bytes: int, kept: bool
) -> None:
    config = video_config()
    needed = len(paths) * 3 * bytes_per_clip(clip_shape(config))
    monkeypatch.setattr("newfound.data.room.free_memory", lambda: 2 * needed + n_bytes)
    items, _ = read(paths, config, cache="auto")
    assert isinstance(items, KeptClips if kept else StreamedClips)


@pytest.mark.parametrize("modalities", ["both", "visual", "audio"])
def test_bytes_per_clip_are_those_it_takes(paths: list[Path], modalities: Any) -> None:
    pairs = "cross" if modalities == "both" else "off"
    config = video_config(modalities=modalities, instance_pairs=pairs, category_pairs=pairs)
    items, _ = read(paths[:1], config)
    assert isinstance(items, KeptClips)
    parts = [items.kept.pixels, items.kept.sound]
    taken = sum(part.nbytes for part in parts if part is not None)
    assert taken == len(items.kept) * bytes_per_clip(clip_shape(config))


@WORKERS
def test_streaming_leaves_the_global_generators_alone(paths: list[Path], workers: int) -> None:
    items, _ = read(paths, cache="none")
    before, numbers = torch.get_rng_state(), np.random.get_state()[1]
    list(items.batches(rows([0, 1]), Draw(0, 1)))
    assert torch.equal(torch.get_rng_state(), before)
    assert np.array_equal(np.random.get_state()[1], numbers)


@pytest.mark.parametrize("cache", ["memory", "none"])
@pytest.mark.parametrize(
    ("number", "name"), [(signal.SIGKILL, "Killed"), (signal.SIGSEGV, "Segmentation fault")]
)
def test_a_killed_worker_is_not_taken_for_the_end_of_the_data(
    paths: list[Path],
    monkeypatch: pytest.MonkeyPatch,
    cache: str,
    number: signal.Signals,
    name: str,
) -> None:
    """The system does so to a process when memory runs out, and a crash of FFmpeg's."""

    def killed(*_: Any, **__: Any) -> None:
        assert get_worker_info() is not None
        os.kill(os.getpid(), number)

    items, _ = read(paths, workers=1, cache="none")
    monkeypatch.setattr(Video, "frames", killed)
    told = rf"decoding process was killed or crashed \(killed by signal: {name}\).*--workers than "
    with pytest.raises(InputError, match=told + r"2.* one of '.*0\.mp4', '.*1\.mp4', '.*2\.mp4': "):
        read(paths, workers=2, cache=cache)
    with pytest.raises(InputError, match=told + r"1.* one of '.*1\.mp4', '.*0\.mp4': remove it"):
        list(items.batches(rows([1], [0, 0], [2]), Draw(0, 1)))


def test_a_mistake_of_ours_is_not_taken_for_a_bad_file(
    paths: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Callable[[], None]:
        raise RuntimeError("our own mistake")

    monkeypatch.setattr(ClipFiles, "load_clip", broken)
    with pytest.raises(RuntimeError, match="our own mistake"):
        read(paths)
