"""lucid-kietzmannlab's ``AlexNetCodeOcean``: pictures of the channels of AlexNet as trained on ecoset.

Its names, its arguments and what it returns, with the network that the checkpoint holds; that one drew the pictures of a
random network, see docs/from-lucid.md. Source: https://github.com/KietzmannLab/lucid-kietzmannlab (2024), models.py.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float

from neuronatlas import objectives, zoo
from neuronatlas.compat.lucid.notebook import show
from neuronatlas.compat.lucid.render import pictures_of
from neuronatlas.errors import WrongInput
from neuronatlas.networks.base import Network

LAYERS = tuple(
    f"alexnet_v2/{name}/Conv2D" for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
)
SIDE = 224

Pictures = dict[int, list[Float[np.ndarray, "1 224 224 3"]]]


class AlexNetCodeOcean:
    """The network in ``model_dir``, and which of its channels is to be drawn.

    ``vis_layer`` is a layer's name, or its number in ``layers``: 0 is conv1. ``thresholds`` are numbers of steps, a picture
    each. ``random_seed`` decides every random choice. The number of classes is read from the checkpoint; where
    ``output_size`` is another, a warning says so. In place of a folder, ``model_dir`` may be a network that has these
    layers.
    """

    def __init__(
        self,
        model_dir: str | Path | Network,
        random_seed: int = 1,
        output_size: int = 565,
        vis_layer: int | str = 1,
        channel: int = 0,
        thresholds: Sequence[int] = (512,),
    ) -> None:
        self.model_dir = model_dir
        self.network = model_dir if isinstance(model_dir, Network) else zoo.load(f"alexnet-ecoset:{model_dir}")
        self.random_seed = random_seed
        self.vis_layer = vis_layer
        self.channel = channel
        self.thresholds = tuple(thresholds)
        self.layers = [{"name": name, "depth": self.network.layer(name).units} for name in LAYERS]
        self.output_size = self.network.layer(LAYERS[-1]).units
        if self.output_size != output_size:
            message = f"output_size (={output_size}) is not used: {LAYERS[-1]} has {self.output_size} classes"
            warnings.warn(message, stacklevel=2)

    @property
    def layer_shape_dict(self) -> dict[str, tuple[int, int, int, int]]:
        """The shape of each layer's output, (1, height, width, channels)."""
        shapes = {}
        for name in LAYERS:
            units, height, width = (*self.network.layer(name).shape, 1, 1)[:3]
            shapes[name] = (1, height, width, units)
        return shapes

    def lucid_visualize_layer(self, batch: bool = False, channel_start: int = 0, channel_end: int = -1) -> Pictures:
        """For each channel its pictures in 0..1, one a threshold in rising order.

        Without ``batch`` the one ``channel`` of ``vis_layer``, which a notebook shows as well; with it those from
        ``channel_start`` to ``channel_end`` - 1, where -1 stands for all there are, the last among them. All are held in
        memory, 0.6 MB each: of a layer of 4096, ask for some at a time, or use ``neuronatlas build`` and ``export png``.
        A picture that no gradient reaches, or that diverges, is grey, and a warning says which and why.
        """
        layer = self._layer()
        depth = self.network.layer(layer).units
        end = depth if channel_end == -1 else channel_end
        channels = range(channel_start, end) if batch else range(self.channel, self.channel + 1)
        if not 0 <= channels.start < channels.stop <= depth:
            asked = (
                f"channel_start (={channel_start}) and channel_end (={channel_end})"
                if batch
                else f"channel (={self.channel})"
            )
            message = f"{asked} must lie within the {depth} channels of {layer}, 0 to {depth - 1}"
            raise WrongInput(message)
        aims = [objectives.channel(layer, channel) for channel in channels]
        made = pictures_of(self.network, aims, self.thresholds, seed=self.random_seed, canvas=SIDE)
        if not batch:
            for images in made:
                show(images)
        return {channel: [images[number : number + 1] for images in made] for number, channel in enumerate(channels)}

    def _layer(self) -> str:
        """The name of the layer that is asked for."""
        if isinstance(self.vis_layer, str):
            return self.vis_layer.removesuffix(":0")  # as a tensor's name
        if not 0 <= self.vis_layer < len(LAYERS):
            message = (
                f"vis_layer (={self.vis_layer}) must be a layer's name, or from 0, conv1, to {len(LAYERS) - 1}, fc8"
            )
            raise WrongInput(message)
        return LAYERS[self.vis_layer]
