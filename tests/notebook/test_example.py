"""The notebook that explores an atlas runs in a real kernel, from its first cell to its last."""

from __future__ import annotations

import os
from pathlib import Path

import nbclient
import nbformat

NOTEBOOK = Path(__file__).parents[2] / "examples" / "explore_an_atlas.ipynb"
VIEW = "application/vnd.jupyter.widget-view+json"


def test_every_cell_runs_and_shows_its_widget(tmp_path: Path) -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code"), "it is kept without outputs"
    client = nbclient.NotebookClient(notebook, timeout=280, kernel_name="python3")
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment["OMP_NUM_THREADS"] = "1"  # threads that wait for each other beside another test take ten times as long
    client.execute(cwd=str(tmp_path), env=environment)
    cells = {cell.id: cell for cell in notebook.cells}
    for name, cell in cells.items():
        assert not [output for output in cell.get("outputs", []) if output.output_type == "error"], name
    for name in ("explore", "live"):
        assert any(VIEW in output.get("data", {}) for output in cells[name].outputs), name
    assert cells["selected"].outputs[0].text.split() == ["None", "[]"]
    assert (tmp_path / "small.atlas" / "site" / "index.html").is_file()
