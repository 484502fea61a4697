"""Stimuli from tar files (WebDataset shards among them) and zip files, which are read where they lie."""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from neuronatlas.errors import WrongInput
from neuronatlas.images.files import EXTENSIONS, UnreadablePicture
from neuronatlas.stimuli.base import StimulusSet
from neuronatlas.stimuli.listing import AT_MOST, Candidate, Loaded, Progress, listed, readable
from neuronatlas.stimuli.members import Member, members

ARCHIVES = frozenset((".tar", ".tgz", ".zip", ".gz", ".bz2", ".xz", ".zst"))
LABELS = frozenset((".cls", ".json"))
MAX_LABEL = 1 << 20
MAX_EXPANDED = 100_000
BRACES = re.compile(r"\{(\d+)\.\.(\d+)\}|\{([^{}]*,[^{}]*)\}")

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


def archives(paths: Paths, *, at_most: float = AT_MOST, progress: Progress | None = None) -> StimulusSet:
    """The pictures in tar and zip files, in the order in which they lie there; each is the centre square of its file.

    ``paths`` is one or several; each may be a pattern, with ``*``, ``?`` and ``[]``, or with braces as in
    ``shard-{000000..000009}.tar``. The label of NAME.jpg is what NAME.cls holds, or the "label" or "class" in NAME.json (as
    in WebDataset, where NAME may also end at the first dot); else the first folder that not all pictures share, or "".
    Pictures of several archives are named with that of theirs. Members whose names begin with a dot are passed over.

    What cannot be read stands in ``skipped`` with the reason, as does an archive that was cut, of which all that is whole is
    used. Raises `WrongInput` for what is no archive, for a compressed tar file, and as `folder` does.
    """
    files = _files(paths)
    above = Path(os.path.commonpath([file.parent for file in files]))
    found: list[tuple[str, PurePosixPath, Member, Member | None]] = []
    skipped: list[tuple[str, str]] = []
    for file in files:
        called = readable(file.relative_to(above).as_posix())
        inside, wrong = _pictures(file)
        found += [(f"{called}/" if len(files) > 1 else "", *each) for each in inside]
        skipped += [(_joined(called, name, several=len(files) > 1), reason) for name, reason in wrong]
    folders = [path.parts[:-1] for _, path, _, _ in found]
    depth = _shared(folders)
    candidates = [
        Candidate(
            before + readable(path.as_posix()),
            Packed(member, written, readable(folder[depth]) if len(folder) > depth else ""),
        )
        for (before, path, member, written), folder in zip(found, folders, strict=True)
    ]
    what = ", ".join(repr(str(file)) for file in files[:3]) + (f" and {len(files) - 3} more" if len(files) > 3 else "")
    return listed(what, candidates, skipped=tuple(skipped), at_most=at_most, progress=progress)


@dataclass(frozen=True, slots=True)
class Packed:
    """A picture in an archive, the member that holds its label where there is one, and the label if not."""

    member: Member
    written: Member | None
    folder: str

    def __str__(self) -> str:
        """The archive and the name in it."""
        return str(self.member)

    def load(self) -> Loaded:
        """The bytes of the member."""
        return self.member.read()

    def labelled(self) -> tuple[Loaded, str]:
        """The bytes, and the label that is written beside it, or that of its folder."""
        return self.load(), self._label()

    def _label(self) -> str:
        if self.written is None:
            return self.folder
        if self.written.size > MAX_LABEL:
            raise UnreadablePicture(str(self), f"its label {self.written.name!r} has {self.written.size} bytes")
        try:
            text = self.written.read().decode()
            if self.written.name.endswith(".json"):
                values = json.loads(text)
                named = [values[key] for key in ("label", "class", "cls") if key in values]
                text = str(named[0]) if named and isinstance(named[0], str | int) else self.folder
        except (ValueError, TypeError, RecursionError, UnreadablePicture) as error:
            raise UnreadablePicture(str(self), f"its label {self.written.name!r} cannot be read ({error})") from error
        return readable(text.strip())


def is_pattern(text: str) -> bool:
    """Whether a path has braces or signs that stand for others."""
    return glob.has_magic(text) or BRACES.search(text) is not None


def _files(paths: Paths) -> list[Path]:
    """The archives that are meant, in order; raises `WrongInput` where one is not there."""
    texts = [os.fspath(each) for each in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    files: list[Path] = []
    for text in texts:
        if Path(text).exists():
            files.append(Path(text).absolute())
            continue
        for each in _expanded(text):
            if glob.has_magic(each) and not Path(each).exists():
                matching = sorted(glob.glob(each, recursive=True), key=os.fsencode)  # noqa: PTH207 - it may be absolute
            else:
                matching = [each]
            files += [Path(file).absolute() for file in matching]
    if not files:
        message = f"images (={', '.join(texts)!r}) names no file: give the path of a tar or zip file, or a pattern that fits some"
        raise WrongInput(message)
    return files


def _expanded(text: str, most: int = MAX_EXPANDED) -> list[str]:
    """The texts that braces stand for, as in a shell.

    >>> _expanded("{a,b}-{08..10}.tar")
    ['a-08.tar', 'a-09.tar', 'a-10.tar', 'b-08.tar', 'b-09.tar', 'b-10.tar']
    """
    found = BRACES.search(text)
    if found is None:
        return [text]
    first, last, words = found.groups()
    count = abs(int(last) - int(first)) + 1 if words is None else words.count(",") + 1
    if count > most:
        message = f"images (={text!r}) stands for more than {MAX_EXPANDED} files: give fewer"
        raise WrongInput(message)
    if words is None:
        step = 1 if int(last) >= int(first) else -1
        wide = len(first) if first.startswith("0") or last.startswith("0") else 0
        options = [f"{number:0{wide}d}" for number in range(int(first), int(last) + step, step)]
    else:
        options = words.split(",")
    return [
        text[: found.start()] + option + rest
        for option in options
        for rest in _expanded(text[found.end() :], most // count)
    ]


def _pictures(
    file: Path,
) -> tuple[list[tuple[PurePosixPath, Member, Member | None]], list[tuple[str, str]]]:
    """Each picture with the member that holds its label, and what is not read, with the reason."""
    pictures: dict[PurePosixPath, Member] = {}
    labels: dict[str, Member | str] = {}
    skipped: list[tuple[str, str]] = []
    for name, member in members(file):
        path = PurePosixPath(name)
        extension = path.suffix.lower()
        if any(part.startswith(".") for part in path.parts if part != ".."):
            continue
        if extension in ARCHIVES:
            skipped.append((readable(name), "it is an archive inside the archive, which is not opened: unpack it once"))
        elif extension in LABELS:
            key = str(path.with_suffix(""))
            if extension == ".cls" or key not in labels:  # of the two, .cls is taken
                labels[key] = member
        elif not name or (isinstance(member, str) and extension in EXTENSIONS):
            skipped.append((readable(name), str(member)))
        elif isinstance(member, Member) and extension in EXTENSIONS:
            if pictures.pop(path, None):
                skipped.append((readable(name), "a later member of the archive has the same name"))
            pictures[path] = member
    found = []
    for path, picture in pictures.items():
        short = path.parent / path.name.partition(".")[0]
        label = labels.get(str(path.with_suffix(""))) or labels.get(str(short))
        if isinstance(label, str):
            skipped.append((readable(str(path)), f"its label cannot be read: {label}"))
        else:
            found.append((path, picture, label))
    return found, skipped


def _joined(archive: str, name: str, *, several: bool) -> str:
    return f"{archive}/{name}" if several and name else name or archive


def _shared(folders: list[tuple[str, ...]]) -> int:
    """How many folders at the top hold all pictures and nothing but folders."""
    depth = 0
    while folders and all(len(each) > depth + 1 for each in folders) and len({each[depth] for each in folders}) == 1:
        depth += 1
    return depth
