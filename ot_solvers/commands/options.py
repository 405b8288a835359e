"""Kinds of option values, and the options that several commands have."""

from __future__ import annotations

import argparse


def count(text: str) -> int:
    """A whole number from 1 up."""
    return _whole(text, 1)


def seed(text: str) -> int:
    """A whole number from 0 up."""
    return _whole(text, 0)


def widths(text: str) -> tuple[int, ...]:
    """Whole numbers from 1 up, with commas between them."""
    return tuple(count(part) for part in text.split(","))


def share(text: str) -> float:
    """A number in [0, 1)."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number < 1:
        raise argparse.ArgumentTypeError(f"expected a number from 0 up, below 1, got {text!r}")
    return number


def schedule(text: str) -> float | tuple[float, float]:
    """``NUMBER`` or ``FIRST,LAST``."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) == 1:
        return numbers[0]
    if len(numbers) == 2:
        return numbers[0], numbers[1]
    raise argparse.ArgumentTypeError(f"expected a number or FIRST,LAST, got {text!r}")


def unbalanced_penalty(text: str) -> float | tuple[float, float]:
    """``RHO`` or ``RHO_A,RHO_B``; ``inf`` keeps that side hard."""
    try:
        return schedule(text)
    except argparse.ArgumentTypeError:
        raise argparse.ArgumentTypeError(f"expected RHO or RHO_A,RHO_B, got {text!r}") from None


def add_cost(parser) -> None:
    """``--cost`` and its exponent."""
    parser.add_argument("--cost", metavar="NAME", help="cost between points (default: sqeuclidean)")
    parser.add_argument("--p", type=float, metavar="P", help="exponent, for --cost pnorm")


def add_backend(parser) -> None:
    """Where to compute."""
    parser.add_argument("--backend", default="auto", help="where to compute (default: auto)")
    add_threads(parser)


def add_threads(parser) -> None:
    """With how many threads."""
    parser.add_argument("--threads", type=count, metavar="N", help="threads to use")


def add_report(parser) -> None:
    """What to print."""
    parser.add_argument("--quiet", action="store_true", help="no progress and no summary")
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")


def _whole(text: str, least: int) -> int:
    try:
        number = int(text)
    except ValueError:
        number = least - 1
    if number < least:
        raise argparse.ArgumentTypeError(f"expected a whole number from {least} up, got {text!r}")
    return number
