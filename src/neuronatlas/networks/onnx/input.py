"""What pictures an ONNX model takes, as far as the file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from neuronatlas.errors import WrongInput

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, ValueInfoProto

    from neuronatlas.networks.preprocessing import Given

_USUAL_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Taken:
    """The graph's input: its name, the number of its type (onnx.proto, TensorProto.DataType), and what is known of it.

    ``fixed`` is the number of pictures that it takes at once, 0 where any; ``size`` is (height, width) in pixels.
    """

    name: str
    kind: int
    fixed: int
    channels: int | None
    size: tuple[int, int] | None
    channels_last: bool

    @classmethod
    def of(cls, model: ModelProto, given: Given) -> Taken:
        """Read it from the graph; raises `WrongInput` where that takes something else than pictures."""
        graph = model.graph
        stored = {tensor.name for tensor in graph.initializer}
        inputs = [each for each in graph.input if each.name not in stored]  # old files list their weights as well
        if len(inputs) != 1:
            names = ", ".join(each.name for each in inputs) or "none"
            message = f"model takes {len(inputs)} inputs ({names}), and one is expected: the pictures"
            raise WrongInput(message)
        sides = _sides(inputs[0])
        last = _channels_last(graph, inputs[0].name, sides, given.data_format)
        count, *rest = sides
        channels, *size = [rest[2], *rest[:2]] if last else rest
        known = (size[0], size[1]) if size[0] and size[1] else None
        return cls(
            inputs[0].name,
            inputs[0].type.tensor_type.elem_type,
            count,
            channels or _wanted_channels(graph) or None,
            known,
            last,
        )


def _sides(value: ValueInfoProto) -> list[int]:
    """The four sides of the input, 0 where one is free."""
    kind = value.type.tensor_type
    if not kind.HasField("shape"):
        return [0, 0, 0, 0]
    sides = [max(0, side.dim_value) for side in kind.shape.dim]
    if len(sides) != 4:
        message = (
            f"model takes {value.name!r} of shape {tuple(sides)} (0: any), and pictures have four axes: number, channels, "
            "height and width"
        )
        raise WrongInput(message)
    return sides


def _wanted_channels(graph: GraphProto) -> int:
    """The channels that the first convolution with stored weights takes; 0 where there is none."""
    weights = {tensor.name: tensor.dims for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Conv" and len(node.input) > 1 and len(weights.get(node.input[1], ())) == 4:
            groups = next((each.i for each in node.attribute if each.name == "group"), 1)
            return weights[node.input[1]][1] * groups
    return 0


def _channels_last(graph: GraphProto, name: str, sides: list[int], said: str | None) -> bool:
    """Does the input have its channels last? By its shape, else by what is said, else by what is done with it first."""
    wanted = _wanted_channels(graph)
    first, last = ({side for side in (sides[axis],) if side} for axis in (1, 3))
    usual = {wanted} if wanted else set(_USUAL_CHANNELS)
    if bool(first & usual) != bool(last & usual):
        plain = bool(last & usual)
        if said is not None and plain != (said == "channels_last"):
            message = (
                f"data_format (={said!r}) does not fit the model, whose input {name!r} has the shape {tuple(sides)} "
                "(0: any): leave it out"
            )
            raise WrongInput(message)
        return plain
    if said is not None:
        return said == "channels_last"
    takers = [node for node in graph.node if name in node.input]
    orders = [list(each.ints) for node in takers for each in node.attribute if each.name == "perm"]
    return bool(takers) and len(orders) == len(takers) and all(order == [0, 3, 1, 2] for order in orders)
