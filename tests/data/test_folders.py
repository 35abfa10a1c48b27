"""Which files lie in folders, as a walk tells that anybody can read."""

from collections import deque
from collections.abc import Sequence
from pathlib import Path

import pytest

from newfound.data.endings import other_kind_in_words
from newfound.data.folders import files_below, list_folder
from newfound.data.source import Kind
from newfound.errors import InputError
from support.made_trees import make_tree


def walked(roots: Sequence[Path]) -> list[list[str]]:
    """The slow twin of `files_below`: one folder after the other, nearest first, links last."""
    found: list[list[str]] = [[] for _ in roots]
    folders, links = deque[tuple[int, Path]](), deque[tuple[int, Path]]()
    for number, root in enumerate(roots):
        (links if root.is_symlink() else folders).append((number, root))
    seen = set()
    while folders or links:
        number, here = folders.popleft() if folders else links.popleft()
        if here.resolve() in seen:
            continue
        seen.add(here.resolve())
        for place in sorted(here.iterdir(), key=str):
            name = place.name
            if name.startswith(".") or name.lower() in ("thumbs.db", "desktop.ini"):
                continue
            if not place.is_dir():
                found[number].append(str(place))
            else:
                (links if place.is_symlink() else folders).append((number, place))
    return [sorted(files) for files in found]


@pytest.mark.parametrize("seed", range(40))
def test_the_walk_finds_what_the_slow_one_does(tmp_path: Path, seed: int) -> None:
    root = make_tree(tmp_path / "t", seed)
    inner = [path for path in root.rglob("*") if path.is_dir()]
    for roots in ([root], [*inner[:2], root], [root, *inner[-2:]]):
        assert [files.tolist() for files in files_below(roots)] == walked(roots)


def test_files_and_folders_of_like_names_sort_as_their_whole_paths(tmp_path: Path) -> None:
    for name in ("a/x", "a/b/1", "a/b/2", "a/b-c", "a/b0", "a.png", "a-b/y", "a/b/c/z"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    [files] = files_below([tmp_path])
    below = [str(Path(file).relative_to(tmp_path)) for file in files]
    assert below == ["a-b/y", "a.png", "a/b-c", "a/b/1", "a/b/2", "a/b/c/z", "a/b0", "a/x"]


def test_a_relative_root_and_an_empty_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(make_tree(tmp_path / "t", 3))
    Path("empty").mkdir()
    [files, none] = files_below([Path(), Path("empty")])
    assert len(files) and all(file.startswith("./") for file in files) and not len(none)


def test_a_link_to_what_cannot_be_looked_at_is_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "link").symlink_to("x" * 300)  # too long a name to be asked for
    assert [*files_below([tmp_path])[0]] == [str(tmp_path / "link")]


def test_what_cannot_be_listed_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"file' cannot be listed \(Not a directory\)"):
        list_folder(str(tmp_path / "file"))


@pytest.mark.parametrize(
    ("names", "kind", "looks"),
    [
        (["a.mp4", "b.MKV", "c.png"], "images", "videos"),
        (["a.mp4", "b.png"], "images", None),
        (["a.mpg"], "images", "videos"),
        (["a.mpg"], "videos", None),
        (["a.jpg", "b.PNG", "c"], "videos", "images"),
        (["a.jpg", "b.mp4", "c"], "videos", None),
        (["a.png"], "images", None),
        ([], "images", None),
    ],
)
def test_most_files_decide_what_they_look_like(
    names: list[str], kind: Kind, looks: str | None
) -> None:
    hint = other_kind_in_words(names, kind)
    assert hint.startswith(f"; these look like {looks}: newfound discover {looks} (in Python ") or (
        looks is None and hint == ""
    )
