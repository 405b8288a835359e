"""The documentation says what the package does: its programs run and print what the pages say."""

from __future__ import annotations

import ast
import contextlib
import doctest
import importlib
import importlib.util
import io
import os
import pkgutil
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import ot_solvers

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
TEXTS = [ROOT / "README.md", *sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("*/*.md"))]
PAGES = [page for page in TEXTS if "```python" in page.read_text(encoding="utf-8")]
COMMANDS = [page for page in TEXTS if "$ ot-solvers" in page.read_text(encoding="utf-8")]
#: Pages that set switches for the whole process (64-bit JAX).
OWN_PROCESS = {"conventions.md"}
FENCE = re.compile(r"^(?P<ticks>`{3,}|:{3,})(?P<word>.*)$")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?(?![\w.]*\w)")


@dataclass
class Block:
    """A fenced block: its language, its lines, and where it starts."""

    language: str
    text: str
    line: int


def blocks(page: Path) -> list[Block]:
    """Fenced code blocks of a page, in order; directives such as ``{note}`` are looked into."""
    found: list[Block] = []
    inside: tuple[str, str, int] | None = None
    lines: list[str] = []
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        fence = FENCE.match(line.strip())
        if inside is None:
            word = fence["word"].strip() if fence else ""
            if fence and fence["ticks"].startswith("`") and word and not word.startswith("{"):
                inside, lines = (fence["ticks"], word, number), []
        elif line.strip() == inside[0]:
            found.append(Block(inside[1], "\n".join(lines) + "\n", inside[2]))
            inside = None
        else:
            lines.append(line)
    assert inside is None, f"{page.name}: the block of line {inside and inside[2]} does not end"
    return found


def missing_modules(source: str) -> list[str]:
    """Top-level modules that a block imports and that are not installed."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return sorted(name for name in names if importlib.util.find_spec(name) is None)


def assert_prints(got: str, said: str, where: str) -> None:
    """Same words; numbers to 2 %, except durations, counts of passes and what is next to nothing."""

    def split(text: str):
        text = re.sub(r"[\d.e+-]+ s\b", "T s", re.sub(r"\d+ passes", "N passes", text))
        return NUMBER.sub("#", " ".join(text.split())), [float(z) for z in NUMBER.findall(text)]

    (words, numbers), (said_words, said_numbers) = split(got), split(said)
    assert words == said_words, f"{where} prints\n{got}\nand the page says\n{said}"
    for value, stated in zip(numbers, said_numbers):
        tiny = abs(value) < 1e-4 and abs(stated) < 1e-4
        assert tiny or value == pytest.approx(stated, rel=0.02, abs=1e-3), (
            f"{where}: {value}, the page says {stated}"
        )


def run_page(page: Path) -> list[str]:
    """Run the Python blocks of a page in one namespace; returns what was skipped for lack of a library."""
    namespace: dict = {"__name__": "__main__"}
    skipped = []
    parts = blocks(page)
    for k, block in enumerate(parts):
        if block.language != "python":
            continue
        where = f"{page.name}:{block.line}"
        missing = missing_modules(block.text)
        if missing:
            skipped.append(f"{where} needs {', '.join(missing)}")
            continue
        printed = io.StringIO()
        # Padding makes line numbers of tracebacks those of the page.
        code = compile("\n" * block.line + block.text, str(page), "exec")
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if k + 1 < len(parts) and parts[k + 1].language == "text":
            lines = [line for line in printed.getvalue().splitlines() if not line.startswith("[KeOps]")]
            assert_prints("\n".join(lines), parts[k + 1].text, where)
    return skipped


def environment() -> dict[str, str]:
    """Of a child process that finds this checkout's package, installed or not."""
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.peer if page.name in OWN_PROCESS else ()) for page in PAGES],
    ids=map(name_of, PAGES),
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_programs_run_and_print_what_the_page_says(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MPLBACKEND", "Agg")
    if page.name in OWN_PROCESS:
        command = [sys.executable, __file__, str(page)]
        done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        skipped = done.stdout.splitlines()
    else:
        skipped = run_page(page)
    if skipped:
        pytest.skip("; ".join(skipped))


@pytest.mark.parametrize("page", COMMANDS, ids=name_of)
def test_command_lines_run(page, tmp_path, monkeypatch, capsys):
    from ot_solvers.__main__ import main
    from ot_solvers.commands.parser import command_line

    consoles = [block for block in blocks(page) if block.language == "console"]
    lines = [
        line[2:].strip()
        for block in consoles
        for line in block.text.replace("\\\n", " ").splitlines()
        if line.startswith("$ ot-solvers")
    ]
    monkeypatch.chdir(tmp_path)
    run_page(page)  # makes the files that the commands read
    for line in lines:
        command, _, remark = line.partition("#")
        words = shlex.split(command)[1:]
        if words[0] in ("demo", "transfer"):  # the commands have tests of their own
            command_line().parse_args(words)
            continue
        code = int(remark.split()[-1]) if "exit code" in remark else 0
        assert main(words) == code, f"{line}: {capsys.readouterr().err}"
    assert run_page(page) == []  # and what reads the files that they wrote


def modules_with_examples() -> list[str]:
    found = []
    for module in pkgutil.walk_packages(ot_solvers.__path__, "ot_solvers."):
        origin = importlib.util.find_spec(module.name).origin
        if ">>>" in Path(origin).read_text(encoding="utf-8"):
            found.append(module.name)
    return found


@pytest.mark.parametrize("name", modules_with_examples())
def test_examples_in_docstrings(name):
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert results.attempted and not results.failed


def keys_in(pattern: str, *folders: Path, suffixes=(".py", ".md", ".rst")) -> set[str]:
    files = [p for folder in folders for p in folder.rglob("*") if p.suffix in suffixes]
    files = [p for p in files if not {"_build", "gallery_built"} & set(p.parts)]
    return {
        key
        for p in files
        for found in re.findall(pattern, p.read_text(encoding="utf-8"))
        for key in found.split(",")
    }


def test_every_citation_has_an_entry_and_every_entry_is_cited():
    entries = set(re.findall(r"^@\w+\{([^,]+),", (DOCS / "references.bib").read_text(encoding="utf-8"), re.M))
    cited = keys_in(r"\[([a-z]+:\d\d[a-z]?)\]_", ROOT / "ot_solvers", ROOT / "benchmarks")
    cited |= keys_in(r"(?:\{cite:\w+\}|:cite:\w+:)`([a-z]+:[^`]+)`", DOCS)
    assert not cited - entries, f"not in references.bib: {sorted(cited - entries)}"
    assert not entries - cited, f"never cited: {sorted(entries - cited)}"


def test_the_pages_name_every_public_object():
    reference = "\n".join(p.read_text(encoding="utf-8") for p in (DOCS / "reference").glob("*.md"))
    for name in ot_solvers.__all__:
        if name != "__version__":
            assert re.search(rf"\b{name}\b", reference), f"ot_solvers.{name} is not in the reference"
    for name in ot_solvers.costs.__all__:
        assert re.search(rf"\b{name}\b", reference), f"ot_solvers.costs.{name} is not in the reference"


def test_versions_agree():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^version: {re.escape(ot_solvers.__version__)}$", citation, re.M)
    assert (
        re.search(rf"^## \[?{re.escape(ot_solvers.__version__)}\b", changelog, re.M) or "[Unreleased]" in changelog
    )


def test_readme_has_the_two_commands():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert 'python -m pip install ".[demo]" && ot-solvers demo\n' in readme
    assert 'python -m pip install ".[test]" && python -m pytest -n auto\n' in readme


@pytest.mark.slow
def test_documentation_builds_without_warnings(tmp_path):
    needed = (
        "sphinx",
        "myst_parser",
        "furo",
        "sphinx_gallery",
        "sphinx_design",
        "sphinxcontrib.bibtex",
        "numpydoc",
    )
    for name in needed:
        pytest.importorskip(name)
    # In a copy, so that nothing is left between the sources.
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("_build", "gallery_built"))
    shutil.copy(ROOT / "CHANGELOG.md", tmp_path)
    command = [sys.executable, "-m", "sphinx", "-W", "-q", "-b", "html", "docs", "html"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment(), check=False)
    assert done.returncode == 0, done.stderr[-4000:]


if __name__ == "__main__":
    print("\n".join(run_page(Path(sys.argv[1]))), end="")
