"""Atlases on disk; opening one needs no deep-learning framework."""

from neuronatlas.atlas.schema import LayerEntry, Manifest, Plan, Shard, plan
from neuronatlas.atlas.store import Atlas, pack, write_atomically

__all__ = ["Atlas", "LayerEntry", "Manifest", "Plan", "Shard", "open", "pack", "plan", "write_atomically"]

open = Atlas.open  # noqa: A001 - neuronatlas.open("my.atlas") reads as it should
"""The atlas in a folder."""
