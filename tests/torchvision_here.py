"""torchvision beside a torch that it was not built for: the two operators whose absence stops its import, declared."""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

import torch

_KEPT: list[torch.library.Library] = []
_CODE = """
import torch
_kept = torch.library.Library("torchvision", "DEF")
_kept.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
_kept.define("qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
"""


def load_torchvision() -> ModuleType:
    """torchvision, with these operators without an implementation where its own cannot be loaded."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError:
        library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
        _KEPT.append(library)
        return importlib.import_module("torchvision")


def load_timm() -> ModuleType:
    """timm, which imports torchvision."""
    load_torchvision()
    return importlib.import_module("timm")


def write_sitecustomize(folder: Path) -> Path:
    """The same for a process whose PYTHONPATH holds this folder."""
    (folder / "sitecustomize.py").write_text(_CODE)
    return folder
