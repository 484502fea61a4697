"""The demonstration itself: a real network, its atlas, its page. Four units of each layer are rendered, not twenty-four."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = [pytest.mark.page, pytest.mark.slow, pytest.mark.timeout(900)]


def test_the_demonstration_is_as_large_as_promised():
    from neuronatlas import demo

    plan, layers = (job := demo.job()).plan, job.manifest.layers
    rendered = dict.fromkeys(range(len(layers)), 0)
    for shard in plan.of("renderings"):
        rendered[shard.layer] += len(shard.units)
    assert len(layers) >= 5
    assert sum(layer.units for layer in layers) >= 1500
    assert sum(rendered.values()) >= 160
    assert min(rendered.values()) >= 16


def test_rendered_units_answer_to_their_pictures_far_more_than_to_photographs(demonstration):
    from neuronatlas import stimuli
    from neuronatlas.atlas import Atlas
    from neuronatlas.view.scene import scene_of

    scene = scene_of(Atlas.open(demonstration))
    taken = {item.name for item in stimuli.photographs()}
    photographs = [number for number, item in enumerate(scene.stimuli) if item.name in taken]
    assert len(photographs) >= 100
    distances = []
    for unit, picture in scene.pictures.items():
        responses = scene.responses[photographs, unit]
        distances.append((picture.score - responses.mean()) / responses.std())
    assert len(distances) == 32
    assert np.mean(distances) >= 3


def test_the_page_shows_the_demonstration(demonstration, chromium):
    from tests.page import browsing

    with browsing.visit(chromium, browsing.address(demonstration / "site")) as visit:
        assert visit.state("units") >= 1500
        assert visit.state("dots") >= 1500
        before = visit.state("colours")
        visit.unit("blocks.7:0")
        visit.wait("atlas.unit === 'blocks.7:0'")
        left, top = visit.where("blocks.7:0")
        visit.page.mouse.move(left, top)
        for _ in range(15):
            visit.page.mouse.wheel(0, -200)
        visit.wait("atlas.thumbnails.includes('blocks.7:0')")
        visit.go("#/map?stimulus=" + _first_photograph())
        visit.wait("atlas.coloured")
        assert visit.state("colours") != before
        visit.go("#/map?layers=blocks.7")
        visit.wait("atlas.dots === 80")


def _first_photograph() -> str:
    from urllib.parse import quote

    from neuronatlas import stimuli

    return quote(stimuli.photographs().items[0].name, safe="")
