"""One order, asked for and approved by people who do not give up when the bot dies on them."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import dataclass, field

from sandbox.slack.model import Message
from sandbox.slack.person import NoSuchButton
from sandbox.slack.workspace import NeverHappened
from sandbox.town import CHANNEL
from tests.crash import records
from tests.crash.machine import Machine
from tests.crash.records import Records

APPROVERS = ("bob", "carol")
UNTIL_SEEN = 100.0
"""Seconds that people wait for what they expect. Longer than the lease of an action at these settings."""
TRY_AGAIN = 0.2
"""Seconds after which people try again what did not work."""
COUNTS_ALREADY = "it counts once"
OUTCOME = "Outcome: cancelled"


@dataclass(frozen=True, slots=True)
class Death:
    """How things stood when the bot had died."""

    kept: Records
    posted: Counter[str]
    sends: int
    exit_code: int

    @property
    def moment(self) -> str:
        """In a few words, to count such moments by."""
        request = self.kept.request
        if request is None:
            return "nothing stored"
        if request.state != "executing":
            return str(request.state)
        return "executing, sent" if self.sends else "executing, not sent"


@dataclass
class Cancellation:
    """Each method does what is left to do of its part, so that all of them can be called again after a
    crash; they raise `Died` when there is one."""

    machine: Machine
    provider: str
    reason: str
    reference: str = field(init=False)
    asked: bool = False
    """Somebody was told that the request is saved."""
    approved: set[str] = field(default_factory=set)
    """Whose approval was answered with ok."""
    deaths: list[Death] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)
    """What was seen on the way and must not be."""

    def __post_init__(self) -> None:
        self.world = self.machine.world
        self.vendor = self.world.vendor(self.provider)
        self.reference = self.vendor.new_order()
        self._earlier = {message.ts for message in self.world.cards}
        self._turned_away = Counter({who: self._refusals(who) for who in APPROVERS})
        self._seen_sends = 0
        self.vendor.on_change.append(self._look_at_sends)

    def close(self) -> None:
        self.vendor.on_change.remove(self._look_at_sends)

    # --- what people do ---------------------------------------------------------------------------

    async def ask(self) -> None:
        while not self.asked:
            self.asked = await self.machine.alive(self._fill_in_the_form())
            if not self.asked:
                await self.machine.alive(asyncio.sleep(TRY_AGAIN))

    async def approve(self, who: str) -> None:
        """Click until it is answered with ok, or until nobody's approval is needed any more."""
        while who not in self.approved:
            card = await self.machine.alive(self._wait(self._card_to_click))
            if isinstance(card, Message) and not await self.machine.alive(self._click(who, card)):
                await self.machine.alive(asyncio.sleep(TRY_AGAIN))
            elif not isinstance(card, Message):
                return

    async def finish(self) -> None:
        """Everything that is left, until the outcome stands and nobody is owed a message."""
        await self.ask()
        while True:
            for who in APPROVERS:
                await self.approve(who)
            await self.machine.alive(self._wait(lambda: self._stands() or self._is_refused()))
            if self._stands():
                break
            self.approved -= self._forget_refused()
        while not self.look().is_quiet:
            await self.machine.alive(asyncio.sleep(0.05))

    async def is_asked_for(self) -> None:
        """Ask, and return when people are called to approve."""
        await self.ask()
        await self.machine.alive(self._wait(self._card_to_click))

    # --- what is there to be seen -----------------------------------------------------------------

    @property
    def top_level(self) -> list[Message]:
        """What was posted in the channel since, outside of threads."""
        return [one for one in self.world.cards if one.by_app and one.ts not in self._earlier]

    @property
    def cards(self) -> list[Message]:
        return [message for message in self.top_level if self.reason in message.readable]

    @property
    def outcomes(self) -> list[Message]:
        threads = [reply for card in self.cards for reply in card.thread]
        return [reply for reply in threads if "Outcome: *cancelled*" in reply.text]

    @property
    def sends(self) -> int:
        return self.vendor.sends.count(self.reference)

    @property
    def performed(self) -> int:
        return self.vendor.performed.count(self.reference)

    @property
    def looks(self) -> int:
        """How often the order was asked about; of a vendor with lists, how often anything was."""
        return len([seen for seen in self.vendor.seen if not seen.changes])

    @property
    def posted(self) -> Counter[str]:
        """How often each text was posted, in the threads and to the requester."""
        threads = [reply for card in self.cards for reply in card.thread]
        return Counter(message.text for message in (*threads, *self.world.person("alice").dms()))

    @property
    def transcript(self) -> str:
        """What there is to be read about it in the channel."""
        every = [message for card in self.cards for message in (card, *card.thread)]
        return "\n".join(message.readable for message in every) or "nothing"

    def look(self) -> Records:
        """What is on disk now, while the bot runs."""
        return records.read(self.machine.database, self.reason)

    def mourn(self) -> Death:
        """Write down how things stand now that the bot has died."""
        url = records.copied(self.machine.database, self.machine.folder / "copy")
        kept = records.read(url, self.reason)
        if kept.request is not None:
            records.verify(url)
        exit_code = self.machine.exit_code or 0
        self.deaths.append(Death(kept, self.posted, self.sends, exit_code))
        return self.deaths[-1]

    # --- in detail --------------------------------------------------------------------------------

    async def _fill_in_the_form(self) -> bool:
        alice = self.world.person("alice")
        if not (await alice.command("/cancel-order", f"{self.provider} {self.reference} {self.reason}")).ok:
            return False
        try:
            form = await alice.modal()
        except NeverHappened:
            return False
        sent = await form.submit()
        return sent.ok or "already being dealt with" in str(sent.errors)

    def _card_to_click(self) -> Message | bool:
        """The card while it takes approvals; True when it is beyond that."""
        card = self.cards[-1]
        if "Approve cancellation" in card.buttons:
            return card
        return "Looking the order up" not in card.readable

    async def _click(self, who: str, card: Message) -> bool:
        try:
            answer = await self.world.person(who).click(card, "Approve")
        except NoSuchButton:
            return False  # it was edited at this very moment
        if answer.ok:
            self.approved.add(who)
        return answer.ok

    def _stands(self) -> bool:
        return bool(self.cards and OUTCOME in self.cards[-1].readable and self.outcomes)

    def _is_refused(self) -> bool:
        return any(self._refusals(who) > self._turned_away[who] for who in self.approved)

    def _forget_refused(self) -> set[str]:
        """Those who were told privately that their click came to nothing; they click anew."""
        refused = {who for who in self.approved if self._refusals(who) > self._turned_away[who]}
        self._turned_away.update({who: self._refusals(who) - self._turned_away[who] for who in refused})
        return refused

    def _refusals(self, who: str) -> int:
        told = self.world.person(who).ephemerals(CHANNEL)
        return sum(COUNTS_ALREADY not in message.text for message in told)

    async def _wait(self, condition: object) -> Message | bool:
        assert callable(condition)
        seen: Message | bool = await self.world.workspace.wait_until(condition, UNTIL_SEEN)
        return seen

    def _look_at_sends(self) -> None:
        """Whenever a cancel has arrived: the permit for it has to be on disk by then."""
        if self.sends == self._seen_sends:
            return
        self._seen_sends = self.sends
        if self.look().permits < self.sends:
            self.troubles.append(f"send number {self.sends} arrived without a permit on disk")
