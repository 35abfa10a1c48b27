"""What a run shows that its owner should know before trusting it, in plain words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd

from newfound.config import Method, Pairs
from newfound.training.churn import RESTLESS, LastChurn, last_churn

SURE = 0.8
"""The confidence from which an item counts as sure, here and in the report."""

NEARLY_EMPTY = 0.1  # of the size that every category would have if all were equal
FEW_SURE = 0.5  # of all items
CLOSE_MARGIN = 0.5  # the best category at most 0.75, the second at least 0.25 with two in play
CLOSE_SHARE = 0.5  # of either category's members
COLLAPSED = 0.6  # entropy, share of log C_u; five categories of which only two are used have 0.43
RISING = 1.5  # times the churn of the stretch before
STILL = 0.02  # churn below this is rest, however it rose
FALLEN = 0.03  # accuracy
# Of the pairs taken for one category; see "what decides the order" in docs/LOG.md.
MOSTLY_WRONG = 0.5
SOME_PAIRS = 0.01  # of all pairs

NAMED = 10
"""A warning is about at most so many categories or pairs by name, and counts the others."""


def find_warnings(
    items: pd.DataFrame,
    categories: Sequence[str],
    epochs: Sequence[Mapping[str, Any]],
    noun: str,
    method: Method = "ours",
    pairs: Pairs = "wta",
    head_changed_since: bool = False,
    known: Sequence[tuple[str, str, float]] = (),
) -> list[str]:
    """Sentences that each say what is wrong, with numbers, and what to do; [] if nothing is.

    items: one row per unlabelled item with the columns category, confidence (0-1), second (a
    category) and margin (0-1, confidence less the second's).  categories: all C_u names, those
    without members too.  epochs: the log's `epoch` records in order, possibly none.
    noun: what an item is called.  method, pairs: by which they were found; not every cure is one
    for all.  head_changed_since: the novel head is no longer what the epochs left (see `settling`),
    whose evenness and accuracy then tell nothing of the table.  known: categories that may be known
    classes, with these and the share of their members that phi_l gives to them.
    """
    churn = last_churn(epochs)
    is_restless = churn is not None and churn.last > RESTLESS
    small, twins = _small(items, categories), _twins(items, categories)
    fewer = max(len(categories) - len(small) - _merged(twins, small.index), 2)
    return [
        *_nearly_empty(small, len(items), len(categories), fewer, noun, is_restless),
        *_alike(twins, len(categories), fewer, noun),
        *_known(known, noun),
        *(() if head_changed_since else _collapse(epochs, method, pairs)),
        *_wrong_pairs(epochs, noun, method),
        *_few_sure(items, noun),
        *_restless(churn, noun, method, head_changed_since),
        *(() if head_changed_since else _fallen(epochs, method)),
    ]


def _small(items: pd.DataFrame, categories: Sequence[str]) -> "pd.Series[int]":
    """The sizes of the categories that are empty or nearly so."""
    sizes = items["category"].value_counts().reindex(list(categories), fill_value=0)
    return sizes[sizes < NEARLY_EMPTY * len(items) / len(categories)]


def _nearly_empty(
    small: "pd.Series[int]", items: int, categories: int, fewer: int, noun: str, is_restless: bool
) -> Iterator[str]:
    """fewer: how many categories there may be."""
    if small.empty:
        return
    counts = ", ".join(f"{name} ({size:,})" for name, size in small.head(NAMED).items())
    if len(small) > NAMED:
        counts += f" and {len(small) - NAMED:,} more"
    if fewer == categories:
        advice = "Training for more --epochs may part them."
    elif is_restless:  # what is one category now may come apart yet
        advice = (
            "As training had not settled, train for more --epochs first; if it stays so, there are "
            f"perhaps fewer new categories: try --num-novel {fewer}."
        )
    else:
        advice = f"Perhaps there are fewer new categories: try --num-novel {fewer}."
    yield (
        f"{len(small)} of {categories} categories are empty or nearly so: {counts}, where an "
        f"even split would give {items / categories:,.0f} {noun}s each. {advice}"
    )


class _Twins(NamedTuple):
    """Two categories, and the share of each whose members name the other one a close second."""

    one: str
    other: str
    of_one: float
    of_other: float


def _twins(items: pd.DataFrame, categories: Sequence[str]) -> list[_Twins]:
    """Pairs of categories most of whose members name the other one a close second, in order."""
    sizes = items["category"].value_counts()
    close = items[items["margin"] < CLOSE_MARGIN]
    named = close.groupby(["category", "second"]).size().reset_index(name="count")
    share = {
        (one, other): count / sizes[one] for one, other, count in named.itertuples(index=False)
    }
    place = {name: position for position, name in enumerate(categories)}
    twins = [
        _Twins(one, other, towards, share[other, one])
        for (one, other), towards in share.items()
        if place[one] < place[other] and min(towards, share.get((other, one), 0)) >= CLOSE_SHARE
    ]
    return sorted(twins, key=lambda pair: (place[pair.one], place[pair.other]))


def _merged(twins: Sequence[_Twins], besides: Iterable[str]) -> int:
    """By how many there are fewer categories if all twins are one, those besides not counted."""
    one_of: dict[str, str] = {}

    def first(name: str) -> str:
        while name in one_of:
            name = one_of[name]
        return name

    left_out = set(besides)
    for one, other, *_ in twins:
        if not left_out & {one, other} and first(one) != first(other):
            one_of[first(other)] = first(one)
    return len(one_of)


def _alike(twins: Sequence[_Twins], categories: int, fewer: int, noun: str) -> Iterator[str]:
    """fewer: as for `_nearly_empty`."""
    advice = f"try --num-novel {fewer}" if categories > 2 else "it is the only one"
    for one, other, of_one, of_other in twins[:NAMED]:
        yield (
            f"{one} and {other} may be one category: {of_one:.0%} of the first and "
            f"{of_other:.0%} of the second could almost as well be in the other. Compare "
            f"their {noun}s; if they are the same, {advice}."
        )
    if len(twins) > NAMED:
        yield (
            f"{len(twins) - NAMED:,} more pairs of categories may be one each: in items.csv most "
            f"of their {noun}s have the other as second, with a margin below {CLOSE_MARGIN:g}."
        )


def _known(known: Sequence[tuple[str, str, float]], noun: str) -> Iterator[str]:
    for category, name, share in known[:NAMED]:
        yield (
            f"{category} may be the known class {name!r}, or hold much of it: by what was learnt "
            f"of the known classes {share:.0%} of its {noun}s are of that one, and their features "
            f"are hardly told from those of its labelled {noun}s. The method takes it that no "
            f"unlabelled {noun} is of a known class. Compare them, move those that are to the "
            "labelled ones (newfound predict names them), and discover again; with one --num-novel "
            "less if few are left."
        )
    if len(known) > NAMED:
        others = ", ".join(f"{category} ({name!r})" for category, name, _ in known[NAMED:])
        yield f"Likewise these: {others}."


_FEWER_PAIRS: dict[Pairs, str] = {
    "wta": "raise --mu, or with --mu share lower --share-factor",
    "cosine": "raise --cosine-threshold, or with --mu share lower --share-factor",
    "rank": "raise --rank-top",
    "nearest": "give other --pairs",
}


def _collapse(epochs: Sequence[Mapping[str, Any]], method: Method, pairs: Pairs) -> Iterator[str]:
    entropy = epochs[-1].get("entropy") if epochs else None
    advice = (
        f"Too many pairs are probably taken for alike: {_FEWER_PAIRS[pairs]}."
        if method == "ours"
        else "Another --pretraining or --method may do better."
    )
    if entropy is not None and entropy < COLLAPSED:
        yield (
            f"The result has collapsed into few categories: the evenness of the predictions is "
            f"{entropy:.2f}, where 1 is an even split and 0 a single category. {advice}"
        )


def _wrong_pairs(epochs: Sequence[Mapping[str, Any]], noun: str, method: Method) -> Iterator[str]:
    """How the pairs of labelled items would have been judged, whose classes are known."""
    last = epochs[-1] if epochs else {}
    right, share = last.get("pairs_precision"), last.get("pairs_labelled_share")
    if right is None or share is None or share < SOME_PAIRS or right >= MOSTLY_WRONG:
        return
    advice = (
        f"Train for more --epochs. Where each {noun} is known by something else than its category, "
        "as by colours of its own, a smaller --instance-weight (0.1) or --grey 1 may help, which "
        "newfound tune compares on your known classes; --method kcl rests on the labels instead."
        if method == "ours"
        else "Another --pretraining or --method may do better."
    )
    yield (
        f"Of the pairs of labelled {noun}s that would have been taken for one category, only "
        f"{right:.0%} are of one class, so that the new categories were probably taught by pairs "
        f"most of which are wrong. {advice}"
    )


def _few_sure(items: pd.DataFrame, noun: str) -> Iterator[str]:
    sure = int((items["confidence"] >= SURE).sum())
    if sure < FEW_SURE * len(items):
        yield (
            f"Few {noun}s are placed with confidence: {sure:,} of {len(items):,} reach "
            f"{SURE:.0%}. Training for more --epochs usually helps; treat the table as a "
            f"first sorting until then."
        )


def _restless(
    churn: LastChurn | None, noun: str, method: Method, head_changed_since: bool
) -> Iterator[str]:
    """Categories that still change at the end, measured over the last tenth of the epochs."""
    if churn is None:
        return
    stretch, last, before = churn
    since = "The novel head has settled since, on the features as they were. " * head_changed_since
    if last > max(STILL, RISING * before):
        yield (
            f"Training grew restless at its end: in the last {stretch} epochs {last:.1%} of the "
            f"{noun}s changed category per epoch, up from {before:.1%} in the {stretch} before. "
            + since
            + (
                "A smaller --ramp-scale keeps the contrastive term, which steadies it, to the end."
                if method == "ours"
                else "Another --seed tells whether that was chance."
            )
        )
    elif last > RESTLESS:
        yield (
            f"Training had not settled: in the last {stretch} epochs {last:.1%} of the {noun}s "
            f"still changed category per epoch. {since}Train for more --epochs."
        )


def _fallen(epochs: Sequence[Mapping[str, Any]], method: Method) -> Iterator[str]:
    known = [record for record in epochs if record.get("novel_acc") is not None]
    if not known:
        return
    best, last = max(known, key=lambda record: record["novel_acc"]), known[-1]
    if best["novel_acc"] - last["novel_acc"] > FALLEN:
        yield (
            f"The accuracy seen in training fell before the end, from {best['novel_acc']:.1%} at "
            f"epoch {best['epoch']} to {last['novel_acc']:.1%} at epoch {last['epoch']}. "
            + (
                "The contrastive term fades as training goes on; a smaller --ramp-scale keeps it "
                "alive to the end. Compare two runs of newfound tune, with it and without, which "
                "choose by known classes: nothing may be chosen by the labels of this figure."
                if method == "ours"
                else "Another --seed tells whether that was chance."
            )
        )
