"""The widgets without a browser: what they hold and refuse, what they send, and what stays where they cannot run."""

from __future__ import annotations

import base64
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nbclient
import numpy as np
import pytest
from PIL import Image

from tests.notebook.lab import ROOT, notebook

CELLS = (
    """
import neuronatlas as na
from neuronatlas import notebook
from tests.building import tiny
atlas = na.open({folder!r})
explorer = atlas.explore(height=500)
explorer
""",
    """
live = notebook.live(tiny.network(), "3:0", atlas=atlas)
live
""",
    """
import json, threading
fitted = na.ResponseMap().fit(atlas.responses())
mapped = fitted.explore()
explorer.unit = "2:4"
print(json.dumps([type(mapped).__name__, explorer.unit, explorer.selection, live.wait(20), live.state]))
""",
)


def test_a_kernel_makes_widgets_that_leave_pictures_behind(folder: Path) -> None:
    made = notebook(*(cell.replace("{folder!r}", repr(str(folder))) for cell in CELLS))
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    client = nbclient.NotebookClient(made, timeout=60, kernel_name="python3")
    client.execute(cwd=str(folder.parent), env=environment | {"PYTHONPATH": str(ROOT)})
    for cell, size in ((made.cells[0], 300), (made.cells[1], 60)):
        (output,) = [each for each in cell.outputs if each.output_type == "execute_result"]
        assert "application/vnd.jupyter.widget-view+json" in output.data
        picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(output.data["image/png"]))).convert("RGB"))
        assert min(picture.shape[:2]) > size
        assert picture.std() > 5
        assert output.data["text/plain"].startswith(("tiny: 32 units", "3:0 of tiny: done"))
    said = json.loads(made.cells[2].outputs[-1].text)
    assert said == ["Explorer", "2:4", [], True, "done"]
    states = {state["_kind"]: state for state in client.widget_state.values() if "_kind" in state}
    assert states["live"]["layer"] == "3"
    assert states["live"]["channel"] == 0


def sent(widget: Any) -> list[tuple[dict[str, Any], list[bytes]]]:
    """What the widget says from now on."""
    heard: list[tuple[dict[str, Any], list[bytes]]] = []
    widget.send = lambda content, buffers=None: heard.append((content, list(buffers or [])))
    return heard


def test_the_explorer_answers_with_the_parts_of_the_page_and_refuses_the_rest(folder: Path) -> None:
    from neuronatlas import open as open_atlas
    from neuronatlas.errors import UnknownName
    from neuronatlas.notebook.explorer import Explorer
    from neuronatlas.notebook.scenes import scene_to_explore
    from neuronatlas.view.parts import Parts

    scene = scene_to_explore(open_atlas(folder))
    explorer, parts = Explorer(scene), Parts(scene)
    heard = sent(explorer)
    for key in (*parts, "page", "details-99", "../secret"):
        explorer._asked(None, {"want": key, "id": key}, [])
    answers = {content["id"]: (content, buffers) for content, buffers in heard}
    for key in parts:
        assert json.loads(answers[key][1][0]) == json.loads(json.dumps(parts.value(key)))
    assert [len(buffer) > 500 for buffer in answers["page"][1]] == [True] * 3
    assert "no part of a page 'details-99'" in answers["details-99"][0]["error"]
    assert not answers["../secret"][1]
    with pytest.raises(UnknownName, match="no unit '2:99'"):
        explorer.unit = "2:99"
    with pytest.raises(UnknownName, match="no stimulus 'a dog'"):
        explorer.stimulus = "a dog"
    assert explorer.unit is None


def test_the_scene_of_a_response_map(folder: Path) -> None:
    import neuronatlas as na
    from neuronatlas.errors import WrongInput
    from neuronatlas.notebook.scenes import scene_to_explore

    responses = na.open(folder).responses()
    fitted = na.ResponseMap().fit(responses)
    pictures = [np.full((30, 40, 3), number, np.uint8) for number in range(len(responses.stimuli))]
    scene = scene_to_explore(fitted, pictures)
    assert scene.units == responses.units
    assert [(layer.name, layer.units) for layer in scene.layers] == [("2", 12), ("3", 20)]
    np.testing.assert_array_equal(scene.positions, fitted.positions.astype(np.float32))
    np.testing.assert_array_equal(scene.stimuli[7].thumbnail, pictures[7])
    assert [word == "constant" for word in scene.status] == np.isnan(fitted.positions).any(1).tolist()
    grey = scene_to_explore(fitted).stimuli[7].thumbnail
    assert grey.std() == 0
    with pytest.raises(WrongInput, match=r"pictures \(29\) must be one for each of the 30 stimuli"):
        scene_to_explore(fitted, pictures[1:])
    with pytest.raises(WrongInput, match=r"pictures\[0\] is float64"):
        scene_to_explore(fitted, [np.zeros((4, 4, 3))] * 30)
    with pytest.raises(WrongInput, match="not fitted"):
        na.ResponseMap().explore()
    with pytest.raises(WrongInput, match="what is a str"):
        scene_to_explore("my.atlas")


def test_without_a_notebook_there_is_a_picture_and_a_sentence(folder: Path) -> None:
    code = (
        "import sys; import neuronatlas as na; {hide}\n"
        f"found = na.open({str(folder)!r}).explore()\n"
        "print(found, found.selection, found.unit, len(found._repr_mimebundle_()['image/png']) > 5000)\n"
        "sys.exit('torch' in sys.modules)"
    )
    hide = "import importlib.util as u; f = u.find_spec; u.find_spec = lambda n: None if n == 'anywidget' else f(n)"
    for words, expected in (
        ("", "run this in a notebook"),
        (hide, "pip install 'neuronatlas[notebook]', then restart"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", code.replace("{hide}", words)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        assert expected in done.stdout
        assert done.stdout.strip().endswith("[] None True")


def test_pictures_of_the_atlas_and_of_before_are_there_at_once(folder: Path) -> None:
    import neuronatlas as na
    from neuronatlas import notebook
    from neuronatlas.errors import AtlasMismatch, UnknownName
    from tests.building import tiny

    network, atlas = tiny.network(), na.open(folder)
    live = notebook.live(network, "3:0", atlas=atlas)
    assert live.state == "done"
    assert live._told["words"] == "from the atlas"
    assert live.rendering is None
    live.channel = 7
    assert live.wait(20)
    np.testing.assert_array_equal(live.rendering.pixels, na.render(network, "3:7").pixels)
    live.channel = 1
    heard = sent(live)
    live.channel = 7
    assert [content["state"] for content, _ in heard] == ["done"]
    live.layer, live.channel = "3", 19
    live.layer = "2"
    assert live.channel == 11
    with pytest.raises(UnknownName):
        live.layer = "elsewhere"
    live.close()
    tiny_too = tiny.module()
    tiny_too[0].weight.data += 1
    other = na.as_network(tiny_too, input_size=32, normalise="0..1", name="other")
    with pytest.raises(AtlasMismatch, match="other weights"):
        notebook.live(other, atlas=atlas)


def test_the_newest_wins_and_stopping_is_for_good() -> None:
    from neuronatlas import notebook
    from tests.building import tiny

    live = notebook.live(tiny.network(), "3:0", steps=4000)
    assert live._drawn.wait(20)
    start = time.monotonic()
    live.channel, live.steps = 1, 16
    assert live.wait(20)
    assert time.monotonic() - start < 5
    assert live._told["unit"] == "3:1"
    live.steps = 4000
    live.stop()
    assert live.state == "stopped"
    heard = sent(live)
    time.sleep(0.3)
    assert not heard
    live.start()
    assert live.state == "rendering"
    live.close()
    assert not live._newest._thread.is_alive()


def test_render_gives_the_widget_that_shows_a_picture_grow() -> None:
    import neuronatlas as na
    from neuronatlas.errors import WrongInput
    from neuronatlas.notebook.live_render import LiveRender
    from tests.building import tiny

    network = tiny.network()
    shown = na.render(network, "3:1", live=True, steps=8, seed=2)
    assert isinstance(shown, LiveRender)
    assert shown.wait(30)
    assert shown.rendering.image.tobytes() == na.render(network, "3:1", steps=8, seed=2).image.tobytes()
    shown.close()
    with pytest.raises(WrongInput, match="canvas cannot be used with live=True"):
        na.render(network, "3:1", live=True, canvas=32)  # type: ignore[call-overload]
    with pytest.raises(WrongInput, match="give the address of one unit"):
        na.render(network, ["3:1"], live=True)  # type: ignore[call-overload]
