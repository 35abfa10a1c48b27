"""Eq. 6 and its ties against literal permutations, and what is counted about the pairs."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from newfound.objective import pairs as pairs_module
from newfound.objective.pairs import (
    cosine_similarity,
    count_pairs,
    follow_threshold,
    nearest_neighbours,
    same_top,
    share_threshold,
    wta_agreement,
    wta_windows,
)
from reference import baselines, equations

H, K, SIZE, MU = 512, 4, 512, 240  # the paper's
seeds = st.integers(0, 2**31)


def whole_permutations(hashes: int, size: int, seed: int = 0) -> Tensor:
    """(H, d): the paper's rho_1 .. rho_H, whole."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack([torch.randperm(size, generator=generator) for _ in range(hashes)])


def dense(items: int, size: int, seed: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(items, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def sparse(items: int, size: int, zeros: float, seed: int) -> Tensor:
    """Features as after ReLU: a share of zeros, the rest positive."""
    generator = torch.Generator().manual_seed(seed)
    kept = torch.rand(items, size, generator=generator) >= zeros
    return torch.rand(items, size, generator=generator) * kept


def off_diagonal(matrix: Tensor) -> Tensor:
    return matrix[~torch.eye(len(matrix), dtype=torch.bool)]


@st.composite
def features_with_ties(draw: st.DrawFn, items: int = 4, size: int = 7) -> Tensor:
    """Small whole numbers, so that most windows hold their maximum more than once."""
    span = draw(st.integers(0, 5))
    value = st.integers(-span, span)
    row = st.lists(value, min_size=size, max_size=size)
    rows = draw(st.lists(row, min_size=items, max_size=items))
    return torch.tensor(rows, dtype=torch.float64)


# Windows


def test_windows_begin_permutations() -> None:
    windows = wta_windows(20, 300, 4, torch.Generator().manual_seed(0))
    assert windows.shape == (300, 4)
    assert windows.dtype == torch.int64
    assert (windows >= 0).all()
    assert (windows < 20).all()
    assert all(len(set(row)) == 4 for row in windows.tolist())


def test_a_window_as_wide_as_the_features_is_a_permutation() -> None:
    windows = wta_windows(6, 50, 6, torch.Generator().manual_seed(0))
    assert torch.equal(windows.sort(dim=1).values, torch.arange(6).expand(50, 6))


def test_windows_come_from_the_generator_alone() -> None:
    def draw(seed: int) -> Tensor:
        return wta_windows(16, 32, 4, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_every_ordered_window_is_equally_likely() -> None:
    """Sorted or skewed windows would fail: 4 * 3 = 12 ordered pairs, 2000 of each expected."""
    windows = wta_windows(4, 24_000, 2, torch.Generator().manual_seed(3)).tolist()
    counts = dict.fromkeys(itertools.permutations(range(4), 2), 0)
    for first, second in windows:
        counts[first, second] += 1
    chi_squared = sum((count - 2000) ** 2 / 2000 for count in counts.values())
    assert chi_squared < 31.3  # 99.9% quantile with 11 degrees of freedom


# Agreement, Eq. 6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("zeros", [0.0, 0.5, 0.9])
def test_agreement_is_equation_6(zeros: float, dtype: torch.dtype) -> None:
    features = sparse(5, 16, zeros, seed=1).to(dtype)
    permutations = whole_permutations(40, 16)
    agreement = wta_agreement(features, permutations[:, :4])
    assert agreement.dtype == dtype
    expected = equations.wta_agreement(features, permutations, 4)
    torch.testing.assert_close(agreement.double(), expected, rtol=1e-6, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(features=features_with_ties(), k=st.integers(2, 7), seed=seeds)
def test_agreement_is_equation_6_however_many_ties(features: Tensor, k: int, seed: int) -> None:
    permutations = whole_permutations(9, features.shape[1], seed)
    torch.testing.assert_close(
        wta_agreement(features, permutations[:, :k]),
        equations.wta_agreement(features, permutations, k),
    )


def test_without_ties_it_is_the_count_of_the_paper() -> None:
    features, permutations = dense(6, 24, seed=2), whole_permutations(64, 24)
    agreement = wta_agreement(features, permutations[:, :4])
    for i, j in itertools.product(range(6), repeat=2):
        assert agreement[i, j] == equations.wta_count(features[i], features[j], permutations, 4)


def test_with_ties_it_is_the_mean_over_random_tie_breaks() -> None:
    """Noise smaller than any difference breaks each item's ties; the mean of 20,000 such codes.

    Each of the 30 codes agrees or not, so the mean's standard deviation is below 0.02.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(0, 3, (2, 10), generator=generator).float()
    windows = wta_windows(10, 30, 4, generator)

    def codes(vector: Tensor) -> Tensor:
        noise = 0.5 * torch.rand(20_000, 30, 4, generator=generator)
        return (vector[windows] + noise).argmax(dim=2)

    mean_count = (codes(a) == codes(b)).sum(dim=1).float().mean()
    expected = wta_agreement(torch.stack([a, b]), windows)[0, 1]
    assert abs(mean_count - expected) < 0.1


def test_halfway_ties_worked_by_hand() -> None:
    """One window. a = (1, 1, 0, 0) lands on 0 or 1; b on 1; c on 1, 2 or 3; d anywhere."""
    a, b, c, d = [1, 1, 0, 0], [0, 1, 0, 0], [0, 2, 2, 2], [3, 3, 3, 3]
    agreement = wta_agreement(torch.tensor([a, b, c, d]).double(), torch.arange(4)[None])
    expected = torch.tensor(
        [
            [1, 1 / 2, 1 / 6, 1 / 4],
            [1 / 2, 1, 1 / 3, 1 / 4],
            [1 / 6, 1 / 3, 1, 1 / 4],
            [1 / 4, 1 / 4, 1 / 4, 1],
        ],
        dtype=torch.float64,
    )
    torch.testing.assert_close(agreement, expected)


@settings(deadline=None, max_examples=50)
@given(features=features_with_ties(), steps=st.data(), seed=seeds)
def test_an_increasing_map_of_the_features_changes_nothing(
    features: Tensor, steps: st.DataObject, seed: int
) -> None:
    """Only the order counts, so each item may even have a map of its own.

    The features are -5 .. 5: an increasing map of them is any 11 increasing numbers.
    """
    windows = wta_windows(features.shape[1], 12, 4, torch.Generator().manual_seed(seed))
    gap = st.floats(1e-3, 1e3)
    gaps = st.lists(gap, min_size=11, max_size=11)
    maps = torch.tensor([steps.draw(gaps) for _ in features], dtype=torch.float64).cumsum(1) - 500
    mapped = maps.gather(1, features.long() + 5)
    assert torch.equal(wta_agreement(mapped, windows), wta_agreement(features, windows))


@pytest.mark.parametrize(
    "increasing", [torch.exp, torch.atan, lambda x: x**3, lambda x: 1e-3 * x - 7]
)
def test_well_known_increasing_maps_change_nothing(increasing: object) -> None:
    features = dense(8, 32, seed=0, dtype=torch.float64)
    windows = wta_windows(32, 64, 4, torch.Generator().manual_seed(0))
    agreement = wta_agreement(increasing(features), windows)
    assert torch.equal(agreement, wta_agreement(features, windows))


@settings(deadline=None, max_examples=50)
@given(features=features_with_ties(), seed=seeds)
def test_agreement_is_symmetric_with_diagonal_h_and_within_0_and_h(
    features: Tensor, seed: int
) -> None:
    windows = wta_windows(features.shape[1], 12, 3, torch.Generator().manual_seed(seed))
    agreement = wta_agreement(features, windows)
    torch.testing.assert_close(agreement, agreement.T, rtol=0, atol=1e-12)
    assert agreement.diagonal().tolist() == [12] * len(features)
    assert (agreement >= 0).all()
    assert (agreement <= 12).all()


def test_equal_items_agree_wholly_and_opposite_ones_never() -> None:
    features = dense(1, 64, seed=0)
    agreement = wta_agreement(
        torch.cat([features, features, -features]), whole_permutations(100, 64)[:, :4]
    )
    assert agreement.tolist() == [[100, 100, 0], [100, 100, 0], [0, 0, 100]]


def test_unrelated_dense_items_agree_by_chance() -> None:
    """H / k = 128, and mu = 240 is 11 standard deviations away."""
    windows = wta_windows(SIZE, H, K, torch.Generator().manual_seed(0))
    agreement = off_diagonal(wta_agreement(dense(64, SIZE, seed=1), windows))
    assert abs(agreement.mean() - H / K) < 2
    assert agreement.max() < MU


def test_an_item_of_equal_features_is_no_evidence() -> None:
    """It agrees with any other by chance exactly, with another such one too."""
    blank = torch.zeros(2, SIZE)
    features = torch.cat([blank, dense(4, SIZE, seed=1), sparse(4, SIZE, 0.9, seed=2)])
    windows = wta_windows(SIZE, H, K, torch.Generator().manual_seed(0))
    agreement = wta_agreement(features, windows)
    torch.testing.assert_close(agreement[0, 1:], torch.full((9,), H / K))


def test_sparse_unrelated_items_stay_near_chance_unlike_with_the_first_index() -> None:
    """Design, section 5: with first-index ties, 90% zeros make every pair positive (291 > 240)."""
    features, permutations = sparse(12, SIZE, zeros=0.9, seed=0), whole_permutations(H, SIZE)
    codes = torch.tensor([equations.wta_code(row, permutations, K) for row in features])
    first_index = off_diagonal((codes[:, None] == codes).sum(dim=2)).float()
    assert first_index.mean() == pytest.approx(291, abs=6)
    assert first_index.min() > MU

    agreement = off_diagonal(wta_agreement(features, permutations[:, :K]))
    assert agreement.mean() == pytest.approx(H / K, abs=3)
    assert agreement.max() < MU


def test_sparse_items_with_the_same_active_features_still_agree() -> None:
    """The tie rule must not hide what is there: the two views of one item, at half zeros."""
    features = sparse(1, SIZE, zeros=0.5, seed=0)
    noisy = features * (1 + 0.05 * dense(1, SIZE, seed=1))
    windows = wta_windows(SIZE, H, K, torch.Generator().manual_seed(0))
    assert wta_agreement(torch.cat([features, noisy]), windows)[0, 1] > MU


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_agreement_of_half_precision_features_is_counted_in_float32(dtype: torch.dtype) -> None:
    """bfloat16 cannot hold 511, so a count in it would be off."""
    features = dense(6, SIZE, seed=0).to(dtype)
    windows = wta_windows(SIZE, H, K, torch.Generator().manual_seed(0))
    agreement = wta_agreement(features, windows)
    assert agreement.dtype == torch.float32
    torch.testing.assert_close(agreement, wta_agreement(features.float(), windows))


@pytest.mark.parametrize("items", [0, 1])
def test_agreement_of_hardly_any_items(items: int) -> None:
    windows = wta_windows(8, 5, 3, torch.Generator().manual_seed(0))
    agreement = wta_agreement(torch.ones(items, 8), windows)
    assert agreement.tolist() == [[5.0]] * items


def test_pseudo_labels_teach_the_features_nothing() -> None:
    features = dense(3, 8, seed=0).requires_grad_()
    windows = wta_windows(8, 5, 3, torch.Generator().manual_seed(0))
    assert not wta_agreement(features, windows).requires_grad


# Ranking statistics, Table 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("top", [1, 2, 5])
def test_pairs_by_ranking_statistics_are_autonovels(top: int, dtype: torch.dtype) -> None:
    """Few features, so that many of the pairs are positive and many are not."""
    order = torch.stack([whole_permutations(1, 6, seed)[0] for seed in range(24)]).to(dtype)
    pairs = same_top(order, top)
    assert pairs.dtype == torch.bool
    for i, j in itertools.product(range(24), repeat=2):
        assert pairs[i, j] == equations.same_greatest(order[i], order[j], top)
    assert 0 < off_diagonal(pairs).float().mean() < 1


@settings(deadline=None, max_examples=50)
@given(seed=seeds, top=st.integers(1, 6))
def test_only_the_set_of_the_greatest_features_counts(seed: int, top: int) -> None:
    """Not their order, nor their values, nor anything about the others."""
    generator = torch.Generator().manual_seed(seed)
    features = dense(3, 16, seed)
    greatest = features[0].topk(top).indices
    others = torch.tensor([i for i in range(16) if i not in greatest.tolist()])
    features[1, others] = -torch.rand(len(others), generator=generator)
    features[1, greatest] = torch.rand(top, generator=generator) + 1
    features[2] = features[1]
    features[2, greatest[0]], features[2, others[0]] = features[1, others[0]], 3.0
    pairs = same_top(features, top)
    assert pairs[0, 1] and pairs[1, 0]
    assert not pairs[0, 2]
    assert pairs.diagonal().all()


# Cosine similarity and nearest neighbours, Table 7


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_cosine_similarity_is_the_angles(dtype: torch.dtype) -> None:
    features = (10 * dense(6, 5, seed=0)).to(dtype)
    features[2] = 0
    similarity = cosine_similarity(features)
    assert similarity.dtype == torch.promote_types(dtype, torch.float32)
    for i, j in itertools.product(range(6), repeat=2):
        expected = 1 if i == j else baselines.cosine(features[i].double(), features[j].double())
        assert similarity[i, j].item() == pytest.approx(float(expected), abs=1e-6)


@settings(deadline=None, max_examples=50)
@given(features=features_with_ties(), scales=st.lists(st.floats(0.01, 100), min_size=4, max_size=4))
def test_lengths_change_no_cosine_which_is_at_most_1_and_1_with_oneself(
    features: Tensor, scales: list[float]
) -> None:
    similarity = cosine_similarity(features.float())
    scaled = cosine_similarity(features.float() * torch.tensor(scales)[:, None])
    torch.testing.assert_close(scaled, similarity, rtol=0, atol=1e-5)
    assert similarity.diagonal().tolist() == [1] * 4
    assert (similarity <= 1).all()
    assert (similarity >= -1 - 1e-6).all()


@pytest.mark.parametrize("rivals", [cosine_similarity, nearest_neighbours])
def test_the_rivals_of_table_7_teach_the_features_nothing(rivals: object) -> None:
    assert not rivals(dense(3, 8, seed=0).requires_grad_()).requires_grad


@settings(deadline=None, max_examples=50)
@given(seed=seeds, group=st.lists(st.integers(0, 1), min_size=7, max_size=7))
def test_nearest_neighbours_are_those_of_either(seed: int, group: list[int]) -> None:
    features = dense(7, 5, seed, torch.float64)
    features[3] = 0
    pairs = nearest_neighbours(features, torch.tensor(group))
    nearest = [baselines.nearest_neighbour(features, group, i) for i in range(7)]
    for i, j in itertools.product(range(7), repeat=2):
        assert pairs[i, j] == (i == j or nearest[i] == j or nearest[j] == i)


def test_nearest_neighbours_worked_by_hand() -> None:
    """Directions of 0, 10, 30 and 31 degrees, then of 200: near to none, and none near to it."""
    angles = torch.tensor([0.0, 10, 30, 31, 200]).deg2rad()
    features = torch.stack([angles.cos(), angles.sin()], dim=1)
    expected = torch.eye(5, dtype=torch.bool)
    for i, j in ((0, 1), (2, 3)):
        expected[i, j] = expected[j, i] = True
    assert torch.equal(nearest_neighbours(features), expected)
    # Without the item at 0 degrees that at 10 is nearest to that at 30, which prefers another.
    rest = nearest_neighbours(features[1:])
    assert rest[0, 1] and rest[1, 0] and rest[1, 2] and not rest[0, 2]


def test_a_group_keeps_unlabelled_items_to_each_other() -> None:
    """Each unlabelled item lies next to a labelled one, which no unlabelled pair can use."""
    corners = torch.eye(4) + 0.1 * torch.rand(4, 4, generator=torch.Generator().manual_seed(0))
    features, labels = corners.repeat_interleave(2, dim=0), torch.tensor([0, -1] * 4)
    unlabelled = labels < 0
    assert not off_diagonal(nearest_neighbours(features)[unlabelled][:, unlabelled]).any()
    pairs = nearest_neighbours(features, unlabelled)
    assert off_diagonal(pairs[unlabelled][:, unlabelled]).any()
    assert not pairs[unlabelled][:, ~unlabelled].any()


def test_blank_items_are_nearest_to_none() -> None:
    features = torch.cat([torch.zeros(2, 8), sparse(4, 8, 0.2, seed=0)])
    assert torch.equal(nearest_neighbours(features)[:2], torch.eye(6, dtype=torch.bool)[:2])


@pytest.mark.parametrize("items", [0, 1])
def test_rivals_of_hardly_any_items(items: int) -> None:
    assert cosine_similarity(torch.ones(items, 8)).tolist() == [[1.0]] * items
    assert nearest_neighbours(torch.ones(items, 8)).tolist() == [[True]] * items


# The threshold that follows a share of pairs


def random_agreement(items: int, seed: int) -> Tensor:
    """Symmetric, distinct off the diagonal but for the symmetry, and 1000 on it."""
    upper = dense(items, items, seed).triu(1)
    return (upper + upper.T).fill_diagonal_(1000)


@pytest.mark.parametrize("share", [0.1, 0.25, 0.6])
def test_the_threshold_lets_the_share_of_pairs_through(share: float) -> None:
    """Only pairs of different counted items have a say."""
    agreement = random_agreement(40, seed=0)
    rows = torch.arange(40) % 3 > 0
    threshold = share_threshold(agreement, rows, share)
    pairs = off_diagonal(agreement[rows][:, rows])
    assert (pairs >= threshold).float().mean().item() == pytest.approx(share, abs=2 / len(pairs))


def test_the_threshold_ignores_pairs_of_other_rows() -> None:
    agreement, rows = random_agreement(10, seed=0), torch.arange(10) < 6
    tampered = agreement.clone()
    tampered[6:] = tampered[:, 6:] = 500
    expected = share_threshold(agreement, rows, 0.3)
    assert torch.equal(share_threshold(tampered, rows, 0.3), expected)


@settings(deadline=None, max_examples=40)
@given(items=st.integers(2, 30), share=st.floats(0, 1), seed=seeds)
def test_the_threshold_is_a_quantile_of_the_pairs(items: int, share: float, seed: int) -> None:
    agreement = random_agreement(items, seed)
    counted = torch.ones(items, dtype=torch.bool)
    expected = off_diagonal(agreement).quantile(1 - share)
    torch.testing.assert_close(share_threshold(agreement, counted, share), expected)


@pytest.mark.parametrize("counted", [0, 1])
def test_no_pair_gives_no_threshold(counted: int) -> None:
    rows = torch.arange(4) < counted
    assert share_threshold(random_agreement(4, seed=0), rows, 0.5).isnan()


def test_two_items_give_their_own_agreement() -> None:
    agreement = torch.tensor([[9.0, 3.0], [3.0, 9.0]])
    assert share_threshold(agreement, torch.ones(2, dtype=torch.bool), 0.2) == 3


def test_the_followed_threshold_is_a_running_mean() -> None:
    followed = follow_threshold(torch.tensor(100.0), torch.tensor(200.0), momentum=0.9)
    assert followed.item() == pytest.approx(110)


def test_the_first_threshold_is_taken_and_a_missing_one_passed_over() -> None:
    nothing, number = torch.tensor(torch.nan), torch.tensor(150.0)
    assert follow_threshold(nothing, number) == 150
    assert follow_threshold(number, nothing) == 150
    assert follow_threshold(nothing, nothing).isnan()


# What is counted about the pairs


@settings(deadline=None, max_examples=40)
@given(labels=st.lists(st.integers(-1, 2), min_size=1, max_size=7), seed=seeds)
def test_pairs_are_counted_as_by_loops(labels: list[int], seed: int) -> None:
    n = len(labels)
    positive = torch.rand(n, n, generator=torch.Generator().manual_seed(seed)) < 0.5
    expected = dict.fromkeys(count_pairs(positive, torch.tensor(labels))._fields, 0)
    for i, j in itertools.permutations(range(n), 2):
        said = int(positive[i, j])
        if labels[i] == labels[j] == -1:
            expected["unlabelled"] += 1
            expected["unlabelled_positive"] += said
        if labels[i] != -1 and labels[j] != -1:
            expected["labelled"] += 1
            expected["labelled_positive"] += said
            expected["labelled_same"] += labels[i] == labels[j]
            expected["labelled_same_positive"] += said * (labels[i] == labels[j])
    counts = count_pairs(positive, torch.tensor(labels))
    assert {name: int(count) for name, count in counts._asdict().items()} == expected


@pytest.mark.parametrize("rows", [1, 4, 7])
def test_blocks_of_rows_agree_as_all_at_once(rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    windows = wta_windows(12, 16, 4, generator)
    features = torch.randn(rows, 12, generator=generator, dtype=torch.float64).relu()
    at_once = wta_agreement(features, windows)
    monkeypatch.setattr(pairs_module, "ROWS_AT_ONCE", 3)
    torch.testing.assert_close(wta_agreement(features, windows), at_once)
