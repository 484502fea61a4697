"""The ways of writing pictures as numbers, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.alpha import Alpha
from neuronatlas.images.base import Parametrisation
from neuronatlas.images.cppn import CPPN
from neuronatlas.images.fourier import Fourier
from neuronatlas.images.maco import Maco
from neuronatlas.images.pixels import Pixels
from neuronatlas.images.pyramid import Laplacian, LowRes
from neuronatlas.images.seeded import Seeded

__all__ = ["PARAMETRISATIONS", "Parametrisation", "parametrisation_of"]

PARAMETRISATIONS: dict[str, type] = {
    kind.__name__.lower(): kind for kind in (Alpha, CPPN, Fourier, Laplacian, LowRes, Maco, Pixels, Seeded)
}


def parametrisation_of(settings: str | Mapping[str, object]) -> Parametrisation:
    """The parametrisation of a name, or of the dictionary that ``settings`` of one gave.

    Raises `UnknownName` for a name or a setting that does not exist, and `WrongInput` for a value without meaning, or
    where an array is needed, which settings only sum up.

    >>> parametrisation_of({"name": "maco"}).planes
    3
    """
    given: dict[str, object] = {"name": settings} if isinstance(settings, str) else dict(settings)
    name = given.pop("name", None)
    if not isinstance(name, str):
        message = f"settings (={settings!r}) must have a name: {', '.join(PARAMETRISATIONS)}"
        raise WrongInput(message)
    if name not in PARAMETRISATIONS:
        raise UnknownName("parametrisation", name, PARAMETRISATIONS)
    kind = PARAMETRISATIONS[name]
    options = [key for key, each in kind.__dataclass_fields__.items() if each.init]  # type: ignore[attr-defined]
    for key, value in given.items():
        if key not in options:
            what = f"setting of {name!r}"
            raise UnknownName(what, key, options)
        if isinstance(value, Mapping) and "sha256" in value:
            message = f"{key} (={dict(value)}) of {name!r} only sums up an array: make the {kind.__name__} of the array"
            raise WrongInput(message)
        if isinstance(value, Mapping):
            given[key] = parametrisation_of(value)
        elif isinstance(value, list):
            given[key] = tuple(value)
    try:
        return cast("Parametrisation", kind(**given))
    except TypeError as error:
        message = f"the settings of {name!r} (={given}) do not fit it: {error}"
        raise WrongInput(message) from error
