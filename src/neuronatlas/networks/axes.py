"""Where the units are in what a module gives, and which of its positions lie in the picture.

A map is (n, units, height, width). Some modules keep the units last; transformers give tokens (n, positions, units), a
token a patch of the picture, row by row, after a class token and registers (Darcet et al. 2023, arXiv 2309.16588) that
have no place in it. Patch tokens whose number fits a map seen before are a map again, and the tokens before them layers
of their own: ``NAME.cls`` and ``NAME.registers``. Other tokens stay tokens.
"""

from __future__ import annotations

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from neuronatlas.errors import WrongInput
from neuronatlas.networks.watching import Seen

MOST_BEFORE = 16
"""Tokens before those of the patches where the module does not say how many; published ones have 1 to 9."""
CLASS_TOKENS = ("class_token", "cls_token", "class_embedding")
OTHER_TOKENS = ("dist_token", "reg_token", "register_tokens")


@dataclass(frozen=True)
class View:
    """A layer's part of the tensor that a module gives, in the order of axes that layers have.

    ``part`` is "whole", "turned" (a map whose units are last), "patches" (on ``grid``, after ``stop`` other tokens),
    "class" or "registers" (the tokens from ``start`` to ``stop``).
    """

    part: str = "whole"
    start: int = 0
    stop: int = 0
    grid: tuple[int, int] = (0, 0)

    @property
    def ending(self) -> str:
        """What the layer's name has after the module's."""
        return {"class": ".cls", "registers": ".registers"}.get(self.part, "")

    def __call__(self, output: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """The part; raises `WrongInput` where the patches are not those of the grid."""
        if self.part == "turned":
            return output.permute(0, 3, 1, 2)
        if self.part == "class":
            return output[:, 0]
        if self.part == "registers":
            return output[:, self.start : self.stop]
        if self.part == "patches":
            height, width = self.grid
            if output.ndim != 3 or output.shape[1] != self.stop + height * width:
                message = (
                    f"it gives {tuple(output.shape[1:])} for a picture of this size, not the tokens of {height} x {width} "
                    f"patches after {self.stop} others"
                )
                raise WrongInput(message)
            return output[:, self.stop :].transpose(1, 2).unflatten(2, self.grid)  # type: ignore[no-untyped-call]
        return output


class Axes:
    """Reads the outputs of one dry forward pass, in their order, for a picture of ``size`` (height, width)."""

    def __init__(self, module: nn.Module, size: tuple[int, int]) -> None:
        self.size = size
        self.before = tokens_before(module)
        self.has_class = self.before is None or has_class_token(module)
        self.grids: list[tuple[int, int]] = []
        self.turned: dict[int, Tensor] = {}  # kept, so that an id stays its own

    def views(self, seen: Seen) -> list[View]:
        """The layers in one output."""
        assert seen.output is not None
        if seen.output.ndim == 4:
            turned = self._units_last(seen)
            if turned:
                self.turned[id(seen.output)] = seen.output
            sides = seen.output.shape[1:3] if turned else seen.output.shape[2:]
            self.remember((sides[0], sides[1]))
            return [View("turned" if turned else "whole")]
        if seen.output.ndim == 3:
            return self.of_tokens(seen.output.shape[1])
        return [View()]

    def remember(self, grid: tuple[int, int]) -> None:
        """Note the sides of a map, on which later tokens may lie; one row or column is more likely tokens and one head."""
        if grid in self.grids:
            self.grids.remove(grid)
        if min(grid) > 1:
            self.grids.insert(0, grid)

    def of_tokens(self, count: int) -> list[View]:
        """The layers in so many tokens."""
        for grid in self.grids:  # the latest map first
            before = count - grid[0] * grid[1]
            known = (0, self.before) if self.before is not None else range(MOST_BEFORE + 1)
            if before in known and before < grid[0] * grid[1]:
                start = int(self.has_class and before > 0)
                views = [View("patches", stop=before, grid=grid)]
                views += [View("class")] * start
                return views + [View("registers", start=start, stop=before)] * (before > start)
        return [View()]

    def _units_last(self, seen: Seen) -> bool:
        assert seen.output is not None
        shape, module = seen.output.shape, seen.module
        if isinstance(module, nn.Linear):
            return True
        if isinstance(module, nn.LayerNorm) and "2d" not in type(module).__name__.lower():
            return len(module.normalized_shape) == 1
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d | nn.GroupNorm):
            return False
        if id(seen.given) in self.turned and type(module).__module__ == "torch.nn.modules.activation":
            return True
        return self._fits(shape[1], shape[2]) and not self._fits(shape[2], shape[3])

    def _fits(self, height: int, width: int) -> bool:
        """Are these the sides of a map of such a picture, as far as rounding allows?"""
        if self.size[0] == self.size[1]:
            return height == width
        return abs(height / width - self.size[0] / self.size[1]) < 1 / min(height, width)


def tokens_before(module: nn.Module) -> int | None:
    """How many tokens stand before those of the patches, where the module says so; None where it does not."""
    for part in module.modules():
        said = getattr(part, "num_prefix_tokens", None)  # timm
        if isinstance(said, int):
            return said
    counts = [
        weight.shape[1] if weight.ndim == 3 else 1
        for name, weight in module.named_parameters()
        if name.rpartition(".")[2] in (*CLASS_TOKENS, *OTHER_TOKENS)
    ]
    return sum(counts) if counts else None


def has_class_token(module: nn.Module) -> bool:
    """Is one of the module's weights a class token?"""
    return any(name.rpartition(".")[2] in CLASS_TOKENS for name, _ in module.named_parameters())
