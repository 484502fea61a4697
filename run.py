#!/usr/bin/env python3
"""Set everything up and run it: ``python3 run.py demo`` or ``python3 run.py test``.

Needs Python 3.11 or later and nothing else. The first call makes ``.venv`` beside this file and installs; later calls find it
as it should be and start at once. Whatever follows the word goes to the demonstration, or to pytest.
"""

from __future__ import annotations  # so that an older Python gets as far as being told that it is too old

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")
NEWEST_PIP_LINES = 15
DECIDES = ("pyproject.toml", "constraints.txt", "hatch_build.py", "README.md")
"""What the installation is made from, with all that is in ``web``: when one of these changes, it is made anew."""


def main(words: list[str]) -> int:
    """Run what was asked for and return its exit code."""
    if sys.version_info < (3, 11):  # noqa: UP036 - this is what an older one runs into
        return fail(f"Python 3.11 or later is needed; this is {sys.version.split()[0]} ({sys.executable})")
    if not words or words[0] not in ("demo", "test"):
        say(str(__doc__).strip())
        return 0 if words in ([], ["-h"], ["--help"]) else fail(f"unknown word {words[0]!r}: use demo or test")
    word, rest = words[0], words[1:]
    if not install(word):
        return 1
    environment = os.environ.copy()
    if word == "demo":
        return run([PYTHON, "-m", "neuronatlas.cli", "demo", *rest], environment)
    chromium = find_chromium() or install_chromium()
    if chromium is None:
        return fail("the tests of the page need Chromium: install it, or give its path in NEURONATLAS_CHROMIUM")
    environment["NEURONATLAS_CHROMIUM"] = str(chromium)
    os.chdir(ROOT)
    return run([PYTHON, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", *rest], environment)


def install(extra: str) -> bool:
    """Make ``.venv`` hold the package with this extra, if it does not; the test extra holds the demonstration's."""
    state = fingerprint()
    stamps = {name: VENV / f"installed-{name}.txt" for name in ("demo", "test")}
    if any(holds(stamps[name], state) for name in ((extra, "test") if extra == "demo" else (extra,))):
        return True
    start = time.monotonic()
    if not works():
        say(f"Making {VENV}")
        shutil.rmtree(VENV, ignore_errors=True)
        if not quietly([sys.executable, "-m", "venv", VENV]):
            return False
    say("Installing torch and the rest: about 1.5 GB on the disk, some minutes the first time")
    for stamp in stamps.values():
        stamp.unlink(missing_ok=True)
    pip = [PYTHON, "-m", "pip", "--disable-pip-version-check", "install", "--quiet", "-c", ROOT / "constraints.txt"]
    if not quietly([*pip, "--editable", f"{ROOT}[{extra}]"]):
        return False
    stamps[extra].write_text(fingerprint(), encoding="utf-8")  # anew: the bundle is there now
    say(f"Installed in {time.monotonic() - start:.0f} s")
    return True


def works() -> bool:
    """Is there a ``.venv`` whose Python and pip run? An interrupted one may have neither."""
    if not PYTHON.exists():
        return False
    check = [str(PYTHON), "-c", f"import pip, sys; sys.exit(sys.version_info[:2] != {tuple(sys.version_info[:2])})"]
    return subprocess.run(check, capture_output=True, check=False).returncode == 0


def holds(stamp: Path, state: str) -> bool:
    """Was the installation made from this state?"""
    return PYTHON.exists() and stamp.is_file() and stamp.read_text(encoding="utf-8") == state


def fingerprint() -> str:
    """A digest of what the installation is made from, and where."""
    total = hashlib.sha256(f"{ROOT}|{sys.version_info[:3]}".encode())
    files = [ROOT / name for name in DECIDES if (ROOT / name).is_file()]
    for folder, below, names in os.walk(ROOT / "web"):
        below[:] = [name for name in below if name != "node_modules"]
        files += [Path(folder, name) for name in names]
    for path in sorted(files):
        content = path.read_bytes()
        total.update(f"{path.relative_to(ROOT).as_posix()}|{len(content)}|".encode() + content)
    bundle = ROOT / "src" / "neuronatlas" / "view" / "static" / "index.html"
    return f"{total.hexdigest()} {bundle.is_file()}"


def find_chromium() -> Path | None:
    """Chromium where it was said to be, on the path, or where Playwright keeps its own."""
    said = os.environ.get("NEURONATLAS_CHROMIUM")
    if said:
        return Path(said) if Path(said).exists() else None
    for name in ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable"):
        found = shutil.which(name)
        if found:
            return Path(found)
    ask = "from playwright.sync_api import sync_playwright as p\nwith p() as w: print(w.chromium.executable_path)"
    answer = subprocess.run([str(PYTHON), "-c", ask], capture_output=True, text=True, check=False).stdout.strip()
    return Path(answer) if answer and Path(answer).exists() else None


def install_chromium() -> Path | None:
    """Debian's package where that may be installed, else Playwright's own download."""
    if shutil.which("apt-get") and getattr(os, "geteuid", lambda: 1)() == 0:
        say("Installing Chromium from the distribution's packages, for the tests of the page")
        quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
        quietly(["apt-get", "-qq", "update"], quiet)
        quietly(["apt-get", "-qq", "install", "--yes", "--no-install-recommends", "chromium"], quiet)
        if find_chromium():
            return find_chromium()
    say("Downloading Playwright's Chromium, for the tests of the page")
    quietly([PYTHON, "-m", "playwright", "install", "chromium"])
    return find_chromium()


def quietly(command: list[object], environment: dict[str, str] | None = None) -> bool:
    """Run a command; only when it fails, show it and the end of what it said."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, check=False
    )
    if done.returncode:
        say("\n".join(done.stdout.strip().splitlines()[-NEWEST_PIP_LINES:]))
        fail(f"this failed with exit code {done.returncode}: {' '.join(words)}")
    return done.returncode == 0


def run(command: list[object], environment: dict[str, str]) -> int:
    """Run a command in the foreground; its exit code comes back, and Ctrl-C is left to it."""
    process = subprocess.Popen([str(word) for word in command], env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue


def say(text: str) -> None:
    """Talk, apart from the results."""
    print(text, file=sys.stderr, flush=True)


def fail(text: str) -> int:
    """Say what went wrong; 1 comes back."""
    say(f"run.py: {text}")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
