"""Pullbacks of JAX: applied, and refused where nothing comes back through them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def applied(pullback: Callable[..., Any], cotangents: list[Any]) -> Any:
    """What comes back to the first of the arguments."""
    return pullback(cotangents)[0]


def comes_back(pullback: Callable[..., Any], cotangents: list[Any]) -> bool:
    """Does what comes back depend on the cotangents? JAX gives zeros where there is no way."""
    import jax

    program = jax.make_jaxpr(applied)(pullback, cotangents).jaxpr
    reached = {id(each) for each in program.invars[-len(cotangents) :]}
    for equation in program.eqns:
        if any(id(each) in reached for each in equation.invars):
            reached |= {id(each) for each in equation.outvars}
    return any(id(each) in reached for each in program.outvars)
