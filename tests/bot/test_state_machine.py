"""Commands in any order, by anybody, against the real rules and the real store.

What must hold is checked on the history by an oracle of its own: it knows the events, not the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy.exc import IntegrityError

from bot.commands import (
    Approve,
    CallPerson,
    Command,
    ConfirmClosing,
    Deny,
    Escalate,
    Expire,
    Judge,
    ProposeClosing,
    Question,
    RecordAnswer,
    RecordFollowUp,
    RecordInterruption,
    RecordOrder,
    TakeBack,
    TakePermit,
    Withdraw,
)
from bot.errors import Refused
from bot.events import (
    Answered,
    ApprovalTakenBack,
    ApprovalVerified,
    ApprovalVoided,
    Approved,
    AttemptRefused,
    Closed,
    ClosingProposed,
    Denied,
    Escalated,
    Event,
    Expired,
    FollowedUp,
    OrderRead,
    Permitted,
    PersonCalled,
    Questioned,
    Requested,
    Withdrawn,
)
from bot.model import (
    BEFORE_PERMIT,
    ENDED,
    OPEN,
    Eligibility,
    Finding,
    Person,
    Request,
    State,
    Verdict,
    closing_digest,
    digest,
    reference_key,
)
from bot.rules import decide
from bot.store import Unit
from bot.store.chain import Head
from bot.store.sqlite import path_of
from providers.contract import OrderState, Outcome, Result, Standing
from tests import postgres
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, DAVE, TEAM
from tests.bot.stores import Clock, opened, url_of
from tests.past_the_bot import dumped

GUEST = Person(TEAM, "U0GUEST")
OUTSIDER = Person("T0OTHER", "U0BOB")
APPROVERS = (BOB, CAROL, DAVE)
EVERYBODY = (*APPROVERS, ALICE, GUEST, OUTSIDER)
ACCOUNT = "https://www.digicert.com northwind"
TTL = timedelta(hours=2)

LIVE = OrderState(Standing.CANCELLABLE, "pending", facts=(("Domain", "a.example"),))
CHANGED = replace(LIVE, facts=(("Domain", "b.example"),))
UNREADABLE = OrderState(Standing.UNREADABLE, detail="No connection.")
OVER = tuple(OrderState(s) for s in (Standing.CANCELLED, Standing.NOT_CANCELLABLE, Standing.NOT_FOUND))

LEFT_TO_PEOPLE = (State.NEEDS_PERSON, State.CLOSED)
SENT = (State.ACCEPTED, State.UNKNOWN, State.NEEDS_PERSON)
YES, NO, UNSURE = Eligibility.ELIGIBLE, Eligibility.NOT_ELIGIBLE, Eligibility.CANNOT_TELL
seldom = st.sampled_from([False, False, False, True])
mostly_yes = st.sampled_from([YES, YES, YES, UNSURE, NO])
people = st.sampled_from(EVERYBODY)
orders_of_people = st.permutations(APPROVERS)
orders = st.sampled_from([LIVE, CHANGED, UNREADABLE, OrderState(Standing.UNCLEAR, "odd"), *OVER])
outcomes = st.builds(
    Outcome,
    st.sampled_from([Result.UNKNOWN, Result.ACCEPTED, *Result]),
    st.sampled_from(["", "said so", "said otherwise"]),
    settled=st.booleans(),
)
findings = st.sampled_from(Finding)
evidences = st.sampled_from(["seen in the list", "somebody told me"])
NOTHING = Outcome(Result.NO_EFFECT, "no connection")
which = st.integers(0, 99)


@dataclass
class Told:
    """What the machine itself did to one request: the truth the history is held against."""

    reference: str
    eligible: set[Person] = field(default_factory=set)
    """Who was ever called eligible for it."""
    seen: Request | None = None
    """As it was after the last step."""


class Anything(RuleBasedStateMachine):
    reached: ClassVar[Counter[State]] = Counter()
    """Over all runs: a machine that gets nowhere proves nothing."""
    permits: ClassVar[Counter[int]] = Counter()

    def __init__(self) -> None:
        super().__init__()
        self.clock = Clock()
        self._made = ExitStack()
        self._database = self.new_database(self._made)
        self._opened = ExitStack()
        self.store = self._opened.enter_context(opened(self._database, self.clock))
        self.told: dict[str, Told] = {}
        self.head = Head()
        self.count = 0

    def new_database(self, made: ExitStack) -> str:
        return url_of(Path(made.enter_context(TemporaryDirectory()), "bot.db"))

    def teardown(self) -> None:
        self._opened.close()
        left = self.left(self._database)
        for told in self.told.values():
            is_over = told.seen is not None and told.seen.state in ENDED
            assert not is_over or told.reference.encode() not in left, "wiped, and still there"
        self._made.close()

    def left(self, database: str) -> bytes:
        return b"".join(path.read_bytes() for path in path_of(database).parent.iterdir())

    # --- what people do -----------------------------------------------------------------------------

    @precondition(lambda self: len(self.told) < 5)
    @rule(
        order=st.integers(0, 1),
        quorum=st.sampled_from([2, 2, 3]),
        found=st.sampled_from([LIVE, LIVE, UNREADABLE, None]),
    )
    def ask(self, order: int, quorum: int, found: OrderState | None) -> None:
        key = reference_key("digicert", ACCOUNT, str(order))
        is_taken = any(r.reference_key == key and r.state in OPEN for r in self.requests())
        try:
            request = self.begin(key, quorum)
            assert not is_taken
        except IntegrityError:
            assert is_taken
            return
        if found:
            self.apply(request.id, RecordOrder(found))

    @precondition(lambda self: self.told)
    @rule(which=which, by=people, answer=mostly_yes, is_old=st.booleans())
    def approve(self, which: int, by: Person, answer: Eligibility, is_old: bool) -> None:
        request = self.pick(which, State.PENDING)
        shown = digest(replace(request, reason="something else") if is_old else request)
        self.apply(request.id, Approve(by, shown, self.verdict(request, by, answer)), by)

    @precondition(lambda self: self.told)
    @rule(which=which, by=people, again=st.sampled_from(["", "older", "newer"]))
    def take_back(self, which: int, by: Person, again: str) -> None:
        """Perhaps an approval arrives after that, from before it or from after it."""
        request = self.pick(which, State.PENDING, State.APPROVED)
        self.count += 1
        before = request.approval_of(by)
        request = self.apply(request.id, TakeBack(by, f"{self.count}.000001"), by)
        assert not (request.state in BEFORE_PERMIT and request.approval_of(by))
        if again and request.state in BEFORE_PERMIT:
            clicked = f"{self.count - (again == 'older')}.000002"
            said = Approve(by, digest(request), self.verdict(request, by, YES), clicked)
            request = self.apply(request.id, said, by)
            if before and again == "older":
                assert not request.approval_of(by), "a click from before counts"

    @precondition(lambda self: self.told)
    @rule(which=which, by=people, answer=mostly_yes, is_late=st.booleans(), sure=st.integers(0, 2))
    def deny(self, which: int, by: Person, answer: Eligibility, is_late: bool, sure: int) -> None:
        request = self.pick(which, *(ENDED if is_late else OPEN))
        if is_late or sure == 0 or by not in APPROVERS:
            self.apply(request.id, Deny(by, "no", self.verdict(request, by, answer)), by)

    @precondition(lambda self: self.told)
    @rule(which=which, by=people, answer=mostly_yes)
    def ask_the_requester(self, which: int, by: Person, answer: Eligibility) -> None:
        request = self.pick(which)
        asked = Question(by, "why?", self.verdict(request, by, answer))
        after = self.apply(request.id, asked, by)
        assert decided(after) == decided(request)
        assert (after.state, after.approvals) == (request.state, request.approvals)

    @precondition(lambda self: self.told)
    @rule(which=which, by=people, sure=st.integers(0, 2))
    def withdraw(self, which: int, by: Person, sure: int) -> None:
        if sure == 0 or by != ALICE:
            self.apply(self.pick(which).id, Withdraw(by), by)

    @precondition(lambda self: self.told)
    @rule(
        which=which, by=people, answer=mostly_yes, found=findings, evidence=evidences, is_blind=st.booleans()
    )
    def say_what_was_found(
        self, which: int, by: Person, answer: Eligibility, found: Finding, evidence: str, is_blind: bool
    ) -> None:
        request = self.pick(which, State.NEEDS_PERSON)
        shown = "0" * 64 if is_blind else closing_digest(request)
        verdict = self.verdict(request, by, answer)
        self.apply(request.id, ProposeClosing(by, found, evidence, shown, verdict), by)

    @precondition(lambda self: self.told)
    @rule(which=which, by=people, answer=mostly_yes, is_old=st.booleans())
    def confirm_what_was_found(self, which: int, by: Person, answer: Eligibility, is_old: bool) -> None:
        request = self.pick(which, State.NEEDS_PERSON)
        shown = closing_digest(replace(request, closing=None) if is_old else request)
        self.apply(request.id, ConfirmClosing(by, shown, self.verdict(request, by, answer)), by)

    @precondition(lambda self: self.told)
    @rule(which=which, by=orders_of_people, found=st.permutations(list(Finding)), more=st.booleans())
    def close(self, which: int, by: list[Person], found: list[Finding], more: bool) -> None:
        """Two people agree, perhaps only after they did not; and whoever must not decide tries to."""
        request = self.pick(which, State.NEEDS_PERSON)
        if request.state not in SENT:
            request = self.bring(which, by)
            good = TakePermit("", request.order or LIVE, self.yes(request), YES, 2, ACCOUNT)
            request = self.take(request, good)
            if request.permit:
                self.apply(request.id, RecordAnswer(request.permit.epoch, Outcome(Result.UNKNOWN)))
        request = self.apply(request.id, CallPerson(epoch_of(request), "nobody knows"))
        first = request
        for person, finding in zip(by[: 1 + more], found, strict=False):
            shown = closing_digest(request)
            for mistaken in (ALICE, OUTSIDER):
                yes = Verdict(mistaken, YES, "mistaken")
                self.apply(request.id, ProposeClosing(mistaken, finding, "seen", shown, yes), mistaken)
            verdict = self.verdict(request, person, YES)
            said = ProposeClosing(person, finding, "seen", shown, verdict)
            request = self.apply(request.id, said, person)
            for mistaken in (person, ALICE, OUTSIDER):
                yes = Verdict(mistaken, YES, "mistaken")
                self.apply(request.id, ConfirmClosing(mistaken, closing_digest(request), yes), mistaken)
        last = by[-1]
        for old in (first, replace(request, reason="something else")):
            verdict = self.verdict(request, last, YES)
            self.apply(request.id, ConfirmClosing(last, closing_digest(old), verdict), last)
        self.apply(request.id, ConfirmClosing(last, closing_digest(request), verdict), last)

    # --- what the worker does -----------------------------------------------------------------------

    @rule(minutes=st.sampled_from([0, 0, 0, 1, 1, 1, 1, 20, 130]))
    def time_passes(self, minutes: int) -> None:
        self.clock.advance(timedelta(minutes=minutes, seconds=1))

    @precondition(lambda self: self.told)
    @rule(which=which)
    def escalate(self, which: int) -> None:
        request = self.apply(self.pick(which, State.PENDING).id, Escalate())
        assert not request.escalated or self.clock() >= (request.escalate_at or self.clock.now)

    @precondition(lambda self: self.told)
    @rule(which=which)
    def expire(self, which: int) -> None:
        self.apply(self.pick(which).id, Expire())

    @precondition(lambda self: self.told)
    @rule(which=which, order=st.one_of(st.just(LIVE), orders))
    def look_up(self, which: int, order: OrderState) -> None:
        self.apply(self.pick(which, State.CHECKING).id, RecordOrder(order))

    @precondition(lambda self: self.told)
    @rule(which=which, answers=st.lists(mostly_yes, min_size=6, max_size=6))
    def judge(self, which: int, answers: list[Eligibility]) -> None:
        request = self.pick(which, State.PENDING)
        verdicts = [self.verdict(request, p, a) for p, a in zip(EVERYBODY, answers, strict=True)]
        self.apply(request.id, Judge(tuple(verdicts)))

    @precondition(lambda self: self.told)
    @rule(which=which, by=orders_of_people, answers=st.lists(outcomes | st.just(NOTHING), max_size=3))
    def carry_on(self, which: int, by: list[Person], answers: list[Outcome]) -> None:
        """As it goes on most days, as far as there are answers; after the last one the process died."""
        request = self.bring(which, by)
        for outcome in (*answers, None):
            command = TakePermit("", request.order or LIVE, self.yes(request), YES, 2, ACCOUNT)
            request = self.take(request, command)
            if outcome and request.permit:
                request = self.apply(request.id, RecordAnswer(request.permit.epoch, outcome))

    @precondition(lambda self: self.told)
    @rule(
        which=which,
        by=orders_of_people,
        order=st.just(CHANGED) | orders,
        last=st.sampled_from(["order", "gone", "late"]),
    )
    def take_a_permit_in_doubt(self, which: int, by: list[Person], order: OrderState, last: str) -> None:
        """Everything is right but for one thing, and each thing in turn. The last one ends the wait."""
        request = self.bring(which, by)
        verdicts = self.yes(request)
        good = TakePermit("", request.order or LIVE, verdicts, YES, 2, ACCOUNT)
        for doubt in (
            replace(good, verdicts=()),
            replace(good, verdicts=_but_for(verdicts, UNSURE)),
            replace(good, requester_present=UNSURE),
            replace(good, requester_present=NO),
            replace(good, quorum=len(request.counted) + 1),
            replace(good, account="https://elsewhere.example"),
            replace(good, doubt="this database is an old copy"),
            replace(good, order=UNREADABLE),
        ):
            self.take(request, doubt)
        if last == "late":
            self.clock.advance(TTL)
        ending = {
            "order": replace(good, order=order),
            "gone": replace(good, verdicts=_but_for(verdicts, NO)),
            "late": good,
        }
        self.take(request, ending[last])

    @precondition(lambda self: self.told)
    @rule(which=which, outcome=outcomes, is_late=seldom)
    def answer(self, which: int, outcome: Outcome, is_late: bool) -> None:
        request = self.pick(which, State.EXECUTING)
        self.apply(request.id, RecordAnswer(epoch_of(request, is_late), outcome))

    @precondition(lambda self: self.told)
    @rule(which=which)
    def find_interrupted(self, which: int) -> None:
        request = self.pick(which, State.EXECUTING)
        self.apply(request.id, RecordInterruption(request.permit.epoch if request.permit else "none"))

    @precondition(lambda self: self.told)
    @rule(which=which, outcome=outcomes, is_late=seldom)
    def follow_up(self, which: int, outcome: Outcome, is_late: bool) -> None:
        request = self.pick(which, *SENT)
        self.apply(request.id, RecordFollowUp(epoch_of(request, is_late), outcome))

    @precondition(lambda self: self.told)
    @rule(which=which, is_late=seldom)
    def call_a_person(self, which: int, is_late: bool) -> None:
        request = self.pick(which, *SENT)
        self.apply(request.id, CallPerson(epoch_of(request, is_late), "nobody knows"))

    # --- what must hold after each of them ----------------------------------------------------------

    @invariant()
    def everything_holds(self) -> None:
        self.head = self.store.read_now(self._check)

    def _check(self, unit: Unit) -> Head:
        spoken_for = [r.reference_key for r in unit.requests(limit=1000) if r.state in OPEN]
        assert len(spoken_for) == len(set(spoken_for)), "two open requests for one order"
        for request_id, told in self.told.items():
            request = unit.request(request_id)
            assert request is not None
            if request != told.seen:
                self._check_request(unit, request, told)
        unit.verify(self.head)
        return unit.verify(Head())

    def _check_request(self, unit: Unit, request: Request, told: Told) -> None:
        unit.prove(request)
        permits = check_history(request, unit.history(request.id), told)
        check_closing(request, unit.history(request.id), told)
        was = told.seen
        assert not was or was.state not in ENDED or decided(was) == decided(request), "it was decided already"
        assert not was or was.state is not State.NEEDS_PERSON or request.state in LEFT_TO_PEOPLE
        if request.state in ENDED:
            assert unit.reference(request.id) is None
        elif request.state is not State.NEEDS_PERSON:  # nothing is looked up any more, yet it is not over
            assert unit.reference(request.id) == told.reference
        told.seen = request
        self.reached[request.state] += 1
        self.permits[permits] += 1

    # --- doing it -----------------------------------------------------------------------------------

    def requests(self) -> list[Request]:
        return self.store.read_now(lambda unit: unit.requests(limit=1000))

    def pick(self, which: int, *states: State) -> Request:
        """One of the requests, most often one in a state in which something may come of it."""
        found = sorted(self.requests(), key=lambda request: request.id)
        fitting = [request for request in found if request.state in (states or OPEN)]
        choice = fitting if fitting and which % 4 else found
        return choice[which % len(choice)]

    def verdict(self, request: Request, person: Person, answer: Eligibility) -> Verdict:
        """Guests and people from outside are never eligible, whatever was drawn."""
        if person in (GUEST, OUTSIDER):
            answer = NO
        if answer is YES:
            self.told[request.id].eligible.add(person)
        return Verdict(person, answer, f"it says {answer}")

    def approve_wrongly(self, request: Request, by: Person, shown: str) -> None:
        """What must be refused: it makes nobody eligible."""
        self.apply(request.id, Approve(by, shown, Verdict(by, YES, "mistaken")), by)

    def begin(self, key: str, quorum: int) -> Request:
        self.count += 1
        event = Requested(
            TEAM, CHANNEL, "digicert", ACCOUNT, "#1", key, ALICE, "twice", quorum, ("S0",), self.clock() + TTL
        )
        if self.count % 2:
            event = replace(event, escalation=("U0BOSS",), escalate_at=self.clock() + TTL / 4)
        told = Told(f"the exact reference {self.count:04}")
        begun = self.store.write_now(lambda unit: unit.begin(f"r{self.count:04}", event, told.reference))
        self.told[begun.id] = told
        return begun

    def bring(self, which: int, by: Sequence[Person]) -> Request:
        """A request that is approved, if that is possible by now; a new one if there is none to approve."""
        request = self.pick(which, State.CHECKING, State.PENDING, State.APPROVED)
        if request.state not in BEFORE_PERMIT:
            request = self.begin(f"order {self.count}", 2 + (which % 3 == 0))
        request = self.apply(request.id, RecordOrder(LIVE))
        for number, person in enumerate(by):
            if request.state is State.PENDING:
                for mistaken in (ALICE, OUTSIDER):
                    self.approve_wrongly(request, mistaken, digest(request))
                self.approve_wrongly(request, person, "0" * 64)
                verdict = self.verdict(request, person, UNSURE if number == 0 and which % 2 else YES)
                request = self.apply(request.id, Approve(person, digest(request), verdict), person)
                request = self.apply(request.id, Judge((verdict,)))
        return request

    def yes(self, request: Request) -> tuple[Verdict, ...]:
        return tuple(Verdict(approval.by, YES, "still on the list") for approval in request.approvals)

    def take(self, request: Request, command: TakePermit) -> Request:
        self.count += 1
        command = replace(command, epoch=f"e{self.count}")
        after = self.apply(request.id, command)
        if after.permit is None or after.permit.epoch != command.epoch:
            return after
        eligible = {verdict.person for verdict in command.verdicts if verdict.answer is YES}
        assert len(eligible & {a.by for a in after.counted}) >= max(command.quorum, after.quorum)
        assert (command.requester_present, command.account, command.doubt) == (YES, ACCOUNT, "")
        assert self.clock() < after.expires_at
        return after

    def apply(self, request_id: str, command: Command, by: Person | None = None) -> Request:
        def work(unit: Unit) -> Request:
            request = unit.request(request_id)
            assert request is not None
            try:
                events = decide(request, command, unit.now)
            except Refused as refused:
                assert by is not None, "only people are refused"
                events = [AttemptRefused(by, type(command).__name__, refused.rule)]
            return unit.save(request, events) if events else request

        return self.store.write_now(work)


class AnythingOnPostgres(Anything):
    reached: ClassVar[Counter[State]] = Counter()
    permits: ClassVar[Counter[int]] = Counter()

    def new_database(self, made: ExitStack) -> str:
        return made.enter_context(postgres.new_database())

    def left(self, database: str) -> bytes:
        return dumped(database)


def epoch_of(request: Request, is_late: bool = False) -> str:
    """Of its permit, or of one that is not the present one."""
    return "an older one" if is_late or request.permit is None else request.permit.epoch


def _but_for(verdicts: tuple[Verdict, ...], answer: Eligibility) -> tuple[Verdict, ...]:
    """The same, but the one on the last of them."""
    return (*verdicts[:-1], *(replace(verdict, answer=answer) for verdict in verdicts[-1:]))


def decided(request: Request) -> object:
    ending = request.decided_by, request.decision, request.closing
    return request.state, request.outcome, *ending, request.ended_at


def check_closing(request: Request, history: Sequence[tuple[Event, datetime]], told: Told) -> None:
    """The oracle for what only people can find out: two of them, who may, agree on the same."""
    (first, _), *_ = history
    assert isinstance(first, Requested)
    finding: ClosingProposed | None = None
    is_waiting, is_closed = False, False
    for event, _ in history:
        assert not is_closed or isinstance(event, AttemptRefused), "closed is closed"
        match event:
            case PersonCalled():
                is_waiting = True
            case ClosingProposed(by) | Closed(by):
                assert is_waiting, "it did not need a person"
                assert by in told.eligible - {first.requester}
                assert by.team == first.team
        match event:
            case ClosingProposed():
                finding = event
            case Closed(by, found, shown, _):
                assert finding is not None
                assert by != finding.by, "one person alone"
                assert found is finding.finding
                assert shown == closing_digest(request)
                is_closed = True
    assert is_closed == (request.state is State.CLOSED)
    assert is_waiting == (request.state in LEFT_TO_PEOPLE)
    said = request.closing and (request.closing.by, request.closing.finding, request.closing.evidence)
    assert said == (finding and (finding.by, finding.finding, finding.evidence))


def check_history(request: Request, history: Sequence[tuple[Event, datetime]], told: Told) -> int:
    """The oracle: fold the events anew, and hold each permit against what had happened by then."""
    (first, created), *rest = history
    assert isinstance(first, Requested)
    order: OrderState | None = None
    approvals: dict[Person, tuple[str, bool]] = {}
    over, permits, proved_without_effect = False, 0, True
    assert request.escalated == any(isinstance(event, Escalated) for event, _ in rest)
    for event, at in rest:
        match event:
            case OrderRead(read):
                order, approvals = read, {} if read not in OVER else approvals
                over = over or read in OVER
            case Approved(by, card, verified, _):
                assert by not in approvals
                assert by != first.requester
                assert card == digest(replace(request, order=order, created_at=created))
                assert not over
                approvals[by] = (card, verified)
            case ApprovalVerified(by, _):
                approvals[by] = (approvals[by][0], True)
            case ApprovalVoided(by, _) | ApprovalTakenBack(by):
                assert not over
                del approvals[by]
            case Escalated():
                assert not over
                assert first.escalate_at is not None
                assert first.escalate_at <= at < first.expires_at
            case Questioned(by):
                assert not over
                assert by != first.requester
            case Denied() | Withdrawn() | Expired():
                over = True
            case Answered(_, outcome) | FollowedUp(outcome):
                proved_without_effect = outcome.result is Result.NO_EFFECT
            case Permitted(_, attempt, found, judged):
                shown = digest(replace(request, order=order, created_at=created))
                again = {v.person for v in judged if v.answer is YES}
                who = {p for p, (card, sure) in approvals.items() if sure and card == shown and p in again}
                assert len(who) >= max(2, first.quorum), "too few approved what is stored"
                assert who <= told.eligible - {first.requester}
                assert {person.team for person in who} == {first.team}
                assert not over
                assert found.standing not in {one.standing for one in OVER}
                assert order is not None
                assert UNREADABLE in (order, found) or found == order, "not the order that was approved"
                assert order == UNREADABLE or found != UNREADABLE, "sent blindly"
                assert at < first.expires_at
                assert proved_without_effect, "sent again without proof that nothing had happened"
                permits, proved_without_effect = permits + 1, False
                assert attempt == permits <= 2
            case _:
                pass
    return permits


@pytest.mark.usefixtures("only_this_machine")
@pytest.mark.parametrize(
    ("machine", "examples", "permits"), [(Anything, 28, {0, 1, 2}), (AnythingOnPostgres, 7, {0, 1})]
)
def test_no_order_of_commands_breaks_a_promise(
    machine: type[Anything], examples: int, permits: set[int]
) -> None:
    machine.reached.clear()
    machine.permits.clear()
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            derandomize=True,
            database=None,
            phases=[Phase.generate],  # shrinking a database's history takes minutes
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
    assert set(machine.permits) >= permits, "a machine that gets nowhere proves nothing"
    assert machine.reached[State.CLOSED], "nor does one that closes nothing"
