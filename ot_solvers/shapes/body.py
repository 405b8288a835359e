"""An articulated body: a smooth union of tapered rods, with joints that bend smoothly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from .. import validation as check
from .mesh import Mesh
from .surfaces import level_set

__all__ = ["BUILDS", "JOINTS", "POSES", "body"]

#: Rods of the body at rest, arms along x, front along -y: both ends, and the radii there. The left hand and foot
#: are larger, the right arm is longer and thinner: it is not its own mirror image.
RODS = (
    ((0.0, 0.0, 0.05), (0.0, 0.0, 0.52), 0.17, 0.19),  # trunk
    ((-0.12, 0.0, 0.50), (0.12, 0.0, 0.50), 0.13, 0.13),  # shoulders
    ((0.0, 0.0, 0.60), (0.0, 0.0, 0.78), 0.08, 0.08),  # neck
    ((0.0, 0.0, 0.86), (0.0, -0.03, 0.93), 0.13, 0.13),  # head
    ((0.0, -0.10, 0.88), (0.0, -0.17, 0.86), 0.07, 0.06),  # face
    ((0.0, -0.06, 0.16), (0.0, -0.06, 0.22), 0.17, 0.17),  # belly
    ((0.15, 0.0, 0.52), (0.78, 0.0, 0.52), 0.10, 0.085),  # left arm
    ((0.80, 0.0, 0.52), (0.88, 0.0, 0.52), 0.11, 0.12),  # left hand
    ((-0.15, 0.0, 0.52), (-0.95, 0.0, 0.52), 0.09, 0.075),  # right arm
    ((0.12, 0.0, 0.0), (0.42, 0.0, -0.83), 0.13, 0.10),  # left leg
    ((0.43, 0.0, -0.86), (0.45, -0.22, -0.88), 0.10, 0.09),  # left foot
    ((-0.12, 0.0, 0.0), (-0.40, 0.0, -0.83), 0.115, 0.085),  # right leg
    ((-0.41, 0.0, -0.86), (-0.42, -0.13, -0.88), 0.085, 0.08),  # right foot
)
LOW, HIGH = (-1.05, -0.4, -1.0), (1.05, 0.25, 1.08)
#: Width of the blend between rods.
BLEND = 0.035


class Joint(NamedTuple):
    """A point that a part of the body turns about.

    Attributes
    ----------
    centre : (3,) tuple
        In the body at rest.
    direction : (3,) tuple
        Towards the part that turns.
    width : float
        Length over which the angle grows from 0 to its full value.
    part : str
        Of `PARTS`: what turns.
    """

    centre: tuple[float, float, float]
    direction: tuple[float, float, float]
    width: float
    part: str


#: Where the coordinates of the body at rest belong to a part, or to what hangs on it.
PARTS: Mapping[str, Callable[..., np.ndarray]] = {
    "left arm": lambda x, y, z: (x > 0.2) & (z > 0.3),
    "right arm": lambda x, y, z: (x < -0.2) & (z > 0.3),
    "left leg": lambda x, y, z: (x > 0) & (z < -0.1),
    "right leg": lambda x, y, z: (x < 0) & (z < -0.1),
    "upper body": lambda x, y, z: z > 0,
}

#: From the ends of the body to its middle: what is farther out turns first, and then with the whole limb.
JOINTS: Mapping[str, Joint] = {
    "left elbow": Joint((0.60, 0.0, 0.52), (1.0, 0.0, 0.0), 0.24, "left arm"),
    "right elbow": Joint((-0.62, 0.0, 0.52), (-1.0, 0.0, 0.0), 0.24, "right arm"),
    "left shoulder": Joint((0.33, 0.0, 0.52), (1.0, 0.0, 0.0), 0.24, "left arm"),
    "right shoulder": Joint((-0.33, 0.0, 0.52), (-1.0, 0.0, 0.0), 0.24, "right arm"),
    "left knee": Joint((0.32, 0.0, -0.57), (0.33, 0.0, -0.94), 0.26, "left leg"),
    "right knee": Joint((-0.31, 0.0, -0.57), (-0.33, 0.0, -0.94), 0.26, "right leg"),
    "left hip": Joint((0.22, 0.0, -0.29), (0.33, 0.0, -0.94), 0.26, "left leg"),
    "right hip": Joint((-0.22, 0.0, -0.29), (-0.33, 0.0, -0.94), 0.26, "right leg"),
    "neck": Joint((0.0, 0.0, 0.72), (0.0, 0.0, 1.0), 0.16, "upper body"),
    "waist": Joint((0.0, 0.0, 0.22), (0.0, 0.0, 1.0), 0.36, "upper body"),
}

#: Rotation vectors in radians, in the axes of the body at rest.
POSES: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "rest": {},
    "walk": {
        "left shoulder": (0.5, 1.1, 0.0),
        "left elbow": (0.0, 0.0, -0.7),
        "right shoulder": (-0.4, -1.1, 0.0),
        "right elbow": (0.0, 0.0, 0.5),
        "left hip": (0.55, 0.0, 0.0),
        "left knee": (-0.5, 0.0, 0.0),
        "right hip": (-0.6, 0.0, 0.0),
        "right knee": (-0.7, 0.0, 0.0),
        "neck": (0.0, 0.0, 0.5),
    },
    "wave": {
        "right shoulder": (0.0, 0.6, 0.0),
        "right elbow": (0.0, 1.3, 0.0),
        "left shoulder": (0.0, 1.2, 0.0),
        "left elbow": (0.0, 0.6, 0.0),
        "waist": (0.0, 0.25, 0.3),
        "neck": (0.3, 0.0, -0.4),
        "left hip": (0.0, -0.25, 0.0),
    },
    "sit": {
        "left hip": (0.75, 0.0, 0.0),
        "right hip": (0.8, 0.0, 0.0),
        "left knee": (-0.9, 0.0, 0.0),
        "right knee": (-0.7, 0.0, 0.0),
        "left shoulder": (0.0, 0.8, -0.3),
        "left elbow": (0.0, 0.0, -0.8),
        "right shoulder": (0.0, -0.8, 0.4),
        "right elbow": (0.0, 0.0, 0.8),
        "waist": (0.25, 0.0, 0.0),
        "neck": (-0.3, 0.0, 0.0),
    },
}

#: Other bodies: lengths of arms and legs, and girths of trunk and limbs, relative to the one above.
BUILDS: Mapping[str, Mapping[str, float]] = {
    "medium": {},
    "stout": {"trunk": 1.45, "arms": 0.8, "legs": 0.75, "limbs": 1.2},
    "slim": {"trunk": 0.75, "arms": 1.2, "legs": 1.2, "limbs": 0.9},
}


def body(
    pose: str | Mapping[str, Any] = "rest",
    *,
    build: str = "medium",
    n_vertices: int = 2000,
    seed: Any = 0,
) -> Mesh:
    """A body with head, arms and legs, in a pose.

    Bodies of one `n_vertices` and one `seed` have the same triangles, and vertex k of one corresponds to vertex k
    of all others. Another seed is another triangulation.

    Parameters
    ----------
    pose : str or dict
        One of ``"rest"``, ``"walk"``, ``"wave"``, ``"sit"``, or rotation vectors (3,) in radians by joint: elbows,
        shoulders, knees and hips (``"left elbow"`` and so on), ``"neck"``, ``"waist"``.
    build : {"medium", "stout", "slim"}
        Bodies of one build are nearly isometric to each other, those of different builds are not.
    n_vertices : int >= 500
        About so many.
    seed : None, int or numpy.random.Generator
        Of the triangulation.

    Returns
    -------
    Mesh
        Closed, of genus 0.

    Raises
    ------
    ValueError
        For unknown words and joints, rotations that are not (3,) finite numbers, and `n_vertices` too small for
        the limbs.
    TypeError
        For what is no integer or no mapping.

    Notes
    -----
    A body that is its own mirror image cannot be matched by anything intrinsic: left and right would be the same.
    This one has a large left hand, a long and thin right arm, and feet of different size.
    """
    angles = _read_pose(pose)
    shape = BUILDS[check.choice(build, "build", tuple(BUILDS))]
    n_vertices = check.count(n_vertices, "n_vertices", 500)
    mesh = level_set(_field, LOW, HIGH, n_vertices, seed)
    rest = mesh.vertices
    points = _built(rest, **shape)
    frames = {name: np.array(JOINTS[name].centre)[None] for name in JOINTS}
    centres = {name: _built(frame, **shape)[0] for name, frame in frames.items()}
    for name, joint in JOINTS.items():
        if name in angles:
            points = _turned(points, _bend(rest, joint)[:, None] * angles[name], centres[name])
    return mesh.moved(points)


def _field(points: np.ndarray) -> np.ndarray:
    """About the distance from the surface, negative inside: a smooth minimum over the rods."""
    total = np.zeros(len(points))
    for start, end, r0, r1 in RODS:
        along = np.subtract(end, start)
        t = np.clip((points - start) @ along / (along @ along), 0.0, 1.0)
        distance = np.linalg.norm(points - start - t[:, None] * along, axis=1) - (r0 + t * (r1 - r0))
        total += np.exp(-np.clip(distance / BLEND, -50.0, 50.0))
    return -BLEND * np.log(total)


def _built(points: np.ndarray, trunk=1.0, arms=1.0, legs=1.0, limbs=1.0) -> np.ndarray:
    """Points of the body at rest to those of another build."""
    x, y, z = points.T
    side = np.sign(x)
    arm = _step((np.abs(x) - 0.20) / 0.15) * _step((z - 0.30) / 0.05)
    leg = _step((-0.15 - z) / 0.2)
    middle = _step((z + 0.25) / 0.3) * _step((0.68 - z) / 0.2)
    # Arms move out with the trunk, and are stretched from the shoulder on; legs from the hip on.
    reach = np.maximum(np.abs(x) - 0.27, 0.0)
    new_x = x + side * ((trunk - 1) * middle * np.minimum(np.abs(x), 0.2) + (arms - 1) * arm * reach)
    new_y = y * (1 + (trunk - 1) * middle * (1 - arm)) * (1 + (limbs - 1) * np.maximum(arm, leg))
    new_z = z - (legs - 1) * np.maximum(-0.16 - z, 0.0)
    # Limbs are as thick across as they are deep.
    new_x += (limbs - 1) * leg * (x - side * (0.12 - 0.36 * z))
    new_z += (limbs - 1) * arm * (z - 0.52)
    return np.stack([new_x, new_y, new_z], axis=1)


def _bend(rest: np.ndarray, joint: Joint) -> np.ndarray:
    """(n,) how much of a joint's angle each vertex turns by, from 0 to 1."""
    along = (rest - joint.centre) @ np.array(joint.direction)
    return _step(along / joint.width + 0.5) * PARTS[joint.part](*rest.T)


def _step(t: np.ndarray) -> np.ndarray:
    """From 0 to 1, with a derivative without jumps."""
    t = np.clip(t, 0.0, 1.0)
    return t * t * (3 - 2 * t)


def _turned(points: np.ndarray, angles: np.ndarray, centre: np.ndarray) -> np.ndarray:
    return Rotation.from_rotvec(angles).apply(points - centre) + centre


def _read_pose(pose: Any) -> dict[str, np.ndarray]:
    if isinstance(pose, str):
        pose = POSES[check.choice(pose, "pose", tuple(POSES))]
    if not isinstance(pose, Mapping):
        raise TypeError(f"pose={pose!r} must be a name or a mapping from joints to rotation vectors")
    angles = {}
    for name, vector in pose.items():
        check.choice(name, "joint", tuple(JOINTS))
        vector = check.floating(vector, f"pose[{name!r}]")
        if vector.shape != (3,):
            raise ValueError(f"pose[{name!r}] has shape {vector.shape}; expected (3,), a rotation vector")
        check.finite(vector, f"pose[{name!r}]")
        angles[name] = vector.astype(np.float64)
    return angles
