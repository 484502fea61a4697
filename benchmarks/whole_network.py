"""Every convolutional and dense unit of EfficientNet-Lite0: what a dry run says of it, and a share of it measured.

    .venv/bin/python benchmarks/whole_network.py [--share 20] [--every 1]

Of each layer, or every so many of them, a share of the units is rendered, at least as many as fill the processors once.
"""

from __future__ import annotations

import argparse
import time

import neuronatlas as na
from neuronatlas import stimuli
from neuronatlas.building import estimate, prepare
from neuronatlas.networks.threads import processors
from neuronatlas.rendering import fit_canvas, recipe_of, tile_size


def main(share: int, every: int) -> None:
    network = na.load("efficientnet-lite0")
    layers = [layer for layer in network.layers.values() if layer.kind in {"convolution", "dense"}]
    units = sum(layer.units for layer in layers)
    job = prepare(network, stimuli.photographs(), layers=[layer.name for layer in layers])
    about = estimate(job)
    print(
        f"{len(layers)} layers, {units} units; dry run: {about.seconds / 3600:.2f} hours, {about.bytes / 1e9:.2f} GB",
        flush=True,
    )
    chosen_layers = layers[::every]
    if every > 1:
        about = estimate(prepare(network, stimuli.photographs(), layers=[layer.name for layer in chosen_layers]))
    measured, count = 0.0, 0
    for layer in chosen_layers:
        least = tile_size(fit_canvas(network, [layer.name], recipe_of("fast")), network, [layer.name]) * processors()
        number = max(least, layer.units // share // least * least)
        chosen = [f"{layer.name}:{index % layer.units}" for index in range(number)]
        began = time.perf_counter()
        na.render(network, chosen)
        seconds = time.perf_counter() - began
        measured += seconds / number * layer.units
        count += number
        print(f"  {layer.name:<24} {number:>4} of {layer.units:>5}: {seconds / number:.3f} s each", flush=True)
    print(
        f"{count} units rendered: {measured / 3600:.2f} hours for all of these layers; the dry run said {about.seconds / measured:.2f} times that"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--share", type=int, default=20)
    parser.add_argument("--every", type=int, default=1)
    given = parser.parse_args()
    main(given.share, given.every)
