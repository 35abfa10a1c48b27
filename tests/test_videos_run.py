"""Whole runs on videos through the command line: repeated, killed, refused, asked of new files."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from newfound import discover
from newfound import run as run_module
from newfound.batch import Batch
from newfound.config import Runtime
from newfound.data.catalogue import Truth
from newfound.data.clips import Clip, ClipFiles
from newfound.data.opening import open_catalogue
from newfound.disk.checkpoint import load_checkpoint
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError
from newfound.progress import Progress
from newfound.results.inference import ask
from newfound.settings import make_config
from newfound.training import kept_training
from newfound.training.train import Training
from support.made_images import make_folder
from support.made_shards import shard
from support.made_videos import Picture, Sound, steady, tone, write_bad_videos, write_video
from support.small_run import (
    TINY_VIDEOS,
    assert_same_run,
    contents,
    discover_command,
    discover_videos_command,
    epoch_records,
    events,
    newfound,
    one_thread,
    tensors,
)

FORKED = multiprocessing.get_context("fork")
CLASSES = {"beep": 300.0, "hum": 800.0, "peep": 2000.0, "whistle": 5000.0}
"""Known are the first two in name order; each with its pitch in hertz."""
EACH = 6
PROMISED = {
    "config.json",
    "model.safetensors",
    "checkpoint.pt",
    "log.jsonl",
    "items.csv",
    "items.parquet",
    "categories.csv",
    "embedding.npz",
    "thumbnails.npz",
    "skipped.csv",
    "result.json",
    "report.html",
}


pytestmark = pytest.mark.usefixtures("one_thread")


def write_class(path: Path, name: str, number: int) -> Path:
    pitch = CLASSES[name] * (1 + number / 50)
    picture = Picture(steady(0.75, rate=8), 32, 24, key_every=3, split=name in ("beep", "peep"))
    return write_video(path, picture, Sound(tone(0.75, pitch, rate=16_000), rate=16_000))


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Class folders of short videos with sound."""
    root = tmp_path_factory.mktemp("videos")
    for name in CLASSES:
        (root / name).mkdir()
        for number in range(EACH):
            write_class(root / name / f"{number}.mp4", name, number)
    return root


@pytest.fixture(scope="module")
def whole(videos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    with one_thread():
        return discovered(videos, tmp_path_factory.mktemp("whole") / "run")


def discovered(videos: Path, out: Path, **changed: Any) -> Path:
    command = discover_videos_command(videos, out, **{"labelled_classes": 2} | changed)
    assert newfound(*command) == 0
    return out


def test_a_run_leaves_every_file_it_promises(whole: Path) -> None:
    assert contents(whole).keys() - {".lock"} == PROMISED
    assert events(whole) == ["start", "epoch", "epoch", "stage", "settled", "end"]
    assert [record["step"] for record in epoch_records(whole)] == [2, 4]
    result = json.loads((whole / "result.json").read_text())
    assert result["counts"] == {
        "known_classes": 2,
        "novel_categories": 2,
        "labelled": 10,
        "unlabelled": 12,
        "held_out": 2,
        "skipped": 0,
        "missing": 0,
    }
    assert result["baselines"].keys() == {"kmeans_features", "kmeans_pixels"}
    items = pd.read_csv(whole / "items.csv")
    expected = {f"{name}/{number}.mp4" for name in ("peep", "whistle") for number in range(EACH)}
    assert set(items["path"]) == expected
    thumbnails = np.load(whole / "thumbnails.npz")
    assert thumbnails["pixels"].shape == (12, 96, 64, 3)  # posters above spectrograms


# ---- the seed decides everything ------------------------------------------------------------


def test_one_seed_gives_one_run(videos: Path, whole: Path, tmp_path: Path) -> None:
    torch.manual_seed(12345)
    np.random.seed(12345)
    assert_same_run(whole, discovered(videos, tmp_path / "again"))


def test_another_seed_gives_another(videos: Path, whole: Path, tmp_path: Path) -> None:
    ours, other = tensors(whole), tensors(discovered(videos, tmp_path / "other", seed=1))
    learnt = [name for name, value in ours.items() if value.is_floating_point()]
    assert not [name for name in learnt if torch.equal(ours[name], other[name])]


def test_where_clips_are_kept_and_who_decodes_changes_nothing(
    videos: Path, whole: Path, tmp_path: Path
) -> None:
    run = discovered(videos, tmp_path / "streamed", cache="none", workers=1)
    assert_same_run(whole, run)
    baselines = json.loads((run / "result.json").read_text())["baselines"]
    assert baselines.keys() == {"kmeans_features"}, "pixels are not decoded again for a baseline"
    assert "k-means on the plain pixels" not in (run / "report.html").read_text()


def in_a_shard(videos: Path, path: Path) -> Path:
    """A tar file of all videos, each with its class beside it."""
    members = []
    for video in sorted(videos.rglob("*.mp4")):
        name = str(video.relative_to(videos))
        members += [(name, video.read_bytes())]
        members += [(name.replace(".mp4", ".cls"), video.parent.name.encode())]
    path.write_bytes(shard(members))
    return path


def test_videos_in_shards_give_the_run_that_their_files_give(
    videos: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    path = in_a_shard(videos, tmp_path / "one.tar")
    run = discovered(path, tmp_path / "run", cache="none", workers=1)
    for name in ("items.csv", "categories.csv"):
        content = (run / name).read_bytes()
        assert b"one.tar/" in content
        (run / name).write_bytes(content.replace(b"one.tar/", b""))
    assert_same_run(whole, run)
    assert "file:///" in (whole / "report.html").read_text()
    assert "file:///" not in (run / "report.html").read_text(), "nothing can be linked to"


def anywhere(videos: Path, out: Path) -> list[str]:
    """Clips from anywhere in the videos, which the preset does not do by itself."""
    return discover_videos_command(videos, out, labelled_classes=2, places=None)


def test_clips_from_anywhere_are_decided_by_the_seed_too(videos: Path, tmp_path: Path) -> None:
    for name in ("one", "other"):
        assert newfound(*anywhere(videos, tmp_path / name)) == 0
    assert json.loads((tmp_path / "one" / "config.json").read_text())["config"]["places"] is None
    assert_same_run(tmp_path / "one", tmp_path / "other")


@pytest.mark.parametrize("modalities", ["visual", "audio"])
def test_one_modality_is_enough(videos: Path, tmp_path: Path, modalities: str) -> None:
    pairs = {"instance_pairs": "within", "category_pairs": "within"}
    run = discovered(videos, tmp_path / "run", modalities=modalities, **pairs)
    result = json.loads((run / "result.json").read_text())
    assert ("kmeans_pixels" in result["baselines"]) == (modalities == "visual")
    encoders = {
        name.split("encoders.")[1].split(".")[0] for name in tensors(run) if "encoders." in name
    }
    assert encoders == {modalities}


# ---- killed and resumed ---------------------------------------------------------------------


def killed_at_checkpoint(nth: int, command: list[str]) -> None:
    """Run the command in a process that the system kills once it has written a checkpoint."""

    def child() -> None:
        original, calls = kept_training.save_checkpoint, 0

        def deadly(*arguments: Any) -> None:
            nonlocal calls
            calls += 1
            original(*arguments)
            if calls == nth:
                os.kill(os.getpid(), signal.SIGKILL)

        kept_training.save_checkpoint = deadly
        newfound(*command)

    process = FORKED.Process(target=child)
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize(
    ("cache", "step"), [("memory", 1), ("none", 2), ("memory", 3), ("none", 3)]
)
def test_killed_in_or_after_an_epoch_it_goes_on_bit_for_bit(
    videos: Path, whole: Path, tmp_path: Path, cache: str, step: int
) -> None:
    run = tmp_path / "run"
    command = discover_videos_command(videos, run, labelled_classes=2, cache=cache)
    killed_at_checkpoint(step, command)
    assert load_checkpoint(run / "checkpoint.pt")["training"]["step"] == step
    other = "none" if cache == "memory" else "memory"  # where clips are kept may change
    assert newfound(*discover_videos_command(videos, run, labelled_classes=2, cache=other)) == 0
    assert events(run).count("resume") == 1
    assert_same_run(whole, run)


def test_a_worker_that_is_lost_in_a_step_stops_the_run_which_goes_on(
    videos: Path,
    whole: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Torch tells of it by an error out of whatever line is being run, here in the second step."""
    run, original = tmp_path / "run", Training.take_step

    def take_step(training: Training, batch: Batch) -> None:
        if training.step == 1:
            for worker in multiprocessing.active_children():
                os.kill(worker.pid or 0, signal.SIGKILL)
            time.sleep(60)
        original(training, batch)

    command = discover_videos_command(videos, run, labelled_classes=2, cache="none", workers=1)
    with monkeypatch.context() as patched:
        patched.setattr(Training, "take_step", take_step)
        message = refused(command, capsys)
    assert "a decoding process was killed or crashed (killed by signal: Killed)" in message
    assert "The same command goes on from there" in message
    assert newfound(*command) == 0
    assert_same_run(whole, run)


def test_killed_it_goes_on_with_the_clips_it_would_have_drawn_anywhere(
    videos: Path, tmp_path: Path
) -> None:
    killed_at_checkpoint(1, anywhere(videos, tmp_path / "killed"))
    for name in ("killed", "whole"):
        assert newfound(*anywhere(videos, tmp_path / name)) == 0
    assert_same_run(tmp_path / "whole", tmp_path / "killed")


# ---- truth stays out of training ------------------------------------------------------------


def test_scrambled_truth_changes_no_weight_and_no_item(videos: Path, tmp_path: Path) -> None:
    catalogue, truth = open_catalogue(videos, labelled_classes=2, kind="videos")
    assert truth is not None
    most_of_one = np.arange(len(truth.labels)) == 0  # no sorting scores alike by both
    scrambled = Truth(most_of_one.astype(truth.labels.dtype), truth.class_names)
    config = make_config(**TINY_VIDEOS)
    results = {}
    for name, given in (("true", truth), ("scrambled", scrambled), ("none", None)):
        folder = RunFolder(tmp_path / name)
        job = run_module.Job(folder, catalogue, given, 2, config, Runtime(device="cpu"), True)
        with Progress(quiet=True) as progress:
            run_module.run(job, progress)
        results[name] = folder.result()

    for other in ("scrambled", "none"):
        ours, theirs = tensors(tmp_path / "true"), tensors(tmp_path / other)
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
        for name in ("items.csv", "items.parquet", "categories.csv", "embedding.npz"):
            assert (tmp_path / "true" / name).read_bytes() == (tmp_path / other / name).read_bytes()
    # The truth did arrive where it belongs:
    assert results["true"]["novel"] != results["scrambled"]["novel"]
    assert "novel" not in results["none"]


# ---- what is left out -----------------------------------------------------------------------


def write_silent(path: Path) -> Path:
    return write_video(path, Picture(steady(0.75, rate=8), 32, 24))


@pytest.fixture
def flawed(videos: Path, tmp_path: Path) -> Path:
    """The videos, one of them without sound."""
    copied = tmp_path / "flawed"
    shutil.copytree(videos, copied)
    write_silent(copied / "peep" / "silent.mp4")
    return copied


OF_SOUND = {"modalities": "audio", "instance_pairs": "within", "category_pairs": "within"}


def test_of_sound_alone_no_silent_video_can_be_kept(
    flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = discover_videos_command(
        flawed, tmp_path / "run", labelled_classes=2, max_bad=0.5, **OF_SOUND
    )
    assert newfound(*(word for word in command if word != "--quiet")) == 0
    assert "--missing-audio" not in "".join(capsys.readouterr())
    assert newfound(*command, "--out", tmp_path / "other", "--missing-audio", "error") == 2
    said = capsys.readouterr().err
    assert "with --missing-audio skip" in said and "zeros" not in said


@pytest.mark.parametrize("cache", ["memory", "none"])
def test_unusable_videos_are_left_out_and_listed(
    flawed: Path, whole: Path, tmp_path: Path, cache: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (flawed / "beep" / "0.mp4.part").write_bytes(b"half a download")
    reasons = write_bad_videos(flawed / "hum")
    command = discover_videos_command(
        flawed, tmp_path / "run", labelled_classes=2, cache=cache, max_bad=0.5
    )
    run = tmp_path / "run"
    assert newfound(*(word for word in command if word != "--quiet")) == 0
    assert "--missing-audio zeros, in a new --out, keeps" in "".join(capsys.readouterr())
    skipped = pd.read_csv(run / "skipped.csv").set_index("path")["reason"].to_dict()
    assert "not a video" in skipped.pop("beep/0.mp4.part")
    assert skipped.pop("peep/silent.mp4") == "no sound in it"
    assert skipped == {f"hum/{name}": reason for name, reason in reasons.items()}
    assert_same_run(whole, run)  # which never had them


def test_what_a_published_set_lacks_is_in_the_result_and_the_report(
    videos: Path, tmp_path: Path
) -> None:
    catalogue, truth = open_catalogue(videos, labelled_classes=2, kind="videos")
    lacking = replace(catalogue, missing=1234)
    config, folder = make_config(**TINY_VIDEOS), RunFolder(tmp_path / "run")
    with Progress(quiet=True) as progress:
        run_module.run(
            run_module.Job(folder, lacking, truth, 2, config, Runtime(workers=0), False), progress
        )
    assert folder.result()["counts"]["missing"] == 1234
    assert (
        "1,234 more videos that the data set lists have no file here" in folder.report.read_text()
    )


def test_too_many_of_them_stop_the_run(
    flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file without sound is not one of them: it is left out by choice."""
    (flawed / "hum" / "empty.mp4").touch()
    (flawed / "hum" / "empty too.mp4").touch()
    command = discover_videos_command(flawed, tmp_path / "run", labelled_classes=2)
    assert newfound(*command) == 2
    message = capsys.readouterr().err
    assert "2 of 27 files (7.4%) cannot be used" in message
    assert "'hum/empty.mp4' (empty file)" in message
    assert "silent" not in message
    assert "--max-bad 0.075" in message


def test_a_video_without_sound_may_stay_or_be_an_error(
    flawed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = discovered(flawed, tmp_path / "zeros", missing_audio="zeros")
    assert "peep/silent.mp4" in set(pd.read_csv(run / "items.csv")["path"])
    command = discover_videos_command(
        flawed, tmp_path / "error", labelled_classes=2, missing_audio="error"
    )
    assert newfound(*command) == 2
    assert "silent.mp4' has no sound; " in capsys.readouterr().err


def test_a_file_that_disappears_in_mid_run_is_named_and_the_run_can_go_on(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], whole: Path
) -> None:
    copied, run = tmp_path / "videos", tmp_path / "run"
    shutil.copytree(videos, copied)
    gone = copied / "beep" / "3.mp4"
    original = kept_training.save_checkpoint

    def and_lose_it(*arguments: Any) -> None:
        original(*arguments)
        gone.unlink(missing_ok=True)

    command = discover_videos_command(copied, run, labelled_classes=2, cache="none")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kept_training, "save_checkpoint", and_lose_it)
        assert newfound(*command) == 2
    message = capsys.readouterr().err
    assert "3.mp4: no such file; put it back" in message
    shutil.copy(videos / "beep" / "3.mp4", gone)
    assert newfound(*command) == 0
    assert_same_run(whole, run)


# ---- after the run --------------------------------------------------------------------------


@pytest.fixture
def new_files(tmp_path: Path) -> Path:
    folder = tmp_path / "new"
    (folder / "deep").mkdir(parents=True)
    for number, name in enumerate(CLASSES):
        write_class(folder / "deep" / f"{name}.mp4", name, number)
    write_silent(folder / "silent.mp4")
    (folder / "broken.mp4").write_bytes(b"no video" * 50)
    return folder


def predicted(run: Path, data: Path, out: Path, *more: object) -> pd.DataFrame:
    assert newfound("predict", run, data, "--out", out, "--workers", 0, "--quiet", *more) == 0
    return pd.read_csv(out)


def test_new_videos_are_named_and_bad_ones_listed(
    whole: Path, new_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "answers.csv"
    assert newfound("predict", whole, new_files, "--out", table, "--workers", 0) == 0
    printed = "".join(capsys.readouterr())
    assert "left out: 'broken.mp4': not a video" in printed
    assert "left out: 'silent.mp4': no sound in it" in printed
    assert "4 videos -> " in printed
    answers = pd.read_csv(table)
    assert answers["path"].tolist() == sorted(f"deep/{name}.mp4" for name in CLASSES)
    novel = set(pd.read_csv(whole / "categories.csv")["category"])
    assert set(answers["category"]) <= novel | {"beep", "hum"}
    assert answers["confidence"].between(0, 1).all()
    assert newfound("predict", whole, new_files, "--out", table, "--workers", 1, "--quiet") == 0
    pd.testing.assert_frame_equal(pd.read_csv(table), answers)
    one = predicted(whole, new_files / "deep" / "hum.mp4", tmp_path / "one.csv")
    expected = answers[answers["path"] == "deep/hum.mp4"]
    assert one["category"].tolist() == expected["category"].tolist()
    np.testing.assert_allclose(one["confidence"], expected["confidence"], rtol=1e-4)


def test_of_new_videos_no_clip_is_decoded_that_is_not_asked_for(
    whole: Path, new_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run was trained on 3 places of each video, and 2 clips of each are asked for."""
    decoded: list[tuple[int, float]] = []
    original = ClipFiles.load_clip

    def counted(files: ClipFiles, i: int, at: float, *more: Any) -> Clip:
        decoded.append((i, at))
        return original(files, i, at, *more)

    monkeypatch.setattr(ClipFiles, "load_clip", counted)
    predicted(whole, new_files / "deep", tmp_path / "answers.csv")
    assert decoded == [(i, at) for i in range(4) for at in (0.0, 1.0)]


def test_new_videos_are_sorted_into_folders(whole: Path, new_files: Path, tmp_path: Path) -> None:
    into = tmp_path / "sorted"
    answers = predicted(whole, new_files, tmp_path / "answers.csv", "--copy-to", into)
    copied = {path.name: path.parent.name for path in into.rglob("*.mp4")}
    expected = {Path(path).name: of for path, of in zip(answers["path"], answers["category"])}
    assert copied == expected


def test_parts_of_new_films_are_named_as_files_of_theirs(
    whole: Path, new_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A part of a whole file is the file; the first second is another clip."""
    (new_files / "new.csv").write_text(
        "path,start_seconds,end_seconds\ndeep/hum.mp4,0,100\ndeep/hum.mp4,,0.5\ndeep/beep.mp4,,\n"
    )
    table = tmp_path / "answers.csv"
    answers = predicted(whole, new_files / "new.csv", table)
    given = ["path", "start_seconds", "end_seconds"]
    pd.testing.assert_frame_equal(answers[given], pd.read_csv(new_files / "new.csv"))
    files = predicted(whole, new_files / "deep", table).set_index("path")
    of_files = files.loc[["hum.mp4", "beep.mp4"]]
    np.testing.assert_allclose(answers["confidence"][[0, 2]], of_files["confidence"], rtol=1e-4)
    assert answers["category"][[0, 2]].tolist() == of_files["category"].tolist()
    sort = ["--out", tmp_path / "sorted.csv", "--copy-to", tmp_path / "sorted"]
    assert newfound("predict", whole, new_files / "new.csv", *sort) == 2
    assert "lists parts of files, which cannot be copied" in capsys.readouterr().err
    assert not (tmp_path / "sorted.csv").exists()


def test_where_none_of_the_new_files_is_a_video_nothing_is_answered(
    whole: Path, new_files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(new_files / "deep")
    table = tmp_path / "none.csv"
    assert newfound("predict", whole, new_files, "--out", table, "--workers", 0) == 2
    message = capsys.readouterr().err
    assert "none of 2 videos can be read: 'broken.mp4' (not a video" in message
    assert "'silent.mp4' (no sound in it)" in message
    assert not table.exists()


def test_where_missing_sound_is_an_error_it_stops_no_answer_to_the_others(
    videos: Path, new_files: Path, tmp_path: Path
) -> None:
    run = discovered(videos, tmp_path / "strict", missing_audio="error")
    assert len(predicted(run, new_files, tmp_path / "answers.csv")) == 4


def test_a_run_can_be_scored_again(
    whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound("evaluate", whole, "--json") == 0
    scores = json.loads(capsys.readouterr().out)
    assert 0.5 <= scores["novel"]["acc"] <= 1
    items = pd.read_csv(whole / "items.csv")
    truth = pd.DataFrame({"path": items["path"], "label": items["path"].str.split("/").str[0]})
    truth.to_csv(tmp_path / "truth.csv", index=False)
    assert newfound("evaluate", whole, "--truth", tmp_path / "truth.csv", "--json") == 0
    assert json.loads(capsys.readouterr().out)["novel"]["acc"] == scores["novel"]["acc"]


def test_pieces_of_one_file_are_items_of_their_own(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        (path.relative_to(videos), "" if path.parent.name in ("peep", "whistle") else label, *span)
        for path in sorted(videos.rglob("*.mp4"))
        for label in [path.parent.name]
        for span in ([(0, 0.375), (0.375, "")] if label == "whistle" else [("", "")])
    ]
    table = pd.DataFrame(rows, columns=["path", "label", "start_seconds", "end_seconds"])
    table.to_csv(videos / "table.csv", index=False)
    run = tmp_path / "run"
    assert newfound(*discover_videos_command(videos / "table.csv", run)) == 0
    (videos / "table.csv").unlink()
    items = pd.read_csv(run / "items.csv")
    assert len(items) == EACH + 2 * EACH
    assert {"whistle/0.mp4#0-0.375", "whistle/0.mp4#0.375-", "peep/0.mp4"} < set(items["path"])
    truth = table.assign(label=[path.parts[0] for path in table["path"]])
    truth.to_csv(tmp_path / "truth.csv", index=False)
    capsys.readouterr()
    assert newfound("evaluate", run, "--truth", tmp_path / "truth.csv", "--json") == 0
    scored = json.loads(capsys.readouterr().out)["novel"]["confusion"]
    assert np.sum(scored["counts"]) == len(items)


# ---- refused --------------------------------------------------------------------------------


def refused(command: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    assert newfound(*command) == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_presets_of_images_are_refused_for_videos_and_the_other_way_round(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = ["discover", "videos", str(videos), "--num-novel", "2", "--labelled-classes", "2"]
    base += ["--out", str(tmp_path / "run")]
    message = refused([*base, "--preset", "quick"], capsys)
    assert "'quick' is not one of videos; give videos, quick-videos" in message
    photos = make_folder(tmp_path / "photos", each=2)
    command = ["discover", "images", str(photos), "--num-novel", "2", "--out", str(tmp_path / "r")]
    message = refused([*command, "--preset", "quick-videos"], capsys)
    assert "'quick-videos' is not one of images; give images, small-images, quick" in message
    assert not (tmp_path / "run").exists() and not (tmp_path / "r").exists()


def test_auto_is_a_preset_of_videos_too(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["discover", "videos", str(videos), "--num-novel", "2", "--labelled-classes", "2"]
    command += ["--preset", "auto", "--out", str(tmp_path / "run")]
    assert "batch is 1024, but there are only" in refused(command, capsys)


@pytest.mark.parametrize("more", [[], ["--dry-run"]], ids=["run", "dry run"])
def test_images_given_as_videos_stop_the_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    photos = make_folder(tmp_path / "photos", each=4)
    message = refused([*discover_videos_command(photos, tmp_path / "run"), *more], capsys)
    assert "can be used" in message or "cannot be used" in message
    assert "; these look like images: newfound discover images (in Python " in message


@pytest.mark.parametrize("preset", [[], ["--preset", "quick"]], ids=["by the data", "quick"])
def test_videos_given_as_images_stop_the_run(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], preset: list[str]
) -> None:
    command = ["discover", "images", str(videos), "--num-novel", "2", "--labelled-classes", "2"]
    message = refused([*command, "--out", str(tmp_path / "run"), "--batch", "8", *preset], capsys)
    assert "cannot be used" in message if preset else "none of the images can be read" in message
    told = "; these look like videos: newfound discover videos (in Python preset='videos')"
    assert told in message
    for wrong in (videos / "hum", videos / "hum" / "0.mp4"):
        assert told in refused([*command[:2], str(wrong), *command[3:], "--out", "x"], capsys)


def test_a_run_of_images_is_not_continued_with_videos(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photos, run = make_folder(tmp_path / "photos", each=7), tmp_path / "run"
    assert newfound(*discover_command(photos, run, epochs=1)) == 0
    message = refused(discover_videos_command(videos, run, labelled_classes=2), capsys)
    assert "config.preset" in message


def test_built_in_sets_are_images(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    message = refused(discover_videos_command(Path("digits"), tmp_path / "run"), capsys)
    assert "'digits' does not exist" in message
    assert "did you mean" not in message


def test_a_batch_that_is_too_large_is_told_with_the_preset_for_few_videos(
    videos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = discover_videos_command(videos, tmp_path / "run", labelled_classes=2, batch=300)
    assert "--preset quick-videos" in refused(command, capsys)


# ---- from Python ----------------------------------------------------------------------------


def test_python_finds_what_the_command_finds(videos: Path, whole: Path, tmp_path: Path) -> None:
    found = discover(
        videos,
        num_novel=2,
        labelled_classes=2,
        out=tmp_path / "run",
        quiet=True,
        runtime=Runtime(workers=0, threads=1),
        **TINY_VIDEOS,
    )
    assert_same_run(whole, found.folder.path)
    with pytest.raises(InputError, match=r"data is given as ndarray; .* a DataFrame$"):
        found.predict(np.zeros((1, 8, 8), np.uint8))
    answers = found.predict(videos / "hum" / "0.mp4", workers=0)
    assert answers["path"].tolist() == ["0.mp4"]


@pytest.mark.parametrize(("steps", "times"), [(2, 2), (0, 1)])
def test_videos_are_looked_at_again_only_by_another_head_of_which_the_report_is_told(
    steps: int, times: int, videos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[bool] = []
    asked: list[list[int]] = []

    def asking(network: Any, items: Any, rows: np.ndarray, **named: Any) -> Any:
        asked.append(rows.tolist())
        return ask(network, items, rows, **named)

    def warning(*_: Any, head_changed_since: bool, **__: Any) -> list[str]:
        told.append(head_changed_since)
        return []

    monkeypatch.setattr("newfound.conclusion.find_warnings", warning)
    monkeypatch.setattr("newfound.ground.ask", asking)
    discovered(videos, tmp_path / "run", settle_steps=steps, epochs=1)
    unlabelled = asked[0]
    assert len(unlabelled) == len(pd.read_csv(tmp_path / "run" / "items.csv"))
    assert asked.count(unlabelled) == times
    assert told == [steps > 0]
