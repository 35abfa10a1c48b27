"""A member of a shard is a file of its own to whoever reads it."""

import io
from pathlib import Path

import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given
from hypothesis import strategies as st

from newfound.data import members as module
from newfound.data.addresses import read_part
from newfound.data.members import Members
from newfound.data.texts import Texts
from newfound.errors import InputError

CONTENT = bytes(range(200))
START, SIZE = 30, 100
STEPS = st.one_of(
    st.tuples(st.just("read"), st.integers(-1, 150)),
    st.tuples(st.just("seek"), st.tuples(st.integers(-120, 250), st.sampled_from([0, 1, 2]))),
)


def members(address: str, *parts: tuple[int, int]) -> Members:
    """Members of one shard that lie at (offset, size)."""
    offsets, sizes = np.array(parts, dtype=np.int64).T
    names = Texts([f"part.tar/{i}.png" for i in range(len(parts))])
    return Members([address], ["tag"], names, np.zeros(len(parts), np.int32), offsets, sizes)


@pytest.fixture(scope="module")
def shard(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shards") / "part.tar"
    path.write_bytes(CONTENT)
    return path


@pytest.fixture(scope="module")
def here(shard: Path) -> Members:
    return members(str(shard), (START, SIZE))


@given(st.lists(STEPS, max_size=8))
def test_a_part_of_a_file_is_read_as_a_file(here: Members, steps: list) -> None:
    with here.open(0) as part, io.BytesIO(CONTENT[START : START + SIZE]) as expected:
        for what, how in steps:
            if what == "read":
                assert part.read(how) == expected.read(how)
            else:
                offset, whence = how
                at = offset + {0: 0, 1: expected.tell(), 2: SIZE}[whence]
                if at < 0:
                    continue
                assert part.seek(offset, whence) == expected.seek(at)
            assert part.tell() == expected.tell()


def test_no_place_before_its_beginning_is_sought(here: Members) -> None:
    with here.open(0) as part, pytest.raises(OSError, match="before its beginning"):
        part.seek(-1)
    with here.open(0) as part:
        part.seek(-1, io.SEEK_END)
        assert part.read() == CONTENT[START + SIZE - 1 : START + SIZE]


def test_the_shard_is_closed_with_its_member(here: Members, shard: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        with here.open(0) as part:
            part.read(1)
        with pytest.raises(OSError, match="ends before it"):
            members(str(shard), (START, 171)).open(0)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_what_is_empty_or_too_long_to_fetch_is_told(
    here: Members, shard: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    MemoryFileSystem().pipe("/m/part.tar", CONTENT)
    there = members("memory://m/part.tar", (START, SIZE), (0, 0))
    assert there.open(0).read() == CONTENT[START : START + SIZE]
    with pytest.raises(OSError, match="empty file"):
        there.open(1)
    monkeypatch.setattr(module, "MAX_BYTES", SIZE - 1)
    with pytest.raises(OSError, match="more than 99 bytes, too many to fetch"):
        members("memory://m/part.tar", (START, SIZE)).open(0)
    assert here.open(0).read(1), "what lies here is read as far as it is asked for"


def test_what_is_read_again_in_turn_is_fetched_once(monkeypatch: pytest.MonkeyPatch) -> None:
    MemoryFileSystem().pipe("/m/part.tar", CONTENT)
    there = members("memory://m/part.tar", (START, SIZE), (0, 10))
    fetched = []

    def noted(address: str, start: int, end: int) -> bytes:
        fetched.append((start, end))
        return read_part(address, start, end)

    monkeypatch.setattr(module, "read_part", noted)
    rows = [0, 0, 1, 1, 1, 0]
    expected = [CONTENT[START : START + SIZE], CONTENT[:10]]
    assert [there.open(i).read() for i in rows] == [expected[i] for i in rows]
    assert fetched == [(30, 130), (0, 10), (30, 130)]
    assert there.subset(np.array([1])).open(0).read() == expected[1], "rows are its own"


def test_a_member_has_a_name_and_no_path(here: Members, shard: Path) -> None:
    assert here.name(0) == f"{shard}/0.png" and here.place() == f"{shard.parent}/"
    with pytest.raises(InputError, match=r"0\.png' lies in a shard, .*leave --copy-to out"):
        here.path(0)
