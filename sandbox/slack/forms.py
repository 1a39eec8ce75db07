"""A modal or Home tab in somebody's hands."""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from sandbox.slack import checks, fields, interactions, reading
from sandbox.slack.fields import CannotFill
from sandbox.slack.model import Ack, Json, Member, Reply, View

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace

_PATIENCE = 3.0  # for the bot to redraw a form after a choice


@dataclass(frozen=True)
class SubmitResult:
    ok: bool
    errors: dict[str, str] = field(default_factory=dict)  # label -> sentence at the field
    closed: bool = False
    error: str | None = None  # the bot did not answer: Slack shows a general failure
    seconds: float = 0.0


class Filling:
    """Await it when a choice makes the bot redraw the form; `submit` does so by itself."""

    def __init__(self, handle: ViewHandle) -> None:
        self._handle = handle

    def __await__(self) -> Generator[Any, None, None]:
        return self._handle.finish_filling().__await__()


class ViewHandle:
    """Live: it shows what the view shows now."""

    def __init__(self, workspace: Workspace, member: Member, view: View) -> None:
        self._workspace = workspace
        self._member = member
        self.view = view
        self._todo: list[tuple[str, Any]] = []

    @property
    def title(self) -> str:
        return reading.label(self.view.content.get("title"))

    @property
    def blocks(self) -> list[Json]:
        return self.view.blocks

    @property
    def text(self) -> str:
        parts = [self.title, reading.blocks_text(self.blocks, self._workspace.name_of), *self.errors.values()]
        return "\n".join(part for part in parts if part)

    @property
    def readable(self) -> str:
        return self.text

    @property
    def is_open(self) -> bool:
        return self._workspace.views.is_open(self.view)

    @property
    def labels(self) -> list[str]:
        return [_label(block, element) for block, element in self._fields()]

    @property
    def values(self) -> dict[str, Any]:
        """Label -> what is filled in."""
        return {_label(b, e): fields.plain(self._value(b, e)) for b, e in self._fields()}

    @property
    def errors(self) -> dict[str, str]:
        return {self._label_of(block_id): text for block_id, text in self.view.errors.items()}

    @property
    def buttons(self) -> list[str]:
        return [reading.label(button["text"]) for _, button in reading.buttons(self.blocks)]

    def options(self, label: str) -> list[str]:
        _, element = self._field(label)
        return [reading.label(option["text"]) for option in fields.options(element)]

    # Filling in

    def fill(self, entries: Mapping[str, Any]) -> Filling:
        """Fill fields by label or "block_id/action_id". Choices the bot wants to hear of at once are sent."""
        self._todo += entries.items()
        while self._todo and not self._is_dispatched(self._todo[0][0]):
            self._set(*self._todo.pop(0))
        return Filling(self)

    async def finish_filling(self) -> None:
        while self._todo:
            name, wanted = self._todo.pop(0)
            with contextlib.suppress(AssertionError):  # the next line says it better
                await self._workspace.wait_until(partial(self._find, name), _PATIENCE)
            await self._choose(name, wanted)

    def _is_dispatched(self, name: str) -> bool:
        """Only the fields that are there already and send nothing can be filled without waiting."""
        pair = self._find(name)
        if pair is None:
            if any(self._is_live(*one) for one in self._fields()):
                return True  # a redraw may bring it
            self._field(name)
            return True
        return self._is_live(*pair)

    def _is_live(self, block: Json, element: Json) -> bool:
        return block["type"] != "input" or bool(block.get("dispatch_action") and fields.is_field(element))

    async def _choose(self, name: str, wanted: Any) -> None:
        block, element = self._field(name)
        self._set(name, wanted)
        if not self._is_live(block, element):
            return
        before = self.view.hash
        ack = await self.act(block, element)
        if ack.ok:
            with contextlib.suppress(AssertionError):  # it need not redraw
                await self._workspace.wait_until(lambda: self.view.hash != before, _PATIENCE)

    def _set(self, name: str, wanted: Any) -> None:
        block, element = self._field(name)
        self.set_value(block, element, wanted)

    def set_value(self, block: Json, element: Json, wanted: Any) -> None:
        state = self.view.values.setdefault(block["block_id"], {})
        state[element["action_id"]] = fields.filled(element, wanted)
        self.view.errors.pop(block["block_id"], None)

    # Pressing

    async def click(self, button: str, confirm: bool = True) -> Ack:
        found = [
            pair for pair in reading.buttons(self.blocks) if reading.label(pair[1]["text"]).startswith(button)
        ]
        if not found:
            raise CannotFill(f"no button {button!r} among {self.buttons}")
        if "confirm" in found[0][1] and not confirm:
            return Ack(False, error="not_confirmed")
        return await self.act(*found[0])

    async def act(self, block: Json, element: Json) -> Ack:
        """Tell the bot that an element was used."""
        value = self._value(block, element) if fields.is_field(element) else None
        action = interactions.action_of(block, element, value)
        payload = interactions.view_click(self._workspace, self._member, self.view, action)
        return (await self._workspace.delivery.send("interactive", payload, accepts=False)).ack()

    async def submit(self) -> SubmitResult:
        await self.finish_filling()
        if not self.is_open:
            raise CannotFill(f"the form {self.title!r} is not open")
        complaints = self._complaints()
        if complaints:  # Slack's client asks for these itself; the bot hears nothing
            self.view.errors = complaints
            self._workspace.changed()
            return SubmitResult(False, self.errors)
        payload = interactions.submission(self._workspace, self._member, self.view)
        reply = await self._workspace.delivery.send("interactive", payload)
        result = self._after(reply)
        self._workspace.changed()
        return result

    def _complaints(self) -> dict[str, str]:
        inputs = [(b, e) for b, e in self._fields() if b["type"] == "input"]
        found = {b["block_id"]: fields.complaint(b, self._value(b, e)) for b, e in inputs}
        return {block_id: text for block_id, text in found.items() if text}

    def _after(self, reply: Reply) -> SubmitResult:
        if not reply.ok:
            return SubmitResult(False, error=reply.error, seconds=reply.seconds)
        views, body = self._workspace.views, reply.body or {}
        match body.get("response_action"):
            case None:
                if body:
                    self._workspace.problem(f"view_submission: answered with {body}, which means nothing")
                views.pop(self.view)
            case "clear":
                views.clear(self._member.id)
            case "errors":
                return self._show_errors(body.get("errors"), reply.seconds)
            case "update" | "push" as action:
                return self._show_next(action, body.get("view"), reply.seconds)
            case other:
                self._workspace.problem(f"view_submission: unknown response_action {other!r}")
                return SubmitResult(False, error="invalid_response", seconds=reply.seconds)
        return SubmitResult(True, closed=True, seconds=reply.seconds)

    def _show_errors(self, errors: Any, seconds: float) -> SubmitResult:
        inputs = {block["block_id"] for block in self.blocks if block["type"] == "input"}
        if not isinstance(errors, dict) or not errors or set(errors) - inputs:
            self._workspace.problem(f"view_submission: errors {errors!r} are not about inputs of the form")
            return SubmitResult(False, error="invalid_response", seconds=seconds)
        self.view.errors = dict(errors)
        return SubmitResult(False, self.errors, seconds=seconds)

    def _show_next(self, action: str, content: Any, seconds: float) -> SubmitResult:
        complaints = checks.view(content)
        if complaints:
            self._workspace.problem(f"view_submission: {action}: {'; '.join(complaints)}")
            return SubmitResult(False, error="invalid_response", seconds=seconds)
        checks.with_ids(content["blocks"])
        if action == "update":
            self._workspace.views.replace(self.view, content)
        else:
            self._workspace.views.push(self._member.id, content)
        return SubmitResult(True, seconds=seconds)

    async def close(self, all_of_them: bool = False) -> None:
        """Press Cancel, or the cross that closes the whole stack."""
        views = self._workspace.views
        everything = all_of_them or bool(self.view.content.get("clear_on_close"))
        gone = views.clear(self._member.id) if everything else [self.view]
        views.pop(self.view)
        self._workspace.changed()
        for view in reversed(gone):
            if view.content.get("notify_on_close"):
                payload = interactions.closed(self._workspace, self._member, view, everything)
                await self._workspace.delivery.send("interactive", payload, accepts=False)

    # Finding

    def _fields(self) -> list[tuple[Json, Json]]:
        return [(b, e) for b, e in reading.elements(self.blocks) if fields.is_field(e)]

    def _find(self, name: str) -> tuple[Json, Json] | None:
        for block, element in self._fields():
            if name in (_label(block, element), f"{block['block_id']}/{element['action_id']}"):
                return block, element
        return None

    def _field(self, name: str) -> tuple[Json, Json]:
        pair = self._find(name)
        if pair is None:
            raise CannotFill(f"no field {name!r} in {self.title!r}; there are {self.labels}")
        return pair

    def _value(self, block: Json, element: Json) -> Json:
        return self.view.values[block["block_id"]][element["action_id"]]

    def _label_of(self, block_id: str) -> str:
        return next((_label(b, e) for b, e in self._fields() if b["block_id"] == block_id), block_id)


def _label(block: Json, element: Json) -> str:
    shown = reading.label(block.get("label")) or reading.label(element.get("placeholder"))
    return shown or f"{block['block_id']}/{element['action_id']}"
