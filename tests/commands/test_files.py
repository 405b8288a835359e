"""Reading arrays in the formats people have, and writing files whole."""

import numpy as np
import pytest

from ot_solvers.commands.errors import CommandError
from ot_solvers.commands.files import output_path, read_array, read_potentials, read_weights, whole_file

TABLE = np.array([[0.5, -1.0], [2.0, 3e-4], [7.0, 8.25]])


def written(path, content):
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        path.write_text(content, encoding="utf-8")
    return path


TEXTS = {
    "comma": "0.5,-1\n2,3e-4\n7,8.25\n",
    "comma and blanks": "0.5, -1\n 2, 3e-4\n7, 8.25",
    "semicolon": "0.5;-1\n2;3e-4\n7;8.25\n",
    "decimal comma": "0,5;-1\n2;3e-4\n7;8,25\n",
    "tab": "0.5\t-1\n2\t3e-4\n7\t8.25\n",
    "bar": "0.5|-1\n2|3e-4\n7|8.25\n",
    "blanks": "0.5   -1\n2 3e-4\n  7 8.25\n",
    "header": "latitude,longitude\n0.5,-1\n2,3e-4\n7,8.25\n",
    "header with other delimiters": "a very, long header; indeed\n0.5;-1\n2;3e-4\n7;8.25\n",
    "byte order mark": "\ufeff0.5,-1\n2,3e-4\n7,8.25\n",
    "byte order mark and header": "\ufeffx,y\n0.5,-1\n2,3e-4\n7,8.25\n",
    "comments and blank lines": "# made by hand\n\n0.5,-1\n2,3e-4  # here\n\n7,8.25\n",
    "windows line ends": "x,y\r\n0.5,-1\r\n2,3e-4\r\n7,8.25\r\n",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_text_tables(tmp_path, text):
    np.testing.assert_array_equal(read_array(written(tmp_path / "x.csv", text), name="x"), TABLE)


def test_one_column_of_text_is_a_table(tmp_path):
    assert read_array(written(tmp_path / "x.txt", "1\n2\n3\n"), name="x").shape == (3, 1)


def test_infinite_costs_in_text(tmp_path):
    array = read_array(written(tmp_path / "C.csv", "1,inf\n2,3\n"), name="cost-matrix")
    np.testing.assert_array_equal(array, [[1, np.inf], [2, 3]])


@pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", "?", ">f8"])
def test_npy_keeps_the_type(tmp_path, dtype):
    np.save(tmp_path / "x.npy", TABLE.astype(dtype))
    assert read_array(tmp_path / "x.npy", name="x").dtype == np.dtype(dtype)


def test_the_content_says_the_format_not_the_name(tmp_path):
    np.save(tmp_path / "x.npy", TABLE)
    (tmp_path / "x.npy").rename(tmp_path / "points.data")
    np.testing.assert_array_equal(read_array(tmp_path / "points.data", name="x"), TABLE)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_with_one_array(tmp_path, save):
    save(tmp_path / "x.npz", anything=TABLE)
    np.testing.assert_array_equal(read_array(tmp_path / "x.npz", name="x"), TABLE)


def test_npz_with_several_arrays(tmp_path):
    np.savez(tmp_path / "both.npz", x=TABLE, y=-TABLE, other=TABLE + 1)
    np.testing.assert_array_equal(read_array(tmp_path / "both.npz", name="y"), -TABLE)
    np.testing.assert_array_equal(read_array(tmp_path / "both.npz", name="y", key="other"), TABLE + 1)
    with pytest.raises(CommandError, match=r"several arrays \(x, y, other\): name the one for b with --key"):
        read_array(tmp_path / "both.npz", name="b")
    with pytest.raises(CommandError, match=r"no array 'z'; it holds: x, y, other"):
        read_array(tmp_path / "both.npz", name="x", key="z")


@pytest.mark.parametrize("text", ["1\n2\n3\n", "1,2,3\n", "w\n1\n2\n3\n"])
def test_weights_as_a_row_or_a_column(tmp_path, text):
    np.testing.assert_array_equal(read_weights(written(tmp_path / "a.csv", text), name="a"), [1, 2, 3])


def test_potentials(tmp_path):
    np.savez(tmp_path / "plan.npz", f=[1.0], g=[2.0, 3.0], data=[4.0])
    f, g = read_potentials(tmp_path / "plan.npz")
    assert (f.tolist(), g.tolist()) == ([1.0], [2.0, 3.0])
    with pytest.raises(CommandError, match="not an npz file with potentials"):
        read_potentials(written(tmp_path / "x.csv", "1"))


def npy_bytes(array, **options):
    import io

    stream = io.BytesIO()
    np.save(stream, array, **options)
    return stream.getvalue()


BROKEN = {
    "text": ("x.csv", "1,2\n3,abc\n", r"x\.csv: line 2, column 2: 'abc' is not a number"),
    "text after a header": ("x.csv", "# c\n\na,b\n1,2\n3,?\n", r"line 5, column 2: '\?' is not a number"),
    "empty cell": ("x.csv", "1,2\n3,\n", "line 2, column 2: empty cell"),
    "ragged": ("x.csv", "1,2\n3,4\n5,6,7\n", "line 3 has 3 columns, line 1 has 2"),
    "empty": ("x.csv", "", r"x\.csv holds no numbers"),
    "only a header": ("x.csv", "a,b\n", r"x\.csv holds no numbers"),
    "binary": ("x.csv", b"\xff\xfe\x00\x01", r"x\.csv is neither a npy, a npz nor a text file"),
    "zeros": ("x.dat", b"\0" * 64, r"x\.dat is neither a npy, a npz nor a text file"),
    "no npy": ("x.npy", "1,2\n", r"x\.npy is not a NumPy file, though its name says so"),
    "truncated npy": ("x.npy", npy_bytes(TABLE)[:-8], r"cannot read .*x\.npy"),
    "only the magic": ("x.npy", b"\x93NUMPY", r"cannot read .*x\.npy"),
    "truncated npz": ("x.npz", b"PK\x03\x04 and nothing else", r"cannot read .*x\.npz"),
    "empty npz": ("x.npz", b"PK\x05\x06" + 18 * b"\0", r"x\.npz holds no arrays"),
    "objects": (
        "x.npy",
        npy_bytes(np.array([{}], dtype=object), allow_pickle=True),
        r"x\.npy: it holds pickled Python objects, not numbers$",
    ),
    "words": ("x.npy", npy_bytes(np.array(["one"])), "expected numbers for x, got an array of <U3"),
    "complex": ("x.npy", npy_bytes(np.array([1j])), "expected numbers for x, got an array of complex128"),
}


@pytest.mark.parametrize(("name", "content", "message"), BROKEN.values(), ids=BROKEN.keys())
def test_broken_files(tmp_path, name, content, message):
    with pytest.raises(CommandError, match=message):
        read_array(written(tmp_path / name, content), name="x")


def test_missing_files_and_directories(tmp_path):
    with pytest.raises(CommandError, match=r"no such file: .*x\.npy"):
        read_array(tmp_path / "x.npy", name="x")
    with pytest.raises(CommandError, match="is a directory, not a file"):
        read_array(tmp_path, name="x")


def test_output_paths_are_checked_beforehand(tmp_path):
    existing = written(tmp_path / "x.npy", "x")
    (tmp_path / "link.npz").symlink_to(existing)
    for path, message in {
        tmp_path: "--out .* is a directory",
        tmp_path / "no" / "plan.npz": "--out .*: there is no directory .*no",
        existing: "would overwrite an input",
        tmp_path / "link.npz": "would overwrite an input",
    }.items():
        with pytest.raises(CommandError, match=message):
            output_path(str(path), option="--out", inputs=[None, str(existing)])
    fresh = output_path(str(tmp_path / "plan.npz"), option="--out", inputs=[str(existing)])
    assert not fresh.exists()


def test_a_file_appears_whole_or_not_at_all(tmp_path):
    target = written(tmp_path / "out.bin", "old")

    def interrupted():
        with whole_file(target) as stream:
            stream.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert target.read_text() == "old"
    with whole_file(target) as stream:
        stream.write(b"new")
    assert target.read_text() == "new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_written_through(tmp_path):
    target = written(tmp_path / "target.bin", "old")
    (tmp_path / "link").symlink_to(target)
    with whole_file(tmp_path / "link") as stream:
        stream.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert target.read_text() == "new"
