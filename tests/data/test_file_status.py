import os
import time
from pathlib import Path

import numpy as np
import pytest

from newfound.data import file_status
from newfound.data.file_status import are_absent, marks, sizes
from newfound.data.texts import Texts

TICK_SECONDS = 0.02


def made(folder: Path, n: int) -> Texts:
    for number in range(n):
        (folder / f"{number}").write_bytes(bytes(number))
    return Texts([*(folder / f"{number}" for number in range(n)), folder / "none", folder / "0/x"])


@pytest.mark.parametrize("each", [1, 3, 1000])
def test_all_are_asked_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, each: int) -> None:
    monkeypatch.setattr(file_status, "_EACH", each)
    monkeypatch.setattr(file_status, "_ASKED_AT_ONCE", 4 * each)
    paths = made(tmp_path, 20)
    assert sizes(paths).tolist() == [*range(20), -1, -1]
    assert are_absent(paths).tolist() == [False] * 20 + [True] * 2
    assert sizes(Texts([])).dtype == np.int64 and len(sizes(Texts([]))) == 0


def test_what_is_there_is_not_absent_even_if_it_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    paths = Texts([tmp_path / "link", tmp_path, tmp_path / "a\0b", tmp_path / ("x" * 300)])
    assert are_absent(paths).tolist() == [False, False, True, False]


def test_marks_change_with_a_file_and_only_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = made(tmp_path, 6)
    assert not marks(paths).any(), "what changed just now may change once more, unseen"
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", TICK_SECONDS)
    time.sleep(2 * TICK_SECONDS)
    before = marks(paths)
    assert before.dtype == np.uint64 and (before[:6] != 0).all() and not before[6:].any()
    assert len(np.unique(before[:6])) == 6, "two files never have one mark"
    monkeypatch.chdir(tmp_path)
    assert np.array_equal(marks(Texts([*"012345", "none", "0/x"])), before)

    stamp = (tmp_path / "0").stat()
    (tmp_path / "0").write_bytes(b"longer")
    (tmp_path / "1").write_bytes(b"1")  # as long as before
    (tmp_path / "2").rename(tmp_path / "aside")
    (tmp_path / "3").rename(tmp_path / "2")
    (tmp_path / "aside").rename(tmp_path / "3")
    os.utime(tmp_path / "0", ns=(stamp.st_atime_ns, stamp.st_mtime_ns))  # as a copy may be dated
    time.sleep(2 * TICK_SECONDS)
    after = marks(paths)
    assert (after[:4] != before[:4]).all() and np.array_equal(after[4:], before[4:])


def test_a_rewritten_file_that_is_dated_back_is_noticed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", TICK_SECONDS)
    file = tmp_path / "a"
    file.write_bytes(b"1")
    stamp = file.stat()
    time.sleep(2 * TICK_SECONDS)
    before = marks(Texts([file]))
    file.write_bytes(b"2")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    time.sleep(2 * TICK_SECONDS)
    assert marks(Texts([file])) != before
