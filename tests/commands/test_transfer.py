"""``ot-solvers transfer`` and ``demo``."""

import numpy as np
import pytest

Image = pytest.importorskip("PIL.Image")

from ot_solvers.commands.colour import lab_to_srgb, levels, srgb_to_lab  # noqa: E402
from ot_solvers.commands.transfer import _gaussian_distance, mean_cost  # noqa: E402

BALANCED = ("--unbalanced", "inf", "--reg", "0.002", "--tol", "1e-4")


def lab_of(path):
    return srgb_to_lab(np.asarray(Image.open(path).convert("RGB")) / 255)


def gradient(height, width, centre, spread):
    """A smooth picture: lightness along the rows, a and b along the columns."""
    v, u = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    lab = np.array(centre) + spread * np.stack([v, u, 0.5 * u * v], axis=-1)
    return levels(lab_to_srgb(lab))


@pytest.fixture
def pictures(tmp_path):
    Image.fromarray(gradient(60, 80, (40, 10, 20), 20)).save(tmp_path / "source.png")
    Image.fromarray(gradient(50, 90, (60, -15, -10), 15)).save(tmp_path / "reference.png")
    return tmp_path / "source.png", tmp_path / "reference.png", tmp_path / "result.png"


def test_the_colours_become_those_of_the_reference(pictures, run):
    source, reference, out = pictures
    before = source.read_bytes(), reference.read_bytes()
    outcome = run("transfer", source, reference, "--out", out, *BALANCED, "--json")
    assert outcome.code == 0
    result, wanted = lab_of(out), lab_of(reference)
    assert result.shape == lab_of(source).shape
    np.testing.assert_allclose(result.mean((0, 1)), wanted.mean((0, 1)), atol=0.5)
    np.testing.assert_allclose(result.std((0, 1)), wanted.std((0, 1)), atol=1.0)
    assert outcome.figures["distance_after"] < 0.1 * outcome.figures["distance_before"]
    assert (source.read_bytes(), reference.read_bytes()) == before


def test_smooth_pictures_stay_smooth(pictures, run):
    """No steps between palette cells: neighbouring pixels stay about as close as the map stretches them."""
    source, reference, out = pictures
    run("transfer", source, reference, "--out", out, *BALANCED, "--colours", 200, "--smooth", 0)
    for axis in (0, 1):
        step = np.linalg.norm(np.diff(lab_of(out), axis=axis), axis=-1)
        assert step.max() < 5


@pytest.mark.parametrize("space", ["lab", "rgb"])
@pytest.mark.parametrize("smooth", [0, 1])
def test_a_picture_keeps_its_own_colours(pictures, run, space, smooth):
    source, _, out = pictures
    args = ("--unbalanced", "inf", "--reg", 1e-3, "--space", space, "--smooth", smooth)
    assert run("transfer", source, source, "--out", out, *args).code == 0
    assert np.abs(lab_of(out) - lab_of(source)).mean() < 1.0


def test_very_many_colours_are_interpolated(pictures, run, monkeypatch):
    from ot_solvers.commands import transfer

    source, reference, out = pictures
    results = []
    for most in (transfer.MOST_COLOURS, 10):
        monkeypatch.setattr(transfer, "MOST_COLOURS", most)
        run("transfer", source, reference, "--out", out, "--unbalanced", "inf", "--smooth", 0)
        results.append(lab_of(out))
    assert np.abs(results[0] - results[1]).mean() < 0.2
    assert np.abs(results[0] - results[1]).max() < 2


def test_unbalanced_transfer_moves_less(pictures, run):
    source, reference, out = pictures
    moved = []
    for rho in (0.02, 1.0, "inf"):
        run("transfer", source, reference, "--out", out, "--unbalanced", rho)
        moved.append(np.abs(lab_of(out) - lab_of(source)).mean())
    assert moved == sorted(moved)


def test_same_pictures_same_result(pictures, run):
    source, reference, out = pictures
    content = []
    for threads in (1, 2):
        run("transfer", source, reference, "--out", out, "--threads", threads)
        content.append(out.read_bytes())
    assert content[0] == content[1]


def test_transparent_pixels_neither_count_nor_change(tmp_path, pictures, run):
    source, reference, out = pictures
    pixels = np.dstack([np.asarray(Image.open(source)), np.full((60, 80), 255, np.uint8)])
    pixels[:30] = (0, 255, 0, 0)
    Image.fromarray(pixels).save(tmp_path / "alpha.png")
    assert run("transfer", tmp_path / "alpha.png", reference, "--out", out, *BALANCED).code == 0
    result = np.asarray(Image.open(out))
    np.testing.assert_array_equal(result[..., 3], pixels[..., 3])
    visible = srgb_to_lab(result[30:, :, :3] / 255)
    np.testing.assert_allclose(visible.mean((0, 1)), lab_of(reference).mean((0, 1)), atol=1.0)


def test_the_summary(pictures, run):
    source, reference, out = pictures
    outcome = run("transfer", source, reference, "--out", out)
    for word in ("80 x 60", "palettes", "CONVERGED", "seconds"):
        assert word in outcome.out
    assert outcome.err == ""


def test_grey_and_flat_pictures(tmp_path, run):
    Image.new("L", (9, 7), 100).save(tmp_path / "grey.png")
    Image.new("RGB", (8, 8), (200, 30, 30)).save(tmp_path / "red.png")
    out = tmp_path / "out.png"
    assert run("transfer", tmp_path / "grey.png", tmp_path / "red.png", "--out", out).code == 0
    np.testing.assert_array_equal(np.asarray(Image.open(out)), np.broadcast_to((200, 30, 30), (7, 9, 3)))


def test_unconverged_transfers_are_written(pictures, run):
    source, reference, out = pictures
    outcome = run("transfer", source, reference, "--out", out, *BALANCED, "--max-iter", 1)
    assert outcome.code == 1
    assert outcome.err.startswith("ot-solvers: warning: not converged (MAX_ITER): ")
    assert out.exists()


PAIR = ("source.png", "reference.png")
OUT = (*PAIR, "--out", "o.png")
BAD = {
    "missing picture": (("no.png", "reference.png", "--out", "o.png"), r"no such file: no\.png"),
    "no picture": (("text.png", "reference.png", "--out", "o.png"), "not a picture"),
    "no output": (PAIR, "required: --out"),
    "unknown format": ((*PAIR, "--out", "o.npy"), "the name must end in"),
    "output over input": ((*PAIR, "--out", "source.png"), "would overwrite an input"),
    "no such folder": ((*PAIR, "--out", "no/o.png"), "there is no directory"),
    "zero reg": ((*OUT, "--reg", "0"), "--reg must be positive, got 0"),
    "negative rho": ((*OUT, "--unbalanced", "-1"), "--unbalanced must be positive .*, got -1"),
    "one colour": ((*OUT, "--colours", "1"), "--colours must be 2 or more, got 1"),
    "negative smoothing": ((*OUT, "--smooth", "-1"), "--smooth must be 0 or more, got -1"),
    "unknown space": ((*OUT, "--space", "hsv"), "invalid choice: 'hsv'"),
    "unknown backend": ((*OUT, "--backend", "nunba"), "nunba"),
    "the same flat picture": (("flat.png", "flat.png", "--out", "o.png"), "one and the same colour"),
}


@pytest.mark.parametrize(("args", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(tmp_path, pictures, run, monkeypatch, assert_bad_input, args, message):
    (tmp_path / "text.png").write_text("text")
    Image.new("RGB", (4, 4), (1, 2, 3)).save(tmp_path / "flat.png")
    monkeypatch.chdir(tmp_path)
    assert_bad_input(run("transfer", *args), message)
    assert not (tmp_path / "o.png").exists()


def test_mean_cost_is_the_mean_over_all_pairs():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(30, 3)) + 1e4, rng.normal(size=(20, 3)) + 1e4
    assert mean_cost(x, y) == pytest.approx(((x[:, None] - y) ** 2).sum(-1).mean(), rel=1e-9)


def test_distance_of_gaussians():
    m, n = np.zeros(3), np.array([3.0, 4.0, 0.0])
    A, B = np.diag([4.0, 9.0, 1.0]), np.diag([1.0, 9.0, 0.0])
    assert _gaussian_distance((m, A), (n, B)) == pytest.approx(np.sqrt(25 + 1 + 0 + 1))
    assert _gaussian_distance((m, A), (m, A)) == pytest.approx(0, abs=1e-6)


def test_the_demo(tmp_path, run):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    out = tmp_path / "demo.png"
    outcome = run("demo", "--out", out, "--no-open", "--colours", 150)
    assert outcome.code == 0, outcome.err
    for word in ("balanced", "unbalanced", "china", "flower", "CONVERGED"):
        assert word in outcome.out
    assert Image.open(out).size[0] > 2000


def test_the_demo_says_what_is_missing(tmp_path, run, monkeypatch, assert_bad_input):
    import importlib.util

    found = importlib.util.find_spec
    for library in ("sklearn", "matplotlib"):
        monkeypatch.setattr(
            importlib.util, "find_spec", lambda name, no=library: None if name == no else found(name)
        )
        outcome = run("demo", "--out", tmp_path / "demo.png")
        assert_bad_input(outcome, r"needs (scikit-learn|matplotlib): pip install 'ot_solvers\[demo\]'")
