"""Pictures that come as arrays, tensors of any framework, or objects of Pillow: turned into uint8 RGB, or refused."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from neuronatlas.images.files import UnreadablePicture, convert_picture

RULE = "give uint8, or float in 0..1, of shape (height, width, 3 or 1), (3 or 1, height, width) or (height, width)"


def is_picture(shape: tuple[int, ...]) -> bool:
    """Whether an array of this shape can be a picture."""
    return len(shape) == 2 or (len(shape) == 3 and (shape[2] in (1, 3) or shape[0] in (1, 3)))


def as_array(value: object) -> np.ndarray | None:
    """An array, or a tensor with its ``numpy()``, as an array of numpy; None for anything else."""
    for step in ("detach", "cpu", "numpy"):  # a tensor of torch may need all three, one of TensorFlow the last
        if not isinstance(value, np.ndarray) and callable(method := getattr(value, step, None)):
            value = method()
    if hasattr(value, "__array__") and hasattr(value, "shape"):
        return np.asarray(value)
    return None


def as_picture(value: object, name: str) -> UInt8[np.ndarray, "height width 3"]:
    """The picture; where the shape leaves open which axis is the channels, it is the last. Raises `UnreadablePicture`."""
    if isinstance(value, Image.Image):
        return convert_picture(value, name).pixels
    values = as_array(value)
    if values is None:
        raise UnreadablePicture(name, f"it is a {type(value).__name__}: {RULE}")
    if not is_picture(values.shape) or 0 in values.shape:
        raise UnreadablePicture(name, f"it has the shape {values.shape}: {RULE}")
    if values.ndim == 2:
        values = values[..., None]
    elif values.shape[2] not in (1, 3):
        values = np.moveaxis(values, 0, 2)
    if values.dtype.kind == "f":
        low, high = float(values.min()), float(values.max())
        if not (low >= 0 and high <= 1):  # nor where they are not numbers
            reason = f"it holds numbers from {low:g} to {high:g}: give 0..1, before any normalisation for a network, or uint8"
            raise UnreadablePicture(name, reason)
        values = np.rint(values.astype(np.float64) * 255).astype(np.uint8)
    elif values.dtype != np.uint8:
        raise UnreadablePicture(name, f"it holds {values.dtype}: {RULE}")
    return np.ascontiguousarray(np.broadcast_to(values, (*values.shape[:2], 3)))
