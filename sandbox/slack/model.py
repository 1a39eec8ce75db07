"""What a workspace is made of. Plain records; the rules live elsewhere."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from sandbox.slack import reading

Json = dict[str, Any]
Names = Callable[[str], str]  # "U0ALICE" -> "Alice", "C0ORDERS" -> "orders"


@dataclass
class Member:
    """Somebody with an account, in this team or in one that shares a channel with it."""

    id: str
    name: str
    real_name: str
    team: str
    is_restricted: bool = False
    is_stranger: bool = False
    is_bot: bool = False
    deleted: bool = False

    @property
    def email(self) -> str:
        return f"{self.name}@northwind.example"


@dataclass
class Group:
    id: str
    handle: str
    users: list[str]
    disabled: bool = False


@dataclass
class Message:
    """A message as it is now. It changes when it is edited; `history` keeps what it said before."""

    channel: str
    ts: str
    user: str
    text: str
    blocks: list[Json] = field(default_factory=list)
    metadata: Json | None = None
    thread_ts: str | None = None
    only_for: str | None = None  # an ephemeral message: the one person who sees it
    by_app: bool = False
    thread: list[Message] = field(default_factory=list)
    reactions: dict[str, list[str]] = field(default_factory=dict)
    history: list[Message] = field(default_factory=list)
    deleted: bool = False
    names: Names = field(default=str, repr=False, compare=False)

    @property
    def edited_count(self) -> int:
        return len(self.history)

    @property
    def readable(self) -> str:
        """What a person reads: the blocks, or the text when there are none."""
        return reading.blocks_text(self.blocks, self.names) or reading.mrkdwn_text(self.text, self.names)

    @property
    def buttons(self) -> list[str]:
        return [reading.label(button["text"]) for _, button in reading.buttons(self.blocks)]

    def snapshot(self) -> Message:
        """This message as somebody still has it on the screen after it was edited."""
        return replace(self, blocks=copy.deepcopy(self.blocks), thread=list(self.thread), history=[])

    def edit(self, text: str, blocks: list[Json], metadata: Json | None) -> None:
        self.history.append(self.snapshot())
        self.text, self.blocks = text, blocks
        if metadata is not None:
            self.metadata = metadata


@dataclass
class Channel:
    id: str
    name: str
    members: list[str]
    messages: list[Message] = field(default_factory=list)  # top level only; replies are in .thread
    ephemerals: list[Message] = field(default_factory=list)
    deleted: list[Message] = field(default_factory=list)  # top level, and nothing left of them
    is_private: bool = False
    is_archived: bool = False
    is_shared: bool = False
    dm_with: str | None = None

    def find(self, ts: str) -> Message | None:
        every = (m for top in self.messages for m in (top, *top.thread))
        return next((m for m in every if m.ts == ts and not m.deleted), None)

    def thread_top(self, ts: str) -> Message | None:
        """The message whose thread this is, even when it was deleted."""
        return next((m for m in (*self.messages, *self.deleted) if m.ts == ts), None)


@dataclass
class View:
    """A modal or Home tab, with what the person has filled in so far."""

    id: str
    user: str
    content: Json
    hash: str
    root: str
    previous: str | None = None
    values: dict[str, dict[str, Json]] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)  # block_id -> sentence, shown at the field

    @property
    def blocks(self) -> list[Json]:
        blocks: list[Json] = self.content["blocks"]
        return blocks


@dataclass(frozen=True)
class Ack:
    """How the bot answered one interaction, as the person saw it."""

    ok: bool
    text: str = ""
    seconds: float = 0.0
    error: str | None = None
    payload: Json | None = None

    @property
    def status(self) -> str:
        return "ok" if self.ok else self.error or "error"


@dataclass(frozen=True)
class Reply:
    """What came back for one thing sent to the bot."""

    ok: bool
    body: Json | None = None
    seconds: float = 0.0
    error: str | None = None
    no_retry: bool = False

    def ack(self) -> Ack:
        text = str((self.body or {}).get("text", ""))
        return Ack(self.ok, text, self.seconds, self.error, self.body)


@dataclass(frozen=True)
class Call:
    """One Web API call that arrived, and how it was answered."""

    method: str
    args: Json
    ok: bool
    error: str | None
    at: float


class Refused(Exception):
    """The Web API says no: `{"ok": false, "error": …}`."""

    def __init__(self, error: str, **details: Any) -> None:
        super().__init__(error)
        self.error = error
        self.details = details
