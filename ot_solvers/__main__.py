"""The ``ot-solvers`` command: ``solve``, ``fit-map``, ``apply-map``, ``transfer``, ``demo`` and ``info``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from ot_solvers.commands.errors import CommandError, one_line
from ot_solvers.commands.parser import command_line

ABORTED = 130  # 128 + SIGINT, as shells count it
BROKEN_PIPE = 141  # 128 + SIGPIPE


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and say how it ended.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0 converged, 1 not converged (the answer is written all the same), 2 bad input (one line on stderr),
        130 interrupted.
    """
    try:
        return _run(command_line().parse_args(argv))
    except CommandError as error:
        print(f"ot-solvers: error: {one_line(error)}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("ot-solvers: aborted", file=sys.stderr)
        return ABORTED
    except BrokenPipeError:
        # The reader went away (``| head``). The interpreter would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except SystemExit as done:  # --help and --version, from argparse
        return done.code if isinstance(done.code, int) else 0


def _run(args: argparse.Namespace) -> int:
    # Each subcommand imports only what it needs, and only when it is the one that was asked for.
    if args.command == "solve":
        from ot_solvers.commands import solve

        return solve.run(args)
    if args.command == "fit-map":
        from ot_solvers.commands import fit_map

        return fit_map.run(args)
    if args.command == "apply-map":
        from ot_solvers.commands import apply_map

        return apply_map.run(args)
    if args.command == "transfer":
        from ot_solvers.commands import transfer

        return transfer.run(args)
    if args.command == "demo":
        from ot_solvers.commands import demo

        return demo.run(args)
    from ot_solvers.commands import info

    return info.run(args)


if __name__ == "__main__":
    sys.exit(main())
