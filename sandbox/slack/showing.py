"""The workspace as one person sees it, for the page to draw."""

from __future__ import annotations

import json
import re

from sandbox.slack.forms import ViewHandle
from sandbox.slack.model import Channel, Group, Json, Member, Message
from sandbox.slack.person import Person
from sandbox.slack.workspace import Workspace

_MENTIONED = re.compile(r"<(?:@|!subteam\^)(\w+)")


def state(workspace: Workspace, person: Person) -> Json:
    """Everything this person sees, and how much waits for the others."""
    everybody = [m for m in workspace.members.values() if not m.is_bot]
    mine = [c for c in workspace.channels.values() if person.id in c.members and not c.dm_with]
    mine.append(workspace.dm(person.id))
    manifest = workspace.manifest
    return {
        "version": workspace.version,
        "wire": workspace.wire.last,
        "team": workspace.team_name,
        "me": person.id,
        "bot": {"id": workspace.bot_user, "name": manifest.bot_name},
        "connected": bool(workspace.delivery.request_url or workspace.delivery.hub.connected),
        "people": [_member(workspace, m) for m in everybody],
        "names": {m.id: m.real_name for m in workspace.members.values()}
        | {g.id: g.handle for g in workspace.groups.values()}
        | {c.id: c.name for c in workspace.channels.values() if not c.dm_with},
        "channels": [_channel(c, person) for c in mine],
        "loud": {m.id: _loud(workspace, m) for m in everybody},
        "commands": list(manifest.commands),
        "shortcuts": [
            {"id": found, "name": name, "kind": manifest.shortcuts[found]}
            for found, name in manifest.shortcut_names.items()
        ],
        "home_tab": manifest.home_tab,
        "home": _shown(person.home),
        "modal": _shown(person.modal_now),
        "problems": workspace.problems[-20:],
    }


def _member(workspace: Workspace, member: Member) -> Json:
    what = "another company" if member.is_stranger else "guest" if member.is_restricted else ""
    groups = [g.handle for g in workspace.groups.values() if member.id in g.users]
    return {
        "id": member.id,
        "name": member.real_name,
        "what": what,
        "groups": groups,
        "deleted": member.deleted,
    }


def _channel(channel: Channel, person: Person) -> Json:
    messages = [_message(m) | {"thread": [_message(r) for r in m.thread]} for m in channel.messages]
    tops = {m["ts"]: m for m in messages}
    for whisper in person.ephemerals(channel.id):
        top = tops.get(whisper.thread_ts or "")
        if top:
            top["thread"].append(_message(whisper))
        else:
            messages.append(_message(whisper) | {"thread": []})
    return {
        "id": channel.id,
        "name": channel.name,
        "dm": channel.dm_with is not None,
        "archived": channel.is_archived,
        "shared": channel.is_shared,
        "members": len(channel.members),
        "messages": sorted(messages, key=lambda m: m["ts"]),
    }


def _message(message: Message) -> Json:
    return {
        "ts": message.ts,
        "user": message.user,
        "app": message.by_app,
        "text": message.text,
        "blocks": message.blocks,
        "edited": message.edited_count,
        "deleted": message.deleted,
        "only_you": message.only_for is not None,
        "reactions": {name: len(users) for name, users in message.reactions.items()},
    }


def _shown(handle: ViewHandle | None) -> Json | None:
    if handle is None:
        return None
    view = handle.view
    found = {"id": view.id, "hash": view.hash, "content": view.content}
    return found | {"values": view.values, "errors": view.errors}


def _loud(workspace: Workspace, member: Member) -> dict[str, list[str]]:
    """By channel, when something was said that calls this person: a mention, a DM, a word only to them."""
    groups = [g for g in workspace.groups.values() if member.id in g.users]
    found = {c.id: _calls(c, member, groups) for c in workspace.channels.values() if member.id in c.members}
    return {channel: times for channel, times in found.items() if times}


def _calls(channel: Channel, member: Member, groups: list[Group]) -> list[str]:
    names = {member.id, *(group.id for group in groups)}
    every = [m for top in channel.messages for m in (top, *top.thread)]
    said = [m.ts for m in every if not m.deleted and m.user != member.id and _is_for(m, channel, names)]
    return said + [m.ts for m in channel.ephemerals if m.only_for == member.id]


def _is_for(message: Message, channel: Channel, names: set[str]) -> bool:
    if channel.dm_with:
        return True
    text = message.text + json.dumps(message.blocks, ensure_ascii=False)
    return not names.isdisjoint(_MENTIONED.findall(text))
