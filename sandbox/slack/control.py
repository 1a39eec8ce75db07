"""What the page can see and do. Tests may use it too; it drives the same people."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.slack import fields, reading
from sandbox.slack.forms import SubmitResult, ViewHandle
from sandbox.slack.model import Ack, Channel, Json, Message
from sandbox.slack.person import Person
from sandbox.slack.workspace import Workspace

PAGE = Path(__file__).parents[1] / "page"
_FILES = {"/": "index.html"} | {f"/{name}": name for name in ("app.js", "blocks.js", "dom.js", "style.css")}
_POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
Action = Callable[[Person, Json], Awaitable[Json]]


class Control:
    def __init__(self, workspace: Workspace, vendors: Callable[[], list[dict[str, Any]]]) -> None:
        self._workspace = workspace
        self._vendors = vendors
        self._stopped = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        actions: dict[str, Action] = {
            "command": self._command,
            "say": self._say,
            "click": self._click,
            "view": self._view,
            "choose": self._choose,
            "submit": self._submit,
            "close": self._close,
            "home": self._home,
            "shortcut": self._shortcut,
        }
        return [
            *(web.get(path, self._file) for path in _FILES),
            web.get("/control/state", self._state),
            web.get("/control/changes", self._changes),
            web.get("/control/vendors", self._vendor_list),
            *(web.post(f"/control/{name}", self._acting(action)) for name, action in actions.items()),
        ]

    def stop(self) -> None:
        self._stopped.set()
        self._workspace.changed()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return web.FileResponse(PAGE / _FILES[request.path], headers=headers)

    async def _vendor_list(self, request: web.Request) -> web.Response:
        del request
        return web.json_response(self._vendors())

    async def _state(self, request: web.Request) -> web.Response:
        person = self._workspace.person(request.query.get("as", "alice"))
        return web.json_response(state(self._workspace, person))

    async def _changes(self, request: web.Request) -> web.StreamResponse:
        """Server-sent events: the version, whenever it changes."""
        headers = {"Content-Type": "text/event-stream", "Cache-Control": "no-store"}
        response = web.StreamResponse(headers=headers)
        await response.prepare(request)
        seen = -1
        while not self._stopped.is_set():
            # When nothing happens for a while, the line is tried all the same: does anybody still listen?
            with contextlib.suppress(AssertionError):
                await self._workspace.wait_until(partial(self._news, seen), timeout=15)
            seen = self._workspace.version
            try:
                await response.write(f"data: {seen}\n\n".encode())
            except ConnectionError:
                break
        return response

    def _news(self, seen: int) -> bool:
        return self._workspace.version != seen or self._stopped.is_set()

    def _acting(self, action: Action) -> Callable[[web.Request], Awaitable[web.Response]]:
        async def handle(request: web.Request) -> web.Response:
            # Other sites can post forms here, but not JSON without asking first: that is the whole defence.
            if request.content_type != "application/json":
                raise web.HTTPUnsupportedMediaType
            body = await request.json()
            try:
                return web.json_response(await action(self._workspace.person(body["as"]), body))
            except (AssertionError, LookupError) as refused:
                return web.json_response({"ok": False, "error": str(refused)}, status=409)

        return handle

    async def _command(self, person: Person, body: Json) -> Json:
        return _ack(await person.command(body["command"], body.get("text", ""), body["channel"]))

    async def _say(self, person: Person, body: Json) -> Json:
        await person.say(body["channel"], body["text"])
        return {"ok": True}

    async def _click(self, person: Person, body: Json) -> Json:
        message = self._message(person, body)
        block, element = _element(message.blocks, body)
        return _ack(await person.act(message, block, element, body.get("value")))

    async def _view(self, person: Person, body: Json) -> Json:
        """A button in a modal or Home tab."""
        handle = _handle(person, body)
        _keep(handle, body)
        return _ack(await handle.act(*_element(handle.blocks, body)))

    async def _choose(self, person: Person, body: Json) -> Json:
        """A choice that the bot wants to hear of at once."""
        handle = _handle(person, body)
        _keep(handle, body)
        block, element = _element(handle.blocks, body)
        handle.set_value(block, element, body["value"])
        return _ack(await handle.act(block, element))

    async def _submit(self, person: Person, body: Json) -> Json:
        handle = _handle(person, body)
        _keep(handle, body)
        return _result(await handle.submit())

    async def _close(self, person: Person, body: Json) -> Json:
        await _handle(person, body).close(bool(body.get("all")))
        return {"ok": True}

    async def _home(self, person: Person, body: Json) -> Json:
        del body
        await person.open_home()
        return {"ok": True}

    async def _shortcut(self, person: Person, body: Json) -> Json:
        if "ts" in body:
            return _ack(await person.message_shortcut(body["callback_id"], self._message(person, body)))
        return _ack(await person.shortcut(body["callback_id"]))

    def _message(self, person: Person, body: Json) -> Message:
        channel = self._workspace.channel(body["channel"])
        found = channel.find(body["ts"])
        mine = next((m for m in person.ephemerals() if m.ts == body["ts"]), None)
        if found is None and mine is None:
            raise LookupError("that message is gone")
        return found or mine  # type: ignore[return-value]


def _handle(person: Person, body: Json) -> ViewHandle:
    for handle in (person.modal_now, person.home):
        if handle and handle.view.id == body["view"]:
            return handle
    raise LookupError("that view is not open any more")


def _element(blocks: list[Json], body: Json) -> tuple[Json, Json]:
    for block, element in reading.elements(blocks):
        if (block["block_id"], element.get("action_id")) == (body["block"], body["action"]):
            return block, element
    raise LookupError("that button is gone")


def _keep(handle: ViewHandle, body: Json) -> None:
    """What was typed so far. The page sends it along with whatever is pressed."""
    for block, element in reading.elements(handle.blocks):
        key = f"{block['block_id']}/{element.get('action_id')}"
        if fields.is_field(element) and key in body.get("values", {}):
            handle.set_value(block, element, body["values"][key])


def _ack(ack: Ack) -> Json:
    return {"ok": ack.ok, "text": ack.text, "error": ack.error}


def _result(result: SubmitResult) -> Json:
    return {"ok": result.ok, "errors": result.errors, "error": result.error}


def state(workspace: Workspace, person: Person) -> Json:
    """Everything this person sees."""
    mine = [c for c in workspace.channels.values() if person.id in c.members and not c.dm_with]
    mine.append(workspace.dm(person.id))
    home, modal = person.home, person.modal_now
    return {
        "version": workspace.version,
        "me": person.id,
        "bot": workspace.manifest.bot_name,
        "people": {m.id: m.real_name for m in workspace.members.values()},
        "groups": {g.id: g.handle for g in workspace.groups.values()},
        "channel_names": {c.id: c.name for c in workspace.channels.values()},
        "channels": [_channel(c, person) for c in mine],
        "commands": list(workspace.manifest.commands),
        "shortcuts": [
            {"id": found, "name": name, "kind": workspace.manifest.shortcuts[found]}
            for found, name in workspace.manifest.shortcut_names.items()
        ],
        "home_tab": workspace.manifest.home_tab,
        "home": _shown(home),
        "modal": _shown(modal),
        "problems": workspace.problems[-20:],
    }


def _channel(channel: Channel, person: Person) -> Json:
    messages = [_message_json(m) | {"thread": [_message_json(r) for r in m.thread]} for m in channel.messages]
    only_mine = [_message_json(m) | {"thread": []} for m in person.ephemerals(channel.id)]
    return {
        "id": channel.id,
        "name": channel.name,
        "dm": channel.dm_with is not None,
        "archived": channel.is_archived,
        "messages": sorted(messages + only_mine, key=lambda m: m["ts"]),
    }


def _message_json(message: Message) -> Json:
    return {
        "ts": message.ts,
        "user": message.user,
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
