"""What Slack sends when people do things. Shapes: docs.slack.dev, the page of each payload."""

from __future__ import annotations

import copy
import re
import secrets
import time
from typing import TYPE_CHECKING, Any

from sandbox.slack import reading
from sandbox.slack.model import Channel, Group, Json, Member, Message, View

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace

_CHOSEN = ("option", "options", "date", "time", "user", "conversation", "channel")
_SELECTED = {"value", *(f"selected_{what}" for what in _CHOSEN)}


def _user(member: Member) -> Json:
    return {"id": member.id, "username": member.name, "name": member.name, "team_id": member.team}


def _common(workspace: Workspace, kind: str, member: Member) -> Json:
    return {
        "type": kind,
        "user": _user(member),
        "api_app_id": workspace.app_id,
        "token": workspace.verification_token,
        "team": {"id": workspace.team_id, "domain": workspace.team_domain},
        "enterprise": None,
        "is_enterprise_install": False,
    }


def _channel(channel: Channel) -> Json:
    return {"id": channel.id, "name": channel.name}


def slash_command(workspace: Workspace, member: Member, channel: Channel, command: str, text: str) -> Json:
    if workspace.manifest.commands.get(command):  # should_escape
        text = typed(workspace, text)
    return {
        "token": workspace.verification_token,
        "team_id": member.team,
        "team_domain": workspace.team_domain,
        "channel_id": channel.id,
        "channel_name": channel.name,
        "user_id": member.id,
        "user_name": member.name,
        "command": command,
        "text": text,
        "api_app_id": workspace.app_id,
        "is_enterprise_install": "false",
        "response_url": workspace.response_urls.new(channel.id, member.id),
        "trigger_id": workspace.views.trigger(member.id),
    }


def typed(workspace: Workspace, text: str) -> str:
    """What somebody typed, as Slack stores it: names become ids, and nothing can pass for markup."""

    def named(found: re.Match[str]) -> str:
        sign, name = found[1], found[2]
        if sign == "@":
            member = next((m for m in workspace.members.values() if m.name == name), None)
            return f"<@{member.id}|{name}>" if member else found[0]
        channel = next((c for c in workspace.channels.values() if c.name == name and not c.dm_with), None)
        return f"<#{channel.id}|{name}>" if channel else found[0]

    return re.sub(r"(?<!\S)([@#])([\w-]+)", named, reading.escape(text))


def message_json(workspace: Workspace, message: Message) -> Json:
    """A message as the Web API and payloads show it."""
    found: Json = {"type": "message", "user": message.user, "ts": message.ts, "text": message.text}
    if message.by_app:
        found |= {"bot_id": workspace.bot_id, "app_id": workspace.app_id, "team": workspace.team_id}
    if message.blocks:
        found["blocks"] = copy.deepcopy(message.blocks)
    if message.history and not message.blocks:
        found["edited"] = {"user": message.user, "ts": message.ts}
    if message.thread or message.thread_ts:
        found["thread_ts"] = message.thread_ts or message.ts
    if message.thread:
        found |= {"reply_count": len(message.thread), "latest_reply": message.thread[-1].ts}
    if message.reactions:
        found["reactions"] = [
            {"name": name, "users": users, "count": len(users)} for name, users in message.reactions.items()
        ]
    return found


def view_json(workspace: Workspace, view: View) -> Json:
    content = copy.deepcopy(view.content)
    defaults: Json = {"private_metadata": "", "callback_id": "", "external_id": ""}
    defaults |= {"title": None, "close": None, "submit": None}
    defaults |= {"clear_on_close": False, "notify_on_close": False}
    return {
        **defaults,
        **content,
        "id": view.id,
        "team_id": workspace.team_id,
        "state": {"values": copy.deepcopy(view.values)},
        "hash": view.hash,
        "previous_view_id": view.previous,
        "root_view_id": view.root,
        "app_id": workspace.app_id,
        "app_installed_team_id": workspace.team_id,
        "bot_id": workspace.bot_id,
    }


def action_of(block: Json, element: Json, value: Json | None = None) -> Json:
    """One entry of `actions`: the element as it was shown, and what was chosen."""
    action: Json = {
        "type": element["type"],
        "action_id": element["action_id"],
        "block_id": block["block_id"],
        "action_ts": f"{time.time():.6f}",
    }
    for key in ("text", "value", "style", "url", "placeholder", "confirm"):
        if key in element:
            action[key] = element[key]
    return action | {k: v for k, v in (value or {}).items() if k in _SELECTED}


def message_click(workspace: Workspace, member: Member, message: Message, action: Json, values: Json) -> Json:
    channel = workspace.channels[message.channel]
    container: Json = {"type": "message", "message_ts": message.ts, "channel_id": channel.id}
    container["is_ephemeral"] = message.only_for is not None
    if message.thread_ts:
        container["thread_ts"] = message.thread_ts
    # Slack keeps no ephemeral messages, so it cannot repeat them.
    shown = {} if message.only_for else {"message": message_json(workspace, message)}
    return {
        **_common(workspace, "block_actions", member),
        **shown,
        "container": container,
        "trigger_id": workspace.views.trigger(member.id),
        "channel": _channel(channel),
        "state": {"values": values},
        "response_url": workspace.response_urls.new(channel.id, member.id, message.ts),
        "actions": [action],
    }


def view_click(workspace: Workspace, member: Member, view: View, action: Json) -> Json:
    inside = view if view.content["type"] == "modal" else None
    return {
        **_common(workspace, "block_actions", member),
        "container": {"type": "view", "view_id": view.id},
        "trigger_id": workspace.views.trigger(member.id, inside),
        "view": view_json(workspace, view),
        "actions": [action],
    }


def submission(workspace: Workspace, member: Member, view: View) -> Json:
    return {
        **_common(workspace, "view_submission", member),
        "trigger_id": workspace.views.trigger(member.id, view),
        "view": view_json(workspace, view),
        "response_urls": [],
    }


def closed(workspace: Workspace, member: Member, view: View, is_cleared: bool) -> Json:
    return {
        **_common(workspace, "view_closed", member),
        "view": view_json(workspace, view),
        "is_cleared": is_cleared,
    }


def shortcut(workspace: Workspace, member: Member, callback_id: str) -> Json:
    return {
        **_common(workspace, "shortcut", member),
        "callback_id": callback_id,
        "trigger_id": workspace.views.trigger(member.id),
        "action_ts": f"{time.time():.6f}",
    }


def message_shortcut(workspace: Workspace, member: Member, callback_id: str, message: Message) -> Json:
    channel = workspace.channels[message.channel]
    return {
        **_common(workspace, "message_action", member),
        "callback_id": callback_id,
        "trigger_id": workspace.views.trigger(member.id),
        "action_ts": f"{time.time():.6f}",
        "response_url": workspace.response_urls.new(channel.id, member.id, message.ts),
        "channel": _channel(channel),
        "message_ts": message.ts,
        "message": message_json(workspace, message),
    }


# Events


def event_callback(workspace: Workspace, event: Json) -> Json:
    shared = bool(workspace.channels.get(str(event.get("channel")), Channel("", "", [])).is_shared)
    authorization: Json = {"enterprise_id": None, "team_id": workspace.team_id, "user_id": workspace.bot_user}
    return {
        "type": "event_callback",
        "token": workspace.verification_token,
        "team_id": workspace.team_id,
        "context_team_id": workspace.team_id,
        "context_enterprise_id": None,
        "api_app_id": workspace.app_id,
        "event": event,
        "event_id": "Ev" + secrets.token_hex(5).upper(),
        "event_time": int(workspace.clock()),
        "authorizations": [authorization | {"is_bot": True, "is_enterprise_install": False}],
        "is_ext_shared_channel": shared,
    }


def _event(workspace: Workspace, kind: str, **fields: Any) -> Json:
    return {"type": kind, **fields, "event_ts": f"{workspace.clock():.6f}"}


def home_opened(workspace: Workspace, member: Member, tab: str = "home") -> Json:
    home = workspace.views.homes.get(member.id)
    shown = {"view": view_json(workspace, home)} if home and tab == "home" else {}
    return _event(
        workspace, "app_home_opened", user=member.id, channel=workspace.dm(member.id).id, tab=tab, **shown
    )


def said(workspace: Workspace, message: Message) -> Json:
    """A person's message, as a mention of the bot or as a message to it."""
    channel = workspace.channels[message.channel]
    fields = message_json(workspace, message) | {"channel": channel.id, "team": workspace.team_id}
    del fields["type"]
    if channel.dm_with:
        return _event(workspace, "message", **fields, channel_type="im")
    return _event(workspace, "app_mention", **fields)


def group_changed(workspace: Workspace, group: Group, added: list[str], removed: list[str]) -> Json:
    return _event(
        workspace,
        "subteam_members_changed",
        subteam_id=group.id,
        team_id=workspace.team_id,
        date_update=int(workspace.clock()),
        added_users=added,
        added_users_count=len(added),
        removed_users=removed,
        removed_users_count=len(removed),
    )


def user_changed(workspace: Workspace, member: Member) -> Json:
    user = {"id": member.id, "team_id": member.team, "name": member.name, "deleted": member.deleted}
    return _event(workspace, "user_change", user=user)


def channel_archived(workspace: Workspace, channel: Channel) -> Json:
    return _event(workspace, "channel_archive", channel=channel.id, user="U0ALICE", is_moved=0)


def joined_channel(workspace: Workspace, channel: Channel, member: Member) -> Json:
    fields = {"user": member.id, "channel": channel.id, "team": member.team, "channel_type": "C"}
    return _event(workspace, "member_joined_channel", **fields)


def left_channel(workspace: Workspace, channel: Channel, member: Member) -> Json:
    if member.is_bot:  # an app is told about itself by another event
        kind = "group_left" if channel.is_private else "channel_left"
        return _event(workspace, kind, channel=channel.id, actor_id="U0ALICE")
    fields = {"user": member.id, "channel": channel.id, "team": member.team, "channel_type": "C"}
    return _event(workspace, "member_left_channel", **fields)
