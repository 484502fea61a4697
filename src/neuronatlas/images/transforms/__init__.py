"""Random transforms that a picture must survive: they keep the optimisation from exploiting single pixels.

Each transform is given its random numbers, so that the same draws give the same result in any batch.
"""

from neuronatlas.images.transforms.base import Part, Transform
from neuronatlas.images.transforms.chain import Chain, Fused, Nothing, fuse
from neuronatlas.images.transforms.lucid import LucidChain
from neuronatlas.images.transforms.moving import Affine, Crops, Flip, Jitter, Pad, Rotate, Scale
from neuronatlas.images.transforms.named import transform_of
from neuronatlas.images.transforms.pixels import Blur, Colour, Composite, Noise

__all__ = [
    "Affine", "Blur", "Chain", "Colour", "Composite", "Crops", "Flip", "Fused", "Jitter", "LucidChain", "Noise", "Nothing",
    "Pad", "Part", "Rotate", "Scale", "Transform", "fuse", "transform_of",
]  # fmt: skip
