"""Eqs. 1-3 against nested loops, closed forms and properties."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn.functional import normalize

from newfound.objective import contrastive as module
from newfound.objective.contrastive import contrastive_losses, nce_of_anchors
from reference import equations
from reference.compare import assert_twins, gradients_of

ITEM_LABELS = {
    "mixed": [0, -1, 1, 0, -1],
    "no labelled": [-1, -1, -1],
    "no unlabelled": [1, 0, 1, 2],
    "each label once": [2, 0, 1],
    "one label": [1, 1, 1],
    "one unlabelled item": [-1],
    "one labelled item": [0],
}
labels_of_a_batch = pytest.mark.parametrize("labels", ITEM_LABELS.values(), ids=ITEM_LABELS)
both_precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
seeds = st.integers(0, 2**31)
some_labels = st.lists(st.integers(-1, 2), min_size=1, max_size=6)


def unit_rows(rows: int, seed: int, size: int = 4) -> Tensor:
    """(rows, size) float64 directions."""
    generator = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(rows, size, generator=generator, dtype=torch.float64))


def contrastive_terms(z: Tensor, row_labels: Tensor, tau: float) -> tuple[Tensor, Tensor]:
    return nce_of_anchors(z, z, row_labels, temperature=tau)


def instance_terms(z: Tensor, tau: float) -> Tensor:
    return contrastive_terms(z, torch.full((len(z),), -1), tau)[0]


def contrastive(z: Tensor, row_labels: Tensor, tau: float) -> Tensor:
    instance, category = contrastive_losses({"visual": z}, row_labels, temperature=tau)
    return instance + category


@both_precisions
@pytest.mark.parametrize("tau", [0.05, 0.5, 1.0])
@pytest.mark.parametrize("items", [1, 2, 5])
def test_instance_discrimination_is_equation_1(items: int, tau: float, dtype: torch.dtype) -> None:
    assert_twins(
        lambda z: instance_terms(z, tau),
        lambda z: torch.stack([equations.nce_instance(z, i, tau) for i in range(len(z))]),
        unit_rows(2 * items, seed=items),
        dtype=dtype,
    )


@both_precisions
@labels_of_a_batch
def test_category_discrimination_is_equation_2(labels: list[int], dtype: torch.dtype) -> None:
    rows = labels + labels
    assert_twins(
        lambda z: contrastive_terms(z, torch.tensor(rows), 0.2)[1],
        lambda z: torch.stack([equations.nce_category(z, rows, i, 0.2) for i in range(len(rows))]),
        unit_rows(len(rows), seed=len(rows)),
        dtype=dtype,
    )


@pytest.mark.parametrize("across", [True, False])
@labels_of_a_batch
def test_blocks_of_anchors_are_all_at_once(
    labels: list[int], across: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In values and gradients, also where the last block is a smaller one."""
    rows = torch.tensor(labels + labels)
    heard = torch.arange(len(labels)).remainder(3).ne(2).repeat(2)
    others = unit_rows(len(rows), seed=1)

    def losses(z: Tensor) -> Tensor:
        g1 = others.to(z.dtype) if across else z
        terms = nce_of_anchors(z, g1, rows, heard, temperature=0.2, across=across)
        return torch.cat(terms)

    def in_blocks(z: Tensor) -> Tensor:
        with monkeypatch.context() as patch:
            patch.setattr(module, "ANCHORS_AT_ONCE", 4)
            return losses(z)

    assert_twins(in_blocks, losses, unit_rows(len(rows), seed=2))


def test_many_rows_fit_and_are_stable() -> None:
    """8,192 rows at a sharp temperature: float32 against float64, in a bounded memory."""
    rows = torch.arange(8192).remainder(7).sub(1)
    z = unit_rows(8192, seed=0, size=16)
    with torch.no_grad():
        exact = nce_of_anchors(z, z, rows, temperature=0.01)
        single = nce_of_anchors(z.float(), z.float(), rows, temperature=0.01)
    for term, of_float32 in zip(exact, single):
        torch.testing.assert_close(of_float32.double(), term, atol=1e-3, rtol=1e-5)


@both_precisions
@labels_of_a_batch
def test_their_mean_over_anchors_is_equation_3(labels: list[int], dtype: torch.dtype) -> None:
    rows = labels + labels
    assert_twins(
        lambda z: contrastive(z, torch.tensor(rows), 0.2),
        lambda z: equations.contrastive(z, rows, 0.2),
        unit_rows(len(rows), seed=11),
        dtype=dtype,
    )


@settings(deadline=None, max_examples=15)
@given(labels=some_labels, seed=seeds, tau=st.floats(0.05, 2))
def test_any_batch_is_equation_3(labels: list[int], seed: int, tau: float) -> None:
    rows = labels + labels
    assert_twins(
        lambda z: contrastive(z, torch.tensor(rows), tau),
        lambda z: equations.contrastive(z, rows, tau),
        unit_rows(len(rows), seed),
    )


def test_a_sharp_temperature_does_not_overflow_float32() -> None:
    """exp(1 / 0.01) is no float32; the loops have float64's range."""
    rows = [0, -1, 0, -1]
    assert_twins(
        lambda z: contrastive(z, torch.tensor(rows), 0.01),
        lambda z: equations.contrastive(z, rows, 0.01),
        unit_rows(4, seed=2),
        dtype=torch.float32,
    )


def test_a_row_is_not_in_its_own_denominator() -> None:
    """The fractions of all positives that a row could have sum to 1 without itself."""
    z = unit_rows(6, seed=0)
    sums = (instance_terms(z, 0.1) + (z * z.roll(3, dims=0)).sum(dim=1) / 0.1).exp()
    off_diagonal = ~torch.eye(6, dtype=torch.bool)
    torch.testing.assert_close(sums, (z @ z.T / 0.1).exp().where(off_diagonal, 0).sum(dim=1))


@pytest.mark.parametrize("items", [1, 2, 8])
def test_identical_embeddings_guess_among_all_others(items: int) -> None:
    """Every fraction is then 1 / (2N - 1), whatever tau and whatever the labels."""
    z = unit_rows(1, seed=0).expand(2 * items, -1)
    instance, category = contrastive_terms(z, torch.zeros(2 * items, dtype=torch.int64), 0.1)
    chance = torch.full((2 * items,), math.log(2 * items - 1), dtype=torch.float64)
    torch.testing.assert_close(instance, chance)
    torch.testing.assert_close(category, chance)


def test_orthogonal_items_have_a_closed_form() -> None:
    """Views equal, items orthogonal: -log(e^(1/tau) / (e^(1/tau) + 2N - 2))."""
    z = torch.eye(4, dtype=torch.float64).repeat(2, 1)
    instance = instance_terms(z, 0.5)
    expected = -math.log(math.exp(2) / (math.exp(2) + 6))
    torch.testing.assert_close(instance, torch.full((8,), expected, dtype=torch.float64))


def test_a_label_that_occurs_once_has_its_other_view_in_q() -> None:
    """So Eq. 2 repeats Eq. 1 for that item."""
    rows = torch.tensor([0, 1, -1, 0, 1, -1])
    instance, category = contrastive_terms(unit_rows(6, seed=5), rows, 0.1)
    labelled = rows >= 0
    torch.testing.assert_close(category[labelled], instance[labelled])


@pytest.mark.parametrize(
    ("rows", "empty"),
    [
        ([0, -1, 0, -1], [1, 3]),
        ([-1, -1, -1, -1], [0, 1, 2, 3]),
        ([0, 1, 2, 1], [0, 2]),  # rows without their other view: a labelled anchor alone
    ],
)
def test_an_empty_q_gives_zero_and_no_gradient(rows: list[int], empty: list[int]) -> None:
    z = unit_rows(4, seed=3).requires_grad_()
    category = contrastive_terms(z, torch.tensor(rows), 0.1)[1]
    assert torch.equal(category[empty], torch.zeros(len(empty), dtype=torch.float64))
    assert (category.detach()[[i for i in range(4) if i not in empty]] > 0).all()
    (gradient,) = gradients_of(category[empty].sum(), z)
    assert torch.equal(gradient, torch.zeros_like(z))


def test_unlabelled_items_are_not_each_others_positives() -> None:
    """-1 is the absence of a label, not one more class; its rows are negatives all the same."""
    z = unit_rows(6, seed=9)
    rows = torch.tensor([0, -1, -1, 0, -1, -1])
    instance, category = contrastive_terms(z, rows, 0.1)
    torch.testing.assert_close(category[0], instance[0])
    assert category[[1, 2, 4, 5]].tolist() == [0, 0, 0, 0]


@settings(deadline=None, max_examples=50)
@given(labels=some_labels, seed=seeds, tau=st.floats(0.01, 5))
def test_every_anchor_of_equation_3_is_at_least_zero(
    labels: list[int], seed: int, tau: float
) -> None:
    rows = torch.tensor(labels + labels)
    z = unit_rows(len(rows), seed).float()
    for term in contrastive_terms(z, rows, tau):
        assert (term >= -4 * torch.finfo(torch.float32).eps / tau).all()  # rounding of logits
        assert term.isfinite().all()


@settings(deadline=None, max_examples=30)
@given(labels=some_labels, seed=seeds, data=st.data())
def test_the_order_of_items_does_not_matter(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    n_items = len(labels)
    order = torch.tensor(data.draw(st.permutations(range(n_items))))
    rows = torch.cat([order, order + n_items])
    z, row_labels = unit_rows(2 * n_items, seed), torch.tensor(labels + labels)
    for term, shuffled in zip(
        contrastive_terms(z, row_labels, 0.1), contrastive_terms(z[rows], row_labels[rows], 0.1)
    ):
        torch.testing.assert_close(shuffled, term[rows])


def test_the_two_views_are_equal_in_rank() -> None:
    z, rows = unit_rows(10, seed=4), torch.tensor([0, -1, 1, 0, -1] * 2)
    swapped = torch.cat([z[5:], z[:5]])
    for term, other in zip(contrastive_terms(z, rows, 0.1), contrastive_terms(swapped, rows, 0.1)):
        torch.testing.assert_close(other, torch.cat([term[5:], term[:5]]))
