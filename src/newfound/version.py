"""Which newfound this is."""

import subprocess
from pathlib import Path

__version__ = "0.1.0"


def source_commit() -> str | None:
    """The commit of the checkout that newfound runs from, `-dirty` if changed; None without one."""
    here = Path(__file__)
    # Installed, it may lie in an environment within some other checkout: is it this file's own?
    if not _git(here.parent, "ls-files", here.name):
        return None
    return _git(here.parent, "describe", "--always", "--dirty", "--exclude=*") or None


def _git(folder: Path, *arguments: str) -> str:
    """What git prints; "" if it cannot say."""
    try:
        answer = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer.stdout.strip()
