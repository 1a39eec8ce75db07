"""auth, users, usergroups, conversations, team and bots: what the bot can find out."""

from __future__ import annotations

import base64
import binascii
import math
from typing import TYPE_CHECKING, Any

from sandbox.slack import interactions
from sandbox.slack.model import Channel, Group, Json, Member, Message, Refused

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace


def auth_test(workspace: Workspace, args: Json) -> Json:
    if args["token"].startswith("xapp-"):
        return {"app_name": workspace.manifest.bot_name, "app_id": workspace.app_id}
    return {
        "url": f"https://{workspace.team_domain}.slack.com/",
        "team": workspace.team_name,
        "user": workspace.members[workspace.bot_user].name,
        "team_id": workspace.team_id,
        "user_id": workspace.bot_user,
        "bot_id": workspace.bot_id,
        "is_enterprise_install": False,
    }


def connections_open(workspace: Workspace, args: Json) -> Json:
    del args
    return {"url": workspace.delivery.hub.open()}


def team_info(workspace: Workspace, args: Json) -> Json:
    if args.get("team", workspace.team_id) != workspace.team_id:
        raise Refused("team_not_found")
    return {"team": {"id": workspace.team_id, "name": workspace.team_name, "domain": workspace.team_domain}}


def bots_info(workspace: Workspace, args: Json) -> Json:
    if args.get("bot", workspace.bot_id) != workspace.bot_id:
        raise Refused("bot_not_found")
    found = {"id": workspace.bot_id, "app_id": workspace.app_id, "user_id": workspace.bot_user}
    return {"bot": found | {"name": workspace.manifest.bot_name, "deleted": False}}


# People


def _user(workspace: Workspace, member: Member) -> Json:
    profile: Json = {"real_name": member.real_name, "display_name": member.real_name, "team": member.team}
    if "users:read.email" in workspace.manifest.scopes and not member.is_stranger and not member.is_bot:
        profile["email"] = member.email
    user: Json = {
        "id": member.id,
        "team_id": member.team,
        "name": member.name,
        "deleted": member.deleted,
        "profile": profile,
        "is_bot": member.is_bot,
        "is_app_user": False,
        "updated": 0,
    }
    if member.deleted:  # little is left of people who are gone
        return user
    user |= {"real_name": member.real_name, "tz": "Etc/UTC", "tz_label": "UTC", "tz_offset": 0}
    user |= {"is_restricted": member.is_restricted, "is_ultra_restricted": False}
    user |= {"is_admin": False, "is_owner": False, "is_primary_owner": False}
    return user | {"is_stranger": True} if member.is_stranger else user


def users_info(workspace: Workspace, args: Json) -> Json:
    member = workspace.members.get(args["user"])
    if member is None:
        raise Refused("user_not_found")
    return {"user": _user(workspace, member)}


def users_list(workspace: Workspace, args: Json) -> Json:
    ours = [m for m in workspace.members.values() if m.team == workspace.team_id]
    page, more = _page(ours, args)
    return {"members": [_user(workspace, m) for m in page], **more}


def users_lookup_by_email(workspace: Workspace, args: Json) -> Json:
    for member in workspace.members.values():
        if member.email == args["email"] and not (member.deleted or member.is_bot or member.is_stranger):
            return {"user": _user(workspace, member)}
    raise Refused("users_not_found")


def _group(workspace: Workspace, group: Group, with_users: bool) -> Json:
    found: Json = {"id": group.id, "team_id": workspace.team_id, "is_usergroup": True, "name": group.handle}
    found |= {"handle": group.handle, "user_count": len(group.users), "date_delete": int(group.disabled)}
    return found | {"users": list(group.users)} if with_users else found


def usergroups_list(workspace: Workspace, args: Json) -> Json:
    shown = [g for g in workspace.groups.values() if _true(args, "include_disabled") or not g.disabled]
    return {"usergroups": [_group(workspace, g, _true(args, "include_users")) for g in shown]}


def usergroups_users_list(workspace: Workspace, args: Json) -> Json:
    group = workspace.groups.get(args["usergroup"])
    if group is None or (group.disabled and not _true(args, "include_disabled")):
        raise Refused("no_such_subteam")
    return {"users": [u for u in group.users if not workspace.members[u].deleted]}


# Conversations


def _conversation(workspace: Workspace, channel: Channel) -> Json:
    if channel.dm_with:
        found: Json = {"id": channel.id, "is_im": True, "is_channel": False, "is_group": False}
        return found | {"user": channel.dm_with, "is_archived": False, "is_open": True}
    return {
        "id": channel.id,
        "name": channel.name,
        "name_normalized": channel.name,
        "is_channel": not channel.is_private,
        "is_group": channel.is_private,
        "is_im": False,
        "is_mpim": False,
        "is_private": channel.is_private,
        "is_archived": channel.is_archived,
        "is_general": False,
        "is_member": workspace.bot_user in channel.members,
        "is_shared": channel.is_shared,
        "is_ext_shared": channel.is_shared,
        "is_org_shared": False,
        "context_team_id": workspace.team_id,
        "creator": "U0ALICE",
    }


def _kind(channel: Channel) -> str:
    """The prefix of the scopes that open it, and `types`' word for it."""
    return "im" if channel.dm_with else "groups" if channel.is_private else "channels"


def visible(workspace: Workspace, args: Json, wanted: str) -> Channel:
    """The channel, if it exists for the bot and the scope for its kind was granted."""
    channel = workspace.channels.get(args["channel"])
    hidden = channel is not None and channel.is_private and workspace.bot_user not in channel.members
    if channel is None or hidden:
        raise Refused("channel_not_found")
    scope = f"{_kind(channel)}:{wanted}"
    if scope not in workspace.manifest.scopes:
        raise Refused("missing_scope", needed=scope, provided=",".join(workspace.manifest.scopes))
    return channel


def conversations_info(workspace: Workspace, args: Json) -> Json:
    channel = visible(workspace, args, "read")
    found = _conversation(workspace, channel)
    if _true(args, "include_num_members"):
        found["num_members"] = len(channel.members)
    return {"channel": found}


def conversations_list(workspace: Workspace, args: Json) -> Json:
    words = {"public_channel": "channels", "private_channel": "groups", "im": "im", "mpim": "mpim"}
    types = [t.strip() for t in args.get("types", "public_channel").split(",")]
    if set(types) - words.keys():
        raise Refused("invalid_types")
    needed = [f"{words[t]}:read" for t in types if f"{words[t]}:read" not in workspace.manifest.scopes]
    if needed:
        provided = ",".join(workspace.manifest.scopes)
        raise Refused("missing_scope", needed=",".join(needed), provided=provided)
    shown = [c for c in workspace.channels.values() if _kind(c) in {words[t] for t in types}]
    shown = [c for c in shown if not c.is_private or workspace.bot_user in c.members]
    if _true(args, "exclude_archived"):
        shown = [c for c in shown if not c.is_archived]
    page, more = _page(shown, args)
    return {"channels": [_conversation(workspace, c) for c in page], **more}


def conversations_members(workspace: Workspace, args: Json) -> Json:
    page, more = _page(visible(workspace, args, "read").members, args)
    return {"members": page, **more}


def conversations_open(workspace: Workspace, args: Json) -> Json:
    if channel := workspace.channels.get(args.get("channel", "")):
        return {"channel": {"id": channel.id}}
    users = [u for u in str(args.get("users", "")).split(",") if u]
    if not users:
        raise Refused("users_list_not_supplied")
    if len(users) > 1:
        raise Refused("missing_scope", needed="mpim:write", provided=",".join(workspace.manifest.scopes))
    member = workspace.members.get(users[0])
    if member is None or member.is_bot:
        raise Refused("user_not_found")
    if member.is_stranger:
        raise Refused("user_not_visible")
    if member.deleted:
        raise Refused("user_disabled")
    return {"channel": {"id": workspace.dm(member.id).id}}


def conversations_join(workspace: Workspace, args: Json) -> Json:
    channel = workspace.channels.get(args["channel"])
    if channel is None or channel.is_private:
        raise Refused("channel_not_found")
    if channel.dm_with:
        raise Refused("method_not_supported_for_channel_type")
    if channel.is_archived:
        raise Refused("is_archived")
    workspace.add_member(channel.id, workspace.bot_user)
    return {"channel": _conversation(workspace, channel)}


def conversations_history(workspace: Workspace, args: Json) -> Json:
    channel = visible(workspace, args, "history")
    if workspace.bot_user not in channel.members:
        raise Refused("not_in_channel")
    newest_first = [m for m in reversed(channel.messages) if _within(m, args)]
    page, more = _page(newest_first, args, default=100, most=999)
    shown = [_stored(workspace, m, args) for m in page]
    return {"messages": shown, "has_more": bool(_cursor(more)), "pin_count": 0, **more}


def conversations_replies(workspace: Workspace, args: Json) -> Json:
    channel = visible(workspace, args, "history")
    if workspace.bot_user not in channel.members:
        raise Refused("not_in_channel")
    top = next((m for m in channel.messages if args["ts"] in (m.ts, *(r.ts for r in m.thread))), None)
    if top is None:
        raise Refused("thread_not_found")
    page, more = _page([m for m in (top, *top.thread) if _within(m, args)], args, default=1000)
    return {"messages": [_stored(workspace, m, args) for m in page], "has_more": bool(_cursor(more)), **more}


def _stored(workspace: Workspace, message: Message, args: Json) -> Json:
    found = interactions.message_json(workspace, message)
    if message.deleted:  # what keeps the place of a deleted message whose thread goes on
        gone: Json = {"subtype": "tombstone", "user": "USLACKBOT", "text": "This message was deleted."}
        kept = {key: found[key] for key in ("type", "ts", "thread_ts", "reply_count") if key in found}
        return kept | gone | {"hidden": True}
    if message.metadata and _true(args, "include_all_metadata"):
        found["metadata"] = message.metadata
    elif message.metadata:  # otherwise only its kind is told
        found["metadata"] = {"event_type": message.metadata["event_type"], "event_payload": {}}
    return found


def _within(message: Message, args: Json) -> bool:
    ts, inclusive = float(message.ts), _true(args, "inclusive")
    oldest, latest = _time(args, "oldest", 0.0), _time(args, "latest", math.inf)
    return oldest <= ts <= latest if inclusive else oldest < ts < latest


def _time(args: Json, key: str, default: float) -> float:
    try:
        return float(args.get(key) or default)
    except ValueError:
        raise Refused(f"invalid_ts_{key}") from None


def _true(args: Json, key: str) -> bool:
    return str(args.get(key, "")).lower() in ("1", "true")


def _page(things: list[Any], args: Json, default: int = 1000, most: int = 1000) -> tuple[list[Any], Json]:
    """Cursor paging: an opaque cursor, empty at the end."""
    try:
        start = int(base64.b64decode(args.get("cursor") or "", validate=True) or 0)
        size = int(args.get("limit") or default)
    except (ValueError, binascii.Error):
        raise Refused("invalid_cursor") from None
    if not 1 <= size <= most:
        raise Refused("invalid_limit")
    end = start + size
    cursor = base64.b64encode(str(end).encode()).decode() if end < len(things) else ""
    return things[start:end], {"response_metadata": {"next_cursor": cursor}}


def _cursor(more: Json) -> str:
    return str(more["response_metadata"]["next_cursor"])
