"""The atlas that the tests of this folder share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from neuronatlas.atlas import Atlas


@pytest.fixture(scope="session")
def atlas(tmp_path_factory: pytest.TempPathFactory) -> Atlas:
    """An atlas of the tiny network, with its page."""
    from tests.live.asking import atlas_of

    return atlas_of(tmp_path_factory.mktemp("live"))
