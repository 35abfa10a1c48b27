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

ENOUGH = 10_000
"""More items than this of either kind change neither the gate nor the temperature."""


@dataclass(frozen=True)
class Calibration:
    """temperature: of phi_l, > 0.  gate_weight: (d,) float64.  gate_bias: float."""

    temperature: float
    gate_weight: np.ndarray
    gate_bias: float


def calibrate(
    features: np.ndarray, known: np.ndarray, labels: np.ndarray, unlabelled_features: np.ndarray
) -> Calibration:
    """Fit the gate and the temperature, on at most `ENOUGH` labelled and as many unlabelled items.

    features: (n, d), known: (n, C_l) logits and labels: (n,) in 0..C_l-1 of labelled items, held
    out where possible.  unlabelled_features: (m, d).
    """
    rows = np.vstack([_spread(features), _spread(unlabelled_features)])
    is_novel = np.arange(len(rows)) >= len(_spread(features))
    gate = LogisticRegression(class_weight="balanced", max_iter=2000).fit(rows, is_novel)
    return Calibration(
        fit_temperature(_spread(known), _spread(labels)),
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


def _spread(rows: np.ndarray) -> np.ndarray:
    """At most `ENOUGH` of the rows, evenly spread: neighbours may be of one class."""
    return rows[:: -(-len(rows) // ENOUGH)]
