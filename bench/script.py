"""What the bot says to Slack in one cancellation, recorded, for a floor to say the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bench.stage import Stage, button
from sandbox.slack.model import Json, View


async def record(stage: Stage, form: View) -> Path:
    """Let the bot that listens cancel one order, and write down its calls to Slack."""
    reference = stage.town.vendors["digicert"].new_order()
    parts: list[list[Json]] = []
    stage.workspace.calls.clear()
    await stage.send(form, reference)
    card = await stage.card(reference)
    found = button(card, "approve")
    parts.append(await _said(stage))
    await stage.click("bob", card, "approve")
    parts.append(await _said(stage))
    await stage.click("carol", card, "approve")
    await stage.outcome(card)
    parts.append(await _said(stage))
    asked = [each for part in parts for each in part if not _is_written(each)]
    script: dict[str, Any] = {
        "reference": reference,
        "card": card.ts,
        "id": found[1]["value"][:32] if found else "",
        "asked": asked,
        "said": [[each for each in part if _is_a_message(each)] for part in parts],
    }
    path = stage.folder / "script.json"
    path.write_text(json.dumps(script), "utf-8")
    return path


async def _said(stage: Stage) -> list[Json]:
    """What was called since the last time, once nothing more comes."""
    await stage.calm()
    calls = stage.workspace.calls
    said: list[Json] = [{"method": call.method, "args": call.args} for call in calls]
    calls.clear()
    return said


def _is_a_message(call: Json) -> bool:
    return str(call["method"]).startswith("chat.")


def _is_written(call: Json) -> bool:
    """Also an App Home, which a floor leaves out."""
    return str(call["method"]).startswith(("chat.", "views."))
