"""The bundle is built from ``web/`` alone, type-checked strictly, and not built again without need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

WEB = Path(__file__).parents[2] / "web"


def test_the_types_are_right(builder):
    builder.build_bundle(check_types=True)
    assert json.loads((WEB / "tsconfig.json").read_text())["compilerOptions"]["strict"] is True


def test_nothing_is_done_twice(builder, bundle):
    before = {path: path.stat().st_mtime_ns for path in bundle.iterdir()}
    assert builder.build_bundle() == bundle
    assert {path: path.stat().st_mtime_ns for path in bundle.iterdir()} == before


def test_a_bundle_of_other_sources_or_with_a_file_missing_is_out_of_date(builder, bundle, monkeypatch, tmp_path):
    digest = builder.sources_digest()
    assert builder.up_to_date(digest)
    assert not builder.up_to_date("0" * 64)
    for path in bundle.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.setattr(builder, "STATIC", tmp_path)
    assert builder.up_to_date(digest)
    (tmp_path / "app.css").unlink()
    assert not builder.up_to_date(digest)


def test_a_failed_step_shows_what_it_said(builder):
    with pytest.raises(RuntimeError, match=r"(?s)building the page failed at `node nothing\.mjs`.*Cannot find module"):
        builder.run("node", "nothing.mjs")


def test_the_bundle_asks_for_nothing_from_elsewhere(bundle):
    page = (bundle / "index.html").read_text(encoding="utf-8")
    assert not re.search(r'(?:src|href)="(?:https?:)?//', page)
    assert "url(" not in (bundle / "app.css").read_text(encoding="utf-8")
    assert "default-src 'none'" in page
    script = (bundle / "app.js").read_text(encoding="ascii")
    assert not re.search(r"\bnew Function\(|\beval\(", script)
    assert len(script) < 1_000_000


def test_the_page_writes_no_markup_from_data():
    for source in (WEB / "src").rglob("*.ts"):
        text = source.read_text(encoding="utf-8")
        if source.name == "explorer.ts":  # the frame of a notebook is made of the bundle's own markup
            text = text.replace("srcdoc", "").replace("page.documentElement.outerHTML", "")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|srcdoc", text), source
        assert len(text.splitlines()) <= 300, source


def test_the_licences_of_what_is_inside_come_along(bundle):
    text = (bundle / "licences.txt").read_text(encoding="utf-8")
    for name in ("@deck.gl/core", "@luma.gl/core", "@math.gl/core"):
        assert re.search(rf"^{name} \d", text, re.MULTILINE)
    assert text.count("Permission is hereby granted") > 5


def test_the_lock_file_names_no_host():
    assert "resolved" not in (WEB / "package-lock.json").read_text()
    assert "integrity" in (WEB / "package-lock.json").read_text()
