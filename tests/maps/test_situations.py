from __future__ import annotations

import numpy as np
import pytest
from tests.reference import situations as reference

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.maps import situations as module
from neuronatlas.maps.situations import by_label, halves, held_out_accuracy, situations
from neuronatlas.table import Responses


@pytest.fixture
def noisy(rng: np.random.Generator) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Units with ties, gaps and infinities, one constant and one without numbers; situations that overlap."""
    inside = {"often": rng.random(60) < 0.6, "rare": rng.random(60) < 0.15, "once": np.arange(60) == 7}
    values = rng.integers(0, 9, (60, 12)).astype(np.float32)
    values[:, 0] += 4 * inside["often"]
    values[:, 1] -= 3 * inside["rare"]
    values[:, 2] = 5
    values[:, 3] = np.nan
    values[::5, 4] = np.nan
    values[3, 5], values[4, 5] = np.inf, -np.inf
    values[:, 6] = rng.normal(size=60)
    return values, inside


def test_accuracies_are_those_of_trying_every_threshold(
    noisy: tuple[np.ndarray, dict[str, np.ndarray]], real: Responses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_BLOCK", 300)  # a few units at a time
    for values, inside in (noisy, (real.values, by_label(real.labels))):
        fitted = halves(inside, len(values))
        found = held_out_accuracy(values, np.stack(list(inside.values())), fitted)
        for row, members in zip(found, inside.values(), strict=True):
            expected = [reference.accuracy(unit.tolist(), members.tolist(), fitted.tolist()) for unit in values.T]
            np.testing.assert_allclose(row, expected, atol=1e-12, equal_nan=True)
            assert np.isnan(expected).any()


def test_expected_responses_are_the_means_of_what_is_finite(noisy: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    values, inside = noisy
    found = situations(values, inside)
    for row, (name, members) in enumerate(inside.items()):
        assert found.counts[row] == members.sum(), name
        for unit, column in enumerate(values.T.astype(np.float64)):
            usable = column[np.isfinite(column)]
            here = column[members & np.isfinite(column)]
            mean = here.mean() if len(here) else np.nan
            assert found.expected[row, unit] == pytest.approx(mean, nan_ok=True)
            varies = len(set(usable)) > 1
            level = (mean - usable.mean()) / usable.std(ddof=1) if varies else np.nan
            assert found.deviations[row, unit] == pytest.approx(level, nan_ok=True)


def test_a_unit_that_tells_is_found_and_chance_is_not_beaten(rng: np.random.Generator) -> None:
    inside = {"there": np.arange(2000) % 4 == 0}
    values = rng.normal(size=(2000, 40))
    values[:, 11] = 2.0 * inside["there"] + 0.1 * rng.normal(size=2000)
    values[:, 23] -= 3.0 * inside["there"]  # less in the situation tells it as well
    found = situations(values, inside)
    assert found.most_selective("there", 2).tolist() == [11, 23]
    assert found.accuracy[0, 11] == 1.0
    others = np.delete(found.accuracy[0], [11, 23])
    assert 0.4 < others.min() < others.max() < 0.6  # fitted thresholds scored on themselves would all lie above 0.5
    assert (others < 0.5).any()


def test_infinities_are_no_thresholds() -> None:
    values = np.array([1.0, 2.0, 1.0, 2.0, -np.inf, np.inf, 2.0, 1.0])[:, None]
    inside = np.array([True, True, False, False, True, False, True, False])
    fitted = np.arange(8) < 6
    expected = reference.accuracy(values[:, 0].tolist(), inside.tolist(), fitted.tolist())
    assert held_out_accuracy(values, inside[None], fitted)[0, 0] == expected == 1.0  # above 1.5


def test_each_situation_is_halved() -> None:
    labels = ["a"] * 6 + ["b"] * 9 + [""] * 4 + ["a"]
    inside = by_label(labels)
    fitted = halves(inside, len(labels))
    assert fitted.sum() == 10
    for members in (*inside.values(), np.array(labels) == ""):
        assert abs((fitted & members).sum() - (~fitted & members).sum()) <= 1


def test_the_halves_can_be_given(noisy: tuple[np.ndarray, dict[str, np.ndarray]]) -> None:
    values, inside = noisy
    early = np.arange(60) < 30
    found = situations(values, inside, fitted=early)
    expected = reference.accuracy(values[:, 0].tolist(), inside["often"].tolist(), early.tolist())
    assert found.accuracy[0, 0] == pytest.approx(expected)
    assert expected != pytest.approx(situations(values, inside).accuracy[0, 0])


def test_one_stimulus_is_a_situation_without_accuracy_and_told(real: Responses) -> None:
    labels = ["only", *real.labels[1:]]
    found = situations(real.values, by_label(labels))
    assert found.names[0] == "only"
    np.testing.assert_array_equal(found.expected[0], real.values[0].astype(np.float64))
    assert np.isnan(found.accuracy[0]).all()
    assert len(found.most_selective("only")) == 0
    assert found.notes == (
        "'only' holds one stimulus: its map is the response to it",
        "'only' has no held-out accuracy: one half of the stimuli lacks members, or others",
    )


def test_what_always_holds_and_what_is_missing_is_told() -> None:
    values = np.arange(8.0)[:, None]
    values[2] = np.nan
    found = situations(values, {"always": np.ones(8, dtype=bool)})
    assert np.isnan(found.accuracy).all()
    assert found.deviations[0, 0] == pytest.approx(0)
    assert found.notes[0] == "1 responses are not finite and are left out"
    assert found.notes[1] == "every stimulus is in 'always': there is nothing to tell it from"


def test_labels_become_situations() -> None:
    assert list(by_label(["b", "", "a", "b"])) == ["b", "a"]
    assert by_label(["b", "", "a", "b"])["b"].tolist() == [True, False, False, True]
    assert by_label([]) == {}


def test_wrong_input_is_named() -> None:
    values = np.zeros((3, 2))
    with pytest.raises(WrongInput, match="conditions is empty"):
        situations(values, {})
    with pytest.raises(WrongInput, match="'a' holds 2 marks for 3 stimuli"):
        situations(values, {"a": np.ones(2, dtype=bool)})
    with pytest.raises(WrongInput, match="no stimulus is in the situation 'a'"):
        situations(values, {"a": np.zeros(3, dtype=bool)})
    with pytest.raises(WrongInput, match="fitted holds 1 marks for 3 stimuli"):
        situations(values, {"a": np.array([True, False, True])}, fitted=np.ones(1, dtype=bool))
    with pytest.raises(UnknownName, match="no situation 'b'"):
        situations(values, {"a": np.array([True, False, True])}).most_selective("b")
