"""The rules of the house, checked by the tools that know them."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TORCH_LOADED = "import sys, {0}; sys.exit('torch' in sys.modules)"


def tool(*words: str) -> None:
    """Run a tool of this environment; its words are the message when it finds something."""
    command = [str(Path(sys.executable).parent / words[0]), *words[1:]]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ruff_finds_nothing() -> None:
    tool("ruff", "check", ".")


def test_everything_is_formatted() -> None:
    tool("ruff", "format", "--check", ".")


def test_the_types_are_right() -> None:
    tool("mypy")


def test_imports_run_downhill() -> None:
    tool("lint-imports")


def python(code: str) -> int:
    return subprocess.run([sys.executable, "-c", code], check=False).returncode


@pytest.mark.parametrize(
    "module", ["neuronatlas", "neuronatlas.cli", "neuronatlas.atlas", "neuronatlas.maps", "neuronatlas.view.page"]
)
def test_what_keeps_and_shows_loads_no_torch(module: str) -> None:
    assert python(TORCH_LOADED.format(module)) == 0


def test_the_check_for_torch_can_fail() -> None:
    assert python(TORCH_LOADED.format("neuronatlas.networks.base")) == 1


@pytest.mark.parametrize("words", [["--help"], ["render", "--help"]])
def test_help_answers_within_four_tenths_of_a_second_of_processor_time(words: list[str]) -> None:
    command = [str(Path(sys.executable).parent / "neuronatlas"), *words]
    spent = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(command, check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.4


def test_every_public_name_is_there_and_sorted() -> None:
    import neuronatlas

    assert neuronatlas.__all__ == sorted(neuronatlas.__all__)
    for name in neuronatlas.__all__:
        assert getattr(neuronatlas, name) is not None
    assert callable(neuronatlas.render)
    assert callable(neuronatlas.build)
    with pytest.raises(AttributeError, match="has no attribute 'rendr'"):
        _ = neuronatlas.rendr


def test_the_readme_runs(tmp_path: Path) -> None:
    blocks = (ROOT / "README.md").read_text(encoding="utf-8").split("```python\n")[1:]
    assert len(blocks) == 2
    for block in blocks:
        code = block.split("```")[0]
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    assert (tmp_path / "small.atlas" / "site" / "index.html").is_file()


def test_small_files() -> None:
    long = {
        path.name: lines for path in (ROOT / "src").rglob("*.py") if (lines := len(path.read_text().splitlines())) > 330
    }
    assert not long
