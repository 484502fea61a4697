"""What comes out of rendering."""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from neuronatlas.errors import WrongInput
from neuronatlas.rendering.recipe import Recipe


@dataclass(frozen=True, eq=False)
class Rendering:
    """A picture with what it took to make it.

    ``image`` is in 0..1: RGB, RGB with alpha, grey, or as many planes as the network takes. ``score`` is the
    objective's value for exactly this picture (over mid-grey where it has alpha; in the precision of the recipe), ``curve`` its value for the
    transformed picture at each step, NaN for steps that were not needed. ``status`` is "" or "dead" (no gradient
    reached the picture in the first steps, or the objective never stirred), "failed" (it diverged) or "oom" (memory ran
    out with this picture alone): then ``image`` is plain grey, since a picture is never invented, and ``reason`` says more.
    """

    objective: str
    image: Float[np.ndarray, "h w c"]
    score: float
    curve: Float[np.ndarray, " steps"]
    status: str
    reason: str
    recipe: Recipe
    seed: int
    network: str

    @property
    def settings(self) -> dict[str, object]:
        """What makes this picture again, as plain values.

        Of a target, a vector or a function only the name is kept, and nothing of pictures that were made together.
        """
        score = self.score if math.isfinite(self.score) else None  # JSON knows no NaN
        about = {"objective": self.objective, "network": self.network, "seed": self.seed, "score": score}
        return about | {"status": self.status} | self.recipe.settings

    def png(self) -> bytes:
        """The picture as PNG, its settings in the text chunk ``neuronatlas``."""
        about = PngInfo()
        about.add_text("neuronatlas", json.dumps(self.settings, sort_keys=True))
        stream = io.BytesIO()
        Image.fromarray(self.pixels.squeeze(2) if self.image.shape[2] == 1 else self.pixels).save(
            stream, format="PNG", pnginfo=about
        )
        return stream.getvalue()

    @property
    def pixels(self) -> np.ndarray:
        """The picture as uint8, its planes as they are; raises `WrongInput` where these are no colours."""
        if self.image.shape[2] not in (1, 3, 4):
            message = (
                f"a picture of {self.image.shape[2]} planes has no colours of its own: choose three with "
                ".planes(red, green, blue), or use .image"
            )
            raise WrongInput(message)
        return np.rint(self.image * 255).astype(np.uint8)

    def planes(self, red: int, green: int, blue: int) -> np.ndarray:
        """Three of the picture's planes as uint8 RGB."""
        return np.rint(self.image[..., [red, green, blue]] * 255).astype(np.uint8)

    def save(self, path: str | Path) -> Path:
        """Write the picture as PNG; the path comes back."""
        target = Path(path)
        target.write_bytes(self.png())
        return target

    def _repr_png_(self) -> bytes:
        return self.png()
