"""Fits that are stopped and gone on with: what is held out, Ctrl-C, early stops, files."""

import os
import signal
import stat

import numpy as np
import pytest

import ot_solvers as ots
from ot_solvers.maps.held_out import FEWEST, HELD_OUT, fit_seeds, hold_out

torch = pytest.importorskip("torch")

from ot_solvers.maps.learning.checkpoints import remove_checkpoint  # noqa: E402
from ot_solvers.maps.learning.interrupts import HeldInterrupts  # noqa: E402
from ot_solvers.maps.learning.threads import network_threads  # noqa: E402

SMALL = {"hidden": (8,), "batch_size": 16, "validate_every": 5, "record_every": 5, "validation": 0.2}


@pytest.fixture
def samples():
    return ots.maps.gaussian_problem(2, seed=1).sample(60, seed=0)


def losses(fitted):
    return [record[:-1] for record in fitted.history_]  # all but the seconds


@pytest.mark.parametrize("weighted", [False, True])
def test_every_point_is_either_held_out_or_not(weighted):
    x, y = np.arange(100.0)[:, None], np.arange(40.0)[:, None]
    a = np.linspace(0, 1, 100) / 50 if weighted else None
    split = hold_out(x, y, a, None, 0.25, fit_seeds(3)[0])
    assert (len(split.held_x), len(split.held_y)) == (25, 10)
    for points, kept, held in ((x, split.x, split.held_x), (y, split.y, split.held_y)):
        assert not set(kept[:, 0]) & set(held[:, 0])
        assert set(kept[:, 0]) | set(held[:, 0]) <= set(points[:, 0])
        assert len(kept) + len(held) == len(points)
    if weighted:
        assert split.a.sum() == pytest.approx(1)
        np.testing.assert_allclose(split.a / split.a.max(), split.x[:, 0] / split.x.max())
        assert 0 not in split.held_x  # a point of weight 0
    assert not np.array_equal(split.held_x, hold_out(x, y, a, None, 0.25, fit_seeds(4)[0]).held_x)


def test_at_most_so_many_points_are_held_out():
    x = np.zeros((20 * HELD_OUT, 1))
    split = hold_out(x, x[: 10 * FEWEST], None, None, 0.1, 0)
    assert (len(split.held_x), len(split.held_y), len(split.y)) == (HELD_OUT, FEWEST, 9 * FEWEST)


def test_few_points_are_all_fitted_to():
    x = np.arange(10.0 * FEWEST)[:, None]
    split = hold_out(x, x[:-1], None, None, 0.1, 0)
    assert (len(split.held_x), len(split.held_y)) == (0, 0)
    assert split.x is x


def test_a_fit_that_stopped_early_stays_stopped(samples, tmp_path):
    options = {**SMALL, "steps": 200, "patience": 1, "learning_rate": 0.05, "checkpoint": tmp_path / "fit.ckpt"}
    first = ots.maps.MongeGapMap(**options).fit(*samples)
    assert first.status_ is ots.maps.FitStatus.EARLY_STOPPED
    again = ots.maps.MongeGapMap(**options).fit(*samples)
    assert again.status_ is ots.maps.FitStatus.EARLY_STOPPED
    assert losses(again) == losses(first)
    np.testing.assert_array_equal(again.transform(samples[0]), first.transform(samples[0]))


class Holder:
    """Somebody else who holds interrupts."""

    requested = False

    def on_signal(self, number, frame):
        self.requested = True


def test_interrupts_that_others_hold_end_training(samples):
    holder = Holder()

    def press(progress):
        if progress.step == 6:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, holder.on_signal)
    try:
        fitted = ots.maps.MongeGapMap(**SMALL, steps=50, callback=press)
        with pytest.raises(KeyboardInterrupt):
            fitted.fit(*samples)
        assert signal.getsignal(signal.SIGINT) == holder.on_signal
    finally:
        signal.signal(signal.SIGINT, before)
    assert fitted.status_ is ots.maps.FitStatus.INTERRUPTED
    assert fitted.history_[-1].step == 6


def test_other_handlers_are_left_alone():
    seen = []
    before = signal.signal(signal.SIGINT, lambda number, frame: seen.append(number))
    try:
        with HeldInterrupts() as interrupts:
            os.kill(os.getpid(), signal.SIGINT)
            assert not interrupts.requested
    finally:
        signal.signal(signal.SIGINT, before)
    assert seen == [signal.SIGINT]


def test_what_is_saved_can_be_read(samples, tmp_path):
    fitted = ots.maps.MongeGapMap(**SMALL, steps=5, learning_rate=np.float64(0.01)).fit(*samples)
    fitted.save(tmp_path / "map.pt")
    again = ots.maps.load(tmp_path / "map.pt")
    assert (again.reg_, again.gap_reg_) == (fitted.reg_, fitted.gap_reg_)
    assert again.history_ == fitted.history_
    np.testing.assert_array_equal(again.transform(samples[0]), fitted.transform(samples[0]))


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_files_have_ordinary_permissions(samples, tmp_path):
    (tmp_path / "other").touch()
    options = {**SMALL, "steps": 5, "checkpoint": tmp_path / "fit.ckpt"}
    ots.maps.MongeGapMap(**options).fit(*samples).save(tmp_path / "map.pt")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert set(modes) == {"other", "fit.ckpt", "map.pt"}
    assert len(set(modes.values())) == 1


def test_checkpoints_are_removed_and_nothing_else(samples, tmp_path):
    checkpoint = tmp_path / "fit.ckpt"
    fitted = ots.maps.MongeGapMap(**SMALL, steps=5, checkpoint=checkpoint).fit(*samples)
    fitted.save(tmp_path / "map.pt")
    np.save(tmp_path / "x.npy", samples[0])
    for name in ("map.pt", "x.npy"):
        with pytest.raises(ValueError, match="is no checkpoint of a map; it is left as it is"):
            remove_checkpoint(tmp_path / name)
        assert (tmp_path / name).exists()
    remove_checkpoint(checkpoint)
    assert not checkpoint.exists()
    remove_checkpoint(checkpoint)


def test_threads_of_networks_are_put_back():
    before = torch.get_num_threads()
    with network_threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
