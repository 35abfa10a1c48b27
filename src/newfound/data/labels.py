"""Labels as they are given, and as numbers."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from newfound.batch import UNLABELLED, UNLABELLED_AS_TEXT
from newfound.errors import InputError


def label_values(labels: ArrayLike | Sequence[Any]) -> list[Any]:
    """Labels as ints or strings, None = unlabelled. Raises InputError for any other type.

    Whole floats are ints, and NaN among them is a gap, as pandas makes of ints with gaps.
    """
    values = np.asarray(labels)
    if values.dtype.kind == "f":
        numbers = np.where(np.isnan(values), UNLABELLED, values)
        are_whole = np.isfinite(numbers) & (numbers == np.trunc(numbers))
        if not are_whole.all():
            raise _odd_label(float(numbers[~are_whole][0]))
        values = numbers.astype(np.int64)
    if values.dtype.kind == "U":  # as numpy makes of a number among texts, too
        values = np.asarray(labels, dtype=object)
    values = values.astype(object)
    if values.ndim != 1:
        raise InputError(f"the labels have the shape {values.shape}; give one axis, (n,)")
    given = [value for value in values if not _is_missing(value)]
    if given and all(_is_whole(value) for value in given):  # pandas' own have pd.NA for a gap
        whole = [UNLABELLED if _is_missing(value) else int(value) for value in values]
        values = np.array(whole, dtype=object)
    if all(_is_whole(value) for value in values):
        odd = [value for value in values if value < UNLABELLED]
        is_label = [value != UNLABELLED for value in values]
    else:
        odd = [value for value in values if not (_is_text(value) or _is_missing(value))]
        is_label = [isinstance(value, str) and bool(value.strip()) for value in values]
    if odd:
        raise _odd_label(odd[0])
    return [value if keep else None for value, keep in zip(values, is_label)]


def _odd_label(value: Any) -> InputError:
    return InputError(
        f"the labels hold {value!r}; give ints from 0 on with -1 for unlabelled, or strings "
        "with '' for unlabelled"
    )


def _is_whole(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def _is_text(value: Any) -> bool:
    """Whether it is text, and not what -1 becomes as text."""
    return isinstance(value, str) and value.strip() not in UNLABELLED_AS_TEXT


def _is_missing(value: Any) -> bool:
    """Whether it stands for no text: None, or what pandas makes of it."""
    return value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value))


def numbered(values: Sequence[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(n,) int64 numbers of the labels in their order, -1 for None; and the classes' names."""
    known = sorted({value for value in values if value is not None})
    number_of = {value: number for number, value in enumerate(known)}
    numbers = [number_of.get(value, UNLABELLED) for value in values]
    texts = (str(value).encode("utf-8", "backslashreplace").decode() for value in known)
    return np.array(numbers, dtype=np.int64), tuple(texts)
