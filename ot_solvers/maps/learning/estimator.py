"""Maps fitted with the Monge gap."""

from __future__ import annotations

import contextlib
import copy
import math
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from ... import validation as check
from ...backends import registry
from ...costs import Cosine, Cost, Dot, Sphere, SqEuclidean
from ...errors import ConvergenceError, ConvergenceWarning, stack_depth
from ...geometry import PointCloud
from ...namespaces import library_name
from ...regularisers import Entropic, absolute, entropic
from ..base import TransportMap, detached, read_samples
from ..gap import chosen_estimator
from ..held_out import fit_seeds, hold_out
from ..history import FitStatus, MapHistory, MapProgress
from ..linear import LinearMap
from .checkpoints import fingerprint, read_checkpoint, write_checkpoint
from .files import read_map, write_map
from .minibatches import Minibatches
from .network import OnSphere, ResidualMLP
from .terms import CallableFit, EnergyFit, GapTerm, SinkhornFit, Term, mmd_loss
from .trainer import Losses, Plan, Trainer
from .transport import StepSolver

__all__ = ["MongeGapMap"]

FITTINGS = ("sinkhorn", "energy", "sliced", "mmd")
#: Those that solve entropic problems.
SMOOTH = {"sinkhorn": SinkhornFit, "energy": EnergyFit}
STARTS = ("auto", "gaussian", "identity")
SCHEDULES = ("cosine", "constant")
DTYPES = {"float32": torch.float32, "float64": torch.float64}
#: Minibatch where none is asked for.
BATCH = 256
#: Coordinates up to which the gap has its full strength, and what it falls to, relative to where it begins.
COORDINATES, FALL = 16, 0.01
#: Points of each sample from which strengths relative to the costs are measured.
TYPICAL = 2048
#: Loss, in units of the mean cost, beyond which training has diverged.
LIMIT = 1000.0
#: Rows moved at a time.
ROWS = 1 << 16


class MongeGapMap(TransportMap):
    """A network fitted so that it moves source points to the target, at least cost [uscidda:23]_.

    Minimises ``fitting(T(x), y) + strength * monge_gap(x, T(x))`` over minibatches. In the manner of scikit-learn:
    options here, `fit`, then `transform`.

    Parameters
    ----------
    cost : str or Cost
        Of moving a point; any cost with a gradient. With ``"sphere"`` and ``"cosine"`` images have norm 1.
    network : "residual" or torch.nn.Module
        Built in: `ResidualMLP` with an affine part. A module maps (n, d) to (n, d) tensors; a copy is trained.
    hidden : sequence of int
        Widths of the hidden layers of the built-in network.
    activation : {"gelu", "relu", "silu", "softplus", "tanh"}
    start : {"auto", "gaussian", "identity"}
        Affine map that the built-in network begins at: the optimal one between Gaussians of the same means and
        covariances, or none. ``"auto"``: the former for squared Euclidean cost and negative inner product.
    fitting : {"energy", "sinkhorn", "sliced", "mmd"} or callable
        Loss between images and targets: minibatch energy distance of entropic transport [salimans:18]_, Sinkhorn
        divergence, squared sliced Wasserstein distance, squared maximum mean discrepancy with Gaussian kernels, or
        a function of two (n, d) tensors that returns a 0-d tensor. Divergences between small minibatches are
        smallest for images that are drawn together; the energy distance is not, and takes no more time.
    fitting_reg : float or Entropic
        Strength of the entropy in the first two, cost units; relative ones refer to the costs between x and y (of
        2048 points of each, drawn at random, where there are more).
    strength : "auto", float >= 0, (first, last), or callable
        Of the gap. A pair: from the first to the last number by equal factors, so that the gap chooses among the
        maps that fit, and hardly moves the one chosen. ``"auto"``: from 1 to 0.01, and 16 / d times as much where
        points have more than 16 coordinates: relative strengths of the entropy smooth each of them the more. A
        function of the number of steps done: any schedule. With 0 nothing says which of the maps that fit is
        wanted.
    gap_reg : None, float or Entropic
        Strength of the entropy in the gap, likewise.
    estimator : {"auto", "exact", "debiased", "entropic"}
        Of the gap, as in `monge_gap`. ``"auto"`` is ``"debiased"`` for symmetric costs, with `gap_reg`, and
        ``"exact"`` for others. Exact gaps of minibatches are 0 for many maps in more than a few dimensions, where
        points are far from each other; smoothed ones are not.
    batch_size : int, optional
        Points of a minibatch, of both sides; by default 256, or all points where there are fewer.
    steps : int
    learning_rate : float > 0
        Of Adam.
    schedule : {"cosine", "constant"}
        How the learning rate falls: along a cosine to 0, or not at all.
    averaging : float in [0, 1)
        Decay of the moving average of parameters that is used in the end; 0 for the last parameters.
    validation : float in [0, 1)
        Share of the points of both samples to hold out, at most 1024 of each; none where that is fewer than 8.
    validate_every : int
        Steps between validations, and between checkpoints.
    patience : int, optional
        End after so many validations without progress, and keep the best parameters. Losses are compared at the
        strength of the last step.
    record_every : int
        Steps between records of the history: values take more time than derivatives.
    both_ways : bool
        Fit a second network from y to x, for `inverse_transform`.
    tol : float > 0
        Marginal error of the transport problems of a step.
    seed : int
        Of the network, the validation split and the minibatches.
    device : str
        Of the network, as PyTorch calls it.
    dtype : {"float32", "float64"}
        Of the network.
    checkpoint : path, optional
        File that a stopped fit is gone on from: written at validations and when training ends, read at the
        beginning of `fit` where it exists. Fits of other points or options raise an error.
    callback : callable, optional
        Called with a `MapProgress` at every record; returning True ends training.
    progress : bool
        Show a progress bar (needs rich).
    on_failure : {"warn", "raise", "ignore"}
        What to do when training diverged.

    Attributes
    ----------
    network_ : torch.nn.Module
        The map.
    history_ : MapHistory
        Fit, gap and validation at the recorded steps.
    status_ : FitStatus
    reg_, gap_reg_ : float
        Strengths in cost units.
    inverse_network_, inverse_history_, inverse_status_
        Of the way back, with ``both_ways``.

    See Also
    --------
    EntropicMap, LinearMap

    Examples
    --------
    >>> import numpy as np, ot_solvers as ots
    >>> x = np.random.default_rng(0).normal(size=(500, 2))
    >>> fitted = ots.maps.MongeGapMap(steps=20, seed=0).fit(x, x + 1.0)
    >>> bool(abs(fitted.transform(x) - x - 1.0).max() < 0.2)
    True
    """

    def __init__(
        self,
        cost: Any = "sqeuclidean",
        *,
        network: Any = "residual",
        hidden: Sequence[int] = (128, 128, 128),
        activation: str = "gelu",
        start: str = "auto",
        fitting: Any = "energy",
        fitting_reg: Any = Entropic(0.1, relative_to="mean"),  # noqa: B008 (immutable)
        strength: Any = "auto",
        gap_reg: Any = Entropic(0.1, relative_to="mean"),  # noqa: B008
        estimator: str = "auto",
        batch_size: int | None = None,
        steps: int = 2000,
        learning_rate: float = 3e-3,
        schedule: str = "cosine",
        averaging: float = 0.99,
        validation: float = 0.1,
        validate_every: int = 100,
        patience: int | None = None,
        record_every: int = 10,
        both_ways: bool = False,
        tol: float = 1e-3,
        seed: int = 0,
        device: str = "cpu",
        dtype: str = "float32",
        checkpoint: str | os.PathLike | None = None,
        callback: Callable[[MapProgress], object] | None = None,
        progress: bool = False,
        on_failure: str = "warn",
    ):
        self.cost = cost
        self.network = network
        self.hidden = hidden
        self.activation = activation
        self.start = start
        self.fitting = fitting
        self.fitting_reg = fitting_reg
        self.strength = strength
        self.gap_reg = gap_reg
        self.estimator = estimator
        self.batch_size = batch_size
        self.steps = steps
        self.learning_rate = learning_rate
        self.schedule = schedule
        self.averaging = averaging
        self.validation = validation
        self.validate_every = validate_every
        self.patience = patience
        self.record_every = record_every
        self.both_ways = both_ways
        self.tol = tol
        self.seed = seed
        self.device = device
        self.dtype = dtype
        self.checkpoint = checkpoint
        self.callback = callback
        self.progress = progress
        self.on_failure = on_failure

    history_: MapHistory

    # --- fitting ----------------------------------------------------------------------------------------------

    def fit(self, x: Any, y: Any, a: Any = None, b: Any = None) -> MongeGapMap:
        """Fit the map from x to y.

        Parameters
        ----------
        x : (n, d) array
            Source points.
        y : (m, d) array
            Target points.
        a : (n,) array >= 0, optional
            Source weights: how often each point is drawn; uniform by default.
        b : (m,) array >= 0, optional
            Target weights.

        Returns
        -------
        self

        Raises
        ------
        ValueError, TypeError
            For bad input, naming the argument; NaN are named by row.
        ConvergenceError
            If training diverged, with ``on_failure="raise"``.
        KeyboardInterrupt
            On Ctrl-C, after the step: parameters and checkpoint are those reached.
        """
        settings = _Settings(self)
        first, second, a, b, _ = read_samples(x, y, a, b)
        settings.cost.check(first, "x")
        settings.cost.check(second, "y")
        settings.dimension = first.shape[1]
        # What PyTorch takes without a copy.
        first, second = (np.require(z, requirements=("C", "W")) for z in (first, second))
        ways = [_Way(settings, first, second, a, b, "")]
        if self.both_ways:
            ways.append(_Way(settings, second, first, b, a, "inverse"))
        for name in ("status_", "inverse_network_", "inverse_history_", "inverse_status_"):
            self.__dict__.pop(name, None)
        for prefix, way in zip(("", "inverse_"), ways):
            setattr(self, f"{prefix}network_", way.network)
            setattr(self, f"{prefix}history_", way.trainer.history)
            self.reg_, self.gap_reg_ = way.regs
            self.n_features_in_ = first.shape[1]
            try:
                status = way.train()
            finally:
                setattr(self, f"{prefix}history_", way.trainer.history)
            setattr(self, f"{prefix}status_", status)
            if status is FitStatus.INTERRUPTED:
                raise KeyboardInterrupt(status.value)
            if status is FitStatus.DIVERGED:
                self._report(prefix, status)
        return self

    def _report(self, prefix: str, status: FitStatus) -> None:
        if self.on_failure == "ignore":
            return
        message = f"{'way back: ' if prefix else ''}{status.name}: {status.value}"
        if self.on_failure == "raise":
            raise ConvergenceError(message, self)
        warnings.warn(message, ConvergenceWarning, stacklevel=stack_depth())

    # --- moving points ----------------------------------------------------------------------------------------

    def transform(self, x: Any) -> Any:
        """Move points.

        Parameters
        ----------
        x : (n, d) array
            Of any library; a tensor that requires gradients stays on its graph.

        Returns
        -------
        (n, d) array
            In the caller's library and dtype.
        """
        return self._moved("network_", x, "x")

    def inverse_transform(self, y: Any) -> Any:
        """Move points back; needs ``both_ways=True``.

        Parameters
        ----------
        y : (n, d) array

        Returns
        -------
        (n, d) array
        """
        self._need_fitted()
        if not hasattr(self, "inverse_network_"):
            raise AttributeError("this map goes one way: fit it with both_ways=True")
        return self._moved("inverse_network_", y, "y")

    def _moved(self, which: str, x: Any, argument: str) -> Any:
        from ...namespaces import Library

        array = self._new_points(detached(x), argument)
        network: nn.Module = getattr(self, which)
        check.read_cost(self.cost).check(array, argument)
        like = next(network.parameters())
        if isinstance(x, torch.Tensor):
            graph = torch.is_grad_enabled() and x.requires_grad
            with torch.set_grad_enabled(graph):
                parts = [network(part.to(like)) for part in x.split(ROWS)]
                return torch.cat(parts).to(x.device, x.dtype if x.is_floating_point() else like.dtype)
        with torch.no_grad():
            parts = [
                network(torch.tensor(np.ascontiguousarray(array[start : start + ROWS])).to(like)).cpu()
                for start in range(0, len(array), ROWS)
            ]
        library = Library(library_name(x) or "numpy", array.dtype)
        return library.array(torch.cat(parts).numpy())

    # --- files ------------------------------------------------------------------------------------------------

    def save(self, path: str | os.PathLike) -> None:
        """Write the map to a file, by convention ``.pt``; see `load`.

        Functions among the options (`strength`, `fitting`, `callback`) are not written.

        Parameters
        ----------
        path : str or path
        """
        self._need_fitted()
        names = [name for name in _FITTED if hasattr(self, name)]
        networks = {name: getattr(self, name) for name in names if name.endswith("network_")}
        fitted = {name: getattr(self, name) for name in names if name not in networks}
        write_map(path, self.get_params(), networks, fitted)

    @classmethod
    def load(cls, path: str | os.PathLike, network: nn.Module | None = None) -> MongeGapMap:
        """The map in a file that `save` has written; reading runs no code.

        Parameters
        ----------
        path : str or path
        network : nn.Module, optional
            A module like the one that was fitted, where it was the caller's own: files have parameters only.

        Raises
        ------
        FileNotFoundError
        ValueError
            If the file holds no such map, or `network` is missing or of other shapes.
        """
        options, states, fitted = read_map(path)
        if options["network"] is None:
            if network is None:
                raise ValueError(f"path={os.fspath(path)!r} has parameters of a module of yours: give network=")
            options["network"] = network
        found = cls(**options)
        for name, value in fitted.items():
            setattr(found, name, value)
        settings = _Settings(found)
        for name, state in states.items():
            module = _new_module(settings, found.n_features_in_, 0).to(DTYPES[found.dtype])
            try:
                module.load_state_dict(state)
            except RuntimeError as error:
                raise ValueError(f"network does not fit path={os.fspath(path)!r}: {error}") from None
            setattr(found, name, module.eval())
        return found

    def plot(self, x: Any = None, y: Any = None, axes: Any = None) -> Any:
        """Picture of the training, or of where points go (needs matplotlib).

        Parameters
        ----------
        x : (n, d) array, optional
            Points whose displacements are drawn, in their first two coordinates; the training history without.
        y : (m, d) array, optional
            Target points, behind them.
        axes : matplotlib axes, optional

        Returns
        -------
        matplotlib.figure.Figure
        """
        from ..pictures import plot_displacements, plot_history

        self._need_fitted()
        if x is None:
            return plot_history(self.history_, axes)
        return plot_displacements(x, self.transform(x), y, axes)


#: What a fit leaves.
_FITTED = (
    "n_features_in_", "network_", "history_", "status_", "reg_", "gap_reg_", "inverse_network_",
    "inverse_history_", "inverse_status_",
)  # fmt: skip


class _Settings:
    """Options of a map, checked.

    Attributes
    ----------
    dimension : int
        Coordinates of the points; set by who knows them.
    """

    dimension = 1

    def __init__(self, options: MongeGapMap):
        self.options = options
        self.cost: Cost = check.read_cost(options.cost)
        if type(self.cost).gradient is Cost.gradient:
            raise ValueError(f"cost={self.cost!r} has no gradient, which training needs")
        self._check_words()
        self.steps = check.count(options.steps, "steps")
        self.batch_size = None if options.batch_size is None else check.count(options.batch_size, "batch_size", 2)
        self.validate_every = check.count(options.validate_every, "validate_every")
        self.record_every = check.count(options.record_every, "record_every")
        self.patience = None if options.patience is None else check.count(options.patience, "patience")
        self.seed = check.count(options.seed, "seed", 0)
        self.learning_rate = check.positive(options.learning_rate, "learning_rate")
        self.tol = check.positive(options.tol, "tol")
        if isinstance(options.strength, str):
            check.choice(options.strength, "strength", ("auto",))
        if isinstance(options.strength, (tuple, list)) and len(options.strength) != 2:
            raise ValueError(f"strength={options.strength!r} must be a number, a pair (first, last) or a function")
        if not callable(options.strength):
            self.strength(0)
        self.averaging, self.validation = (
            _share(getattr(options, name), name) for name in ("averaging", "validation")
        )
        if self.patience is not None and self.validation == 0:
            raise ValueError(f"patience={self.patience} needs points to validate on: give validation, such as 0.1")
        if options.callback is not None and not callable(options.callback):
            raise TypeError(f"callback={options.callback!r} is not callable")
        if isinstance(options.hidden, str) or not isinstance(options.hidden, (Sequence, np.ndarray)):
            raise TypeError(f"hidden={options.hidden!r} must be a sequence of integers, such as (64, 64)")
        try:
            torch.empty(0, device=options.device)
        except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
            raise ValueError(f"device={options.device!r} cannot be used: {error}") from None

    def _check_words(self) -> None:
        options = self.options
        check.choice(options.start, "start", STARTS)
        check.choice(options.schedule, "schedule", SCHEDULES)
        check.choice(options.dtype, "dtype", tuple(DTYPES))
        check.choice(options.on_failure, "on_failure", ("warn", "raise", "ignore"))
        if not callable(options.fitting):
            check.choice(options.fitting, "fitting", FITTINGS)
        if not callable(options.fitting) and options.fitting in SMOOTH and not self.cost.symmetric:
            raise ValueError(
                f"cost={self.cost!r} is not symmetric, as fitting={options.fitting!r} needs it: use 'sliced'"
            )
        if not isinstance(options.network, nn.Module) and not (
            isinstance(options.network, str) and options.network == "residual"
        ):
            raise TypeError(f"network={options.network!r} must be 'residual' or a torch.nn.Module")

    def rate(self, done: int) -> float:
        """Learning rate of a step."""
        if self.options.schedule == "constant":
            return self.learning_rate
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done / self.steps))

    def strength(self, done: int) -> float:
        """Strength of the gap in a step."""
        given = self.options.strength
        if isinstance(given, str):
            first = min(1.0, COORDINATES / self.dimension)
            given = first, FALL * first
        if isinstance(given, (tuple, list)):
            first, last = (check.positive(value, "strength") for value in given)
            given = first * (last / first) ** (done / self.steps)
        value = check.number(given(done) if callable(given) else given, "strength")
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"strength={value!r} must be finite and not negative")
        return value

    @property
    def known(self) -> dict[str, str]:
        """What has to be the same in a fit that goes on."""
        free = {"checkpoint", "callback", "progress", "on_failure", "device"}
        params = self.options.get_params()
        described = {}
        for name, value in params.items():
            if name in free:
                continue
            named = isinstance(value, nn.Module) or callable(value)
            described[name] = getattr(value, "__qualname__", type(value).__qualname__) if named else repr(value)
            if type(value).__repr__ is object.__repr__ and not named:  # an address, which changes
                described[name] = f"{type(value).__qualname__}({vars(value)})"
        return described


@contextlib.contextmanager
def _named(argument: str) -> Iterator[None]:
    """Errors about a strength, under the name of the option that has it."""
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"{argument}: {error}") from None


def _share(value: Any, argument: str) -> float:
    found = check.number(value, argument)
    if not 0 <= found < 1:
        raise ValueError(f"{argument}={value!r} must be in [0, 1)")
    return found


class _Way:
    """The fit of one network, from x to y."""

    def __init__(self, settings: _Settings, x, y, a, b, suffix: str):
        self.settings, self.suffix = settings, suffix
        options = settings.options
        self.data = fingerprint(x, y, a, b)
        seeds = fit_seeds(settings.seed, len(suffix))
        train_x, train_y, train_a, train_b, held_x, held_y = hold_out(x, y, a, b, settings.validation, seeds[0])
        for name, given, kept in (("x", x, train_x), ("y", y, train_y)):
            if len(kept) < 2:
                raise ValueError(
                    f"{name} has {len(kept)} points to train on ({len(given)}, less {len(given) - len(kept)} held "
                    "out); expected at least 2"
                )
        if settings.patience is not None and not (len(held_x) and len(held_y)):
            raise ValueError(
                f"patience={settings.patience} needs points to validate on; validation={settings.validation:g} "
                f"holds out {len(held_x)} of {len(x)} points of x and {len(held_y)} of {len(y)} of y"
            )
        smaller = min(len(train_x), len(train_y))
        batch = min(BATCH, smaller) if settings.batch_size is None else settings.batch_size
        if batch > smaller:
            name, given, kept = ("x", x, train_x) if len(train_x) <= len(train_y) else ("y", y, train_y)
            raise ValueError(
                f"batch_size={batch} is more than the {len(kept)} points of {name} to train on "
                f"({len(given)}, less {len(given) - len(kept)} held out)"
            )
        generator = np.random.default_rng(seeds[0] + 2)
        self.some = tuple(z[generator.permutation(len(z))[:TYPICAL]] for z in (x, y))
        engine = registry.get("numba")
        cloud = PointCloud(self.some[0], self.some[1], settings.cost)
        scale = float(np.abs(self._typical_costs(settings.cost)).mean())
        strengths: list[float | None] = [None, None]
        smooth = options.gap_reg is not None and options.gap_reg != 0
        automatic = "debiased" if smooth and settings.cost.symmetric else "exact"
        wanted = automatic if options.estimator == "auto" else options.estimator
        if wanted == "debiased" and not settings.cost.symmetric:
            raise ValueError(f"cost={settings.cost!r} is not symmetric: use estimator='exact' or 'entropic'")
        with _named("gap_reg"):
            self.estimator = chosen_estimator(wanted, smooth, batch)
            if self.estimator != "exact":
                strengths[1] = absolute(entropic(options.gap_reg, None), cloud, engine)
        if not callable(options.fitting) and options.fitting in SMOOTH:
            with _named("fitting_reg"):
                strengths[0] = absolute(entropic(options.fitting_reg, None), cloud, engine)
        self.regs = strengths[0], strengths[1]
        dtype = DTYPES[options.dtype]
        self.network = self._new_network(x, y, a, b, seeds[1]).to(options.device, dtype)
        _check_images(self.network, train_x[: min(len(train_x), 4)])
        held = None
        if len(held_x) and len(held_y):
            if callable(options.fitting):
                # Functions of the caller get equally many points here too.
                most = min(len(held_x), len(held_y))
                held_x, held_y = held_x[:most], held_y[:most]
            held = (held_x, held_y, self._losses(held_x, held_y))
        # Other losses have units of their own.
        limit = LIMIT * max(scale, np.finfo(float).tiny) if strengths[0] is not None else math.inf
        plan = Plan(
            settings.steps, settings.rate, settings.strength, settings.averaging, settings.record_every,
            settings.validate_every, settings.patience, limit,
        )  # fmt: skip
        self.trainer = Trainer(
            self.network, train_x, train_y,
            Minibatches((len(train_x), len(train_y)), batch, (train_a, train_b), seeds[2]),
            self._losses(train_x, train_y), StepSolver(settings.cost, settings.tol), plan, held,
        )  # fmt: skip

    def _typical_costs(self, cost: Cost) -> np.ndarray:
        """Costs between a few hundred points of both samples."""
        first, second = (cost.prepare(z[:256].astype(np.float64)) for z in self.some)
        return np.asarray(cost.pairwise(first, second))

    def _losses(self, x: np.ndarray, y: np.ndarray) -> Losses:
        """Terms for samples of these sizes."""
        settings, options = self.settings, self.settings.options
        fit: Term
        if callable(options.fitting):
            fit = CallableFit(options.fitting)
        elif options.fitting in SMOOTH:
            assert self.regs[0] is not None
            fit = SMOOTH[options.fitting](self.regs[0], (len(x), len(y)))
        elif options.fitting == "sliced":
            fit = CallableFit(_squared_sliced())
        else:
            squares = self._typical_costs(SqEuclidean())
            fit = CallableFit(mmd_loss(math.sqrt(float(np.median(squares)))))
        never = isinstance(options.strength, (int, float)) and options.strength == 0
        gap = None if never else GapTerm(settings.cost, self.estimator, self.regs[1], len(x))
        return Losses(fit, gap)

    def _new_network(self, x, y, a, b, seed: int) -> nn.Module:
        settings, options = self.settings, self.settings.options
        built = _new_module(settings, x.shape[1], seed)
        if not isinstance(built, ResidualMLP):
            return built
        mean = np.average(x, axis=0, weights=a)
        scale = math.sqrt(float(np.average((x - mean) ** 2, axis=0, weights=a).mean()))
        built.standardise(torch.as_tensor(mean), scale if scale > 0 else 1.0)
        automatic = options.start == "auto" and isinstance(settings.cost, (SqEuclidean, Dot))
        if automatic or options.start == "gaussian":
            gaussian = LinearMap().fit(x.astype(np.float64), y.astype(np.float64), a, b)
            built.begin_at(torch.as_tensor(gaussian.matrix_), torch.as_tensor(gaussian.offset_))
        return built

    def train(self) -> FitStatus:
        """Train, going on from the checkpoint if there is one."""
        options = self.settings.options
        shapes = [tuple(value.shape) for value in self.network.state_dict().values()]
        known = self.settings.known | {"data": self.data, "shapes of parameters": repr(shapes)}
        path = stored = None
        if options.checkpoint is not None:
            path = os.fspath(options.checkpoint) + (f".{self.suffix}" if self.suffix else "")
            if os.path.exists(path):
                stored = read_checkpoint(path, known)

        def save() -> None:
            if path is not None:
                write_checkpoint(path, known, self.trainer.state)

        callback = options.callback
        from ..progress import progress_bar

        with progress_bar(options.progress, self.settings.steps, self.suffix) as show:

            def tell(progress: MapProgress) -> bool:
                show(progress)
                return callback is not None and callback(progress) is True

            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.settings.seed)
                if stored is not None:
                    self.trainer.state = stored
                return self.trainer.run(tell, save)


def _new_module(settings: _Settings, d: int, seed: int) -> nn.Module:
    """A network for points of d coordinates: built in, or a copy of the caller's."""
    options = settings.options
    if isinstance(options.network, nn.Module):
        built: nn.Module = copy.deepcopy(options.network)
    else:
        # Layers draw from the global generator: its state is put back.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            built = ResidualMLP(d, options.hidden, options.activation)
    return OnSphere(built) if isinstance(settings.cost, (Sphere, Cosine)) else built


def _squared_sliced() -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    from ...layers.torch import SlicedWassersteinLoss

    def loss(images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        # Directions by PyTorch's generator, whose state checkpoints have.
        seed = int(torch.randint(2**31, ()))
        distance = SlicedWassersteinLoss(p=2, n_projections=128, sampling="orthogonal", seed=seed)
        return distance(images, targets).square()

    return loss


def _check_images(network: nn.Module, x: np.ndarray) -> None:
    """Raise unless a network maps points to points."""
    like = next(network.parameters(), None)
    if like is None:
        raise ValueError("network has no parameters to train")
    # Nothing is drawn and nothing is learned by looking.
    network.eval()
    try:
        with torch.no_grad():
            moved = network(torch.as_tensor(x).to(like))
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise ValueError(f"network does not take points of shape {x.shape}: {error}") from error
    if not isinstance(moved, torch.Tensor) or moved.shape != x.shape:
        found = tuple(moved.shape) if isinstance(moved, torch.Tensor) else type(moved).__name__
        raise ValueError(f"network maps points of shape {x.shape} to {found}; expected the same shape")
