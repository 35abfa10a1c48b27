"""The novel head settles by directions: k-means on the sphere from where training left it."""

from collections.abc import Callable
from itertools import permutations

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor, nn

from newfound import settling_by_directions
from newfound.baselines.kmeans import kmeans
from newfound.settling_by_directions import (
    SCALES,
    Settled,
    settle_by_directions,
    settle_by_standardised_directions,
)

ITEMS, SIZE, CATEGORIES = 90, 12, 3
TRUTH = torch.arange(ITEMS) % CATEGORIES


def features(noise: float = 0.6, seed: int = 6) -> Tensor:
    """Of three directions, and of all lengths from 1 to 50."""
    generator = torch.Generator().manual_seed(seed)
    middles = torch.randn(CATEGORIES, SIZE, generator=generator).relu()
    apart = noise * torch.randn(ITEMS, SIZE, generator=generator)
    return (middles[TRUTH] + apart) * torch.linspace(1, 50, ITEMS)[:, None]


def a_head(seed: int = 0) -> nn.Linear:
    head = nn.Linear(SIZE, CATEGORIES)
    with torch.no_grad():
        drawn = torch.randn(CATEGORIES, SIZE, generator=torch.Generator().manual_seed(seed))
        head.weight.copy_(0.05 * drawn)
        head.bias.copy_(torch.tensor([0.1, -0.1, 0.0]))
    return head


def by_loops(
    head: Callable[[Tensor], Tensor], given: Tensor, most_steps: int
) -> tuple[np.ndarray, np.ndarray, int]:
    """The directions and members, item by item, and the steps that were taken."""
    on_sphere = [x / np.linalg.norm(x) for x in given.double().numpy()]
    start = head(given).softmax(dim=1).detach().double().numpy()

    def mean(weights: np.ndarray, old: np.ndarray | None, k: int) -> np.ndarray:
        total = sum((weights[i, k] * on_sphere[i] for i in range(len(given))), np.zeros(SIZE))
        length = np.linalg.norm(total)
        return total / length if length > 0 or old is None else old[k]

    def nearest(directions: np.ndarray) -> list[int]:
        return [int(np.argmax([x @ c for c in directions])) for x in on_sphere]

    directions = np.stack([mean(start, None, k) for k in range(CATEGORIES)])
    members, steps = nearest(directions), 0
    while steps < most_steps:
        one_hot = np.eye(CATEGORIES)[members]
        directions = np.stack([mean(one_hot, directions, k) for k in range(CATEGORIES)])
        steps, last, members = steps + 1, members, nearest(directions)
        if members == last:
            break
    return directions, np.array(members), steps


@pytest.mark.parametrize("most_steps", [1, 2, 300])
@pytest.mark.parametrize("at_most", [31, ITEMS])
def test_steps_are_those_written_out_item_by_item(
    most_steps: int, at_most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On so many of the items, from the first to the last."""
    monkeypatch.setattr(settling_by_directions, "SAMPLED", at_most)
    for seed in range(5):
        head, given = a_head(seed), features(noise=1.5, seed=seed)
        taken = given[np.linspace(0, ITEMS - 1, at_most).astype(int)]
        as_trained = head(taken).argmax(dim=1)
        directions, members, steps = by_loops(head, taken, most_steps)
        told: list[int] = []
        found = settle_by_directions(head, given, most_steps, told.append)
        assert head(taken).argmax(dim=1).tolist() == members.tolist()
        assert told == [1] * steps + [most_steps - steps] and found.steps == steps
        assert found.moved == pytest.approx((as_trained.numpy() != members).mean())
        assert_rows_are(directions, head)
        assert head.bias.tolist() == [0.0] * CATEGORIES


def assert_rows_are(directions: np.ndarray, head: nn.Linear) -> None:
    """Those less their mean, by one and the same factor."""
    apart = torch.from_numpy(directions - directions.mean(axis=0)).float()
    rows = head.weight.detach()
    torch.testing.assert_close(rows / rows.norm(), apart / apart.norm(), rtol=1e-4, atol=1e-5)


def test_it_ends_at_rest_where_k_means_does_not_move_either() -> None:
    head, given = a_head(), features()
    settle_by_directions(head, given, 300)
    on_sphere = nn.functional.normalize(given)
    members = head(given).argmax(dim=1)
    middles = torch.stack([on_sphere[members == k].mean(dim=0) for k in range(CATEGORIES)])
    one_more = KMeans(CATEGORIES, init=middles.numpy(), n_init=1).fit(on_sphere.numpy())
    assert np.mean(one_more.labels_ == members.numpy()) > 0.95
    with torch.no_grad():
        head.weight.mul_(1e4)  # sure of each item: the first means weigh none by halves
    again = settle_by_directions(head, given, 300)
    assert again.moved == 0 and again.steps == 1


def test_categories_held_for_one_are_told_apart() -> None:
    """The third row hardly ever wins, though it leans to the second category."""
    given = features(noise=0.2)
    middles = nn.functional.normalize(
        torch.stack([given[k == TRUTH].mean(dim=0) for k in range(CATEGORIES)])
    )
    head, both = a_head(), middles[0] + middles[1]
    with torch.no_grad():
        leaning = both + 0.1 * (middles[1] - middles[0])
        head.weight.copy_(0.3 * torch.stack([both, middles[2], leaning]))
        head.bias.copy_(torch.tensor([3.0, 0.0, 0.0]))
    assert _right(head, given) < 0.7
    settle_by_directions(head, given, 300)
    assert _right(head, given) == 1


@pytest.mark.parametrize("bias", [-34.0, -40.0, -110.0])
def test_a_category_that_wins_nothing_and_is_all_but_impossible_comes_back(bias: float) -> None:
    given = nn.functional.normalize(features(noise=0.1))
    middles = torch.stack([given[k == TRUTH].mean(dim=0) for k in range(CATEGORIES)])
    head = a_head()
    with torch.no_grad():
        head.weight.copy_(5 * torch.stack([middles[0] + middles[1], middles[2], middles[1]]))
        head.bias.copy_(torch.tensor([0.0, 0.0, bias]))
    assert _right(head, given) < 0.7
    settle_by_directions(head, given, 300)
    assert _right(head, given) == 1


def _right(head: nn.Linear, given: Tensor) -> float:
    return _agreement(head(given).argmax(dim=1), TRUTH)


def test_lengths_of_features_do_not_matter() -> None:
    given = features(noise=1.5)
    scaled = given * torch.rand(ITEMS, 1, generator=torch.Generator().manual_seed(2)).add(0.1)
    members = []
    for lengths_as in (given, scaled):
        head = a_head()
        with torch.no_grad():
            head.weight.mul_(1e4)  # sure of each item, however short
            head.bias.zero_()
        settle_by_directions(head, lengths_as, 300)
        members.append(head(given).argmax(dim=1).tolist())
    assert members[0] == members[1]


@pytest.mark.parametrize("common", [0.0, 300.0])
@pytest.mark.parametrize("factor", [0.2, 1.0, 4.0])
def test_the_head_is_as_sure_as_it_was(factor: float, common: float) -> None:
    """Where all features are nearly alike, too."""
    head, given = a_head(), features() + common
    with torch.no_grad():
        head.weight.mul_(factor)

    def sure() -> float:
        return head(given).softmax(dim=1).amax(dim=1).mean().item()

    was = sure()
    settle_by_directions(head, given, 300)
    assert sure() == pytest.approx(was, abs=1e-4)


def test_a_head_that_knows_nothing_or_all_gets_numbers() -> None:
    for weight, scale in ((0.0, SCALES[0]), (1e6, SCALES[1])):
        head, given = a_head(), features()
        with torch.no_grad():
            head.weight.mul_(weight)
            head.bias.mul_(weight)
        settle_by_directions(head, given, 300)
        lengths = given.norm(dim=1).mean() * torch.linalg.matrix_norm(head.weight.detach(), 2)
        assert torch.isfinite(head.weight).all()
        assert lengths <= 3 * scale


def test_a_category_that_loses_its_last_item_keeps_its_direction() -> None:
    """Of two kinds of items the third row has some of each, and is nearest to none."""
    given = features(noise=0.1)[TRUTH < 2]
    middles = nn.functional.normalize(
        torch.stack([given[::2].mean(dim=0), given[1::2].mean(dim=0)])
    )
    head = a_head()
    with torch.no_grad():
        head.weight.copy_(torch.cat([middles, torch.zeros(1, SIZE)]))
        head.bias.zero_()
    directions, members, _ = by_loops(head, given, 300)
    settle_by_directions(head, given, 300)
    assert sorted(set(members)) == [0, 1]
    assert head(given).argmax(dim=1).tolist() == members.tolist()
    assert_rows_are(directions, head)


def test_an_item_without_features_is_no_error() -> None:
    given, head = features(), a_head()
    given[4] = 0
    settle_by_directions(head, given, 300)
    assert torch.isfinite(head.weight).all()


# ---- of standardised features --------------------------------------------------------------


def fused(seed: int) -> Tensor:
    """Features most of which are zero, some great in all items, and two alike in all of them."""
    given = features(noise=1.5, seed=seed).relu() / 50
    given[:, 0] += 100
    given[:, 1], given[:, 2] = torch.arange(ITEMS) * 1e-8, 7.3  # but for rounding
    return given


def of_standardised(given: Tensor) -> Tensor:
    """Each unit less its mean, over its deviation; zeros of what does not vary."""
    exact = given.double().numpy()
    apart = exact - exact.mean(axis=0)
    deviation = np.sqrt((apart**2).mean(axis=0))
    unit = np.where(deviation > 1e-6, deviation, np.inf)
    return torch.from_numpy(apart / unit).float()


@pytest.mark.parametrize("most_steps", [1, 300])
def test_it_is_the_same_of_standardised_features(most_steps: int) -> None:
    for seed in range(5):
        head, given = a_head(seed), fused(seed)
        standardised, as_trained = of_standardised(given), head(given).detach()
        _, members, steps = by_loops(lambda _, logits=as_trained: logits, standardised, most_steps)
        found = settle_by_standardised_directions(head, given, most_steps)
        assert head(given).argmax(dim=1).tolist() == members.tolist()
        assert found.steps == steps
        assert found.moved == pytest.approx((as_trained.argmax(dim=1).numpy() != members).mean())
        assert head(given).softmax(dim=1).amax(dim=1).mean().item() == pytest.approx(
            as_trained.softmax(dim=1).amax(dim=1).mean().item(), abs=1e-4
        )


def test_what_is_alike_in_all_items_says_nothing_of_new_ones() -> None:
    head, given = a_head(), fused(seed=1)
    settle_by_standardised_directions(head, given, 300)
    assert not head.weight[:, 1:3].any()
    assert head.weight[:, 0].any() and torch.isfinite(head.weight).all()


def test_units_and_origin_of_each_feature_do_not_matter() -> None:
    given, head = fused(seed=2), a_head(2)
    unit, origin = torch.linspace(0.2, 5, SIZE), torch.linspace(-3, 3, SIZE)
    other = a_head(2)
    with torch.no_grad():  # the same logits of the other features
        other.weight.copy_(head.weight / unit)
        other.bias.copy_(head.bias - other.weight @ origin)
    settle_by_standardised_directions(head, given, 300)
    settle_by_standardised_directions(other, given * unit + origin, 300)
    torch.testing.assert_close(other(given * unit + origin), head(given), rtol=1e-2, atol=1e-2)


def test_one_item_or_all_alike_are_no_error() -> None:
    for given, restart in ((fused(seed=3)[:1], None), (fused(seed=3)[:1].repeat(5, 1), 0)):
        head = a_head()
        settle_by_standardised_directions(head, given, 300, restart=restart)
        assert torch.isfinite(head.weight).all() and torch.isfinite(head.bias).all()


# ---- another start -------------------------------------------------------------------------


def stuck() -> tuple[nn.Linear, Tensor]:
    """Of three kinds of items, all told apart, a head that parts one kind and joins two."""
    middles = 3 * torch.eye(CATEGORIES, SIZE)
    noise = 0.3 * torch.randn(ITEMS, SIZE, generator=torch.Generator().manual_seed(4))
    side = torch.zeros(SIZE)
    side[-1] = 3.0
    head = a_head()
    with torch.no_grad():
        rows = [middles[0] + middles[1], middles[2] + side, middles[2] - side]
        head.weight.copy_(torch.stack(rows))
        head.bias.zero_()
    return head, middles[TRUTH] + noise


@pytest.mark.parametrize("settle", [settle_by_directions, settle_by_standardised_directions])
def test_another_start_frees_a_head_that_is_stuck(settle: Callable[..., Settled]) -> None:
    head, given = stuck()
    settle(head, given, 300)
    assert _right(head, given) < 0.75
    head, given = stuck()
    sure = head(given).softmax(dim=1).amax(dim=1).mean().item()
    found = settle(head, given, 300, restart=0)
    assert _right(head, given) == 1
    assert found.moved > 0.3
    assert head(given).softmax(dim=1).amax(dim=1).mean().item() == pytest.approx(sure, abs=1e-4)


@pytest.mark.parametrize("settle", [settle_by_directions, settle_by_standardised_directions])
def test_what_is_hardly_nearer_is_not_taken(
    settle: Callable[..., Settled], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another start ends elsewhere on features without categories, and about as near."""
    monkeypatch.setattr(settling_by_directions, "NEARER", 1.3)
    for seed in range(5):
        given = torch.randn(ITEMS, SIZE, generator=torch.Generator().manual_seed(seed)) + 1.5
        alone, beside = a_head(seed), a_head(seed)
        as_alone, as_beside = settle(alone, given, 300), settle(beside, given, 300, restart=seed)
        clusters = kmeans(nn.functional.normalize(given).numpy(), CATEGORIES, seed)
        assert _agreement(alone(given).argmax(dim=1), torch.from_numpy(clusters).long()) < 0.9
        assert as_alone == as_beside and torch.equal(alone.weight, beside.weight)


def _agreement(one: Tensor, other: Tensor) -> float:
    names = map(torch.tensor, permutations(range(CATEGORIES)))
    return max(float((name[one] == other).float().mean()) for name in names)
