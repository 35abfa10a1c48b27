"""Pairs and contrastive terms against their textbook forms: time, and memory at most."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks import textbook
from benchmarks.clock import Budget, Work, seconds, take_turns
from benchmarks.devices import devices
from benchmarks.memory import give_back_what_is_free, peak_mb, room
from benchmarks.results import CaseResult, Row, Size, Spread, times
from newfound.objective.contrastive import contrastive_losses
from newfound.objective.pairs import (
    cosine_similarity,
    nearest_neighbours,
    same_top,
    wta_agreement,
    wta_windows,
)

FEATURES, HASHES, WINDOW, TOP = 512, 512, 4, 5
"""ResNet-18's, and the paper's H and k (section 4); of Table 7's rank statistics the first 5."""
PROJECTION, TEMPERATURE, CLASSES = 128, 0.1, 5

_ROWS_TO_TRY = 16
_ROWS_TO_CHECK = 96


@dataclass(frozen=True)
class Extent:
    """seconds_at_most: of one enumeration; of what would take longer a part is measured.

    repeats: of each measurement of memory of ours.
    """

    rows: tuple[int, ...]
    budget: Budget
    seconds_at_most: float
    repeats: int


EXTENTS: dict[Size, Extent] = {
    "tiny": Extent((32,), Budget(0, 2), 1.0, 1),
    "default": Extent((128, 512, 2048, 4096, 8192), Budget(4, 15), 1.0, 1),
    "full": Extent((128, 256, 512, 1024, 2048, 4096, 8192), Budget(30, 15), 120.0, 3),
}


@dataclass(frozen=True)
class Given:
    """features: (M, d) float32.  windows: (H, k) int64."""

    features: Tensor
    windows: Tensor


@dataclass(frozen=True)
class Rule:
    """A rule of Table 7 and its textbook form.

    prepare: what is done for each item, compare: for each pair of the first n items and all, in
    which it takes `bytes_per_pair`; complete: what is left to do once all pairs are compared.
    """

    form: str
    ours: Callable[[Given], Tensor]
    prepare: Callable[[Given], Tensor]
    compare: Callable[[Tensor, int], Tensor]
    bytes_per_pair: int
    complete: Callable[[Tensor], Tensor] = lambda compared: compared


RULES: dict[str, Rule] = {
    "WTA agreement": Rule(
        form="codes (M, M, H)",
        ours=lambda given: wta_agreement(given.features, given.windows),
        prepare=lambda given: textbook.wta_codes(given.features, given.windows),
        compare=textbook.equal_codes,
        bytes_per_pair=(1 + 8) * HASHES,  # what is summed is made int64 first
    ),
    "rank statistics": Rule(
        form="ranks (M x M, d)",
        ours=lambda given: same_top(given.features, TOP),
        prepare=lambda given: textbook.ranked(given.features),
        compare=partial(textbook.equal_tops, top=TOP),
        bytes_per_pair=2 * 8 * FEATURES + 4 * 8 * TOP,
    ),
    "cosine": Rule(
        form="cosines (M, M, d)",
        ours=lambda given: cosine_similarity(given.features),
        prepare=lambda given: given.features,
        compare=textbook.cosines,
        bytes_per_pair=3 * 4 * FEATURES,
    ),
    "nearest neighbours": Rule(
        form="cosines (M, M, d)",
        ours=lambda given: nearest_neighbours(given.features),
        prepare=lambda given: given.features,
        compare=textbook.nearest,
        bytes_per_pair=3 * 4 * FEATURES,
        complete=lambda compared: (compared | compared.T).fill_diagonal_(True),
    ),
}

NCE_BYTES_PER_PAIR = 10 * 4
"""About so many (2N, 2N) float32 tensors has the plain form of NCE, with its gradient."""


def run(size: Size) -> CaseResult:
    """Every rule and NCE, at every number of rows, on every device."""
    extent = EXTENTS[size]
    rows: list[Row] = []
    notes: list[str] = []
    for device in devices():
        check(device)
        rows += [measured(name, n, device, extent) for name in RULES for n in extent.rows]
        for n in extent.rows:
            rows.append(measured_nce(n, device, extent))
            if rows[-1].theirs is None:
                notes.append(f"{rows[-1].what}: the plain form takes more memory than it may")
    if any("scaled" in row.against for row in rows):
        notes.append(
            "scaled: the textbook form would take more than a quarter of the free memory or "
            f"{extent.seconds_at_most:g} s; it was run for the first few anchors against all rows, "
            "and its time and memory are those times the inverse of their share"
        )
    return CaseResult(rows=rows, notes=notes)


def check(device: torch.device) -> None:
    """Raise AssertionError unless every fast form equals its textbook form, gradients too."""
    given = made(_ROWS_TO_CHECK, device)
    for rule in RULES.values():
        expected = rule.complete(rule.compare(rule.prepare(given), _ROWS_TO_CHECK))
        torch.testing.assert_close(rule.ours(given), expected, check_dtype=False)
    z, labels = made_projections(_ROWS_TO_CHECK, device)
    of_both = []
    for form in (our_nce, plain_nce):
        z.grad = None
        loss = form(z, labels)
        loss.backward()
        of_both.append((loss.detach(), z.grad))
    torch.testing.assert_close(of_both[0], of_both[1])


def measured(name: str, n: int, device: torch.device, extent: Extent) -> Row:
    """A rule for n items, and its textbook form for as many anchors as are to be had."""
    rule, given = RULES[name], made(n, device)
    anchors = anchors_to_compare(rule, given, device, extent.seconds_at_most)
    prepared = rule.prepare(given)
    our_seconds, preparing, comparing = take_turns(
        [
            lambda: rule.ours(given),
            lambda: rule.prepare(given),
            lambda: rule.compare(prepared, anchors),
        ],
        device,
        extent.budget,
    )
    give_back_what_is_free()  # before as much is taken elsewhere, and the next row needs more
    scale = n / anchors
    row = times(
        f"{name}, M = {n:,}, {device.type}",
        our_seconds,
        rule.form if anchors == n else f"{rule.form}, scaled from {anchors:,} anchors",
        [once + scale * part for once, part in zip(preparing, comparing)],
    )
    our_work, their_work = (
        partial(work, name=name, device=device) for work in (ours_of, textbook_of)
    )
    theirs = peak_mb(partial(their_work, anchors=anchors), n, device)
    return row.model_copy(
        update={
            "peak_mb": Spread.of([peak_mb(our_work, n, device) for _ in range(extent.repeats)]),
            "their_peak_mb": Spread.of([scale * theirs]),
        }
    )


def anchors_to_compare(rule: Rule, given: Given, device: torch.device, at_most: float) -> int:
    """All, or the power of two whose comparison fits into `room` and `at_most` seconds."""
    n = len(given.features)
    prepared = rule.prepare(given)
    few = min(_ROWS_TO_TRY, n)
    rule.compare(prepared, few)
    seconds_each = seconds(lambda: rule.compare(prepared, few), device) / few
    affordable = min(room(device) / (rule.bytes_per_pair * n), at_most / seconds_each)
    if affordable >= n:
        return n
    return int(2 ** max(int(affordable).bit_length() - 1, 0))


def measured_nce(n: int, device: torch.device, extent: Extent) -> Row:
    """NCE-I and NCE-C of n rows with their gradient; the plain form as far as it fits."""
    what = f"NCE-I + NCE-C with gradient, 2N = {n:,}, {device.type}"
    z, labels = made_projections(n, device)
    forms = [our_nce, plain_nce][: 2 if NCE_BYTES_PER_PAIR * n * n < room(device) else 1]
    taken = take_turns(
        [partial(nce_with_gradient, form, z, labels) for form in forms], device, extent.budget
    )
    give_back_what_is_free()
    of_forms = [
        Spread.of(
            [
                peak_mb(partial(nce_of, form=form, device=device), n, device)
                for _ in range(extent.repeats)
            ]
        )
        for form in forms
    ]
    if len(forms) == 1:
        ours = Spread.of([1e3 * taken_once for taken_once in taken[0]])
        return Row(what=what, unit="ms", ours=ours, peak_mb=of_forms[0])
    return times(what, taken[0], "exp, sum, log", taken[1]).model_copy(
        update={"peak_mb": of_forms[0], "their_peak_mb": of_forms[1]}
    )


def made(n: int, device: torch.device) -> Given:
    """Items of eight kinds, so that there are pairs to be found; no feature is tied."""
    generator = torch.Generator().manual_seed(0)
    kinds = torch.randn(8, FEATURES, generator=generator)
    noise = torch.randn(n, FEATURES, generator=generator)
    features = kinds[torch.arange(n) % 8] + 0.05 * noise
    return Given(features.to(device), wta_windows(FEATURES, HASHES, WINDOW, generator).to(device))


def made_projections(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """(n, D) of unit length that wants a gradient, and (n,) labels, half of them -1."""
    generator = torch.Generator().manual_seed(0)
    z = F.normalize(torch.randn(n, PROJECTION, generator=generator), dim=1).to(device)
    item = torch.arange(n // 2, device=device)
    labels = torch.where(item % 2 == 0, -1, item // 2 % CLASSES)
    return z.requires_grad_(), labels.repeat(2)


def our_nce(z: Tensor, labels: Tensor) -> Tensor:
    """Eq. 3 as newfound computes it."""
    instance, category = contrastive_losses({"visual": z}, labels, temperature=TEMPERATURE)
    return instance + category


def plain_nce(z: Tensor, labels: Tensor) -> Tensor:
    """Eq. 3 by its textbook form."""
    instance, category = textbook.nce(z, z, labels, TEMPERATURE)
    return instance + category


def nce_with_gradient(form: Callable[[Tensor, Tensor], Tensor], z: Tensor, labels: Tensor) -> None:
    """As in a training step."""
    z.grad = None
    form(z, labels).backward()


def ours_of(n: int, name: str, device: torch.device) -> Work:
    """A rule's work on n items, for `peak_mb`."""
    given = made(n, device)
    return lambda: RULES[name].ours(given)


def textbook_of(n: int, name: str, device: torch.device, anchors: int) -> Work:
    """The textbook form's, for `peak_mb`."""
    rule, given = RULES[name], made(n, device)
    return lambda: rule.compare(rule.prepare(given), min(anchors, n))


def nce_of(n: int, form: Callable[[Tensor, Tensor], Tensor], device: torch.device) -> Work:
    """NCE's, for `peak_mb`."""
    z, labels = made_projections(n, device)
    return partial(nce_with_gradient, form, z, labels)
