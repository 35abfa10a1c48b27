"""What patterns of shards mean, against bash's braces."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from newfound.data.shard_names import expanded, shard_addresses
from newfound.errors import InputError

NUMBERS = st.builds(
    lambda number, width: str(number).zfill(width), st.integers(0, 12), st.integers(1, 3)
)
RANGES = st.tuples(NUMBERS, NUMBERS).map(lambda ends: "{" + "..".join(ends) + "}")
CHOICES = st.lists(st.sampled_from(["x", "y", "0", ""]), min_size=2, max_size=3)
PARTS = st.sampled_from(["a", "-", ".tar", "é"])
PARTS |= RANGES | CHOICES.map(lambda names: "{" + ",".join(names) + "}")
PATTERNS = st.lists(PARTS, min_size=1, max_size=3).map("".join)


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash to compare with")
@settings(max_examples=10)
@given(st.lists(PATTERNS, min_size=50, max_size=100))
def test_braces_mean_what_they_mean_to_bash(patterns: list[str]) -> None:
    lines = [f"printf '%s|' {pattern}'' ; echo" for pattern in patterns]
    command = ["bash", "-c", "\n".join(lines)]
    told = subprocess.run(command, capture_output=True, text=True, check=True)
    for pattern, line in zip(patterns, told.stdout.splitlines(), strict=True):
        assert expanded(pattern) == line.removesuffix("|").split("|")


def test_patterns_that_stand_for_themselves_or_too_much() -> None:
    assert expanded("a{b}c{}") == ["a{b}c{}"]
    assert len(expanded("{000..999}-{0..99}.tar")) == 100_000
    for pattern in ("{0..99999999}", "{0..9999}{0..9999}"):
        with pytest.raises(InputError, match="more than 1,000,000 shards"):
            expanded(pattern)


@pytest.mark.parametrize("data", ["s3://bucket/*.tar", "s3://bucket/*/0.tar", "here/part-*.tar"])
def test_a_star_is_told_what_there_is_in_its_place(data: str) -> None:
    with pytest.raises(InputError, match=r"has a \*; give the folder of the shards, or brac"):
        shard_addresses(data)


def test_a_star_in_the_name_of_what_is_here_is_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "a*.tar").touch()
    assert shard_addresses(tmp_path / "a*.tar") == [f"{tmp_path}/a*.tar"]
    assert shard_addresses(tmp_path / "b*" / "{0..1}.tar") == [
        f"{tmp_path}/b*/{number}.tar" for number in (0, 1)
    ]


@pytest.mark.parametrize("data", ["https://host/0.tar?acl=/*~hmac=1", "ftp://me:p*ss@host/0.tar"])
def test_a_star_that_is_not_shown_is_none_of_a_pattern(data: str) -> None:
    assert shard_addresses(data) == [data]
