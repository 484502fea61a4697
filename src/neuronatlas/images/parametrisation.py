"""The ways of writing pictures as numbers, by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.base import Parametrisation
from neuronatlas.images.fourier import Fourier

__all__ = ["PARAMETRISATIONS", "Parametrisation", "parametrisation_of"]

PARAMETRISATIONS: dict[str, type] = {"fourier": Fourier}


def parametrisation_of(settings: str | Mapping[str, object]) -> Parametrisation:
    """The parametrisation of a name, or of the dictionary that ``settings`` of one gave.

    Raises `UnknownName` for a name or field that does not exist, and `WrongInput` for a value without meaning or for
    settings that speak of an array, which they do not hold.
    """
    given = {"name": settings} if isinstance(settings, str) else dict(settings)
    name = given.pop("name", None)
    if not isinstance(name, str):
        message = f"settings (={dict(settings) if isinstance(settings, Mapping) else settings!r}) must have a 'name'"
        raise WrongInput(message)
    if name not in PARAMETRISATIONS:
        raise UnknownName("parametrisation", name, PARAMETRISATIONS)
    kind = PARAMETRISATIONS[name]
    options = list(kind.__dataclass_fields__)  # type: ignore[attr-defined]
    for field, value in given.items():
        if field not in options:
            what = f"setting of {name!r}"
            raise UnknownName(what, field, options)
        if isinstance(value, Mapping) and "sha256" in value:
            message = (
                f"{field} (={dict(value)}) is the summary of an array, which is not in settings: give {name} itself"
            )
            raise WrongInput(message)
    made = {field: parametrisation_of(value) if field == "base" else value for field, value in given.items()}  # type: ignore[arg-type]
    try:
        return cast("Parametrisation", kind(**made))
    except TypeError as error:
        message = f"the settings of {name!r} do not fit it: {error}"
        raise WrongInput(message) from error
