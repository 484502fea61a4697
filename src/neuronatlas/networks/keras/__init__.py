"""Keras models, on every backend, as networks."""

from neuronatlas.networks.keras.adapter import adapt, load

__all__ = ["adapt", "load"]
