"""Ctrl-C in two steps."""

import os
import signal
import threading

import pytest

from ot_solvers.commands.interruption import Interruption


def test_the_first_asks_and_the_second_aborts(capfd):
    with pytest.raises(KeyboardInterrupt), Interruption() as interruption:
        assert not interruption.requested
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption.requested
        assert "Ctrl-C again aborts" in capfd.readouterr().err
        os.kill(os.getpid(), signal.SIGINT)


def test_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with Interruption():
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_are_left_alone():
    seen = []

    def inside():
        with Interruption() as interruption:
            seen.append(interruption.requested)

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    assert seen == [False]
