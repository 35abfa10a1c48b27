import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from newfound.data.images import FileImages
from newfound.errors import InputError, Stopped
from newfound.predict import Prediction
from newfound.sort_files import check_can_sort, sort_files
from support.made_images import save_images

HOSTILE = ["../../evil", "..", ".", "a/b", "/etc", "back\\slash", "nul\0", "new\nline", ".hidden"]


def predicted(
    paths: list[Path], categories: list[str], kinds: list[str] | None = None
) -> Prediction:
    names = [*map(str, paths)]
    kind = kinds or ["known"] * len(paths)
    table = pd.DataFrame({"path": names, "category": categories, "kind": kind})
    return Prediction(table, pd.DataFrame({"path": [], "reason": []}), FileImages(paths))


@pytest.mark.parametrize("how", ["copy", "link"])
def test_no_class_name_leads_out_of_the_folder(tmp_path: Path, how: str) -> None:
    paths = save_images(tmp_path / "photos", 0, range(len(HOSTILE)))
    into = tmp_path / "deep" / "sorted"
    sort_files(predicted(paths, HOSTILE), into, how)  # type: ignore[arg-type]
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "deep"}
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["sorted"]
    placed = [path for path in into.rglob("*") if not path.is_dir()]
    assert len(placed) == len(HOSTILE)
    assert all(path.parent.parent == into for path in placed)
    assert all(path.is_symlink() == (how == "link") for path in placed)
    assert {path.read_bytes() for path in placed} == {path.read_bytes() for path in paths}
    assert not any(path.parent.name.startswith(".") for path in placed)


def test_files_of_one_name_are_all_kept(tmp_path: Path) -> None:
    paths = [save_images(tmp_path / part, 0, range(1))[0] for part in ("a", "b", "c")]
    sort_files(predicted(paths, ["x", "x", "x"]), tmp_path / "sorted", "link")
    names = sorted(path.name for path in (tmp_path / "sorted" / "x").iterdir())
    assert names == ["red-disc-000-2.png", "red-disc-000-3.png", "red-disc-000.png"]


def test_a_file_that_a_table_lists_twice_is_sorted_once(tmp_path: Path) -> None:
    [path] = save_images(tmp_path / "a", 0, range(1))
    sort_files(predicted([path, path], ["x", "x"]), tmp_path / "sorted", "copy")
    assert [file.name for file in (tmp_path / "sorted" / "x").iterdir()] == [path.name]


def test_names_that_were_tried_are_not_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of folders may each have their frame.jpg."""
    paths = [save_images(tmp_path / str(part), 0, range(1))[0] for part in range(20)]
    looks: list[Path] = []
    exists = Path.exists

    def counted(path: Path) -> bool:
        looks.append(path)
        return exists(path)

    monkeypatch.setattr(Path, "exists", counted)
    sort_files(predicted(paths, ["x"] * 20), tmp_path / "sorted", "link")
    assert sum("sorted" in path.parts for path in looks) == 20


def test_each_category_has_a_folder_of_its_own(tmp_path: Path) -> None:
    """Whatever it is called: a known class may have the name of a novel category."""
    paths = save_images(tmp_path / "photos", 0, range(5))
    categories = ["novel-1", "novel-1", "a/b", "a_b", "a\\b"]
    kinds = ["known", "novel", "known", "known", "known"]
    sort_files(predicted(paths, categories, kinds), tmp_path / "sorted", "copy")
    folders = sorted(path.name for path in (tmp_path / "sorted").iterdir())
    assert folders == ["a_b", "a_b (known)", "a_b (known)-2", "novel-1", "novel-1 (novel)"]
    assert all(len([*path.iterdir()]) == 1 for path in (tmp_path / "sorted").iterdir())


def test_long_names_are_shortened_and_stay_apart(tmp_path: Path) -> None:
    categories = ["x" + 200 * "\u00e9" + str(number) for number in range(30)]
    paths = save_images(tmp_path / "photos", 0, range(30))
    sort_files(predicted(paths, categories), tmp_path / "sorted", "copy")
    folders = sorted(path.name for path in (tmp_path / "sorted").iterdir())
    assert len(folders) == 30
    assert max(len(name.encode()) for name in folders) <= 200
    assert all(re.fullmatch(r"x\u00e9{89}( \(known\)(-\d+)?)?", name) for name in folders)


def test_links_survive_a_relative_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_images(tmp_path / "photos", 0, range(1))
    monkeypatch.chdir(tmp_path)
    sort_files(predicted([Path("photos/red-disc-000.png")], ["x"]), Path("sorted"), "link")
    monkeypatch.chdir("/")
    assert (tmp_path / "sorted" / "x" / "red-disc-000.png").read_bytes()


def test_a_place_in_use_is_refused(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    check_can_sort(photos, tmp_path / "absent", "images")
    (tmp_path / "empty").mkdir()
    check_can_sort(photos, tmp_path / "empty", "images")
    for place in (tmp_path, tmp_path / "file"):
        (tmp_path / "file").write_text("x")
        with pytest.raises(InputError, match="is not empty; give a new folder"):
            check_can_sort(photos, place, "images")
    paths = save_images(photos, 0, range(1))
    with pytest.raises(InputError, match=r"--copy-to .*sorted lies in .*give a folder outside"):
        check_can_sort(photos, photos / "sorted", "images")
    for part in ("labelled", "unlabelled"):  # all below is predicted, not these alone
        (tmp_path / "whole" / part).mkdir(parents=True)
    with pytest.raises(InputError, match=r"sorted lies in .*give a folder outside"):
        check_can_sort(tmp_path / "whole", tmp_path / "whole" / "sorted", "images")
    with pytest.raises(
        InputError, match=r"cannot write .*delete what lies in .*below, or .*another folder"
    ):
        sort_files(predicted(paths, ["x"]), tmp_path / "file" / "below", "copy")


def test_sorting_that_was_stopped_tells_that_it_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    paths = save_images(tmp_path / "photos", 0, range(1))
    monkeypatch.setattr("shutil.copy2", interrupted)
    with pytest.raises(Stopped, match=r"sorted is not complete: delete it before the same"):
        sort_files(predicted(paths, ["x"]), tmp_path / "sorted", "copy")
