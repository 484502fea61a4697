"""Make tests/images/lucent_transforms.npz: what torch-lucent itself makes of some pictures, with its choices forced.

Not run by the tests. It wants torch-lucent 0.1.8 and kornia in an environment of their own::

    python -m pip install torch-lucent==0.1.8 kornia
    python tests/reference/make_lucent_transforms.py tests/images/lucent_transforms.npz

Each case holds a picture, its six choices as places in Lucent's own lists (x and y of the first jitter, scale, angle, x
and y of the second jitter) and the result of ``standard_transforms`` followed by the upsampling of ``render_vis`` where
the picture is below ``upsample``: 224 in Lucent, less here in some cases to keep the archive small. Lucent runs in
double precision, its ``float()`` being taken from it: in single precision its places are rounded, which is worth 1e-5 on
noise of 40 pixels and up to 9e-5 on noise of 230.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

import numpy as np
import torch

CASES = [  # height, width, upsample (0: none), choices
    (24, 24, 48, (0, 0, 5, 25, 0, 0)),
    (24, 24, 48, (7, 0, 0, 0, 3, 1)),
    (24, 24, 48, (0, 7, 10, 20, 0, 3)),
    (20, 33, 0, (3, 5, 2, 13, 2, 1)),
    (20, 33, 40, (3, 5, 2, 4, 2, 1)),
    (33, 20, 0, (6, 1, 8, 17, 1, 2)),
    (33, 20, 30, (1, 2, 1, 9, 3, 3)),
    (17, 18, 0, (2, 6, 4, 6, 0, 2)),
    (40, 40, 40, (5, 5, 7, 12, 3, 0)),
    (16, 16, 224, (4, 1, 3, 2, 1, 3)),
]


def lucent() -> tuple[object, object]:
    """Lucent's transforms under a newer kornia and a torchvision without its compiled operators."""
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import kornia
    import kornia.geometry.transform as geometry

    kornia.get_rotation_matrix2d = geometry.get_rotation_matrix2d
    kornia.warp_affine = geometry.warp_affine
    from lucent.optvis import transform

    torch.set_default_dtype(torch.float64)
    torch.Tensor.float = torch.Tensor.double
    return transform, library


@contextlib.contextmanager
def choosing(places: tuple[int, ...]) -> Iterator[None]:
    """``np.random.choice`` takes these places, one after the other."""
    real, left = np.random.choice, list(places)

    def choice(options: int | list[float]) -> object:
        return (range(options) if isinstance(options, int) else options)[left.pop(0)]

    np.random.choice = choice
    yield
    np.random.choice = real
    assert not left


def main(path: str) -> None:
    """Write the archive."""
    transform, _keep = lucent()
    arrays: dict[str, np.ndarray] = {}
    for index, (height, width, upsample, choices) in enumerate(CASES):
        small = upsample == 224  # a large result: one channel, every third pixel is kept
        shape = (1, 1 if small else 2, height, width)
        image = torch.rand(shape, generator=torch.Generator().manual_seed(index), dtype=torch.float32)
        with choosing(choices):
            moved = transform.compose(transform.standard_transforms)(image.double())
        if upsample and min(height, width) < upsample:
            moved = torch.nn.Upsample(size=upsample, mode="bilinear", align_corners=True)(moved)
        arrays[f"picture_{index}"] = image[0].numpy()
        arrays[f"choices_{index}"] = np.array([upsample, *choices])
        arrays[f"result_{index}"] = (moved[0, :, ::3, ::3] if small else moved[0]).numpy().astype(np.float32)
    np.savez_compressed(path, **arrays)


if __name__ == "__main__":
    main(sys.argv[1])
