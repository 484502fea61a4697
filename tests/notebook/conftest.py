"""The atlas that the notebooks of this folder open."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an atlas of 32 units and 30 stimuli, one picture a layer."""
    from neuronatlas.building import build
    from tests.building import tiny

    place = tmp_path_factory.mktemp("notebook")
    build(tiny.network(), tiny.pictures(place / "pictures", 30), place / "a.atlas", layers=("2", "3"), units=1)
    return place / "a.atlas"


@pytest.fixture(scope="session", autouse=True)
def built() -> None:
    """The bundle of this checkout, with the widgets' script in it."""
    import importlib.util

    root = Path(__file__).parents[2]
    spec = importlib.util.spec_from_file_location("hatch_build", root / "hatch_build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (module.build_bundle() / "widget.js").is_file()
