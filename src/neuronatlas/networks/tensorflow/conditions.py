"""Conditions of TensorFlow 1 (Switch and Merge) whose answer is known, written out of the graph.

A Switch sends its input one way and nothing the other; what waits for nothing is dead; a Merge takes what is not.
TensorFlow runs such graphs, but cannot always differentiate them.
"""

from __future__ import annotations

from typing import Any

_SWITCHES = ("Switch", "RefSwitch")
_MERGES = ("Merge", "RefMerge")


def resolve(graph: Any) -> None:
    """Leave out every branch that is never taken."""
    answers = _answers(graph)
    dead: set[str] = set()
    same: dict[str, str] = {}
    for node in graph.node:
        if node.op in _SWITCHES and _plain(node.input[1]) in answers:
            taken = answers[_plain(node.input[1])]
            same[f"{node.name}:{int(taken)}"] = node.input[0]
            dead.add(f"{node.name}:{int(not taken)}")
    if not dead:
        return
    _spread(graph, dead, same)
    kept = []
    for node in graph.node:
        if f"{node.name}:0" in dead and f"{node.name}:0" not in same and node.op not in _SWITCHES:
            continue
        if f"{node.name}:0" in same or f"{node.name}:1" in same:
            continue  # a Switch or a Merge that is no choice any more
        inputs = [each for each in (_followed(each, same) for each in node.input) if each is not None]
        del node.input[:]
        node.input.extend(inputs)
        kept.append(node)
    copies = [type(node).FromString(node.SerializeToString()) for node in kept]
    del graph.node[:]
    graph.node.extend(copies)


def _answers(graph: Any) -> dict[str, bool]:
    """The truth values that are constant, by tensor."""
    import tensorflow as tf

    known: dict[str, bool] = {}
    changed = True
    while changed:
        changed = False
        for node in graph.node:
            name = f"{node.name}:0"
            if name in known:
                continue
            given = [known.get(_plain(each)) for each in node.input if not each.startswith("^")]
            if node.op == "Const" and node.attr["dtype"].type == tf.bool.as_datatype_enum:
                value = tf.make_ndarray(node.attr["value"].tensor)
                known |= {name: bool(value)} if value.shape == () else {}
            elif node.op == "Identity" and given and given[0] is not None:
                known[name] = given[0]
            elif node.op == "LogicalNot" and given[0] is not None:
                known[name] = not given[0]
            elif node.op == "LogicalAnd" and (False in given or None not in given):
                known[name] = False not in given
            elif node.op == "LogicalOr" and (True in given or None not in given):
                known[name] = True in given
            changed = changed or name in known
    return known


def _spread(graph: Any, dead: set[str], same: dict[str, str]) -> None:
    """What takes anything dead is dead; a Merge with one way left is that way."""
    changed = True
    while changed:
        changed = False
        for node in graph.node:
            name = f"{node.name}:0"
            if name in dead or name in same or (node.op in _SWITCHES and f"{node.name}:1" in dead | same.keys()):
                continue
            gone = [f"{each[1:]}:0" in dead if each.startswith("^") else _plain(each) in dead for each in node.input]
            if node.op in _MERGES:
                left = [
                    each for each, lost in zip(node.input, gone, strict=True) if not lost and not each.startswith("^")
                ]
                if any(gone) and len(left) == 1:
                    same[name] = left[0]
                    changed = True
            elif any(gone):
                dead |= {f"{node.name}:{output}" for output in range(max(2, len(node.attr)))}
                changed = True


def _plain(tensor: str) -> str:
    """A tensor's name with its number."""
    return tensor if ":" in tensor else f"{tensor}:0"


def _followed(tensor: str, same: dict[str, str]) -> str | None:
    """The tensor that one is the same as; None for waiting on something that is no more."""
    if tensor.startswith("^"):
        gone = f"{tensor[1:]}:0" in same or f"{tensor[1:]}:1" in same
        return None if gone else tensor
    while _plain(tensor) in same:
        tensor = same[_plain(tensor)]
    return tensor
