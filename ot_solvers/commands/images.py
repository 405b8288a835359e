"""Pictures on disk, through Pillow."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ot_solvers.commands.errors import CommandError, missing_extra
from ot_solvers.commands.files import whole_file

# Saved without visible loss; formats that lack one of these options ignore it.
QUALITY: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 95, "subsampling": 0},
    "WEBP": {"quality": 95},
    "TIFF": {"compression": "tiff_deflate"},
}
FORMATS = {
    ".png": "PNG",
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".webp": "WEBP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".bmp": "BMP",
}
WITHOUT_ALPHA = ("JPEG", "BMP")


@dataclass(frozen=True)
class Picture:
    """A picture in sRGB.

    Attributes
    ----------
    rgb : (h, w, 3) array, uint8
    alpha : (h, w) array, uint8, or None
    """

    rgb: np.ndarray
    alpha: np.ndarray | None = None

    @property
    def visible(self) -> np.ndarray | None:
        """Pixels that are not fully transparent, (h, w) of bool; None: all of them."""
        return None if self.alpha is None else self.alpha > 0


def read_picture(path: str | Path) -> Picture:
    """Read a picture, upright and in sRGB.

    Raises
    ------
    CommandError
        The file is missing or no picture, or nothing in it is visible.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise missing_extra("Pillow", "reading pictures") from error
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # large photographs are welcome
            with Image.open(path) as opened:
                image = _in_srgb(ImageOps.exif_transpose(opened))
    except FileNotFoundError as error:
        raise CommandError(f"no such file: {path}") from error
    except IsADirectoryError as error:
        raise CommandError(f"{path} is a directory, not a picture") from error
    except Image.UnidentifiedImageError as error:
        raise CommandError(f"{path} is not a picture that Pillow can read") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise CommandError(f"cannot read the picture {path}: {error}") from error
    pixels = np.asarray(image)
    if pixels.shape[2] == 3:
        return Picture(pixels)
    alpha = pixels[..., 3]
    if not alpha.any():
        raise CommandError(f"{path} is fully transparent: there is no colour to transport")
    return Picture(pixels[..., :3], None if alpha.min() == 255 else alpha)


def picture_format(path: Path, *, option: str) -> str:
    """The format that a file name asks for.

    Raises
    ------
    CommandError
    """
    try:
        return FORMATS[path.suffix.lower()]
    except KeyError:
        raise CommandError(f"{option} {path}: the name must end in one of {', '.join(FORMATS)}") from None


def write_picture(path: Path, picture: Picture, *, option: str = "--out") -> None:
    """Write a picture in the format its name asks for; transparency is dropped where the format has none."""
    from PIL import Image

    kind = picture_format(path, option=option)
    pixels = picture.rgb
    if picture.alpha is not None and kind not in WITHOUT_ALPHA:
        pixels = np.dstack([picture.rgb, picture.alpha])
    with whole_file(path) as stream:
        Image.fromarray(pixels).save(stream, format=kind, **QUALITY.get(kind, {}))


def _in_srgb(image):
    """RGB or RGBA with 8 bits per channel, out of any mode and colour profile."""
    from PIL import Image, ImageCms

    has_alpha = "A" in image.getbands() or "transparency" in image.info
    profile = image.info.get("icc_profile")
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        # Pillow clips these at 255 instead of scaling them.
        values = np.asarray(image, dtype=float)
        top = 65535.0 if image.mode != "F" or values.max() > 1 else 1.0
        image = Image.fromarray(np.clip(values / top * 255, 0, 255).round().astype(np.uint8))
    upright = image.convert("RGBA" if has_alpha else "RGB")
    if not profile or image.mode not in ("RGB", "RGBA"):
        return upright
    try:
        return ImageCms.profileToProfile(
            upright, io.BytesIO(profile), ImageCms.createProfile("sRGB"), outputMode=upright.mode
        )
    except ImageCms.PyCMSError:  # a broken profile: take the numbers as they are, as viewers do
        return upright
