"""Functions and modules of JAX as networks."""

from neuronatlas.networks.jax.adapter import adapt

__all__ = ["adapt"]
