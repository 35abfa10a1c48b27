"""One answer of two heads: the probability of every category, known and novel, for a new item.

phi_l and phi_u are trained apart, so their logits cannot be compared. Three things join them:

- a gate, P(novel | x): logistic regression on the features, fitted on labelled items against the
  unlabelled ones, whose membership in either set is no secret;
- P(known class | x, known): softmax of phi_l at a temperature fitted on held-out labelled items;
- P(novel category | x, novel): softmax of phi_u.

P(c | x) is the gate's share times the head's.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_softmax, softmax
from sklearn.linear_model import LogisticRegression

from newfound.blocks import spread

ENOUGH = 10_000
"""More items than this of either kind change neither the gate nor the temperature."""

FEWEST = 20
"""Of each known class the gate knows so many items, and the temperature of all together."""


@dataclass(frozen=True)
class Calibration:
    """temperature: of phi_l, > 0.  gate_weight: (d,) float64.  gate_bias: float."""

    temperature: float
    gate_weight: np.ndarray
    gate_bias: float


def rows_to_calibrate_on(labels: np.ndarray, held_out: np.ndarray) -> np.ndarray:
    """Rows of the labelled items to calibrate on, ascending: the held-out ones, and others too.

    Of a class with fewer than `FEWEST` held out some that were trained on join them: of what the
    gate has not seen as known it would say that it is new.

    labels: (n,) int64, -1 = unlabelled.  held_out: (n,) bool, of labelled items.
    """
    held, trained = np.flatnonzero(held_out), np.flatnonzero((labels >= 0) & ~held_out)
    n_held = np.bincount(labels[held], minlength=labels.max() + 1)
    by_class = trained[np.argsort(labels[trained], kind="stable")]
    edges = np.searchsorted(labels[by_class], np.arange(len(n_held) + 1))
    chosen = [held]
    for start, end, count in zip(edges, edges[1:], n_held):
        chosen.append(by_class[start + spread(end - start, max(0, FEWEST - count))])
    return np.sort(np.concatenate(chosen))


def calibrate(
    features: np.ndarray,
    known: np.ndarray,
    labels: np.ndarray,
    held_out: np.ndarray,
    unlabelled_features: np.ndarray,
) -> Calibration:
    """Fit the gate and the temperature, on at most `ENOUGH` labelled and as many unlabelled items.

    In the gate each known class has the same weight, and all of them together that of the
    unlabelled items: how many there are of a kind says nothing of a new file. The temperature is
    that of the held-out items, if there are `FEWEST`.

    features: (n, d), known: (n, C_l) logits, labels: (n,) in 0..C_l-1 and held_out: (n,) bool of
    labelled items, as `rows_to_calibrate_on` chooses them.  unlabelled_features: (m, d).
    """
    some = _spread_over_classes(labels)
    of_known, of_novel = features[some], _spread(unlabelled_features)
    rows, novel = np.vstack([of_known, of_novel]), np.ones(len(of_novel), dtype=np.int64)
    is_novel = np.concatenate([np.zeros(len(of_known)), novel])
    weights = np.concatenate([_balanced(labels[some]), _balanced(novel)])
    gate = LogisticRegression(max_iter=2000).fit(rows, is_novel, weights * len(rows) / 2)
    measured = np.flatnonzero(held_out) if held_out.sum() >= FEWEST else np.arange(len(labels))
    measured = measured[_spread_over_classes(labels[measured])]
    return Calibration(
        fit_temperature(known[measured], labels[measured]),
        gate.coef_[0].astype(np.float64),
        float(gate.intercept_[0]),
    )


def fit_temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """The temperature of least negative log-likelihood (Guo et al., ICML 2017), 0.05 to 20.

    logits: (n, C).  labels: (n,) in 0..C-1.
    """
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return float(-scaled[rows, labels].mean())

    found = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(found.x))


def one_answer(
    features: np.ndarray, known: np.ndarray, novel: np.ndarray, calibration: Calibration
) -> np.ndarray:
    """Probabilities over known classes, then novel categories; rows sum to 1.

    features: (n, d).  known: (n, C_l) and novel: (n, C_u) logits.  Returns (n, C_l + C_u) float64.
    """
    gate = expit(features @ calibration.gate_weight + calibration.gate_bias)[:, None]
    by_known = softmax(known.astype(np.float64) / calibration.temperature, axis=1)
    by_novel = softmax(novel.astype(np.float64), axis=1)
    return np.hstack([(1 - gate) * by_known, gate * by_novel])


def _balanced(labels: np.ndarray) -> np.ndarray:
    """Weights of the items, (n,), that are the same for each class in all and sum to one."""
    counts = np.bincount(labels)
    weights: np.ndarray = 1 / counts[labels] / np.count_nonzero(counts)
    return weights


def _spread_over_classes(labels: np.ndarray) -> np.ndarray:
    """Positions of at most `ENOUGH` of the items, ascending, of each class its share."""
    return np.sort(_spread(np.argsort(labels, kind="stable")))


def _spread(rows: np.ndarray) -> np.ndarray:
    """At most `ENOUGH` of the rows, evenly spread: neighbours may be of one class."""
    return rows[:: -(-len(rows) // ENOUGH)]
