"""Small pictures of items for the report: of images, and of videos with a sight of their sound."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import adaptive_max_pool1d, pad

from newfound.batch import Media
from newfound.config import Config, VideoConfig
from newfound.data.catalogue import Source
from newfound.data.clip_loader import CENTRE, ClipDecoding, Place
from newfound.data.clips import ClipFiles, ClipShape
from newfound.data.decoding import decoded
from newfound.data.image_loader import decode_all
from newfound.data.stored import Files
from newfound.views.spectrogram import FLOOR_DB, LogMel, Sounds

THUMBNAIL_PX = 64
STRIP_PX = 32
"""Height of the spectrogram below a poster."""

SHOWN_SOUND_SECONDS = 10.0
"""So much of a video's sound is shown, from its middle: all of a clip of Kinetics-400."""

LEAST_CONTRAST_DB, MOST_CONTRAST_DB = 20.0, 60.0
"""From the loudest place of a spectrogram to the darkest colour. Between these, the quietest
quarter is dark, so that what stands out of a steady noise is seen."""

WITHOUT_SOUND = (58, 64, 72)
"""The plain colour of the strip of a video without sound."""

_SILENT_TO_LOUD = np.array([[13, 12, 34], [106, 31, 122], [232, 100, 60], [252, 245, 191]])


def make_thumbnails(
    source: Source, rows: NDArray[np.int64], config: Config, workers: int
) -> dict[str, NDArray[Any]]:
    """The arrays of `thumbnails.npz`, for m of the items of the source.

    rows: of the items table, one for each item of the source.

    row: (m,) int64.  pixels: (m, H, 64, 3) uint8, H = 64; of videos that are both seen and heard
    H = 96, a poster above the spectrogram of its sound.  For videos also link: (m,) str, URLs of
    their files, "" for one in a shard, and where sound is heard also heard: (m,) bool, False for
    a video without sound.

    A file that has gone since training began has none.
    """
    if isinstance(config, VideoConfig):
        assert isinstance(source, ClipFiles), "settings of videos go with videos"
        return _of_videos(source, rows, config, workers)
    assert not isinstance(source, ClipFiles), "settings of images go with images"
    pixels, gone = decode_all(source, THUMBNAIL_PX, 3, workers)
    there = np.delete(rows, [bad.index for bad in gone])
    return {"row": there, "pixels": pixels.permute(0, 2, 3, 1).numpy()}


def _of_videos(
    videos: ClipFiles, rows: NDArray[np.int64], config: VideoConfig, workers: int
) -> dict[str, NDArray[Any]]:
    """Each video is opened once, for the frame in its middle and the sound around it."""
    shape = ClipShape(
        modalities=config.modalities,
        clip_seconds=0.0,
        frames=1,
        side=THUMBNAIL_PX,
        sound_seconds=SHOWN_SOUND_SECONDS,
        sound_offset_seconds=0.0,
    )
    middles = [[Place(i, CENTRE, CENTRE)] for i in range(len(videos))]
    chunks = decoded(ClipDecoding(videos, shape), middles, workers, pin=False)
    draw = _VideoDrawing(config)
    drawn = {i: draw(chunk.media) for i, chunk in enumerate(chunks) if chunk.media is not None}
    there = list(drawn)
    arrays: dict[str, NDArray[Any]] = {
        "row": rows[there],
        "pixels": np.array([pixels for pixels, _ in drawn.values()], dtype=np.uint8).reshape(
            -1, draw.height, THUMBNAIL_PX, 3
        ),
        "link": np.array([_link(videos, i) for i in there], dtype=np.str_),
    }
    if draw.strip_height:
        arrays["heard"] = np.array([heard for _, heard in drawn.values()], dtype=np.bool_)
    return arrays


class _VideoDrawing:
    """Draws what a run sees and hears of a video: a poster, and below it a strip of sound.

    strip_height: 0 for a run that does not listen.  height: of all, pixels.
    """

    def __init__(self, config: VideoConfig) -> None:
        strips = {"both": STRIP_PX, "audio": THUMBNAIL_PX, "visual": 0}
        self.strip_height = strips[config.modalities]
        self.height = self.strip_height + (THUMBNAIL_PX if config.modalities != "audio" else 0)
        self._log_mel: LogMel | None = None
        if self.strip_height:
            self._log_mel = LogMel(Sounds(mels=self.strip_height), torch.device("cpu"))

    def __call__(self, media: Media) -> tuple[NDArray[np.uint8], bool]:
        """media: one clip of one frame.  Returns (height, 64, 3), and whether it is heard."""
        pixels = np.empty((self.height, THUMBNAIL_PX, 3), dtype=np.uint8)
        heard = media.heard is not None and bool(media.heard[0])
        if media.pixels is not None:
            pixels[:THUMBNAIL_PX] = media.pixels[0, :, 0].permute(1, 2, 0).numpy()
        if media.sound is not None:
            strip = pixels[-self.strip_height :]
            strip[:] = self._spectrogram(media.sound[0]) if heard else WITHOUT_SOUND
        return pixels, heard

    def _spectrogram(self, sound: Tensor) -> NDArray[np.uint8]:
        """(strip_height, 64, 3), low tones at the bottom. sound: (samples,) int16.

        Zeros at both ends are left out: they stand for what is before and after the item, or for
        perfect silence, of which nothing is to be seen.
        """
        assert self._log_mel is not None
        lasting = torch.from_numpy(np.trim_zeros(sound.numpy()))
        missing = max(self._log_mel.sounds.window_samples - len(lasting), 0)
        levels = self._log_mel.decibels(pad(lasting, (0, missing))[None])
        columns = adaptive_max_pool1d(levels, THUMBNAIL_PX)[0].flip(0).numpy()
        loudest = max(float(columns.max()), FLOOR_DB + LEAST_CONTRAST_DB)
        quiet = float(np.quantile(columns, 0.25))
        faintest = np.clip(quiet, loudest - MOST_CONTRAST_DB, loudest - LEAST_CONTRAST_DB)
        return _coloured((columns - faintest) / (loudest - faintest))


def _coloured(loudness: NDArray[np.floating]) -> NDArray[np.uint8]:
    """(h, w) from 0 = silence to 1 -> (h, w, 3); beyond these the colour is the same."""
    stops = np.linspace(0, 1, len(_SILENT_TO_LOUD))
    channels = [np.interp(loudness, stops, channel) for channel in _SILENT_TO_LOUD.T]
    return np.stack(channels, axis=-1).round().astype(np.uint8)


def _link(videos: ClipFiles, i: int) -> str:
    """A URL of the file from which a browser plays item i, percent-encoded ASCII; "" in a shard.

    The folder is resolved, as a browser takes ".." for the folder in the name; the file is not,
    as a browser tells by its name what it is.
    """
    if not isinstance(videos.files, Files):
        return ""
    file = Path(videos.path(i))
    url = (file.parent.resolve() / file.name).as_uri()
    start, end = (_plain(seconds[i]) for seconds in (videos.start_seconds, videos.end_seconds))
    span = start + ("," + end if end else "")
    return f"{url}#t={span}" if span else url


def _plain(seconds: float) -> str:
    """Seconds as media fragments have them, without an exponent; nothing for NaN."""
    if np.isnan(seconds):
        return ""
    return np.format_float_positional(seconds, precision=3, trim="-")
