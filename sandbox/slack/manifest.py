"""What the app declared about itself. Slack delivers nothing that is not in here, so neither do we."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

# Events and the scopes one of which Slack wants before it delivers them (docs.slack.dev/reference/events).
EVENT_SCOPES: dict[str, tuple[str, ...]] = {
    "app_mention": ("app_mentions:read",),
    "message.im": ("im:history",),
    "message.channels": ("channels:history",),
    "message.groups": ("groups:history",),
    "member_joined_channel": ("channels:read", "groups:read"),
    "member_left_channel": ("channels:read", "groups:read"),
    "channel_archive": ("channels:read",),
    "channel_unarchive": ("channels:read",),
    "channel_left": ("channels:read",),
    "group_left": ("groups:read",),
    "channel_deleted": ("channels:read",),
    "subteam_members_changed": ("usergroups:read",),
    "subteam_updated": ("usergroups:read",),
    "user_change": ("users:read",),
    "team_join": ("users:read",),
}


@dataclass(frozen=True)
class Manifest:
    commands: dict[str, bool]  # command -> should_escape
    shortcuts: dict[str, str]  # callback_id -> "global" | "message"
    shortcut_names: dict[str, str]
    events: frozenset[str]
    scopes: tuple[str, ...]
    bot_name: str
    home_tab: bool
    messages_tab: bool
    interactive: bool
    problems: tuple[str, ...] = field(default=())

    @classmethod
    def load(cls, source: dict[str, Any] | Path | str) -> Manifest:
        raw = source if isinstance(source, dict) else yaml.safe_load(Path(source).read_text("utf-8"))
        features, settings = raw.get("features", {}), raw.get("settings", {})
        home = features.get("app_home", {})
        shortcuts = features.get("shortcuts", [])
        events = settings.get("event_subscriptions", {}).get("bot_events", [])
        scopes = tuple(raw.get("oauth_config", {}).get("scopes", {}).get("bot", []))
        commands = {c["command"]: bool(c.get("should_escape")) for c in features.get("slash_commands", [])}
        return cls(
            commands=commands,
            shortcuts={s["callback_id"]: s["type"] for s in shortcuts},
            shortcut_names={s["callback_id"]: s["name"] for s in shortcuts},
            events=frozenset(events),
            scopes=scopes,
            bot_name=features.get("bot_user", {}).get("display_name", "bot"),
            home_tab=bool(home.get("home_tab_enabled")),
            messages_tab=bool(home.get("messages_tab_enabled", True)),
            interactive=bool(settings.get("interactivity", {}).get("is_enabled")),
            problems=tuple(_problems(raw, commands, shortcuts, events, scopes)),
        )


def _problems(
    raw: dict[str, Any],
    commands: dict[str, bool],
    shortcuts: list[dict[str, Any]],
    events: list[str],
    scopes: tuple[str, ...],
) -> list[str]:
    """Reasons for which Slack would not install this app."""
    found: list[str] = []
    info = raw.get("display_information", {})
    for key, most in (("name", 35), ("description", 140)):
        if len(info.get(key, "")) > most:
            found.append(f"manifest: {key} is longer than {most}")
    found += [f"manifest: command {name} is longer than 32" for name in commands if len(name) > 32]
    names = [s["name"] for s in shortcuts]
    found += [f"manifest: shortcut name {name!r} is longer than 24" for name in names if len(name) > 24]
    if (commands or shortcuts) and "commands" not in scopes:
        found.append("manifest: slash commands and shortcuts need the scope commands")
    for event in events:
        wanted = EVENT_SCOPES.get(event, ())
        if wanted and not set(wanted) & set(scopes):
            found.append(f"manifest: event {event} needs the scope {' or '.join(wanted)}")
    return found
