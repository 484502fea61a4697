"""The notebook in examples/ runs in a real kernel, and what it shows is there: pictures, and others when the slider moves."""

from __future__ import annotations

import base64
import io
import json
import os
import re
from pathlib import Path
from typing import Any

import nbclient
import nbformat
import numpy as np
import pytest
from PIL import Image

NOTEBOOK = Path(__file__).parents[1] / "examples" / "interactive_layers.ipynb"

MOVES = """
import json

said = {}
first = bytes(shown.value)
channel.value = 5
said["channel"] = told.value
said["another channel, another picture"] = bytes(shown.value) != first
count = len(made)
channel.value = 0
said["the same again"] = bytes(shown.value) == first
said["made anew"] = len(made) - count
layer.value = "conv_stem"
said["layer"] = told.value
said["last"] = channel.max
channel.value = channel.max
said["last channel"] = told.value
layer.value = "blocks.1"
said["back"] = [channel.max, channel.value, told.value]
print(json.dumps(said))
"""


@pytest.fixture(scope="module")
def executed() -> dict[str, Any]:
    """The cells by their names, after a kernel ran them and the moves of a hand."""
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(MOVES, id="moves"))
    client = nbclient.NotebookClient(notebook, timeout=280, kernel_name="python3")
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}  # a notebook's own
    client.execute(cwd=str(NOTEBOOK.parent), env=environment)
    return {cell.id: cell for cell in notebook.cells} | {"widgets": client.widget_state}


def pictures(cell: Any) -> list[np.ndarray]:
    found = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(each))).convert("RGB")) for each in found]


def words(cell: Any) -> str:
    return "".join(output.text for output in cell.outputs if output.output_type == "stream" and output.name == "stdout")


def test_it_is_kept_without_outputs() -> None:
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert len(code) >= 4
    assert all(not cell.outputs and cell.execution_count is None for cell in code)


def test_no_cell_fails_or_warns(executed: dict[str, Any]) -> None:
    for name, cell in executed.items():
        for output in getattr(cell, "outputs", []):
            assert output.output_type != "error", name
            assert output.get("name") != "stderr", output


def test_the_widgets_are_a_choice_of_layers_and_a_slider(executed: dict[str, Any]) -> None:
    assert any("application/vnd.jupyter.widget-view+json" in each.data for each in executed["one"].outputs)
    states = {state["_model_name"]: state for state in executed["widgets"].values()}
    assert states["DropdownModel"]["_options_labels"][:3] == ["conv_stem", "stem_bn", "stem"]
    assert states["DropdownModel"]["description"] == "Layer:"
    assert states["IntSliderModel"]["description"] == "Channel:"
    assert states["IntSliderModel"]["continuous_update"] is False


def test_moving_the_slider_shows_another_picture_once(executed: dict[str, Any]) -> None:
    said = json.loads(words(executed["moves"]))
    assert said["channel"].startswith("blocks.1:5: score ")
    assert said["another channel, another picture"]
    assert said["the same again"]
    assert said["made anew"] == 0
    assert said["layer"].startswith("conv_stem:0: score ")
    assert said["last"] == 31
    assert said["last channel"].startswith("conv_stem:31: score ")
    assert said["back"][:2] == [23, 23]
    assert said["back"][2].startswith("blocks.1:23: score ")


def test_many_channels_are_six_pictures_three_a_row(executed: dict[str, Any]) -> None:
    (sheet,) = pictures(executed["many"])
    assert 1.2 < sheet.shape[1] / sheet.shape[0] < 1.7
    height, width = (side // n for side, n in zip(sheet.shape[:2], (2, 3), strict=True))
    cells = [
        sheet[row * height : (row + 1) * height, column * width : (column + 1) * width]
        for row in range(2)
        for column in range(3)
    ]
    assert min(cell.std() for cell in cells) > 20
    assert max(np.ptp(cell, axis=2).max() for cell in cells) > 30  # in colour: of grey ones, titles and all, it is 0
    assert len({cell.tobytes() for cell in cells}) == 6


def test_the_filters_and_their_gabor_functions(executed: dict[str, Any]) -> None:
    (sheet,) = pictures(executed["gabor"])
    assert sheet.std() > 20
    titles = executed["gabor"].outputs[-1]
    assert titles.output_type == "stream"
    rows = re.findall(r"(\S+):(\d) r = (\S+), shuffled (\S+)", titles.text)
    assert [int(row[1]) for row in rows] == list(range(6))
    found = np.array([[float(row[2]), float(row[3])] for row in rows])
    assert ((found > 0) & (found <= 1)).all()
    assert found[:, 0].mean() > 0.75
    assert found[:, 0].mean() > found[:, 1].mean() + 0.1
