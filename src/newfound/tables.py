"""What was found, as tables: one row per item, one row per category."""

import json
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.special import softmax
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE

MEMBERS_SHOWN = 24
"""At most so many typical and so many doubtful members are named for each category."""

MAP_ITEMS = 2000
"""A map of more items than this shows a sample: t-SNE slows down, and points hide each other."""


@dataclass(frozen=True)
class Categories:
    """The unlabelled items sorted into categories, which are numbered by falling size.

    names: (K,).  assigned: (n,) int64, category of each item.  probabilities: (n, K) float64 of
    phi_u, columns in the order of the names.
    """

    names: tuple[str, ...]
    assigned: np.ndarray
    probabilities: np.ndarray


def sort_into_categories(novel_logits: np.ndarray) -> tuple[Categories, np.ndarray]:
    """The arg max of phi_u, and which of its outputs each category is, (K,) int64.

    novel_logits: (n, K).
    """
    probabilities = softmax(novel_logits.astype(np.float64), axis=1)
    outputs = probabilities.shape[1]
    sizes = np.bincount(probabilities.argmax(axis=1), minlength=outputs)
    order = np.argsort(-sizes, kind="stable")
    ordered = probabilities[:, order]
    names = category_names(outputs)
    return Categories(names, ordered.argmax(axis=1), ordered), order


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
    best, second = np.sort(categories.probabilities, axis=1)[:, ::-1][:, :2].T
    order = np.argsort(categories.probabilities, axis=1, kind="stable")
    names = np.array(categories.names, dtype=object)
    return pd.DataFrame(
        {
            "path": paths,
            "category": names[categories.assigned],
            "confidence": best,
            "second": names[_second_best(order, categories.assigned)],
            "margin": best - second,
            "x": positions[:, 0],
            "y": positions[:, 1],
            "features_kmeans": kmeans_clusters,
        }
    )


def _second_best(order: np.ndarray, assigned: np.ndarray) -> np.ndarray:
    """(n, K) ascending order of probability -> the best category that is not the assigned one."""
    return np.where(order[:, -1] == assigned, order[:, -2], order[:, -1])


@dataclass(frozen=True)
class Members:
    """Rows of the items table: typical and doubtful members of one category, most so first."""

    typical: np.ndarray
    doubtful: np.ndarray


def choose_members(
    features: np.ndarray, margin: np.ndarray, assigned: np.ndarray, category: int
) -> Members:
    """Typical: nearest, by cosine, to the category's mean feature. Doubtful: least margin.

    features: (n, d).  margin: (n,).  assigned: (n,) int.  No item is both.
    """
    rows = np.flatnonzero(assigned == category)
    shown = min(MEMBERS_SHOWN, (len(rows) + 1) // 2)
    units = features[rows] / np.linalg.norm(features[rows], axis=1, keepdims=True).clip(1e-12)
    near = rows[np.argsort(-(units @ units.mean(axis=0)), kind="stable")] if len(rows) else rows
    typical = near[:shown]
    rest = np.setdiff1d(rows, typical)
    doubtful = rest[np.argsort(margin[rest], kind="stable")][:shown]
    return Members(typical, doubtful)


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
