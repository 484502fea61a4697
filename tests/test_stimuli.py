"""Stimuli: what their names say is what they show."""

import os
import pickle
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neuronatlas import stimuli
from neuronatlas.errors import WrongInput
from neuronatlas.stimuli import drawn


def peak(picture: np.ndarray) -> tuple[float, float]:
    """The strongest frequency of a grey pattern, in cycles a picture, and the orientation of its bars in degrees."""
    size = len(picture)
    window = np.hanning(size)[:, None] * np.hanning(size)
    power = np.abs(np.fft.fft2((picture - picture.mean()) * window, s=(8 * size, 8 * size)))
    row, column = np.unravel_index(np.argmax(power), power.shape)
    down, right = (np.fft.fftfreq(8 * size)[index] * size for index in (row, column))
    return float(np.hypot(down, right)), float(np.rad2deg(np.arctan2(-down, right)) - 90) % 180


@pytest.mark.parametrize(("orientation", "frequency"), [(0, 8), (30, 16), (75, 32), (90, 8), (105, 16), (150, 32)])
def test_a_grating_has_the_frequency_and_orientation_of_its_name(orientation: int, frequency: int) -> None:
    name = f"grating/orientation={orientation:03d}/frequency={frequency}/colour=grey"
    item = next(item for item in stimuli.vision_science() if item.name == name)
    found, turned = peak(item.draw(160)[:, :, 0].astype(float))
    assert found == pytest.approx(frequency, abs=0.4)
    assert abs((turned - orientation + 90) % 180 - 90) < 2


def test_a_grating_equals_its_formula_pixel_by_pixel() -> None:
    size, slow = 12, np.zeros((12, 12))
    for row in range(size):
        for column in range(size):
            for i in range(4):
                for j in range(4):
                    x = (column + (j + 0.5) / 4) / size - 0.5
                    y = 0.5 - (row + (i + 0.5) / 4) / size
                    across = y * np.cos(np.pi / 6) - x * np.sin(np.pi / 6)
                    slow[row, column] += np.sin(2 * np.pi * 3 * across) / 16
    np.testing.assert_allclose(drawn.grating(30, 3, size), slow, atol=1e-12)


def test_a_standing_bar_stands_and_a_lying_one_lies() -> None:
    standing, lying = drawn.bar(90, 0.2, 1.0, 40), drawn.bar(0, 0.2, 1.0, 40)
    assert np.ptp(standing, axis=0).max() == 0
    assert np.ptp(lying, axis=1).max() == 0
    assert standing.mean() == pytest.approx(0.2, abs=0.01)


def test_an_edge_along_ninety_degrees_is_bright_on_its_left() -> None:
    step = drawn.edge(90, 20)
    assert (step[:, :10] == 1).all()
    assert (step[:, 10:] == -1).all()


def test_a_ring_has_its_radius_at_the_middle_and_its_centre_where_it_says() -> None:
    def near(towards: float) -> tuple[float, float]:
        picture = drawn.rings(towards, 0.25, 2, 80)
        y, x = np.mgrid[:80, :80]
        away = [np.hypot((x + 0.5) / 80 - 0.5 - cx, 0.5 - (y + 0.5) / 80 - cy) for cx, cy in ((0.25, 0), (0, 0.25))]
        first, second = (abs(np.corrcoef(picture.ravel(), np.sin(4 * np.pi * d).ravel())[0, 1]) for d in away)
        return float(first), float(second)

    assert near(0)[0] > 0.99 > near(0)[1]
    assert near(90)[1] > 0.99 > near(90)[0]


def test_noise_falls_with_frequency_as_its_exponent_says() -> None:
    for exponent in (0, 1, 2):
        slopes = []
        for seed in range(8):
            power = np.abs(np.fft.fft2(drawn.noise(exponent, seed, 128))) ** 2
            frequency = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None, :])
            inside = (frequency > 0.03) & (frequency < 0.4)
            slopes.append(np.polyfit(np.log(frequency[inside]), np.log(power[inside]), 1)[0])
        assert np.mean(slopes) == pytest.approx(-2 * exponent, abs=0.15)


def test_coloured_gratings_keep_their_luma() -> None:
    for colour in ("red-green", "blue-yellow"):
        item = next(item for item in stimuli.vision_science() if item.name.endswith(f"frequency=4/colour={colour}"))
        picture = item.draw(64).astype(float)
        luma = picture @ np.array([0.2126, 0.7152, 0.0722])
        assert luma.std() < 0.5
        assert picture.std((0, 1)).max() > 50


def test_names_are_unique_and_labels_are_families() -> None:
    both = stimuli.photographs() + stimuli.vision_science()
    assert len({item.name for item in both}) == len(both)
    assert {item.label for item in stimuli.vision_science()} == {
        *("grating", "checkerboard", "curve", "edge", "bar", "noise", "uniform")
    }
    assert len(stimuli.vision_science()) == 321
    assert len({item.label for item in stimuli.photographs()}) == 18


def test_every_stimulus_draws_the_same_at_any_time_and_at_any_size() -> None:
    for item in (stimuli.photographs() + stimuli.vision_science()).items[::29]:
        first, second = item.draw(50), item.draw(50)
        assert first.shape == (50, 50, 3)
        assert first.dtype == np.uint8
        assert np.array_equal(first, second)
        assert item.draw(31).shape == (31, 31, 3)


def test_every_stimulus_can_be_sent_to_another_process(pictures: Path) -> None:
    for item in (stimuli.photographs() + stimuli.vision_science() + stimuli.folder(pictures)).items[::13]:
        assert np.array_equal(pickle.loads(pickle.dumps(item)).draw(20), item.draw(20))


def test_no_byte_hangs_on_the_last_place_of_a_sine(monkeypatch: pytest.MonkeyPatch) -> None:
    items = [item for item in stimuli.vision_science() if item.label in ("grating", "curve")][::7]
    before = [item.draw(48) for item in items]
    sine = np.sin
    monkeypatch.setattr(np, "sin", lambda angle: np.nextafter(sine(angle), -2.0))  # another machine's library
    assert all(np.array_equal(item.draw(48), bytes_before) for item, bytes_before in zip(items, before, strict=True))


def test_two_stimuli_of_one_name_are_refused() -> None:
    with pytest.raises(WrongInput, match=r"2 stimuli named 'astronaut/.*rename"):
        stimuli.photographs() + stimuli.photographs()


def test_crops_show_different_parts_of_one_photograph() -> None:
    cats = [item.draw(64) for item in stimuli.photographs() if item.label == "chelsea"]
    assert len({picture.tobytes() for picture in cats}) == 14
    spec = find_spec("skimage")
    assert spec is not None
    assert spec.origin is not None
    whole = Image.open(Path(spec.origin).parent / "data" / "chelsea.png").convert("RGB")
    left = (whole.width - whole.height) // 2
    square = whole.crop((left, 0, left + whole.height, whole.height))
    expected = np.asarray(square.resize((64, 64), Image.Resampling.BILINEAR), float)
    assert np.abs(cats[0] - expected).mean() < 3  # a crop may begin half a pixel further


def test_the_digest_changes_with_names_labels_pixels_and_order() -> None:
    items = stimuli.vision_science().items
    digests = {
        stimuli.StimulusSet(chosen).digest
        for chosen in (
            items[:3],
            items[:2],
            (items[1], items[0], items[2]),
            (*items[:2], stimuli.Stimulus(items[2].name, "other", items[2].identity, items[2].draw)),
            (*items[:2], stimuli.Stimulus("other", items[2].label, items[2].identity, items[2].draw)),
            (*items[:2], stimuli.Stimulus(items[2].name, items[2].label, "other", items[2].draw)),
        )
    }
    assert len(digests) == 6
    assert stimuli.vision_science().digest == stimuli.vision_science().digest


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    for name, colour in (
        ("b/two.png", "red"),
        ("a/one.png", "blue"),
        ("a/deep/three.png", "lime"),
        ("top.png", "white"),
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 20), colour).save(tmp_path / name)
    return tmp_path


def test_a_folder_is_read_in_order_with_labels(pictures: Path) -> None:
    found = stimuli.folder(pictures)
    assert [(item.name, item.label) for item in found] == [
        ("a/deep/three.png", "a"),
        ("a/one.png", "a"),
        ("b/two.png", "b"),
        ("top.png", ""),
    ]
    assert found.items[1].draw(8)[4, 4].tolist() == [0, 0, 255]
    assert found.skipped == ()


def test_d1_d2_bad_files_are_skipped_and_told(pictures: Path) -> None:
    whole = pictures / "whole.jpg"
    Image.effect_noise((64, 64), 60).save(whole, quality=95)
    (pictures / "cut.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (pictures / "empty.png").touch()
    (pictures / "text.png").write_text("not a picture")
    found = stimuli.folder(pictures)
    assert len(found) == 5
    reasons = dict(found.skipped)
    assert set(reasons) == {"cut.jpg", "empty.png", "text.png"}
    assert "truncated" in reasons["cut.jpg"]
    assert "empty" in reasons["empty.png"]


def test_an_archive_within_a_folder_is_told(pictures: Path) -> None:
    (pictures / "more").mkdir()
    (pictures / "more" / "shard-0.tar").write_bytes(b"pictures, perhaps")
    before = len(stimuli.folder(pictures))
    (pictures / "rest.ZIP").write_bytes(b"")
    found = stimuli.folder(pictures)
    told = dict(found.skipped)
    assert len(found) == before
    assert {"more/shard-0.tar", "rest.ZIP"} <= set(told)
    assert "give it by itself" in told["rest.ZIP"]


def test_d14_a_picture_that_changed_after_the_listing_is_refused(pictures: Path) -> None:
    found = stimuli.folder(pictures)
    Image.new("RGB", (30, 20), "black").save(pictures / "b/two.png")
    with pytest.raises(WrongInput, match=r"two\.png.*has changed"):
        found.items[2].draw(8)


def test_d15_names_that_are_no_text_are_escaped(pictures: Path) -> None:
    odd = os.fsencode(pictures) + b"/x\xff\ny.png"
    Path(os.fsdecode(odd)).write_bytes((pictures / "top.png").read_bytes())
    names = [item.name for item in stimuli.folder(pictures)]
    assert "x\\xff\\x0ay.png" in names
    assert all(name.encode("utf-8") for name in names)


def test_d16_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongInput, match="holds no picture"):
        stimuli.folder(tmp_path)
    (tmp_path / "x.png").write_text("no")
    with pytest.raises(WrongInput, match="1 files could not be read, the first because"):
        stimuli.folder(tmp_path)
    with pytest.raises(WrongInput, match="is not a folder"):
        stimuli.folder(tmp_path / "missing")
