"""Cost matrices that need not be stored: dense, point clouds, grids, sparse patterns."""

from .base import Geometry
from .dense import DenseGeometry
from .grid import Grid
from .point_cloud import PointCloud
from .sparse import SparseGeometry

__all__ = ["DenseGeometry", "Geometry", "Grid", "PointCloud", "SparseGeometry"]
