"""What a seed decides: who does what when, and what goes wrong. Plain records, the same for the same seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from random import Random
from typing import TypeVar

from bot.model import Person
from tests.bot.builders import ALICE, BOB, CAROL, DAVE, TEAM

T = TypeVar("T")

ERIN = Person(TEAM, "U0ERIN")
GUEST = Person(TEAM, "U0GUEST")
STRANGER = Person(TEAM, "U0ZED")
OUTSIDER = Person("T0OTHER", "U0BOB")
GROUP = "S0ONCALL"
LIST = (GROUP, ERIN.user, GUEST.user)
"""Who may approve: the group has Alice, Bob, Carol and Dave in it, and the guest does not count."""
WHO_MAY = (BOB, CAROL, DAVE, ERIN)
WHO_MAY_NOT = (GUEST, STRANGER, OUTSIDER)

CALL = 30.0
"""Seconds of a provider call, and of how long one that was given up may still be carried out."""
REST = 45.0
"""The quarantine."""
MINUTE, HOUR = 60.0, 3600.0


class Effect(StrEnum):
    """Where a process may die or stop: right before or after it does something that others see."""

    READ = "before a reading transaction"
    WRITE = "before a writing transaction"
    WRITTEN = "after a commit"
    CALL = "before a call to Slack"
    CALLED = "after Slack took a call"
    ASK = "before Slack is asked about people"
    ASKED = "after Slack was asked about people"
    LOOK_UP = "before a look-up"
    LOOKED_UP = "after a look-up"
    CANCEL = "before a cancel leaves"
    SENT = "while a cancel is under way"
    ANSWERED = "after the answer to a cancel, before it is saved"
    FOLLOW_UP = "before a look-up after a cancel"
    FOLLOWED_UP = "after such a look-up"


NTH = {
    Effect.READ: 60,
    Effect.WRITE: 40,
    Effect.WRITTEN: 40,
    Effect.CALL: 15,
    Effect.CALLED: 15,
    Effect.ASK: 20,
    Effect.ASKED: 20,
    Effect.LOOK_UP: 3,
    Effect.LOOKED_UP: 3,
    Effect.CANCEL: 1,
    Effect.SENT: 1,
    Effect.ANSWERED: 1,
    Effect.FOLLOW_UP: 2,
    Effect.FOLLOWED_UP: 2,
}
"""Up to which occurrence of an effect something may happen there: about as often as it occurs."""


class Blow(StrEnum):
    KILL = "is killed"
    STOP = "is stopped"
    """As by SIGSTOP: its timers run on, it does not."""
    SUSPEND = "is suspended with its machine"
    """Its timers do not run on either."""
    TERMINATE = "is told to end"
    CUT = "loses its link to the others"


@dataclass(frozen=True, slots=True)
class Strike:
    """What befalls a process, at the `nth` time that it comes to `effect`, or at the time `at`."""

    process: int
    blow: Blow
    seconds: float
    """Until it goes on, or is started again."""
    effect: Effect | None = None
    nth: int = 1
    at: float = 0.0


class Does(StrEnum):
    APPROVE = "approves"
    DENY = "denies"
    WITHDRAW = "withdraws"
    TAKE_BACK = "takes back"


@dataclass(frozen=True, slots=True)
class Deed:
    at: float
    who: Person
    does: Does
    order: int
    seen: float
    """How many seconds before that the bot has last asked Slack about people."""
    twice: bool = False
    outdated: bool = False
    """On the card as it was first shown, and first posted."""


@dataclass(frozen=True, slots=True)
class Wish:
    at: float
    who: Person
    order: int
    by_second_name: bool = False


class Change(StrEnum):
    FACTS = "the facts of the order change"
    GONE = "the order can no longer be cancelled"
    ELSEWHERE = "the order is cancelled by somebody else"


class Leave(StrEnum):
    GROUP = "is taken out of the group"
    WORKSPACE = "is deactivated"


@dataclass(frozen=True, slots=True)
class Departure:
    at: float
    who: Person
    how: Leave
    back_after: float
    """0: for good."""


@dataclass(frozen=True, slots=True)
class Window:
    """From when to when something is away."""

    start: float
    end: float

    def __contains__(self, at: object) -> bool:
        return isinstance(at, float) and self.start <= at < self.end


@dataclass(frozen=True, slots=True)
class Schedule:
    seed: int
    shared: bool
    """Two processes on one database, as on Postgres; else one, as on SQLite."""
    told: bool
    """Slack is told of everything. That takes most of the time, and where it is left out, people see a
    card as soon as the request is saved."""
    shuffled: bool
    wakeful: bool
    """Every commit wakes whoever waits for work, as it is; else only one that brings some, which must do."""
    delay: float
    """Seconds that a transaction takes at most."""
    slow_reads: bool
    quorum: int
    ttl: float
    reconcile_for: float
    confirm_within: float
    remind_after: float
    asynchronous: bool
    """The provider accepts a cancel and carries it out later."""
    lag: float
    """Seconds after which a change shows in look-ups."""
    wishes: tuple[Wish, ...]
    deeds: tuple[Deed, ...]
    changes: tuple[tuple[float, int, Change], ...]
    departures: tuple[Departure, ...]
    strikes: tuple[Strike, ...]
    fates: float
    """The share of cancels that do not simply succeed."""
    provider_away: tuple[Window, ...]
    slack_away: tuple[Window, ...]
    slack_trouble: float
    """The share of calls to Slack with which something is wrong."""
    storage_trouble: float
    """The share of transactions with which something is wrong."""
    storage_away: tuple[Window, ...]
    steps: tuple[tuple[float, float], ...]
    """When the clock is set, and by how many seconds."""

    @property
    def over(self) -> float:
        """After this time nothing new happens, except for what follows from what did."""
        ends = [w.end for w in (*self.provider_away, *self.slack_away, *self.storage_away)]
        ends += [max(s.at, 0.0) + s.seconds for s in self.strikes]
        ends += [d.at + d.back_after for d in self.departures]
        ends += [change[0] for change in self.changes] + [at for at, _ in self.steps]
        return max([*ends, *(d.at for d in self.deeds), *(w.at for w in self.wishes)])

    @property
    def is_calm(self) -> bool:
        """Nothing goes wrong and nothing changes."""
        troubles = (self.strikes, self.changes, self.departures, self.steps, self.fates, self.slack_trouble)
        away = (self.provider_away, self.slack_away, self.storage_away, self.storage_trouble)
        return not (any(troubles) or any(away) or self.asynchronous)


class Dice:
    """Chance that depends on the seed, on what is asked for, and on how often it was: a draw more or less
    in one place changes none in another."""

    def __init__(self, seed: int) -> None:
        self._seed = str(seed)
        self._asked: Counter[str] = Counter()

    def roll(self, what: str) -> float:
        """A number from 0 up to 1."""
        self._asked[what] += 1
        text = f"{self._seed} {what} {self._asked[what]}".encode()
        return int.from_bytes(hashlib.blake2b(text, digest_size=6).digest()) / 2**48

    def between(self, what: str, low: float, high: float) -> float:
        return low + (high - low) * self.roll(what)

    def pick(self, what: str, choices: Sequence[T]) -> T:
        return choices[int(self.roll(what) * len(choices))]


def schedule(seed: int) -> Schedule:
    """What happens under `seed`."""
    return _Writer(seed).write()


class _Writer:
    """Draws a schedule. Most dimensions of trouble are off in most schedules, so that those which are on
    are not drowned, and now and then everything is on."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.random = Random(f"schedule {seed}")  # noqa: S311
        self.everything = self.random.random() < 0.04
        self.shared = self.random.random() < 0.3
        self.told = self.random.random() < 0.12
        self.ttl = self.random.choice([10 * MINUTE, 10 * MINUTE, HOUR])
        self.orders = 2 if self.random.random() < 0.1 else 1

    def write(self) -> Schedule:
        chance, random = self.chance, self.random
        wishes = self.wishes()
        return Schedule(
            seed=self.seed,
            shared=self.shared,
            told=self.told,
            shuffled=chance(0.3),
            wakeful=chance(0.1),
            delay=random.choice([0.0, 0.02, 0.02, 0.5]),
            slow_reads=chance(0.1),
            quorum=3 if chance(0.2) else 2,
            ttl=self.ttl,
            reconcile_for=random.choice([2 * MINUTE, 10 * MINUTE]),
            confirm_within=random.choice([HOUR / 2, 2 * HOUR]),
            remind_after=HOUR / 2 if chance(0.3) else 0.0,
            asynchronous=chance(0.2),
            lag=20.0 if chance(0.2) else 0.0,
            wishes=wishes,
            deeds=tuple(deed for wish in wishes for deed in self.deeds(wish)),
            changes=self.changes() if self.on(0.15) else (),
            departures=self.departures() if self.on(0.2) else (),
            strikes=self.strikes() if self.on(0.7) else (),
            fates=random.choice([0.5, 1.0]) if self.on(0.6) else 0.0,
            provider_away=self.windows() if self.on(0.1) else (),
            slack_away=self.windows() if self.on(0.12) else (),
            slack_trouble=random.choice([0.05, 0.3]) if self.on(0.3) else 0.0,
            storage_trouble=random.choice([0.02, 0.1]) if self.on(0.15) else 0.0,
            storage_away=self.windows(3 * MINUTE) if self.on(0.08) else (),
            steps=self.steps() if self.on(0.07) else (),
        )

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def on(self, share: float) -> bool:
        return self.chance(share) or self.everything

    def soon(self) -> float:
        """A time at which things go on: early times are more likely."""
        return float(self.random.uniform(1, self.random.choice([30, 120, 120, 600, self.ttl])))

    # --- people ---------------------------------------------------------------------------------------

    def wishes(self) -> tuple[Wish, ...]:
        found = [Wish(self.random.uniform(0, 5), ALICE, order) for order in range(self.orders)]
        if self.chance(0.12):  # somebody else has the same idea, or the same somebody has it again
            at = self.random.choice([found[0].at, self.soon(), self.ttl + self.soon()])
            found.append(Wish(at, self.random.choice([ALICE, DAVE]), 0, self.chance(0.5)))
        return tuple(found)

    def deeds(self, wish: Wish) -> list[Deed]:
        random = self.random
        start = wish.at + self.soon()
        eager = [one for one in WHO_MAY if one != wish.who]
        random.shuffle(eager)
        close = self.chance(0.4)
        found = []
        for one in eager[: random.choice([1, 2, 2, 3, 3, 3, 4])]:
            at = start + random.uniform(0, 0.3 if close else 60)
            found.append(self.deed(at, one, Does.APPROVE, wish, twice=self.chance(0.15)))
        if self.chance(0.25):
            found.append(self.deed(start, random.choice([wish.who, *WHO_MAY_NOT]), Does.APPROVE, wish))
        if self.chance(0.15):
            found.append(self.deed(self.near(start), random.choice(eager), Does.APPROVE, wish, outdated=True))
        if self.chance(0.12):
            who = random.choice([*eager, *eager, wish.who, *WHO_MAY_NOT])
            found.append(self.deed(self.near(start), who, Does.DENY, wish))
        if self.chance(0.1):
            who = random.choice([wish.who, wish.who, eager[0]])
            found.append(self.deed(self.near(start), who, Does.WITHDRAW, wish))
        if self.chance(0.15):
            who = random.choice([*eager[:3], wish.who])
            found.append(self.deed(self.near(start), who, Does.TAKE_BACK, wish))
            if self.chance(0.5):
                found.append(self.deed(self.near(start), who, Does.APPROVE, wish))
        if self.chance(0.1):  # whoever forgot comes back at the last moment
            at = wish.at + self.ttl - random.uniform(-2, 5)
            found += [self.deed(at, one, Does.APPROVE, wish) for one in eager[:3]]
        return found

    def near(self, at: float) -> float:
        return at + self.random.choice([0.0, self.random.uniform(0, 2), self.random.uniform(0, 90)])

    def deed(
        self, at: float, who: Person, does: Does, wish: Wish, *, twice: bool = False, outdated: bool = False
    ) -> Deed:
        return Deed(at, who, does, wish.order, self.random.uniform(0.2, 40), twice, outdated)

    def departures(self) -> tuple[Departure, ...]:
        return tuple(
            Departure(
                self.soon(),
                who := self.random.choice([ALICE, *WHO_MAY]),
                self.random.choice(list(Leave)) if who != ERIN else Leave.WORKSPACE,
                self.random.choice([0.0, 30.0, 10 * MINUTE]),
            )
            for _ in range(self.random.choice([1, 2]))
        )

    # --- the rest of the world ------------------------------------------------------------------------

    def changes(self) -> tuple[tuple[float, int, Change], ...]:
        one = (self.soon(), self.random.randrange(self.orders), self.random.choice(list(Change)))
        return (one, (one[0] + self.soon(), one[1], Change.FACTS)) if self.chance(0.3) else (one,)

    def windows(self, longest: float = HOUR) -> tuple[Window, ...]:
        start = self.soon() if self.chance(0.7) else 0.0
        return (Window(start, start + self.random.choice([5.0, 5.0, 60.0, 60.0, 10 * MINUTE, longest])),)

    def steps(self) -> tuple[tuple[float, float], ...]:
        by = self.random.choice([-1, 1]) * self.random.choice([30.0, 10 * MINUTE, HOUR])
        at = self.soon()
        return ((at, by), (at + self.soon(), -by)) if self.chance(0.7) else ((at, by),)

    def strikes(self) -> tuple[Strike, ...]:
        return tuple(self.strike() for _ in range(self.random.choice([1, 1, 1, 2, 3, 5])))

    def strike(self) -> Strike:
        random = self.random
        process = random.randrange(2) if self.shared else 0
        blow = random.choice([*[Blow.KILL] * 5, Blow.STOP, Blow.STOP, Blow.SUSPEND, Blow.TERMINATE])
        if self.shared and self.chance(0.1):
            blow = Blow.CUT
        seconds = random.choice([1.0, 5.0, random.uniform(1, 60), random.uniform(60, 600)])
        if blow in {Blow.STOP, Blow.SUSPEND} and self.chance(0.5):
            seconds = random.uniform(60, 600)  # longer than anything is believed
        if self.chance(0.2):
            return Strike(process, blow, seconds, at=self.soon())
        important = [Effect.LOOKED_UP, Effect.ASKED, Effect.CANCEL, Effect.SENT, Effect.ANSWERED]
        unseen = set() if self.told else {Effect.CALL, Effect.CALLED}
        effect = random.choice([*[one for one in Effect if one not in unseen], *important])
        return Strike(process, blow, seconds, effect, random.randint(1, NTH[effect]))
