"""An atlas that keeps statistics of the responses in place of the table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import neuronatlas as na
from neuronatlas import stimuli
from neuronatlas.building import perform, prepare, settling, statistics, tasks
from neuronatlas.errors import WrongInput
from neuronatlas.executors.local import Processes
from neuronatlas.view.scene import scene_of
from tests.building import tiny


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of 64 stimuli, of which 10 in all are shown."""
    monkeypatch.setattr(settling, "_STRETCH", 64)
    monkeypatch.setattr(tasks, "SHOWN", 10)


@pytest.fixture(scope="module")
def shown() -> stimuli.StimulusSet:
    return stimuli.StimulusSet(stimuli.photographs().items[:150])


def test_it_says_what_the_whole_table_says(small: None, shown: stimuli.StimulusSet, tmp_path: Path) -> None:
    network = tiny.network()
    atlas = perform(prepare(network, shown, statistics=True, units=2), tmp_path / "atlas")
    assert len(atlas.plan.of("responses")) == 3
    table = na.record(network, shown)
    about, _ = atlas.get(atlas.plan.of("map")[0])
    np.testing.assert_allclose(about["moments_mean"], table.values.mean(0, dtype=np.float64), rtol=1e-5, atol=1e-6)
    order = np.argsort(-table.values, axis=0, kind="stable")[: statistics.BEST]
    np.testing.assert_array_equal(np.sort(about["extremes_best_stimuli"], axis=1), np.sort(order.T, axis=1))
    fitted = na.ResponseMap("pearson").fit(table)  # up to 1120 stimuli a sketch loses nothing
    live = ~np.isnan(fitted.positions[:, 0])
    np.testing.assert_allclose(
        about["correlations"][live][:, :5], fitted.neighbours.correlations[live][:, :5], atol=1e-4
    )
    kept = atlas.responses()
    assert kept.stimuli == tuple(shown.items[number].name for number in (0, 17, 33, 50, 66, 83, 99, 116, 132, 149))
    rows = [table.stimuli.index(name) for name in kept.stimuli]
    np.testing.assert_array_equal(kept.values, table.values[rows])
    scene = scene_of(atlas)
    assert [item.name for item in scene.stimuli] == list(kept.stimuli)
    np.testing.assert_array_equal(scene.stimuli[1].thumbnail.shape, (64, 64, 3))
    assert (tmp_path / "atlas" / "site" / "index.html").is_file()


def test_n6_the_same_bytes_from_other_workers(shown: stimuli.StimulusSet, tmp_path: Path) -> None:
    job = prepare(tiny.network, shown, statistics=True, units=1)
    perform(job, tmp_path / "one")
    perform(job, tmp_path / "two", executor=Processes(2))
    assert tiny.digest(tmp_path / "one") == tiny.digest(tmp_path / "two")


def test_a_table_that_is_too_large_is_not_kept(shown: stimuli.StimulusSet, monkeypatch: pytest.MonkeyPatch) -> None:
    assert statistics.worth_it(1_281_167, 27_560)
    assert not statistics.worth_it(5_000, 22_008)
    monkeypatch.setattr(settling, "worth_it", lambda stimuli, units: stimuli * units > 150 * 70)
    job = prepare(tiny.network(), shown, units=0)
    assert job.manifest.settings["statistics"] == {"best": 9, "shown": 1000, "sketch": 1120}
    assert job.manifest.settings["map"]["correlation"] == "pearson"
    assert len(job.plan.of("responses")) == 1
    with pytest.raises(WrongInput, match=r"correlation 'spearman' needs the whole table, of 150 stimuli x 76 units"):
        prepare(tiny.network(), shown, correlation="spearman")
    whole = prepare(tiny.network(), shown, statistics=False)
    assert "statistics" not in whole.manifest.settings
    assert whole.manifest.settings["map"]["correlation"] == "spearman"
