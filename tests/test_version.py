"""Which commit a run was made with."""

import shutil
import subprocess
from pathlib import Path

import pytest

from newfound import version
from newfound.version import source_commit


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=anyone", "-c", "user.email=anyone@example.org"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository of one commit that this module is a file of."""
    package = tmp_path / "checkout" / "src"
    package.mkdir(parents=True)
    here = shutil.copy(version.__file__, package / "version.py")
    git(tmp_path, "init", "--quiet", "checkout")
    git(package, "add", "version.py")
    git(package, "commit", "--quiet", "--message", "all")
    monkeypatch.setattr(version, "__file__", str(here))
    return package


def test_the_commit_of_the_checkout_and_whether_it_was_changed(checkout: Path) -> None:
    commit = source_commit()
    assert commit is not None and len(commit) >= 7
    assert git(checkout, "rev-parse", "HEAD").startswith(commit)
    git(checkout, "tag", "--annotate", "v1", "--message", "a version")
    assert source_commit() == commit, "a tag is no commit"
    (checkout / "new.py").touch()
    assert source_commit() == commit
    (checkout / "version.py").write_text("changed")
    assert source_commit() == commit + "-dirty"


def test_there_is_none_outside_a_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = tmp_path / "version.py"
    here.touch()
    monkeypatch.setattr(version, "__file__", str(here))
    assert source_commit() is None


def test_a_copy_within_another_checkout_has_none(
    checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in an environment that lies in the user's own project."""
    installed = checkout / "env" / "version.py"
    installed.parent.mkdir()
    installed.touch()
    monkeypatch.setattr(version, "__file__", str(installed))
    assert source_commit() is None


def test_there_is_none_without_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert source_commit() is None
