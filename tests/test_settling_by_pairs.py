"""The novel head settles by pairs: Eqs. 6-8 on features, kept only where it had not settled."""

import copy
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from newfound import settling_by_pairs
from newfound.config import Config
from newfound.ground import Ground
from newfound.models.network import make_network
from newfound.objective.pairs import wta_agreement, wta_windows
from newfound.results.evaluate import clustering_accuracy
from newfound.settings import make_config
from newfound.settling_by_pairs import (
    came_to_rest,
    other_starts,
    settle_by_pairs,
    settle_head,
    standardised,
)
from newfound.training.pseudo_labels import PseudoLabels
from support.small_run import TINY_VIDEOS, tiny_config

ITEMS, SIZE, CATEGORIES = 60, 24, 3
TRUTH = np.arange(ITEMS) % CATEGORIES


def features(noise: float = 0.5) -> Tensor:
    """Sparse ones, as after ReLU, about three middles."""
    middles = 3 * torch.randn(CATEGORIES, SIZE, generator=torch.Generator().manual_seed(5))
    apart = torch.randn(ITEMS, SIZE, generator=torch.Generator().manual_seed(6))
    return (middles[TRUTH] + noise * apart).relu()


def settings(**changed: Any) -> Config:
    return tiny_config(**{"hashes": 64, "window": 4, "mu": "share", "settle_steps": 200} | changed)


def labeller(config: Config) -> PseudoLabels:
    windows = wta_windows(SIZE, config.hashes, config.window, torch.Generator().manual_seed(3))
    return PseudoLabels(config, windows, None, CATEGORIES)


def merged_head() -> nn.Linear:
    """Holds the first two of three categories for one, which its third hardly ever wins."""
    middles = torch.stack([features(0.0)[kind == TRUTH][0] for kind in range(CATEGORIES)])
    head = nn.Linear(SIZE, CATEGORIES)
    with torch.no_grad():
        both = (middles[0] + middles[1]) / 2
        head.weight.copy_(0.1 * torch.stack([both, middles[2], both]))
        head.bias.copy_(torch.tensor([0.5, 0.0, 0.0]))
    return head


def acc(head: nn.Module) -> float:
    return clustering_accuracy(TRUTH, head(features()).argmax(dim=1).numpy())


def test_categories_held_for_one_are_told_apart() -> None:
    head = merged_head()
    assert acc(head) == pytest.approx(2 / 3)
    settled = settle_head(head, [], features(), features(), labeller(settings()), settings())
    assert settled.is_kept
    assert settled.after < 0.9 * settled.before
    assert acc(head) == 1


def test_a_head_that_had_settled_stays_bit_for_bit() -> None:
    head = merged_head()
    settle_head(head, [], features(), features(), labeller(settings()), settings())
    before = copy.deepcopy(head.state_dict())
    again = settle_head(head, [], features(), features(), labeller(settings()), settings(seed=1))
    assert not again.is_kept
    assert all(torch.equal(weight, before[name]) for name, weight in head.state_dict().items())


@pytest.mark.parametrize("is_better", [True, False])
def test_of_several_starts_the_one_whose_loss_ends_least_is_taken(
    is_better: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trained head has no time to leave its place; another one is, or is not, at a better."""
    good, useless = merged_head(), nn.Linear(SIZE, CATEGORIES)
    settle_head(good, [], features(), features(), labeller(settings()), settings())
    with torch.no_grad():
        useless.weight.zero_()
        useless.bias.copy_(torch.tensor([30.0, 0.0, 0.0]))  # all in one category, for sure
    others = [useless, copy.deepcopy(good) if is_better else copy.deepcopy(useless)]
    monkeypatch.setattr(settling_by_pairs, "WORTH_A_FALL", 0.0 if is_better else -9.0)
    head, few = merged_head(), settings(settle_steps=1)
    settled = settle_head(head, others, features(), features(), labeller(few), few)
    assert (acc(head) == 1) == is_better
    assert torch.equal(head.weight, others[1].weight) == is_better
    assert (settled.after < 0.9 * settled.before) == is_better


def test_other_starts_are_random_and_leave_the_process_generator_as_it_was() -> None:
    head, state = merged_head().double(), torch.get_rng_state()
    made = [[start.weight for start in other_starts(head, seed)] for seed in (3, 3, 4)]
    assert all(weight.dtype == torch.float64 for weight in made[0])
    sums = {weight.sum().item() for weight in (head.weight, *made[0], *made[2])}
    assert len(sums) == 1 + 2 * settling_by_pairs.OTHER_STARTS
    assert all(map(torch.equal, made[0], made[1]))
    assert torch.equal(state, torch.get_rng_state())


def test_standardised_features_have_no_mean_and_deviate_by_one() -> None:
    given = features().double()
    given[:, 3] = 2.0  # says nothing, and divides by nothing
    expected = StandardScaler().fit_transform(given.numpy())
    torch.testing.assert_close(standardised(given), torch.from_numpy(expected))


def test_steps_are_those_of_sgd_on_the_pairs_of_drawn_items(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Written out, with momentum, weight decay and the cosine; the pairs' loss item by item."""
    monkeypatch.setattr(settling_by_pairs, "BATCH", 12)
    monkeypatch.setattr(settling_by_pairs, "MEASURED", 2)
    # Whatever becomes of the loss, what settled is kept.
    monkeypatch.setattr(settling_by_pairs, "WORTH_A_FALL", -9.0)
    config = settings(settle_steps=4, seed=7, momentum=0.8, weight_decay=0.01)
    windows = labeller(config).windows
    given, head = features().double(), merged_head().double()
    compared = given.flip(1) ** 2
    weights = [weight.detach().clone() for weight in head.parameters()]

    def loss(rows: Tensor) -> Tensor:
        agree = wta_agreement(compared[rows], windows) >= 20
        p = (given[rows] @ weights[0].T + weights[1]).softmax(dim=1)
        terms = [
            -(same if agree[i, j] else 1 - same).log()
            for i in range(len(rows))
            for j in range(len(rows))
            for same in [(p[i] * p[j]).sum().clamp(1e-6, 1 - 1e-6)]
        ]
        return torch.stack(terms).mean()

    generator = torch.Generator().manual_seed(7)
    measured_on = torch.randperm(ITEMS, generator=generator)[:24].split(12)
    before = float(torch.stack([loss(rows) for rows in measured_on]).mean())
    velocity = [torch.zeros_like(weight) for weight in weights]
    for step in range(4):
        rows = torch.randperm(ITEMS, generator=generator)[:12]
        weights = [weight.requires_grad_() for weight in weights]
        slopes = torch.autograd.grad(loss(rows), weights)
        rate = 5 / float((given**2).sum(dim=1).mean()) * (1 + np.cos(np.pi * step / 4)) / 2
        velocity = [0.8 * v + g + 0.01 * w for v, g, w in zip(velocity, slopes, weights)]
        weights = [(w - rate * v).detach() for w, v in zip(weights, velocity)]
    after = float(torch.stack([loss(rows) for rows in measured_on]).mean())

    steps: list[int] = []
    pairs = PseudoLabels(config, windows, 20.0, CATEGORIES)
    settled = settle_head(head, [], given, compared, pairs, config, steps.append)
    torch.testing.assert_close(list(head.parameters()), weights, rtol=1e-6, atol=1e-9)
    assert settled == pytest.approx((before, after), rel=1e-6)
    assert steps == [1, 1, 1, 1]


@pytest.mark.parametrize("pairs", ["wta", "nearest"])
def test_the_network_and_threshold_of_the_ground_are_what_settles(
    pairs: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise if pairs are WTA's and their threshold may follow."""
    monkeypatch.setattr(settling_by_pairs, "WORTH_A_FALL", -9.0)
    config = make_config(**TINY_VIDEOS | {"pairs": pairs, "mu": "share", "settle_steps": 5})
    network = make_network(config, 2, CATEGORIES)
    labels = np.array([0, 1] + [-1] * ITEMS)
    given = torch.rand(ITEMS, network.fused_size, generator=torch.Generator().manual_seed(1))
    given *= torch.arange(network.fused_size)
    for threshold in (None, 12.0):
        head = copy.deepcopy(network.novel)
        assert isinstance(head, nn.Linear)
        compared, others = given, []
        if (pairs, threshold) == ("wta", None):
            compared, others = standardised(given), other_starts(head, config.seed)
        labeller = PseudoLabels(config, network.windows, threshold, CATEGORIES)
        settle_head(head, others, given, compared, labeller, config)
        alike = copy.deepcopy(network)
        ground = Ground(alike, config, labels, np.arange(62), threshold, torch.device("cpu"))
        settle_by_pairs(ground, given)
        assert torch.equal(alike.novel.weight, head.weight)
        assert not torch.equal(alike.novel.weight, network.novel.weight)


def test_it_has_come_to_rest_where_hardly_any_item_changed_in_the_last_epochs() -> None:
    """As the README's digits, where plain features know less than training did."""

    def at_rest(*churn: float | None) -> bool:
        return came_to_rest([{"churn": value} for value in churn])

    assert not at_rest(0.12) and not at_rest(None, 0.05), "too few epochs to tell"
    assert not at_rest(*[0.0] * 18, 0.09, 0.12)
    assert at_rest(*[0.5] * 18, 0.05, 0.14)
    assert at_rest(float("nan"), *[0.3] * 10, 0.1, 0.1)
