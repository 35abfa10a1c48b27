"""Which discovered categories may be known classes after all, or hold much of one.

The method takes it that no unlabelled item is of a known class (section 3), and sorts those that
are into categories like all others. Such a category gives itself away: phi_l gives all but all of
it to one known class, and its features cannot be told from those of that class's labelled items.
The second is asked by a classifier two-sample test (Lopez-Paz & Oquab, ICLR 2017).
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from newfound.blocks import spread
from newfound.results.inference import Answers

ONE_CLASS = 0.9  # of a category's members
HARDLY_TOLD = 0.77  # area under the ROC curve; 0.5 is by chance
"""Both are between known classes hidden among the new and new ones; see docs/LOG.md."""

FEWEST = 10
"""Of fewer items than this, on either side, nothing is said."""

ENOUGH = 300
"""More items than this, on either side, are not needed to tell two things apart."""


class Alike(NamedTuple):
    """A category and the known class that it may be, by number.

    share: of its members that phi_l gives to that class, 0..1.
    """

    category: int
    known: int
    share: float


def known_among_new(
    unlabelled: Answers, assigned: np.ndarray, labelled: Answers, labels: np.ndarray
) -> Iterator[Alike]:
    """Categories, in order, that may be known classes.

    unlabelled: of n items.  assigned: (n,) int64, their categories.  labelled: of m labelled items,
    best such as were not trained on.  labels: (m,) int64, their classes.
    """
    by_category = np.argsort(assigned, kind="stable")
    sizes = np.bincount(assigned)
    for category, members in enumerate(np.split(by_category, np.cumsum(sizes)[:-1])):
        if len(members) < FEWEST:
            continue
        votes = np.bincount(unlabelled.known[members].argmax(axis=1))
        known, share = int(votes.argmax()), float(votes.max() / len(members))
        of_class = labelled.features[labels == known]
        if share >= ONE_CLASS and len(of_class) >= FEWEST:
            of_members = unlabelled.features[members]
            if told_apart(_some(of_members), _some(of_class)) < HARDLY_TOLD:
                yield Alike(category, known, share)


def told_apart(one: np.ndarray, other: np.ndarray) -> float:
    """How well a linear classifier tells two sets of features apart that it was not fitted on.

    one: (n, d), other: (m, d), five or more each.  Returns the area under the ROC curve, about 0.5
    for samples of one distribution, 1 for such as never mix.
    """
    features = np.concatenate([one, other])
    is_other = np.arange(len(features)) >= len(one)
    folds = StratifiedKFold(5, shuffle=True, random_state=0)
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=500)
    )
    evidence = cross_val_predict(
        classifier, features, is_other, cv=folds, method="decision_function"
    )
    return float(roc_auc_score(is_other, evidence))


def _some(features: np.ndarray) -> np.ndarray:
    some: np.ndarray = features[spread(len(features), ENOUGH)]
    return some
