"""What the server answers: the files of the page, and the questions of its interface."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from neuronatlas.errors import NeuronAtlasError, UnknownName, WrongInput
from neuronatlas.live import jobs
from neuronatlas.live.answering import Answer, Answering
from neuronatlas.live.guarding import MORE_POLICY
from neuronatlas.live.uploads import MAX_BYTES, MAX_PIXELS, TooLarge, body_of, read_upload
from neuronatlas.rendering import PRESETS
from neuronatlas.units import Unit
from neuronatlas.view.records import unit_record
from neuronatlas.view.server import TYPES, inside

LONGEST = 1 << 16
"""Bytes of a request for a rendering."""
_PAUSE = 0.03
"""Seconds between two looks at a job that is watched."""
_META_POLICY = re.compile(r'(<meta http-equiv="Content-Security-Policy" content="[^"]*)"')


class Live:
    """The answers, with what they are made by. One picture is answered to at a time, beside the rendering that is made."""

    def __init__(self, page: Path, answering: Answering, renderings: jobs.Jobs, *, token: str) -> None:
        self.page, self.answering, self.renderings, self.token = page.resolve(), answering, renderings, token
        self.thread = ThreadPoolExecutor(1, thread_name_prefix="answering")

    def app(self) -> Starlette:
        """The application, which lets everybody in."""
        routes = [
            Route("/api/about", self.about, methods=["GET"]),
            Route("/api/respond", self.respond, methods=["POST"]),
            Route("/api/render", self.render, methods=["POST"]),
            Route("/api/render/{identity}", self.rendering, methods=["GET"]),
            Route("/api/render/{identity}", self.cancel, methods=["DELETE"]),
            Route("/unit/{address:path}", self.card, methods=["GET"]),
            Route("/{path:path}", self.file, methods=["GET"]),
        ]
        handlers = {NeuronAtlasError: _refused, HTTPException: _not_there, ClientDisconnect: _gone, Exception: _failed}
        app = Starlette(routes=routes, exception_handlers=handlers)
        app.router.redirect_slashes = False
        return app

    async def about(self, request: Request) -> Response:
        """What the page must know before it asks."""
        del request
        limits = {"max_bytes": MAX_BYTES, "max_pixels": MAX_PIXELS}
        return JSONResponse({"network": self.answering.network.name, "presets": list(PRESETS)} | limits)

    async def respond(self, request: Request) -> Response:
        """What every unit answers to a picture."""
        data = await body_of(request.stream(), declared=request.headers.get("content-length"), limit=MAX_BYTES)
        return await asyncio.get_running_loop().run_in_executor(self.thread, self._answered, data)

    def _answered(self, data: bytes) -> Response:
        picture = read_upload(data)
        height, width = picture.shape[:2]
        return JSONResponse({"width": width, "height": height} | _columns(self.answering(picture)))

    async def render(self, request: Request) -> Response:
        """Ask for a rendering."""
        data = await body_of(request.stream(), declared=request.headers.get("content-length"), limit=LONGEST)
        try:
            given = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise HTTPException(400, f"the body is no JSON ({error}): send an object") from error
        job = self.renderings.ask(jobs.Request.parse(given, self.renderings.network))
        return JSONResponse({"job": job.identity, "cached": job.done})

    async def rendering(self, request: Request) -> Response:
        """Watch a rendering: a line of JSON a frame, and a last one."""
        lines = _lines(self.renderings.get(request.path_params["identity"]))
        return StreamingResponse(lines, media_type="application/x-ndjson")

    async def cancel(self, request: Request) -> Response:
        """Call a rendering off."""
        return JSONResponse({"cancelled": self.renderings.cancel(request.path_params["identity"])})

    async def card(self, request: Request) -> Response:
        """A unit's card as data, at ``/unit/ADDRESS.json``."""
        address = request.path_params["address"]
        return await asyncio.get_running_loop().run_in_executor(None, self._card, address.removesuffix(".json"))

    def _card(self, address: str) -> Response:
        try:
            index = self.answering.units[Unit.parse(address)]
        except (KeyError, WrongInput) as error:
            raise HTTPException(404, f"there is no unit {address!r} in this atlas") from error
        return JSONResponse(unit_record(self.answering.scene, index))

    def file(self, request: Request) -> Response:
        """A file of the page; its index knows that it is live, and the secret to ask with."""
        found = inside(self.page, request.scope["raw_path"].decode("latin-1"))
        if found is None:
            raise HTTPException(404, "there is no such file")
        if found == self.page / "index.html":
            return Response(live(found.read_text(encoding="utf-8"), self.token), media_type=TYPES[".html"])
        return FileResponse(found, media_type=TYPES.get(found.suffix, "application/octet-stream"))


def live(html: str, token: str) -> str:
    """A page's index that says where to ask, and may."""
    html = _META_POLICY.sub(lambda found: f'{found[1]}{MORE_POLICY}"', html, count=1)
    return html.replace("<head>", f'<head>\n<meta name="neuronatlas-live" content="{escape(token)}">', 1)


def _columns(answer: Answer) -> dict[str, Any]:
    return {
        "values": base64.b64encode(answer.values.astype("<f4").tobytes()).decode("ascii"),
        "codes": base64.b64encode(answer.codes.astype(np.uint8).tobytes()).decode("ascii"),
        "strongest": [list(each) for each in answer.strongest],
        "seconds": round(answer.seconds, 4),
    }


async def _lines(job: jobs.Job) -> AsyncIterator[bytes]:
    """What a job tells, from its first frame to its end."""
    told, over = 0, False
    while not over:
        lines, over = job.since(told)
        told += len(lines)
        for line in lines:
            yield json.dumps(line).encode() + b"\n"
        if not over:
            await asyncio.sleep(_PAUSE)


async def _refused(request: Request, error: Exception) -> Response:
    """An error of this package: what is not there, too much, or wrong."""
    del request
    missing, large = isinstance(error, UnknownName | jobs.Missing), isinstance(error, TooLarge)
    code = 404 if missing else 413 if large else 429 if isinstance(error, jobs.Busy) else 400
    return JSONResponse({"error": str(error)}, code)


async def _not_there(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, HTTPException)
    sentences = {405: "this address does not take that method"}
    return JSONResponse({"error": sentences.get(error.status_code, error.detail)}, error.status_code, error.headers)


async def _gone(request: Request, error: Exception) -> Response:
    """Nobody hears it; a browser that hangs up is no news."""
    del request, error
    return Response(status_code=400)


async def _failed(request: Request, error: Exception) -> Response:
    """What nobody thought of, such as a network that fails with a picture; the terminal shows where."""
    del request
    return JSONResponse({"error": f"the server failed ({type(error).__name__}: {error}): see its terminal"}, 500)
