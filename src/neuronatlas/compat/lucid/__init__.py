"""The names and the orders of arguments of Lucid and its port to PyTorch, Lucent, for the networks of this package.

``from neuronatlas.compat.lucid import objectives, param, render, transform`` stands for the import of the same names from
``lucid.optvis`` or ``lucent.optvis``. Sources: https://github.com/tensorflow/lucid (lucid/optvis) and torch-lucent 0.1.8
(https://github.com/greentfrapp/lucent). What differs is on the page docs/from-lucid.md.
"""

from neuronatlas.compat.lucid import objectives, param, render, transform

__all__ = ["objectives", "param", "render", "transform"]
