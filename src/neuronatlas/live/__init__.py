"""The page of an atlas with its network behind it: pictures are answered and units rendered while somebody looks.

What is sent is seen by the network and forgotten: nothing is written to disk. The server is for this machine; where it is
let out, a secret in its address is asked for.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from neuronatlas.errors import WrongInput

if TYPE_CHECKING:
    from neuronatlas.atlas import Atlas
    from neuronatlas.live.serving import Server
    from neuronatlas.networks import Network

__all__ = ["check_packages", "serve"]


def check_packages() -> None:
    """Raise `WrongInput` where the packages of a server are not here."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        message = f"a live page needs a package that is not here ({error}): pip install 'neuronatlas[live]'"
        raise WrongInput(message) from error


def serve(atlas: Atlas, page: Path, network: Network, *, port: int = 0, host: str = "127.0.0.1") -> Server:
    """Serve the folder ``page``, an atlas's page, and answer for its network, from a thread of its own.

    ``port`` 0 takes any free one. Where ``host`` is not a loopback address, every request must bring the secret that the
    server's ``address`` holds. Raises `WrongInput` where a package is missing, the folder holds no page or the port cannot
    be used, and `AtlasMismatch` where the network is not the atlas's.
    """
    check_packages()
    from neuronatlas.live.serving import Server

    return Server(atlas, page, network, port=port, host=host)
