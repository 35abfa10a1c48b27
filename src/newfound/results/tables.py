"""What was found, as tables: one row per item, one row per category."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

from newfound.blocks import blocks, mean_of
from newfound.results.two_best import TwoBest

MEMBERS_NAMED = 24
"""At most so many typical and so many doubtful members are named for each category."""

MEMBERS_SHOWN = 2400
"""Of so many members of all categories in all the report shows pictures, some 8 MB of the page."""

CATEGORIES_SHOWN = 1000
"""Of more categories than these the report shows the largest."""

MAP_ITEMS = 2000
"""A map of more items than this shows a sample: t-SNE slows down, and points hide each other."""

_BLOCK_VALUES = 2**22  # probabilities that are worked on at a time: 32 MB


@dataclass(frozen=True)
class Categories:
    """The unlabelled items sorted into categories, which are numbered by falling size.

    names: (K,).  order: (K,) int64, the output of phi_u that each category is.
    assigned, second: (n,) int64, the likeliest category of each item, and the likeliest of the
    others.  confidence, margin: (n,) float64, the probability of the one, and what it is above
    that of the other.  logits: (n, K) of phi_u, in the order of its outputs.
    """

    names: tuple[str, ...]
    order: np.ndarray
    assigned: np.ndarray
    second: np.ndarray
    confidence: np.ndarray
    margin: np.ndarray
    logits: np.ndarray

    def probabilities(self, rows: slice) -> np.ndarray:
        """(m, K) float64 of phi_u for the items of these rows, columns in the order of the names.

        Made when asked for: of all items at once they could take more memory than the features.
        """
        logits = self.logits[rows]
        probabilities = np.empty(logits.shape)
        for block in _blocks(logits):
            probabilities[block] = _softmax(logits[block])[:, self.order]
        return probabilities


def sort_into_categories(novel_logits: np.ndarray) -> Categories:
    """The arg max of phi_u. novel_logits: (n, K), kept."""
    outputs = novel_logits.shape[1]
    sizes = np.zeros(outputs, np.int64)
    for rows in _blocks(novel_logits):
        sizes += np.bincount(_softmax(novel_logits[rows]).argmax(axis=1), minlength=outputs)
    order = np.argsort(-sizes, kind="stable")
    two_best = TwoBest.joined(
        TwoBest.of(_softmax(novel_logits[rows])[:, order]) for rows in _blocks(novel_logits)
    )
    return Categories(category_names(outputs), order, *two_best, novel_logits)


def _blocks(logits: np.ndarray) -> Iterator[slice]:
    return blocks(len(logits), max(1, _BLOCK_VALUES // logits.shape[1]))


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers: np.ndarray = softmax(logits.astype(np.float64), axis=1)
    return powers


def category_names(count: int) -> tuple[str, ...]:
    """novel-1 .. novel-K, padded so that they sort as numbers."""
    digits = len(str(count))
    return tuple(f"novel-{i:0{digits}d}" for i in range(1, count + 1))


def items_table(
    paths: np.ndarray, categories: Categories, positions: np.ndarray, kmeans_clusters: np.ndarray
) -> pd.DataFrame:
    """One row per unlabelled item; the columns are those of `items.csv`.

    positions: (n, 2), NaN where the map has no place.  kmeans_clusters: (n,) int.
    """
    names = np.array(categories.names, dtype=object)
    return pd.DataFrame(
        {
            "path": paths,
            "category": names[categories.assigned],
            "confidence": categories.confidence,
            "second": names[categories.second],
            "margin": categories.margin,
            "x": positions[:, 0],
            "y": positions[:, 1],
            "features_kmeans": kmeans_clusters,
        }
    )


@dataclass(frozen=True)
class Members:
    """Rows of the items table: typical and doubtful members of one category, most so first."""

    typical: np.ndarray
    doubtful: np.ndarray


def choose_members(features: np.ndarray, categories: Categories) -> list[Members]:
    """Typical: nearest, by cosine, to the category's mean feature. Doubtful: least margin.

    features: (n, d).  Returns those of each category in order; no item is both.
    """
    by_category = np.argsort(categories.assigned, kind="stable")
    sizes = np.bincount(categories.assigned, minlength=len(categories.names))
    return [
        _members_among(rows, features, categories.margin)
        for rows in np.split(by_category, np.cumsum(sizes)[:-1])
    ]


def _members_among(rows: np.ndarray, features: np.ndarray, margin: np.ndarray) -> Members:
    if not len(rows):
        return Members(rows, rows)
    named = min(MEMBERS_NAMED, (len(rows) + 1) // 2)
    parts = [rows[block] for block in blocks(len(rows))]
    middle = mean_of(_directions(features[part]) for part in parts)
    nearness = np.concatenate([_directions(features[part]) @ middle for part in parts])
    typical = rows[np.argsort(-nearness, kind="stable")][:named]
    rest = np.setdiff1d(rows, typical)
    doubtful = rest[np.argsort(margin[rest], kind="stable")][:named]
    return Members(typical, doubtful)


def _directions(features: np.ndarray) -> np.ndarray:
    """Of length 1; zeros stay zeros."""
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    directions: np.ndarray = features / lengths.clip(1e-12)
    return directions


def pictures_each(categories: int) -> int:
    """How many typical and how many doubtful members of each category the report shows."""
    return max(1, min(MEMBERS_NAMED, MEMBERS_SHOWN // (2 * categories)))


def categories_table(
    items: pd.DataFrame, names: tuple[str, ...], members: list[Members]
) -> pd.DataFrame:
    """One row per category: category, size, mean_confidence, typical and doubtful members.

    members: one for each name, in their order; they become JSON lists of paths.
    """
    groups = items.groupby("category")["confidence"]
    paths = items["path"].to_numpy()
    return pd.DataFrame(
        {
            "category": names,
            "size": groups.size().reindex(names, fill_value=0).to_numpy(),
            "mean_confidence": groups.mean().reindex(names).to_numpy(),
            "typical": [_paths_json(paths[m.typical]) for m in members],
            "doubtful": [_paths_json(paths[m.doubtful]) for m in members],
        }
    )


def _paths_json(paths: np.ndarray) -> str:
    return json.dumps(paths.tolist(), ensure_ascii=False)


def map_positions(features: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE of the features, (n, 2) float64; NaN for items beyond a sample of `MAP_ITEMS`."""
    positions = np.full((len(features), 2), np.nan)
    rows = np.arange(len(features))
    if len(rows) > MAP_ITEMS:
        rows = np.sort(np.random.default_rng(seed).choice(rows, MAP_ITEMS, replace=False))
    sample = features[rows]
    # t-SNE needs neighbourhoods: not so few items, and not all at one point (it would crash).
    if len(rows) < 4 or not np.ptp(sample, axis=0).any():
        return positions
    components = min(50, *sample.shape)
    reduced = PCA(components, random_state=seed).fit_transform(sample)
    perplexity = min(30.0, (len(rows) - 1) / 3)
    positions[rows] = TSNE(
        perplexity=perplexity, init="pca", random_state=seed, n_jobs=1
    ).fit_transform(reduced)
    return positions
