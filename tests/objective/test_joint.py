"""Eqs. 7-10 against nested loops, closed forms, and the switches of Table 3."""

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from newfound.batch import Outputs
from newfound.objective.joint import JointLosses, consistency, joint_loss, pairwise_bce, ramp
from reference import equations
from reference.compare import TOLERANCES, assert_twins, gradients_of, stacked

ITEM_LABELS = {
    "mixed": [0, -1, 1, 0, -1],
    "no labelled": [-1, -1, -1],
    "no unlabelled": [1, 0, 1, 2],
    "each label once": [2, -1, 0, 1],
    "one label": [1, 1, 1],
    "one unlabelled item": [-1],
    "one labelled item": [0],
}
labels_of_a_batch = pytest.mark.parametrize("labels", ITEM_LABELS.values(), ids=ITEM_LABELS)
both_precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
seeds = st.integers(0, 2**31)
some_labels = st.lists(st.integers(-1, 2), min_size=1, max_size=5)

KNOWN, NOVEL = 3, 4
TAU, OMEGA = 0.2, 0.3
WEIGHTS = {
    "ce_weight": "ce",
    "bce_weight": "bce",
    "instance_weight": "nce_instance",
    "category_weight": "nce_category",
    "consistency_weight": "mse",
}


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def probabilities(rows: int, seed: int, classes: int = NOVEL) -> Tensor:
    return normal(rows, classes, seed=seed).softmax(dim=1)


def lopsided_pairs(items: int, seed: int) -> Tensor:
    """(N, N) bool, unlike Eq. 6 not symmetric: tells p_i . q_j from p_j . q_i."""
    return torch.rand(items, items, generator=torch.Generator().manual_seed(seed)) < 0.4


def outputs_of(n_items: int, seed: int) -> Outputs:
    contrast = normal(2 * n_items, 4, seed=seed)
    return Outputs(
        fused=normal(2 * n_items, 5, seed=seed + 1),
        contrast={"visual": contrast / contrast.norm(dim=1, keepdim=True)},
        known=2 * normal(2 * n_items, KNOWN, seed=seed + 2),
        novel=2 * normal(2 * n_items, NOVEL, seed=seed + 3),
    )


def with_gradient(outputs: Outputs) -> tuple[Outputs, tuple[Tensor, Tensor, Tensor]]:
    """The same outputs as leaves, and the three that the loss reads."""
    leaves = Outputs(
        outputs.fused.requires_grad_(),
        {"visual": outputs.contrast["visual"].requires_grad_()},
        outputs.known.requires_grad_(),
        outputs.novel.requires_grad_(),
    )
    return leaves, (leaves.contrast["visual"], leaves.known, leaves.novel)


def loss_of(
    labels: list[int], outputs: Outputs, positive: Tensor, **changes: object
) -> JointLosses:
    settings = {"omega": OMEGA, "temperature": TAU} | changes
    return joint_loss(outputs, torch.tensor(labels), positive, **settings)


def losses_by_loops(labels: list[int], outputs: Outputs, positive: Tensor) -> dict[str, Tensor]:
    """Every term of Eq. 10, unweighted, and the total, from the transcriptions."""
    n_items, rows = len(labels), labels + labels
    unlabelled = [i for i in range(n_items) if labels[i] == -1]
    p = [torch.stack(equations.softmax(outputs.novel[i])) for i in unlabelled]
    q = [torch.stack(equations.softmax(outputs.novel[i + n_items])) for i in unlabelled]
    s = positive[unlabelled][:, unlabelled].double()
    z = outputs.contrast["visual"]
    instance = [equations.nce_instance(z, i, TAU) for i in range(2 * n_items)]
    category = [equations.nce_category(z, rows, i, TAU) for i in range(2 * n_items)]
    terms = {
        "ce": equations.cross_entropy(outputs.known, labels),
        "bce": equations.pairwise_bce(p, q, s),
        "nce_instance": torch.stack(instance).mean(),
        "nce_category": torch.stack(category).mean(),
        "mse": equations.consistency(outputs.known, outputs.novel, labels),
    }
    cl = equations.contrastive(z, rows, TAU)
    total = equations.joint(terms["ce"], terms["bce"], cl, terms["mse"], OMEGA)
    return {"total": total, **terms}


# Eqs. 7-8


@both_precisions
@pytest.mark.parametrize("items", [1, 2, 6])
def test_pairwise_bce_is_equations_7_and_8(items: int, dtype: torch.dtype) -> None:
    positive = lopsided_pairs(items, seed=items)
    assert_twins(
        lambda p, q: pairwise_bce(p, q, positive, torch.ones(items, dtype=torch.bool)),
        lambda p, q: equations.pairwise_bce(p, q, positive.double()),
        probabilities(items, seed=1),
        probabilities(items, seed=2),
        dtype=dtype,
    )


@settings(deadline=None, max_examples=20)
@given(counted=st.lists(st.booleans(), min_size=1, max_size=5), seed=seeds)
def test_only_the_counted_rows_enter_pairwise_bce(counted: list[bool], seed: int) -> None:
    items, rows = len(counted), torch.tensor(counted)
    positive = lopsided_pairs(items, seed)
    assert_twins(
        lambda p, q: pairwise_bce(p, q, positive, rows),
        lambda p, q: equations.pairwise_bce(p[rows], q[rows], positive[rows][:, rows].double()),
        probabilities(items, seed),
        probabilities(items, seed + 1),
    )


def test_pairwise_bce_of_no_row_is_zero_and_teaches_nothing() -> None:
    p = probabilities(3, seed=0).requires_grad_()
    bce = pairwise_bce(p, p, lopsided_pairs(3, seed=0), torch.zeros(3, dtype=torch.bool))
    assert bce == 0
    (gradient,) = gradients_of(bce, p)
    assert torch.equal(gradient, torch.zeros_like(p))


@pytest.mark.parametrize("classes", [2, 5, 20])
def test_uniform_predictions_have_a_known_bce(classes: int) -> None:
    """p . q = 1/C for every pair."""
    p = torch.full((6, classes), 1 / classes, dtype=torch.float64)
    positive = lopsided_pairs(6, seed=0)
    share = positive.double().mean().item()
    expected = -share * math.log(1 / classes) - (1 - share) * math.log(1 - 1 / classes)
    bce = pairwise_bce(p, p, positive, torch.ones(6, dtype=torch.bool))
    assert bce.item() == pytest.approx(expected, rel=1e-12)


@both_precisions
@pytest.mark.parametrize(
    ("same_class", "said_positive", "expected"),
    [
        (True, True, -math.log(1 - 1e-6)),
        (True, False, -math.log(1e-6)),
        (False, True, -math.log(1e-6)),
        (False, False, -math.log(1 - 1e-6)),
    ],
)
def test_certain_predictions_stop_at_the_clamp(
    same_class: bool, said_positive: bool, expected: float, dtype: torch.dtype
) -> None:
    """One-hot p and q: p . q is 0 or 1; float32 holds 1 - 1e-6 only to 2% of the 1e-6."""
    p = torch.eye(NOVEL, dtype=dtype)[:1].requires_grad_()
    q = torch.eye(NOVEL, dtype=dtype)[[0 if same_class else 1]].requires_grad_()
    positive, rows = torch.tensor([[said_positive]]), torch.tensor([True])
    bce = pairwise_bce(p, q, positive, rows)
    assert bce.item() == pytest.approx(expected, rel=1e-9 if dtype == torch.float64 else 0.02)
    for gradient in gradients_of(bce, p, q):
        assert torch.equal(gradient, torch.zeros_like(gradient))  # clamped, not steep


@settings(deadline=None, max_examples=40)
@given(
    first=st.lists(st.integers(0, NOVEL - 1), min_size=1, max_size=6),
    scale=st.sampled_from([1.0, 30.0, 1e3, 1e6]),
    seed=seeds,
)
def test_bce_and_its_gradient_are_finite_for_any_certainty(
    first: list[int], scale: float, seed: int
) -> None:
    items = len(first)
    logits = (scale * torch.eye(NOVEL)[first]).requires_grad_()
    others = (scale * normal(items, NOVEL, seed=seed).float()).requires_grad_()
    bce = pairwise_bce(
        logits.softmax(dim=1),
        others.softmax(dim=1),
        lopsided_pairs(items, seed),
        torch.ones(items, dtype=torch.bool),
    )
    assert bce.isfinite()
    assert 0 <= bce <= -math.log(1e-6) * 1.001
    for gradient in gradients_of(bce, logits, others):
        assert gradient.isfinite().all()


def test_near_the_clamp_bce_is_still_that_of_the_loops() -> None:
    """Probabilities on both sides of 1e-6 and of 1 - 1e-6, some clamped and some not."""
    certainty = torch.tensor([13.0, 14.0, 15.0, 16.0], dtype=torch.float64)
    logits = torch.stack([certainty, torch.zeros(4, dtype=torch.float64)], dim=1)
    others = torch.cat([logits[:2], logits[2:].flip(1)])
    positive = torch.tensor([[True, False, True, False]] * 4)
    assert_twins(
        lambda a, b: pairwise_bce(
            a.softmax(dim=1), b.softmax(dim=1), positive, torch.ones(4, dtype=torch.bool)
        ),
        lambda a, b: equations.pairwise_bce(
            [torch.stack(equations.softmax(row)) for row in a],
            [torch.stack(equations.softmax(row)) for row in b],
            positive.double(),
        ),
        logits,
        others,
    )


# Eq. 9


@both_precisions
@labels_of_a_batch
def test_consistency_is_equation_9(labels: list[int], dtype: torch.dtype) -> None:
    n = len(labels)
    assert_twins(
        lambda known, novel: consistency(
            known.softmax(dim=1), novel.softmax(dim=1), torch.tensor(labels)
        ),
        lambda known, novel: equations.consistency(known, novel, labels),
        normal(2 * n, KNOWN, seed=1),
        normal(2 * n, NOVEL, seed=2),
        dtype=dtype,
    )


def test_consistency_is_zero_for_equal_views_and_two_for_opposite_ones() -> None:
    labels = torch.tensor([0, -1])
    here, there = torch.eye(NOVEL)[[0, 0]], torch.eye(NOVEL)[[1, 1]]
    equal, opposite = torch.cat([here, here]), torch.cat([here, there])
    assert consistency(equal, equal, labels) == 0
    assert consistency(opposite, equal, labels) == 1  # the labelled item's 2, over two items
    assert consistency(equal, opposite, labels) == 1
    assert consistency(opposite, opposite, labels) == 2


# The ramp


@pytest.mark.parametrize("scale", [0.25, 1.0])
def test_the_ramp_rises_from_lambda_e_to_minus_5_to_lambda(scale: float) -> None:
    assert ramp(0, 40, scale) == pytest.approx(scale * math.exp(-5), rel=1e-12)
    assert ramp(20, 40, scale) == pytest.approx(scale * math.exp(-1.25), rel=1e-12)
    assert ramp(40, 40, scale) == scale


@given(epochs=st.integers(1, 500), scale=st.floats(0.01, 1), data=st.data())
def test_the_ramp_is_the_papers_and_never_falls(
    epochs: int, scale: float, data: st.DataObject
) -> None:
    first = data.draw(st.floats(0, epochs))
    later = data.draw(st.floats(first, epochs))
    assert ramp(first, epochs, scale) == pytest.approx(equations.ramp(first, epochs, scale))
    assert 0 < ramp(first, epochs, scale) <= ramp(later, epochs, scale) <= scale


# Eq. 10


@both_precisions
@labels_of_a_batch
@pytest.mark.parametrize("name", JointLosses._fields)
def test_joint_loss_is_equation_10_term_by_term(
    name: str, labels: list[int], dtype: torch.dtype
) -> None:
    n = len(labels)
    positive = lopsided_pairs(n, seed=n)
    outputs = outputs_of(n, seed=3)

    def fast(contrast: Tensor, known: Tensor, novel: Tensor) -> Tensor:
        seen = replace(outputs, contrast={"visual": contrast}, known=known, novel=novel)
        return getattr(loss_of(labels, seen, positive), name)

    def slow(contrast: Tensor, known: Tensor, novel: Tensor) -> Tensor:
        seen = replace(outputs, contrast={"visual": contrast}, known=known, novel=novel)
        return losses_by_loops(labels, seen, positive)[name]

    assert_twins(fast, slow, outputs.contrast["visual"], outputs.known, outputs.novel, dtype=dtype)


@settings(deadline=None, max_examples=10)
@given(labels=some_labels, seed=st.integers(0, 2**20))
def test_any_batch_is_equation_10(labels: list[int], seed: int) -> None:
    positive = lopsided_pairs(len(labels), seed)
    outputs, read = with_gradient(outputs_of(len(labels), seed))
    total = loss_of(labels, outputs, positive).total
    expected = losses_by_loops(labels, outputs, positive)["total"]
    torch.testing.assert_close(total, expected, **TOLERANCES[torch.float64])
    for gradient, by_loops in zip(gradients_of(total, *read), gradients_of(expected, *read)):
        torch.testing.assert_close(gradient, by_loops, **TOLERANCES[torch.float64])


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_weight_of_zero_removes_its_term_and_gradient_and_no_other(weight: str) -> None:
    """The ablations of Table 3: what is left is the full loss less that very term."""
    labels, name = [0, -1, 1, 0, -1, -1], WEIGHTS[weight]
    positive = lopsided_pairs(6, seed=1)
    outputs, read = with_gradient(outputs_of(6, seed=5))
    full = loss_of(labels, outputs, positive)
    ablated = loss_of(labels, outputs, positive, **{weight: 0.0})
    factor = {"nce_instance": 1 - OMEGA, "nce_category": 1 - OMEGA, "mse": OMEGA}.get(name, 1.0)
    removed = factor * getattr(full, name)

    torch.testing.assert_close(ablated.total, full.total - removed)
    assert removed.abs() > 1e-3
    for left, whole, gone in zip(
        gradients_of(ablated.total, *read),
        gradients_of(full.total, *read),
        gradients_of(removed, *read),
    ):
        torch.testing.assert_close(left, whole - gone)
    for term in WEIGHTS.values():  # reported as they are, whatever their weights
        assert getattr(ablated, term) == getattr(full, term)


@pytest.mark.parametrize("weight", WEIGHTS)
def test_a_term_alone_is_scaled_by_its_weight(weight: str) -> None:
    labels, name = [0, -1, 1, 0, -1], WEIGHTS[weight]
    alone = dict.fromkeys(WEIGHTS, 0.0) | {weight: 2.5}
    losses = loss_of(labels, outputs_of(5, seed=5), lopsided_pairs(5, seed=1), **alone)
    factor = {"nce_instance": 1 - OMEGA, "nce_category": 1 - OMEGA, "mse": OMEGA}.get(name, 1.0)
    torch.testing.assert_close(losses.total, 2.5 * factor * getattr(losses, name))


@pytest.mark.parametrize(
    ("off", "untouched"),
    [
        (("instance_weight", "category_weight"), "contrast"),
        (("ce_weight", "consistency_weight"), "known"),
        (("bce_weight", "consistency_weight"), "novel"),
    ],
)
def test_an_output_without_a_term_gets_no_gradient(off: tuple[str, ...], untouched: str) -> None:
    outputs, read = with_gradient(outputs_of(5, seed=5))
    weights = dict.fromkeys(off, 0.0)
    losses = loss_of([0, -1, 1, 0, -1], outputs, lopsided_pairs(5, seed=1), **weights)
    gradients = dict(zip(("contrast", "known", "novel"), gradients_of(losses.total, *read)))
    for name, gradient in gradients.items():
        assert (gradient == 0).all() == (name == untouched)


@pytest.mark.parametrize(("omega", "gone"), [(0.0, "mse"), (1.0, "nce_instance")])
def test_at_the_ends_of_the_ramp_one_side_is_silent(omega: float, gone: str) -> None:
    outputs = outputs_of(5, seed=5)
    losses = loss_of([0, -1, 1, 0, -1], outputs, lopsided_pairs(5, seed=1), omega=omega)
    left = losses.ce + losses.bce
    contrastive = losses.nce_instance + losses.nce_category
    left = left + (contrastive if gone == "mse" else losses.mse)
    torch.testing.assert_close(losses.total, left)


def test_pairs_with_a_labelled_item_have_no_say() -> None:
    labels = [0, -1, 1, -1]
    outputs, positive = outputs_of(4, seed=5), lopsided_pairs(4, seed=1)
    unlabelled = torch.tensor(labels) < 0
    turned = positive ^ ~(unlabelled[:, None] & unlabelled)
    assert loss_of(labels, outputs, turned).bce == loss_of(labels, outputs, positive).bce


def test_pairs_within_the_first_view_are_a_switch() -> None:
    labels, positive = [-1, 0, -1, -1], lopsided_pairs(4, seed=1)
    outputs = outputs_of(4, seed=5)
    same_view = loss_of(labels, outputs, positive, same_view_pairs=True)
    p = outputs.novel[[0, 2, 3]].softmax(dim=1)
    expected = equations.pairwise_bce(p, p, positive[[0, 2, 3]][:, [0, 2, 3]].double())
    torch.testing.assert_close(same_view.bce, expected)
    across = loss_of(labels, outputs, positive)
    assert same_view.bce != across.bce
    for name in set(WEIGHTS.values()) - {"bce"}:
        assert getattr(same_view, name) == getattr(across, name)


@pytest.mark.parametrize(
    ("labels", "silent"),
    [([-1, -1, -1], ("ce", "nce_category")), ([0, 1, 0], ("bce",)), ([-1], ("ce", "nce_category"))],
)
def test_terms_without_items_are_zero_and_gradients_finite(
    labels: list[int], silent: tuple[str, ...]
) -> None:
    outputs, read = with_gradient(outputs_of(len(labels), seed=5))
    losses = loss_of(labels, outputs, lopsided_pairs(len(labels), seed=1))
    for name in silent:
        assert getattr(losses, name) == 0
        for gradient in gradients_of(getattr(losses, name), *read):
            assert torch.equal(gradient, torch.zeros_like(gradient))
    for gradient in gradients_of(losses.total, *read):
        assert gradient.isfinite().all()


@settings(deadline=None, max_examples=20)
@given(labels=some_labels, seed=st.integers(0, 2**20), data=st.data())
def test_the_order_of_items_does_not_matter(
    labels: list[int], seed: int, data: st.DataObject
) -> None:
    n = len(labels)
    order = torch.tensor(data.draw(st.permutations(range(n))))
    rows = torch.cat([order, order + n])
    outputs, positive = outputs_of(n, seed), lopsided_pairs(n, seed)
    shuffled = Outputs(
        outputs.fused[rows],
        {"visual": outputs.contrast["visual"][rows]},
        outputs.known[rows],
        outputs.novel[rows],
    )
    torch.testing.assert_close(
        stacked(loss_of([labels[i] for i in order], shuffled, positive[order][:, order])),
        stacked(loss_of(labels, outputs, positive)),
    )
