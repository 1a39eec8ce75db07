"""`audit report`: one month on a page."""

from __future__ import annotations

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

from bot.audit.month import Month, month
from bot.cli.console import FAILED, OK, Commands, complain, database, plainly, say
from bot.cli.exported import written
from bot.store.reading import reading
from providers import ADAPTERS

NOT_INSTALLED = (
    "The plots of the report need matplotlib, which is not installed. Install it beside the bot: "
    "python -m pip install 'matplotlib>=3.10,<4'"
)


def add(audit: Commands) -> None:
    reporting = audit.add_parser("report", help="one month on a page, with plots")
    reporting.add_argument("--month", metavar="MONTH", type=_month, help="such as 2026-11; the present one")
    reporting.add_argument("--output", metavar="FILE", type=Path, help="report-MONTH.html if left out")
    reporting.set_defaults(command=_report)


def _month(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(2[0-9]{3})-(0[1-9]|1[0-2])", text, re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError("must be like 2026-11")
    return int(found[1]), int(found[2])


def _report(given: argparse.Namespace) -> int:
    now = datetime.now(UTC)
    with plainly(), reading(database()) as connection:
        about = month(connection, *(given.month or (now.year, now.month)))
    path = given.output or Path(f"report-{about.name}.html")
    made = _page(about)
    with written(path) as file:
        file.write(made.encode())
    say(f"The report is in {path.resolve()}.")
    return OK


def _page(about: Month) -> str:
    try:
        from bot.audit.report import report  # brings matplotlib with it
    except ModuleNotFoundError as missing:
        if (missing.name or "").partition(".")[0] != "matplotlib":
            raise
        complain(NOT_INSTALLED, FAILED)
    return report(about, {adapter.facts.name: adapter.facts for adapter in ADAPTERS})
