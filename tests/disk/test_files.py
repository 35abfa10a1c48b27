import os
import re
import stat
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors import SafetensorError

from newfound.disk.files import damaged, leftovers, write_atomically, write_csv, write_text
from newfound.errors import RunFolderError


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("torch"), SafetensorError("full")],
)
def test_a_failed_write_leaves_the_old_content_and_nothing_else(
    tmp_path: Path, error: Exception
) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")

    def half(beside: Path) -> None:
        beside.write_text("ne")
        assert path.read_text() == "old"
        raise error

    with pytest.raises(RunFolderError, match=r"cannot write .*a\.txt: .*free the disk"):
        write_atomically(path, half)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_meets_half_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    with path.open() as reader:
        write_text(path, "new and longer")
        assert reader.read() == "old"  # the old file, whole, as long as someone reads it
    assert path.read_text() == "new and longer"


def test_an_interrupt_cleans_up_too(tmp_path: Path) -> None:
    def interrupted(_beside: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_atomically(tmp_path / "a", interrupted)
    assert list(tmp_path.iterdir()) == []


def test_files_have_the_usual_rights(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "a", "x")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


@pytest.mark.parametrize("place", ["absent/a", "file/a", "folder"])
def test_a_place_that_takes_no_file_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "b").write_text("x")
    with pytest.raises(RunFolderError, match=f"cannot write .*{place}") as caught:
        write_text(tmp_path / place, "x")
    assert leftovers(tmp_path) == []
    if place != "absent/a":
        what = "file" if place == "file/a" else "folder"
        assert str(caught.value).endswith(f"{tmp_path / what} is a {what}; give another place")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux")
def test_a_disk_that_is_full_is_said_to_be_where_torch_does_not(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"a: the disk is probably full\. What.*free the"):
        write_atomically(tmp_path / "a", lambda _: torch.save(torch.zeros(10**6), "/dev/full"))


def test_what_is_damaged_is_to_be_deleted_first(tmp_path: Path) -> None:
    """Of one that is there the run's command would say that it is complete already."""
    assert re.search("Delete it, if it is there, and give", str(damaged(tmp_path, "half")))


def test_what_a_killed_process_leaves_is_known(tmp_path: Path) -> None:
    def write(beside: Path) -> None:
        assert leftovers(tmp_path) == [beside]

    (tmp_path / ".hidden").write_text("x")
    (tmp_path / "movie.part").write_text("x")
    write_atomically(tmp_path / "a", write)
    assert leftovers(tmp_path) == []


def test_tables_bring_odd_text_back(tmp_path: Path) -> None:
    odd = ["a\rb", "a\nb", 'a"b', "a,b", "é\u2028", " a", "-", "1"]
    table = pd.DataFrame({"path": odd, "x": [0.1, float("nan")] * 4, "n": range(8)})
    write_csv(tmp_path / "a.csv", table)
    back = pd.read_csv(tmp_path / "a.csv")
    pd.testing.assert_frame_equal(back, table)
