"""Somebody using Slack: types commands, presses buttons, fills in forms, reads what is there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sandbox.slack import checks, fields, interactions, reading
from sandbox.slack.forms import ViewHandle
from sandbox.slack.model import Ack, Channel, Json, Member, Message, Reply

if TYPE_CHECKING:
    from sandbox.slack.workspace import Workspace


class CannotDo(AssertionError):
    """Slack would not let this person do that."""


class NoSuchButton(AssertionError):
    """The message does not have that button (any more)."""


class Person:
    def __init__(self, workspace: Workspace, member: Member) -> None:
        self._workspace = workspace
        self.member = member
        self.id = member.id
        self.name = member.name

    # Saying

    async def say(self, channel: str, text: str, thread: Message | None = None) -> Message:
        """Post a message. What a person types is escaped; @name and #name become mentions."""
        found = self._in(channel)
        written = interactions.typed(self._workspace, text)
        thread_ts = thread.ts if thread else None
        message = self._workspace.post(found, self.id, written, thread_ts=thread_ts)
        if found.dm_with:
            self._workspace.emit(interactions.said(self._workspace, message), "message.im")
        elif f"<@{self._workspace.bot_user}" in written:
            self._workspace.emit(interactions.said(self._workspace, message), "app_mention")
        return message

    async def command(self, command: str, text: str = "", channel: str = "C0ORDERS") -> Ack:
        found = self._in(channel)
        if self.member.is_stranger:
            return Ack(False, error="not_available_to_other_teams")
        if command not in self._workspace.manifest.commands:
            self._workspace.problem(f"{command} is not declared in the manifest")
            return Ack(False, f"{command} is not a valid command.", error="unknown_command")
        await self._leave_modals()
        form = interactions.slash_command(self._workspace, self.member, found, command, text)
        reply = await self._workspace.delivery.send("slash_commands", form)
        self._show_answer(found, reply)
        return reply.ack()

    def _show_answer(self, channel: Channel, reply: Reply) -> None:
        """A command's acknowledgement may carry a message, for this person only unless it says otherwise."""
        body = reply.body or {}
        blocks = body.get("blocks") or []
        if not body.get("text") and not blocks:
            return
        for complaint in checks.message_blocks(blocks):
            self._workspace.problem(f"answer to a command: {complaint}")
        only_for = None if body.get("response_type") == "in_channel" else self.id
        bot, text = self._workspace.bot_user, str(body.get("text", ""))
        self._workspace.post(
            channel, bot, text, blocks=checks.with_ids(blocks), only_for=only_for, by_app=True
        )

    # Pressing

    async def click(self, message: Message, button: str, confirm: bool = True) -> Ack:
        """Press the button whose text starts with `button`; on an old snapshot, the one it had."""
        for block, element in reading.buttons(message.blocks):
            if reading.label(element["text"]).startswith(button):
                return await self.act(message, block, element, confirm=confirm)
        raise NoSuchButton(f"no button {button!r} among {message.buttons} in: {message.readable}")

    async def act(
        self, message: Message, block: Json, element: Json, chosen: object = None, confirm: bool = True
    ) -> Ack:
        """Use any element of a message."""
        self._in(message.channel)
        if message.only_for not in (None, self.id):
            raise CannotDo(f"{self.name} does not see that message")
        if "confirm" in element and not confirm:
            return Ack(False, error="not_confirmed")
        if not self._workspace.manifest.interactive:
            self._workspace.problem("interactivity is not enabled in the manifest")
            return Ack(False, error="interactivity_disabled")
        await self._leave_modals()
        values: dict[str, dict[str, Json]] = fields.initial_values(message.blocks)
        value = fields.filled(element, chosen) if fields.is_field(element) else None
        if value:
            values[block["block_id"]][element["action_id"]] = value
        action = interactions.action_of(block, element, value)
        payload = interactions.message_click(self._workspace, self.member, message, action, values)
        return (await self._workspace.delivery.send("interactive", payload, accepts=False)).ack()

    async def shortcut(self, callback_id: str) -> Ack:
        if refused := self._no_shortcut(callback_id, "global"):
            return refused
        await self._leave_modals()
        payload = interactions.shortcut(self._workspace, self.member, callback_id)
        return (await self._workspace.delivery.send("interactive", payload, accepts=False)).ack()

    async def message_shortcut(self, callback_id: str, message: Message) -> Ack:
        self._in(message.channel)
        if refused := self._no_shortcut(callback_id, "message"):
            return refused
        await self._leave_modals()
        payload = interactions.message_shortcut(self._workspace, self.member, callback_id, message)
        return (await self._workspace.delivery.send("interactive", payload, accepts=False)).ack()

    def _no_shortcut(self, callback_id: str, kind: str) -> Ack | None:
        if self.member.is_stranger:
            return Ack(False, error="not_available_to_other_teams")
        if self._workspace.manifest.shortcuts.get(callback_id) != kind:
            self._workspace.problem(f"{kind} shortcut {callback_id} is not declared in the manifest")
            return Ack(False, error="unknown_shortcut")
        return None

    # Views

    async def modal(self, timeout: float = 5) -> ViewHandle:  # noqa: ASYNC109
        """The modal in front of this person, once there is one."""
        view = await self._workspace.wait_until(lambda: self._workspace.views.top(self.id), timeout)
        return ViewHandle(self._workspace, self.member, view)

    @property
    def modal_now(self) -> ViewHandle | None:
        view = self._workspace.views.top(self.id)
        return ViewHandle(self._workspace, self.member, view) if view else None

    @property
    def home(self) -> ViewHandle | None:
        """The Home tab as last published for this person."""
        view = self._workspace.views.homes.get(self.id)
        return ViewHandle(self._workspace, self.member, view) if view else None

    async def open_home(self, timeout: float = 5) -> ViewHandle:  # noqa: ASYNC109
        """Look at the Home tab, and wait until the bot has published it anew."""
        manifest = self._workspace.manifest
        if not manifest.home_tab or "app_home_opened" not in manifest.events:
            self._workspace.problem("the Home tab or app_home_opened is not declared in the manifest")
        before = self._published()
        self._workspace.emit(interactions.home_opened(self._workspace, self.member))
        await self._workspace.wait_until(lambda: self._published() not in (None, before), timeout)
        return ViewHandle(self._workspace, self.member, self._workspace.views.homes[self.id])

    def _published(self) -> str | None:
        home = self._workspace.views.homes.get(self.id)
        return home.hash if home else None

    async def _leave_modals(self) -> None:
        """Nobody can type a command or press a button behind an open modal: it gets closed first."""
        if handle := self.modal_now:
            await handle.close(all_of_them=True)

    # Reading

    def dms(self) -> list[Message]:
        """What the bot wrote to this person alone, replies in threads included."""
        top = self._workspace.dm(self.id).messages
        return [m for message in top for m in (message, *message.thread) if m.by_app and not m.deleted]

    def ephemerals(self, channel: str | None = None) -> list[Message]:
        wanted = self._workspace.channel(channel).id if channel else None
        every = [m for c in self._workspace.channels.values() for m in c.ephemerals]
        mine = [m for m in every if m.only_for == self.id and wanted in (None, m.channel)]
        return sorted(mine, key=lambda m: m.ts)

    async def wait_for_ephemeral(
        self,
        predicate: Callable[[Message], object] = bool,
        timeout: float = 5,  # noqa: ASYNC109
    ) -> Message:
        return await self._workspace.wait_until(
            lambda: next(m for m in self.ephemerals() if predicate(m)), timeout
        )

    def _in(self, channel: str) -> Channel:
        found = self._workspace.channel(channel)
        if self.member.deleted:
            raise CannotDo(f"{self.name} is deactivated")
        if self.id not in found.members:
            raise CannotDo(f"{self.name} is not in {found.name}")
        return found
