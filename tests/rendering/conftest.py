"""Networks and pictures that several files use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from neuronatlas.networks.torch import TorchNetwork
    from neuronatlas.rendering import Rendering


@pytest.fixture
def small() -> TorchNetwork:
    from tests.networks import models

    return models.wrap(models.plain(), 32)


@pytest.fixture(scope="package")
def sixteen() -> list[Rendering]:
    """Sixteen units of the real network, in one call."""
    from tests.networks import models

    from neuronatlas.rendering import render

    return render(models.efficientnet(), [f"blocks.2:{index}" for index in range(16)], steps=12, canvas=48)
