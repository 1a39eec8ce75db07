"""chat.* and reactions.*: who may write where, and what. Errors: each method's page on docs.slack.dev."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from sandbox.slack import checks, interactions, limits
from sandbox.slack.model import Channel, Json, Message, Refused

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace

_PINGS = ("<!channel", "<!here", "<!everyone")


def post_message(workspace: Workspace, args: Json) -> Json:
    channel = _target(workspace, args["channel"])
    _may_post(workspace, channel)
    text, blocks, metadata = _content(workspace, args)
    thread_ts = args.get("thread_ts")
    if thread_ts and channel.thread_top(thread_ts) is None:
        # Slack takes it and shows a reply to nothing; no bot means to do that.
        workspace.problem(f"chat.postMessage: thread_ts {thread_ts} tops no thread in {channel.id}")
    if len(text) > limits.MESSAGE_TEXT:
        workspace.problem("chat.postMessage: text is cut off at 40,000 characters")
        text = text[: limits.MESSAGE_TEXT]
    _rate_limit(workspace, channel)
    message = workspace.post(
        channel,
        workspace.bot_user,
        text,
        blocks=blocks,
        metadata=metadata,
        thread_ts=thread_ts,
        by_app=True,
    )
    shown = interactions.message_json(workspace, message)
    return {"channel": channel.id, "ts": message.ts, "message": shown, **_warnings(args)}


def update(workspace: Workspace, args: Json) -> Json:
    channel = workspace.channels.get(args["channel"])
    if channel is None or workspace.bot_user not in channel.members:
        raise Refused("channel_not_found")
    if channel.is_archived:
        raise Refused("is_inactive")
    message = _message(channel, args["ts"])
    if not message.by_app:
        raise Refused("cant_update_message")
    text, blocks, metadata = _content(workspace, args)
    if len(text) > limits.UPDATE_TEXT:
        raise Refused("msg_too_long")
    message.edit(text, blocks, metadata)  # without blocks the old ones go
    workspace.changed()
    shown = interactions.message_json(workspace, message)
    return {"channel": channel.id, "ts": message.ts, "text": text, "message": shown, **_warnings(args)}


def post_ephemeral(workspace: Workspace, args: Json) -> Json:
    channel = _target(workspace, args["channel"])
    _may_post(workspace, channel)
    if args["user"] not in channel.members:
        raise Refused("user_not_in_channel")
    text, blocks, metadata = _content(workspace, args)
    if len(text) > limits.UPDATE_TEXT:
        raise Refused("msg_too_long")
    message = workspace.post(
        channel,
        workspace.bot_user,
        text,
        blocks=blocks,
        metadata=metadata,
        thread_ts=args.get("thread_ts"),
        only_for=args["user"],
        by_app=True,
    )
    return {"message_ts": message.ts, **_warnings(args)}


def delete(workspace: Workspace, args: Json) -> Json:
    channel = _member_of(workspace, args["channel"])
    message = _message(channel, args["ts"])
    if not message.by_app:
        raise Refused("cant_delete_message")
    workspace.delete_message(message)
    return {"channel": channel.id, "ts": message.ts}


def get_permalink(workspace: Workspace, args: Json) -> Json:
    channel = workspace.channels.get(args["channel"])
    if channel is None:
        raise Refused("channel_not_found")
    message = _message(channel, args["message_ts"])
    link = f"https://{workspace.team_domain}.slack.com/archives/{channel.id}/p{message.ts.replace('.', '')}"
    if message.thread_ts:
        link += f"?thread_ts={message.thread_ts}&cid={channel.id}"
    return {"channel": channel.id, "permalink": link}


def add_reaction(workspace: Workspace, args: Json) -> Json:
    channel = _member_of(workspace, args["channel"])
    if channel.is_archived:
        raise Refused("is_archived")
    users = _message(channel, args["timestamp"]).reactions.setdefault(args["name"], [])
    if workspace.bot_user in users:
        raise Refused("already_reacted")
    users.append(workspace.bot_user)
    workspace.changed()
    return {}


def remove_reaction(workspace: Workspace, args: Json) -> Json:
    channel = _member_of(workspace, args.get("channel", ""))
    message = _message(channel, args.get("timestamp", ""))
    users = message.reactions.get(args["name"], [])
    if workspace.bot_user not in users:
        raise Refused("no_reaction")
    users.remove(workspace.bot_user)
    if not users:
        del message.reactions[args["name"]]
    workspace.changed()
    return {}


def answer(workspace: Workspace, key: str, body: Json) -> None:
    """A post to a response_url."""
    address = workspace.response_urls.use(key)
    channel = workspace.channels[address.channel]
    whispered = next((m for m in channel.ephemerals if m.ts == address.message_ts), None)
    original = whispered or channel.find(address.message_ts or "")
    if body.get("delete_original") and original:
        if whispered:
            channel.ephemerals.remove(whispered)
            workspace.changed()
        else:
            workspace.delete_message(original)
        return
    text, blocks, metadata = _content(workspace, body)
    if body.get("replace_original") and original:
        original.edit(text, blocks, metadata)
        workspace.changed()
        return
    only_for = None if body.get("response_type") == "in_channel" else address.user
    workspace.post(channel, workspace.bot_user, text, blocks=blocks, only_for=only_for, by_app=True)


def _target(workspace: Workspace, target: str) -> Channel:
    """A channel id; or a user id, which means the DM with that person."""
    if target in workspace.channels:
        return workspace.channels[target]
    member = workspace.members.get(target)
    if member is None or member.is_bot or member.is_stranger or member.deleted:
        raise Refused("channel_not_found")
    if not workspace.manifest.messages_tab:
        raise Refused("messages_tab_disabled")
    return workspace.dm(member.id)


def _may_post(workspace: Workspace, channel: Channel) -> None:
    if workspace.bot_user not in channel.members:
        if channel.is_private:
            raise Refused("channel_not_found")
        if "chat:write.public" not in workspace.manifest.scopes:
            raise Refused("not_in_channel")
    if channel.is_archived:
        raise Refused("is_archived")
    if channel.dm_with and workspace.members[channel.dm_with].deleted:
        raise Refused("channel_not_found")


def _member_of(workspace: Workspace, channel_id: str) -> Channel:
    channel = workspace.channels.get(channel_id)
    if channel is None or workspace.bot_user not in channel.members:
        raise Refused("channel_not_found")
    return channel


def _message(channel: Channel, ts: str) -> Message:
    message = channel.find(ts)
    if message is None:
        raise Refused("message_not_found")
    return message


def _content(workspace: Workspace, args: Json) -> tuple[str, list[Json], Json | None]:
    text, blocks = args.get("text") or "", args.get("blocks") or []
    for unknown in {"attachments", "markdown_text"} & {key for key, value in args.items() if value}:
        workspace.problem(f"{unknown} is not shown here: use blocks and text")
    if complaints := checks.message_blocks(blocks):
        raise Refused("invalid_blocks", errors=complaints)
    if not text and not blocks:
        raise Refused("no_text")
    if blocks and not text:
        workspace.problem("blocks without text: notifications and screen readers get nothing")
    if any(ping in text + json.dumps(blocks, ensure_ascii=False) for ping in _PINGS):
        workspace.problem(f"a message that pings everybody: {text[:200]}")
    return text, checks.with_ids(blocks), _metadata(args.get("metadata"))


def _metadata(metadata: Any) -> Json | None:
    if not metadata:
        return None
    if not isinstance(metadata, dict) or set(metadata) - {"event_type", "event_payload"}:
        raise Refused("invalid_metadata_format")
    if not isinstance(metadata.get("event_type"), str) or not isinstance(metadata.get("event_payload"), dict):
        raise Refused("invalid_metadata_schema")
    if len(json.dumps(metadata)) > limits.METADATA_BYTES:
        raise Refused("metadata_too_large")
    return metadata


def _warnings(args: Json) -> Json:
    if args.get("text"):
        return {}
    warning = "missing_text_in_message"
    return {"warning": warning, "response_metadata": {"warnings": [warning]}}


def _rate_limit(workspace: Workspace, channel: Channel) -> None:
    if not workspace.rate_limits:
        return
    burst, free_at = workspace.burst, 0.0
    for posted in sorted(float(m.ts) for top in channel.messages for m in (top, *top.thread) if m.by_app):
        free_at = min(max(free_at, posted) + 1, posted + burst)
    if free_at + 1 > workspace.clock() + burst:
        raise Refused("ratelimited", status=429, headers={"Retry-After": "1"})
