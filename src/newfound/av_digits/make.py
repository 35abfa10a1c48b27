"""Making AV digits: a folder of videos, one folder per digit, and a text that says how."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd

from newfound.av_digits.material import Material, bundled_material, real_material
from newfound.av_digits.mp4 import write_mp4
from newfound.av_digits.picture import moving_digit
from newfound.av_digits.plan import Settings, Video, most_per_class, plan
from newfound.av_digits.sound import SOUND_RATE, sound_track
from newfound.disk.files import leftovers, write_atomically, write_csv, write_text
from newfound.errors import InputError
from newfound.progress import Progress

README, PLAN = "README.txt", "plan.csv"
TINT = 20
"""How far from grey a video's colour is at most, of 128."""


def make_av_digits(
    out: Path,
    digits: Path | None = None,
    speech: Path | None = None,
    *,
    bundled: bool = False,
    per_class: int | None = None,
    seed: int = 0,
    clutter: float = 0.5,
    snr_db: float = 0.0,
    repeat: bool = False,
    progress: Progress | None = None,
) -> tuple[Video, ...]:
    """Write videos of 2 to 6 s, 128 x 128 pixels, H.264 and AAC, as out/<digit>/*.mp4.

    In each a handwritten digit moves about and a voice says it over noise. No picture of a digit
    and no recording is in two files. The same arguments give the same bytes; what is there
    already, of a call that was interrupted, is kept.

    digits: the folder of MNIST's test part.  speech: that of the Free Spoken Digit Dataset.
    bundled: needs neither: scikit-learn's digits and a telephone's tones.
    per_class: videos of each digit; None: as many as there is material for.
    clutter: 0 to 1, what else is in the picture.  snr_db: the voice's power over the noise's.
    repeat: the digit is said again and again, with pauses, instead of once at a random moment.
    Returns what was planned, which `plan.csv` holds too.
    Raises InputError if a value, the material or the folder cannot be used.
    """
    material = _material(digits, speech, bundled)
    if per_class is None:
        per_class = most_per_class(material)
    settings = Settings(per_class, seed, float(clutter), float(snr_db), repeat)
    videos = plan(material, settings)
    _open_folder(out, readme(material, settings))
    write_csv(out / PLAN, plan_table(videos, material))
    progress = progress or Progress(quiet=True)
    missing = [video for video in videos if not (out / video.path).exists()]
    progress.stage("Making videos", len(videos), done=len(videos) - len(missing))
    for video in missing:
        _write(out / video.path, video, material, settings)
        progress.advance()
    return videos


def readme(material: Material, settings: Settings) -> str:
    """The text beside the videos; another text there means that they were made otherwise."""
    values = "\n".join(f"{name}: {value}" for name, value in asdict(settings).items())
    return f"""AV digits, made by newfound: a folder per digit; each video shows and says it.

{values}
{material.source}
fingerprint of both: {material.fingerprint()}

Videos of 2 to 6 s, 128 x 128 pixels, 10 to 30 frames a second, H.264; sound of 16 kHz, mono, AAC,
shorter than the picture in a quarter of them. The power of the voice, while it speaks, is snr_db
above that of the noise. No picture of a digit and no recording is in two videos; {PLAN} says
which is in which, and when it is said.
"""


def plan_table(videos: tuple[Video, ...], material: Material) -> pd.DataFrame:
    """One row per video: what is in it and when, times in seconds."""
    return pd.DataFrame(
        {
            "path": video.path,
            "digit": video.digit,
            "picture": video.picture,
            "recording": material.recordings[video.recording].name,
            "picture_seconds": round(video.picture_seconds, 3),
            "frames_per_second": video.frames_per_second,
            "sound_seconds": round(video.sound_seconds, 3),
            "spoken_at_seconds": " ".join(f"{moment:.3f}" for moment in video.spoken_at_seconds),
        }
        for video in videos
    )


def _material(digits: Path | None, speech: Path | None, bundled: bool) -> Material:
    match digits, speech, bundled:
        case None, None, True:
            return bundled_material()
        case Path(), Path(), False:
            return real_material(digits, speech)
    raise InputError(
        f"digits={digits}, speech={speech}, bundled={bundled}; give the folders of both digits "
        "and speech, or bundled alone"
    )


def _open_folder(out: Path, text: str) -> None:
    """Have an empty folder, or one that the same call began, with its README and class folders.

    Raises InputError if there is anything else.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; give the name of a folder")
    there = out / README
    before = there.read_text(encoding="utf-8", errors="replace") if there.is_file() else None
    if before not in (None, text):
        changed = sorted(set(before.splitlines()) - set(text.splitlines()))
        raise InputError(
            f"{there} says that the videos there were made otherwise ({'; '.join(changed)[:200]}); "
            "give another folder, or the settings that it states"
        )
    if before is None and out.exists() and any(out.iterdir()):
        raise InputError(f"{out} holds files of something else; give a new or an empty folder")
    try:
        for digit in range(10):
            (out / str(digit)).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out}: {error}; give another") from error
    write_text(there, text)
    for folder in (out, *(out / str(digit) for digit in range(10))):
        for part in leftovers(folder):
            part.unlink()


def _write(path: Path, video: Video, material: Material, settings: Settings) -> None:
    times = np.arange(video.frames) / video.frames_per_second
    frames = moving_digit(material.pictures[video.picture], times, settings.clutter, video.seed)
    sound = sound_track(
        material.recordings[video.recording],
        video.sound_seconds,
        video.spoken_at_seconds,
        settings.snr_db,
        video.seed,
    )
    blue, red = np.random.default_rng([*video.seed, 3]).integers(128 - TINT, 129 + TINT, 2)
    tint = (int(blue), int(red))
    write_atomically(
        path,
        lambda beside: write_mp4(beside, frames, tint, video.frames_per_second, sound, SOUND_RATE),
    )
