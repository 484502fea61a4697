"""The contact sheet shows what the scene holds."""

import pytest

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.view.figure import contact_sheet
from neuronatlas.view.scene import Scene


@pytest.fixture
def scene() -> Scene:
    from tests.page.synthetic import make_scene

    return make_scene()


def test_the_sheet_shows_rendered_units_of_each_layer_from_the_first_to_the_last(scene: Scene) -> None:
    layers = [
        layer.name for layer in scene.layers if any(scene.units[unit].layer == layer.name for unit in scene.pictures)
    ]
    figure = contact_sheet(scene, layers[:2], columns=3, rows=1)
    titles = [axes.get_title().splitlines()[0] for axes in figure.axes]
    for number, layer in enumerate(layers[:2]):
        rendered = [str(scene.units[unit]) for unit in sorted(scene.pictures) if scene.units[unit].layer == layer]
        shown = titles[3 * number : 3 * number + 3]
        assert shown[0] == rendered[0]
        assert shown[2] == rendered[-1]
        assert len(set(shown)) == 3


def test_a_layer_that_is_not_there_or_has_no_picture_is_told(scene: Scene) -> None:
    from dataclasses import replace

    with pytest.raises(UnknownName, match="no layer 'nowhere'"):
        contact_sheet(scene, ["nowhere"])
    with pytest.raises(WrongInput, match="has no picture"):
        contact_sheet(replace(scene, pictures={}), [scene.layers[0].name])
