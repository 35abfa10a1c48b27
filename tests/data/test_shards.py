"""Items in tar files are those that tarfile extracts, and nothing in a shard is trusted."""

import bz2
import gzip
import io
import json
import lzma
import pickle
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pytest
import torch
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from newfound.data import addresses
from newfound.data import members as members_module
from newfound.data import shards as module
from newfound.data import videos as video_module
from newfound.data.catalogue import check_counts
from newfound.data.clip_loader import ClipDecoding, Place
from newfound.data.clips import Clip, ClipFiles, ClipShape
from newfound.data.decoding import Decoding, decoded
from newfound.data.image_loader import ImageDecoding, decode_all
from newfound.data.images import ArrayImages, FileImages
from newfound.data.new_items import open_new_items
from newfound.data.opening import open_catalogue
from newfound.data.shard_names import are_shards, shard_addresses
from newfound.data.shards import Shards, read_shards
from newfound.data.source import Kind, UnreadableError
from newfound.errors import InputError, StoreError
from newfound.predict import Prediction
from newfound.sort_files import sort_files
from support.made_shards import picture, samples, shard, write_shards
from support.made_videos import Picture, Sound, steady, tone, write_bad_videos, write_video

TICK_SECONDS = 0.02
PX = 8


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(addresses, "SETTLED_SECONDS", TICK_SECONDS)
    monkeypatch.setattr(addresses, "_SECONDS_TO_WAIT", (0.0, 0.0))
    return tmp_path / "cache/newfound"


@pytest.fixture
def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the shards whose headers are really read."""
    names: list[str] = []
    really = module._members_in

    def note(address: str, kind: Kind) -> Any:
        names.append(address.rpartition("/")[2])
        return really(address, kind)

    monkeypatch.setattr(module, "_members_in", note)
    return names


@pytest.fixture
def memory() -> Iterator[MemoryFileSystem]:
    """fsspec's file system in memory, empty."""
    file_system = MemoryFileSystem()
    file_system.store.clear()
    yield file_system
    file_system.store.clear()


def one_shard(folder: Path, *members: tuple[str, bytes], **form: int) -> Path:
    (folder / "one.tar").write_bytes(shard(members, **form))
    return folder / "one.tar"


def labelled(read: Shards) -> dict[str, str]:
    """Name -> label, "" for none."""
    texts = (*read.class_names, "")
    return {name: texts[number] for name, number in zip(read.members.names, read.labels)}


def pixels(read: Shards) -> list[int]:
    images = FileImages(read.members)
    return [int(images.load(i, PX, 1).max()) for i in range(len(images))]


# What is read


def test_images_are_those_that_tarfile_extracts(tmp_path: Path) -> None:
    """Other formats and sizes too, shown as they are from files."""
    kinds = {"a/b/1.jpg": "JPEG", "2.webp": "WEBP", "3.PNG": "PNG", "4.bmp": "BMP", "5.gif": "GIF"}
    encoded = {}
    for name, kind in kinds.items():
        noise = np.random.default_rng(len(name)).integers(0, 256, (30, 40, 3), np.uint8)
        file = io.BytesIO()
        Image.fromarray(noise).save(file, kind)
        encoded[name] = file.getvalue()
    path = one_shard(tmp_path, *encoded.items())
    with tarfile.open(path) as tar:
        tar.extractall(tmp_path / "out", filter="data")
    read, files = read_shards(path), FileImages([tmp_path / "out" / name for name in kinds])
    assert read.members.names.tolist() == [f"one.tar/{name}" for name in kinds]
    images = FileImages(read.members)
    assert len(images) == len(files) and np.array_equal(images.stamps(), files.stamps())
    for i in range(len(files)):
        assert torch.equal(images.load(i, 16, 3), files.load(i, 16, 3))
        assert images.shorter_side(i) == files.shorter_side(i) == 30


def test_labels_are_text_or_numbers_beside_the_image(tmp_path: Path) -> None:
    path = one_shard(
        tmp_path,
        ("cls.cls", b" 10\n"),  # before its image, as a tar in name order has it
        ("cls.png", picture(0)),
        ("json.png", picture(1)),
        ("json.json", b'{"label": 9, "caption": "x"}'),
        ("both.png", picture(2)),
        ("both.json", b'{"label": 9}'),
        ("both.cls", b"010"),
        ("empty.png", picture(3)),
        ("empty.cls", b"\n"),
        ("empty.json", b'{"label": 9}'),  # whoever hid the label by an empty .cls means it
        ("null.png", picture(4)),
        ("null.json", b'{"label": null}'),
        ("other.png", picture(5)),
        ("other.json", b"[1, 2]"),
        ("minus.png", picture(6)),
        ("minus.cls", b"-1"),
        ("minus.json", b'{"label": 9}'),
        ("none.png", picture(7)),
        ("far.txt", b"a caption"),
        ("cls/cls.png", picture(8)),
        ("text.json", b'{"label": "10 "}'),
        ("text.png", picture(9)),
    )
    read = read_shards(path)
    unlabelled = ("empty", "null", "other", "minus", "none", "cls/cls")
    assert labelled(read) == {
        **{f"one.tar/{key}.png": "" for key in unlabelled},
        "one.tar/cls.png": "10",
        "one.tar/json.png": "9",
        "one.tar/both.png": "010",
        "one.tar/text.png": "10",
    }
    assert read.class_names == ("9", "010", "10"), "whole numbers are in their order"
    assert pixels(read) == list(range(10)) and read.labels.dtype == np.int64


def test_a_label_by_another_key_is_told_of(tmp_path: Path, scanned: list[str]) -> None:
    """The second time too, when the shards are known; of what is labelled all the same, not."""
    members = [
        (f"{key}.{ending}", content)
        for key, told in (
            ("a", b'{"label": 1, "Class": 2}'),
            ("b", b'{"label": 2}'),
            ("c", b'{"Class": 1}'),
            ("d", b'{"caption": "of a class"}'),
            ("e", b'{"label": null, "class": 3}'),
            ("f", b'{"category": 1}'),
        )
        for ending, content in (("png", picture(0)), ("json", told))
    ]
    (tmp_path / "d").mkdir()
    one_shard(tmp_path / "d", *members, ("f.cls", b"2"))
    time.sleep(2 * TICK_SECONDS)
    told: list[str] = []
    for _ in range(2):
        catalogue, _ = open_catalogue(tmp_path / "d")
        assert len(catalogue.unlabelled) == 3
        warning, *_ = check_counts(catalogue, num_novel=2, batch=2)
        assert warning.startswith("1 of the samples are taken as unlabelled, such as that of ")
        assert "one.tar/c.png'" in warning and "no \"label\", but 'Class'" in warning
        open_new_items(tmp_path / "d", on_warning=told.append)
    assert scanned == ["one.tar"] and not told, "labels are nothing to who predicts"


def test_shards_without_labels_say_where_these_are(tmp_path: Path) -> None:
    path = one_shard(tmp_path, ("a.png", picture(0)), ("a.json", b'{"labels": "x"}'))
    with pytest.raises(InputError, match=r"has no labels: .*its \.cls.*but 'labels'; if that is"):
        open_catalogue(path)


def test_shards_of_labelled_samples_alone_say_what_to_do(tmp_path: Path) -> None:
    members = []
    for number in range(4):
        members += [(f"{number}.png", picture(number)), (f"{number}.cls", b"%d" % number)]
    path = one_shard(tmp_path, *members)
    with pytest.raises(InputError, match=r"labelled '0', '1', '2' and 1 more.*--labelled-classes"):
        open_catalogue(path)
    assert len(open_catalogue(path, labelled_classes=2)[0].unlabelled) == 2


def test_a_label_of_thousands_of_digits_is_text(tmp_path: Path) -> None:
    members = [
        ("a.png", picture(0)),
        ("a.cls", b"9" * 5000),
        ("b.png", picture(1)),
        ("b.cls", b"10"),
    ]
    assert read_shards(one_shard(tmp_path, *members)).class_names == ("10", "9" * 5000)


def test_one_text_label_makes_all_text(tmp_path: Path) -> None:
    names = ["10", "9", "dog", "été"]
    members = [(f"{i}.cls", name.encode()) for i, name in enumerate(names)]
    path = one_shard(tmp_path, *members, *((f"{i}.png", picture(i)) for i in range(4)))
    assert read_shards(path).class_names == tuple(names)


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_long_and_odd_names_in_every_format(tmp_path: Path, form: int) -> None:
    names = ["d" * 60 + "/" + "n" * 90 + ".png", "caf\udce9.png", "été.png", "a b\n.png"]
    if form != tarfile.USTAR_FORMAT:
        names.append("x" * 300 + ".png")
    path = one_shard(tmp_path, *((n, picture(i)) for i, n in enumerate(names)), form=form)
    read = read_shards(path)
    assert read.members.names.tolist() == [f"one.tar/{name}" for name in names]
    assert pixels(read) == [*range(len(names))]
    assert [*open_names(path)] == [f"one.tar/{n}".replace("\udce9", "\\xe9") for n in names]


def open_names(path: Path) -> list[str]:
    return open_new_items(path).paths.tolist()


def test_what_of_a_shard_is_left_out(tmp_path: Path) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as tar:

        def add(name: str, content: bytes = b"", **others: Any) -> None:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            for field, value in others.items():
                setattr(member, field, value)
            tar.addfile(member, io.BytesIO(content))

        add("folder.png", type=tarfile.DIRTYPE)
        add("link.png", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        add("hard.png", type=tarfile.LNKTYPE, linkname="a.png")
        add("pipe.png", type=tarfile.FIFOTYPE)
        add("._a.png", picture(9))
        add(".png", picture(9))
        add(".git/a.png", picture(9))
        add("../../evil.png", picture(9))
        add("d/../evil.png", picture(9))
        add("noending", picture(9))
        add("a.mp4", b"film")
        add("./a.png", picture(1))
        add("/etc/b.png", picture(2))
        add("a.seg.png", picture(9))  # the key is a, the ending seg.png
        add("a.jpg", picture(9))  # a second image of one sample
        add("a.d/c.png", picture(3))
    (tmp_path / "one.tar").write_bytes(file.getvalue())
    before = sorted(tmp_path.rglob("*"))
    read = read_shards(tmp_path / "one.tar")
    assert read.members.names.tolist() == [
        "one.tar/a.png",
        "one.tar/etc/b.png",
        "one.tar/a.d/c.png",
    ]
    assert pixels(read) == [1, 2, 3]
    assert [p for p in sorted(tmp_path.rglob("*")) if "cache" not in str(p)] == before


def test_of_a_member_that_is_there_twice_the_last_counts(tmp_path: Path) -> None:
    twice = [("a.png", picture(1)), ("a.cls", b"x"), ("b.png", picture(2)), ("./a.png", picture(3))]
    read = read_shards(one_shard(tmp_path, *twice, ("a.cls", b"y")))
    assert labelled(read) == {"one.tar/a.png": "y", "one.tar/b.png": ""} and pixels(read) == [3, 2]


def test_a_key_may_come_again_in_another_shard(tmp_path: Path) -> None:
    for number, name in enumerate("ab"):
        (tmp_path / f"{name}.tar").write_bytes(shard([("0.png", picture(number))]))
    read = read_shards(tmp_path)
    assert read.members.names.tolist() == ["a.tar/0.png", "b.tar/0.png"] and pixels(read) == [0, 1]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of videos of several formats and lengths, two of them with sound."""
    folder = tmp_path_factory.mktemp("videos")
    (folder / "b").mkdir()
    write_video(folder / "a.mp4", Picture(steady(2)), Sound(tone(2)))
    write_video(folder / "b/a.MKV", Picture(steady(1), 48, 64), Sound(tone(1, 800)))
    write_video(folder / "c.ts", Picture(steady(1.5), split=True))
    return folder


VIDEOS = ("a.mp4", "b/a.MKV", "c.ts")
PLACES = [(row, at) for row in range(len(VIDEOS)) for at in (0.0, 0.4, 1.0)]


def same_clip(one: Clip, other: Clip) -> bool:
    assert one.pixels is not None and other.pixels is not None
    assert one.sound is not None and other.sound is not None
    return (
        torch.equal(one.pixels, other.pixels)
        and torch.equal(one.sound, other.sound)
        and one.heard == other.heard
    )


@pytest.mark.parametrize("where", ["here", "there"])
def test_clips_of_videos_are_those_of_the_files(
    tmp_path: Path, videos: Path, memory: MemoryFileSystem, where: str
) -> None:
    """Bit for bit, in workers and by copies, too."""
    members = [(name, (videos / name).read_bytes()) for name in VIDEOS]
    path = one_shard(tmp_path, members[0], ("a.txt", b"a caption"), *members[1:])
    memory.pipe("/b/one.tar", path.read_bytes())
    read = read_shards(path if where == "here" else "memory://b/one.tar", "videos")
    assert read.members.names.tolist() == [f"one.tar/{name}" for name in VIDEOS]
    source, files = ClipFiles(read.members), ClipFiles([videos / name for name in VIDEOS])
    assert np.array_equal(source.stamps(), files.stamps())
    shape = ClipShape(clip_seconds=0.5, frames=3, side=16, sound_seconds=0.4)
    expected = [files.load_clip(row, at, 0.5, shape) for row, at in PLACES]
    copy = pickle.loads(pickle.dumps(source))
    backwards = source.subset(np.array([2, 1, 0]))
    for same, rows in ((source, [0, 1, 2]), (copy, [0, 1, 2]), (backwards, [2, 1, 0])):
        clips = [same.load_clip(rows[row], at, 0.5, shape) for row, at in PLACES]
        assert all(map(same_clip, clips, expected))
    requests = [[Place(row, at, 0.5)] for row, at in PLACES]
    chunks = [*decoded(ClipDecoding(source, shape), requests, workers=2, pin=False)]
    for chunk, clip in zip(chunks, expected, strict=True):
        assert chunk.media is not None and chunk.media.pixels is not None
        assert torch.equal(chunk.media.pixels[0], clip.pixels)


def test_of_a_clip_from_a_shard_here_little_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not the whole of a long video."""
    sound = Sound(tone(30), codec="pcm_s16le")  # of 3 MB
    content = write_video(tmp_path / "a.mkv", Picture(steady(30)), sound).read_bytes()
    source = ClipFiles(read_shards(one_shard(tmp_path, ("a.mkv", content)), "videos").members)
    n_read, original = 0, members_module._Window.readinto

    def counted(window: Any, buffer: memoryview) -> int:
        nonlocal n_read
        n_read += (n := original(window, buffer))
        return n

    monkeypatch.setattr(members_module._Window, "readinto", counted)
    clip = source.load_clip(0, 0.5, 0.5, ClipShape("visual", frames=2, side=16))
    assert clip.pixels is not None and 0 < n_read < len(content) / 3


def test_damaged_videos_are_left_out_with_the_reason(tmp_path: Path) -> None:
    reasons = write_bad_videos(tmp_path)
    contents = [(name, (tmp_path / name).read_bytes()) for name in reasons]
    source = ClipFiles(read_shards(one_shard(tmp_path, *contents), "videos").members)
    for i, (name, reason) in enumerate(reasons.items()):
        with pytest.raises(UnreadableError) as error:
            source.load_clip(i, 0.0, 0.5, ClipShape(frames=2, side=16))
        assert (error.value.path, error.value.reason) == (f"{tmp_path}/one.tar/{name}", reason)


def test_a_video_that_takes_too_long_is_told(
    tmp_path: Path, videos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = one_shard(tmp_path, ("a.mp4", (videos / "a.mp4").read_bytes()))
    source, now = ClipFiles(read_shards(path, "videos").members), 0.0
    original = members_module._Window.readinto

    def slow(window: Any, buffer: memoryview) -> int:
        nonlocal now
        now += video_module.MAX_SECONDS + 1
        return original(window, buffer)

    monkeypatch.setattr(video_module, "monotonic", lambda: now)
    monkeypatch.setattr(members_module._Window, "readinto", slow)
    with pytest.raises(UnreadableError, match=r"one\.tar/a\.mp4: it takes longer than 60 s"):
        source.load_clip(0, 0.0, 0.5, ClipShape(frames=2, side=16))


def test_what_is_known_of_images_is_not_taken_for_videos(
    tmp_path: Path, scanned: list[str]
) -> None:
    both = [("0.png", picture(0)), ("0.mp4", b"film"), ("1.mp4", b"film"), ("0.cls", b"x")]
    path = one_shard(tmp_path, *both)
    time.sleep(2 * TICK_SECONDS)
    for _ in range(2):
        assert labelled(read_shards(path)) == {"one.tar/0.png": "x"}
        assert labelled(read_shards(path, "videos")) == {"one.tar/0.mp4": "x", "one.tar/1.mp4": ""}
    assert scanned == ["one.tar", "one.tar"], "once for each kind"


# Where shards are


def test_a_folder_a_pattern_and_a_list_are_the_same_data(tmp_path: Path) -> None:
    write_shards(tmp_path / "d", [5, 3, 4])
    (tmp_path / "d/README.md").write_text("shards of numbers")
    (tmp_path / "d/.part-009.tar").write_bytes(b"")
    folder = read_shards(tmp_path / "d")
    assert folder.members.names[5] == "part-001.tar/0005.png" and pixels(folder) == [*range(12)]
    for way in ("part-{000..002}.tar", "part-00{0,1,2}.tar"):
        same = read_shards(tmp_path / "d" / way)
        assert labelled(same) == labelled(folder) and same.class_names == folder.class_names
    backwards = read_shards(tmp_path / "d/part-{002..000}.tar")
    assert pixels(backwards) == [*range(8, 12), *range(5, 8), *range(5)]
    assert labelled(read_shards(tmp_path / "d/part-{001..001}.tar")) == {
        name: label for name, label in labelled(folder).items() if "001.tar" in name
    }
    (tmp_path / "d/{a}.tar").write_bytes(shard([("0.png", picture(7))]))
    assert pixels(read_shards(tmp_path / "d/{a}.tar")) == [7]


def test_shards_of_several_folders_are_told_apart(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_shards(tmp_path / part, [2])
    names = read_shards(tmp_path / "{train,val}/part-000.tar").members.names.tolist()
    assert names[::2] == ["train/part-000.tar/0000.png", "val/part-000.tar/0000.png"]


def test_shards_at_an_address(tmp_path: Path, memory: MemoryFileSystem) -> None:
    paths = write_shards(tmp_path / "d", [5, 3])
    for path in paths:
        memory.pipe(f"/bucket/{path.name}", path.read_bytes())
    memory.pipe("/bucket/index.json", b"{}")
    here = read_shards(tmp_path / "d")
    addresses = ["memory://bucket/part-{000..001}.tar", "memory://bucket", "memory://bucket/"]
    addresses.append(f"file://{tmp_path}/d/part-{{000..001}}.tar")
    for address in addresses:
        there = read_shards(address)
        assert labelled(there) == labelled(here) and pixels(there) == pixels(here)
        catalogue, _ = open_catalogue(address)
        assert catalogue.source == address
        assert catalogue.fingerprint() == open_catalogue(tmp_path / "d")[0].fingerprint()


def test_secrets_of_an_address_are_not_shown(tmp_path: Path, cache: Path) -> None:
    path = write_shards(tmp_path / "d", [8])[0]

    class Signed(MemoryFileSystem):
        protocol = "signed"
        store = {"/me:secret@host/part.tar?sign=secret": None}  # noqa: RUF012

        def info(self, path: str, **_: Any) -> dict[str, Any]:
            assert path.endswith("?sign=secret")
            return {"name": path, "size": 1, "type": "file"}

        def open(self, *_: Any, **__: Any) -> Any:
            return io.BytesIO(file.read_bytes())

        def cat_file(self, *_: Any, start: int, end: int) -> bytes:
            return bytes(end - start)

    file = path
    fsspec.register_implementation("signed", Signed, clobber=True)
    time.sleep(2 * TICK_SECONDS)
    read = read_shards("signed://me:secret@host/part.tar?sign=secret")
    assert read.source == "signed://host/part.tar" and read.members.names[0] == "part.tar/0000.png"
    with pytest.raises(UnreadableError) as error:
        FileImages(read.members).load(0, PX, 1)
    assert error.value.path == "signed://host/part.tar/0000.png"
    assert [*cache.iterdir()] and not any(b"secret" in p.read_bytes() for p in cache.iterdir())


# The index


def test_only_new_and_changed_shards_are_read_again(
    tmp_path: Path, scanned: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_shards(tmp_path / "d", [4, 4, 4])
    time.sleep(2 * TICK_SECONDS)

    def scanned_now(data: Path = tmp_path / "d") -> list[str]:
        scanned.clear()
        read = read_shards(data)
        now = scanned.copy()
        tables = [module._members_in(address, "images") for address in shard_addresses(data)]
        expected = [name for table in tables for name in table.column("name").to_pylist()]
        names = [name.split("/")[1] for name in read.members.names]
        assert names == [name.decode() for name in expected]
        assert pixels(read) == [int(Path(name).stem) for name in names]
        return now

    assert scanned_now() == [path.name for path in paths]
    assert scanned_now() == []
    paths[1].write_bytes(shard(samples(range(50, 53))))
    write_shards(tmp_path / "e", [3])[0].rename(tmp_path / "d/part-003.tar")
    time.sleep(2 * TICK_SECONDS)
    assert scanned_now() == ["part-001.tar", "part-003.tar"] and scanned_now() == []
    paths[0].unlink()
    assert scanned_now() == []
    assert scanned_now(tmp_path / "d/part-00{1,3}.tar") == []
    paths[2].write_bytes(paths[1].read_bytes())
    monkeypatch.setattr(addresses, "SETTLED_SECONDS", 60)
    all_three = ["part-001.tar", "part-002.tar", "part-003.tar"]
    assert scanned_now() == scanned_now() == all_three, "they changed just now"
    monkeypatch.setattr(addresses, "SETTLED_SECONDS", TICK_SECONDS)
    time.sleep(2 * TICK_SECONDS)
    assert scanned_now() == all_three and scanned_now() == []


def test_new_shards_are_counted_while_they_are_read(tmp_path: Path) -> None:
    paths = write_shards(tmp_path / "d", [4, 4, 4])
    time.sleep(2 * TICK_SECONDS)
    told: list[tuple[int, int]] = []

    def follow(done: int, total: int) -> None:
        told.append((done, total))

    open_catalogue(tmp_path / "d", on_progress=follow)
    assert told == [(0, 3), (1, 3), (2, 3), (3, 3)]
    told.clear()
    open_new_items(tmp_path / "d", on_progress=follow)
    assert told == []
    paths[1].write_bytes(shard(samples(range(4, 9))))
    open_new_items(tmp_path / "d", on_progress=follow)
    assert told == [(0, 1), (1, 1)]


def test_a_changed_tag_at_an_address_is_noticed(
    memory: MemoryFileSystem, scanned: list[str]
) -> None:
    for number in range(2):
        memory.pipe(f"/b/{number}.tar", shard(samples(range(4 * number, 4 * number + 4))))
    assert pixels(read_shards("memory://b")) == [*range(8)]
    assert pixels(read_shards("memory://b")) == [*range(8)] and scanned == ["0.tar", "1.tar"]
    memory.pipe("/b/1.tar", shard(samples(range(8, 12))))  # as long as before
    assert pixels(read_shards("memory://b")) == [0, 1, 2, 3, 8, 9, 10, 11]
    assert scanned == ["0.tar", "1.tar", "1.tar"]


def test_what_was_read_before_an_error_is_kept(tmp_path: Path, scanned: list[str]) -> None:
    paths = write_shards(tmp_path / "d", [4, 4, 4])
    whole = paths[2].read_bytes()
    paths[2].write_bytes(whole[:1000])
    time.sleep(2 * TICK_SECONDS)
    with pytest.raises(InputError, match=r"part-002\.tar"):
        read_shards(tmp_path / "d")
    scanned.clear()
    paths[2].write_bytes(whole)
    assert pixels(read_shards(tmp_path / "d")) == [*range(12)] and scanned == ["part-002.tar"]


def test_marks_change_with_a_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = write_shards(tmp_path / "d", [4, 4])
    monkeypatch.setattr(addresses, "SETTLED_SECONDS", 60)
    assert not read_shards(tmp_path / "d").members.marks().any(), "they changed just now"
    monkeypatch.setattr(addresses, "SETTLED_SECONDS", TICK_SECONDS)
    time.sleep(2 * TICK_SECONDS)
    before = read_shards(tmp_path / "d").members.marks()
    assert before.dtype == np.uint64 and len({*before.tolist(), 0}) == 9
    again = read_shards(tmp_path / "d").members
    assert np.array_equal(again.marks(), before)
    rows = np.array([5, 0])
    assert np.array_equal(again.subset(rows).marks(), before[rows])
    paths[1].write_bytes(paths[1].read_bytes())
    time.sleep(2 * TICK_SECONDS)
    after = read_shards(tmp_path / "d").members.marks()
    assert np.array_equal(after[:4], before[:4]) and not np.isin(after[4:], before).any()


# What goes wrong


GOOD = shard(samples(range(6)))
DAMAGED = {
    "nothing in it": b"",
    "no tar": b"path,label\n" * 200,
    "short": b"short",
    "cut in an image": GOOD[:700],
    "cut in a header": GOOD[:1300],
    "a header overwritten": GOOD[:1024] + b"x" * 512 + GOOD[1536:],
    "a checksum wrong": GOOD[:1024] + bytes([GOOD[1024] ^ 1]) + GOOD[1025:],
    "a size beyond the end": shard([("a.png", b"x" * 600)])[:-2048].replace(
        b"00000001130\0", b"77777777777\0"
    ),
}


def with_header(**fields: Any) -> bytes:
    """Two images, the header of the second of which says something else too."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for number in range(2):
            member = tarfile.TarInfo(f"{number}.png")
            member.size = len(picture(0))
            for name, value in fields.items() if number else ():
                setattr(member, name, value)
            file.write(member.tobuf(tarfile.GNU_FORMAT) + picture(0).ljust(512, b"\0"))
            tar.offset = file.tell()
    return file.getvalue()


DAMAGED["a size below nothing, which leads back"] = with_header(size=-512)
DAMAGED["a sparse member"] = with_header(type=tarfile.GNUTYPE_SPARSE)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("what", DAMAGED)
def test_a_damaged_shard_is_named(tmp_path: Path, what: str) -> None:
    (tmp_path / "bad.tar").write_bytes(DAMAGED[what])
    with pytest.raises(InputError, match=r"bad\.tar' is no tar file, or is damaged or cut short"):
        read_shards(tmp_path / "bad.tar")


END = -(-len(GOOD.rstrip(b"\0")) // 512) * 512
"""Where the last member of a good shard ends, in bytes."""


@pytest.mark.parametrize("n_members", [1, 3, 6])
@pytest.mark.parametrize("n_zeros", [0, 100])
def test_a_shard_cut_between_members_is_refused(
    tmp_path: Path, n_members: int, n_zeros: int
) -> None:
    path = tmp_path / "one.tar"
    whole = shard([(f"{i}.png", picture(i)) for i in range(6)])
    path.write_bytes(whole[: n_members * 1024] + bytes(n_zeros))
    with pytest.raises(InputError, match=r"one\.tar' .*no end marker .*truncate -s \+1024 SHARD"):
        read_shards(path)


@pytest.mark.parametrize("n_blocks", [1, 2])
def test_one_block_of_zeros_is_an_end_marker(tmp_path: Path, n_blocks: int) -> None:
    (tmp_path / "one.tar").write_bytes(GOOD[: END + 512 * n_blocks])
    assert pixels(read_shards(tmp_path / "one.tar")) == [*range(6)]


def test_names_with_one_more_dot_are_left_out_with_a_warning(
    tmp_path: Path, scanned: list[str]
) -> None:
    """The second time too, when the shards are known."""
    path = write_shards(tmp_path / "d", [8])[0]
    dotted = [(f"d/Screenshot 2021.03.0{i}.PNG", picture(i)) for i in range(1, 4)]
    (tmp_path / "d/b.tar").write_bytes(shard([("9.png", picture(9)), *dotted, dotted[0]]))
    time.sleep(2 * TICK_SECONDS)
    told: list[str] = []
    for _ in range(2):
        catalogue, _ = open_catalogue(tmp_path / "d")
        assert (
            len(catalogue) == len(open_new_items(tmp_path / "d", on_warning=told.append).paths) == 9
        )
        warning, *_ = check_counts(catalogue, num_novel=2, batch=2)
        assert "3 of the images are left out" in warning and "rename them" in warning
        assert f"'{tmp_path}/d/b.tar/d/Screenshot 2021.03.01.PNG'" in warning
        assert told.pop() == warning and not told
    assert sorted(scanned) == ["b.tar", path.name]


def test_a_shard_of_nothing_but_dotted_names_says_why(tmp_path: Path) -> None:
    path = one_shard(tmp_path, ("a.1.png", picture(0)), ("a.1.cls", b"x"))
    with pytest.raises(InputError, match=r"holds no images: .*webp; 1 of the images .*a\.1\.png'"):
        read_shards(path)


@pytest.mark.parametrize("item", ["a.png", "a.mp4"])
@pytest.mark.parametrize("is_first", [True, False])
def test_masks_beside_their_item_are_not_warned_of(
    tmp_path: Path, item: str, is_first: bool
) -> None:
    sample = [(item, picture(0)), ("a.seg.png", picture(1))]
    others = [("b.png", picture(2)), ("b.left.txt", b"x"), ("c.d/e.png", picture(3))]
    path = one_shard(tmp_path, *(sample if is_first else sample[::-1]), *others)
    assert read_shards(path).warnings == ()


@pytest.mark.parametrize("label", [b"-1", b"-1.0"])
def test_minus_one_is_no_label(tmp_path: Path, label: bytes) -> None:
    path = one_shard(tmp_path, ("a.png", picture(0)), ("a.cls", label))
    assert labelled(read_shards(path)) == {"one.tar/a.png": ""}


@pytest.mark.parametrize("library", [gzip, bz2, lzma])
def test_compressed_content_is_refused_with_the_cure(tmp_path: Path, library: Any) -> None:
    (tmp_path / "bad.tar").write_bytes(library.compress(GOOD))
    with pytest.raises(InputError, match=r"bad\.tar'.*unpack it to a plain \.tar"):
        read_shards(tmp_path)


@pytest.mark.parametrize(
    "name", ["a.tar.gz", "a.tgz", "A.TAR.GZ", "a.tar.zst", "a.tar.xz", "a.tar.bz2"]
)
def test_compressed_names_are_refused_with_the_cure(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"")
    for data in (tmp_path, tmp_path / name, f"memory://x/{name}"):
        with pytest.raises(InputError, match=rf"{name}' is compressed; .*as by gunzip"):
            open_catalogue(data)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b'{"label": ', "a.json' cannot be read as a label"),
        ("a.json", b"[" * 100_000, "a.json' cannot be read as a label"),
        ("a.json", b'{"label": true}', "has the label True"),
        ("a.json", b'{"label": 1.5}', "has the label 1.5"),
        ("a.json", b'{"label": [1]}', r"has the label \[1\]"),
        ("a.cls", b"x" * (module.MAX_LABEL_BYTES + 1), "it is too long"),
    ],
    ids=["cut", "deep", "bool", "float", "list", "long"],
)
def test_labels_that_make_no_sense_are_named(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        read_shards(one_shard(tmp_path, ("a.png", picture(0)), (name, content)))


def test_odd_labels_are_printable(tmp_path: Path) -> None:
    path = one_shard(
        tmp_path,
        ("a.png", picture(0)),
        ("a.cls", b"caf\xe9"),
        ("b.png", picture(1)),
        ("b.json", json.dumps({"label": "\ud800x"}).encode()),
    )
    assert read_shards(path).class_names == ("\\ud800x", "caf\\xe9")


def test_places_that_are_no_shards(tmp_path: Path, memory: MemoryFileSystem) -> None:
    with pytest.raises(InputError, match=r"none\.tar' does not exist"):
        open_catalogue(tmp_path / "none.tar")
    with pytest.raises(InputError, match=r"part-1\.tar' does not exist or cannot be reached"):
        open_catalogue("memory://none/part-{1..2}.tar")
    with pytest.raises(InputError, match=r"does not exist|holds no \.tar files"):
        open_catalogue("memory://none")
    with pytest.raises(InputError, match=r"'nosuch://x\.tar' cannot be read"):
        open_catalogue("nosuch://x.tar")
    with pytest.raises(InputError, match=r"holds no images: .* png"):
        open_catalogue(one_shard(tmp_path, ("a.mp4", b"film")))
    with pytest.raises(InputError, match=r"holds no videos: .* mp4"):
        open_catalogue(one_shard(tmp_path, ("a.png", b"picture")), kind="videos")


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: str) -> Any:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", refuse)
    with pytest.raises(InputError, match="without another package: Install s3fs"):
        open_catalogue("s3://bucket/part-{0..1}.tar")


def test_damaged_images_are_left_out_with_the_reason(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    file = io.BytesIO()
    Image.fromarray(noise).save(file, "JPEG")
    path = one_shard(
        tmp_path,
        ("0.png", picture(0)),
        ("1.png", b""),
        ("2.png", b"no image"),
        ("3.jpg", file.getvalue()[:1500]),
        ("4.png", picture(4)),
    )
    read = read_shards(path)
    for workers in (0, 2):
        decoded, skipped = decode_all(FileImages(read.members), PX, 1, workers)
        assert decoded[:, 0, 0, 0].tolist() == [0, 4]
        assert [bad.index for bad in skipped] == [1, 2, 3]
        assert skipped[0].reason == "empty file"
        assert skipped[1].reason == "not an image that Pillow reads"
        assert "truncated" in skipped[2].reason
    with pytest.raises(UnreadableError) as error:
        FileImages(read.members).shorter_side(1)
    assert error.value.path == f"{tmp_path}/one.tar/1.png"


def test_a_shard_that_is_gone_or_shorter_is_told(tmp_path: Path) -> None:
    path = one_shard(tmp_path, ("0.png", picture(0)), ("1.png", picture(1)))
    read = read_shards(path)
    path.write_bytes(path.read_bytes()[:1600])
    with pytest.raises(UnreadableError, match=r"one\.tar/1\.png: its shard ends before it"):
        FileImages(read.members).load(1, PX, 1)
    path.unlink()
    with pytest.raises(UnreadableError, match=r"one\.tar/0\.png: no such file"):
        FileImages(read.members).load(0, PX, 1)


class Failing(MemoryFileSystem):
    """Some requests of each kind fail before one is answered."""

    protocol = "failing"
    failures = 0

    @classmethod
    def _strip_protocol(cls, path: str) -> str:
        return str(MemoryFileSystem._strip_protocol(path.replace(f"{cls.protocol}:", "memory:")))

    def cat_file(self, path: str, start: Any = None, end: Any = None, **others: Any) -> bytes:
        type(self).failures += 1
        if type(self).failures % 3:
            raise TimeoutError("no answer")
        return super().cat_file(path, start=start, end=end, **others)


class Whole(Failing):
    """As web servers that know no ranges."""

    protocol = "whole"

    def cat_file(self, path: str, *_: Any, **__: Any) -> bytes:
        return MemoryFileSystem.cat_file(self, path)


def test_secrets_in_the_words_of_others_are_not_shown_either(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("failing", Failing, clobber=True)
    memory.pipe("/b/0.tar", GOOD)
    images = FileImages(read_shards("failing://b/0.tar").members)

    def refuse(*_: Any, **__: Any) -> Any:
        raise RuntimeError("403, url='https://me:secret@host/b/0.tar?sign=secret' (secret.txt)")

    monkeypatch.setattr(Failing, "cat_file", refuse)
    monkeypatch.setattr(Failing, "info", refuse)
    with pytest.raises(StoreError, match=r"403, url='https://host/b/0\.tar' \(secret\.txt\)"):
        images.load(0, PX, 1)
    with pytest.raises(InputError, match=r"read \(403, url='https://host/b/0\.tar' \(secret"):
        read_shards("failing://b/0.tar")


def test_a_server_that_knows_no_parts_is_told(memory: MemoryFileSystem) -> None:
    fsspec.register_implementation("whole", Whole, clobber=True)
    memory.pipe("/b/0.tar", GOOD)
    with pytest.raises(UnreadableError, match="its server sends the whole shard where a part"):
        FileImages(read_shards("whole://b/0.tar").members).load(0, PX, 1)


def test_from_afar_an_image_is_asked_for_again(
    memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsspec.register_implementation("failing", Failing, clobber=True)
    memory.pipe("/b/0.tar", GOOD)
    images = FileImages(read_shards("failing://b/0.tar").members)
    assert [int(images.load(i, PX, 1).max()) for i in range(6)] == [*range(6)]
    assert Failing.failures == 18
    monkeypatch.setattr(addresses, "_SECONDS_TO_WAIT", (0.0,))
    Failing.failures = 0
    with pytest.raises(StoreError, match=r"failing://b/0\.tar' does not give .*no answer"):
        images.load(0, PX, 1)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("kind", ["images", "videos"])
def test_a_store_that_no_longer_answers_is_no_fault_of_the_items(
    kind: Kind, workers: int, memory: MemoryFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends the run at the first item, where each would wait in vain and be left out."""
    fsspec.register_implementation("failing", Failing, clobber=True)
    ending = "png" if kind == "images" else "mp4"
    memory.pipe("/b/0.tar", shard((f"{i}.{ending}", b"content") for i in range(6)))
    members = read_shards("failing://b/0.tar", kind).members
    decoding: Decoding
    requests: list[list[Any]]
    if kind == "images":
        decoding, requests = ImageDecoding(FileImages(members), PX, 1), [[0, 1, 2], [3, 4, 5]]
    else:
        decoding = ClipDecoding(ClipFiles(members), ClipShape(frames=2, side=16))
        requests = [[Place(0, 0.5, 0.5), Place(1, 0.5, 0.5)], [Place(2, 0.5, 0.5)]]
    monkeypatch.setattr(addresses, "_SECONDS_TO_WAIT", ())
    Failing.failures = 0
    with pytest.raises(
        StoreError,
        match=r"^'failing://b/0\.tar' does not give .* is a new run, with another --out$",
    ):
        list(decoded(decoding, requests, workers, pin=False))
    if workers == 0:
        assert Failing.failures == 1, "no other is asked for"


# As a source of images, and as a catalogue


def test_workers_and_copies_read_the_same(tmp_path: Path) -> None:
    write_shards(tmp_path / "d", [20, 25])
    images = FileImages(read_shards(tmp_path / "d").members)
    expected = [*range(45)]
    for source in (images, pickle.loads(pickle.dumps(images))):
        decoded, skipped = decode_all(source, PX, 1, workers=2)
        assert decoded[:, 0, 0, 0].tolist() == expected and skipped == []
    rows = np.array([44, 3, 20])
    part = images.subset(rows)
    assert decode_all(part, PX, 1, 0)[0][:, 0, 0, 0].tolist() == rows.tolist()
    assert part.name(0) == f"{tmp_path}/d/part-001.tar/0044.png"
    assert part.stamps().tolist() == images.stamps()[rows].tolist()


def test_a_catalogue_of_shards(tmp_path: Path) -> None:
    write_shards(tmp_path / "d", [10, 10])
    catalogue, truth = open_catalogue(tmp_path / "d")
    assert truth is None and catalogue.class_names == ("0", "1", "2", "3")
    expected = [-1 if number % 5 == 0 else number % 4 for number in range(20)]
    assert catalogue.labels.tolist() == expected and not catalogue.held_out.any()
    assert catalogue.source == str(tmp_path / "d") and len(catalogue.fingerprint()) == 16
    assert catalogue.subset(np.array([19, 0])).names.tolist() == [
        "part-001.tar/0019.png",
        "part-000.tar/0000.png",
    ]
    (tmp_path / "d").rename(tmp_path / "e")
    assert open_catalogue(tmp_path / "e")[0].fingerprint() == catalogue.fingerprint()
    write_shards(tmp_path / "e", [10, 10], classes=3)
    assert open_catalogue(tmp_path / "e")[0].fingerprint() != catalogue.fingerprint()


def test_shards_with_all_labels_are_a_protocol(tmp_path: Path) -> None:
    names = ["10", "9", "2", "11"]
    members = [(f"{i}.cls", names[i % 4].encode()) for i in range(12)]
    path = one_shard(tmp_path, *members, *((f"{i}.png", picture(i)) for i in range(12)))
    catalogue, truth = open_catalogue(path, labelled_classes=2)
    assert truth is not None
    assert catalogue.class_names == ("2", "9") and truth.class_names == ("10", "11")
    assert catalogue.labels.tolist() == [-1, 1, 0, -1] * 3
    assert truth.labels.tolist() == [0, 1] * 3
    for wrong in (-1, 0, 1, 3, 4):
        with pytest.raises(InputError, match=rf"labelled_classes is {wrong}.* of 4 classes"):
            open_catalogue(path, labelled_classes=wrong)
    one_shard(tmp_path, *members, *((f"{i}.png", picture(i)) for i in range(13)))
    with pytest.raises(InputError, match="has 13 images, 1 of them without a label"):
        open_catalogue(path, labelled_classes=2)


def test_too_few_labels_or_nothing_to_discover(tmp_path: Path) -> None:
    members = [("0.png", picture(0)), ("1.png", picture(1)), ("0.cls", b"a")]
    with pytest.raises(InputError, match="at least two labelled classes"):
        open_catalogue(one_shard(tmp_path, *members))
    with pytest.raises(InputError, match="no unlabelled images"):
        open_catalogue(one_shard(tmp_path, *members, ("1.cls", b"b")))


def test_an_archive_beside_class_folders_is_no_shard(tmp_path: Path) -> None:
    """As it lies there when it has been unpacked."""
    for name in "abcd":
        (tmp_path / name).mkdir()
        (tmp_path / name / "0.png").write_bytes(picture(0))
    (tmp_path / "all.tar").write_bytes(b"whatever")
    catalogue, _ = open_catalogue(tmp_path, labelled_classes=2)
    assert catalogue.names.tolist() == [f"{name}/0.png" for name in "abcd"]


@pytest.mark.parametrize("name", ["0.png", "film.mp4", "folder/0.png"])
def test_an_archive_beside_images_is_no_shard(tmp_path: Path, name: str) -> None:
    (tmp_path / "backup.tar").write_bytes(b"whatever")
    (tmp_path / "notes.txt").touch()
    assert are_shards(tmp_path)
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(picture(0))
    assert open_new_items(tmp_path).paths.tolist() == sorted(["backup.tar", "notes.txt", name])


def test_shards_may_be_predicted_on_but_not_sorted(tmp_path: Path) -> None:
    write_shards(tmp_path / "d", [3, 2])
    items = open_new_items(tmp_path / "d")
    assert items.paths.tolist()[3] == "part-001.tar/0003.png"
    assert not isinstance(items.contents, ArrayImages) and len(items.contents) == 5
    table = items.called(np.arange(5)).assign(category="x", kind="known")
    prediction = Prediction(table, table[:0], items.contents)
    with pytest.raises(InputError, match=r"0000\.png' lies in a shard, .*leave --copy-to out"):
        sort_files(prediction, tmp_path / "sorted", "copy")
