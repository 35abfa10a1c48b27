"""Eqs. 4-5 and the rows of Table 4 against nested loops, closed forms and properties."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from newfound.batch import Outputs
from newfound.objective.contrastive import (
    contrastive_losses,
    nce_of_anchors,
)
from newfound.objective.joint import joint_loss
from reference import equations
from reference.compare import assert_twins, gradients_of, stacked

TABLE_4 = {
    "1": ("within", "off"),
    "2": ("within", "within"),
    "3": ("within", "cross"),
    "4": ("cross", "off"),
    "5": ("cross", "within"),
    "6": ("cross", "cross"),
}
"""The row: NCE-I and NCE-C."""
ITEM_LABELS = {
    "mixed": [0, -1, 0, 1],
    "no labelled": [-1, -1, -1],
    "no unlabelled": [1, 0, 1],
    "each label once": [2, 0, 1],
    "one unlabelled item": [-1],
    "one labelled item": [0],
}
TAU = 0.2

rows_of_table_4 = pytest.mark.parametrize("pairs", TABLE_4.values(), ids=TABLE_4)
labels_of_a_batch = pytest.mark.parametrize("labels", ITEM_LABELS.values(), ids=ITEM_LABELS)
both_readings = pytest.mark.parametrize("kept", [False, True], ids=["left out", "kept"])
seeds = st.integers(0, 2**20)
some_items = st.lists(st.tuples(st.integers(-1, 1), st.booleans()), min_size=1, max_size=5)
some_pairs = st.sampled_from(list(TABLE_4.values()))


def unit_rows(rows: int, seed: int, size: int = 3) -> Tensor:
    """(rows, size) float64 directions."""
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(rows, size, generator=generator, dtype=torch.float64))


def terms(
    visual: Tensor,
    audio: Tensor,
    labels: list[int],
    heard: list[bool] | None,
    pairs: tuple[str, str],
    kept: bool = False,
    tau: float = TAU,
) -> Tensor:
    """(2,) NCE-I and NCE-C; labels and heard of the N items."""
    modalities: dict[str, Any] = {"instance_pairs": pairs[0], "category_pairs": pairs[1]}
    return torch.stack(
        contrastive_losses(
            {"visual": visual, "audio": audio},
            torch.tensor(labels).repeat(2),
            None if heard is None else torch.tensor(heard).repeat(2),
            temperature=tau,
            positive_in_denominator=kept,
            **modalities,
        )
    )


def terms_by_loops(
    visual: Tensor,
    audio: Tensor,
    labels: list[int],
    heard: list[bool] | None,
    pairs: tuple[str, str],
    kept: bool = False,
    tau: float = TAU,
) -> Tensor:
    heard = [True] * len(labels) if heard is None else heard
    return torch.stack(
        equations.multimodal_contrastive(
            visual, audio, labels * 2, heard * 2, tau, pairs[0], pairs[1], kept
        )
    )


def assert_terms_are_those_of_the_loops(
    labels: list[int],
    heard: list[bool] | None,
    pairs: tuple[str, str],
    kept: bool,
    dtype: torch.dtype = torch.float64,
    seed: int = 0,
    tau: float = TAU,
) -> None:
    assert_twins(
        lambda v, a: terms(v, a, labels, heard, pairs, kept, tau).to(dtype),
        lambda v, a: terms_by_loops(v, a, labels, heard, pairs, kept, tau),
        unit_rows(2 * len(labels), seed),
        unit_rows(2 * len(labels), seed + 1),
        dtype=dtype,
    )


# Against the loops


@both_readings
@rows_of_table_4
@pytest.mark.parametrize("heard", [None, [True, False, True, True], [False] * 4])
def test_every_row_of_table_4_is_equations_4_and_5(
    heard: list[bool] | None, pairs: tuple[str, str], kept: bool
) -> None:
    assert_terms_are_those_of_the_loops(ITEM_LABELS["mixed"], heard, pairs, kept)


@both_readings
@labels_of_a_batch
@pytest.mark.parametrize("pairs", [TABLE_4["2"], TABLE_4["6"]], ids=["within", "cross"])
@pytest.mark.parametrize("unheard", ["nobody", "the first", "all but the first"])
def test_any_labels_with_any_silence_are_equations_4_and_5(
    unheard: str, pairs: tuple[str, str], labels: list[int], kept: bool
) -> None:
    others = unheard != "all but the first"
    heard = [unheard != "the first"] + [others] * (len(labels) - 1)
    assert_terms_are_those_of_the_loops(labels, heard, pairs, kept)


@both_readings
@rows_of_table_4
def test_float32_is_near_enough(pairs: tuple[str, str], kept: bool) -> None:
    heard = [True, False, True, True]
    labels = ITEM_LABELS["mixed"]
    assert_terms_are_those_of_the_loops(labels, heard, pairs, kept, torch.float32)


@both_readings
def test_a_sharp_temperature_does_not_overflow_float32(kept: bool) -> None:
    """exp(1 / 0.01) is no float32; the loops have float64's range."""
    labels = ITEM_LABELS["mixed"]
    assert_terms_are_those_of_the_loops(
        labels, None, TABLE_4["6"], kept, torch.float32, seed=3, tau=0.01
    )


@settings(deadline=None, max_examples=10)
@given(items=some_items, seed=seeds, tau=st.floats(0.05, 2), pairs=some_pairs, kept=st.booleans())
def test_any_batch_is_equations_4_and_5(
    items: list[tuple[int, bool]], seed: int, tau: float, pairs: tuple[str, str], kept: bool
) -> None:
    labels, heard = [label for label, _ in items], [sound for _, sound in items]
    assert_terms_are_those_of_the_loops(labels, heard, pairs, kept, seed=seed, tau=tau)


# Who takes part


@settings(deadline=None, max_examples=40)
@given(items=some_items, seed=seeds, pairs=some_pairs, kept=st.booleans())
def test_audio_that_is_not_there_says_and_learns_nothing(
    items: list[tuple[int, bool]], seed: int, pairs: tuple[str, str], kept: bool
) -> None:
    labels, heard = torch.tensor(items).T
    rows = heard.bool().repeat(2)
    losses, read = [], []
    for noise in (1, 2):
        audio = torch.where(
            rows[:, None], unit_rows(len(rows), seed), unit_rows(len(rows), seed + noise)
        )
        contrast = {
            "visual": unit_rows(len(rows), seed + 3).requires_grad_(),
            "audio": audio.requires_grad_(),
        }
        logits = unit_rows(len(rows), seed + 4)
        outputs = Outputs(logits, contrast, logits, logits, rows)
        losses.append(
            joint_loss(
                outputs,
                labels,
                torch.ones(len(labels), len(labels), dtype=torch.bool),
                omega=0.3,
                temperature=TAU,
                instance_pairs=pairs[0],
                category_pairs=pairs[1],
                positive_in_denominator=kept,
            )
        )
        read.append((contrast["visual"], contrast["audio"]))
    assert torch.equal(stacked(losses[0]), stacked(losses[1]))
    assert stacked(losses[0]).isfinite().all()
    (visual, audio), (other_visual, other_audio) = (
        gradients_of(loss.total, *leaves) for loss, leaves in zip(losses, read)
    )
    assert torch.equal(visual, other_visual)
    assert torch.equal(audio, other_audio)
    assert (audio[~rows] == 0).all()
    assert visual.isfinite().all()
    assert audio.isfinite().all()
    if "within" not in pairs:
        assert (visual[~rows] == 0).all()


@settings(deadline=None, max_examples=30)
@given(items=some_items, seed=seeds, kept=st.booleans())
def test_those_without_sound_might_as_well_not_be_there(
    items: list[tuple[int, bool]], seed: int, kept: bool
) -> None:
    labels, heard = [label for label, _ in items], [sound for _, sound in items]
    visual, audio = unit_rows(2 * len(items), seed), unit_rows(2 * len(items), seed + 1)
    rows = torch.tensor(heard).repeat(2)
    there = [label for label, sound in items if sound]
    if there:
        torch.testing.assert_close(
            terms(visual, audio, labels, heard, TABLE_4["6"], kept),
            terms(visual[rows], audio[rows], there, None, TABLE_4["6"], kept),
        )
        alone = {"audio": audio[rows]}
        expected = torch.stack(
            contrastive_losses(alone, torch.tensor(there).repeat(2), temperature=TAU)
        )
    else:
        expected = torch.zeros(2, dtype=torch.float64)
    pictures = contrastive_losses(
        {"visual": visual}, torch.tensor(labels).repeat(2), temperature=TAU
    )
    torch.testing.assert_close(
        terms(visual, audio, labels, heard, TABLE_4["2"], kept), expected + torch.stack(pictures)
    )


@both_readings
@rows_of_table_4
def test_nobody_heard_gives_no_loss_and_no_gradient_by_audio(
    pairs: tuple[str, str], kept: bool
) -> None:
    visual, audio = unit_rows(8, seed=0).requires_grad_(), unit_rows(8, seed=1).requires_grad_()
    both = terms(visual, audio, ITEM_LABELS["mixed"], [False] * 4, pairs, kept)
    assert both.isfinite().all()
    by_visual, by_audio = gradients_of(both.sum(), visual, audio)
    assert (by_audio == 0).all()
    for term, selected in zip(both, pairs):
        assert (term == 0) == (selected != "within")
    assert (by_visual == 0).all() == ("within" not in pairs)


@both_readings
@pytest.mark.parametrize("across", [True, False])
def test_an_anchor_without_a_sum_is_zero_and_teaches_nothing(across: bool, kept: bool) -> None:
    """A single row that takes part: there is no n != i, or i alone and its log is 0."""
    anchors, others = unit_rows(4, seed=0).requires_grad_(), unit_rows(4, seed=1).requires_grad_()
    per_anchor, _ = nce_of_anchors(
        anchors,
        others,
        torch.full((4,), -1),
        torch.tensor([False, True, False, False]),
        temperature=TAU,
        across=across,
        own_in_sum=across and kept,
    )
    assert (per_anchor == 0).all()
    with torch.autograd.set_detect_anomaly(True):  # nor is a NaN made and masked on the way
        gradients = gradients_of(per_anchor.sum(), anchors, others)
    for gradient in gradients:
        assert (gradient == 0).all()


def test_everybody_heard_is_the_same_as_nothing_said_about_it() -> None:
    visual, audio = unit_rows(8, seed=0), unit_rows(8, seed=1)
    for pairs in TABLE_4.values():
        labels = ITEM_LABELS["mixed"]
        unsaid = terms(visual, audio, labels, None, pairs)
        assert torch.equal(terms(visual, audio, labels, [True] * 4, pairs), unsaid)


# What the selections mean


@both_readings
def test_visual_rows_are_the_anchors_across_modalities(kept: bool) -> None:
    """g0 is visual and g1 audio: which of the two is normalised over matters."""
    visual, audio, labels = unit_rows(8, seed=0), unit_rows(8, seed=1), [0, -1, 0, 1]
    here = terms(visual, audio, labels, None, TABLE_4["6"], kept)
    swapped = terms(audio, visual, labels, None, TABLE_4["6"], kept)
    assert (here - swapped).abs().min() > 1e-3


def test_within_is_the_sum_over_the_modalities() -> None:
    visual, audio, labels = unit_rows(8, seed=0), unit_rows(8, seed=1), [0, -1, 0, 1]
    alone = [
        torch.stack(contrastive_losses({name: z}, torch.tensor(labels * 2), temperature=TAU))
        for name, z in (("visual", visual), ("audio", audio))
    ]
    torch.testing.assert_close(terms(visual, audio, labels, None, TABLE_4["2"]), sum(alone))


def test_across_equal_modalities_equation_5_is_equation_2() -> None:
    """And Eq. 4 has the greatest similarity there is above the sum that Eq. 1 has below."""
    z, labels = unit_rows(8, seed=0), [0, -1, 0, 1]
    within = torch.stack(
        contrastive_losses({"visual": z}, torch.tensor(labels * 2), temperature=TAU)
    )
    across = terms(z, z, labels, None, TABLE_4["6"])
    torch.testing.assert_close(across[1], within[1])
    itself = torch.eye(8, dtype=torch.bool)
    sums = (z @ z.T / TAU).masked_fill(itself, -torch.inf).logsumexp(dim=1)
    torch.testing.assert_close(across[0], sums.mean() - 1 / TAU)


@settings(deadline=None, max_examples=20)
@given(items=st.integers(1, 6), seed=seeds, tau=st.floats(0.05, 2))
def test_keeping_the_positive_in_its_denominator_is_a_softplus(
    items: int, seed: int, tau: float
) -> None:
    """-log(p / (p + rest)) = log(1 + exp(-log(p / rest))), anchor by anchor."""
    visual, audio = unit_rows(2 * items, seed), unit_rows(2 * items, seed + 1)
    left_out, kept = (
        nce_of_anchors(
            visual,
            audio,
            torch.full((2 * items,), -1),
            temperature=tau,
            across=True,
            own_in_sum=own_in_sum,
        )[0]
        for own_in_sum in (False, True)
    )
    torch.testing.assert_close(kept, F.softplus(left_out))


@settings(deadline=None, max_examples=30)
@given(items=some_items, seed=seeds, pairs=some_pairs, kept=st.booleans(), data=st.data())
def test_the_order_of_items_does_not_matter(
    items: list[tuple[int, bool]],
    seed: int,
    pairs: tuple[str, str],
    kept: bool,
    data: st.DataObject,
) -> None:
    labels, heard = [label for label, _ in items], [sound for _, sound in items]
    order = data.draw(st.permutations(range(len(items))))
    rows = torch.tensor([*order, *(i + len(items) for i in order)])
    visual, audio = unit_rows(len(rows), seed), unit_rows(len(rows), seed + 1)
    torch.testing.assert_close(
        terms(
            visual[rows],
            audio[rows],
            [labels[i] for i in order],
            [heard[i] for i in order],
            pairs,
            kept,
        ),
        terms(visual, audio, labels, heard, pairs, kept),
    )


def test_pairs_that_are_off_are_zero_and_teach_nothing() -> None:
    visual, audio = unit_rows(8, seed=0).requires_grad_(), unit_rows(8, seed=1).requires_grad_()
    both = terms(visual, audio, ITEM_LABELS["mixed"], None, ("off", "off"))
    assert both.tolist() == [0, 0]
    assert not both.requires_grad


@pytest.mark.parametrize("modality", ["visual", "audio"])
def test_across_modalities_takes_two(modality: str) -> None:
    with pytest.raises(ValueError, match=f"the only modality is {modality}; give 'within'"):
        contrastive_losses(
            {modality: unit_rows(4, seed=0)},
            torch.tensor([0, 1, 0, 1]),
            temperature=TAU,
            category_pairs="cross",
        )


@both_readings
@rows_of_table_4
def test_joint_loss_takes_the_row_of_table_4(pairs: tuple[str, str], kept: bool) -> None:
    labels, heard = ITEM_LABELS["mixed"], [True, True, False, True]
    visual, audio, logits = (unit_rows(8, seed) for seed in (0, 1, 2))
    contrast = {"visual": visual, "audio": audio}
    losses = joint_loss(
        Outputs(logits, contrast, logits, logits, torch.tensor(heard).repeat(2)),
        torch.tensor(labels),
        torch.eye(4, dtype=torch.bool),
        omega=0.3,
        temperature=TAU,
        instance_weight=0.5,
        category_weight=2.0,
        instance_pairs=pairs[0],
        category_pairs=pairs[1],
        positive_in_denominator=kept,
    )
    instance, category = terms_by_loops(visual, audio, labels, heard, pairs, kept)
    torch.testing.assert_close(losses.nce_instance.double(), instance)
    torch.testing.assert_close(losses.nce_category.double(), category)
    expected = equations.joint(
        losses.ce, losses.bce, 0.5 * instance + 2 * category, losses.mse, 0.3
    )
    torch.testing.assert_close(losses.total, expected)
