"""KCL and MCL against nested loops, and what makes them theirs."""

import math

import pytest
import torch
from torch import Tensor

from newfound.baselines.constrained_clustering import (
    PairClassifier,
    kcl_loss,
    mcl_loss,
    pair_targets,
)
from newfound.objective.joint import pairwise_bce
from reference import baselines, equations
from reference.compare import assert_twins, gradients_of

both_precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def lopsided_pairs(items: int, seed: int = 0) -> Tensor:
    return torch.rand(items, items, generator=torch.Generator().manual_seed(seed)) < 0.4


def everything(items: int) -> Tensor:
    return torch.ones(items, items, dtype=torch.bool)


# The similarity network


def test_the_pair_classifier_sees_every_concatenated_pair() -> None:
    classifier = PairClassifier(3)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in classifier.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    layers = classifier.first, classifier.norm, classifier.last
    assert_twins(
        classifier,
        lambda features: baselines.pair_logits(
            features,
            *((layer.weight.detach().double(), layer.bias.detach().double()) for layer in layers),
            eps=classifier.norm.eps,
        ),
        normal(4, 3, seed=1),
        dtype=torch.float32,
    )


def test_the_pair_classifier_has_the_authors_sizes_and_float32_logits() -> None:
    classifier = PairClassifier(8)
    shapes = [tuple(parameter.shape) for parameter in classifier.parameters()]
    assert shapes == [(32, 16), (32,), (32,), (32,), (2, 32), (2,)]
    with torch.autocast("cpu", torch.bfloat16):
        logits = classifier(torch.rand(5, 8))
    assert (logits.shape, logits.dtype) == ((5, 5, 2), torch.float32)


def test_every_parameter_of_the_pair_classifier_is_taught() -> None:
    classifier = PairClassifier(4)
    classifier(torch.rand(5, 4))[..., 1].square().sum().backward()
    for name, parameter in classifier.named_parameters():
        if name != "first.bias":  # BatchNorm takes it out
            assert parameter.grad.abs().sum() > 0, name


def test_the_targets_are_the_pairs_of_one_label() -> None:
    labels = [2, 0, 2, 1]
    targets = pair_targets(torch.tensor(labels))
    assert targets.dtype == torch.bool
    assert targets.tolist() == [[a == b for b in labels] for a in labels]


# KCL


@both_precisions
@pytest.mark.parametrize("items", [1, 2, 6])
def test_kcl_is_the_papers(items: int, dtype: torch.dtype) -> None:
    """Sharp and soft predictions, so that pairs lie on both sides of the margin."""
    similar = lopsided_pairs(items)
    assert_twins(
        lambda logits: kcl_loss(logits, similar),
        lambda logits: baselines.kcl(logits, similar),
        3 * normal(items, 4, seed=items),
        dtype=dtype,
    )


def two_rows(probability: float) -> Tensor:
    """Logits of p and of p reversed, p = (probability, 1 - probability)."""
    odds = math.log(probability / (1 - probability))
    return torch.tensor([[odds, 0], [-odds, 0]], dtype=torch.float64, requires_grad=True)


def test_dissimilar_items_further_apart_than_the_margin_are_taught_nothing() -> None:
    """KL of (p, 1-p) and its reverse is (2p - 1) logit(p): 1.76 at 0.9, 2.65 at 0.95."""
    apart = ~torch.eye(2, dtype=torch.bool)
    for probability, beyond in ((0.9, False), (0.95, True)):
        logits = two_rows(probability)
        loss = kcl_loss(logits, ~apart)
        kl = (2 * probability - 1) * math.log(probability / (1 - probability))
        assert loss.item() == pytest.approx(2 * max(0, 2 - kl) / 4, abs=1e-6)
        (gradient,) = gradients_of(loss, logits)
        assert (gradient.abs().max() < 1e-6) == beyond


def test_identical_dissimilar_items_pay_the_whole_margin() -> None:
    logits = torch.zeros(3, 4, dtype=torch.float64)
    assert kcl_loss(logits, ~everything(3)).item() == pytest.approx(2)


def test_identical_similar_items_pay_nothing() -> None:
    logits = normal(1, 5, seed=0).repeat(4, 1).requires_grad_()
    loss = kcl_loss(logits, everything(4))
    assert loss.item() == pytest.approx(0, abs=1e-9)
    (gradient,) = gradients_of(loss, logits)
    assert gradient.abs().max() < 1e-6


def test_kcl_teaches_the_first_of_a_pair_and_both_orders_teach_both() -> None:
    """The other one is a target. A dissimilar pair beyond the margin teaches nothing meanwhile."""
    for i, j in ((0, 1), (1, 0)):
        logits = two_rows(0.99)
        similar = torch.eye(2, dtype=torch.bool)
        similar[i, j] = True
        (gradient,) = gradients_of(kcl_loss(logits, similar), logits)
        assert gradient[i].abs().sum() > 0.1
        assert gradient[j].abs().sum() < 1e-6


def test_kcl_is_finite_for_certain_predictions() -> None:
    logits = torch.tensor([[1000.0, 0], [0, 1000]], requires_grad=True)
    loss = kcl_loss(logits, everything(2))
    (gradient,) = gradients_of(loss, logits)
    assert loss.item() == pytest.approx(2 * -math.log(1e-7) / 4, rel=1e-3)
    assert gradient.isfinite().all()


# MCL


@both_precisions
@pytest.mark.parametrize("items", [1, 2, 6])
def test_mcl_is_the_papers(items: int, dtype: torch.dtype) -> None:
    similar = lopsided_pairs(items)

    def slow(logits: Tensor) -> Tensor:
        p = [torch.stack(equations.softmax(row)) for row in logits]
        return equations.pairwise_bce(p, p, similar.double())

    assert_twins(
        lambda logits: mcl_loss(logits, similar),
        slow,
        2 * normal(items, 4, seed=items),
        dtype=dtype,
    )


def test_mcl_is_ranking_statistics_bce_with_products_within_a_view() -> None:
    logits, similar = 2 * normal(7, 4, seed=0), lopsided_pairs(7)
    p = logits.softmax(dim=1)
    expected = pairwise_bce(p, p, similar, torch.ones(7, dtype=torch.bool))
    torch.testing.assert_close(mcl_loss(logits, similar), expected)
    other_view = normal(7, 4, seed=1).softmax(dim=1)
    assert pairwise_bce(p, other_view, similar, torch.ones(7, dtype=torch.bool)) != expected
