"""RS and RS w/ LL against nested loops, and what makes them theirs."""

import pytest
import torch
from torch import Tensor, nn

from newfound.baselines.ranking_statistics import (
    RankingStatisticsLosses,
    pseudo_label_loss,
    rs_consistency,
    rs_loss,
    widened_head,
)
from newfound.objective.pairs import same_top
from reference import baselines, equations
from reference.compare import assert_twins, gradients_of

KNOWN, NOVEL = 3, 4
W, LL_WEIGHT = 0.7, 0.03
ITEM_LABELS = {
    "mixed": [0, -1, 2, -1, -1],
    "no labelled": [-1, -1, -1],
    "no unlabelled": [1, 0, 2],
}
labels_of_a_batch = pytest.mark.parametrize("labels", ITEM_LABELS.values(), ids=ITEM_LABELS)
both_precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def normal(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def some_pairs(items: int) -> Tensor:
    return torch.rand(items, items, generator=torch.Generator().manual_seed(0)) < 0.4


def losses_by_loops(
    known: Tensor, novel: Tensor, labels: list[int], positive: Tensor
) -> RankingStatisticsLosses:
    """All terms, the pseudo-labels' too where `known` is widened."""
    n_items = len(labels)
    unlabelled = [i for i in range(n_items) if labels[i] == -1]
    p = [torch.stack(equations.softmax(novel[i])) for i in unlabelled]
    q = [torch.stack(equations.softmax(novel[i + n_items])) for i in unlabelled]
    ce = baselines.first_view_cross_entropy(known, labels)
    bce = equations.pairwise_bce(p, q, positive[unlabelled][:, unlabelled].double())
    mse = baselines.elementwise_consistency(known) + baselines.elementwise_consistency(novel)
    total, pseudo_label = ce + bce + W * mse, baselines.zero()
    if known.shape[1] > KNOWN:
        found = baselines.pseudo_labels(novel, labels, KNOWN)
        pseudo_label = baselines.first_view_cross_entropy(known, found)
        total = total + LL_WEIGHT * pseudo_label
    return RankingStatisticsLosses(total, ce, bce, mse, pseudo_label)


# The joint loss


@both_precisions
@labels_of_a_batch
@pytest.mark.parametrize("widened", [False, True], ids=["rs", "rs-ll"])
@pytest.mark.parametrize("term", RankingStatisticsLosses._fields)
def test_each_term_is_autonovels(
    term: str, widened: bool, labels: list[int], dtype: torch.dtype
) -> None:
    positive = some_pairs(len(labels))

    def fast(known: Tensor, novel: Tensor) -> Tensor:
        losses = rs_loss(
            known,
            novel,
            torch.tensor(labels),
            positive,
            consistency_weight=W,
            pseudo_label_weight=LL_WEIGHT if widened else None,
        )
        return getattr(losses, term)

    assert_twins(
        fast,
        lambda known, novel: getattr(losses_by_loops(known, novel, labels, positive), term),
        2 * normal(2 * len(labels), KNOWN + NOVEL * widened, seed=1),
        2 * normal(2 * len(labels), NOVEL, seed=2),
        dtype=dtype,
    )


def test_labels_teach_by_the_first_view_alone() -> None:
    known, novel = normal(4, KNOWN, seed=0).requires_grad_(), normal(4, NOVEL, seed=1)
    labels = torch.tensor([0, -1])
    ce = rs_loss(known, novel, labels, some_pairs(2), consistency_weight=W).ce
    (gradient,) = gradients_of(ce, known)
    assert gradient[0].abs().sum() > 0
    assert gradient[1:].abs().sum() == 0


def test_both_heads_are_kept_consistent_on_all_items() -> None:
    """Where Eq. 9 asks of a labelled item phi_l alone and of an unlabelled one phi_u alone."""
    known, novel = (normal(4, size, seed=size).requires_grad_() for size in (KNOWN, NOVEL))
    mse = rs_loss(known, novel, torch.tensor([0, -1]), some_pairs(2), consistency_weight=W).mse
    for gradient in gradients_of(mse, known, novel):
        assert (gradient.abs().sum(dim=1) > 0).all()


@pytest.mark.parametrize("classes", [2, 10])
def test_consistency_is_a_mean_over_elements(classes: int) -> None:
    """Views sure of two different classes: 1 + 1, over C elements each."""
    logits = torch.zeros(2, classes)
    logits[0, 0] = logits[1, 1] = 1000
    assert rs_consistency(logits).item() == pytest.approx(2 / classes)


def test_pairs_depend_only_on_the_set_of_the_top_features() -> None:
    """Magnitudes permuted among the top five, and among the others, change no loss."""
    features = normal(12, 8, seed=0).abs()
    features[6:] = features[:6] + 1e-3 * normal(6, 8, seed=1)
    changed = features.clone()
    for row, values in zip(changed, features):
        order = values.argsort(descending=True)
        row[order[:5]] = values[order[[4, 2, 0, 1, 3]]]
        row[order[5:]] = values[order[[7, 5, 6]]]
    pairs = same_top(features, 5)
    assert torch.equal(same_top(changed, 5), pairs)
    assert 12 < pairs.sum() < 144
    changed[0, features[0].argmax()] = -1  # one of the set lost
    assert not torch.equal(same_top(changed, 5), pairs)


# LL


def test_pseudo_labels_teach_the_widened_head_alone() -> None:
    known, novel = normal(6, KNOWN + NOVEL, seed=0), normal(6, NOVEL, seed=1)
    leaves = known.requires_grad_(), novel.requires_grad_()
    labels = torch.tensor([-1, 1, -1])
    of_known, of_novel = gradients_of(pseudo_label_loss(*leaves, labels), *leaves)
    assert of_novel.abs().sum() == 0
    assert of_known.abs().sum(dim=1).gt(0).tolist() == [True, False, True, False, False, False]


def test_a_pseudo_label_comes_after_the_known_categories() -> None:
    """phi_u says its category 2; the widened head is sure of C_l + 2, and right."""
    known, novel = torch.zeros(2, KNOWN + NOVEL), torch.zeros(2, NOVEL)
    known[0, KNOWN + 2] = 1000
    novel[0, 2] = 1
    assert pseudo_label_loss(known, novel, torch.tensor([-1])) == 0


def widened(novel: int = 5, seed: int = 0) -> tuple[nn.Linear, nn.Linear]:
    linear = nn.Linear(64, KNOWN).double()
    return linear, widened_head(linear, novel, torch.Generator().manual_seed(seed))


def test_new_biases_are_the_least_old_one_less_1_and_old_outputs_stay() -> None:
    linear, head = widened()
    assert (head.in_features, head.out_features) == (64, KNOWN + 5)
    assert head.bias[KNOWN:].tolist() == [linear.bias.min().item() - 1] * 5
    features = normal(7, 64, seed=0)
    torch.testing.assert_close(head(features)[:, :KNOWN], linear(features))
    assert torch.equal(head.weight[:KNOWN], linear.weight)
    assert head.weight.dtype == linear.weight.dtype
    assert all(parameter.requires_grad and parameter.is_leaf for parameter in head.parameters())


def test_new_weights_are_drawn_as_a_linear_layers() -> None:
    """Uniform up to 1 / sqrt(d), of which 64,000 draws come within a thousandth."""
    _, head = widened(novel=1000)
    new = head.weight[KNOWN:].detach()
    assert new.abs().max().item() == pytest.approx(1 / 8, rel=1e-3)
    assert new.abs().max() <= 1 / 8
    assert new.std().item() == pytest.approx(1 / 8 / 3**0.5, rel=1e-2)


def test_the_generator_alone_decides_the_new_weights() -> None:
    linear = nn.Linear(6, 2)
    before = torch.get_rng_state()
    first, again, other = (
        widened_head(linear, 3, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    )
    assert torch.equal(first.weight, again.weight)
    assert not torch.equal(first.weight, other.weight)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_widened_head_shares_nothing_with_the_old_one() -> None:
    linear, head = widened()
    before = linear.weight.clone()
    with torch.no_grad():
        head.weight.zero_()
    assert torch.equal(linear.weight, before)
