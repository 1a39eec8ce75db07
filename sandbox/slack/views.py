"""Modals, Home tabs, and the trigger ids that open them."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass

from sandbox.slack import fields
from sandbox.slack.model import Json, Refused, View

STACK_LIMIT = 3
TRIGGER_SECONDS = 3.0


@dataclass
class Trigger:
    """Proof that somebody just did something; good for one view, for three seconds."""

    user: str
    at: float
    view: str | None = None  # the modal it was made in, if any
    used: bool = False


class ViewBook:
    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._triggers: dict[str, Trigger] = {}
        self.views: dict[str, View] = {}
        self.stacks: dict[str, list[View]] = {}
        self.homes: dict[str, View] = {}

    def trigger(self, user: str, view: View | None = None) -> str:
        trigger_id = f"{secrets.randbelow(10**12)}.{secrets.randbelow(10**12)}.{secrets.token_hex(16)}"
        self._triggers[trigger_id] = Trigger(user, self._clock(), view.id if view else None)
        return trigger_id

    def exchange(self, trigger_id: str | None) -> Trigger:
        trigger = self._triggers.get(trigger_id or "")
        if trigger is None:
            raise Refused("invalid_trigger_id")
        if trigger.used:
            raise Refused("exchanged_trigger_id")
        if self._clock() - trigger.at > TRIGGER_SECONDS:
            raise Refused("expired_trigger_id")
        trigger.used = True
        return trigger

    def top(self, user: str) -> View | None:
        stack = self.stacks.get(user)
        return stack[-1] if stack else None

    def is_open(self, view: View) -> bool:
        return view in self.stacks.get(view.user, [])

    def open(self, user: str, content: Json) -> View:
        view = self._new(user, content, None)
        self.stacks[user] = [view]
        return view

    def push(self, user: str, content: Json) -> View:
        stack = self.stacks.get(user, [])
        if not stack:
            raise Refused("not_found")
        if len(stack) >= STACK_LIMIT:
            raise Refused("push_limit_reached")
        view = self._new(user, content, stack[-1])
        stack.append(view)
        return view

    def replace(self, view: View, content: Json) -> View:
        """Show something else in its place. What was filled in stays where block and action ids did."""
        self._unique_external_id(content, view)
        kept = view.values
        view.content, view.hash, view.errors = content, _hash(self._clock()), {}
        view.values = fields.initial_values(content["blocks"])
        for block_id, actions in view.values.items():
            for action_id, value in actions.items():
                before = kept.get(block_id, {}).get(action_id)
                if before and before["type"] == value["type"]:
                    actions[action_id] = before
        return view

    def publish(self, user: str, content: Json, given_hash: str | None) -> View:
        home = self.homes.get(user)
        if home is None:
            home = self.homes[user] = self._new(user, content, None)
            return home
        if given_hash is not None and given_hash != home.hash:
            raise Refused("hash_conflict")
        return self.replace(home, content)

    def find(self, view_id: str | None, external_id: str | None) -> View:
        for view in [*self.homes.values(), *(v for stack in self.stacks.values() for v in stack)]:
            if view.id == view_id or (external_id and view.content.get("external_id") == external_id):
                return view
        raise Refused("not_found")

    def pop(self, view: View) -> None:
        stack = self.stacks.get(view.user, [])
        if view in stack:
            del stack[stack.index(view) :]

    def clear(self, user: str) -> list[View]:
        return self.stacks.pop(user, [])

    def _new(self, user: str, content: Json, below: View | None) -> View:
        self._unique_external_id(content, None)
        view_id = "V" + secrets.token_hex(5).upper()
        view = View(view_id, user, content, _hash(self._clock()), below.root if below else view_id)
        view.previous = below.id if below else None
        view.values = fields.initial_values(content["blocks"])
        self.views[view_id] = view
        return view

    def _unique_external_id(self, content: Json, itself: View | None) -> None:
        wanted = content.get("external_id")
        if not wanted:
            return
        every = [*self.homes.values(), *(v for stack in self.stacks.values() for v in stack)]
        if any(v is not itself and v.content.get("external_id") == wanted for v in every):
            raise Refused("duplicate_external_id")


def _hash(now: float) -> str:
    return f"{int(now)}.{secrets.token_hex(4)}"
