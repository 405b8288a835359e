"""Keeps paths and host names of the measuring machine out of result files."""

from __future__ import annotations

import platform
import re
import tempfile
from pathlib import Path

LONGEST = 300


def scrub(text: str) -> str:
    """Return `text` on one line, shortened, with paths and the host name replaced.

    Parameters
    ----------
    text : str
        Usually the message of an exception.
    """
    text = " ".join(text.split())
    # A path is two or more components: "a/b" in prose has no leading slash and stays.
    text = re.sub(r"(?:[A-Za-z]:)?(?:[/\\][\w.+\-@]+){2,}[/\\]?", "<path>", text)
    for private in (str(Path.home()), tempfile.gettempdir(), platform.node()):
        if len(private) > 3:
            text = text.replace(private, "<private>")
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
