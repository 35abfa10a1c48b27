"""Every case at its smallest gives the figures it promises, and none to a wrong fast path."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.cases import CASES, augment, catalogue, pairs, predict, processes, stages, step
from benchmarks.clock import Budget
from benchmarks.results import CaseResult, Spread
from benchmarks.stage_clock import STAGES
from benchmarks.trainings import Setting, begin, network_of
from newfound.results.inference import Answers

CPU = torch.device("cpu")


def figures(result: CaseResult) -> list[Spread]:
    """All of them; that they are finite was checked as they were made."""
    rows = result.rows
    every = [
        spread
        for row in rows
        for spread in (row.ours, row.theirs, row.times_as_fast, row.peak_mb, row.their_peak_mb)
        if spread is not None
    ]
    assert len({row.what for row in rows}) == len(rows) > 0
    return every


def test_a_step_stands_beside_the_bare_network() -> None:
    result = CASES["step"]("tiny")
    assert all(spread.median > 0 for spread in figures(result))
    on_cpu = [row for row in result.rows if row.what.endswith("cpu")]
    assert {row.what.split(",")[0] for row in on_cpu} >= {
        "small-images",
        "quick",
        "quick-videos both",
        "quick-videos visual",
        "quick-videos audio",
    }
    for row in on_cpu:
        assert row.against == "bare forward + backward"
        assert row.times_as_fast is not None and row.times_as_fast.median < 2
        assert row.unit == ("clips/s" if "videos" in row.what else "images/s")


@pytest.mark.slow
def test_two_precisions_are_compared() -> None:
    setting = Setting("small-images", batch=4)
    rows = step.measured(setting, ["bfloat16", "float32"], CPU, Budget(0, 2))
    assert [row.what for row in rows] == [
        "small-images, bfloat16, cpu",
        "small-images, float32, cpu",
        "small-images, bfloat16 against float32, cpu",
    ]
    assert rows[2].ours == rows[0].ours and rows[2].theirs == rows[1].ours


def test_a_steps_shares_are_those_of_its_stages() -> None:
    setting, budget = Setting("quick", batch=4, width=8), Budget(0, 2)
    rows = stages.measured(setting, "float32", stages.KEPT, CPU, budget)
    assert [row.what for row in rows] == [
        f"quick, float32, cpu, kept: {name}" for name in ("step", *STAGES)
    ]
    assert [row.unit for row in rows] == ["images/s", *["%"] * len(STAGES)]
    assert all(row.ours.median > 0 for row in rows)
    # Of two steps the median is the mean, so that shares add up.
    assert sum(row.ours.median for row in rows[1:]) == pytest.approx(100)


@pytest.mark.slow
def test_shares_are_of_items_kept_and_decoded_anew() -> None:
    result = CASES["stages"]("tiny")
    figures(result)
    of_steps = [row.what for row in result.rows if row.what.endswith("cpu, kept: step")]
    assert [what.split(",")[0] for what in of_steps] == [
        "small-images",
        "quick",
        "quick-videos both",
    ]
    for kind in ("quick, float32, cpu, JPEG", "quick-videos both, float32, cpu, mp4"):
        rows = {row.what: row.ours.median for row in result.rows}
        assert rows[f"{kind}: decode"] > 0


@pytest.mark.slow
def test_pairs_stand_beside_their_textbook_forms() -> None:
    result = CASES["pairs"]("tiny")
    figures(result)
    on_cpu = [row for row in result.rows if row.what.endswith("cpu")]
    assert [row.what.split(",")[0] for row in on_cpu] == [
        *pairs.RULES,
        "NCE-I + NCE-C with gradient",
    ]
    for row in on_cpu:
        assert row.unit == "ms"
        assert None not in (row.theirs, row.times_as_fast, row.peak_mb, row.their_peak_mb)


def test_views_stand_beside_those_of_other_libraries() -> None:
    pytest.importorskip("kornia")
    result = CASES["augment"]("tiny")
    assert all(spread.median > 0 for spread in figures(result))
    assert {row.against for row in result.rows} == {"torchvision v2", "kornia"}
    assert {row.unit for row in result.rows} == {"µs/view"}


def test_without_kornia_there_is_a_word_and_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(augment, "find_spec", lambda _: None)
    result = CASES["augment"]("tiny")
    assert {row.against for row in result.rows} == {"torchvision v2"}
    assert "kornia is not installed, so it was left out: pip install -e '.[bench]'" in result.notes


def test_prediction_stands_beside_the_bare_forward_pass() -> None:
    result = CASES["predict"]("tiny")
    assert all(spread.median > 0 for spread in figures(result))
    for row in result.rows:
        assert row.against == "bare forward" and row.times_as_fast is not None


def test_decoding_stands_beside_plain_pyav() -> None:
    result = CASES["decoding"]("tiny")
    assert all(spread.median > 0 for spread in figures(result))
    assert [row.what for row in result.rows] == ["digits, both", "camera, both"]
    assert {row.against for row in result.rows} == {"plain PyAV"}


@pytest.mark.slow
def test_opening_a_set_is_measured_with_and_without_its_index() -> None:
    result = CASES["catalogue"]("tiny")
    figures(result)
    assert [(row.what, row.unit) for row in result.rows] == [
        ("20 items: opening", "ms"),
        ("20 items: time of each", "µs/item"),
        ("20 items: memory of each", "bytes/item"),
    ]
    assert {row.against for row in result.rows} == {"without the index"}


@pytest.mark.slow
def test_a_run_in_one_process_is_measured() -> None:
    result = CASES["processes"]("tiny")
    assert not any("refused" in note for note in result.notes)
    (row,) = result.rows
    assert (row.what, row.unit) == ("digits, 1 process", "images/s")
    assert row.ours.median > 0


def test_a_number_of_processes_that_is_refused_is_noted_and_the_others_are_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def epochs_of(count: int, epochs: int) -> list[dict[str, float]]:
        if count == 2:
            raise processes.RefusedError("error: no")
        rates = [1.0, *[10.0 * count] * (epochs - 1)]  # the first epoch does not count
        return [{"total": 2.0, "items_per_second": rate} for rate in rates]

    monkeypatch.setattr(processes, "epochs_of", epochs_of)
    result = processes.run("default")
    assert [row.what for row in result.rows] == ["digits, 1 process", "digits, 4 processes"]
    assert result.rows[1].times_as_fast == Spread.of([4.0] * 5)
    assert result.rows[1].theirs == result.rows[0].ours == Spread.of([10.0] * 5)
    assert "2 processes: the command refused: error: no" in result.notes


# Checks before the clock starts: a fast path that is wrong fails its case.


def test_a_wrong_rule_of_pairs_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs.check(CPU)
    for name in ("wta_agreement", "same_top", "cosine_similarity", "nearest_neighbours"):
        with monkeypatch.context() as patched:
            right = getattr(pairs, name)
            patched.setattr(pairs, name, lambda *given, right=right: right(*given).roll(1, 0))
            with pytest.raises(AssertionError):
                pairs.check(CPU)


def test_a_wrong_nce_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    right = pairs.contrastive_losses
    # The same value, and half of the gradient.
    monkeypatch.setattr(
        pairs,
        "contrastive_losses",
        lambda contrast, *given, **named: right(
            {name: (z + z.detach()) / 2 for name, z in contrast.items()}, *given, **named
        ),
    )
    with pytest.raises(AssertionError):
        pairs.check(CPU)


def test_a_step_with_another_loss_or_with_weights_that_stay_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    training = begin(Setting("quick", batch=4, width=8).config("float32"), CPU)
    step.check(training)
    with monkeypatch.context() as patched:
        patched.setattr(training, "take_step", lambda _: None)
        with pytest.raises(AssertionError, match="a step changes every weight"):
            step.check(training)
    right = step.objective_of(training).losses

    def without_nce(*given: object) -> dict[str, Tensor]:
        return right(*given) | {"nce_category": torch.zeros(())}  # type: ignore[arg-type]

    monkeypatch.setattr(step.objective_of(training), "losses", without_nce)
    with pytest.raises(AssertionError, match=r"for item \[1\]"):
        step.check(training)


def test_other_views_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    augment.check(CPU, with_kornia=False)
    right = augment.two_views
    monkeypatch.setattr(augment, "two_views", lambda *given: right(*given).flip(-1))
    with pytest.raises(AssertionError):
        augment.check(CPU, with_kornia=False)


def test_other_answers_fail() -> None:
    config = Setting("quick", batch=4, width=8).config("float32")
    network = network_of(config, CPU)
    items = stages.kept(config, CPU, 4, Path())
    answers: Answers = predict.ask(network, items, np.arange(4), config=config, device=CPU)
    (media,) = items.batches([torch.arange(4)])
    seen = predict.Look(network, config, CPU).viewer.plain(media)
    predict.check(config, network, answers.features, seen, 1)
    with pytest.raises(AssertionError):
        predict.check(config, network, answers.features[::-1].copy(), seen, 1)


def test_an_index_that_changes_what_is_found_fails() -> None:
    found = {"items": 20, "labelled": 10, "fingerprint": "a"}
    catalogue.check([found], [found], 20)
    for wrong in ({"items": 19}, {"labelled": 9}, {"fingerprint": "b"}):
        with pytest.raises(AssertionError):
            catalogue.check([found], [found | wrong], 20)


def test_processes_that_learn_something_else_fail() -> None:
    processes.check([{"total": 2.001}], [{"total": 2.0}])
    with pytest.raises(AssertionError, match=r"loss is 2\.1, of one process 2\.0"):
        processes.check([{"total": 2.1}], [{"total": 2.0}])


def test_of_a_form_that_would_take_too_long_a_part_is_measured() -> None:
    given, rule = pairs.made(64, CPU), pairs.RULES["WTA agreement"]
    assert pairs.anchors_to_compare(rule, given, CPU, at_most=60) == 64
    few = pairs.anchors_to_compare(rule, given, CPU, at_most=1e-9)
    assert few == 1
    row = pairs.measured("WTA agreement", 64, CPU, pairs.Extent((64,), Budget(0, 2), 1e-9, 1))
    assert row.against == "codes (M, M, H), scaled from 1 anchors"
