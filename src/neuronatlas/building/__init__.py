"""Building an atlas: a manifest and a plan, then every shard that is missing, then the page.

All that decides the content stands in the manifest, so a build that was stopped, by a key or by the power, goes on where it
was when the same call is made again, and ends in the same bytes, whoever did which part of it.
"""

from neuronatlas.building.estimating import Estimate, estimate
from neuronatlas.building.performing import Progress, build, page_of, perform
from neuronatlas.building.settling import Job, Source, choose_layers, prepare

__all__ = [
    "Estimate",
    "Job",
    "Progress",
    "Source",
    "build",
    "choose_layers",
    "estimate",
    "page_of",
    "perform",
    "prepare",
]
