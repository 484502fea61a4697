"""Stimuli from Hugging Face's data sets, whose pictures are taken undecoded, so that they are read as any file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neuronatlas.errors import UnknownName, WrongInput
from neuronatlas.images.files import UnreadablePicture, read_file
from neuronatlas.stimuli.base import StimulusSet
from neuronatlas.stimuli.listing import AT_MOST, Candidate, Loaded, Progress, listed, readable

MARKS = ("dataset_info.json", "state.json")
SPLITS = "dataset_dict.json"


def is_hugging_face(x: object) -> bool:
    """Whether this is a data set of the package, or the folder of one that was saved."""
    if isinstance(x, Path):
        return all((x / mark).is_file() for mark in MARKS) or (x / SPLITS).is_file()
    return type(x).__module__.partition(".")[0] == "datasets"


def saved(path: Path, *, at_most: float = AT_MOST, progress: Progress | None = None) -> StimulusSet:
    """The pictures of a data set that ``save_to_disk`` wrote; files outside of it, of which it may hold the paths, are not read."""
    try:
        from datasets import load_from_disk
    except ImportError as error:
        message = "images in a data set of Hugging Face need the package datasets: pip install 'neuronatlas[datasets]'"
        raise WrongInput(message) from error
    if (path / SPLITS).is_file():
        splits = sorted(each.name for each in path.iterdir() if each.is_dir())
        message = f"images (={str(path)!r}) holds several splits: give the folder of one, {', '.join(splits)}"
        raise WrongInput(message)
    try:
        ds = load_from_disk(str(path.absolute()))
    except Exception as error:  # a damaged folder makes it raise nearly anything
        message = f"images (={str(path)!r}) cannot be read as a saved data set of Hugging Face: {error}"
        raise WrongInput(message) from error
    return hugging_face(ds, repr(str(path)), at_most=at_most, progress=progress, paths=False)


def hugging_face(
    ds: Any,
    what: str,
    *,
    image: str | None = None,
    label: str | None = None,
    at_most: float = AT_MOST,
    progress: Progress | None = None,
    paths: bool = True,
) -> StimulusSet:
    """The pictures of a `datasets.Dataset`; ``paths`` lets those be read of which it holds but the path."""
    from datasets import ClassLabel, Image

    if ds.format["type"] == "custom":
        message = f"images (={what}) has a transform: give images.with_format(None), the pictures before it"
        raise WrongInput(message)
    shown = _column(ds, "image", image, [name for name, kind in ds.features.items() if isinstance(kind, Image)])
    if shown is None or not isinstance(ds.features[shown], Image):
        columns = ", ".join(f"{name}: {type(kind).__name__}" for name, kind in ds.features.items())
        message = (
            f"images (={what}) has no column of the kind Image, but {columns}: cast_column(NAME, datasets.Image())"
        )
        raise WrongInput(message)
    classes = [name for name, kind in ds.features.items() if isinstance(kind, ClassLabel)]
    named = _column(ds, "label", label, classes or [name for name in ds.features if name == "label"])
    names = tuple(ds.features[named].names) if named is not None and named in classes else ()
    taken = ds.with_format(None).select_columns([shown] if named is None else [shown, named])
    table = Table(taken.cast_column(shown, Image(decode=False)), what, shown, named, names, paths)
    candidates = [Candidate(str(number), Cell(table, number)) for number in range(len(ds))]
    return listed(what, candidates, at_most=at_most, progress=progress)


@dataclass(frozen=True, eq=False)
class Table:
    """The two columns of a data set that are used."""

    rows: Any
    what: str
    image: str
    label: str | None
    names: tuple[str, ...]
    paths: bool


@dataclass(frozen=True, eq=False)
class Cell:
    """The picture in one row."""

    table: Table
    number: int

    def __str__(self) -> str:
        """The number of the row."""
        return f"row {self.number} of {self.table.what}"

    def load(self) -> Loaded:
        """The bytes of the file that the row holds."""
        return self.labelled()[0]

    def labelled(self) -> tuple[Loaded, str]:
        """The bytes and the label."""
        table = self.table
        row = table.rows[self.number]
        cell = row[table.image] or {}
        content, path = cell.get("bytes"), cell.get("path")
        if content is None:
            if path is None:
                raise UnreadablePicture(str(self), "it is empty")
            if not table.paths or "://" in path:
                raise UnreadablePicture(str(self), f"it lies outside of the data set, at {path!r}, which is not read")
            content = read_file(path)
        value = None if table.label is None else row[table.label]
        if isinstance(value, int) and 0 <= value < len(table.names):
            value = table.names[value]
        return content, "" if value is None or (table.names and value == -1) else readable(str(value))


def _column(ds: Any, argument: str, asked: str | None, fitting: list[str]) -> str | None:
    """The column that was asked for, or the only one that fits; raises `WrongInput` where there are several."""
    if asked is not None:
        if asked not in ds.features:
            raise UnknownName("column", asked, ds.features)
        return asked
    if len(fitting) > 1:
        message = f"{argument} could be any of the columns {', '.join(fitting)}: say which"
        raise WrongInput(message)
    return fitting[0] if fitting else None
