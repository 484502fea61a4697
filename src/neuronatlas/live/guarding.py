"""Who may ask: requests for this server by its own name, from its own page, with the secret that the page was given."""

from __future__ import annotations

import ipaddress
import secrets
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neuronatlas.view.server import CONTENT_SECURITY_POLICY

HEADER = "X-Neuronatlas-Token"
MORE_POLICY = "; connect-src 'self'; media-src 'self' blob:"
"""What a page that asks its server, and shows films, may do beyond other pages."""
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY + MORE_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class Guard:
    """Stands before an application: refuses with 403, and adds the headers of every answer.

    ``hosts`` are the names of the server, each with its port. With ``shut`` nothing at all is answered without the secret:
    it comes as ``/?token=...``, and from then on as a cookie.
    """

    def __init__(self, app: ASGIApp, *, token: str, hosts: set[str], port: int, shut: bool) -> None:
        self.app, self.token, self.hosts, self.port, self.shut = app, token, hosts, port, shut
        self.cookie = f"neuronatlas-{port}"  # a browser sends the cookies of all ports of a host to each

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or have it answered."""
        headers = Headers(scope=scope)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        welcome = self.shut and scope["path"] == "/" and self._is_token(given)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answered[name] = value
                if welcome:
                    answered["Set-Cookie"] = f"{self.cookie}={self.token}; Path=/; HttpOnly; SameSite=Strict"
            await send(message)

        reason = self._refused(scope, headers, welcome=welcome)
        app = self.app if not reason else JSONResponse({"error": reason}, 403)
        await app(scope, receive, sending)

    def _refused(self, scope: Scope, headers: Headers, *, welcome: bool) -> str:
        """Why a request is not answered; "" where it is."""
        hosts, origins = headers.getlist("host"), headers.getlist("origin")
        if len(hosts) != 1 or not self._is_ours(hosts[0].lower(), scope):
            return "this server does not answer to that name: use the address that it printed"
        if origins and (len(origins) > 1 or origins[0].lower() != f"http://{hosts[0].lower()}"):
            return "this server answers only to its own page, not to those of others"
        if self.shut and not (welcome or self._is_token(self._of_cookie(headers)) or self._has_header(headers)):
            return "this server wants its secret: open the whole address that it printed, with ?token="
        if scope["path"].startswith("/api") and not self._has_header(headers):
            return f"the header {HEADER} is missing or old: load the page again"
        return ""

    def _is_ours(self, host: str, scope: Scope) -> bool:
        """One of the names, or the very address of this machine that the request came to."""
        if host in self.hosts:
            return True
        try:
            address = ipaddress.ip_address(scope["server"][0])
        except (TypeError, ValueError):
            return False
        shown = f"[{address}]" if address.version == 6 else str(address)
        return host == f"{shown}:{self.port}"

    def _has_header(self, headers: Headers) -> bool:
        return self._is_token(headers.get(HEADER, ""))

    def _of_cookie(self, headers: Headers) -> str:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            return ""
        return "" if found is None else found.value

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())
