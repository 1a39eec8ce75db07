"""What the bot relies on, whichever the provider: a table of cases, and how to try an adapter on it.

    .venv/bin/python -m sandbox.conformance             # every provider of ours
    .venv/bin/python -m sandbox.conformance payvalida   # one of them

An adapter from anywhere is held to the same, with a pretend vendor of its own:

    await assert_conforms(Northwind, NorthwindVendor)
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, Literal, TypeVar

from providers import ADAPTERS
from providers.contract import Attempt, OrderState, Outcome, Provider, Result, Standing
from providers.http import HttpLimits
from sandbox.vendors import VENDORS
from sandbox.vendors.vendor import Fault, Vendor

Call = Literal["look_up", "cancel", "follow_up"]
T = TypeVar("T")

NOTE = "Approved by two people."
LATER = timedelta(minutes=10)
"""The age of the cancel that a follow-up is told: later than any delay that a provider has by itself."""
PATIENT, HURRIED = HttpLimits(timeout=10.0), HttpLimits(timeout=1.0)
SLOW = frozenset({Fault.HANG, Fault.HANG_BEFORE, Fault.DRIP})
"""Faults that only a deadline ends, so a short one will do."""
NOBODY = "http://127.0.0.1:1"
"""A port that is reserved and that no ordinary process listens on."""
EVERY_TIME = 100
AT_ONCE = 6
"""Cases that run side by side; most of their time is waiting for a deadline."""

DONE = frozenset({Result.CANCELLED, Result.ACCEPTED})
OPEN = frozenset({Result.UNKNOWN, Result.ACCEPTED})
A_NO = frozenset({Result.REFUSED, Result.UNKNOWN})
TURNED_AWAY = frozenset({Result.NO_EFFECT, Result.UNKNOWN})
REPEATED = frozenset({*DONE, Result.ALREADY_CANCELLED, Result.UNKNOWN})
CANCELLED = frozenset({Result.CANCELLED})
NO_EFFECT = frozenset({Result.NO_EFFECT})
UNKNOWN = frozenset({Result.UNKNOWN})

CANCELLABLE = frozenset({Standing.CANCELLABLE})
UNREADABLE = frozenset({Standing.UNREADABLE})
NO_ORDER = frozenset({Standing.NOT_FOUND, Standing.UNCLEAR})
NO_PROOF = frozenset({*NO_ORDER, Standing.UNREADABLE})

SETS: Mapping[frozenset[Result] | frozenset[Standing], str] = {
    DONE: "done",
    OPEN: "open",
    A_NO: "a no",
    TURNED_AWAY: "turned away",
    REPEATED: "repeated",
    NO_ORDER: "no order",
    NO_PROOF: "no proof",
}
"""How the table calls a set of answers of which each is right."""


@dataclass(frozen=True, slots=True)
class Case:
    """What goes wrong, and what an adapter has to make of it."""

    name: str
    fault: Fault | None = None
    on: Call = "cancel"
    """The call that the fault spoils; the others go well."""
    times: int = EVERY_TIME
    """How many requests of that call are spoilt; a cancel is one request in any case."""
    order: str = "cancellable"
    """A sample of the vendor, or `unknown`."""
    listening: bool = True
    """False: the cancel finds nobody at the address."""
    cancels: int = 1
    """2: the same cancel is sent again, although nobody should."""
    look_up: frozenset[Standing] = CANCELLABLE
    cancel: frozenset[Result] = frozenset()
    """Empty: after such a look-up no cancel is sent, and nothing is followed up."""
    follow_up: frozenset[Result] = frozenset()
    sends: int = 0
    """Cancel requests that reach the vendor."""
    performed: int = 0
    """Cancels that take effect there."""


def _cancel(
    name: str,
    fault: Fault | None,
    results: frozenset[Result],
    then: frozenset[Result],
    performed: int,
) -> Case:
    return Case(name, fault, cancel=results, follow_up=then, sends=1, performed=performed)


def _look_up(name: str, fault: Fault) -> Case:
    return Case(f"look-up: {name}", fault, on="look_up", look_up=UNREADABLE)


def _follow_up(name: str, fault: Fault, then: frozenset[Result] = OPEN, times: int = EVERY_TIME) -> Case:
    return Case(
        f"follow-up: {name}", fault, "follow_up", times, cancel=DONE, follow_up=then, sends=1, performed=1
    )


CASES: tuple[Case, ...] = (
    # What orders are like.
    _cancel("all goes well", None, DONE, CANCELLED, 1),
    Case("it is cancelled already", order="cancelled", look_up=frozenset({Standing.CANCELLED})),
    Case("it is too late", order="too_late", look_up=frozenset({Standing.NOT_CANCELLABLE})),
    Case("there is no such order", order="unknown", look_up=NO_ORDER),
    Case("cancelled twice", cancels=2, cancel=REPEATED, follow_up=CANCELLED, sends=2, performed=1),
    # The cancel goes wrong, and nothing is done.
    Case("nobody listens", listening=False, cancel=NO_EFFECT, follow_up=NO_EFFECT),
    _cancel("lost before it is done", Fault.DROP, UNKNOWN, NO_EFFECT, 0),
    _cancel("no answer in time, not done", Fault.HANG_BEFORE, UNKNOWN, NO_EFFECT, 0),
    _cancel("server error, not done", Fault.SERVER_ERROR, UNKNOWN, NO_EFFECT, 0),
    _cancel("web page with status 200", Fault.HTML, UNKNOWN, NO_EFFECT, 0),
    _cancel("redirect to somewhere else", Fault.REDIRECT, UNKNOWN, NO_EFFECT, 0),
    _cancel("success of another order", Fault.OTHER_ORDER, UNKNOWN, NO_EFFECT, 0),
    _cancel("too many calls", Fault.RATE_LIMITED, TURNED_AWAY, NO_EFFECT, 0),
    _cancel("the provider says no", Fault.REJECT, A_NO, NO_EFFECT, 0),
    # It is done, but the answer goes wrong.
    _cancel("done, the answer is lost", Fault.LOSE_ANSWER, UNKNOWN, CANCELLED, 1),
    _cancel("done, no answer in time", Fault.HANG, UNKNOWN, CANCELLED, 1),
    _cancel("done, server error", Fault.SERVER_ERROR_AFTER, UNKNOWN, CANCELLED, 1),
    _cancel("done, half an answer", Fault.HALF_BODY, UNKNOWN, CANCELLED, 1),
    _cancel("done, the answer drips", Fault.DRIP, UNKNOWN, CANCELLED, 1),
    _cancel("done, the answer inflates", Fault.BOMB, UNKNOWN, CANCELLED, 1),
    _cancel("done, broken JSON", Fault.GARBAGE, UNKNOWN, CANCELLED, 1),
    _cancel("done, empty answer", Fault.EMPTY, UNKNOWN, CANCELLED, 1),
    # Looking up goes wrong, so that no cancel may be sent.
    _look_up("the connection is lost", Fault.DROP),
    _look_up("no answer in time", Fault.HANG),
    _look_up("server error", Fault.SERVER_ERROR),
    _look_up("web page with status 200", Fault.HTML),
    _look_up("redirect to somewhere else", Fault.REDIRECT),
    _look_up("too many calls", Fault.RATE_LIMITED),
    _look_up("half an answer", Fault.HALF_BODY),
    _look_up("the answer drips", Fault.DRIP),
    _look_up("the answer inflates", Fault.BOMB),
    _look_up("broken JSON", Fault.GARBAGE),
    _look_up("empty answer", Fault.EMPTY),
    _look_up("the provider says no", Fault.REJECT),
    Case("look-up: another order", Fault.OTHER_ORDER, on="look_up", look_up=NO_PROOF),
    Case(
        "look-up: one connection is lost",
        Fault.DROP,
        on="look_up",
        times=1,
        cancel=DONE,
        follow_up=CANCELLED,
        sends=1,
        performed=1,
    ),
    # It is done, but the follow-up goes wrong: what is not seen is not called a no.
    _follow_up("the connection is lost", Fault.DROP),
    _follow_up("one connection is lost", Fault.DROP, CANCELLED, times=1),
    _follow_up("no answer in time", Fault.HANG),
    _follow_up("server error", Fault.SERVER_ERROR),
    _follow_up("web page with status 200", Fault.HTML),
    _follow_up("redirect to somewhere else", Fault.REDIRECT),
    _follow_up("too many calls", Fault.RATE_LIMITED),
    _follow_up("half an answer", Fault.HALF_BODY),
    _follow_up("broken JSON", Fault.GARBAGE),
    _follow_up("empty answer", Fault.EMPTY),
    _follow_up("the provider says no", Fault.REJECT),
    _follow_up("another order", Fault.OTHER_ORDER),
)


@dataclass(frozen=True, slots=True)
class Report:
    """What an adapter made of a case."""

    case: Case
    provider: str
    look_up: Standing | None
    cancel: Result | None
    follow_up: Result | None
    sends: int
    performed: int
    problems: tuple[str, ...]
    """What is not as the case wants it; empty when all is."""

    @property
    def expected(self) -> str:
        case = self.case
        words = [_words(case.cancel), _words(case.follow_up)] if case.cancel else [_words(case.look_up)]
        return f"{', '.join(words)} {case.sends}/{case.performed}"

    @property
    def got(self) -> str:
        words = [str(each) for each in (self.cancel, self.follow_up) if each] or [
            str(self.look_up or "nothing")
        ]
        return f"{', '.join(words)} {self.sends}/{self.performed}"


def connect(
    adapter: type[Provider], environment: Mapping[str, str], limits: HttpLimits = PATIENT
) -> Provider:
    """Build an adapter as the bot does: from its settings, with the defaults filled in."""
    values = {each.name: environment.get(each.name, each.default) for each in adapter.facts.settings}
    missing = [name for name, value in values.items() if value is None]
    if missing:
        raise ValueError(f"{adapter.facts.name}: the pretend vendor lacks {', '.join(missing)}")
    return adapter.from_settings({name: value or "" for name, value in values.items()}, limits)


async def run_case(case: Case, adapter: type[Provider], vendor_type: type[Vendor[Any]]) -> Report:
    """Try one case on fresh ground: a vendor, and a second one that nobody should ever visit."""
    async with AsyncExitStack() as ground:
        vendor, trap = vendor_type(), vendor_type()
        for each in (vendor, trap):
            await each.start()
            ground.push_async_callback(each.stop)
        vendor.redirect_to = trap.base_url
        run = _Run(case, adapter, vendor, trap)
        try:
            return await run.report()
        except Exception as error:  # noqa: BLE001  (whatever it is: an adapter must not raise it)
            return run.broken_by(error)


async def run_all(
    adapter: type[Provider], vendor_type: type[Vendor[Any]], cases: Iterable[Case] = CASES
) -> list[Report]:
    """Try the cases, some of them side by side; the reports come in the order of the cases."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def report(case: Case) -> Report:
        async with turns:
            return await run_case(case, adapter, vendor_type)

    return await asyncio.gather(*map(report, cases))


async def assert_conforms(
    adapter: type[Provider], vendor_type: type[Vendor[Any]], cases: Iterable[Case] = CASES
) -> None:
    """Raise an AssertionError that shows every case in which the adapter does not do as it should."""
    wrong = [report for report in await run_all(adapter, vendor_type, cases) if report.problems]
    if wrong:
        raise AssertionError("\n" + "\n".join(_rows(wrong)))


class _Run:
    """One case on its way: an adapter, its vendor, and everything that the adapter said."""

    def __init__(self, case: Case, adapter: type[Provider], vendor: Vendor[Any], trap: Vendor[Any]) -> None:
        self._case = case
        self._facts = adapter.facts
        self._vendor = vendor
        self._trap = trap
        self._adapter = adapter
        self._environment = vendor.settings()
        self._patient = connect(adapter, self._environment)
        self._order = vendor.unknown if case.order == "unknown" else vendor.samples[case.order]
        self._said: list[OrderState | Outcome] = []

    async def report(self) -> Report:
        before = await self._heard(self._provider("look_up").look_up(self._order))
        cancelled = followed = None
        if before.standing is Standing.CANCELLABLE and self._case.cancel:
            cancelled = await self._cancel(before)
            followed = await self._follow_up(before, cancelled)
        return self._report(before.standing, _result(cancelled), _result(followed))

    def broken_by(self, error: Exception) -> Report:
        report = self._report(None, None, None)
        return replace(report, problems=(f"raised {type(error).__name__}", *report.problems))

    def _report(self, look_up: Standing | None, cancel: Result | None, follow_up: Result | None) -> Report:
        sends, performed = len(self._vendor.sends), len(self._vendor.performed)
        problems = (
            *_difference("look-up", look_up, self._case.look_up),
            *_difference("cancel", cancel, self._case.cancel),
            *_difference("follow-up", follow_up, self._case.follow_up),
            *_difference("cancels sent", sends, {self._case.sends}),
            *_difference("cancels carried out", performed, {self._case.performed}),
            *self._slips(),
        )
        return Report(self._case, self._facts.label, look_up, cancel, follow_up, sends, performed, problems)

    async def _cancel(self, before: OrderState) -> Outcome:
        provider = self._provider("cancel") if self._case.listening else self._astray()
        for _ in range(self._case.cancels):
            outcome = await self._heard(provider.cancel(self._order, NOTE, before))
        return outcome

    async def _follow_up(self, before: OrderState, outcome: Outcome) -> Outcome:
        self._vendor.catch_up()
        attempt = Attempt(before, LATER, accepted=outcome.result is Result.ACCEPTED)
        return await self._heard(self._provider("follow_up").follow_up(self._order, attempt))

    def _provider(self, call: Call) -> Provider:
        """The adapter to make this call with, after arranging for what goes wrong on the way."""
        self._vendor.stop_failing()
        fault = self._case.fault
        if fault is None or self._case.on != call:
            return self._patient
        times = 1 if call == "cancel" else self._case.times
        self._vendor.fail_next(fault, on="cancel" if call == "cancel" else "read", times=times)
        return connect(self._adapter, self._environment, HURRIED) if fault in SLOW else self._patient

    def _astray(self) -> Provider:
        """The adapter with an address at which nobody listens."""
        urls = {each.name: NOBODY for each in self._facts.settings if each.is_url}
        return connect(self._adapter, {**self._environment, **urls})

    async def _heard(self, call: Awaitable[T]) -> T:
        """The answer of a call that has to end by itself, and has to end in an answer."""
        async with asyncio.timeout(2 * PATIENT.timeout):
            answer = await call
        if isinstance(answer, OrderState | Outcome):
            self._said.append(answer)
        return answer

    def _slips(self) -> Iterable[str]:
        """What must not happen, whatever the case."""
        secrets = [self._environment[each.name] for each in self._facts.settings if each.secret]
        secrets += [self._order] if self._facts.reference_is_secret else []
        said = repr(self._said)
        if self._trap.seen:
            yield "a redirect was followed"
        if any(secret in said for secret in secrets):
            yield "a secret was said"
        if "://" in said:
            yield "a URL was said"


def _result(outcome: Outcome | None) -> Result | None:
    return outcome.result if outcome else None


def _difference(what: str, got: object, wanted: Iterable[object]) -> Iterable[str]:
    choice = list(wanted)
    if got not in choice and (choice or got is not None):
        yield f"{what}: {got}"


def _words(values: frozenset[Result] | frozenset[Standing]) -> str:
    return SETS.get(values) or "|".join(sorted(values))


def _rows(reports: Sequence[Report]) -> Iterable[str]:
    for report in reports:
        mark = "WRONG" if report.problems else "ok"
        yield f"  {report.case.name:<38} {report.expected:<26} {report.got:<26} {mark}"
        yield from (f"      {problem}" for problem in report.problems)


LEGEND = (
    "Each row: what happens | what the cancel and then the follow-up should come to | what they came to.",
    "Without a cancel: what the look-up came to. At the end: cancels sent / cancels carried out.",
    *(f"{word}: {' or '.join(sorted(values))}" for values, word in SETS.items()),
)


async def main(names: Sequence[str]) -> int:
    known = {adapter.facts.name: adapter for adapter in ADAPTERS}
    vendors = {vendor.name: vendor for vendor in VENDORS}
    if strangers := [name for name in names if name not in known]:
        sys.stderr.write(f"No provider here is called {', '.join(strangers)}: {', '.join(known)}\n")
        return 2
    chosen = [known[name] for name in names or known]
    sys.stdout.write("\n".join(LEGEND) + "\n")
    wrong = count = 0
    for adapter in chosen:
        reports = await run_all(adapter, vendors[adapter.facts.name])
        sys.stdout.write("\n".join(["", adapter.facts.label, *_rows(reports)]) + "\n")
        sys.stdout.flush()
        count += len(reports)
        wrong += sum(bool(report.problems) for report in reports)
    sys.stdout.write(f"\n{count - wrong} of {count} cases are as they should be.\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1:])))
