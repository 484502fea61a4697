"""The names and the orders of arguments of Lucid and those that came of it, for the networks of this package.

``from neuronatlas.compat.lucid import objectives, param, render, transform`` stands for the import of the same names from
``lucid.optvis``, ``lucent.optvis`` or ``lucid_kietzmannlab``; ``AlexNetCodeOcean`` is the last one's. Sources:
https://github.com/tensorflow/lucid (lucid/optvis), torch-lucent 0.1.8 (https://github.com/greentfrapp/lucent) and
https://github.com/KietzmannLab/lucid-kietzmannlab. What differs is on the page docs/from-lucid.md.
"""

from neuronatlas.compat.lucid import objectives, param, render, transform
from neuronatlas.compat.lucid.models import AlexNetCodeOcean

__all__ = ["AlexNetCodeOcean", "objectives", "param", "render", "transform"]
