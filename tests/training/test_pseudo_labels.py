"""Which pairs are taken for one category: each setting is the function of its own, and no other."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from newfound.objective.pairs import (
    cosine_similarity,
    nearest_neighbours,
    same_top,
    wta_agreement,
    wta_windows,
)
from newfound.training.pseudo_labels import PseudoLabels, fixed_threshold
from support.small_run import tiny_config

SIZE, HASHES, ITEMS = 32, 64, 24
LABELS = torch.tensor([0, 1, 0, 1] + [-1] * (ITEMS - 4))


def features(seed: int = 0, items: int = ITEMS) -> Tensor:
    """Sparse ones, as after ReLU, about three middles."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.randn(3, SIZE, generator=torch.Generator().manual_seed(99))
    noise = torch.randn(items, SIZE, generator=generator)
    return (middles[torch.arange(items) % 3] + 0.7 * noise).relu()


def windows() -> Tensor:
    return wta_windows(SIZE, HASHES, 4, torch.Generator().manual_seed(3))


def pseudo_labels(fixed: float | None = None, categories: int = 3, **changed: Any) -> PseudoLabels:
    config = tiny_config(hashes=HASHES, **changed)
    return PseudoLabels(config, windows(), fixed, categories)


def test_each_setting_is_its_own_function() -> None:
    given, diagonal = features(), torch.eye(ITEMS, dtype=torch.bool)
    expected = {
        "wta": (wta_agreement(given, windows()) >= 30) | diagonal,
        "cosine": (cosine_similarity(given) >= 0.6) | diagonal,
        "rank": same_top(given, 2),
        "nearest": nearest_neighbours(given, group=LABELS < 0),
    }
    fixed = {"wta": 30, "cosine": 0.6}
    for pairs, theirs in expected.items():
        ours = pseudo_labels(fixed.get(pairs), pairs=pairs, rank_top=2)(given, LABELS)
        assert torch.equal(ours, theirs), pairs
        assert ours.diagonal().all() and torch.equal(ours, ours.T), pairs
        assert 0 < (ours & ~diagonal).float().mean() < 0.9, pairs
    assert len({tuple(theirs.flatten().tolist()) for theirs in expected.values()}) == 4


def test_the_nearest_of_an_unlabelled_item_is_an_unlabelled_one() -> None:
    """A pair with a labelled one is used by no loss."""
    given = features()
    given[4] = given[0]  # labelled 0 is the nearest of all to item 4
    positive = pseudo_labels(pairs="nearest")(given, LABELS)
    assert not positive[:4, 4:].any()
    assert (positive[4:, 4:].sum(dim=1) >= 2).all()


@pytest.mark.parametrize("pairs", ["wta", "cosine"])
@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_a_threshold_follows_the_share_of_unlabelled_pairs(pairs: str, factor: float) -> None:
    """Of balanced categories, times `share_factor`; as a running mean of the batches' own."""
    labeller = pseudo_labels(pairs=pairs, share_factor=factor, categories=3)
    shares, thresholds = [], []
    for seed in range(12):
        given = features(seed)
        positive = labeller(given, LABELS)[4:, 4:]
        others = ~torch.eye(ITEMS - 4, dtype=torch.bool)
        shares.append(float(positive[others].float().mean()))
        thresholds.append(float(labeller.threshold))
        agreement = wta_agreement(given, windows()) if pairs == "wta" else cosine_similarity(given)
        own = agreement[4:, 4:][others].quantile(1 - factor / 3)
        before = thresholds[-2] if seed else float(own)
        assert thresholds[-1] == pytest.approx(0.9 * before + 0.1 * float(own), rel=1e-5)
    assert sum(shares) / 12 == pytest.approx(factor / 3, abs=0.05)
    assert len(set(thresholds)) > 6


@pytest.mark.parametrize(("pairs", "fixed"), [("wta", 30.0), ("cosine", 0.6)])
def test_a_fixed_threshold_stays(pairs: str, fixed: float) -> None:
    labeller = pseudo_labels(fixed, pairs=pairs)
    for seed in range(3):
        labeller(features(seed), LABELS)
    assert float(labeller.threshold) == pytest.approx(fixed)


def test_before_there_is_a_threshold_an_item_is_like_itself() -> None:
    labeller = pseudo_labels()
    labels = torch.tensor([0, 1, -1])  # a single unlabelled item makes no pairs
    assert torch.equal(labeller(features(items=3), labels), torch.eye(3, dtype=torch.bool))
    assert labeller.threshold.isnan()


def test_features_are_not_taught() -> None:
    for pairs in ("wta", "cosine", "rank", "nearest"):
        given = features().requires_grad_()
        assert not pseudo_labels(pairs=pairs)(given, LABELS).requires_grad


def test_a_checkpoint_goes_on_with_the_threshold() -> None:
    cut, resumed = pseudo_labels(), pseudo_labels()
    for seed in range(3):
        cut(features(seed), LABELS)
    resumed.load_state_dict(copy.deepcopy(cut.state_dict()))
    assert cut.state_dict().keys() == {"threshold"}
    for labeller in (cut, resumed):
        labeller(features(7), LABELS)
    assert torch.equal(cut.threshold, resumed.threshold)


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"mu": 20}, 20),
        ({"mu": 0.5}, 32),
        ({"mu": "share"}, None),
        ({"pairs": "rank", "mu": 20}, None),
        ({"pairs": "nearest", "mu": 20}, None),
        ({"pairs": "cosine", "mu": 20, "cosine_threshold": 0.7}, 0.7),
        ({"pairs": "cosine", "mu": "share", "cosine_threshold": 0.7}, None),
    ],
)
def test_the_threshold_that_the_settings_name(
    settings: dict[str, Any], expected: float | None
) -> None:
    assert fixed_threshold(tiny_config(hashes=HASHES, **settings)) == expected
