"""Turns: who comes when, how often, and what their time is."""

import time

import pytest
import torch

from benchmarks.clock import Budget, seconds, take_turns

CPU = torch.device("cpu")


def test_works_take_turns() -> None:
    called: list[str] = []
    works = [lambda: called.append("ours"), lambda: called.append("theirs")]
    taken = take_turns(works, CPU, Budget(60, 5))
    assert [len(of_work) for of_work in taken] == [5, 5]
    assert called == ["ours", "theirs"] * (3 + 5)  # three turns to warm up


@pytest.mark.parametrize(("turns", "expected"), [(15, 3), (2, 2)])
def test_without_time_left_there_are_few_turns(turns: int, expected: int) -> None:
    called: list[int] = []
    (taken,) = take_turns([lambda: called.append(1)], CPU, Budget(0, turns))
    assert len(taken) == expected
    assert len(called) == expected + 1


def test_with_one_thread_time_is_the_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert seconds(lambda: time.sleep(0.05), CPU) < 0.04
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert seconds(lambda: time.sleep(0.05), CPU) >= 0.05
