"""`requests show ID --evidence`: one request on a page of its own, for an auditor."""

from __future__ import annotations

from pathlib import Path

from bot.audit.dossier import dossier, find, find_lists
from bot.audit.evidence import evidence
from bot.batch.rules import Batch
from bot.cli.console import FAILED, OK, complain, database, plainly, say
from bot.cli.exported import written
from bot.store.reading import reading
from providers import ADAPTERS

NONE, SEVERAL = "There is no request with that ID.", "Several requests begin with that ID."


def write(prefix: str, path: Path) -> int:
    """Reads only; the file appears when it is complete."""
    with plainly(), reading(database()) as connection:
        found = find(connection, prefix)
        lists = find_lists(connection, prefix)
        if len(lists) == 1 and not found:
            complain(_only_one_of(lists[0]), FAILED)
        if len(found) != 1 or lists:
            complain(SEVERAL if found or lists else NONE, FAILED)
        facts = next((one.facts for one in ADAPTERS if one.facts.name == found[0].provider), None)
        if facts is None:
            complain(f"This version of the bot does not know {found[0].provider}.", FAILED)
        made = evidence(dossier(connection, found[0]), facts)
    with written(path) as file:
        file.write(made.encode())
    say(f"The evidence is in {path.resolve()}.")
    return OK


def _only_one_of(batch: Batch) -> str:
    ids = batch.asked.lines
    return f"{batch.id} is a list of {len(ids)} orders; give the ID of one of them: {', '.join(ids)}."
