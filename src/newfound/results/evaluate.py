"""How good a discovery is, where the truth is known. Nothing here is read by training."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from newfound.errors import InputError


@dataclass(frozen=True)
class Match:
    """One Hungarian matching of discovered categories to true classes (section 4).

    truth, category: (m,) int, class and category of each matched pair, in the order of the
    classes.  counts: (C, K) int, items of class i in category j.
    """

    truth: np.ndarray
    category: np.ndarray
    counts: np.ndarray


def match(truth: np.ndarray, predicted: np.ndarray, classes: int, categories: int) -> Match:
    """The matching that makes most items correct, over all items at once.

    truth: (U,) int in 0..classes-1.  predicted: (U,) int in 0..categories-1.
    """
    cells = np.bincount(truth * categories + predicted, minlength=classes * categories)
    counts = cells.reshape(classes, categories)
    rows, columns = linear_sum_assignment(counts, maximize=True)
    return Match(rows, columns, counts)


def clustering_accuracy(truth: np.ndarray, predicted: np.ndarray) -> float:
    """ACC of section 4: the share of items correct under the best one-to-one matching, 0..1.

    truth, predicted: (U,) of any labels; their numbers of distinct values may differ.

    Of no items it is NaN. Raises InputError if the two are not of the same items, or the labels of
    one differ in kind, as texts with None among them.
    """
    of_truth, of_predicted = np.shape(truth), np.shape(predicted)
    if of_truth != of_predicted or len(of_truth) != 1:
        raise InputError(
            f"truth has the shape {of_truth} and predicted {of_predicted}; give one label for each "
            "item in both, (U,)"
        )
    if not len(truth):
        return math.nan
    classes, truth = _numbered(truth, "truth")
    categories, predicted = _numbered(predicted, "predicted")
    matched = match(truth, predicted, len(classes), len(categories))
    return float(matched.counts[matched.truth, matched.category].sum() / len(truth))


def _numbered(labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The distinct labels, and the place of each item's among them."""
    try:
        return np.unique(labels, return_inverse=True)
    except TypeError as error:
        raise InputError(
            f"the labels of {name} cannot be put in order ({error}); give numbers alone, or texts"
        ) from None


def scores(truth: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """ACC, NMI and ARI of a clustering. truth, predicted: (U,) of any labels."""
    return {
        "acc": clustering_accuracy(truth, predicted),
        "nmi": float(normalized_mutual_info_score(truth, predicted)),
        "ari": float(adjusted_rand_score(truth, predicted)),
    }


def assessment(
    truth: np.ndarray,
    predicted: np.ndarray,
    class_names: tuple[str, ...],
    category_names: tuple[str, ...],
) -> dict[str, object]:
    """`scores`, each category's own, and the confusion matrix with matched ones on its diagonal.

    truth, predicted: (U,) int, positions in the names.  JSON-ready.
    """
    matched = match(truth, predicted, len(class_names), len(category_names))
    rows = _matched_first(matched.truth, len(class_names))
    columns = _matched_first(matched.category, len(category_names))
    return {
        **scores(truth, predicted),
        "per_category": [
            _category_row(matched, int(i), int(j), class_names, category_names)
            for i, j in zip(matched.truth, matched.category)
        ],
        "confusion": {
            "truth": [class_names[i] for i in rows],
            "category": [category_names[j] for j in columns],
            "counts": matched.counts[np.ix_(rows, columns)].tolist(),
        },
    }


def _matched_first(matched: np.ndarray, total: int) -> list[int]:
    """The matched positions in their order, then those without a partner."""
    return [*matched.tolist(), *sorted(set(range(total)) - set(matched.tolist()))]


def _category_row(
    matched: Match, i: int, j: int, class_names: tuple[str, ...], category_names: tuple[str, ...]
) -> dict[str, object]:
    size, correct = int(matched.counts[:, j].sum()), int(matched.counts[i, j])
    in_class = int(matched.counts[i].sum())
    return {
        "category": category_names[j],
        "truth": class_names[i],
        "size": size,
        "correct": correct,
        "acc": correct / in_class if in_class else None,
    }
