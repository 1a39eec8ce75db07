"""A figure, the floor that it is held against, and both as a table."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

PAIRS = 5
"""How often each figure and its floor are measured, one right after the other."""
QUICK_PAIRS = 2

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table. `ours` and `floor` are measured in pairs, in the same unit."""

    row: str
    what: str
    unit: str
    ours: Sequence[float]
    floor: Sequence[float]
    at_most: float | None = None
    """What the median of the ratios is to reach; None where it is only told."""
    at_least: float | None = None
    ceiling: float | None = None
    """What none of ours may exceed."""

    @property
    def ratios(self) -> list[float]:
        """Ours in relation to the floor, pair by pair."""
        return [ours / floor for ours, floor in zip(self.ours, self.floor, strict=True)]

    @property
    def is_reached(self) -> bool | None:
        """None where there is nothing to reach."""
        if self.at_most is None and self.at_least is None and self.ceiling is None:
            return None
        ratio = median(self.ratios)
        return (
            ratio <= (math.inf if self.at_most is None else self.at_most)
            and ratio >= (self.at_least or 0.0)
            and max(self.ours) <= (math.inf if self.ceiling is None else self.ceiling)
        )

    @property
    def to_reach(self) -> str:
        limits = [
            f"≤ {self.at_most:g}x" if self.at_most is not None else "",
            f"≥ {self.at_least:g}x" if self.at_least is not None else "",
            f"< {self.ceiling:g} {self.unit}" if self.ceiling is not None else "",
        ]
        return ", ".join(filter(None, limits)) or "-"


def quantile(values: Iterable[float], share: float) -> float:
    """The smallest of the values that at least `share` of them do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def table(figures: Sequence[Figure]) -> str:
    """As Markdown."""
    heads = ("What", "Ours", "Floor", "Ratio (min to max)", "To reach", "Reached")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    return "\n".join([*lines, *map(_line, figures)])


def _line(figure: Figure) -> str:
    ratios = figure.ratios
    spread = f"{median(ratios):.2f}x ({min(ratios):.2f} to {max(ratios):.2f})"
    reached = {None: "-", True: "yes", False: "**no**"}[figure.is_reached]
    ours, floor = (f"{_short(median(each))} {figure.unit}" for each in (figure.ours, figure.floor))
    return f"| {figure.what} | {ours} | {floor} | {spread} | {figure.to_reach} | {reached} |"


def _short(number: float) -> str:
    return f"{number:.0f}" if number >= 100 else f"{number:.3g}"


def as_json(figures: Sequence[Figure], *, quick: bool, seconds: float) -> dict[str, Any]:
    """Everything that was measured, and on what: nothing that names the machine."""
    return {
        "machine": {
            "cores": os.cpu_count(),
            "architecture": platform.machine(),
            "python": platform.python_version(),
            "load_1m": round(os.getloadavg()[0], 2),
        },
        "quick": quick,
        "seconds": round(seconds, 1),
        "figures": [
            asdict(figure) | {"ratios": figure.ratios, "is_reached": figure.is_reached} for figure in figures
        ],
    }
