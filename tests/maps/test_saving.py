from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from neuronatlas.errors import WrongInput
from neuronatlas.maps import drawing
from neuronatlas.maps.drawing.saving import KINDS


def figure() -> Figure:
    colouring = drawing.levels("percentile")
    pictures = {"a": np.eye(4), "b": np.where(np.eye(4) > 0, np.nan, 0.3)}
    made, axes = drawing.small_multiples(pictures, colouring, width_mm=100)
    drawing.outline_layers(axes["a"], np.arange(16).reshape(4, 4), ["x"] * 7 + ["y"] * 9)
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_two_runs_write_the_same_bytes(kind: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{name}{kind}" for name in ("first", "second", "again")]
    same = figure()
    for file, made in zip(files, (same, figure(), same), strict=True):
        drawing.save_figure(made, file, width_mm=90, dpi=100)
    content = files[0].read_bytes()
    assert files[1].read_bytes() == content
    assert files[2].read_bytes() == content
    assert len(content) > 2000
    assert not re.search(rb"20[2-9]\d-?[01]\d-?[0-3]\d", content)


@pytest.mark.parametrize(("width", "height", "dpi"), [(180.0, None, 300), (85.0, 40.0, 300), (57.7, 91.3, 71)])
def test_sizes_are_exact(width: float, height: float | None, dpi: int, tmp_path: Path) -> None:
    made = figure()
    before = tuple(made.get_size_inches())
    tall = width * before[1] / before[0] if height is None else height
    for kind in KINDS:
        drawing.save_figure(made, tmp_path / f"map{kind}", width_mm=width, height_mm=height, dpi=dpi)
    assert tuple(made.get_size_inches()) == before
    with Image.open(tmp_path / "map.png") as picture:
        assert picture.size == (round(width / 25.4 * dpi), round(tall / 25.4 * dpi))
        assert picture.info["dpi"] == pytest.approx((dpi, dpi), rel=1e-3)
    box = re.search(rb"/MediaBox \[ 0 0 ([\d.]+) ([\d.]+) \]", (tmp_path / "map.pdf").read_bytes())
    assert box is not None
    assert [float(length) / 72 * 25.4 for length in box.groups()] == pytest.approx([width, tall], abs=1e-3)
    size = re.search(
        r'<svg [^>]*width="([\d.]+)pt" height="([\d.]+)pt"', (tmp_path / "map.svg").read_text()
    ) or re.search(r'height="([\d.]+)pt"[^>]*width="([\d.]+)pt"', (tmp_path / "map.svg").read_text())
    assert size is not None
    assert sorted(float(length) / 72 * 25.4 for length in size.groups()) == pytest.approx(
        sorted([width, tall]), abs=1e-3
    )


@pytest.mark.parametrize("width", [60.0, 85.0, 127.0, 180.0])
def test_the_text_of_a_bar_fits_the_size_it_is_saved_at(
    width: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looked at when matplotlib has written the file, before the figure is given its own size back."""
    ax = drawing.new_axes()
    effect = drawing.about_zero("effect")
    drawing.add_legend(drawing.draw_picture(ax, np.eye(3), effect), [ax], effect)
    several, _ = drawing.small_multiples({"a": np.eye(3), "b": np.eye(3)}, drawing.levels("percentile"))
    boxes, save = [], Figure.savefig

    def look(made: Figure, *given: object, **options: object) -> None:
        save(made, *given, **options)
        label = made.axes[-1].yaxis.label
        boxes.append((label.get_text(), label.get_window_extent().frozen(), made.bbox.frozen()))

    monkeypatch.setattr(Figure, "savefig", look)
    for made in (ax.figure, several):
        before = made.axes[-1].get_ylabel()
        drawing.save_figure(made, tmp_path / "map.pdf", width_mm=width)
        text, box, whole = boxes.pop()
        assert box.width > 0
        assert whole.x0 <= box.x0 < box.x1 <= whole.x1
        assert whole.y0 <= box.y0 < box.y1 <= whole.y1
        assert text.replace("\n", " ") == before.replace("\n", " ")
        assert made.axes[-1].get_ylabel() == before
        map_ = made.axes[0].get_window_extent()
        assert map_.width > 0.25 * whole.width


def test_wrong_input_is_named(tmp_path: Path) -> None:
    made = figure()
    with pytest.raises(WrongInput, match=r"must end in one of \.pdf, \.png, \.svg"):
        drawing.save_figure(made, tmp_path / "map.tiff", width_mm=90)
    for wrong in ({"width_mm": 0.0}, {"width_mm": 90.0, "height_mm": -1.0}, {"width_mm": 90.0, "dpi": 0}):
        with pytest.raises(WrongInput, match="must be above 0"):
            drawing.save_figure(made, tmp_path / "map.png", **wrong)
    assert list(tmp_path.iterdir()) == []
