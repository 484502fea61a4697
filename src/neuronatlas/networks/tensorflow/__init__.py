"""What TensorFlow writes and computes as networks."""

from neuronatlas.networks.tensorflow.adapter import adapt, load

__all__ = ["adapt", "load"]
