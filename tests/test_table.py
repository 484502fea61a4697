"""The responses table keeps numbers and names together."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from neuronatlas.errors import AtlasDamaged, UnknownName, WrongInput
from neuronatlas.table import Responses, _digest
from neuronatlas.units import Unit

UNITS = (Unit("a", 0), Unit("a", 1), Unit("b", 0))


@pytest.fixture
def table() -> Responses:
    return Responses(np.arange(12, dtype=np.float32).reshape(4, 3), UNITS, ("p", "q", "r", "s"), ("x", "x", "", "y"))


def test_selection_takes_names_along(table: Responses) -> None:
    part = table.select(units=[2, 0], stimuli=[3, 1])
    assert part.values.tolist() == [[11, 9], [5, 3]]
    assert part.units == (UNITS[2], UNITS[0])
    assert part.stimuli == ("s", "q")
    assert part.labels == ("y", "x")
    assert table.select(units=[]).values.shape == (4, 0)
    np.testing.assert_array_equal(table.select().values, table.values)


def test_truth_values_choose_those_that_are_true(table: Responses) -> None:
    expected = table.select(units=[0, 2], stimuli=[1])
    for units in ([True, False, True], np.array([True, False, True]), np.array([0, -1]), np.array([0, 2], np.uint8)):
        for stimuli in ([False, True, False, False], np.array([1])):
            part = table.select(units=units, stimuli=stimuli)
            assert part.values.tolist() == expected.values.tolist()
            assert (part.units, part.stimuli, part.labels) == (expected.units, expected.stimuli, expected.labels)
    assert table.select(stimuli=np.zeros(4, bool)).values.shape == (0, 3)


@pytest.mark.parametrize(
    "wrong",
    [[True, False], np.ones(4, bool), np.array([0.0, 1.0]), np.array([[0]]), np.array(["a"]), np.zeros((3, 1), bool)],
)
def test_a_choice_that_is_neither_numbers_nor_one_truth_value_each_is_refused(
    table: Responses, wrong: list[int] | np.ndarray
) -> None:
    with pytest.raises(WrongInput, match=r"units \(of type .*\) must be whole numbers or 3 truth values"):
        table.select(units=wrong)


@pytest.mark.parametrize("wrong", [3, -4])
def test_a_choice_of_what_is_not_there_is_refused(table: Responses, wrong: int) -> None:
    with pytest.raises(WrongInput, match=f"units hold {wrong}: there are 3, counted from 0"):
        table.select(units=[0, wrong])
    assert table.select(units=[-3]).units == (UNITS[0],)


def test_one_stimulus_by_name(table: Responses) -> None:
    assert table.stimulus("r").tolist() == [6, 7, 8]
    with pytest.raises(UnknownName, match="no stimulus 't'"):
        table.stimulus("t")


@pytest.mark.parametrize(("shape", "labels"), [((3, 4), 4), ((4, 2), 4), ((4, 3), 3)])
def test_names_that_do_not_fit_are_refused(shape: tuple[int, int], labels: int) -> None:
    with pytest.raises(WrongInput, match="must fit 4 stimuli and 3 units"):
        Responses(np.zeros(shape, np.float32), UNITS, ("p", "q", "r", "s"), ("",) * labels)


def test_it_says_its_size(table: Responses) -> None:
    assert repr(table) == "Responses(4 stimuli x 3 units)"


def test_merging_puts_the_units_of_the_same_stimuli_side_by_side(table: Responses) -> None:
    first, second = table.select(units=[2, 0]), table.select(units=[1])
    whole = Responses.merge([first, second])
    assert whole.values.tolist() == table.values[:, [2, 0, 1]].tolist()
    assert whole.units == (UNITS[2], UNITS[0], UNITS[1])
    assert (whole.stimuli, whole.labels) == (table.stimuli, table.labels)


def test_tables_that_do_not_belong_together_are_not_merged(table: Responses) -> None:
    with pytest.raises(WrongInput, match=r"tables\[1\] is not of the same stimuli"):
        Responses.merge([table.select(units=[0]), table.select(units=[1], stimuli=[1, 0, 2, 3])])
    with pytest.raises(WrongInput, match="tables hold unit a:1 2 times"):
        Responses.merge([table, table.select(units=[1])])
    with pytest.raises(WrongInput, match="tables is empty"):
        Responses.merge([])


def test_what_is_saved_is_loaded_to_the_last_bit(tmp_path: Path) -> None:
    values = np.array([[np.nan, np.inf], [-0.0, 1e-40]], np.float32)
    units = (Unit("a:b/c", 0, (3, 4)), Unit("é\nè", 7))
    Responses(values.T.copy().T, units, ("x,\n", "😀"), ("", "ü")).save(tmp_path / "table")
    found = Responses.load(tmp_path / "table")
    assert found.values.tobytes() == values.tobytes()
    assert (found.units, found.stimuli, found.labels) == (units, ("x,\n", "😀"), ("", "ü"))
    assert [file.name for file in tmp_path.iterdir()] == ["table"]


def test_a_file_that_was_altered_is_not_believed(table: Responses, tmp_path: Path) -> None:
    table.save(tmp_path / "table")
    content = (tmp_path / "table").read_bytes()
    place = content.index(b'"stimuli"')
    for wrong in (
        content[:-1] + bytes([content[-1] ^ 1]),
        content[:place] + content[place:].replace(b"q", b"z", 1),
        content[:-4],
        b"",
        b"not safetensors at all",
    ):
        (tmp_path / "wrong").write_bytes(wrong)
        with pytest.raises(AtlasDamaged, match="wrong"):
            Responses.load(tmp_path / "wrong")
    with pytest.raises(WrongInput, match="is no file: give one that"):
        Responses.load(tmp_path / "missing")


GOOD = {"units": '["a:0"]', "stimuli": '["p"]', "labels": '["x"]'}


@pytest.mark.parametrize(
    "names",
    [
        {},
        {"units": '["a:0"]', "stimuli": '["p"]'},
        GOOD | {"units": "[", "extra": "1"},
        GOOD | {"units": '["no address"]'},
        GOOD | {"units": f'["a:{"9" * 5000}"]'},
        GOOD | {"units": '["a:\u0663"]'},
        GOOD | {"units": '["a:0", "a:1"]'},
        GOOD | {"stimuli": '"p"'},
        GOOD | {"stimuli": "[1]"},
        GOOD | {"stimuli": "null"},
        GOOD | {"stimuli": '{"p": 1}'},
        GOOD | {"stimuli": "9" * 5000},
        GOOD | {"labels": "[" * 100_000},
        GOOD | {"labels": "[]"},
    ],
)
def test_a_file_made_up_with_the_right_sha256_is_damaged(names: dict[str, str], tmp_path: Path) -> None:
    values = np.ones((1, 1), np.float32)
    save_file({"values": values}, tmp_path / "made up", names | {"sha256": _digest(values, names)})
    with pytest.raises(AtlasDamaged, match="made up"):
        Responses.load(tmp_path / "made up")


@pytest.mark.parametrize("values", [np.ones((1, 1)), np.ones(1, np.float32), np.ones((1, 1, 1), np.float32)])
def test_numbers_of_another_type_or_shape_are_damage(values: np.ndarray, tmp_path: Path) -> None:
    save_file({"values": values}, tmp_path / "made up", GOOD)
    with pytest.raises(AtlasDamaged, match="made up' holds values of type"):
        Responses.load(tmp_path / "made up")


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2", "I64", "BOOL"])
def test_numbers_of_a_type_that_numpy_lacks_are_damage(kind: str, tmp_path: Path) -> None:
    size = {"BF16": 2, "I64": 8}.get(kind, 1)
    header = json.dumps({"values": {"dtype": kind, "shape": [1, 1], "data_offsets": [0, size]}}).encode()
    (tmp_path / "made up").write_bytes(len(header).to_bytes(8, "little") + header + bytes(size))
    with pytest.raises(AtlasDamaged, match="made up"):
        Responses.load(tmp_path / "made up")
