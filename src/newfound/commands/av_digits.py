"""`newfound make-av-digits`: call, print."""

from pathlib import Path
from typing import Any

from newfound.av_digits.make import make_av_digits
from newfound.progress import Progress


def make_and_print(out: Path, *, quiet: bool, **how: Any) -> None:
    """Make the videos, and say how many there are. The others are those of `make_av_digits`."""
    with Progress(quiet=quiet) as progress:
        videos = make_av_digits(out, progress=progress, **how)
        progress.message(f"{len(videos):,} videos -> {out}")
