import os
import signal
import threading

import pytest

from newfound.machine.interrupt import signals_held, stop_requested, terminated_as_by_ctrl_c


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_first_signal_only_asks(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    with stop_requested() as stop:
        assert not stop()
        os.kill(os.getpid(), number)
        assert stop()
        assert signal.getsignal(number) is before  # a second one acts
    assert stop()  # which may be asked afterwards
    assert signal.getsignal(number) is before


def test_what_a_program_was_started_to_ignore_stays_ignored() -> None:
    """As Ctrl-C by shells for what they start with `&`, and the end of a terminal by nohup."""
    for number in (signal.SIGINT, signal.SIGHUP):
        before = signal.signal(number, signal.SIG_IGN)
        try:
            with terminated_as_by_ctrl_c(), stop_requested() as stop, signals_held():
                os.kill(os.getpid(), number)
            assert not stop()
            assert signal.getsignal(number) is signal.SIG_IGN
        finally:
            signal.signal(number, before)


def test_a_second_ctrl_c_acts_at_once() -> None:
    with pytest.raises(KeyboardInterrupt), stop_requested():
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_of_two_within_each_other_a_second_ctrl_c_acts_at_once_too() -> None:
    with stop_requested() as outer:
        with pytest.raises(KeyboardInterrupt), stop_requested() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            assert inner() and outer()
            os.kill(os.getpid(), signal.SIGINT)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # the second acts
        assert signal.getsignal(signal.SIGTERM) not in (signal.SIG_DFL, signal.default_int_handler)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_a_signal_before_or_after_one_within_is_the_outer_ones() -> None:
    with stop_requested() as outer:
        with stop_requested() as inner:
            pass
        os.kill(os.getpid(), signal.SIGINT)
        assert outer() and not inner()


def test_in_another_thread_signals_are_left_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    asked = []

    def work() -> None:
        with stop_requested() as stop, signals_held(), terminated_as_by_ctrl_c():
            asked.append((stop(), signal.getsignal(signal.SIGINT) is before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [(False, True)]


def test_held_signals_act_at_the_end() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), signals_held():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("all of it")
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_held_signals_still_only_ask_where_they_only_ask() -> None:
    with stop_requested() as stop:
        with signals_held():
            os.kill(os.getpid(), signal.SIGTERM)
            assert not stop()
        assert stop()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_termination_is_as_ctrl_c_and_left_as_it_was(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), terminated_as_by_ctrl_c():
        assert signal.getsignal(number) is signal.default_int_handler
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is signal.SIG_DFL


def test_a_program_that_handles_termination_keeps_its_way() -> None:
    came = []
    signal.signal(signal.SIGTERM, lambda *_: came.append("its own"))
    try:
        with terminated_as_by_ctrl_c():
            os.kill(os.getpid(), signal.SIGTERM)
        assert came == ["its own"]
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
