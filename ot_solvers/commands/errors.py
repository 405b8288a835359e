"""The one exception that reaches the user as one line."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


class CommandError(Exception):
    """Something the user can put right: printed as one line, without a traceback.

    Parameters
    ----------
    message : str
    exit_code : int, default 2
    """

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def one_line(message: object) -> str:
    """The message without its line breaks and indentation."""
    return " ".join(str(message).split())


@contextlib.contextmanager
def library_errors() -> Iterator[None]:
    """Pass the library's complaints about its input on to the user.

    Only calls into the library belong inside: a ``ValueError`` of the command itself is a bug and must show.
    """
    try:
        yield
    except (ValueError, TypeError, NotImplementedError) as error:
        raise CommandError(str(error) or type(error).__name__) from error
    except MemoryError as error:
        raise CommandError(f"not enough memory: {error}") from error


def missing_extra(library: str, feature: str, extra: str = "demo") -> CommandError:
    """The error for an optional library that a feature needs."""
    return CommandError(f"{feature} needs {library}: pip install 'ot_solvers[{extra}]'")
