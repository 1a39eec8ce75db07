"""The Web API: `/api/<method>`, with Slack's tokens, scopes, errors and bad days."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web

from sandbox.slack import api_chat, api_read, api_views
from sandbox.slack.faults import Fault
from sandbox.slack.model import Call, Json, Refused

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace

Handler = Callable[["Workspace", Json], Json]
_OBJECTS = {"blocks", "view", "metadata", "attachments"}  # may arrive as JSON in a string


@dataclass(frozen=True)
class Method:
    handler: Handler
    scopes: tuple[str, ...] = ()  # any one of them
    required: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ("xoxb-",)
    takes_json: bool = True


def _reading(handler: Handler, scopes: tuple[str, ...] = (), required: tuple[str, ...] = ()) -> Method:
    """A method that only reads: its arguments come in the query or a form.

    Slack overlooks a JSON body sent to some of these (users.info, conversations.replies), and answers as if
    nothing had been asked. To be safe with all of them, none takes JSON here.
    """
    return Method(handler, scopes, required, takes_json=False)


_READ = ("channels:read", "groups:read", "im:read", "mpim:read")
_HISTORY = ("channels:history", "groups:history", "im:history", "mpim:history")
_WRITE = ("chat:write",)
METHODS: dict[str, Method] = {
    "auth.test": Method(api_read.auth_test, tokens=("xoxb-", "xapp-")),
    "apps.connections.open": Method(api_read.connections_open, tokens=("xapp-",)),
    "chat.postMessage": Method(api_chat.post_message, _WRITE, ("channel",)),
    "chat.update": Method(api_chat.update, _WRITE, ("channel", "ts")),
    "chat.postEphemeral": Method(api_chat.post_ephemeral, _WRITE, ("channel", "user")),
    "chat.delete": Method(api_chat.delete, _WRITE, ("channel", "ts")),
    "chat.getPermalink": _reading(api_chat.get_permalink, (), ("channel", "message_ts")),
    "reactions.add": Method(api_chat.add_reaction, ("reactions:write",), ("channel", "name", "timestamp")),
    "reactions.remove": Method(api_chat.remove_reaction, ("reactions:write",), ("name",)),
    "views.open": Method(api_views.open_view, (), ("view",)),
    "views.push": Method(api_views.push, (), ("view",)),
    "views.update": Method(api_views.update, (), ("view",)),
    "views.publish": Method(api_views.publish, (), ("user_id", "view")),
    "users.info": _reading(api_read.users_info, ("users:read",), ("user",)),
    "users.list": _reading(api_read.users_list, ("users:read",)),
    "users.lookupByEmail": _reading(api_read.users_lookup_by_email, ("users:read.email",), ("email",)),
    "usergroups.list": _reading(api_read.usergroups_list, ("usergroups:read",)),
    "usergroups.users.list": _reading(api_read.usergroups_users_list, ("usergroups:read",), ("usergroup",)),
    "conversations.info": _reading(api_read.conversations_info, _READ, ("channel",)),
    "conversations.list": _reading(api_read.conversations_list, _READ),
    "conversations.members": _reading(api_read.conversations_members, _READ, ("channel",)),
    "conversations.open": Method(api_read.conversations_open, ("im:write", "mpim:write")),
    "conversations.join": Method(api_read.conversations_join, ("channels:join",), ("channel",)),
    "conversations.history": _reading(api_read.conversations_history, _HISTORY, ("channel",)),
    "conversations.replies": _reading(api_read.conversations_replies, _HISTORY, ("channel", "ts")),
    "team.info": _reading(api_read.team_info, ("team:read",)),
    "bots.info": _reading(api_read.bots_info, ("users:read",)),
}


async def call(workspace: Workspace, request: web.Request) -> web.StreamResponse:
    """One call: faults first, as on a real network, then Slack's own order of refusals."""
    name = request.match_info["method"]
    args = await _arguments(request)
    fault = workspace.faults.take(name)
    if fault:
        answered = await _fail(workspace, request, name, args, fault)
        if answered is not None:
            return answered
    if request.content_type == "application/json" and name in METHODS and not METHODS[name].takes_json:
        workspace.problem(f"{name}: a JSON body is not read; send a query or a form")
        args = dict(request.query)
    answer, status, headers = _answer(workspace, name, request, args)
    lost = fault is not None and fault.kind == "lose_answer"
    _record(workspace, name, args, answer, "answer lost" if lost else "")
    if lost:
        return _hang_up(request)
    return web.json_response(answer, status=status, headers=headers)


async def _arguments(request: web.Request) -> Json:
    """Query, form and JSON merged: the SDK sends some of each, even in one call."""
    args: Json = dict(request.query)
    if request.content_type == "application/json":
        try:
            body = await request.json()
        except ValueError:
            body = {"invalid_json": True}
        args |= body if isinstance(body, dict) else {}
    elif request.method == "POST":
        args |= {k: v for k, v in (await request.post()).items() if isinstance(v, str)}
    for key in _OBJECTS & args.keys():
        if isinstance(args[key], str) and args[key]:
            try:
                args[key] = json.loads(args[key])
            except ValueError:
                args[f"invalid_{key}"] = True
    return args


async def _fail(
    workspace: Workspace, request: web.Request, name: str, args: Json, fault: Fault
) -> web.StreamResponse | None:
    """The bad answer; None when the call is carried out after all."""
    if fault.kind == "hang":
        await workspace.faults.hold(workspace.changed)
        # Whoever gave up meanwhile never reached Slack.
        return _hang_up(request) if request.transport is None else None
    if fault.kind == "lose_answer":
        return None
    answer: Json = {"ok": False, "error": fault.error}
    _record(workspace, name, args, answer)
    if fault.kind == "drop":
        return _hang_up(request)
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    if fault.status >= 500:
        page = "<html><body>Something went wrong</body></html>"
        return web.Response(status=fault.status, text=page, content_type="text/html", headers=headers)
    return web.json_response(answer, status=fault.status, headers=headers)


def _hang_up(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.close()
    return web.Response()


def _answer(
    workspace: Workspace, name: str, request: web.Request, args: Json
) -> tuple[Json, int, dict[str, str]]:
    method = METHODS.get(name)
    headers: dict[str, str] = {}
    try:
        if method is None:
            workspace.problem(f"unknown method {name}")
            raise Refused("unknown_method", req_method=name)
        token = _token(workspace, request, args)
        if token == workspace.bot_token:
            headers["x-oauth-scopes"] = ",".join(workspace.manifest.scopes)
            headers["x-accepted-oauth-scopes"] = ",".join(method.scopes)
        _allowed(workspace, method, token)
        _complete(method, args)
        return {"ok": True, **method.handler(workspace, args | {"token": token})}, 200, headers
    except Refused as refused:
        details = dict(refused.details)
        headers |= details.pop("headers", {})
        status = details.pop("status", 200)
        _judge(workspace, name, refused)
        return _refusal(refused.error, details), status, headers


def _token(workspace: Workspace, request: web.Request, args: Json) -> str:
    header = request.headers.get("Authorization", "")
    token = header.removeprefix("Bearer ") or str(args.get("token", ""))
    if not token:
        raise Refused("not_authed")
    if token not in (workspace.bot_token, workspace.app_token):
        raise Refused("invalid_auth")
    return token


def _allowed(workspace: Workspace, method: Method, token: str) -> None:
    if not token.startswith(method.tokens):
        raise Refused("not_allowed_token_type")
    if method.scopes and not set(method.scopes) & set(workspace.manifest.scopes):
        provided = ",".join(workspace.manifest.scopes)
        raise Refused("missing_scope", needed=",".join(method.scopes), provided=provided)


def _complete(method: Method, args: Json) -> None:
    broken = [key for key in _OBJECTS if f"invalid_{key}" in args]
    if broken:
        raise Refused("invalid_blocks_format" if "blocks" in broken else "invalid_arguments")
    if "invalid_json" in args:
        raise Refused("invalid_json")
    missing = [key for key in method.required if not args.get(key)]
    if missing:
        raise Refused("invalid_arguments", errors=[f"missing required field: {key}" for key in missing])


# Refusals that no state of the workspace explains: the bot, or its manifest, is wrong.
_MISTAKES = {
    "missing_scope",
    "not_allowed_token_type",
    "invalid_blocks",
    "invalid_blocks_format",
    "invalid_arguments",
    "invalid_json",
    "no_text",
    "msg_too_long",
    "view_too_large",
    "invalid_metadata_format",
    "invalid_metadata_schema",
    "metadata_too_large",
    "exchanged_trigger_id",
    "invalid_trigger_id",
    "expired_trigger_id",
    "push_limit_reached",
    "duplicate_external_id",
}


def _judge(workspace: Workspace, name: str, refused: Refused) -> None:
    if refused.error in _MISTAKES:
        details = "; ".join(refused.details.get("errors", [])) or refused.details.get("needed", "")
        workspace.problem(f"{name}: {refused.error} {details}".strip())


def _refusal(error: str, details: dict[str, Any]) -> Json:
    answer: Json = {"ok": False, "error": error, **details}
    if messages := details.get("errors"):
        answer["response_metadata"] = {"messages": [f"[ERROR] {message}" for message in messages]}
    return answer


def _record(workspace: Workspace, name: str, args: Json, answer: Json, fate: str = "") -> None:
    shown = {key: value for key, value in args.items() if key != "token"}
    workspace.calls.append(Call(name, shown, bool(answer["ok"]), answer.get("error"), workspace.clock()))
    workspace.wire.note("bot", "Slack", name, fate or answer.get("error") or "ok", shown, answer)
    workspace.changed()
