"""The command line: what can be asked for, in what words."""

from __future__ import annotations

import argparse
from typing import NoReturn

from ot_solvers._version import __version__
from ot_solvers.commands.errors import CommandError
from ot_solvers.commands.map_options import add_apply_map, add_fit_map
from ot_solvers.commands.options import add_backend, add_cost, add_report, count, unbalanced_penalty

SOLVE_EPILOG = """\
inputs
  .npy, .npz, or text tables (comma, semicolon, tab, bar or blanks; a header line is skipped, '#' starts a
  comment). An npz file with several arrays is searched for one called like the argument (x, y, a, b, C);
  --key names another one for the points or the cost matrix.

output (--out)
  An npz file without pickled objects:
    f (n,), g (m,)       potentials, cost units
    value, value_linear, dual_value, gap, marginal_error, reg, n_iter, converged, status, method,
    method_reason, backend
  and the plan:
    --plan sparse        data, indices, indptr, shape, format: scipy.sparse.load_npz(file) reads it
    --plan dense         plan (n, m)
    --plan none          nothing

--json
  The same figures with the seconds, the shapes and the files; infinities and NaN as strings.

exit codes
  0 converged   1 not converged, the answer is written   2 bad input   130 interrupted: the first Ctrl-C stops
  and writes the answer so far, the second one aborts
"""


class _Parser(argparse.ArgumentParser):
    """Errors as one line: the usage of a command with many options would bury them."""

    def error(self, message: str) -> NoReturn:
        raise CommandError(f"{message} (see {self.prog} --help)")


def command_line() -> argparse.ArgumentParser:
    """The parser of ``ot-solvers``."""
    parser = _Parser(prog="ot-solvers", description="Optimal transport from the command line.", allow_abbrev=False)
    parser.add_argument("--version", action="version", version=f"ot_solvers {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    _add_solve(commands)
    add_fit_map(commands)
    add_apply_map(commands)
    _add_transfer(commands)
    _add_demo(commands)
    _add_info(commands)
    return parser


def _add_solve(commands) -> None:
    solve = commands.add_parser(
        "solve",
        help="transport between two point clouds, or for a cost matrix",
        description="Entropic optimal transport between two point clouds, or for a given cost matrix.",
        epilog=SOLVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    inputs = solve.add_argument_group("problem")
    inputs.add_argument("x", nargs="?", help="points, (n, d)")
    inputs.add_argument("y", nargs="?", help="points, (m, d)")
    inputs.add_argument("--cost-matrix", metavar="C", help="costs, (n, m), instead of x and y")
    inputs.add_argument("--a", metavar="FILE", help="weights of x or of the rows (default: uniform)")
    inputs.add_argument("--b", metavar="FILE", help="weights of y or of the columns (default: uniform)")
    inputs.add_argument("--key", metavar="NAME", help="array to read from npz files of points or costs")
    add_cost(inputs)
    inputs.add_argument(
        "--reg",
        type=float,
        metavar="EPS",
        help="entropic regularisation, cost units; without it transport is exact",
    )
    inputs.add_argument("--reg-relative-to", choices=("mean", "max"), help="--reg is a multiple of this cost")
    inputs.add_argument(
        "--unbalanced",
        type=unbalanced_penalty,
        metavar="RHO",
        help="mass penalty, cost units: RHO or RHO_A,RHO_B",
    )
    inputs.add_argument("--unbalanced-type", choices=("kl", "tv"), help="kind of mass penalty (default: kl)")
    inputs.add_argument("--mass", type=float, metavar="M", help="partial transport: the mass to be moved")

    run = solve.add_argument_group("solver")
    run.add_argument("--method", default="auto", help="solver (default: auto)")
    add_backend(run)
    run.add_argument("--tol", type=float, help="marginal error to reach (default: 1e-6, float32: 1e-4)")
    run.add_argument("--max-iter", type=count, metavar="N", help="most passes over the cost")
    run.add_argument("--init", metavar="FILE", help="start from the potentials of an earlier --out")

    output = solve.add_argument_group("output")
    output.add_argument("--out", metavar="FILE.npz", help="write potentials, figures and the plan here")
    output.add_argument("--plan", choices=("sparse", "dense", "none"), help="the plan in --out (default: sparse)")
    output.add_argument("--plot", metavar="FILE.png", help="draw the plan and the convergence")
    add_report(output)


def _add_transfer(commands) -> None:
    transfer = commands.add_parser(
        "transfer",
        help="give one photograph the colours of another",
        description="Give a photograph the colours of a reference, at full resolution, by entropic transport "
        "between their palettes.",
        allow_abbrev=False,
    )
    transfer.add_argument("source", help="photograph to recolour")
    transfer.add_argument("reference", help="photograph whose colours are wanted")
    transfer.add_argument(
        "--out", required=True, metavar="FILE", help="where the result goes (png, jpg, webp, tiff)"
    )
    _add_transfer_options(transfer)
    transfer.add_argument("--tol", type=float, default=1e-3, help="marginal error to reach (default: 1e-3)")
    transfer.add_argument("--max-iter", type=count, metavar="N", help="most passes over the cost")
    add_backend(transfer)
    add_report(transfer)


def _add_transfer_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--reg", type=float, default=0.01, help="regularisation, a multiple of the mean cost (default: 0.01)"
    )
    parser.add_argument(
        "--unbalanced",
        type=float,
        default=0.1,
        metavar="RHO",
        help="how firmly each colour must be used as often as in the reference, a multiple of the mean cost "
        "(inf: exactly, default: 0.1)",
    )
    parser.add_argument(
        "--colours",
        type=count,
        default=4096,
        metavar="N",
        help="palette entries per picture (default: 4096)",
    )
    parser.add_argument(
        "--space", choices=("lab", "rgb"), default="lab", help="where colours are compared (default: lab)"
    )
    parser.add_argument(
        "--smooth",
        type=float,
        default=1.0,
        metavar="AMOUNT",
        help="how strongly to even out amplified grain and compression blocks (0: not at all, default: 1)",
    )


def _add_demo(commands) -> None:
    demo = commands.add_parser(
        "demo",
        help="colour transfer on two photographs that come with scikit-learn",
        description="Colour transfer between the two photographs that come with scikit-learn, both ways.",
        allow_abbrev=False,
    )
    demo.add_argument(
        "--out", default="ot-demo.png", metavar="FILE", help="picture to write (default: ot-demo.png)"
    )
    demo.add_argument("--no-open", action="store_true", help="do not show the picture when it is done")
    _add_transfer_options(demo)
    add_backend(demo)
    add_report(demo)
    demo.set_defaults(tol=1e-3, max_iter=None)


def _add_info(commands) -> None:
    info = commands.add_parser(
        "info",
        help="versions, threads, backends and what they can do",
        description="Versions, threads, backends and what they can do.",
        allow_abbrev=False,
    )
    info.add_argument("--json", action="store_true", help="print JSON")
