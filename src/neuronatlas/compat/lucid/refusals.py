"""Names of Lucid that have no equal here: calling one says what to use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

from neuronatlas.errors import WrongInput


def without_equal(name: str, instead: str) -> Callable[..., Any]:
    """A function of that name that refuses, and says what to do instead."""

    def refuse(*_: object, **__: object) -> NoReturn:
        message = f"{name} has no equal here: {instead}"
        raise WrongInput(message)

    refuse.__name__ = name
    refuse.__doc__ = f"Refused: {instead}."
    return refuse
