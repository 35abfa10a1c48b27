"""What was found readable is not decoded again, and what is left out is the same as ever."""

import time
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from newfound.data import file_status, known_readable, loader
from newfound.data.images import FileImages, ImageSource
from newfound.data.known_readable import KnownReadable
from newfound.data.loader import Skipped, read_images

TICK_SECONDS = 0.02
PX = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(known_readable, "WORTH_KEEPING", 1)
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", TICK_SECONDS)
    return tmp_path / "cache/newfound"


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the images that are decoded to know whether they can be."""
    names: list[str] = []
    really = loader.check_all

    def note(source: ImageSource, *settings: int) -> list[Skipped]:
        names.extend(Path(source.name(row)).stem for row in range(len(source)))
        return really(source, *settings)

    monkeypatch.setattr(loader, "check_all", note)
    return names


def images(folder: Path, bad: tuple[int, ...] = (2, 5), n: int = 8) -> FileImages:
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.png" for number in range(n)]
    for number, path in enumerate(paths):
        if number in bad:
            path.write_bytes(b"no image")
        else:
            Image.new("L", (PX, PX), number).save(path)
    time.sleep(2 * TICK_SECONDS)
    return FileImages(paths)


def read(source: ImageSource, px: int = PX) -> tuple[list[int], list[int]]:
    """The numbers in the pixels of the readable images, and the rows of the others."""
    items, skipped = read_images(source, px, 1, 0, "none", torch.device("cpu"))
    [media] = items.batches([torch.arange(len(source) - len(skipped))])
    assert media.pixels is not None
    return media.pixels[:, 0, 0, 0].tolist(), [bad.index for bad in skipped]


def test_only_the_doubtful_are_decoded(tmp_path: Path, checked: list[str]) -> None:
    source = images(tmp_path / "d")
    first = read(source)
    assert first == ([0, 1, 3, 4, 6, 7], [2, 5]) and checked == [*"01234567"]
    checked.clear()
    assert read(source) == first and checked == [*"25"], "a reason to be unreadable may go away"
    Image.new("L", (PX, PX), 2).save(tmp_path / "d/2.png")
    (tmp_path / "d/6.png").write_bytes(b"cut short")
    (tmp_path / "d/7.png").unlink()
    time.sleep(2 * TICK_SECONDS)
    checked.clear()
    assert read(source) == ([0, 1, 2, 3, 4], [5, 6, 7]) and checked == [*"2567"]
    checked.clear()
    assert read(source.subset(np.array([4, 1, 0]))) == ([4, 1, 0], []) and checked == []


def test_reasons_and_rows_are_those_of_a_whole_check(tmp_path: Path, checked: list[str]) -> None:
    source = images(tmp_path / "d", bad=(0, 3, 7))
    settings = (source, PX, 1, 0, "none", torch.device("cpu"))
    whole = loader.check_all(source, PX, 1, 0)
    assert read_images(*settings)[1] == read_images(*settings)[1] == whole
    assert [bad.reason for bad in whole] == ["not an image that Pillow reads"] * 3


def test_other_settings_and_versions_know_nothing(
    tmp_path: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = images(tmp_path / "d", bad=())
    read(source)
    checked.clear()
    read(source)
    assert checked == []
    read(source, px=16)
    assert checked == [*"01234567"]
    checked.clear()
    monkeypatch.setattr("PIL.__version__", "another")
    read(source)
    assert checked == [*"01234567"]


def test_what_changed_just_now_is_not_known(
    tmp_path: Path, checked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    source = images(tmp_path / "d", bad=())
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", 60)
    read(source)
    monkeypatch.setattr(file_status, "SETTLED_SECONDS", TICK_SECONDS)
    checked.clear()
    read(source)
    assert checked == [*"01234567"]


def test_of_few_images_nothing_is_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_readable, "WORTH_KEEPING", 9)
    read(images(tmp_path / "d", bad=()))
    assert not cache.exists()


def test_kept_images_are_decoded_without_any_of_it(tmp_path: Path, cache: Path) -> None:
    source = images(tmp_path / "d")
    _, skipped = read_images(source, PX, 1, 0, "memory", torch.device("cpu"))
    assert [bad.index for bad in skipped] == [2, 5] and not cache.exists()


def test_parts_of_a_set_do_not_forget_one_another(tmp_path: Path) -> None:
    """As in a search for settings, each trial of which reads some of the items."""
    source = images(tmp_path / "d", bad=())
    halves = [source.subset(np.arange(4)), source.subset(np.arange(4, 8))]
    for half in halves:
        KnownReadable(half, PX, 1).keep(np.zeros(0, dtype=np.int64))
    assert not any(len(KnownReadable(half, PX, 1).doubtful()) for half in halves)
    one = source.subset(np.array([7]))
    (tmp_path / "d/7.png").touch()
    time.sleep(2 * TICK_SECONDS)
    KnownReadable(one, PX, 1).keep(np.zeros(0, dtype=np.int64))
    assert len(KnownReadable(source, PX, 1).doubtful()) == 7, "nor does what is known grow on"
