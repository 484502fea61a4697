"""Who is let in, and to which files."""

from __future__ import annotations

import http.client
import io
import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from neuronatlas.atlas import Atlas
from neuronatlas.errors import AtlasMismatch, WrongInput
from neuronatlas.live import serve
from neuronatlas.live.serving import Server
from neuronatlas.live.uploads import MAX_BYTES
from neuronatlas.networks import as_network
from tests.building import tiny
from tests.live.asking import ask, encoded, host_of, send, serving

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(atlas: Atlas) -> Iterator[Server]:
    with serving(atlas, tiny.network()) as running:
        (atlas.folder / "secret.txt").write_text("secret")
        (atlas.folder / "site" / "link.txt").symlink_to(atlas.folder / "secret.txt")
        yield running


def test_the_page_knows_that_it_is_live_and_may_ask(server: Server, atlas: Atlas) -> None:
    original = (atlas.folder / "site" / "index.html").read_text()
    for path in ("/", "/index.html", "/?x=1"):
        answer = send(server, "GET", path)
        html = answer.body.decode()
        assert answer.status == 200
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        assert html.index(f'<meta name="neuronatlas-live" content="{server.token}">') < html.index("</head>")
        assert html.count("connect-src 'self'; media-src 'self' blob:\">") == 1
        assert len(html) > len(original)
    assert server.token not in original


def test_files_come_with_their_types_and_a_strict_policy(server: Server, atlas: Atlas) -> None:
    for path, kind in (
        ("/app.js", "text/javascript; charset=utf-8"),
        ("/data/scene.js", "text/javascript; charset=utf-8"),
    ):
        answer = send(server, "GET", path)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert answer.body == (atlas.folder / "site" / path[1:]).read_bytes()
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "connect-src 'self'; media-src 'self' blob:" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt",
        "/%2e%2e/secret.txt",
        "/data/%2e%2e%2f..%2fsecret.txt",
        "/..%5csecret.txt",
        "/..\\secret.txt",
        "/index.html%00",
        "/link.txt",
        "/.hidden",
        "/data/",
        "/data//scene.js",
        "/%252e%252e/secret.txt",
        "/%ff",
        "//api/about",
        "http://127.0.0.1/index.html",
    ],
)
def test_s1_what_is_not_plainly_a_file_of_the_page_is_not_found(server: Server, path: str) -> None:
    answer = send(server, "GET", path)
    assert answer.status == 404
    assert set(json.loads(answer.body)) == {"error"}


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil.example:80", ""])
def test_s3_another_host_is_refused(server: Server, host: str) -> None:
    for path in ("/", "/app.js", "/api/about"):
        answer = send(server, "GET", path, headers={"Host": host, "X-Neuronatlas-Token": server.token})
        assert answer.status == 403
        assert server.token.encode() not in answer.body


def test_localhost_is_the_same_machine(server: Server) -> None:
    assert send(server, "GET", "/", headers={"Host": "LOCALHOST:" + host_of(server).split(":")[1]}).status == 200


def test_questions_need_the_secret_and_no_strange_origin(server: Server) -> None:
    own = f"http://{host_of(server)}"
    token = {"X-Neuronatlas-Token": server.token}
    for method, path in (
        ("GET", "/api/about"),
        ("POST", "/api/respond"),
        ("DELETE", "/api/render/x"),
        ("GET", "/api/x"),
    ):
        for headers in ({}, {"X-Neuronatlas-Token": "x"}, {"X-Neuronatlas-Token": ""}):
            answer = send(server, method, path, headers=headers)
            assert answer.status == 403
            assert "load the page again" in json.loads(answer.body)["error"]
        for origin in (
            "http://evil.example",
            "null",
            own.replace("http", "https"),
            f"{own}.evil.example",
            "http://127.0.0.1",
        ):
            assert send(server, method, path, headers=token | {"Origin": origin}).status == 403
    assert send(server, "GET", "/api/about", headers=token | {"Origin": own}).status == 200
    assert send(server, "OPTIONS", "/api/about", headers={"Origin": "http://evil.example"}).status == 403
    assert ask(server, "PUT", "/api/about") == (405, {"error": "this address does not take that method"})
    assert send(server, "GET", f"/api/about?token={server.token}").status == 403


def test_s2_what_is_sent_comes_back_as_data_alone(server: Server) -> None:
    body = json.dumps({"unit": "<script>alert(1)</script>:0"}).encode()
    answer = send(server, "POST", "/api/render", body, {"X-Neuronatlas-Token": server.token})
    assert (answer.status, answer.headers["Content-Type"]) == (404, "application/json")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script>" in json.loads(answer.body)["error"]


def test_two_starts_have_two_secrets(server: Server, atlas: Atlas) -> None:
    with serving(atlas, tiny.network()) as other:
        assert other.token != server.token
        assert len(other.token) >= 32


def test_about(server: Server) -> None:
    code, about = ask(server, "GET", "/api/about")
    assert (code, about["network"], about["max_bytes"]) == (200, "tiny", 16 << 20)
    assert "fast" in about["presets"]
    assert about["max_pixels"] == 50_000_000


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"


@pytest.mark.parametrize("kind", ["SVG", "TIFF", "PPM", "PDF", "EPS", "nothing", "text"])
def test_s10_other_formats_are_refused(server: Server, kind: str) -> None:
    made = {"SVG": SVG, "nothing": b"", "text": b"hello"}.get(kind)
    body = encoded(np.zeros((9, 9, 3), np.uint8), kind) if made is None else made
    code, answer = ask(server, "POST", "/api/respond", body, **{"Content-Type": "image/png"})
    assert code == 400
    assert "send" in answer["error"]


def test_s10_too_many_bytes_and_pixels_are_refused_with_a_sentence(server: Server) -> None:
    code, answer = ask(server, "POST", "/api/respond", bytes(MAX_BYTES + 1))
    assert (code, "16777216 bytes" in answer["error"]) == (413, True)
    buffer = io.BytesIO()
    Image.new("1", (8_000, 8_000)).save(buffer, "PNG")
    assert len(buffer.getvalue()) < 50_000
    code, answer = ask(server, "POST", "/api/respond", buffer.getvalue())
    assert (code, "8000 x 8000 pixels" in answer["error"]) == (400, True)
    Image.new("1", (14_000, 14_000)).save(buffer := io.BytesIO(), "PNG")
    code, answer = ask(server, "POST", "/api/respond", buffer.getvalue())
    assert (code, "too large" in answer["error"]) == (400, True)


def test_s10_a_length_beyond_reason_is_refused_before_it_is_sent(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", int(host_of(server).split(":")[1])), timeout=5) as raw:
        head = f"POST /api/respond HTTP/1.1\r\nHost: {host_of(server)}\r\nX-Neuronatlas-Token: {server.token}\r\n"
        raw.sendall(f"{head}Content-Length: {10**12}\r\n\r\n".encode())
        assert raw.recv(100).startswith(b"HTTP/1.1 413")


def test_s10_a_cut_picture_is_refused_and_nothing_is_written(
    server: Server, atlas: Atlas, rng: np.random.Generator
) -> None:
    before = set(atlas.folder.rglob("*"))
    whole = encoded(rng.integers(0, 255, (64, 64, 3), np.uint8))
    code, answer = ask(server, "POST", "/api/respond", whole[: len(whole) // 2])
    assert (code, "truncated" in answer["error"]) == (400, True)
    assert ask(server, "POST", "/api/respond", whole)[0] == 200
    assert set(atlas.folder.rglob("*")) == before


def test_let_out_it_wants_its_secret_for_everything(atlas: Atlas) -> None:
    with serving(atlas, tiny.network(), host="0.0.0.0") as out:
        port = host_of(out).rsplit(":", 1)[1]
        assert out.address.endswith(f"/?token={out.token}")
        host = {"Host": f"127.0.0.1:{port}"}
        for path in ("/", "/app.js", "/?token=x", "/api/about", f"/app.js?token={out.token}"):
            answer = send(out, "GET", path, headers=host)
            assert answer.status == 403
            assert out.token.encode() not in answer.body
            assert answer.headers["Set-Cookie"] is None
        welcome = send(out, "GET", f"/?token={out.token}", headers=host)
        assert welcome.status == 200
        cookie = welcome.headers["Set-Cookie"]
        assert cookie.endswith("; Path=/; HttpOnly; SameSite=Strict")
        with_cookie = host | {"Cookie": cookie.split(";")[0]}
        assert send(out, "GET", "/app.js", headers=with_cookie).status == 200
        assert send(out, "GET", "/api/about", headers=with_cookie).status == 403
        assert send(out, "GET", "/api/about", headers=with_cookie | {"X-Neuronatlas-Token": out.token}).status == 200
        assert send(out, "GET", "/app.js", headers=with_cookie | {"Host": f"evil.example:{port}"}).status == 403


def test_the_network_must_be_the_atlas_s(atlas: Atlas) -> None:
    other = tiny.module()
    with torch.no_grad():
        other[3].weight[0] += 1
    with pytest.raises(AtlasMismatch, match=r"has other weights \(.*name the network that it was built from"):
        serving(atlas, as_network(other, input_size=32, normalise="0..1"))
    with pytest.raises(AtlasMismatch, match=r"takes pictures otherwise .*--normalise"):
        serving(atlas, as_network(tiny.module(), input_size=32, normalise="-1..1"))


def test_a_port_that_is_taken_and_a_folder_that_is_no_page_are_refused(
    server: Server, atlas: Atlas, tmp_path: Path
) -> None:
    with pytest.raises(WrongInput, match=r"cannot be used on 127\.0\.0\.1"):
        serving(atlas, tiny.network(), port=int(host_of(server).split(":")[1]))
    with pytest.raises(WrongInput, match=r"has no index\.html"):
        serve(atlas, tmp_path, tiny.network())


def test_closing_frees_the_port(atlas: Atlas) -> None:
    running = serving(atlas, tiny.network())
    port = int(host_of(running).split(":")[1])
    running.close()
    running.close()
    running.wait()
    with serving(atlas, tiny.network(), port=port) as again:
        assert send(again, "GET", "/").status == 200


def test_without_its_packages_it_says_what_to_install() -> None:
    code = (
        "import sys; sys.modules['starlette'] = None\n"
        "from neuronatlas.live import check_packages\n"
        "from neuronatlas.errors import WrongInput\n"
        "try: check_packages()\n"
        "except WrongInput as error: print(error)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("pip install 'neuronatlas[live]'")


def test_the_command_serves_until_it_is_interrupted(atlas: Atlas, tmp_path: Path) -> None:
    shutil.copytree(atlas.folder, tmp_path / "a.atlas", symlinks=True)
    factory = f"{ROOT / 'tests' / 'building' / 'tiny.py'}:slow_network"
    words = ["view", str(tmp_path / "a.atlas"), "--live", factory, "--port", "0"]
    command = [sys.executable, "-m", "neuronatlas.cli", *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.endswith("/   (Ctrl-C ends it)\n")
        with closing(http.client.HTTPConnection(line.split("/")[2], timeout=10)) as connection:
            connection.request("GET", "/")
            token = connection.getresponse().read().decode().split('name="neuronatlas-live" content="')[1].split('"')[0]
            headers = {"X-Neuronatlas-Token": token}
            connection.request("POST", "/api/render", json.dumps({"unit": "3:1", "steps": 2048}), headers)
            job = json.loads(connection.getresponse().read())["job"]
            connection.request("GET", f"/api/render/{job}", headers=headers)
            answer = connection.getresponse()
            assert json.loads(answer.readline())["step"] == 8
            process.send_signal(signal.SIGINT)
            start = time.monotonic()
            assert json.loads(answer.read().splitlines()[-1]) == {"cancelled": True}
            assert time.monotonic() - start < 5
        assert process.wait(30) == 0
        assert process.stdout.read() == ""
