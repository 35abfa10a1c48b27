"""What `--dry-run` says, that it says it of the real thing, and that it leaves nothing behind."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import newfound.dry_run as module
from newfound.config import Runtime
from newfound.data.opening import open_catalogue
from newfound.disk.run_folder import RunFolder
from newfound.dry_run import try_out
from newfound.errors import InputError
from newfound.job import Job, room_on_gpu_in_words, with_held_out
from newfound.progress import Progress
from newfound.run import run
from newfound.settings import make_config
from newfound.stages import stages
from newfound.step_costs import PROBE, Measured, Steps, begun
from support.made_images import make_folder
from support.made_videos import Picture, Sound, clicks, steady, write_video
from support.small_run import TINY, discover_command, flags, newfound

TINY_VIDEOS: dict[str, Any] = {
    "preset": "quick-videos",
    "px": 8,
    "width": 4,
    "clip_frames": 2,
    "mels": 16,
    "fusion_size": 16,
    "hashes": 32,
    "clips": 3,
    "places": 2,
    "batch": 4,
    "epochs": 5,
    "warmup_epochs": 0,
    "precision": "float32",
}
BYTES_OF_A_CLIP = 3 * 2 * 9 * 9 + 2 * 24_000


pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two labelled classes and two to be found, twelve images each."""
    return make_folder(tmp_path_factory.mktemp("data") / "photos", each=12)


@pytest.fixture(scope="module")
def films(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve videos of four classes, with one more that is silent and one that is none."""
    folder = tmp_path_factory.mktemp("data") / "films"
    for number in range(4):
        (folder / f"class {number}").mkdir(parents=True)
        for copy in range(3):
            file = folder / f"class {number}" / f"{copy}.mp4"
            write_video(file, Picture(steady(2)), Sound(clicks(2, [0.5, 1.5])))
    write_video(folder / "class 2" / "mute.mp4", Picture(steady(2)))
    (folder / "class 3" / "broken.mp4").write_bytes(b"nothing")
    return folder


def job(
    data: Path | str, out: Path, *, labelled_classes: int | None = None, **settings: Any
) -> Job:
    kind = "videos" if "videos" in settings["preset"] else "images"
    catalogue, truth = open_catalogue(data, labelled_classes=labelled_classes, kind=kind)
    runtime = Runtime(device="cpu", workers=0, cache=settings.pop("cache", "auto"))
    compared = settings.pop("compare_labelled_only", False)
    return Job(RunFolder(out), catalogue, truth, 2, make_config(**settings), runtime, compared)


def said(job: Job) -> dict[str, str]:
    """The lines by their first column."""
    lines = try_out(job, Progress(quiet=True))
    return {line[:15].strip(): line[15:] for line in lines}


def test_it_tells_what_a_run_of_images_would_be(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert newfound(*discover_command(photos, out), "--dry-run") == 0
    text = capsys.readouterr().out
    for part in (
        "22 labelled of 2 known classes, 2 held out, 24 unlabelled for 2 novel categories",
        "46 items; 0 of them cannot be used",
        "8 items, each pixels (1, 16, 16) uint8",
        "16, each pixels (1, 16, 16) float32",
        "kept in memory",
        "15 steps",
    ):
        assert part in text, part
    assert "warning" not in text
    assert not out.exists()
    assert newfound(*discover_command(photos, out)) == 0
    assert newfound(*discover_command(photos, out), "--dry-run") == 0  # the same run may go on
    assert newfound(*discover_command(photos, out, epochs=9), "--dry-run") == 2


def test_it_tells_what_a_run_of_videos_would_be(
    films: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    command = ["discover", "videos", films, "--labelled-classes", 2, "--num-novel", 2]
    settings = flags(**TINY_VIDEOS, workers=0)
    assert newfound(*command, "--out", out, "--dry-run", *settings) == 0
    text = capsys.readouterr().out
    for part in (
        "14 items; 2 of them cannot be used",
        "warning: 7% cannot be used, the first as: not a video that FFmpeg reads, or cut short; if "
        "that is so of all, the run stops at more than --max-bad 0.05",
        "4 items, each pixels (3, 2, 9, 9) uint8 and sound (24000,) int16",
        "8, each pixels (3, 2, 8, 8) float32 and spectrogram (1, 16, 99) float32",
        f"kept in memory, {14 * 3 * BYTES_OF_A_CLIP / 1e6:.2f} MB",
        "15 steps",
    ):
        assert part in text, part
    assert not out.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"places": None}, "not kept: clips from anywhere are decoded anew"),
        ({"cache": "none"}, "not kept, as they would take 2.04 MB"),
    ],
)
def test_it_tells_why_items_are_not_kept(
    films: Path, tmp_path: Path, settings: dict[str, Any], words: str
) -> None:
    config = {name: v for name, v in (TINY_VIDEOS | settings).items() if v is not None}
    if "places" in settings:
        config = config | {"preset": "videos", "crop_scale": (0.6, 1.0), "mu": "share"}
    assert words in said(job(films, tmp_path, labelled_classes=2, **config))["decoded items"]


def test_a_machine_too_small_is_told_before_it_is_tried(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    def noting(_: Steps, size: int) -> float:
        sizes.append(size)
        return 3.0

    monkeypatch.setattr(Steps, "seconds", noting)
    monkeypatch.setattr(module, "free_memory", lambda: 1000)
    lines = try_out(job(photos, tmp_path, **TINY), Progress(quiet=True))
    assert sizes == [PROBE]
    assert "this machine is too small: a step of 8 items needs at least" in lines[-1]
    assert any(line.endswith("6 s, by steps of 4") for line in lines)


def test_kept_items_take_of_the_memory_that_steps_need(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    it = job(photos, tmp_path, **TINY, cache="memory")
    kept = len(it.catalogue) * module.bytes_when_kept(it.config)
    monkeypatch.setattr(Steps, "memory_needed", lambda _: 10_000)
    for free, fits in ((10_000 + kept, True), (10_000 + kept - 1, False)):
        monkeypatch.setattr(module, "free_memory", lambda free=free: free)
        told = "\n".join(try_out(it, Progress(quiet=True)))
        assert ("this machine is too small" not in told) == fits
        assert ("of it for the kept items: --cache none does without" not in told) == fits


def test_room_on_a_gpu_is_made_by_keeping_images_elsewhere(photos: Path, tmp_path: Path) -> None:
    wished = {wish: job(photos, tmp_path, **TINY, cache=wish) for wish in ("auto", "memory")}
    cure = "if images are kept on the GPU, give --cache memory to go on; or "
    assert {wish: room_on_gpu_in_words(it) for wish, it in wished.items()} == {
        "auto": cure,
        "memory": "",
    }


def test_the_memory_of_a_batch_follows_from_that_of_the_probe(photos: Path, tmp_path: Path) -> None:
    """What the forward pass of 24 items really saves, against what 2 and 4 foretell."""
    it = job(photos, tmp_path, **TINY | {"batch": 24, "width": 16})
    rows = it.catalogue.trainable[:10]
    media = module.Media(torch.randint(0, 255, (10, 1, 16, 16), dtype=torch.uint8))
    [(_, training)] = begun(it, torch.device("cpu"))
    steps = Steps(training, rows, media, "images")
    assert steps.memory_needed() == pytest.approx(steps._saved_bytes(24), rel=0.05)


@pytest.mark.parametrize("more", [{}, {"compare_labelled_only": True}, {"epochs": 7}])
def test_the_steps_are_those_of_the_run(photos: Path, tmp_path: Path, more: dict[str, Any]) -> None:
    it = job(photos, tmp_path / "run", **TINY | more)
    foretold = re.search(r"\(([\d,]+) steps\)", said(it)["time"])
    assert foretold is not None
    taken = 0

    class Counting(Progress):
        def stage(self, name: str, total: int, **more: Any) -> None:
            nonlocal taken
            taken += total if name.startswith("Training") else 0
            super().stage(name, total, **more)

    run(it, Counting(quiet=True))
    assert int(foretold[1]) == taken


def test_more_time_for_more_to_do(
    films: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clips that are not kept are decoded in every step, and once more for each clip sorted.

    An item takes 60 s to read, in which 3 clips of it are tried.
    """
    it = job(films, tmp_path, labelled_classes=2, **TINY_VIDEOS | {"settle_steps": 0})
    it = Job(**vars(it) | {"catalogue": with_held_out(it, it.catalogue)})
    batch = it.config.batch
    stage = Measured("", count=15, batch=batch, memory=0, measured_on=batch, seconds=3600.0)
    kept = module._time(it, [stage], 60.0, is_kept=True)
    assert "reading 14 min 0 s, training 15 h 0 min (15 steps)" in kept
    anew = module._time(it, [stage], 60.0, is_kept=False)
    assert "reading 14 min 0 s, training 15 h 20 min (15 steps)" in anew
    # 8 unlabelled and all 6 labelled ones, 3 clips of each, 3600 s / 4 items / 6 for a view
    assert kept.endswith("sorting 1 h 45 min")
    assert anew.endswith("sorting 1 h 59 min")
    settled = replace(it, config=it.config.model_copy(update={"settle_steps": 5}))
    # the 8 are looked at twice, of one clip once
    assert module._time(settled, [stage], 60.0, is_kept=True).endswith("sorting 2 h 45 min")
    one_clip = replace(settled, config=settled.config.model_copy(update={"clips": 1}))
    assert module._time(one_clip, [stage], 60.0, is_kept=True).endswith("sorting 35 min 0 s")
    longer = replace(stage, count=3, seconds=7200.0)
    both = module._time(it, [longer, stage], 60.0, is_kept=True)
    assert "training 21 h 0 min (18 steps)" in both
    monkeypatch.setattr(module, "decoding_workers", lambda _: 2)
    assert "training 15 h 0 min" in module._time(it, [stage], 60.0, is_kept=False)


def test_what_a_published_set_lacks_is_told(films: Path, tmp_path: Path) -> None:
    """Kinetics-400 with the files of two known and two novel classes."""
    (tmp_path / "videos").mkdir()
    rows = ["label,youtube_id,time_start,time_end,split"]
    files = sorted(films.glob("*/?.mp4"))
    for number in range(400):
        rows += [f"class {number:03d},{number:010d}{copy},0,2,train" for copy in range(3)]
    for place, number in enumerate((0, 100, 350, 399)):
        for copy in range(3):
            link = tmp_path / "videos" / f"{number:010d}{copy}_000000_000002.mp4"
            link.symlink_to(files[3 * place + copy])
    (tmp_path / "train.csv").write_text("\n".join(rows))
    catalogue, truth = open_catalogue(
        "kinetics400", kind="videos", csv=tmp_path, videos=tmp_path / "videos"
    )
    config, runtime = make_config(**TINY_VIDEOS), Runtime(device="cpu", workers=0)
    it = Job(RunFolder(tmp_path / "run"), catalogue, truth, 2, config, runtime, False)
    counts = said(it)["data"]
    assert "of 2 known classes" in counts
    assert counts.endswith("1,188 of 1,200 listed videos have no file")


def test_data_that_cannot_be_used_is_refused_as_by_a_run(photos: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="batch is 100, but there are only 46 items"):
        said(job(photos, tmp_path, **TINY | {"batch": 100}))
    (tmp_path / "file").touch()
    for out, words in ((tmp_path / "file", "is no run of newfound"), (photos, "is no run of")):
        with pytest.raises(InputError, match=words):
            said(job(photos, out, **TINY))
    with RunFolder(tmp_path / "run").claimed({"config": {}, "known": [], "num_novel": 9}, {}):
        (tmp_path / "run" / "checkpoint.pt").touch()
    with pytest.raises(InputError, match=r"other settings or data(.|\n)*num_novel: 9 there, 2"):
        said(job(photos, tmp_path / "run", **TINY))
    with pytest.raises(InputError, match="at least 4 labelled classes"):
        said(job(photos, tmp_path, **TINY | {"mu": "heldout"}))
    it = job("digits", tmp_path, **TINY | {"method": "dtc"})
    with pytest.raises(InputError, match="at most 32 categories, or make the network wider"):
        said(replace(it, num_novel=33))
    for number in range(4):
        (tmp_path / "none" / f"class {number}").mkdir(parents=True)
        for copy in range(3):
            (tmp_path / "none" / f"class {number}" / f"{copy}.mp4").write_bytes(b"nothing")
    with pytest.raises(InputError, match="none of 12 videos that were looked at can be used"):
        said(job(tmp_path / "none", tmp_path / "new", labelled_classes=2, **TINY_VIDEOS))


def test_a_baselines_step_is_measured_on_its_own_batch(photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"method": "kcl", "pretraining": "none"}
    told = said(job(photos, tmp_path, **settings | {"batch": 20, "own_batch": 6}))
    assert told["batch"].startswith("6 items, each")
    assert told["views"].startswith("12, each")
    assert told["peak memory"].endswith("a batch of 6")


def test_each_stage_is_measured_on_a_batch_of_its_own(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The largest decides whether the machine is too small; steps of each take their own time."""
    settings = TINY | {"method": "kcl", "pretraining": "cl", "batch": 20, "own_batch": 6}
    it = job(photos, tmp_path, **settings)
    monkeypatch.setattr(Steps, "seconds", lambda _, size: 3600.0 * (size == 20))
    lines = try_out(it, Progress(quiet=True))
    steps = [line[15:] for line in lines if line.startswith("a step")]
    assert steps == [
        "3.6e+03 s: Pretraining by CE, NCE-I and NCE-C (CL), 20 items",
        "0 s: Training the similarity network, 6 items",
        "0 s: Clustering by its answers, 6 items",
    ]
    [time] = [line for line in lines if line.startswith("time")]
    assert "training 6 h 0 min (" in time  # 46 items in batches of 20, three epochs
    needed = {"cl": 3_000_000, "own": 1_000_000}
    monkeypatch.setattr(
        Steps, "memory_needed", lambda steps: needed["cl" if steps.batch == 20 else "own"]
    )
    monkeypatch.setattr(module, "free_memory", lambda: 2_000_000)
    small = try_out(it, Progress(quiet=True))
    assert "this machine is too small: a step of 20 items needs at least 3.0" in small[-1]
    by_few = [line for line in small if "by steps of 4" in line]
    assert len(by_few) == 1 and "(CL), 20 items" in by_few[0]


def test_the_search_for_mu_takes_its_time_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = make_folder(tmp_path / "photos", known=(0, 1, 2, 3), novel=(4, 5), each=6)
    monkeypatch.setattr(Steps, "seconds", lambda *_: 3600.0)
    it = job(photos, tmp_path / "run", **TINY | {"mu": "heldout", "heldout_epochs": 2})
    lines = try_out(it, Progress(quiet=True))
    steps = [line[15:] for line in lines if line.startswith("a step")]
    assert [step.partition(": ")[2] for step in steps] == [
        "Trying mu on known classes, 8 items",
        "Training, 8 items",
    ]
    # 20 labelled ones in batches of 8, for five candidates twice; 32 in all, three times
    assert "(32 steps)" in next(line for line in lines if line.startswith("time"))


@pytest.mark.parametrize("method", ["kmeans", "kcl", "mcl", "dtc", "rs", "rs-ll"])
def test_every_stage_of_every_method_can_be_measured(
    photos: Path, tmp_path: Path, method: str
) -> None:
    lines = try_out(job(photos, tmp_path, **TINY | {"method": method}), Progress(quiet=True))
    assert len([line for line in lines if line.startswith("a step")]) == len(
        stages(make_config(**TINY | {"method": method}))
    )


def test_a_stage_of_unlabelled_items_needs_some_that_can_be_used(tmp_path: Path) -> None:
    for number in range(4):
        (tmp_path / "data" / f"class {number}").mkdir(parents=True)
        for copy in range(6):
            file = tmp_path / "data" / f"class {number}" / f"{copy}.png"
            Image.new("L", (16, 16), 60 * copy).save(file) if number < 2 else file.touch()
    it = job(tmp_path / "data", tmp_path / "run", labelled_classes=2, **TINY | {"method": "dtc"})
    with pytest.raises(
        InputError, match=r"none of the images that .* stage of dtc trains on, the labelled or"
    ):
        said(it)


def test_the_items_looked_at_are_spread_over_all(tmp_path: Path) -> None:
    """So that labelled and unlabelled ones are among them, however they are ordered."""
    it = job("digits", tmp_path, **TINY)
    with Progress(quiet=True) as progress:
        looked = module._sample(it, "memory", torch.device("cpu"), progress)
    rows, sample = looked.rows, module.SAMPLE
    assert (len(rows), len(looked.media), looked.skipped) == (sample, sample, [])
    assert len(np.unique(rows)) == sample
    assert 20 < (it.catalogue.labels[rows] < 0).sum() < 44
