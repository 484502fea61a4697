"""Transforms by their names and settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.transforms.base import Part
from neuronatlas.images.transforms.chain import Chain, Fused, Nothing
from neuronatlas.images.transforms.lucid import LucidChain
from neuronatlas.images.transforms.moving import Affine, Crops, Flip, Jitter, Pad, Rotate, Scale
from neuronatlas.images.transforms.pixels import Blur, Colour, Composite, Noise

KINDS: dict[str, type[Part]] = {
    kind.name: kind
    for kind in (
        Affine, Blur, Chain, Colour, Composite, Crops, Flip, Fused, Jitter, LucidChain, Noise, Nothing, Pad, Rotate, Scale
    )
}  # fmt: skip


def transform_of(settings: str | Mapping[str, object]) -> Part:
    """The transform of these settings, or that of this name with its own defaults ("affine", "lucid", "none", …).

    ``transform_of(transform.settings) == transform`` for each. Raises `UnknownName` for a name, `WrongInput` for fields
    that the transform lacks, needs or refuses.

    >>> transform_of({"name": "chain", "parts": [{"name": "pad", "pixels": 4}, "affine"]}).shared
    False
    """
    fields = {"name": settings} if isinstance(settings, str) else dict(settings)
    name = fields.pop("name", None)
    if not isinstance(name, str):
        message = f"transform (={settings!r}) must be a name, or settings with a 'name'"
        raise WrongInput(message)
    if name not in KINDS:
        raise UnknownName("transform", name, KINDS)
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in fields.items()}
    if "parts" in values:
        values["parts"] = _parts(values["parts"])
    try:
        return KINDS[name](**values)
    except TypeError as error:
        message = f"transform {name!r} cannot have the settings {fields!r}: {error}"
        raise WrongInput(message) from error


def _parts(values: object) -> tuple[Part, ...]:
    if not isinstance(values, tuple):
        message = f"parts (={values!r}) must be a list of settings"
        raise WrongInput(message)
    return tuple(transform_of(cast("str | Mapping[str, object]", value)) for value in values)
