"""The flags of `newfound make-av-digits`."""

from pathlib import Path

from newfound.cli.flags import Call
from newfound.cli.loading import loading


def make_av_digits_command(
    *,
    out: Path,
    digits: Path | None = None,
    speech: Path | None = None,
    bundled: bool = False,
    per_class: int | None = None,
    seed: int = 0,
    clutter: float = 0.5,
    snr_db: float = 0.0,
    repeat: bool = False,
    quiet: bool = False,
) -> Call:
    """Make a data set of videos with sound: digits that move, and voices that say them.

    OUT gets a folder of mp4 files for each of the ten digits. No picture of a digit and no
    recording is in two files. The same command again goes on where it was stopped.

    Args:
        out: the folder to write
        digits: the folder of MNIST's test part (t10k-images-idx3-ubyte.gz and its labels)
        speech: the folder of the Free Spoken Digit Dataset (<digit>_<speaker>_<n>.wav)
        bundled: instead of both: scikit-learn's digits and a telephone's tones
        per_class: videos of each digit; unset: as many as there is material for
        seed: of every random choice
        clutter: what else is in the picture, 0 (nothing) to 1 (hard to read)
        snr_db: how far the voice is above the noise, in dB
        repeat: the digit is said again and again, instead of once at a random moment
        quiet: print nothing but errors
    """

    def call() -> None:
        with loading():
            from newfound.commands.av_digits import make_and_print
        make_and_print(
            out,
            digits=digits,
            speech=speech,
            bundled=bundled,
            per_class=per_class,
            seed=seed,
            clutter=clutter,
            snr_db=snr_db,
            repeat=repeat,
            quiet=quiet,
        )

    return call
