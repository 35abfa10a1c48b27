"""Runs on shards of a store that stops answering in their midst."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from newfound.data import addresses
from newfound.disk.outputs import read_thumbnails
from newfound.disk.run_folder import RunFolder
from newfound.training import kept_training
from newfound.training.train import Training
from support.made_shards import samples, shard
from support.processes import in_processes
from support.small_run import discover_command, newfound

DATA = "dying://b/0.tar"


class Dying(MemoryFileSystem):
    """Answers until it is dead."""

    protocol = "dying"
    is_dead = False

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace("dying:", "memory:")))

    def cat_file(self, path: str, start: Any = None, end: Any = None, **others: Any) -> bytes:
        if type(self).is_dead:
            raise TimeoutError("the token has expired")
        return super().cat_file(path, start=start, end=end, **others)


@pytest.fixture(autouse=True)
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "_SECONDS_TO_WAIT", ())
    monkeypatch.setattr(Dying, "is_dead", False)
    fsspec.register_implementation("dying", Dying, clobber=True)
    MemoryFileSystem().pipe("/b/0.tar", shard(samples(range(60))))
    yield
    MemoryFileSystem().store.clear()


def dies_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is dead once that step has been taken."""
    train = kept_training.train

    def until(training: Training, items: Any, *, after_step: Any, after_epoch: Any) -> bool:
        def noting(state: Training) -> bool:
            Dying.is_dead = state.step >= step
            return bool(after_step(state))

        return train(training, items, after_step=noting, after_epoch=after_epoch)

    monkeypatch.setattr(kept_training, "train", until)


def command(out: Path, **settings: Any) -> list[str]:
    return discover_command(
        DATA, out, 2, cache="none", epochs=4, batch=12, checkpoint_seconds=1000, **settings
    )


def test_a_run_whose_store_dies_goes_on_from_its_last_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert newfound(*command(tmp_path / "whole")) == 0
    with monkeypatch.context() as patch:
        dies_at(6, patch)
        assert newfound(*command(tmp_path / "cut")) == 2
    told = capsys.readouterr().err
    assert told.startswith("newfound: 'dying://b/0.tar' does not give what is asked for (the token")
    assert (tmp_path / "cut" / "checkpoint.pt").exists()
    Dying.is_dead = False
    assert newfound(*command(tmp_path / "cut")) == 0
    whole, cut = (pd.read_csv(tmp_path / run / "items.csv") for run in ("whole", "cut"))
    pd.testing.assert_frame_equal(whole, cut)


def test_pictures_alone_do_not_keep_a_run_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dies_at(1, monkeypatch)
    arguments = [word for word in command(tmp_path / "run") if word != "--quiet"]
    arguments[arguments.index("none")] = "memory"
    assert newfound(*arguments) == 0
    assert "warning: The report is without pictures" in capsys.readouterr().out
    thumbnails = read_thumbnails(RunFolder(tmp_path / "run"))
    assert len(thumbnails["row"]) == len(thumbnails["pixels"]) == 0
    assert "The report is without pictures" in (tmp_path / "run" / "report.html").read_text()

    Dying.is_dead = False
    (tmp_path / "run" / "thumbnails.npz").unlink()
    monkeypatch.undo()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert newfound(*arguments) == 0
    assert len(read_thumbnails(RunFolder(tmp_path / "run"))["row"]) > 0
    assert "without pictures" not in (tmp_path / "run" / "report.html").read_text()


def test_each_of_several_processes_tells_of_its_own_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def second_dies() -> tuple[int, str]:
        number = int(os.environ["RANK"])
        told = tmp_path / f"told-{number}.txt"
        if number == 1:
            dies_at(2, monkeypatch)
        with told.open("w") as sys.stderr:
            code = newfound(*command(tmp_path / "run"))
        return code, told.read_text()

    first, second = in_processes(2, tmp_path, second_dies, join=False)
    assert first[0] == 130 and "another of the 2 processes has ended" in first[1]
    assert second[0] == 2 and "'dying://b/0.tar' does not give what is asked for" in second[1]
