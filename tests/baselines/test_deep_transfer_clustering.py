"""DTC against nested loops, and what makes it theirs."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from newfound.baselines.deep_transfer_clustering import (
    clustering_loss,
    ensembled,
    initial_centres,
    target_distribution,
)
from newfound.errors import InputError
from newfound.models.heads import StudentHead, student_logits
from newfound.results.evaluate import clustering_accuracy
from reference import baselines
from reference.compare import assert_twins, gradients_of

both_precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def probabilities(rows: int, seed: int, categories: int = 4) -> Tensor:
    return (2 * normal(rows, categories, seed=seed)).softmax(dim=1)


def blobs(items: int = 90, size: int = 12) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    truth = np.arange(items) % 3
    return random.normal(size=(items, size)) + 8 * np.eye(size)[truth], truth


# The head


@both_precisions
def test_softmax_of_the_logits_is_students_t(dtype: torch.dtype) -> None:
    assert_twins(
        lambda z, centres: student_logits(z, centres).softmax(dim=1),
        baselines.student_assignment,
        2 * normal(5, 3, seed=0),
        normal(4, 3, seed=1),
        dtype=dtype,
    )


def test_an_item_at_a_centre_has_logit_0_and_a_finite_gradient() -> None:
    centres = normal(3, 3, seed=0).requires_grad_()
    logits = student_logits(centres, centres)
    assert logits.diagonal().tolist() == [0, 0, 0]
    assert (logits[~torch.eye(3, dtype=torch.bool)] < 0).all()
    (gradient,) = gradients_of(logits.sum(), centres)
    assert gradient.isfinite().all()


def head_with_centres() -> StudentHead:
    head = StudentHead(6, 4)
    with torch.no_grad():
        head.centres.copy_(normal(4, 4, seed=0))
    return head


def test_the_head_assigns_its_layers_output_to_its_centres() -> None:
    head, features = head_with_centres(), normal(5, 6, seed=1).float()
    expected = student_logits(head.linear(features), head.centres)
    assert torch.equal(head(features), expected)
    assert head.out_features == expected.shape[1] == 4


def test_layer_and_centres_are_both_trained() -> None:
    head = head_with_centres()
    loss = clustering_loss(head(torch.rand(5, 6)), probabilities(5, seed=0).float())
    loss.backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in head.parameters())


def test_the_head_counts_in_float32_under_autocast() -> None:
    head, features = head_with_centres(), torch.rand(5, 6)
    with torch.autocast("cpu", torch.bfloat16):
        logits = head(features.bfloat16())
    assert torch.equal(logits, head(features.bfloat16().float()))


def test_reordering_permutes_the_categories() -> None:
    head, features, order = head_with_centres(), torch.rand(5, 6), torch.tensor([2, 0, 3, 1])
    before = head(features)
    head.reorder(order)
    torch.testing.assert_close(head(features), before[:, order])
    assert head.centres.requires_grad and head.centres.is_leaf


# The targets and the loss


@both_precisions
def test_targets_are_q_squared_over_the_frequency(dtype: torch.dtype) -> None:
    q = probabilities(6, seed=0)
    assert_twins(target_distribution, baselines.target_distribution, q, dtype=dtype)


def test_targets_are_distributions_and_sharper_where_categories_are_even() -> None:
    """Each row's cyclic shifts make every category as frequent; then q^2 alone counts."""
    row = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    q = torch.stack([row.roll(shift) for shift in range(3)])
    p = target_distribution(q)
    torch.testing.assert_close(p, q.square() / q.square().sum(dim=1, keepdim=True))
    torch.testing.assert_close(p.sum(dim=1), torch.ones(3, dtype=torch.float64))
    assert (p.amax(dim=1) > q.amax(dim=1)).all()
    assert (p * p.log()).sum() > (q * q.log()).sum()


def test_a_frequent_category_weighs_less() -> None:
    """An undecided item is given to the rarer one."""
    q = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.5, 0.5]])
    assert target_distribution(q)[2, 1] > 0.5


@both_precisions
def test_the_loss_is_kl_as_a_mean_over_elements(dtype: torch.dtype) -> None:
    target = probabilities(5, seed=1).to(dtype)
    assert_twins(
        lambda logits: clustering_loss(logits, target),
        lambda logits: baselines.mean_divergence(logits.softmax(dim=1), target.double()),
        normal(5, 4, seed=0),
        dtype=dtype,
    )


def test_no_loss_at_the_target() -> None:
    q = probabilities(5, seed=0)
    assert clustering_loss(q.log(), q).item() == pytest.approx(0, abs=1e-12)


# The start


def test_the_start_finds_blobs() -> None:
    features, truth = blobs()
    projected, centres = initial_centres(features, 3, seed=0)
    assert (projected.shape, centres.shape) == ((90, 3), (3, 3))
    assert projected.dtype == centres.dtype == np.float32
    q = student_logits(torch.from_numpy(projected), torch.from_numpy(centres)).softmax(dim=1)
    assert clustering_accuracy(truth, q.argmax(dim=1).numpy()) == 1


def test_the_seed_decides_the_start() -> None:
    """Noise of a size that has a randomised PCA, and many ways to be clustered."""
    noise = np.random.default_rng(0).normal(size=(600, 100))
    projected, centres = initial_centres(noise, 6, seed=0)
    again, other = initial_centres(noise, 6, seed=0), initial_centres(noise, 6, seed=1)
    assert (again[0] == projected).all()
    assert (again[1] == centres).all()
    assert not (other[0] == projected).all()


def test_the_centres_are_means_of_what_is_nearest_to_them() -> None:
    features, truth = blobs()
    projected, centres = initial_centres(features, 3, seed=0)
    means = [projected[truth == blob].mean(axis=0) for blob in range(3)]
    for centre in centres:
        assert min(np.abs(centre - mean).max() for mean in means) < 1e-4


def test_items_that_do_not_differ_are_no_cause_for_warnings() -> None:
    with warnings.catch_warnings(action="error"):
        projected, centres = initial_centres(np.ones((30, 6), dtype=np.float32), 3, seed=0)
    assert not projected.any() and not centres.any()


def test_the_projection_keeps_the_directions_of_most_variance() -> None:
    """By singular values, up to the sign of each direction."""
    features, _ = blobs()
    projected, _ = initial_centres(features, 3, seed=0)
    centred = features - features.mean(axis=0)
    _, scales, directions = np.linalg.svd(centred, full_matrices=False)
    expected = centred @ directions[:3].T
    np.testing.assert_allclose(np.abs(projected), np.abs(expected), atol=1e-3)
    np.testing.assert_allclose(np.linalg.norm(projected, axis=0), scales[:3], rtol=1e-4)


@pytest.mark.parametrize(
    ("items", "size", "cure"),
    [(4, 12, "give more of them or ask for at most 4 categories"), (90, 4, "at most 4 categories")],
)
def test_too_many_categories_are_refused_with_a_cure(items: int, size: int, cure: str) -> None:
    features, _ = blobs(items, size)
    with pytest.raises(InputError, match=cure):
        initial_centres(features, 5, seed=0)


def test_training_moves_the_centres_and_lowers_the_loss() -> None:
    features, _ = blobs()
    projected, centres = initial_centres(features, 3, seed=0)
    target = target_distribution(
        student_logits(torch.from_numpy(projected), torch.from_numpy(centres)).softmax(dim=1)
    )
    torch.manual_seed(0)
    head = StudentHead(12, 3)
    with torch.no_grad():
        head.centres.copy_(torch.from_numpy(centres))
    seen = torch.from_numpy(features).float()
    optimiser = torch.optim.SGD(head.parameters(), lr=0.1, momentum=0.9)
    before = clustering_loss(head(seen), target).item()
    for _ in range(50):
        optimiser.zero_grad()
        clustering_loss(head(seen), target).backward()
        optimiser.step()
    assert clustering_loss(head(seen), target).item() < before / 5
    assert not torch.equal(head.centres.detach(), torch.from_numpy(centres))


# Temporal ensembling


@pytest.mark.parametrize("momentum", [0.6, 0.9])
def test_ensembling_is_laine_and_ailas(momentum: float) -> None:
    epochs = [probabilities(5, seed) for seed in range(6)]
    running = torch.full((5, 4), 123.0, dtype=torch.float64)  # of no account
    for epoch, current in enumerate(epochs):
        running = ensembled(running, current, epoch, momentum)
        expected = baselines.temporal_ensemble(epochs[: epoch + 1], momentum)
        torch.testing.assert_close(running, expected)
        torch.testing.assert_close(running.sum(dim=1), torch.ones(5, dtype=torch.float64))


def test_the_first_epochs_ensemble_is_its_own_predictions() -> None:
    current = probabilities(5, seed=0)
    assert torch.equal(ensembled(torch.zeros_like(current), current, 0), current)


def test_the_authors_momentum_is_the_default() -> None:
    first, second = F.one_hot(torch.tensor([0, 1])).double().split(1)
    expected = torch.tensor([[0.24, 0.4]], dtype=torch.float64) / 0.64
    torch.testing.assert_close(ensembled(first, second, 1), expected)
