"""What the page can see and do. Tests may use it too; it drives the same people."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

from aiohttp import web

from sandbox.slack import fields, reading, showing
from sandbox.slack.forms import SubmitResult, ViewHandle
from sandbox.slack.model import Ack, Json, Message
from sandbox.slack.person import Person
from sandbox.slack.posting import post
from sandbox.slack.workspace import NeverHappened, Workspace

PAGE = Path(__file__).parents[1] / "page"
_FILES = {"/": "index.html"} | {f"/{path.name}": path.name for path in sorted(PAGE.iterdir())}
_POLICY = (
    "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
Action = Callable[[Person, Json], Awaitable[Json]]


class Control:
    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
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
            web.get("/control/wire", self._wire),
            *(post(f"/control/{name}", self._acting(action)) for name, action in actions.items()),
        ]

    def stop(self) -> None:
        self._stopped.set()
        self._workspace.changed()

    async def _file(self, request: web.Request) -> web.StreamResponse:
        headers = {"Content-Security-Policy": _POLICY, "Cache-Control": "no-store"}
        return web.FileResponse(PAGE / _FILES[request.path], headers=headers)

    async def _wire(self, request: web.Request) -> web.Response:
        """What passed between the bot and the outside world after the number that the page has seen."""
        return web.json_response(self._workspace.wire.since(int(request.query.get("after", "0"))))

    async def _state(self, request: web.Request) -> web.Response:
        person = self._workspace.person(request.query.get("as", "alice"))
        return web.json_response(showing.state(self._workspace, person))

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

    def _acting(self, action: Action) -> Callable[[Json], Awaitable[Json]]:
        async def act(body: Json) -> Json:
            return await action(self._workspace.person(body["as"]), body)

        return act

    async def _command(self, person: Person, body: Json) -> Json:
        return _ack(await person.command(body["command"], body.get("text", ""), body["channel"]))

    async def _say(self, person: Person, body: Json) -> Json:
        top = self._workspace.channel(body["channel"]).thread_top(body.get("thread") or "")
        await person.say(body["channel"], body["text"], thread=top)
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
        try:
            await person.open_home()
        except NeverHappened:
            return {"ok": False, "error": "the app did not draw its Home tab"}
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
