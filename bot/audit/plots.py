"""Plots for the monthly report, as SVG without a reference to anything. Needs the extra `report`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bot.audit.page import Markup
from bot.blocks.words import word
from bot.model import State

_STYLE: Any = {
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "svg.hashsalt": "countersign",
    "svg.fonttype": "path",
}
_COLOURS = {
    State.CANCELLED: "#3d7a4e",
    State.ALREADY_CANCELLED: "#86ad7f",
    State.REFUSED: "#a63d57",
    State.FAILED: "#c97a5b",
    State.NOT_CANCELLABLE: "#8a6a4f",
    State.DENIED: "#7d5a8c",
    State.WITHDRAWN: "#a894b5",
    State.EXPIRED: "#6d7681",
    State.UNKNOWN: "#d98c3f",
    State.NEEDS_PERSON: "#c2a83e",
    State.CLOSED: "#968a45",
}
"""The same in each month; what is still under way is blue."""
_UNDER_WAY = "#2f5d8a"
_LINES = (("-", "#2f5d8a"), ("--", "#d98c3f"), (":", "#3d7a4e"))
_GREY = "#57606a"
_MARKS = (
    (60, "1 min"),
    (600, "10 min"),
    (3600, "1 h"),
    (6 * 3600, "6 h"),
    (86400, "1 day"),
    (7 * 86400, "1 week"),
)


def outcomes(by_provider: Mapping[str, Counter[State]], labels: Mapping[str, str]) -> Markup:
    """A bar for each provider, with a part for each outcome."""
    providers = list(by_provider)[::-1]
    states = [state for state in State if any(counts[state] for counts in by_provider.values())]
    figure, axes = _figure(0.9 + 0.42 * len(providers))
    left = [0] * len(providers)
    for state in states:
        wide = [by_provider[provider][state] for provider in providers]
        colour = _COLOURS.get(state, _UNDER_WAY)
        bars = axes.barh(
            range(len(providers)), wide, left=left, color=colour, edgecolor="white", label=word(state)
        )
        axes.bar_label(
            bars, [str(n) if n else "" for n in wide], label_type="center", color="white", fontsize=8
        )
        left = [before + more for before, more in zip(left, wide, strict=True)]
    axes.set_yticks(range(len(providers)), [labels.get(one, one) for one in providers])
    axes.set_xlabel("requests")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), frameon=False, fontsize=8)
    return _svg(figure)


def waiting(times: Mapping[str, Sequence[timedelta]]) -> Markup:
    """For each milestone, which part of the requests had come to it after how long."""
    figure, axes = _figure(2.6)
    for (name, taken), (style, colour) in zip(times.items(), _LINES, strict=True):
        seconds = sorted(max(one.total_seconds(), 1.0) for one in taken)
        parts = [100 * (n + 1) / len(seconds) for n in range(len(seconds))]
        if seconds:
            line: Any = {
                "linestyle": style,
                "color": colour,
                "linewidth": 1.8,
                "marker": ".",
                "markersize": 5,
            }
            axes.plot([seconds[0], *seconds], [0, *parts], drawstyle="steps-post", label=name, **line)
    axes.set_xscale("log")
    axes.set_xticks([at for at, _ in _MARKS], [name for _, name in _MARKS])
    axes.minorticks_off()
    axes.set_ylim(0, 103)
    axes.set_ylabel("% of those that came to it")
    axes.grid(visible=True, color="#e3e6ea", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.03), frameon=False, fontsize=8)
    return _svg(figure)


def _figure(height: float) -> tuple[Figure, Axes]:
    with rc_context(_STYLE):
        figure = Figure(figsize=(8.8, height), layout="constrained")
        axes = figure.add_subplot()
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    axes.tick_params(colors=_GREY)
    return figure, axes


def _svg(figure: Figure) -> Markup:
    text = io.StringIO()
    nothing = {"Date": None, "Creator": None, "Format": None, "Type": None}
    with rc_context(_STYLE):
        figure.savefig(text, format="svg", transparent=True, metadata=nothing)
    drawn = text.getvalue()
    return Markup(drawn[drawn.index("<svg") :])
