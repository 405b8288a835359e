"""Transport with a quadratic term, and with few entries per point."""

from .cardinality import SemiDualAscent
from .quadratic import SemismoothNewton

__all__ = ["SemiDualAscent", "SemismoothNewton"]
