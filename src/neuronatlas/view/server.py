"""A static server for one folder: loopback only, read only, and silent.

It refuses a request whose ``Host`` is not its own (a page elsewhere that rebinds its name to this machine), and any
path that is not plainly a file inside the folder.
"""

from __future__ import annotations

import ipaddress
import shutil
import socket
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from urllib.parse import unquote

from neuronatlas.errors import WrongInput

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".webp": "image/webp",
    ".png": "image/png",
}


class Server:
    """A running server; close it, or use it as a context manager.

    ``address`` is the page's URL.
    """

    def __init__(self, folder: Path, *, port: int, host: str) -> None:
        self._http = _FolderServer(folder, (host, port))
        shown = f"[{host}]" if ":" in host else host
        self.address = f"http://{shown}:{self._http.server_address[1]}/"
        self._thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return once the server is closed; an interrupt from the keyboard is passed on."""
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop serving and free the port; harmless when already closed."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def __enter__(self) -> Server:
        """The server itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close."""
        self.close()


def serve(folder: Path, *, port: int = 0, host: str = "127.0.0.1") -> Server:
    """Serve a page's folder from a thread of its own.

    ``port`` 0 takes any free one. Raises `WrongInput` where ``host`` is not a loopback address, where ``folder`` holds
    no ``index.html``, and where the port is taken.
    """
    if not is_loopback(host):
        message = f"host {host!r} is not a loopback address: use 127.0.0.1, ::1 or localhost"
        raise WrongInput(message)
    if not (folder / "index.html").is_file():
        message = f"folder {str(folder)!r} has no index.html: write a page there first"
        raise WrongInput(message)
    try:
        return Server(folder, port=port, host=host)
    except (OSError, OverflowError) as error:
        message = f"port {port} cannot be used on {host} ({error}): name another, or 0 for any free one"
        raise WrongInput(message) from error


def is_loopback(host: str) -> bool:
    """Is it an address that only this machine reaches?"""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class _FolderServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int]) -> None:
        self.folder = folder.resolve()
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        port = self.server_address[1]
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]", address[0])}

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that hangs up is no news."""


class _Handler(BaseHTTPRequestHandler):
    server: _FolderServer
    server_version = "neuronatlas"
    sys_version = ""
    protocol_version = "HTTP/1.1"
    timeout = 30

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def __getattr__(self, name: str) -> object:
        """Every other method is refused by name, where the base class would answer 501."""
        if name.startswith("do_"):
            return self._refuse_method
        raise AttributeError(name)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class named it)
        """Nothing is printed."""

    def end_headers(self) -> None:
        self.send_header("Content-Security-Policy", CONTENT_SECURITY_POLICY)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def _answer(self, *, body: bool) -> None:
        if self.headers.get("Host", "").lower() not in self.server.hosts:
            self._say(HTTPStatus.FORBIDDEN, body=body)
            return
        file = inside(self.server.folder, self.path)
        try:
            if file is None:
                raise FileNotFoundError
            with file.open("rb") as source:
                self.send_response(HTTPStatus.OK)
                self.send_header("Content-Type", TYPES.get(file.suffix, "application/octet-stream"))
                self.send_header("Content-Length", str(file.stat().st_size))
                self.end_headers()
                if body:
                    shutil.copyfileobj(source, self.wfile)
        except (FileNotFoundError, PermissionError):
            self._say(HTTPStatus.NOT_FOUND, body=body)

    def _refuse_method(self) -> None:
        self.close_connection = True
        self._say(HTTPStatus.METHOD_NOT_ALLOWED, body=True)

    def _say(self, status: HTTPStatus, *, body: bool) -> None:
        text = f"{status.value} {status.phrase}\n".encode("ascii")
        self.send_response(status)
        if status is HTTPStatus.METHOD_NOT_ALLOWED:
            self.send_header("Allow", "GET, HEAD")
            self.send_header("Connection", "close")
        self.send_header("Content-Type", TYPES[".txt"])
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(text)


def inside(folder: Path, target: str) -> Path | None:
    """The file that a request target names, or None where it is not plainly one inside the folder."""
    try:
        path = unquote(target.split("?", 1)[0], errors="strict")
    except UnicodeDecodeError:
        return None
    if not path.startswith("/") or any(character in path for character in "\\\0:%"):
        return None
    parts = (path[1:] or "index.html").split("/")
    if any(not part or part.startswith(".") for part in parts):
        return None
    try:
        file = folder.joinpath(*parts).resolve()
        return file if file.is_relative_to(folder) and file.is_file() else None
    except (OSError, RuntimeError):  # a name too long, a link to itself
        return None
