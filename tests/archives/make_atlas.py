"""Make the atlas that is kept here for each format, by the release that writes the format.

Not run by the tests, which open what it made for as long as the format is read::

    python tests/archives/make_atlas.py tests/archives/atlas-2.tar.xz

It is an atlas of eight units and six plain pictures, without its page.
"""

from __future__ import annotations

import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch

import neuronatlas as na
from neuronatlas.stimuli import Stimulus, StimulusSet

COLOURS = ((0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 160, 0), (0, 0, 255), (255, 255, 0))


def plain(number: int) -> Stimulus:
    """A picture of one colour with a black left edge, so that its scale does not matter."""

    def draw(size: int) -> np.ndarray:
        picture = np.full((size, size, 3), COLOURS[number], np.uint8)
        picture[:, : size // 4] = 0
        return picture

    return Stimulus(f"plain {number} ü", ("dark", "bright")[number % 2], f"plain-{number}", draw)


def network() -> torch.nn.Module:
    """Two convolutions with weights from a seed; unit 3 of the first is dead, so that it has no place on the map."""
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 5, 3), torch.nn.ReLU(), torch.nn.Conv2d(5, 3, 3)).eval()
    with torch.no_grad():
        module[0].weight[3] = 0
        module[0].bias[3] = 0
    return module


def main(target: Path) -> None:
    """Build it in a new folder and pack that without owners, times and the page."""
    with tempfile.TemporaryDirectory() as place:
        wrapped = na.as_network(network(), input_size=16, normalise="0..1")
        shown = StimulusSet(tuple(plain(number) for number in range(len(COLOURS))))
        folder = Path(place) / "atlas"
        na.build(wrapped, shown, folder, layers=["0", "2"], units=2)
        files = [folder / "atlas.json", folder / "plan.json", *sorted((folder / "shards").iterdir())]
        with tarfile.open(target, "w:xz") as archive:
            for file in files:
                entry = tarfile.TarInfo(str(file.relative_to(folder.parent)))
                entry.size = file.stat().st_size
                with file.open("rb") as content:
                    archive.addfile(entry, content)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
