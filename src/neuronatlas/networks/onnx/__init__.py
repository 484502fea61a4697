"""ONNX files and graphs as networks."""

from neuronatlas.networks.onnx.adapter import adapt, load

__all__ = ["adapt", "load"]
