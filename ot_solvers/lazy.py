"""``cached_property`` without a lock.

Before Python 3.12 that of ``functools`` holds one lock per attribute, shared by all instances, while the
value is computed: solutions in different threads wait for each other, and a process forked while any thread
computes inherits a lock that nobody releases. Ours may compute a value twice, to the same bits.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

__all__ = ["cached_property"]

if TYPE_CHECKING or sys.version_info >= (3, 12):
    from functools import cached_property
else:

    class cached_property:
        """An attribute computed on first use, then kept in the instance's ``__dict__``."""

        def __init__(self, function):
            self.function = function
            self.__doc__ = function.__doc__

        def __set_name__(self, owner: type, name: str) -> None:
            self.name = name

        def __get__(self, instance: Any, owner: type | None = None) -> Any:
            if instance is None:
                return self
            value = instance.__dict__[self.name] = self.function(instance)
            return value
