"""What the bot knows about a provider: facts, four calls, and the words for what came of them.

Besides this module `bot/` imports only `providers.ADAPTERS`, the fence, the spellings of a secret and the
limits of a call; and `bot/on_call.py`, which asks a source of its own, the HTTP door. An adapter never
imports from `bot/` and never from another adapter.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar, Protocol, Self

if TYPE_CHECKING:
    from providers.http import HttpLimits


class Standing(StrEnum):
    """What a look-up proves about an order."""

    CANCELLABLE = "cancellable"
    CANCELLED = "cancelled"
    NOT_CANCELLABLE = "not_cancellable"
    """It exists, and this call cannot cancel it (issued, paid, executed, …)."""
    NOT_FOUND = "not_found"
    UNCLEAR = "unclear"
    """The provider answered in words that prove nothing: neither cancellable nor cancelled."""
    UNREADABLE = "unreadable"
    """The provider could not be asked: no connection, no permission, no usable answer."""


@dataclass(frozen=True, slots=True)
class OrderState:
    """An order as the provider describes it. Holds nothing that must not be shown to people."""

    standing: Standing
    status: str = ""
    """The provider's own word for the state, such as `waiting_pickup`; empty when there is none."""
    detail: str = ""
    """One sentence for people: what this means, or why the order cannot be cancelled."""
    known_as: str = ""
    """The provider's public name of the order, where it differs from the reference."""
    identity: str = ""
    """What the provider itself calls this one order, where different references can mean the same."""
    target: str = ""
    """Stands for what the reference led to, where it may lead to another order a moment later. What it
    stands for cannot be read from it. A cancel goes to nothing else."""
    facts: tuple[tuple[str, str], ...] = ()
    """Label and value pairs for the card. A change in them after an approval voids the approval, so
    the state belongs in here where a change of it matters, and nothing that moves by itself does."""
    warnings: tuple[str, ...] = ()
    """What is special about this very order, on top of `Facts.warnings`."""


class Result(StrEnum):
    """What became of a cancel, as far as it is proved."""

    CANCELLED = "cancelled"
    ALREADY_CANCELLED = "already_cancelled"
    ACCEPTED = "accepted"
    """The provider took the request and still has to carry it out."""
    REFUSED = "refused"
    """The provider said no; this cancel changed nothing and a repeat would not either."""
    NO_EFFECT = "no_effect"
    """Proved: this cancel changed nothing (never sent, or documented as not carried out)."""
    UNKNOWN = "unknown"
    """Nothing is proved. Only a look-up can tell."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The reading of one answer, or of the lack of one."""

    result: Result
    said: str = ""
    """One sentence for people: what the provider said, cleaned; never a URL, key or token."""
    code: str = ""
    """A short class of the answer for the log, such as `http_204`, `0041`, `read_timeout`."""
    settled: bool = False
    """A complete answer came back, so the provider is done with the call and a look-up may be
    believed at once. False means that the call may still be running over there."""
    look_again: timedelta | None = None
    """How long to wait before the next look-up, where the provider's habits are known."""
    needs_person: bool = False
    """Looking again will not tell: somebody has to see to the order at the provider."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """The cancel that a follow-up asks about."""

    before: OrderState
    """The order as it was looked up just before the cancel was sent."""
    age: timedelta
    """How long it is certain that nobody has been waiting for the answer to the cancel; never more than the
    time since it was sent."""
    accepted: bool
    """True when the provider had accepted it; False when its outcome is unknown."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a read-only call says about the configured credentials."""

    ok: bool | None
    """None: could not tell."""
    detail: str
    """One sentence: whose account this is, or what to fix."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One environment variable of a provider."""

    name: str
    help: str
    secret: bool = False
    default: str | None = None
    """None: the provider is enabled only when this is set."""
    is_url: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Facts:
    """Everything about a provider that is the same for each of its orders.

    The form, the card, `python -m bot providers` and the README's table are made from it.
    """

    name: str
    """What people type and the database stores: lower case, a word."""
    label: str
    reference_label: str
    """The provider's own word for the reference; contains "ID", "number" or "token"."""
    reference: re.Pattern[str]
    """ASCII only; a reference is right when `fullmatch` says so."""
    reference_form: str
    """What a right reference looks like, in words: "digits only, such as 10427508"."""
    example: str
    not_to_confuse: str
    """Which look-alike numbers are not meant."""
    consequence: str
    """One sentence for the card: what cancelling does."""
    warnings: tuple[str, ...]
    success_means: str
    """What a success at this provider proves: "removed from the queue of this server", …"""
    limits: str
    """When it can be cancelled at all."""
    docs: str
    """Page of the provider's documentation."""
    reversible: bool = False
    reference_is_secret: bool = False
    """The reference is itself a credential: shown as a fingerprint, wiped when the request ends."""
    confirm_within: timedelta = timedelta(hours=24)
    """How long an accepted cancel may take before a person is asked."""
    settings: tuple[Setting, ...] = field(default=())


class Provider(Protocol):
    """One account at one provider. The four calls return whatever happens; they never raise for
    what a provider or a network did, and none of them but `cancel` changes anything."""

    facts: ClassVar[Facts]

    @property
    def account(self) -> str:
        """Origin and account name, without a secret: part of what approvers approve."""
        ...

    @classmethod
    def from_settings(cls, values: Mapping[str, str], limits: HttpLimits) -> Self:
        """Build from the values of `facts.settings` (defaults filled in, all present)."""
        ...

    def turn(self) -> AbstractAsyncContextManager[None]:
        """Wait until the provider bears one more call: the first one within the block. Whoever waits for it
        before a call has the whole deadline for the call itself."""
        ...

    async def look_up(self, reference: str) -> OrderState: ...

    async def cancel(self, reference: str, note: str, before: OrderState) -> Outcome:
        """Send one cancel, once, on a connection of its own. `before` is a fresh look-up."""
        ...

    async def follow_up(self, reference: str, attempt: Attempt) -> Outcome:
        """Find out, by reading only, what became of a cancel.

        `NO_EFFECT` is returned only for an order that is still cancellable and whose look-up is
        newer than anything the cancel may have done (`attempt.age` against known delays).
        """
        ...

    async def check(self) -> Credentials: ...

    async def close(self) -> None: ...
