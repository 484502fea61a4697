from __future__ import annotations

import http.client
import socket

import pytest

from neuronatlas.errors import WrongInput
from neuronatlas.view.server import serve


@pytest.fixture
def folder(tmp_path):
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "index.html").write_text("<!doctype html><p>hello")
    (site / "data" / "scene.js").write_text("1")
    (site / "a b.webp").write_bytes(b"RIFF")
    (site / ".hidden").write_text("secret")
    (tmp_path / "outside.txt").write_text("secret")
    (site / "loop").symlink_to(site / "loop")
    (site / "link.txt").symlink_to(tmp_path / "outside.txt")
    return site


@pytest.fixture
def server(folder):
    with serve(folder) as running:
        yield running


def ask(server, path, *, method="GET", host=None):
    connection = http.client.HTTPConnection(server.address.split("/")[2], timeout=5)
    connection.putrequest(method, path, skip_host=True)
    connection.putheader("Host", host or server.address.split("/")[2])
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response, body


def test_files_come_with_their_types_and_a_strict_policy(server):
    for path, kind in (
        ("/", "text/html; charset=utf-8"),
        ("/index.html?x=1", "text/html; charset=utf-8"),
        ("/data/scene.js", "text/javascript; charset=utf-8"),
        ("/a%20b.webp", "image/webp"),
    ):
        response, body = ask(server, path)
        assert response.status == 200
        assert response.headers["Content-Type"] == kind
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        assert len(body) == int(response.headers["Content-Length"]) > 0


def test_head_has_no_body(server):
    response, body = ask(server, "/", method="HEAD")
    assert (response.status, body) == (200, b"")
    assert response.headers["Content-Length"] == "23"


@pytest.mark.parametrize(
    "path",
    [
        "/../outside.txt",
        "/%2e%2e/outside.txt",
        "/data/../../outside.txt",
        "/data/%2e%2e%2f..%2foutside.txt",
        "/..%5coutside.txt",
        "/..\\outside.txt",
        "/index.html%00",
        "/link.txt",
        "/.hidden",
        "/data",
        "/data/",
        "/data//scene.js",
        "/loop",
        "/./index.html",
        "/%252e%252e/outside.txt",
        "/%ff",
        "/C:/index.html",
        "/nothing",
        "index.html",
        "http://127.0.0.1/index.html",
        "/" + "a" * 5000,
    ],
)
def test_what_is_not_plainly_a_file_inside_is_not_found(server, path):
    response, body = ask(server, path)
    assert response.status in (404, 414)
    assert b"secret" not in body


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "NONSENSE"])
def test_only_reading_is_allowed(server, method):
    response, _ = ask(server, "/", method=method)
    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", " "])
def test_another_host_is_refused(server, host):
    response, body = ask(server, "/", host=host)
    assert response.status == 403
    assert b"hello" not in body


def test_localhost_is_the_same_machine(server):
    port = server.address.rstrip("/").rsplit(":", 1)[1]
    assert ask(server, "/", host=f"LOCALHOST:{port}")[0].status == 200


def test_nothing_is_printed(server, capfd):
    ask(server, "/")
    ask(server, "/nothing")
    with socket.create_connection(("127.0.0.1", int(server.address.rstrip("/").rsplit(":", 1)[1]))) as raw:
        raw.sendall(b"rubbish\r\n\r\n")
        raw.recv(100)
    assert capfd.readouterr() == ("", "")


def test_closing_frees_the_port_and_ends_the_wait(folder):
    server = serve(folder)
    port = int(server.address.rstrip("/").rsplit(":", 1)[1])
    server.close()
    server.close()
    server.wait()
    with serve(folder, port=port) as again:
        assert ask(again, "/")[0].status == 200


def test_wrong_input_is_refused_in_one_line(folder, tmp_path):
    with pytest.raises(WrongInput, match=r"host '0.0.0.0' is not a loopback address: use 127.0.0.1"):
        serve(folder, host="0.0.0.0")
    with pytest.raises(WrongInput, match=r"has no index\.html"):
        serve(tmp_path)
    with serve(folder) as server:
        port = int(server.address.rstrip("/").rsplit(":", 1)[1])
        with pytest.raises(WrongInput, match=f"port {port} cannot be used"):
            serve(folder, port=port)
    with pytest.raises(WrongInput, match="port 70000 cannot be used"):
        serve(folder, port=70000)


def test_ipv6_loopback(folder):
    try:
        server = serve(folder, host="::1")
    except WrongInput:
        pytest.skip("no IPv6 loopback here")
    with server:
        assert server.address.startswith("http://[::1]:")
        connection = http.client.HTTPConnection("::1", int(server.address.rstrip("/").rsplit(":", 1)[1]), timeout=5)
        connection.request("GET", "/")
        assert connection.getresponse().status == 200
        connection.close()
