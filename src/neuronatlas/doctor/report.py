"""What an examination found."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

LEVELS = ("fine", "note", "wrong")


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: its ``level`` ("fine", "note", "wrong"), what was measured and by which rule.

    ``advice`` is what to do next, and empty where nothing is to be done; ``values`` are the numbers behind it.
    """

    check: str
    level: str
    measured: str
    rule: str
    advice: str = ""
    values: Mapping[str, float | str] = field(default_factory=dict)

    def __str__(self) -> str:
        """One paragraph of text."""
        lines = [f"{self.level:5}  {self.check}: {self.measured}", f"       rule: {self.rule}"]
        return "\n".join([*lines, f"       {self.advice}"] if self.advice else lines)


@dataclass(frozen=True)
class Report:
    """Every finding about a network."""

    network: str
    findings: tuple[Finding, ...]

    @property
    def healthy(self) -> bool:
        """Is nothing wrong?"""
        return not any(finding.level == "wrong" for finding in self.findings)

    def __getitem__(self, check: str) -> Finding:
        """The finding of that check."""
        return {finding.check: finding for finding in self.findings}[check]

    def __str__(self) -> str:
        """Every finding, and the verdict."""
        wrong = sum(finding.level == "wrong" for finding in self.findings)
        notes = sum(finding.level == "note" for finding in self.findings)
        verdict = (
            f"{wrong} of {len(self.findings)} checks found something wrong" if wrong else "nothing wrong was found"
        ) + (f"; {notes} could not tell all, or note something" if notes else "")
        return "\n".join([*map(str, self.findings), f"{self.network}: {verdict}"])
