"""`requests show ID --evidence`: one request on a page of its own, for an auditor."""

from __future__ import annotations

from pathlib import Path

from bot.audit.dossier import dossier, find
from bot.audit.evidence import evidence
from bot.cli.console import FAILED, OK, complain, database, plainly, say
from bot.cli.exported import written
from bot.store.reading import reading
from providers import ADAPTERS

NONE, SEVERAL = "There is no request with that ID.", "Several requests begin with that ID."


def write(prefix: str, path: Path) -> int:
    """Reads only; the file appears when it is complete."""
    with plainly(), reading(database()) as connection:
        found = find(connection, prefix)
        if len(found) != 1:
            complain(SEVERAL if found else NONE, FAILED)
        facts = next((one.facts for one in ADAPTERS if one.facts.name == found[0].provider), None)
        if facts is None:
            complain(f"This version of the bot does not know {found[0].provider}.", FAILED)
        made = evidence(dossier(connection, found[0]), facts)
    with written(path) as file:
        file.write(made.encode())
    say(f"The evidence is in {path.resolve()}.")
    return OK
