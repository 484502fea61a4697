"""Networks from a factory: code that makes a model, with weights from a file or those that it makes itself.

A factory is ``timm:NAME`` or ``torchvision:NAME``, whose preprocessing is known, ``package.module:function`` or
``file.py:function``: it is called without arguments, and what it gives is a model of any framework, or a `Network`.
Random numbers of torch, numpy, Python and Keras begin anew for it, so that an architecture without weights is the same
network in every run.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import inspect
import random
import re
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import partial, reduce
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from torch import nn

from neuronatlas.errors import NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.networks import as_network
from neuronatlas.networks.base import Network
from neuronatlas.networks.preprocessing import Given, Normalisation
from neuronatlas.zoo import weights

KERAS = ".weights.h5"
ENDINGS = (weights.SAFE, *weights.PICKLED, KERAS)
RANDOM = "its weights are random: no file of weights was given (WEIGHTS@{word})"

_WITH_WEIGHTS = re.compile(
    f"(?P<file>.+?(?:{'|'.join(map(re.escape, ENDINGS))}))@(?P<factory>.+)", re.IGNORECASE | re.DOTALL
)
_FUNCTION = re.compile(r"(?P<home>.+\.py|[^\W\d]\w*(?:\.\w+)*):(?P<function>[^\W\d]\w*(?:\.\w+)*)", re.DOTALL)


@dataclass(frozen=True)
class Made:
    """What a factory makes, and what its source says of it; ``trained`` where it may have weights of its own."""

    model: object
    trained: bool = True
    size: tuple[int, int] | None = None
    normalise: Normalisation | None = None
    labels: tuple[str, ...] = ()


def is_factory(word: str) -> bool:
    """Does the word name a factory, with or without weights?"""
    named = word.startswith(("timm:", "torchvision:")) or "@" in word or _FUNCTION.fullmatch(word) is not None
    return named and not Path(word).exists()


def load(word: str, given: Given) -> Network:
    """The network of ``FACTORY`` or ``WEIGHTS@FACTORY``; raises `UnknownName` or `WrongInput`."""
    file, factory = _parts(word)
    with _anew():
        made = _make(factory)
    if isinstance(made.model, nn.Module):
        made.model.eval()  # as it is when it is new, a module would be in training mode
    if file is not None:
        fill(made.model, file)
    if isinstance(made.model, Network):
        _check_nothing_said(given, factory)
        return made.model
    if made.normalise is not None:
        given = given.or_else(made.normalise)
    title = _title(factory) if file is None else f"{file.name}@{_title(factory)}"
    network = as_network(
        made.model,
        input_size=given.size(made.size) if made.size else given.input_size,
        normalise=given.normalise,
        channel_order=given.channel_order,
        data_format=given.data_format,
        name=title if given.name in ("", word) else given.name,
        labels=given.labels or (made.labels if file is not None else ()),
        device=given.device,
    )
    if file is None and not made.trained:
        network.notes += (RANDOM.format(word=word),)
    return network


def fill(model: object, file: Path) -> None:
    """Put the weights of a file into a model of torch or Keras; raises `WrongInput` where they do not fit."""
    if file.name.lower().endswith(KERAS):
        _fill_keras(model, file)
    elif isinstance(model, nn.Module):
        weights.put(weights.read(file), model, file.name)
    else:
        message = (
            f"weights {str(file)!r} are for a torch module, and the factory gives a {type(model).__module__}."
            f"{type(model).__name__}: give a factory that loads its weights itself"
        )
        raise WrongInput(message)


def _check_nothing_said(given: Given, factory: str) -> None:
    """Refuse what is said of a network that is ready."""
    plain = Given(name=given.name)
    said = [each.name for each in fields(given) if getattr(given, each.name) != getattr(plain, each.name)]
    if said:
        message = (
            f"factory {_title(factory)!r} gives a network that is ready: leave out {', '.join(said)}, or give it there"
        )
        raise WrongInput(message)


@contextmanager
def _anew() -> Iterator[None]:
    """Random numbers of torch, numpy and Python begin anew in the block, and go on after it as though it had not been.

    Keras draws the seeds of its weights from Python's, whatever its backend.
    """
    numpy_state, state = np.random.get_state(), random.getstate()  # noqa: NPY002 - other people's code uses it
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            np.random.seed(0)  # noqa: NPY002
            random.seed(0)
            yield
    finally:
        np.random.set_state(numpy_state)  # noqa: NPY002
        random.setstate(state)


def _parts(word: str) -> tuple[Path | None, str]:
    """The file of weights, if there is one, and the factory."""
    if "@" not in word:
        return None, word
    found = _WITH_WEIGHTS.fullmatch(word)
    if found is None:
        message = (
            f"network {word!r} is not WEIGHTS@FACTORY: the file of weights ends in one of {', '.join(ENDINGS)}, and the "
            "factory is timm:NAME, torchvision:NAME, package.module:function or file.py:function"
        )
        raise WrongInput(message)
    return Path(found["file"]), found["factory"]


def _make(factory: str) -> Made:
    for prefix, make in (("timm:", _timm), ("torchvision:", _torchvision)):
        if factory.startswith(prefix):
            return make(factory.removeprefix(prefix))
    found = _FUNCTION.fullmatch(factory)
    if found is None:
        message = (
            f"factory {factory!r} must be timm:NAME, torchvision:NAME, package.module:function or file.py:function"
        )
        raise WrongInput(message)
    home, function = found["home"], found["function"]
    code = _file(Path(home)) if home.endswith(".py") else _package(home)
    try:
        function_itself: object = reduce(getattr, function.split("."), code)
    except AttributeError as error:
        options = [name for name, value in vars(code).items() if callable(value) and not name.startswith("_")]
        what = f"function in {home}"
        raise UnknownName(what, function, options) from error
    ready = isinstance(function_itself, nn.Module | Network)
    return Made(function_itself if ready else _called(function_itself, factory))


def _called(make: object, factory: str) -> object:
    if not callable(make):
        message = f"factory {factory!r} is a {type(make).__name__}, not a function"
        raise WrongInput(message)
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        message = f"factory {factory!r} must be callable without arguments: {error}"
        raise WrongInput(message) from error
    except ValueError:  # what is not written in Python may tell no signature
        pass
    return _tried(make, f"factory {factory!r} failed")


def _tried(work: Callable[[], object], fault: str) -> object:
    """What the work gives; raises `WrongInput` whatever goes wrong in code that is not of this package."""
    try:
        return work()
    except NeuronAtlasError:
        raise
    except Exception as error:
        message = f"{fault}: {type(error).__name__}: {error}"
        raise WrongInput(message) from error


def _package(name: str) -> ModuleType:
    found = _tried(partial(importlib.import_module, name), f"factory: {name} cannot be imported")
    assert isinstance(found, ModuleType)
    return found


def _file(path: Path) -> ModuleType:
    """The file's code under a name of its own; its folder is where it finds its neighbours, while it is loaded."""
    if not path.is_file():
        message = f"factory {str(path)!r}: there is no such file"
        raise WrongInput(message)
    whole = path.resolve()
    name = f"_neuronatlas_factory_{hashlib.sha256(str(whole).encode()).hexdigest()[:12]}"
    spec = importlib.util.spec_from_file_location(name, whole)
    assert spec is not None
    assert spec.loader is not None
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code
    sys.path.insert(0, str(whole.parent))
    try:
        _tried(partial(spec.loader.exec_module, code), f"factory: {path.name} cannot be loaded")
    except WrongInput:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(whole.parent))
    return code


def _timm(name: str) -> Made:
    timm = _library("timm")
    if not timm.is_model(name.partition(".")[0]):
        raise UnknownName("timm model", name, timm.list_models())
    model = _tried(partial(timm.create_model, name, pretrained=False), f"timm:{name} cannot be made")
    about = timm.data.resolve_model_data_config(model)
    height, width = about["input_size"][1:]
    return Made(model, trained=False, size=(height, width), normalise=(about["mean"], about["std"]))


def _torchvision(name: str) -> Made:
    models = _library("torchvision.models")
    if name not in models.list_models():
        raise UnknownName("torchvision model", name, models.list_models())
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The default weight initialization", FutureWarning)
        settings = inspect.signature(models.get_model_builder(name)).parameters
        options = (
            {"weights_backbone": None} if "weights_backbone" in settings else {}
        )  # trained ones, if nothing is said
        model = _tried(partial(models.get_model, name, weights=None, **options), f"torchvision:{name} cannot be made")
    trained = getattr(models.get_model_weights(name), "DEFAULT", None)  # only its preprocessing is used
    about = None if trained is None else trained.transforms()
    if about is None or not all(hasattr(about, word) for word in ("crop_size", "mean", "std")):
        return Made(model, trained=False)
    side = int(about.crop_size[0])
    labels = tuple(trained.meta.get("categories", ())) if trained else ()
    return Made(model, trained=False, size=(side, side), normalise=(about.mean, about.std), labels=labels)


def _library(name: str) -> ModuleType:
    """A package that may fail to be imported in any way, as torchvision does beside a torch that it was not built for."""
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except Exception as error:
        message = (
            f"{package}: networks need the package {package}, which cannot be imported ({type(error).__name__}: "
            f"{str(error).strip().splitlines()[0]}): pip install {package}, of a version made for torch {torch.__version__}"
        )
        raise WrongInput(message) from error


def _fill_keras(model: object, file: Path) -> None:
    load_weights = getattr(model, "load_weights", None)
    if load_weights is None:
        message = (
            f"weights {str(file)!r} are those of a Keras model, and the factory gives a {type(model).__module__}."
            f"{type(model).__name__}"
        )
        raise WrongInput(message)
    if not file.is_file():
        message = f"weights {str(file)!r}: there is no such file"
        raise WrongInput(message)
    _tried(partial(load_weights, str(file)), f"the weights in {file.name!r} do not fit")


def _title(factory: str) -> str:
    """The factory without the folders of its file."""
    home, colon, function = factory.rpartition(":")
    return f"{Path(home).name}{colon}{function}" if home.endswith(".py") else factory
