"""Correspondence of surfaces: functional maps, learned without supervision with a sliced transport loss."""

from .body import body
from .correspondence import (
    Correspondence,
    CorrespondenceNetwork,
    CorrespondenceProgress,
    correspond,
    descriptor_map,
)
from .descriptors import wave_kernel_signature
from .examples import EXAMPLES, ExamplePair, example_pair
from .geodesics import geodesic_distances
from .laplacian import Eigenbasis, cotangent_laplacian, eigenbasis
from .mesh import Mesh
from .meshes import cylinder, ellipsoid, sphere, torus
from .metrics import PCKCurve, geodesic_errors, mean_geodesic_error, pck_curve
from .pictures import draw_mesh, plot_map, position_colours
from .point_maps import functional_from_point_map, point_map_from_functional, upsampled

__all__ = [
    "EXAMPLES",
    "Correspondence",
    "CorrespondenceNetwork",
    "CorrespondenceProgress",
    "Eigenbasis",
    "ExamplePair",
    "Mesh",
    "PCKCurve",
    "body",
    "correspond",
    "cotangent_laplacian",
    "cylinder",
    "descriptor_map",
    "draw_mesh",
    "eigenbasis",
    "ellipsoid",
    "example_pair",
    "functional_from_point_map",
    "geodesic_distances",
    "geodesic_errors",
    "mean_geodesic_error",
    "pck_curve",
    "plot_map",
    "point_map_from_functional",
    "position_colours",
    "sphere",
    "torus",
    "upsampled",
    "wave_kernel_signature",
]
