"""How an atlas begins or is gone on with: which manifest and which plan hold for a folder, before anything is written.

What is in the folder wins where it is intact: the manifest of an earlier build, and its plan, though this release might
cut the same work into other shards. A file that is damaged is replaced where the other shows that this build made both.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from neuronatlas.atlas.files import TEMPORARY, is_there, read_text
from neuronatlas.atlas.schema import Manifest, Plan, Shard
from neuronatlas.errors import AtlasDamaged, AtlasMismatch


def founded(folder: Path, manifest: Manifest, plan: Plan) -> tuple[Manifest, Plan, list[Shard]]:
    """The manifest and plan that hold, and the shards of an older plan that mean something else now.

    Raises `AtlasMismatch` when the folder holds the atlas of something else, or files that are no atlas, and
    `AtlasDamaged` when nothing shows whose it is.
    """
    plan = replace(plan, manifest=manifest.identity)
    kept = _plan_in(folder)
    if (folder / "shards").is_symlink():
        message = f"{folder / 'shards'} is a link, which is not followed: put the folder itself there"
        raise AtlasMismatch(message)
    if is_there(folder / "atlas.json"):
        manifest = _manifest_in(folder, manifest, kept)
    elif folder.exists() and (not folder.is_dir() or any(not _ours(child) for child in folder.iterdir())):
        message = f"{str(folder)!r} holds files that are no atlas: choose a new or an empty folder"
        raise AtlasMismatch(message)
    elif _shards_in(folder) and (kept is None or kept.manifest != manifest.identity):
        message = (
            f"{str(folder)!r} holds shards of an atlas whose atlas.json is gone: put it back, or choose a new folder"
        )
        raise AtlasMismatch(message)
    if kept is None or kept.manifest not in ("", manifest.identity):
        return manifest, plan, []
    if kept.same_work(plan):
        return manifest, replace(kept, manifest=manifest.identity), []
    now = {shard.name: shard for shard in plan}
    return manifest, plan, [shard for shard in kept if shard.name in now and now[shard.name] != shard]


def _manifest_in(folder: Path, manifest: Manifest, kept: Plan | None) -> Manifest:
    """The manifest in the folder, or the given one in its place where the plan shows that it was the same."""
    place = folder / "atlas.json"
    try:
        old = Manifest.parse(read_text(place), source=str(place))
    except AtlasDamaged as error:
        if kept is not None and kept.manifest == manifest.identity:
            return manifest
        message = f"{error}; nothing shows that this build made it: put back a copy of it, or choose a new folder"
        raise AtlasDamaged(message) from error
    differences = old.difference(manifest)
    if differences:
        shown = "; ".join(differences[:6]) + ("; ..." if len(differences) > 6 else "")
        message = f"{str(folder)!r} holds another atlas ({shown}): choose another folder"
        raise AtlasMismatch(message)
    return old


def _plan_in(folder: Path) -> Plan | None:
    """The plan in the folder, if it is there and intact."""
    place = folder / "plan.json"
    try:
        return Plan.parse(read_text(place), source=str(place))
    except AtlasDamaged:
        return None


def _shards_in(folder: Path) -> bool:
    place = folder / "shards"
    return place.is_dir() and any(not child.name.startswith(TEMPORARY) for child in place.iterdir())


def _ours(path: Path) -> bool:
    """What a build leaves when it is killed before the manifest is written."""
    return path.name in ("shards", "plan.json") or path.name.startswith((".lock", TEMPORARY))
