"""The server in a thread of its own, with a socket that is bound before anything is said of its address."""

from __future__ import annotations

import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import uvicorn

from neuronatlas.atlas import Atlas
from neuronatlas.errors import WrongInput
from neuronatlas.live.answering import Answering
from neuronatlas.live.app import Live
from neuronatlas.live.guarding import Guard
from neuronatlas.live.jobs import Jobs
from neuronatlas.networks.base import Network
from neuronatlas.view.server import is_loopback

_CONNECTIONS = 128
_ANYWHERE = ("0.0.0.0", "::")


class Server:
    """A running server; close it, or use it as a context manager.

    ``address`` is the page's URL, with the secret that is asked for where others can reach it; ``shut`` says whether they
    can, and ``token`` is the secret.
    """

    def __init__(self, atlas: Atlas, page: Path, network: Network, *, port: int, host: str) -> None:
        if not (page / "index.html").is_file():
            message = f"folder {str(page)!r} has no index.html: write a page there first"
            raise WrongInput(message)
        answering = Answering(atlas, network)
        listening = _bound(host, port)
        number = listening.getsockname()[1]
        self.shut, self.token = not is_loopback(host), secrets.token_urlsafe(24)
        name = socket.gethostname() if host in _ANYWHERE else host
        shown = f"[{name}]" if ":" in name else name
        self.address = f"http://{shown}:{number}/" + (f"?token={self.token}" if self.shut else "")
        hosts = {f"{each}:{number}".lower() for each in ("127.0.0.1", "localhost", "[::1]", shown)}
        self._jobs = Jobs(network)
        self._live = Live(page, answering, self._jobs, token=self.token)
        guard = Guard(self._live.app(), token=self.token, hosts=hosts, port=number, shut=self.shut)
        self._listening = listening
        self._uvicorn = uvicorn.Server(
            uvicorn.Config(
                guard,
                http="h11",
                ws="none",
                loop="asyncio",
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="error",
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_CONNECTIONS,
                timeout_graceful_shutdown=1,
            )
        )
        self._thread = threading.Thread(target=self._uvicorn.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        while not self._uvicorn.started and self._thread.is_alive():
            time.sleep(0.01)
        self._live.thread.submit(answering.warm)

    def wait(self) -> None:
        """Return once the server is closed; an interrupt from the keyboard is passed on."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Call all work off, stop serving and free the port; harmless when already closed."""
        self._uvicorn.should_exit = True
        self._live.thread.shutdown(wait=False, cancel_futures=True)
        self._jobs.close()
        self._thread.join(5)
        self._listening.close()

    def __enter__(self) -> Server:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def _bound(host: str, port: int) -> socket.socket:
    """A listening socket; raises `WrongInput` where the port cannot be used."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        message = f"port {port} cannot be used on {host} ({error}): name another, or 0 for any free one"
        raise WrongInput(message) from error
