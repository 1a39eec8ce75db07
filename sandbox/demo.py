"""The product in a minute, without a browser: scenes played by pretend people against the real bot.

Each scene says what it promises and is checked. The transcript at the end is the approvals channel as
people see it. The exit code is 0 only if everything was as promised.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from sandbox.process import BotProcess
from sandbox.slack.model import Message
from sandbox.slack.workspace import Workspace
from sandbox.town import CHANNEL, Town
from sandbox.vendors.vendor import Fault

SETTINGS = {
    "PROVIDER_TIMEOUT": "2s",
    "RECONCILE_AFTER": "3s",
    "LOG_LEVEL": "ERROR",
    "LOG_FORMAT": "console",
}
PATIENCE = 60.0
COMMAND = "/cancel-order"


class Broken(AssertionError):
    """The product did not do what it promises."""


@dataclass(frozen=True, slots=True)
class Scene:
    title: str
    play: Callable[[Stage], Awaitable[None]]


class Stage:
    """What the scenes do, in a person's words."""

    def __init__(self, town: Town) -> None:
        self.town = town
        self.workspace: Workspace = town.workspace

    async def ask(self, who: str, provider: str, reference: str, reason: str) -> Message:
        """Type the command, send the form, and wait until the card asks for approvals."""
        person = self.workspace.person(who)
        known = {card.ts for card in self.cards()}
        answer = await person.command(COMMAND, f"{provider} {reference} {reason}")
        promise(answer.ok, f"the command is answered: {answer}")
        form = await person.modal()
        sent = await form.submit()
        promise(sent.ok, f"the form is accepted: {sent.errors}")

        def asking() -> Message | None:
            new = [card for card in self.cards() if card.ts not in known and f"`{reference}" in card.text]
            shown = new or [card for card in self.cards() if card.ts not in known]
            return next((card for card in shown if "Approve cancellation" in card.buttons), None)

        return await self.workspace.wait_until(asking, PATIENCE)

    async def approve(self, card: Message, *people: str) -> None:
        for who in people:
            await self.workspace.person(who).click(self.now(card), "Approve")

    async def outcome(self, card: Message, words: str) -> Message:
        """Wait until the card states this outcome, and nothing can be decided any more."""
        done = await self.until(card, f"Outcome: *{words}*", f"Outcome: {words}")
        await self.workspace.wait_until(lambda: self._thread_says(card, f"Outcome: *{words}*"), PATIENCE)
        left = [button for button in done.buttons if button not in ("Details", "Ask again")]
        promise(not left, "nothing can be decided about an ended request")
        return done

    async def until(self, card: Message, *texts: str) -> Message:
        def reads_so() -> Message | None:
            now = self.now(card)
            return now if any(text in now.readable or text in now.text for text in texts) else None

        return await self.workspace.wait_until(reads_so, PATIENCE)

    async def told(self, who: str, text: str) -> None:
        """Wait until somebody reads this in private."""
        await self.workspace.person(who).wait_for_ephemeral(lambda message: text in message.text, PATIENCE)

    def _thread_says(self, card: Message, text: str) -> bool:
        return any(text in reply.text for reply in self.now(card).thread)

    def cards(self) -> list[Message]:
        return [message for message in self.workspace.channel(CHANNEL).messages if not message.only_for]

    def now(self, card: Message) -> Message:
        return next(message for message in self.cards() if message.ts == card.ts)

    def sends(self, provider: str, reference: str) -> int:
        return self.town.vendors[provider].sends.count(reference)


def promise(kept: bool, what: str) -> None:
    if not kept:
        raise Broken(what)


# --- the scenes -------------------------------------------------------------------------------------


def cancellation(provider: str, reason: str) -> Callable[[Stage], Awaitable[None]]:
    async def play(stage: Stage) -> None:
        vendor = stage.town.vendors[provider]
        reference = vendor.samples["cancellable"]
        card = await stage.ask("alice", provider, reference, reason)
        await stage.approve(card, "bob")
        promise(stage.sends(provider, reference) == 0, "one approval sends nothing")
        await stage.approve(card, "carol")
        await stage.outcome(card, "cancelled")
        promise(vendor.is_cancelled(reference), f"{vendor.label} has really cancelled the order")
        promise(stage.sends(provider, reference) == 1, "exactly one cancel was sent")

    return play


async def denial(stage: Stage) -> None:
    reference = stage.town.vendors["digicert"].samples["another"]
    card = await stage.ask("alice", "digicert", reference, "not needed any more?")
    carol = stage.workspace.person("carol")
    await carol.click(stage.now(card), "Deny")
    form = await carol.modal()
    form.fill({"Reason": "blog.example goes live on Monday with this one."})
    promise((await form.submit()).ok, "the denial is accepted")
    await stage.outcome(card, "denied")
    promise(stage.sends("digicert", reference) == 0, "a denied request sends nothing")


async def self_approval(stage: Stage) -> None:
    reference = stage.town.vendors["payvalida"].samples["another"]
    card = await stage.ask("bob", "payvalida", reference, "customer paid twice")
    await stage.approve(card, "bob")
    await stage.told("bob", "somebody else has to approve")
    promise("nobody" in stage.now(card).readable, "the requester's own approval does not count")
    await stage.workspace.person("bob").click(stage.now(card), "Withdraw")
    await stage.outcome(card, "withdrawn")
    promise(stage.sends("payvalida", reference) == 0, "a withdrawn request sends nothing")


async def double_click(stage: Stage) -> None:
    reference = stage.town.vendors["cpanel"].samples["another"]
    card = await stage.ask("alice", "cpanel", reference, "wrong domain")
    dan = stage.workspace.person("dan")
    shown = stage.now(card).snapshot()
    await asyncio.gather(*(dan.click(shown, "Approve") for _ in range(3)))
    await stage.until(card, "1 more needed")
    promise(stage.sends("cpanel", reference) == 0, "three clicks by one person are one approval")
    await stage.approve(card, "carol")
    await stage.outcome(card, "cancelled")
    promise(stage.sends("cpanel", reference) == 1, "exactly one cancel was sent")


async def lost_answer(stage: Stage) -> None:
    vendor = stage.town.vendors["payvalida"]
    reference = vendor.samples["third"]
    card = await stage.ask("alice", "payvalida", reference, "event was called off")
    vendor.fail_next(Fault.LOSE_ANSWER)
    await stage.approve(card, "bob", "carol")
    await stage.until(card, "outcome unknown, checking")
    await stage.outcome(card, "cancelled")
    promise(stage.sends("payvalida", reference) == 1, "what got lost was looked up, never sent again")


SCENES = (
    Scene("cPanel: cancelled after two approvals", cancellation("cpanel", "ordered for the wrong shop")),
    Scene("DigiCert: cancelled after two approvals", cancellation("digicert", "typo in the common name")),
    Scene("Payvalida: cancelled after two approvals", cancellation("payvalida", "customer changed her mind")),
    Scene("Tradernet: accepted, then cancelled", cancellation("tradernet", "fat finger, wrong ticker")),
    Scene("Servertastic: cancelled after two approvals", cancellation("servertastic", "duplicate of STR_1")),
    Scene("A denial ends it, with a reason", denial),
    Scene("Nobody approves their own request", self_approval),
    Scene("A triple click is one approval", double_click),
    Scene("A lost answer is found by a look-up", lost_answer),
)


async def play() -> int:
    """Play all scenes; returns the exit code."""
    _say("Countersign, played by itself: the real bot, a pretend Slack, five pretend providers.\n")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="countersign-demo-") as folder:
        async with Town() as town:
            bot = BotProcess(town.environment(Path(folder) / "bot.db", **SETTINGS), Path(folder))
            await bot.start("--transport", "socket")
            await town.workspace.bot_connected(timeout=30)
            failures = await _play_scenes(Stage(town))
            if await bot.stop() != 0:
                failures.append("the bot did not stop cleanly")
            failures += town.workspace.problems
            _say("\nThe channel, as people see it:\n")
            _say(town.workspace.transcript(CHANNEL))
    _say(f"\n{len(SCENES)} scenes in {time.monotonic() - started:.0f} s.")
    for failure in failures:
        _say(f"NOT AS PROMISED: {failure}")
    _say("Everything was as promised." if not failures else "")
    return 1 if failures else 0


async def _play_scenes(stage: Stage) -> list[str]:
    """One after the other, as a channel would see them."""
    failures = []
    for number, scene in enumerate(SCENES, start=1):
        _say(f"  [{number}/{len(SCENES)}] {scene.title} … ", end="")
        started = time.monotonic()
        try:
            await scene.play(stage)
        except AssertionError as broken:
            failures.append(f"{scene.title}: {broken}")
            _say("NOT AS PROMISED")
        else:
            _say(f"ok ({time.monotonic() - started:.1f} s)")
    return failures


def _say(text: str, end: str = "\n") -> None:
    sys.stdout.write(text + end)
    sys.stdout.flush()
