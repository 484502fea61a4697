"""A data set of torch, in a file of its own that other processes can import."""

from __future__ import annotations

import io
import threading

import numpy as np
import torch
from PIL import Image
from torch.utils.data import Dataset


class Photographs(Dataset[tuple[object, object]]):
    """A data set as people write them; ``kind`` says what an item is, ``odd`` what goes wrong."""

    classes = ("animal", "thing")

    def __init__(self, files: list[bytes], kind: str = "pillow", odd: str = "") -> None:
        self.files, self.kind, self.odd = files, kind, odd
        self.inside = self.most = 0

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> object:
        self.inside += 1
        self.most = max(self.most, self.inside)
        if self.odd == "raises" and number == 1:
            message = "no such photograph"
            raise KeyError(message)
        if self.odd == "hangs" and number == 2:
            threading.Event().wait()
        image = Image.open(io.BytesIO(self.files[number]))
        label = number // 2
        values = np.array(image.convert("RGB"))
        if self.odd == "random":
            values[0, 0] = np.random.default_rng().integers(0, 256, 3)
        tensor = torch.from_numpy(values).permute(2, 0, 1)
        self.inside -= 1
        return {
            "pillow": (image, label),
            "array": (values, str(label)),
            "tensor": (tensor, torch.tensor(label)),
            "floats": (tensor / 255, torch.tensor([label])),
            "dict": {"image": image, "label": np.int64(label)},
            "alone": values,
            "normalised": (tensor / 127.5 - 1, label),
            "boxes": (image, {"boxes": []}),
            "words": ("a path", label),
        }[self.kind]
