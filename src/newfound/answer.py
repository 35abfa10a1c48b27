"""One answer of two heads: the probability of every category, known and novel, for a new item.

phi_l and phi_u are trained apart, so their logits cannot be compared. Three things join them:

- a gate, P(novel | x): logistic regression on the logits of both heads, fitted on labelled items
  against the unlabelled ones, whose membership in either set is no secret;
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
"""More items than this of either kind do not change the gate."""


@dataclass(frozen=True)
class Calibration:
    """temperature: of phi_l, > 0.  gate_weight: (C_l + C_u,) float64.  gate_bias: float."""

    temperature: float
    gate_weight: np.ndarray
    gate_bias: float


def calibrate(
    known: np.ndarray,
    labels: np.ndarray,
    novel: np.ndarray,
    unlabelled_known: np.ndarray,
    unlabelled_novel: np.ndarray,
) -> Calibration:
    """Fit the gate and the temperature.

    known: (n, C_l) and novel: (n, C_u), logits of labelled items, held out where possible, and
    labels: (n,) in 0..C_l-1; unlabelled_known and unlabelled_novel: those of unlabelled items.
    """
    labelled_rows = np.hstack([known, novel])[:ENOUGH]
    unlabelled_rows = np.hstack([unlabelled_known, unlabelled_novel])[:ENOUGH]
    is_novel = np.repeat([0, 1], [len(labelled_rows), len(unlabelled_rows)])
    gate = LogisticRegression(class_weight="balanced", max_iter=2000)
    gate.fit(np.vstack([labelled_rows, unlabelled_rows]), is_novel)
    return Calibration(
        fit_temperature(known, labels), gate.coef_[0].astype(np.float64), float(gate.intercept_[0])
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


def one_answer(known: np.ndarray, novel: np.ndarray, calibration: Calibration) -> np.ndarray:
    """Probabilities over known classes, then novel categories; rows sum to 1.

    known: (n, C_l) and novel: (n, C_u) logits.  Returns (n, C_l + C_u) float64.
    """
    gate = expit(np.hstack([known, novel]) @ calibration.gate_weight + calibration.gate_bias)
    return np.hstack(
        [
            (1 - gate)[:, None]
            * softmax(known.astype(np.float64) / calibration.temperature, axis=1),
            gate[:, None] * softmax(novel.astype(np.float64), axis=1),
        ]
    )
