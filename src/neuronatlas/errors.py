"""Every error that the package raises on purpose, in one tree.

::

    NeuronAtlasError
    ├── WrongInput          what was asked for cannot be done; the message says what can
    │   ├── UnknownName     a network, layer, unit or stimulus that is not there
    │   ├── NoPictures      a layer that gives responses, but no gradient to follow
    │   └── AtlasMismatch   a folder that holds the atlas of something else
    ├── AtlasDamaged        a file of an atlas is missing, truncated or altered
    ├── CannotWrite         a folder that is full or may not be written
    ├── Unfinished          some of the work could not be done; all the rest was
    └── Cancelled           work was stopped because somebody asked for it

Each message names the argument, its value, the rule that it broke and the next step.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class NeuronAtlasError(Exception):
    """The root: catch it to catch all that this package raises on purpose."""


class WrongInput(NeuronAtlasError, ValueError):
    """An argument that breaks a rule named in the message."""


class UnknownName(WrongInput):
    """A name that is not among those there are.

    >>> print(UnknownName("layer", "blokcs.1", ["blocks.1", "head"]))
    no layer 'blokcs.1': did you mean 'blocks.1'?
    """

    def __init__(self, what: str, name: str, options: Iterable[str]) -> None:
        options = list(options)
        close = get_close_matches(name, options, n=3, cutoff=0.5)
        if close:
            hint = "did you mean " + " or ".join(repr(option) for option in close) + "?"
        elif not options:
            hint = "there are none to choose from"
        elif len(options) <= 12:
            hint = "there are " + ", ".join(options)
        else:
            hint = f"there are {len(options)}, the first of them " + ", ".join(options[:8])
        super().__init__(f"no {what} {name!r}: {hint}")


class NoPictures(WrongInput):
    """A layer gives responses and maps, but nothing can be optimised for it: something on the way has no gradient."""


class AtlasMismatch(WrongInput):
    """The folder holds an atlas that was built from something else."""


class AtlasDamaged(NeuronAtlasError):
    """A file of the atlas is missing, truncated or altered."""


class CannotWrite(NeuronAtlasError):
    """A folder is full or may not be written; what was there is as it was."""


class Unfinished(NeuronAtlasError):
    """Some of the work could not be done, and all the rest was; the message lists it."""


class Cancelled(NeuronAtlasError):
    """Work was stopped because somebody asked for it; raise it in a callback to ask."""
