"""An atlas of the tiny network, its page served live, and requests that say exactly what they are told to say."""

from __future__ import annotations

import http.client
import io
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from neuronatlas.atlas import Atlas
from neuronatlas.building import build, page_of
from neuronatlas.live import serve
from neuronatlas.live.serving import Server
from neuronatlas.networks import Network
from tests.building import tiny

LAYERS = ("2", "3")


def atlas_of(folder: Path) -> Atlas:
    """An atlas of 32 units and 30 stimuli, one picture a layer."""
    return build(tiny.network(), tiny.pictures(folder / "pictures", 30), folder / "a.atlas", layers=LAYERS, units=1)


def serving(atlas: Atlas, network: Network, **words: Any) -> Server:
    """The atlas's page on any free port."""
    return serve(atlas, page_of(atlas).parent, network, **words)


def host_of(server: Server) -> str:
    """The server's name with its port."""
    return server.address.split("/")[2]


@dataclass(frozen=True)
class Answer:
    """What came back."""

    status: int
    headers: Message
    body: bytes


@contextmanager
def asked(
    server: Server, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
) -> Iterator[http.client.HTTPResponse]:
    """The answer, not read yet; ``headers`` are all that is sent besides the length, with the right Host if they name none."""
    connection = http.client.HTTPConnection("127.0.0.1", int(host_of(server).rsplit(":", 1)[1]), timeout=20)
    with closing(connection):
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        for name, value in ({"Host": host_of(server)} | dict(headers or {})).items():
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        with closing(connection.getresponse()) as response:
            yield response


def send(server: Server, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
    """The whole answer to a request as in `asked`."""
    with asked(server, method, path, body, headers) as response:
        return Answer(response.status, response.headers, response.read())


def ask(
    server: Server, method: str, path: str, body: bytes | dict[str, Any] = b"", **headers: str
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer to the page itself."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    answer = send(server, method, path, content, {"X-Neuronatlas-Token": server.token} | headers)
    return answer.status, json.loads(answer.body)


def lines(server: Server, job: str) -> Iterator[tuple[float, dict[str, Any]]]:
    """What a rendering tells, each line with the time at which it came."""
    with asked(server, "GET", f"/api/render/{job}", headers={"X-Neuronatlas-Token": server.token}) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "application/x-ndjson"
        for line in response:
            yield time.monotonic(), json.loads(line)


def encoded(pixels: np.ndarray, kind: str = "PNG") -> bytes:
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()
