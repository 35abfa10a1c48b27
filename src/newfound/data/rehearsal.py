"""A discovery problem made of labelled items only, to choose settings on (section 4.4).

Some of the known classes are treated as if they were unlabelled, and because their labels are
there, what was found can be scored. The unlabelled items of the data set take no part in it.
"""

from dataclasses import replace

import numpy as np

from newfound.batch import UNLABELLED
from newfound.data.catalogue import Catalogue, Truth, check_num_novel
from newfound.errors import InputError


def hidden_classes(classes: int, num_novel: int) -> int:
    """How many of so many known classes are taken as unlabelled; they are the last ones.

    As many as the run has novel ones, or half of them where they are fewer. Raises InputError
    with fewer than 4 classes, as 2 must stay known and 2 are to be discovered.
    """
    check_num_novel(num_novel)
    if classes < 4:
        raise InputError(
            "two known classes are to stay known and two are taken as unlabelled, which takes at "
            f"least 4 labelled classes to choose by, there are {classes}; label more, or "
            "do without: newfound discover takes --mu share or a number"
        )
    return min(num_novel, classes // 2)


def pretend(catalogue: Catalogue, num_novel: int) -> tuple[Catalogue, Truth]:
    """The labelled items of a catalogue as a data set of its own, and the truth of that.

    The last classes of those with items to train on are unlabelled in it (`hidden_classes`).
    Held-out items of the classes that stay known are still held out; those of the hidden classes
    are left out, so that no item that is kept to measure on takes part in the choice.
    Nothing of an unlabelled item is read. Raises InputError as `hidden_classes` does.
    """
    present = np.unique(catalogue.labels[catalogue.labelled])
    known = len(present) - hidden_classes(len(present), num_novel)
    is_known = np.isin(catalogue.labels, present[:known])
    is_hidden = np.isin(catalogue.labels, present[known:]) & ~catalogue.held_out
    rehearsed = catalogue.subset(np.flatnonzero(is_known | is_hidden))
    numbers = np.searchsorted(present, rehearsed.labels)
    names = tuple(catalogue.class_names[label] for label in present)
    return (
        replace(
            rehearsed,
            labels=np.where(numbers < known, numbers, UNLABELLED),
            class_names=names[:known],
            missing=0,
        ),
        Truth(numbers[numbers >= known] - known, names[known:]),
    )
