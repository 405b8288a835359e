"""Pictures in and out."""

import io

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from ot_solvers.commands.errors import CommandError  # noqa: E402
from ot_solvers.commands.images import Picture, picture_format, read_picture, write_picture  # noqa: E402


@pytest.fixture
def rgb():
    return np.random.default_rng(0).integers(0, 256, (8, 12, 3), dtype=np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tif", ".TIFF"])
def test_lossless_formats_round_trip(tmp_path, rgb, suffix):
    write_picture(tmp_path / f"a{suffix}", Picture(rgb))
    np.testing.assert_array_equal(read_picture(tmp_path / f"a{suffix}").rgb, rgb)


@pytest.mark.parametrize("suffix", [".jpg", ".webp"])
def test_lossy_formats_stay_close(tmp_path, suffix):
    smooth = np.broadcast_to(np.linspace(0, 255, 64)[:, None], (48, 64, 3)).astype(np.uint8)
    write_picture(tmp_path / f"a{suffix}", Picture(smooth))
    assert np.abs(read_picture(tmp_path / f"a{suffix}").rgb.astype(int) - smooth).mean() < 3


def test_transparency_is_kept_where_the_format_has_it(tmp_path, rgb):
    alpha = np.full(rgb.shape[:2], 255, dtype=np.uint8)
    alpha[0] = 0
    for suffix, kept in ((".png", True), (".jpg", False)):
        write_picture(tmp_path / f"a{suffix}", Picture(rgb, alpha))
        picture = read_picture(tmp_path / f"a{suffix}")
        assert (picture.alpha is not None) == kept
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").visible, alpha > 0)


@pytest.mark.parametrize(
    ("mode", "value"), [("L", 128), ("I;16", 128 * 257), ("CMYK", (127, 127, 127, 0)), ("P", 128)]
)
def test_other_modes_become_rgb(tmp_path, mode, value):
    if mode == "P":
        image = Image.new("L", (4, 3), value).convert("P")
    else:
        image = Image.new(mode, (4, 3), value)
    image.save(tmp_path / "a.tif")
    picture = read_picture(tmp_path / "a.tif")
    assert picture.rgb.shape == (3, 4, 3)
    assert picture.rgb.dtype == np.uint8
    np.testing.assert_allclose(picture.rgb, 128, atol=1)


def test_photographs_are_turned_upright(tmp_path, rgb):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held sideways
    Image.fromarray(rgb).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_picture(tmp_path / "a.png").rgb, np.rot90(rgb, -1))


def test_colour_profiles_are_resolved(tmp_path, rgb):
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(rgb).save(tmp_path / "a.png", icc_profile=profile)
    np.testing.assert_allclose(read_picture(tmp_path / "a.png").rgb.astype(int), rgb, atol=2)
    Image.fromarray(rgb).save(tmp_path / "b.png", icc_profile=b"broken")
    np.testing.assert_array_equal(read_picture(tmp_path / "b.png").rgb, rgb)


def test_what_is_no_picture(tmp_path, rgb):
    stream = io.BytesIO()
    Image.fromarray(rgb).save(stream, format="PNG")
    (tmp_path / "half.png").write_bytes(stream.getvalue()[:100])
    (tmp_path / "text.png").write_text("no picture")
    clear = np.zeros((4, 4, 4), dtype=np.uint8)
    Image.fromarray(clear).save(tmp_path / "clear.png")
    for name, message in {
        "missing.png": "no such file",
        "text.png": "is not a picture that Pillow can read",
        "half.png": "cannot read the picture",
        "clear.png": "fully transparent",
        ".": "is a directory, not a picture",
    }.items():
        with pytest.raises(CommandError, match=message):
            read_picture(tmp_path / name)


def test_unknown_formats(tmp_path):
    with pytest.raises(CommandError, match=r"--out .*a\.xyz: the name must end in one of \.png"):
        picture_format(tmp_path / "a.xyz", option="--out")
