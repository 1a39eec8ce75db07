"""What people do: each click goes through the workflow of some process, and is remembered as they saw it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bot.admission import Ask
from bot.blocks import ids
from bot.clicks import Click
from bot.errors import BadForm, Refused, StorageError
from bot.model import Finding, Person, Request
from tests.bot.builders import CHANNEL, NOW
from tests.simulation.provider import NAMES
from tests.simulation.schedule import LIST, WHO_MAY, Deed, Does, Wish

if TYPE_CHECKING:
    from tests.simulation.process import Process
    from tests.simulation.slack import Message
    from tests.simulation.world import World

BUTTONS = {
    Does.APPROVE: ids.APPROVE,
    Does.DENY: ids.DENY,
    Does.WITHDRAW: ids.WITHDRAW,
    Does.TAKE_BACK: ids.TAKE_BACK,
}
PATIENCE = 6
"""How often somebody comes back to a card that has no button yet, or to a bot that does not answer."""


@dataclass
class Tried:
    """One attempt of a person, and what they were told."""

    who: Person
    does: str
    request_id: str
    digest: str
    at: float
    told: str = ""
    """"done", the name of the rule that stopped them, or "error"; empty when nothing came back."""


Try = Callable[[], Awaitable[Request]]


class People:
    def __init__(self, world: World) -> None:
        self.world = world
        self.tried: list[Tried] = []
        self.still_to_come = 0
        """What people have yet to do about requests that need a person."""

    def come(self) -> None:
        """Write into the calendar who does what when."""
        world, schedule = self.world, self.world.schedule
        for wish in schedule.wishes:
            world.later(wish.at, self.ask, wish)
        for deed in schedule.deeds:
            world.later(max(deed.at - deed.seen, 0.0), self._let_them_be_known)
            world.later(deed.at, self.do, deed)

    def _let_them_be_known(self) -> None:
        """The bot asks about everybody every 40 s; when nobody clicks, that makes no difference."""
        for process in self.world.processes:
            if process.directory is not None:
                process.spawn(process.directory.refresh(LIST), "refresh")

    # --- asking -----------------------------------------------------------------------------------

    def ask(self, wish: Wish, tries: int = 0) -> None:
        world = self.world
        process = world.door()
        if process is None or process.workflow is None:
            if tries < PATIENCE:
                world.later(15.0, self.ask, wish, tries + 1)
            return
        name = NAMES[wish.order][1 if wish.by_second_name else 0]
        work = process.workflow.submit(Ask("digicert", name, "ordered twice", CHANNEL), wish.who)
        tried = self._tried(wish.who, "asks", "", "")
        world.say(f"{wish.who.user} asks to cancel order {name}", process)

        async def submit() -> Request:
            try:
                return await work
            except StorageError:
                if tries < PATIENCE:
                    world.later(15.0, self.ask, wish, tries + 1)
                raise

        process.spawn(self._try(tried, submit), "ask")

    # --- deciding ---------------------------------------------------------------------------------

    def do(self, deed: Deed, tries: int = 0) -> None:
        """Click on the newest card of the order; come back if there is none, or nobody to click to."""
        world = self.world
        process = world.door()
        cards = [card for name in NAMES[deed.order] for card in world.workspace.cards(f"`{name}`")]
        cards = [card for card in cards if BUTTONS[deed.does] in card.buttons]
        if process is None or not cards:
            if tries < PATIENCE:
                world.later(15.0, self.do, deed, tries + 1)
            return
        card = min(cards, key=lambda one: one.at) if deed.outdated else max(cards, key=lambda one: one.at)
        for _ in range(2 if deed.twice else 1):
            self._click(process, deed, card)
        world.tally["clicked twice at once"] += deed.twice
        world.tally["clicked on an old card"] += deed.outdated

    def _click(self, process: Process, deed: Deed, card: Message) -> None:
        request_id, digest = card.buttons[BUTTONS[deed.does]][0 if deed.outdated else -1]
        clicked = f"{NOW.timestamp() + self.world.loop.now:.6f}"
        click = Click(request_id, digest, CHANNEL, card.ts, True, clicked=clicked)
        tried = self._tried(deed.who, deed.does, request_id, digest)
        self.world.say(f"{deed.who.user} {deed.does} request {request_id[:8]}", process)
        process.spawn(self._try(tried, self._doing(process, deed, click)), f"{deed.does} {deed.who.user}")

    def _doing(self, process: Process, deed: Deed, click: Click) -> Try:
        workflow, who = process.workflow, deed.who
        assert workflow is not None

        async def deny() -> Request:
            await workflow.may_deny(click, who)
            return await workflow.deny(click.request_id, who, "we still need it")

        async def withdraw() -> Request:
            typed = self.world.dice.roll("withdraw by command") < 0.5
            return await workflow.withdraw(click.request_id, who, None if typed else click)

        doing: dict[Does, Try] = {
            Does.APPROVE: lambda: workflow.approve(click, who),
            Does.DENY: deny,
            Does.WITHDRAW: withdraw,
            Does.TAKE_BACK: lambda: workflow.take_back(click, who),
        }
        return doing[deed.does]

    # --- where the bot needs a person ----------------------------------------------------------------

    def are_needed(self, request: Request) -> None:
        """Two of them look at the order; sometimes nobody does."""
        dice = self.world.dice
        if dice.roll("nobody looks") < 0.4:
            return
        first = dice.pick("finder", WHO_MAY)
        others = [*[one for one in WHO_MAY if one != first], first, request.requester]
        self.still_to_come += 2
        wait = dice.between("looks", 60, 600)
        self.world.later(wait, self._find, request.id, first)
        self.world.later(wait - 20, self._let_them_be_known)
        for number, who in enumerate([dice.pick("confirms", others), others[0]]):
            self.world.later(wait + 20 + number * 10, self._confirm, request.id, who, number)

    def _find(self, request_id: str, who: Person) -> None:
        self.still_to_come -= 1
        process, buttons = self.world.door(), self._buttons(request_id, ids.CLOSE)
        if process is None or process.workflow is None or not buttons:
            return
        workflow, (_, digest) = process.workflow, buttons
        is_cancelled = self.world.checks.order_of(request_id).cancelled_at is not None
        finding = Finding.CANCELLED if is_cancelled else Finding.NOT_CANCELLED
        tried = self._tried(who, "finds", request_id, digest)
        self.world.say(f"{who.user} finds: {finding.value}", process)
        process.spawn(
            self._try(
                tried,
                lambda: workflow.propose_closing(request_id, who, finding, "looked at the list", digest),
            ),
            "find",
        )

    def _confirm(self, request_id: str, who: Person, number: int) -> None:
        self.still_to_come -= number
        process, buttons = self.world.door(), self._buttons(request_id, ids.CONFIRM_CLOSING)
        if process is None or process.workflow is None or not buttons:
            return
        workflow, (card, digest) = process.workflow, buttons
        click = Click(request_id, digest, CHANNEL, card.ts, True)
        tried = self._tried(who, "confirms", request_id, digest)
        self.world.say(f"{who.user} confirms", process)
        process.spawn(self._try(tried, lambda: workflow.confirm_closing(click, who)), "confirm")

    def _buttons(self, request_id: str, action: str) -> tuple[Message, str] | None:
        cards = [card for card in self.world.workspace.cards() if card.about == request_id[:8]]
        shown = [(card, card.buttons[action][-1][1]) for card in cards if action in card.buttons]
        return shown[-1] if shown else None

    # --- what they were told ------------------------------------------------------------------------

    def _tried(self, who: Person, does: str, request_id: str, digest: str) -> Tried:
        tried = Tried(who, does, request_id, digest, self.world.loop.now)
        self.tried.append(tried)
        return tried

    async def _try(self, tried: Tried, work: Try) -> None:
        try:
            request = await work()
        except Refused as refused:
            tried.told = refused.rule
            self.world.checks.was_refused(tried)
        except BadForm:
            tried.told = "bad_form"
        except StorageError:
            tried.told = "error"
        else:
            tried.told = "done"
            self.world.checks.was_acknowledged(tried, request)
        self.world.tally[f"{tried.does}: {tried.told}"] += 1
