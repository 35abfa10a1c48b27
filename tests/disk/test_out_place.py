from pathlib import Path

import pytest

from newfound.disk.out_place import check_apart_from_data, check_place_of_table, real_place
from newfound.disk.run_folder import RunFolder
from newfound.errors import InputError


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


def test_a_run_among_its_data_is_refused(tmp_path: Path) -> None:
    data = folders(tmp_path / "photos", "cat", "dog")
    for out in (data, data / "run", data / "cat" / "deep" / "run"):
        with pytest.raises(InputError, match="are data; give a folder outside of it"):
            check_apart_from_data(out, str(data))
    check_apart_from_data(tmp_path / "photos-run", str(data))


def test_a_link_into_the_data_is_refused_too(tmp_path: Path) -> None:
    data = folders(tmp_path / "photos", "cat")
    (tmp_path / "link").symlink_to(data)
    with pytest.raises(InputError, match="are data"):
        check_apart_from_data(tmp_path / "link" / "run", data)


def test_beside_labelled_and_unlabelled_nothing_is_read(tmp_path: Path) -> None:
    data = folders(tmp_path / "photos", "labelled/cat", "unlabelled")
    check_apart_from_data(data / "run", data)
    for part in ("labelled", "unlabelled"):
        with pytest.raises(InputError, match=f"lies in .*/{part}, whose files"):
            check_apart_from_data(data / part / "run", data)
        with pytest.raises(InputError, match=f"lies in .*/{part}, whose files"):
            check_apart_from_data(
                data / part / "run", None, data / "labelled", str(data / "unlabelled")
            )


def test_what_is_not_read_is_no_hindrance(tmp_path: Path) -> None:
    data = folders(tmp_path / "photos", "cat")
    check_apart_from_data(data / ".runs" / "a", data)
    for other in ("digits", "s3://bucket/part.tar?" + 999 * "a", tmp_path / "photos.csv", ([], [])):
        check_apart_from_data(tmp_path / "run", other)


def test_a_table_is_no_folder_and_none_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(InputError, match="is a folder; give --out the name of a file"):
        check_place_of_table(tmp_path / "folder.csv")
    with RunFolder(tmp_path / "run").claimed({}, {}):
        pass
    with pytest.raises(InputError, match="holds a run, whose own files stay; give another --out"):
        check_place_of_table(tmp_path / "run" / "items.csv")
    with pytest.raises(InputError, match=r"cannot write to /proc: .*give another --out"):
        check_place_of_table(Path("/proc/table.csv"))
    (tmp_path / "config.json").write_text('{"name": "of something else"}')
    check_place_of_table(tmp_path / "table.csv")
    assert {path.name for path in tmp_path.iterdir()} == {"folder.csv", "run", "config.json"}


def test_a_current_folder_that_is_gone_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(InputError, match="run lies in the current folder, which is gone; cd to"):
        check_apart_from_data(Path("run"), tmp_path)
    check_apart_from_data(tmp_path / "run", tmp_path / "photos")
    assert real_place(tmp_path / "run") == tmp_path / "run"
