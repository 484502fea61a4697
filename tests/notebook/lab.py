"""A JupyterLab of its own, which speaks with nobody but the browser on this machine."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
SETTINGS = {
    "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True},
    "apputils-extension/themes": {},
    "extensionmanager-extension/plugin": {"enabled": False},
}


def notebook(*cells: str) -> nbformat.NotebookNode:
    """A notebook of code cells."""
    found = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    found.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    return found


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def lab(folder: Path, *, dark: bool = False) -> Iterator[tuple[str, str]]:
    """Run JupyterLab in ``folder/work``; its address, with a slash at the end, and its token."""
    (folder / "work").mkdir(parents=True, exist_ok=True)
    for name, values in SETTINGS.items():
        place = folder / "settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        place.parent.mkdir(parents=True, exist_ok=True)
        if name.endswith("themes"):
            values = {"theme": "JupyterLab Dark" if dark else "JupyterLab Light"}
        place.write_text(json.dumps(values))
    port, token = free_port(), secrets.token_hex(8)
    own = {
        "JUPYTERLAB_SETTINGS_DIR": "settings",
        "JUPYTERLAB_WORKSPACES_DIR": "workspaces",
        "JUPYTER_CONFIG_DIR": "config",
        "JUPYTER_DATA_DIR": "data",
        "JUPYTER_RUNTIME_DIR": "runtime",
        "IPYTHONDIR": "ipython",
    }
    environment = {name: value for name, value in os.environ.items() if name != "MPLBACKEND"}
    environment |= {name: str(folder / place) for name, place in own.items()}
    environment |= {"PYTHONPATH": str(ROOT), "JUPYTER_PLATFORM_DIRS": "1", "no_proxy": "127.0.0.1,localhost"}
    environment |= {"http_proxy": "http://127.0.0.1:9", "https_proxy": "http://127.0.0.1:9"}  # nobody is there
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}"]
    command += ["--ServerApp.port_retries=0", f"--IdentityProvider.token={token}", "--ServerApp.ip=127.0.0.1"]
    command += [f"--ServerApp.root_dir={folder / 'work'}", "--LabApp.news_url=", "--LabApp.extension_manager=readonly"]
    command += ["--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
    try:
        base = f"http://127.0.0.1:{port}/"
        end = time.monotonic() + 40
        while not _answers(f"{base}api?token={token}"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end, (folder / "log").read_text()
            time.sleep(0.1)
        yield base, token
    finally:
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _answers(address: str) -> bool:
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(address, timeout=2):
            return True
    except (urllib.error.URLError, OSError):
        return False
