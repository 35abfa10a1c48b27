import json
from pathlib import Path
from typing import Any

import pytest

from newfound.disk.run_folder import RunFolder
from newfound.errors import BusyError, RunFolderError
from newfound.settings import make_config

IDENTITY = {"config": {"lr": 0.1, "crop_scale": (0.2, 1.0)}, "known": ["a", "b"], "num_novel": 2}


def claim(folder: RunFolder, identity: dict[str, Any], about: dict[str, Any]) -> bool:
    with folder.claimed(identity, about) as continued:
        return continued


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    made = RunFolder(tmp_path / "deep" / "run")
    assert claim(made, IDENTITY, {"hardware": "abacus"}) is False
    return made


def test_a_new_folder_tells_what_it_holds(folder: RunFolder) -> None:
    header = folder.read_config()
    assert header["format"] == 1
    assert header["config"] == {"lr": 0.1, "crop_scale": [0.2, 1.0]}
    assert header["hardware"] == "abacus"
    assert {"python", "torch", "torchvision"} <= header["versions"].keys()


def test_the_same_run_is_continued_wherever_it_goes_on(folder: RunFolder) -> None:
    assert claim(folder, IDENTITY, {"hardware": "another"}) is True
    assert folder.read_config()["hardware"] == "abacus"


def test_settings_that_a_run_is_older_than_have_their_defaults(tmp_path: Path) -> None:
    config = make_config("quick").model_dump(mode="json")
    identity = {"config": config, "known": ["a"], "num_novel": 2}
    older = {name: value for name, value in config.items() if name != "sync_batch_norm"}
    folder = RunFolder(tmp_path / "run")
    claim(folder, identity | {"config": older}, {})
    folder.checkpoint.touch()
    assert claim(folder, identity, {}) is True
    with pytest.raises(RunFolderError, match=r"config\.sync_batch_norm: True there, False asked"):
        claim(folder, identity | {"config": config | {"sync_batch_norm": False}}, {})


def test_a_name_that_no_folder_can_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"cannot be a folder \(File name too long\)"):
        claim(RunFolder(tmp_path / ("x" * 300)), IDENTITY, {})


def test_a_name_that_is_not_utf_8_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"run\\udcff' is not UTF-8; give another --out"):
        claim(RunFolder(tmp_path / "run\udcff"), IDENTITY, {})
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_claimed_by_one_at_a_time(folder: RunFolder) -> None:
    """Nor does another with other settings change what the first one goes by."""
    with folder.claimed(IDENTITY, {}):
        with pytest.raises(BusyError):
            claim(RunFolder(folder.path), IDENTITY | {"num_novel": 3}, {})
        assert folder.read_config()["num_novel"] == 2


def test_a_name_that_is_not_utf_8_is_logged(folder: RunFolder) -> None:
    folder.log("stage", taken_from="shelf\udcff")
    assert folder.records()[-1]["taken_from"] == "shelf\udcff"


def test_every_difference_is_shown_and_nothing_else(folder: RunFolder) -> None:
    folder.checkpoint.touch()
    before = folder.config_file.read_bytes()
    other = IDENTITY | {"config": {"lr": 0.2, "crop_scale": (0.2, 1.0), "new": 1}}
    with pytest.raises(RunFolderError) as caught:
        claim(folder, other, {})
    assert str(caught.value).splitlines()[1:] == [
        "  config.lr: 0.1 there, 0.2 asked",
        "  config.new: None there, 1 asked",
    ]
    assert folder.config_file.read_bytes() == before


@pytest.mark.parametrize("work", ["checkpoint", "labelled_only", "result_file", "search"])
def test_only_a_folder_without_work_is_given_to_another_run(folder: RunFolder, work: str) -> None:
    """A run that stopped at once, for bad files say, must not bar the repaired data."""
    other = IDENTITY | {"num_novel": 3}
    folder.log("start")
    assert claim(folder, other, {}) is False
    assert folder.read_config()["num_novel"] == 3 and folder.records() == []
    if work == "search":
        folder.log("heldout", fraction=0.5, acc=0.9)
    else:
        getattr(folder, work).touch()
    with pytest.raises(RunFolderError, match="nothing was changed"):
        claim(folder, IDENTITY, {})


def test_what_a_killed_start_leaves_is_no_hindrance(tmp_path: Path) -> None:
    (tmp_path / ".config.json.x1y2.part").write_text("{")
    folder = RunFolder(tmp_path)
    assert claim(folder, IDENTITY, {}) is False
    with folder.lock():
        assert {path.name for path in tmp_path.iterdir()} == {"config.json", ".lock"}


def test_an_empty_folder_is_taken_and_a_hidden_file_is_respected(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert claim(RunFolder(tmp_path / "empty"), IDENTITY, {}) is False
    (tmp_path / "git" / ".git").mkdir(parents=True)
    with pytest.raises(RunFolderError, match="is no run of newfound"):
        claim(RunFolder(tmp_path / "git"), IDENTITY, {})


def test_a_lock_keeps_a_second_out_and_is_given_back(folder: RunFolder) -> None:
    with folder.lock():
        second = RunFolder(folder.path)
        with pytest.raises(RunFolderError, match="another process is working on"), second.lock():
            pytest.fail("two have the lock")
    with folder.lock():
        pass


def test_the_log_gives_back_what_was_written(folder: RunFolder) -> None:
    assert folder.records() == []
    message = "line\nbreak, \u2028, é and \x85"
    folder.log("warning", message=message)
    folder.log("epoch", epoch=1, step=3, total=float("nan"), mu=2.5)
    assert folder.records() == [
        {"event": "warning", "message": message},
        {"event": "epoch", "epoch": 1, "step": 3, "total": None, "mu": 2.5},
    ]
    assert folder.epochs() == folder.records()[1:]
    assert len(folder.log_file.read_bytes().splitlines()) == 2


@pytest.mark.parametrize("torn", [b'{"event": "epo', b'{"event": "\xc3', b"\0\0\0"])
def test_a_torn_line_costs_no_other(folder: RunFolder, torn: bytes) -> None:
    folder.log("epoch", epoch=1, step=3)
    with folder.log_file.open("ab") as log:
        log.write(torn)
    folder.log("resume")  # written on behind the torn line, and lost with it
    folder.log("epoch", epoch=2, step=6)
    assert [record["epoch"] for record in folder.epochs()] == [1, 2]


def test_epochs_after_the_checkpoint_are_forgotten(folder: RunFolder) -> None:
    folder.log("start")
    for epoch in (1, 2, 3):
        folder.log("epoch", epoch=epoch, step=3 * epoch)
    folder.log("heldout", fraction=0.5, acc=0.9)
    folder.forget_after(6)
    assert [record["event"] for record in folder.records()] == [
        "start",
        "epoch",
        "epoch",
        "heldout",
    ]
    folder.forget_after(0)
    assert folder.epochs() == []


def test_settings_that_are_none_are_named(folder: RunFolder) -> None:
    with pytest.raises(RunFolderError, match="has not ended; give its command again"):
        folder.result()
    folder.result_file.write_text('{"counts": {')
    with pytest.raises(RunFolderError, match=r"result\.json is .*damaged: .*command again"):
        folder.result()
    for text, lacking in (("[]", "baselines, counts"), ('{"counts": {}}', "baselines, seconds")):
        folder.result_file.write_text(text)
        with pytest.raises(RunFolderError, match=f"it lacks {lacking}.*give the run's command"):
            folder.result()
    header = json.loads(folder.config_file.read_text())
    header["config"] = {"preset": "images", "lr": -1}
    folder.config_file.write_text(json.dumps(header))
    anew = "delete its folder, or discover again in a new one"
    with pytest.raises(RunFolderError, match=rf"config\.json is damaged: .*lr.*{anew}"):
        folder.config()
    del header["known"]
    folder.config_file.write_text(json.dumps(header))
    with pytest.raises(RunFolderError, match=f"is damaged: it lacks known; .*{anew}"):
        folder.read_config()
    folder.config_file.write_text("{")
    with pytest.raises(RunFolderError, match=f"cannot read .*{anew}"):
        folder.read_config()


def test_other_data_are_told_by_their_number_and_place(tmp_path: Path) -> None:
    def about(items: int, source: str) -> dict[str, Any]:
        return {"data": {"items": items, "source": source}}

    folder = RunFolder(tmp_path / "run")
    claim(folder, IDENTITY | {"data_fingerprint": "5c0d"}, about(28, "photos"))
    folder.checkpoint.touch()
    with pytest.raises(RunFolderError) as caught:
        claim(folder, IDENTITY | {"data_fingerprint": "77ab"}, about(32, "more"))
    assert str(caught.value).splitlines()[1:] == [
        "  data: 28 items of 'photos' there, 32 items of 'more' asked; files, their names "
        "or order, labels or sizes differ"
    ]


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ('{"format": 99, "newfound": "9"}', True),
        ("[]", False),
        ('{"name": 1}', False),
        ("{", False),
    ],
)
def test_a_run_is_known_by_its_configuration(tmp_path: Path, text: str, is_one: bool) -> None:
    assert not RunFolder(tmp_path).holds_a_run()
    (tmp_path / "config.json").write_text(text)
    assert RunFolder(tmp_path).holds_a_run() == is_one


def test_a_file_of_a_run_is_not_taken_for_its_folder(folder: RunFolder) -> None:
    folder.report.touch()
    with pytest.raises(RunFolderError, match=r"report\.html is a file; give the folder of the run"):
        RunFolder(folder.report).read_config()


@pytest.mark.parametrize("place", ["file", "file/run"])
def test_a_run_in_the_place_of_a_file_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(RunFolderError, match=r"file is (a file|there).*; give (another|--out)"):
        claim(RunFolder(tmp_path / place), IDENTITY, {})
