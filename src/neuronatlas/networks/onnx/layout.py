"""Which tensors of an ONNX graph are maps with their channels last.

ONNX's own operators have channels first. Files made from TensorFlow and Keras turn the axes round before and after
each of them, and what stands between has channels last.
"""

from __future__ import annotations

from collections.abc import Sequence

from neuronatlas.networks.onnx.node import Node

FIRST, LAST, UNKNOWN = "first", "last", ""

_MAPS = frozenset(
    "Conv ConvTranspose MaxPool AveragePool LpPool GlobalAveragePool GlobalMaxPool GlobalLpPool BatchNormalization "
    "InstanceNormalization GroupNormalization LRN DepthToSpace SpaceToDepth GridSample QLinearConv".split()
)
_LOST = frozenset("Reshape Einsum Squeeze Unsqueeze Gather GatherND Flatten ConstantOfShape".split())


def layout(node: Node, given: Sequence[str], ranks: Sequence[int], rank: int) -> str:
    """The layout of a node's output of ``rank`` axes, from those of its inputs and their ranks."""
    if rank != 4 or node.op in _LOST:
        return UNKNOWN
    if node.op in _MAPS:
        return FIRST
    if node.op == "Transpose":
        turned = {(FIRST, (0, 2, 3, 1)): LAST, (LAST, (0, 3, 1, 2)): FIRST}
        order = tuple(node.attributes.get("perm") or (3, 2, 1, 0))
        return given[0] if order == (0, 1, 2, 3) else turned.get((given[0], order), UNKNOWN)
    if node.op == "MatMul" and all(each == 4 for each in ranks):
        return UNKNOWN
    maps = [each for each, rank_in in zip(given, ranks, strict=True) if rank_in == 4]
    return LAST if LAST in maps else FIRST if FIRST in maps else UNKNOWN
