"""A column of texts in little memory: the names and paths of a million items."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from typing import Any, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_AT_ONCE = 65_536  # texts that are Python objects at a time

BYTES = pa.large_binary()
"""Arrow's type of texts: bytes with offsets of 64 bits, so that no column is too long."""


class Texts(Sequence[str]):
    """n texts that never change, each one of a few beginnings and an ending of its own.

    A text takes its ending and 12 bytes. Of paths the beginnings are the folders, and names of
    items share the endings of their paths. Bytes that are not UTF-8 appear as surrogates, as
    paths have them (`os.fsdecode`).

    One row gives a str; several (a slice, or an array or list of numbers or of bools) give an
    array of them, (m,) object. `subset` stays columns.
    """

    def __init__(self, texts: Iterable[str | bytes | os.PathLike[str]]) -> None:
        endings = column(texts)
        self._set(column([b""]), np.zeros(len(endings), dtype=np.int32), endings)

    @classmethod
    def composed(
        cls,
        beginnings: pa.LargeBinaryArray,
        beginning_of: NDArray[np.int32],
        endings: pa.LargeBinaryArray,
    ) -> "Texts":
        """beginnings[beginning_of[i]] + endings[i] for each i.

        beginning_of: (n,) int32.  beginnings, endings: any number and n of them, see `column`.
        """
        texts = cls.__new__(cls)
        texts._set(beginnings, beginning_of, endings)
        return texts

    @classmethod
    def joined(cls, parts: "Sequence[Texts]") -> "Texts":
        """The texts of all parts, one part after the other."""
        nothing = cls.composed(column([]), np.zeros(0, dtype=np.int32), column([]))
        parts = [nothing, *parts]
        firsts = np.cumsum([0, *(len(part._beginnings) for part in parts)], dtype=np.int32)
        return cls.composed(
            pa.concat_arrays([part._beginnings for part in parts]),
            np.concatenate([part._beginning_of + first for part, first in zip(parts, firsts)]),
            pa.concat_arrays([part._endings for part in parts]),
        )

    def _set(
        self,
        beginnings: pa.LargeBinaryArray,
        beginning_of: NDArray[np.int32],
        endings: pa.LargeBinaryArray,
    ) -> None:
        assert beginning_of.dtype == np.int32 and beginning_of.shape == (len(endings),)
        self._beginnings = beginnings
        self._beginning_of = beginning_of
        self._endings = endings

    def __len__(self) -> int:
        return len(self._endings)

    @overload
    def __getitem__(self, rows: int) -> str: ...
    @overload
    def __getitem__(self, rows: slice | list[int] | NDArray[Any]) -> Any: ...
    def __getitem__(self, rows: Any) -> Any:
        if isinstance(rows, int | np.integer):
            row = range(len(self))[int(rows)]
            beginning = self._beginnings[int(self._beginning_of[row])].as_py()
            return os.fsdecode(beginning + self._endings[row].as_py())
        if not isinstance(rows, slice):
            rows = np.arange(len(self))[rows]
        return np.array([*self.subset(rows)], dtype=object)

    def __iter__(self) -> Iterator[str]:
        for at in range(0, len(self), _AT_ONCE):
            yield from decoded(self.flat(slice(at, at + _AT_ONCE)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        array: NDArray[Any] = self[:]
        return array if dtype is None else array.astype(dtype)

    def __repr__(self) -> str:
        return f"Texts({[*self[:3]]}, {len(self):,} in all)"

    def tolist(self) -> list[str]:
        """All as a list."""
        return [*self]

    def subset(self, rows: NDArray[np.int64] | slice) -> "Texts":
        """The texts of these rows, in their order."""
        if isinstance(rows, slice):
            endings = self._endings[rows]
        else:
            endings = self._endings.take(pa.array(rows, pa.int64()))
        return Texts.composed(self._beginnings, self._beginning_of[rows], endings)

    @property
    def beginnings(self) -> list[str]:
        """The beginnings, those too that no text has."""
        return [os.fsdecode(beginning) for beginning in self._beginnings.to_pylist()]

    def begun_with(self, beginnings: Sequence[str]) -> "Texts":
        """The same endings after other beginnings, one for each; the endings are shared."""
        assert len(beginnings) == len(self._beginnings)
        return Texts.composed(column(beginnings), self._beginning_of, self._endings)

    @cached_property
    def is_utf8(self) -> bool:
        """Whether all is valid UTF-8."""
        return _is_utf8(self._beginnings) and _is_utf8(self._endings)

    @cached_property
    def are_unique(self) -> bool:
        """Whether no text is there twice."""
        hashes = np.sort(np.fromiter(map(hash, self), dtype=np.int64, count=len(self)))
        return not (hashes[1:] == hashes[:-1]).any() or len(set(self)) == len(self)

    def flat(self, rows: slice = slice(None)) -> pa.LargeBinaryArray:
        """The whole texts of these rows as one column of Arrow."""
        begun = self._beginnings.take(pa.array(self._beginning_of[rows]))
        nothing = pa.scalar(b"", BYTES)
        return pc.binary_join_element_wise(begun, self._endings[rows], nothing)


def column(texts: Iterable[str | bytes | os.PathLike[str]]) -> pa.LargeBinaryArray:
    """Texts as a column of Arrow's, made of a few at a time."""
    parts = []
    waiting: list[bytes] = []
    for text in texts:
        waiting.append(os.fsencode(text))
        if len(waiting) == _AT_ONCE:
            parts.append(pa.array(waiting, BYTES))
            waiting.clear()
    return pa.concat_arrays([*parts, pa.array(waiting, BYTES)])


def decoded(texts: pa.LargeBinaryArray) -> list[str]:
    """A column of Arrow's as a list; bytes that are not UTF-8 appear as surrogates."""
    try:
        return texts.cast(pa.large_string()).to_pylist()  # type: ignore[no-any-return]
    except pa.ArrowInvalid:
        return [os.fsdecode(text) for text in texts.to_pylist()]


def _is_utf8(texts: pa.LargeBinaryArray) -> bool:
    try:
        texts.cast(pa.large_string())
    except pa.ArrowInvalid:
        return False
    return True
