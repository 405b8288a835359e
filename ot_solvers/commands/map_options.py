"""The command lines of ``fit-map`` and ``apply-map``."""

from __future__ import annotations

import argparse

from ot_solvers.commands.options import add_cost, add_report, add_threads, count, schedule, seed, share, widths

METHODS = ("monge-gap", "entropic", "linear")

FIT_EPILOG = """\
inputs
  .npy, .npz, text tables (comma, semicolon, tab, bar or blanks; a header line is skipped) or .h5ad. An npz file
  with several arrays is searched for one called like the argument (source or x, target or y); --key names
  another one, for .h5ad "X", a name in obsm such as X_pca, or layers/NAME. Both samples may lie in one file:
    ot-solvers fit-map cells.h5ad cells.h5ad --key X_pca --where-source drug=control \\
        --where-target drug=dasatinib --out map.pt

methods
  monge-gap   a network, trained so that images are distributed as the target and moved at least cost; for any
              cost with a gradient; needs torch
  entropic    from the potentials of an entropic plan; needs --reg
  linear      the closed form between Gaussians, for the costs sqeuclidean and dot

interruption (monge-gap)
  The first Ctrl-C ends training after the step and writes the map reached and the checkpoint, the second one
  aborts. The same command with the same --checkpoint goes on, to the losses that an uninterrupted run has.

output (--out)
  What ot_solvers.maps.load and ot-solvers apply-map read: .pt for monge-gap, .npz for the others. Reading it runs
  no code.

exit codes
  0 done   1 diverged or not converged, the last good map is written   2 bad input   130 interrupted, the map
  reached is written
"""

APPLY_EPILOG = """\
output (--out)
  .npy    the images, (n, d)
  .npz    the same, under the name images
  .csv    the same, one line per point, commas, no header
  Written when it is complete, or not at all.

exit codes
  0 done   1 some points have no image (NaN), the others are written   2 bad input   130 aborted
"""


def add_fit_map(commands) -> None:
    """The options of ``ot-solvers fit-map``."""
    fit = commands.add_parser(
        "fit-map",
        help="fit a transport map from one point cloud to another",
        description="Fit a transport map that moves new points, from samples of source and target.",
        epilog=FIT_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    inputs = fit.add_argument_group("samples")
    inputs.add_argument("source", help="points to move, (n, d)")
    inputs.add_argument("target", help="points to move them to, (m, d)")
    inputs.add_argument("--key", metavar="NAME", help="array to read from npz and h5ad files")
    for side in ("source", "target"):
        inputs.add_argument(f"--key-{side}", metavar="NAME", help=f"the same, of {side} only")
    for side in ("source", "target"):
        inputs.add_argument(
            f"--where-{side}", metavar="COLUMN=VALUE", help=f"only these rows of {side} (npz and h5ad files)"
        )
    for side in ("source", "target"):
        inputs.add_argument(
            f"--weights-{side}", metavar="FILE", help=f"weights of the points of {side} (default: uniform)"
        )

    problem = fit.add_argument_group("map")
    problem.add_argument("--method", choices=METHODS, default="monge-gap", help="kind of map (default: monge-gap)")
    add_cost(problem)
    problem.add_argument(
        "--reg",
        type=float,
        metavar="EPS",
        help="strength of the entropy, cost units: in the plan (entropic), in fit and gap (monge-gap; "
        "default: 0.1 of the mean cost)",
    )
    problem.add_argument("--reg-relative-to", choices=("mean", "max"), help="--reg is a multiple of this cost")
    problem.add_argument(
        "--projection",
        choices=("auto", "twist", "barycentric"),
        help="entropic: the y of steepest descent, where the cost has a twist (auto), or the mean of the targets",
    )
    problem.add_argument(
        "--shrinkage", type=float, metavar="SHARE", help="linear: how far covariances are made round (default: 0)"
    )
    problem.add_argument(
        "--validation",
        type=share,
        default=0.1,
        metavar="SHARE",
        help="share of both samples to hold out for the report, 8 to 1024 points of each (default: 0.1)",
    )
    problem.add_argument("--tol", type=float, help="marginal error of transport problems")
    problem.add_argument("--seed", type=seed, default=0, help="of everything random (default: 0)")

    _add_training(fit.add_argument_group("training (monge-gap)"))

    output = fit.add_argument_group("output")
    output.add_argument("--out", required=True, metavar="FILE", help="write the map here (.pt, .npz)")
    output.add_argument("--plot", metavar="FILE.png", help="draw where points go, and the training")
    output.add_argument("--history", metavar="FILE.csv", help="write fit, gap and validation by step (monge-gap)")
    add_threads(output)
    add_report(output)


def _add_training(training) -> None:
    training.add_argument(
        "--strength",
        type=schedule,
        metavar="NUMBER",
        help="of the gap, a number or FIRST,LAST (default: 1,0.01; less in more than 16 coordinates)",
    )
    training.add_argument(
        "--fitting", metavar="NAME", help="loss: energy, sinkhorn, sliced or mmd (default: energy)"
    )
    training.add_argument("--steps", type=count, metavar="N", help="steps of training (default: 2000)")
    training.add_argument("--batch-size", type=count, metavar="N", help="points per step and side (default: 256)")
    training.add_argument("--learning-rate", type=float, metavar="RATE", help="of Adam (default: 0.003)")
    training.add_argument(
        "--hidden", type=widths, metavar="WIDTHS", help="of the hidden layers (default: 128,128,128)"
    )
    training.add_argument(
        "--validate-every",
        type=count,
        metavar="N",
        help="steps between validations, and between checkpoints (default: 100)",
    )
    training.add_argument(
        "--patience", type=count, metavar="N", help="end after so many validations without progress"
    )
    training.add_argument(
        "--both-ways", action="store_true", default=None, help="fit the way back too, for apply-map --inverse"
    )
    training.add_argument("--device", metavar="NAME", help="of the network, as PyTorch calls it (default: cpu)")
    training.add_argument(
        "--checkpoint", metavar="FILE", help="file that a stopped fit goes on from (FILE.inverse: of the way back)"
    )
    training.add_argument(
        "--resume",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="insist on going on from --checkpoint, or start anew (default: go on where the file exists)",
    )


def add_apply_map(commands) -> None:
    """The options of ``ot-solvers apply-map``."""
    apply = commands.add_parser(
        "apply-map",
        help="move points by a map from fit-map",
        description="Move points by a map that fit-map, or the save method of a map, has written.",
        epilog=APPLY_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    apply.add_argument("map", help="file of the map (.pt, .npz)")
    apply.add_argument("points", help="points to move, (n, d); formats as for fit-map")
    apply.add_argument("--out", required=True, metavar="FILE", help="where the images go (.npy, .npz, .csv)")
    apply.add_argument("--inverse", action="store_true", help="move points of the target back")
    apply.add_argument("--key", metavar="NAME", help="array to read from npz and h5ad files")
    apply.add_argument("--where", metavar="COLUMN=VALUE", help="only these rows (npz and h5ad files)")
    add_threads(apply)
    add_report(apply)
