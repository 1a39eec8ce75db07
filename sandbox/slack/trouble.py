"""Slack's bad days, and what administrators do meanwhile: what the page offers behind the scenes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from aiohttp import web

from sandbox.slack import interactions
from sandbox.slack.model import Channel, Json, Member
from sandbox.slack.posting import post
from sandbox.slack.workspace import Workspace

FAULTS: dict[str, tuple[str, str]] = {
    "ratelimited": ("429 for the next call", "too many calls, try again in three seconds"),
    "lose_answer": ("Lose the next answer", "done, but the bot never hears of it"),
    "drop": ("Drop the next call", "the connection breaks, nothing is done"),
    "internal_error": ("500 for the next call", "nothing is done"),
}
"""Name -> what the button says, and what that means."""


def routes(workspace: Workspace) -> list[web.RouteDef]:
    async def show(request: web.Request) -> web.Response:
        del request
        return web.json_response(state(workspace))

    return [
        web.get("/backstage/slack", show),
        post("/backstage/slack", _chosen(workspace, _SLACK)),
        post("/backstage/people", _chosen(workspace, _PEOPLE)),
    ]


def state(workspace: Workspace) -> Json:
    faults = workspace.faults
    return {
        "faults": [{"id": name, "label": label, "says": says} for name, (label, says) in FAULTS.items()],
        "planned": [FAULTS.get(fault.error, (fault.error, ""))[0] for _, fault in faults.planned],
        "outage": faults.outage,
        "rate_limits": workspace.rate_limits,
        "connections": workspace.delivery.hub.connected,
        "by_http": bool(workspace.delivery.request_url),
        "people": [_person(workspace, m) for m in workspace.members.values() if not m.is_bot],
        "channels": [_channel(workspace, c) for c in workspace.channels.values() if not c.dm_with],
        "problems": workspace.problems[-20:],
    }


def _person(workspace: Workspace, member: Member) -> Json:
    groups = {group.id: member.id in group.users for group in workspace.groups.values()}
    return {"id": member.id, "name": member.real_name, "deleted": member.deleted, "groups": groups}


def _channel(workspace: Workspace, channel: Channel) -> Json:
    has_bot = workspace.bot_user in channel.members
    return {"id": channel.id, "name": channel.name, "archived": channel.is_archived, "has_bot": has_bot}


Doing = Callable[[Workspace, Json], Awaitable[None]]


def _chosen(workspace: Workspace, doings: dict[str, Doing]) -> Callable[[Json], Awaitable[Json]]:
    async def act(body: Json) -> Json:
        await doings[body["do"]](workspace, body)
        workspace.changed()
        return {"ok": True}

    return act


async def _fail(workspace: Workspace, body: Json) -> None:
    fault = body["fault"]
    if fault not in FAULTS:
        raise LookupError(f"nothing fails like {fault!r}")
    retry_after = 3 if fault == "ratelimited" else None
    status = 500 if fault == "internal_error" else None
    workspace.fail_next("*", fault, retry_after=retry_after, status=status)


async def _clear(workspace: Workspace, body: Json) -> None:
    del body
    workspace.faults.clear()


async def _outage(workspace: Workspace, body: Json) -> None:
    workspace.outage(bool(body["on"]))


async def _rate_limits(workspace: Workspace, body: Json) -> None:
    workspace.rate_limits = bool(body["on"])


async def _reconnect(workspace: Workspace, body: Json) -> None:
    del body
    await workspace.disconnect_sockets()


async def _break(workspace: Workspace, body: Json) -> None:
    del body
    workspace.delivery.hub.drop()


async def _group(workspace: Workspace, body: Json) -> None:
    """Put somebody into a user group, or take them out."""
    users = workspace.groups[body["group"]].users
    user = workspace.member(body["user"]).id
    others = [each for each in users if each != user]
    workspace.set_group(body["group"], [*others, user] if body["on"] else others)


async def _account(workspace: Workspace, body: Json) -> None:
    """Deactivate an account, or bring it back."""
    member = workspace.member(body["user"])
    if not body["on"]:
        workspace.deactivate(member.id)
        return
    member.deleted = False
    workspace.emit(interactions.user_changed(workspace, member))


async def _bot_in(workspace: Workspace, body: Json) -> None:
    if body["on"]:
        workspace.add_member(body["channel"], workspace.bot_user)
    else:
        workspace.remove_bot(body["channel"])


async def _archive(workspace: Workspace, body: Json) -> None:
    workspace.archive(body["channel"])


async def _delete(workspace: Workspace, body: Json) -> None:
    """An administrator deletes a message, for everybody."""
    message = workspace.channel(body["channel"]).find(body["ts"])
    if message is None:
        raise LookupError("that message is gone")
    workspace.delete_message(message)


_SLACK: dict[str, Doing] = {
    "fail": _fail,
    "clear": _clear,
    "outage": _outage,
    "rate_limits": _rate_limits,
    "reconnect": _reconnect,
    "break": _break,
}
_PEOPLE: dict[str, Doing] = {
    "group": _group,
    "account": _account,
    "bot_in": _bot_in,
    "archive": _archive,
    "delete": _delete,
}
