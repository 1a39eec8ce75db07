"""The Slack app manifest as Slack should get it: `manifest.yml` for Socket Mode, or with request URLs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bot.doors.http import PATH

SOURCE = Path(__file__).parent.parent / "manifest.yml"


def render(source: Path, *, as_json: bool = False, url: str | None = None) -> str:
    """The manifest's text. With `url`, Slack is told to reach the bot there instead of by Socket Mode."""
    if not as_json and url is None:
        return source.read_text(encoding="utf-8").rstrip("\n")
    import yaml  # takes 7 ms, which no start of the bot has to spend

    manifest: dict[str, Any] = yaml.safe_load(source.read_text(encoding="utf-8"))
    if url is not None:
        _over_http(manifest, url.rstrip("/") + PATH)
    if as_json:
        return json.dumps(manifest, indent=2)
    return str(yaml.safe_dump(manifest, sort_keys=False)).rstrip("\n")


def _over_http(manifest: dict[str, Any], url: str) -> None:
    manifest["settings"]["socket_mode_enabled"] = False
    manifest["settings"]["interactivity"]["request_url"] = url
    manifest["settings"]["event_subscriptions"]["request_url"] = url
    for command in manifest["features"]["slash_commands"]:
        command["url"] = url
