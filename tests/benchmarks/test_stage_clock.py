"""A step's time is divided into its stages, none counted twice, and the step is not changed."""

import time

import pytest
import torch

from benchmarks.stage_clock import STAGES, StageClock
from benchmarks.trainings import Setting, batch_of_noise, begin

CPU = torch.device("cpu")


def test_a_stage_stops_the_clock_of_the_one_outside() -> None:
    clock = StageClock(CPU)
    with clock.within("objective"):
        time.sleep(0.02)
        with clock.within("forward"):
            time.sleep(0.06)
        time.sleep(0.02)
    time.sleep(0.05)  # of no stage
    assert 0.04 <= clock.seconds["objective"] < 0.06
    assert 0.06 <= clock.seconds["forward"] < 0.1
    assert set(clock.seconds) == {"objective", "forward"}


def test_all_of_a_step_is_of_some_stage_and_it_stays_the_same_step() -> None:
    config = Setting("quick", batch=4, width=8).config("float32")
    watched, plain = begin(config, CPU), begin(config, CPU)
    batch, clock = batch_of_noise(plain), StageClock(CPU)
    before = torch.Tensor.backward
    for _ in range(2):
        plain.take_step(batch)
    began = time.perf_counter()
    with clock.watching(watched):
        for _ in range(2):
            watched.take_step(batch)
    took = time.perf_counter() - began
    assert set(clock.seconds) == set(STAGES) - {"decode", "transfer"}
    assert sum(clock.seconds.values()) == pytest.approx(took, rel=0.1)
    assert clock.seconds["backward"] > clock.seconds["optimiser"] > 0
    for ours, expected in zip(watched.network.parameters(), plain.network.parameters()):
        torch.testing.assert_close(ours, expected, rtol=0, atol=0)
    assert torch.Tensor.backward is before
    clock.seconds.clear()
    watched.take_step(batch)  # no longer watched
    assert not clock.seconds
