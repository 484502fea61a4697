"""What the server answers: the numbers of a build, and pictures that grow."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import neuronatlas as na
from neuronatlas.atlas import Atlas
from neuronatlas.live import jobs
from neuronatlas.live.serving import Server
from neuronatlas.networks import as_network
from neuronatlas.responses import record
from neuronatlas.view.records import unit_record
from neuronatlas.view.scene import scene_of
from neuronatlas.view.scripts import quantise, scale
from tests.building import tiny
from tests.live.asking import LAYERS, ask, encoded, lines, serving

UNIT = "3:7"


@pytest.fixture(scope="module")
def server(atlas: Atlas) -> Iterator[Server]:
    with serving(atlas, tiny.slow_network()) as running:
        yield running


def decoded(text: str, kind: str) -> np.ndarray:
    return np.frombuffer(base64.b64decode(text), kind)


def picture(text: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text.removeprefix("data:image/webp;base64,")))))


def wanted(server: Server, **words: Any) -> str:
    code, answer = ask(server, "POST", "/api/render", {"unit": UNIT, **words})
    assert code == 200
    return answer["job"]


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG", "GIF"])
def test_values_are_those_of_a_recording(server: Server, atlas: Atlas, tmp_path: Path, kind: str) -> None:
    source = na.stimuli.photographs().items[40].draw(90)[:70]
    body = encoded(source, kind)
    (tmp_path / f"a.{kind.lower()}").write_bytes(body)
    expected = record(tiny.network(), tmp_path, layers=LAYERS).values
    code, answer = ask(server, "POST", "/api/respond", body)
    assert code == 200
    values = decoded(answer["values"], "<f4")
    np.testing.assert_allclose(values, expected[0], rtol=1e-5, atol=1e-5)
    np.testing.assert_array_equal(
        decoded(answer["codes"], "u1"), quantise(values[None], *scale(atlas.responses().values))[0]
    )
    assert (answer["width"], answer["height"]) == (90, 70)
    assert answer["seconds"] < 20


def test_the_strongest_are_the_highest_above_their_mean(server: Server, atlas: Atlas) -> None:
    _, answer = ask(server, "POST", "/api/respond", encoded(na.stimuli.photographs().items[9].draw(64)))
    table = atlas.responses().values.astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        score = (decoded(answer["values"], "<f4") - table.mean(0)) / table.std(0)
    expected = []
    first = 0
    for layer in atlas.manifest.layers:
        members = [k for k in range(first, first + layer.units) if np.isfinite(score[k])]
        expected += sorted(members, key=lambda k: (-score[k], k))[:8]
        first += layer.units
    assert [unit for unit, _ in answer["strongest"]] == expected
    np.testing.assert_allclose([value for _, value in answer["strongest"]], score[expected], rtol=1e-5)


def test_a_rendering_grows_and_is_the_one_that_render_makes(server: Server) -> None:
    job = wanted(server, steps=64, seed=3)
    told = [line for _, line in lines(server, job)]
    frames, last = told[:-1], told[-1]
    assert len(frames) >= 8
    assert [frame["step"] for frame in frames] == sorted(frame["step"] for frame in frames)
    assert {frame["of"] for frame in frames} == {64}
    assert all(np.isfinite(frame["score"]) for frame in frames)
    assert len({frame["image"] for frame in frames}) > 5
    made = na.render(tiny.network(), UNIT, steps=64, seed=3)
    assert (last["done"], last["status"], last["reason"]) == (True, "", "")
    assert last["score"] == pytest.approx(made.score, rel=1e-5)
    assert last["settings"] == made.settings | {"canvas": 32, "score": last["score"]}
    assert np.abs(picture(last["image"]).astype(int) - made.pixels).mean() < 8  # WebP is lossy


def test_the_same_again_is_there_at_once_and_another_is_not(server: Server) -> None:
    first = wanted(server, steps=8)
    end = [line for _, line in lines(server, first)][-1]
    code, answer = ask(server, "POST", "/api/render", {"unit": UNIT, "steps": 8, "seed": 0, "size": None, "sign": 1})
    assert (code, answer) == (200, {"job": first, "cached": True})
    assert [line for _, line in lines(server, first)] == [end]
    for other in ({"seed": 1}, {"sign": -1}, {"unit": "3:8"}, {"steps": 9}):
        code, answer = ask(server, "POST", "/api/render", {"unit": UNIT, "steps": 8} | other)
        assert answer["job"] != first
        assert not answer["cached"]
        assert [line for _, line in lines(server, answer["job"])][-1]["image"] != end["image"]


def test_a_negative_sign_lowers_the_unit(server: Server) -> None:
    scores = [[line for _, line in lines(server, wanted(server, steps=16, sign=sign))][-1] for sign in (1, -1)]
    assert scores[0]["score"] > 0.1 - scores[1]["score"]  # the objective of the second is minus the unit
    assert scores[1]["settings"]["objective"] != scores[0]["settings"]["objective"]


def test_one_that_is_called_off_ends_within_a_second_and_so_does_one_that_waits(server: Server) -> None:
    running, waiting = wanted(server, steps=2048), wanted(server, steps=2047)
    came = lines(server, running)
    assert next(came)[1]["step"] == 8
    for job in (waiting, running):
        start = time.monotonic()
        assert ask(server, "DELETE", f"/api/render/{job}") == (200, {"cancelled": True})
        end = [line for _, line in (came if job == running else lines(server, job))][-1]
        assert end == {"cancelled": True}
        assert time.monotonic() - start < 5
    again = wanted(server, steps=2047)
    assert again != waiting
    ask(server, "DELETE", f"/api/render/{again}")


def test_two_are_made_one_after_the_other_and_pictures_are_answered_meanwhile(server: Server) -> None:
    body = encoded(na.stimuli.photographs().items[3].draw(64))
    alone = ask(server, "POST", "/api/respond", body)[1]["values"]
    both = [wanted(server, steps=24, seed=seed) for seed in (11, 12)]
    first = lines(server, both[0])
    next(first)
    assert ask(server, "POST", "/api/respond", body)[1]["values"] == alone
    rest = list(first)
    assert len(rest) > 1  # it was being made when the picture was answered
    second = list(lines(server, both[1]))
    assert rest[-1][0] < second[0][0]
    assert rest[-1][1]["done"] is second[-1][1]["done"] is True


def test_old_ones_are_forgotten_and_too_many_are_refused(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "KEPT", 2)
    made = []
    for seed in (21, 22, 23):
        made.append(wanted(server, steps=1, seed=seed))
        assert list(lines(server, made[-1]))[-1][1]["done"]
    assert ask(server, "GET", f"/api/render/{made[0]}")[0] == 404
    assert wanted(server, steps=1, seed=22) == made[1]
    monkeypatch.setattr(jobs, "WAITING", 1)
    running = wanted(server, steps=2046)
    code, answer = ask(server, "POST", "/api/render", {"unit": UNIT, "steps": 2045})
    assert (code, "call some off" in answer["error"]) == (429, True)
    ask(server, "DELETE", f"/api/render/{running}")


class FailsInTheDark(torch.nn.Conv2d):
    """Raises for a black picture."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not x.any():
            message = "it is dark"
            raise ArithmeticError(message)
        return super().forward(x)


def test_a_network_that_fails_says_so_and_goes_on(atlas: Atlas) -> None:
    module = tiny.module()
    module[0].__class__ = FailsInTheDark
    with serving(atlas, as_network(module, input_size=32, normalise="0..1")) as server:
        dark, light = (encoded(np.full((40, 40, 3), shade, np.uint8)) for shade in (0, 200))
        code, answer = ask(server, "POST", "/api/respond", dark)
        assert (code, answer["error"]) == (500, "the server failed (ArithmeticError: it is dark): see its terminal")
        assert ask(server, "POST", "/api/respond", light)[0] == 200


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        ({"unit": "33:1"}, 404, "no layer '33': did you mean"),
        ({"unit": "3:20"}, 404, "has units 0 to 19"),
        ({"unit": "three"}, 400, "is not an address"),
        ({"unit": 3}, 400, "unit must be a word"),
        ({"preset": "fst"}, 400, "no preset 'fst': did you mean 'fast'"),
        ({"steps": 0}, 400, "steps (=0) must be a whole number from 1 to 2048"),
        ({"steps": 2049}, 400, "from 1 to 2048"),
        ({"steps": True}, 400, "from 1 to 2048"),
        ({"steps": 1.5}, 400, "from 1 to 2048"),
        ({"size": 31}, 400, "from 32 to 512"),
        ({"size": 513}, 400, "from 32 to 512"),
        ({"seed": None}, 400, "seed (=None)"),
        ({"seed": -1}, 400, "seed (=-1)"),
        ({"sign": 0}, 400, "sign (=0) must be 1 or -1"),
        ({"stps": 3}, 400, "no field 'stps': did you mean 'steps'"),
    ],
)
def test_what_cannot_be_rendered_is_said(server: Server, words: dict[str, Any], code: int, told: str) -> None:
    got, answer = ask(server, "POST", "/api/render", {"unit": UNIT} | words)
    assert got == code
    assert told in answer["error"]


def test_no_json_no_job_and_a_picture_that_the_network_does_not_take(server: Server) -> None:
    for body in (b"", b"{", b"[]", b"\xff", b"[" * 60_000, b'{"preset": "fast"}'):
        assert ask(server, "POST", "/api/render", body)[0] == 400
    assert ask(server, "POST", "/api/render", b" " * 70_000)[0] == 413
    for method in ("GET", "DELETE"):
        assert ask(server, method, "/api/render/nothing")[0] == 404


def test_the_card_of_a_unit_has_an_address(server: Server, atlas: Atlas) -> None:
    scene = scene_of(atlas)
    code, answer = ask(server, "GET", f"/unit/{UNIT}.json")
    assert code == 200
    assert answer == unit_record(scene, atlas.units.index(na.Unit.parse(UNIT)))
    for wrong in ("3:700", "3", "%2e%2e%2fatlas", ""):
        code, answer = ask(server, "GET", f"/unit/{wrong}.json")
        assert code == 404
        assert "there is no unit" in answer["error"]
