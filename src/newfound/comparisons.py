"""k-means beside the categories of a run: on its features, on pixels, on what labels teach."""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from newfound.baselines.kmeans import kmeans, kmeans_in_blocks
from newfound.batch import Media
from newfound.config import VideoConfig
from newfound.data.clip_loader import StreamedClips
from newfound.finding import Finding
from newfound.results.evaluate import scores
from newfound.results.tables import Categories

PIXEL_BASELINE_PX = 32
"""k-means on pixels sees images shrunk to this side."""


def compare(
    finding: Finding, categories: Categories, clusters: np.ndarray
) -> dict[str, dict[str, float]]:
    """k-means on our features and the others there are: its scores, and how far it agrees.

    clusters: (n_unlabelled,) int, of k-means on our features.

    Those on pixels only where it can be scored, and not of videos that are decoded anew: that
    would be once more for this alone.
    """
    count, seed = len(categories.names), finding.config.seed
    found = {"kmeans_features": clusters}
    if finding.truth is not None and _has_pictures_at_hand(finding):
        of, n = partial(_plain_pixels, finding), len(categories.assigned)
        found["kmeans_pixels"] = kmeans_in_blocks(of, n, count, seed)
    if finding.labelled_only is not None:
        found["kmeans_labelled_only"] = kmeans(finding.labelled_only, count, seed)
    return {name: _compared(finding, categories, labels) for name, labels in found.items()}


def _compared(finding: Finding, categories: Categories, clusters: np.ndarray) -> dict[str, float]:
    agreement = {"agreement": scores(categories.assigned, clusters)["ari"]}
    if finding.truth is None:
        return agreement
    return scores(finding.truth.labels, clusters) | agreement


def _plain_pixels(finding: Finding, which: np.ndarray) -> Iterator[np.ndarray]:
    """Some of the unlabelled images, shrunk to at most 32 pixels, in blocks.

    which: positions among the unlabelled.  Yields (m, channels * side^2) float32.
    """
    rows = torch.from_numpy(finding.catalogue.unlabelled[which])
    side = min(finding.config.px, PIXEL_BASELINE_PX)
    for media in finding.media.batches(rows.split(max(1, 256 // finding.media.clips))):
        small = F.interpolate(_pictures(media, finding.media.clips), size=(side, side), mode="area")
        yield small.flatten(1).cpu().numpy()


def _has_pictures_at_hand(finding: Finding) -> bool:
    config = finding.config
    if not isinstance(config, VideoConfig):
        return True
    return config.modalities != "audio" and not isinstance(finding.media, StreamedClips)


def _pictures(media: Media, clips: int) -> Tensor:
    """One picture of each item, (B, channels, S, S) float32: of videos the mean of all frames."""
    assert media.pixels is not None, "compared by their pixels are only items with pictures"
    if media.pixels.ndim == 4:
        return media.pixels.float()
    of_clips = media.pixels.mean(dim=2, dtype=torch.float32)
    return of_clips.reshape(-1, clips, *of_clips.shape[1:]).mean(dim=1)
