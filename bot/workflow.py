"""The whole story: load a request, decide, save, and write down what follows. Read this file first.

Each public function is one transaction. When it returns, what it did is durable: the events, the
request, the work that is due and the messages that are owed. It talks to nobody: the worker calls
providers and the outbox calls Slack, later, from what was saved here.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from math import inf
from time import monotonic

from bot import agenda, anchors, announce, once, typed
from bot.accounts import Account, Accounts
from bot.admission import ASK_REFUSED, Admission, Ask, not_again, not_twice, refusal, shown
from bot.anchors import Anchor
from bot.announce import owe
from bot.batch.workflow import Batches
from bot.blocks.refusals import already
from bot.blocks.text import code, literal
from bot.clicks import Click, must_be_its_card, same_card
from bot.commands import (
    Approve,
    Command,
    ConfirmClosing,
    Deny,
    ProposeClosing,
    Question,
    RecordAnswer,
    RecordLoss,
    RecordOrder,
    TakeBack,
    TakePermit,
    Withdraw,
)
from bot.directory import Directory
from bot.errors import AskedBefore, ChainBroken, CountersignError, HeardBefore, Outsider, Refused
from bot.events import AttemptRefused, Event, Requested
from bot.logs import get_logger
from bot.model import (
    BEFORE_PERMIT,
    Eligibility,
    Finding,
    Permit,
    Person,
    Request,
    State,
    Verdict,
    closing_digest,
    order_key,
    reference_key,
)
from bot.pauses import Pauses, count, why_paused
from bot.rules import decide
from bot.simulate import Simulation, simulate
from bot.store import Store, Unit
from bot.store.chain import Head
from bot.views import RequestViews
from providers.contract import Facts, OrderState, Result, Standing

log = get_logger(__name__)

LINKS_AT_ONCE = 5_000
"""That are verified in one transaction: about a fortieth of a second."""
PERMIT_LOST = (
    "A cancel was sent, and the database has lost the record of that since. What the provider said to it:"
)
LOST = "permit_lost"
"""What is noted in the history about it."""
NOT_VERIFIED_YET = "the history is still being verified"
"""After a start. It says why, wherever it is shown; that nothing is sent meanwhile is said there."""


@dataclass(frozen=True, slots=True)
class Policy:
    """What is the same for all accounts."""

    team: str
    requesters: tuple[str, ...]
    """Empty: every member of the workspace."""
    timing: agenda.Timing
    escalate_after: timedelta = timedelta(0)
    escalate_to: tuple[str, ...] = ()
    """Who may decide as well when a request has waited so long; empty: nobody."""


class Workflow(RequestViews):
    """What people and the worker can make happen to requests."""

    def __init__(
        self,
        store: Store,
        accounts: Accounts,
        facts: Mapping[str, Facts],
        policy: Policy,
        directory: Directory,
    ) -> None:
        super().__init__(store)
        self.accounts = accounts
        self._facts = facts
        self.policy = policy
        self._directory = directory
        self.admission = Admission(accounts, policy.team, policy.requesters, directory)
        self._verified = Head()
        self.unverified = NOT_VERIFIED_YET
        """Why the history is not known to be whole, and nothing is executed; empty when it is."""
        self._ends_with: dict[str, Head] = {}
        """The history right after a permit was taken here, by its epoch, until its call was answered."""
        self.broken = ""
        """The same for as long as this process lives, because something was seen to be wrong."""
        self.pauses = Pauses(store, accounts, facts, directory)
        self.batches = Batches(self, store)

    def facts(self, request: Request) -> Facts:
        """The facts of a request's provider, also when it is not configured any more."""
        return self.facts_of(request.provider)

    def facts_of(self, provider: str) -> Facts:
        return self._facts[provider]

    def knows(self, provider: str) -> bool:
        """Whether there is such a provider at all, set up here or not."""
        return provider in self._facts

    def account(self, request: Request) -> Account:
        """Where its calls go: the very account it was asked for, under whatever name that has now.

        Raises `CountersignError` when that is not configured any more. Another account would tell
        about another order.
        """
        account = self.accounts.serving(request.provider, request.account_name, request.account)
        if account is not None:
            return account
        raise CountersignError(f"The account of this request ({request.lane}) is not set up here any more.")

    async def verify_history(self, within: float = inf) -> bool:
        """Walk along the chain, from where the last walk was left. Others can read and write meanwhile.
        Returns whether its end was reached in so many seconds: nothing is executed before that, nor after
        this has raised `ChainBroken`."""
        until = monotonic() + within
        try:
            while (head := await self._store.read_long(_walk_on(self._verified))) != self._verified:
                self._verified = head
                if monotonic() >= until:
                    return False
        except ChainBroken as broken:
            self.distrust(broken)
            raise
        self.unverified = self.broken
        log.info("history_verified", events=self._verified.seq)
        return True

    def distrust(self, broken: ChainBroken) -> None:
        """Execute nothing any more: what is stored is not what happened."""
        self.broken = f"the history does not verify: {broken.advice}; an operator has to look"
        self.unverified = self.broken

    async def go_on(self) -> None:
        """Try at once what waited for something that is not in the way any more."""
        await self._store.write(lambda unit: unit.hasten(agenda.Kind.CANCEL, ""))

    # --- what people do ---------------------------------------------------------------------------

    async def submit(self, ask: Ask, by: Person) -> Request:
        """Ask for a cancellation. The order is looked up next; then the approvers are asked.

        Raises `BadForm` for what can be corrected in the form, `Duplicate` when the order is already
        being dealt with, `AskedBefore` when it ended badly before and the person does not know,
        `Refused` when this person may not ask.
        """
        account = self.admission.check(ask)
        try:
            return await self._submit(ask, by, account)
        except (AskedBefore, HeardBefore):
            raise  # only told: whoever knows may ask all the same, and who has asked knows
        except Refused as refused:
            told = refusal(account, by, refused)
            await self._store.write(lambda unit: unit.note(ASK_REFUSED, told), even_late=True)
            raise

    async def _submit(self, ask: Ask, by: Person, account: Account) -> Request:
        await self.admission.meet(by)
        self.admission.may_ask(by)
        self.admission.can_be_approved(account, by)
        request_id = secrets.token_hex(16)
        facts = account.facts
        key = reference_key(facts.name, account.provider.account, ask.reference)

        def begin(unit: Unit) -> Request:
            if mine := unit.request(request_id):
                return mine  # saved already: the connection broke right after the commit
            once.must_be_first(unit, ask.mark, request_id)
            not_twice(unit, key, by)
            not_again(unit, key, ask.seen)
            event = Requested(
                team=self.policy.team,
                channel=account.channel,
                provider=facts.name,
                account=account.provider.account,
                reference=shown(ask.reference, key, facts),
                reference_key=key,
                requester=by,
                reason=ask.reason,
                quorum=account.quorum,
                approvers=account.approvers,
                expires_at=unit.now + account.ttl,
                account_name=account.name,
                escalation=self.policy.escalate_to,
                escalate_at=unit.now + self.policy.escalate_after if self.policy.escalate_to else None,
            )
            request = unit.begin(request_id, event, ask.reference)
            self._follow(unit, None, request, [event])
            owe(unit, announce.asked(request, facts, ask.origin))
            return request

        return await self._store.write(begin)

    async def meet(self, by: Person) -> None:
        """Somebody is about to decide something for which they must be known: only an approval can wait until
        Slack has said who they are."""
        await self._directory.meet(by)

    async def approve(self, click: Click, by: Person) -> Request:
        """Count one approval, at once or as soon as the directory has confirmed the person."""

        def command(request: Request) -> Command:
            return Approve(by, click.digest, self.verdict(request, by), click.clicked)

        return await self._decide(click.request_id, by, "approve", command, click)

    async def take_back(self, click: Click, by: Person) -> Request:
        """Do not approve any more, which one may until the cancel leaves. Approving again is possible."""
        command = TakeBack(by, click.clicked)
        return await self._decide(click.request_id, by, "take back", lambda _: command, click)

    async def may_deny(self, click: Click, by: Person) -> Request:
        """The request, if `by` could deny it now. Changes nothing; raises `Refused` if not."""
        await self.meet(by)
        return await self._could(click, lambda request: Deny(by, "", self.verdict(request, by)))

    async def deny(self, request_id: str, by: Person, reason: str) -> Request:
        """End the request with a reason. One eligible person is enough."""

        def command(request: Request) -> Command:
            typed.refuse("reason", reason, [request], self.facts(request))
            return Deny(by, reason, self.verdict(request, by))

        await self.meet(by)
        return await self._decide(request_id, by, "deny", command, None)

    async def may_question(self, click: Click, by: Person) -> Request:
        """The request, if `by` could ask something about it now. Changes nothing; raises `Refused` if not."""
        return await self._could(click, lambda request: Question(by, "", self.verdict(request, by)))

    async def question(self, request_id: str, by: Person, question: str) -> Request:
        """Ask the requester something, in the thread of the card. Decides nothing."""

        def command(request: Request) -> Command:
            typed.refuse("question", question, [request], self.facts(request))
            return Question(by, question, self.verdict(request, by))

        return await self._decide(request_id, by, "question", command, None)

    async def withdraw(self, request_id: str, by: Person, click: Click | None = None) -> Request:
        """Take one's own request back."""
        return await self._decide(request_id, by, "withdraw", lambda _: Withdraw(by), click)

    async def may_close(self, click: Click, by: Person) -> Request:
        """The request, if `by` could say now what they found. Changes nothing; raises `Refused` if not."""

        def command(request: Request) -> Command:
            found, shown = Finding.CANNOT_BE_FOUND_OUT, closing_digest(request)
            return ProposeClosing(by, found, "", shown, self.verdict(request, by))

        await self.meet(by)
        return await self._could(click, command)

    async def propose_closing(
        self, request_id: str, by: Person, finding: Finding, evidence: str, digest: str
    ) -> Request:
        """Say what one found out about an order that needs a person. Somebody else has to confirm it.

        `digest` is the `closing_digest` of what `by` was shown. Raises `Refused`.
        """

        def command(request: Request) -> Command:
            typed.refuse("evidence", evidence, [request], self.facts(request))
            return ProposeClosing(by, finding, evidence, digest, self.verdict(request, by))

        await self.meet(by)
        return await self._decide(request_id, by, "propose closing", command, None)

    async def confirm_closing(self, click: Click, by: Person) -> Request:
        """End the request with what somebody else found, exactly as the clicked card shows it."""

        def command(request: Request) -> Command:
            return ConfirmClosing(by, click.digest, self.verdict(request, by))

        await self.meet(by)
        return await self._decide(click.request_id, by, "confirm closing", command, click)

    async def refuse(self, click: Click | None, channel: str, by: Person, problem: CountersignError) -> None:
        """Owe somebody whose click did not count the reason, and who can do what they wanted."""

        def answer(unit: Unit) -> None:
            request = None
            if click and isinstance(problem, Refused):
                request = unit.request(click.request_id) or unit.line_of(click.request_id)
            shown = self.by_name(request) if request and request.team == by.team else None
            owe(unit, announce.refusal(channel, by, problem, shown))

        await self._store.write(answer, even_late=True)

    async def home_opened(self, person: Person) -> None:
        """Somebody looks at the App Home: paint it, and keep it up to date for a while."""

        def note(unit: Unit) -> None:
            unit.home_opened(str(person))
            owe(unit, announce.home(person, is_awaited=True))

        await self._store.write(note, even_late=True)  # Slack was told already that it arrived

    async def simulate(self, account: Account, by: Person) -> Simulation:
        """What would become of a request of `by`, as far as is known now. Raises `Refused` for somebody
        from another workspace."""
        if by.team != self.policy.team:
            raise Outsider("ask here")
        await self._directory.meet(by)

        def look(unit: Unit) -> Simulation:
            return simulate(
                self._directory,
                account,
                by,
                requesters=self.policy.requesters,
                escalation=(self.policy.escalate_after, self.policy.escalate_to),
                paused=why_paused(unit, account.facts, self._facts),
                now=unit.now,
            )

        return await self._store.read(look)

    def may_decide(self, request: Request, person: Person) -> bool:
        """Whether `person` may approve it as far as is known; who cannot be asked about may."""
        return self.verdict(request, person).answer is not Eligibility.NOT_ELIGIBLE

    # --- what the worker does ---------------------------------------------------------------------

    async def load(self, request_id: str) -> tuple[Request, str | None]:
        """A request and its exact reference, which is gone once nothing is looked up any more."""

        def read(unit: Unit) -> tuple[Request, str | None]:
            return self._present(unit, request_id), unit.reference(request_id)

        return await self._store.read(read)

    async def load_to_send(self, request_id: str) -> tuple[Request, str | None, str]:
        """`load`, and why nothing may be sent for it now; empty when nothing is in the way."""

        def read(unit: Unit) -> tuple[Request, str | None, str]:
            request = self._present(unit, request_id)
            stopped = self.unverified or why_paused(unit, self.facts(request), self._facts)
            return request, unit.reference(request_id), stopped

        return await self._store.read(read)

    async def record(self, request_id: str, command: Command) -> Request:
        """Apply what the worker found out."""

        def apply(unit: Unit) -> Request:
            request = self._present(unit, request_id)
            return self._save(unit, request, decide(request, _told_apart(unit, request, command), unit.now))

        return await self._store.write(apply)

    async def answered(self, request_id: str, answer: RecordAnswer) -> Request:
        """Write down what a provider said to the cancel that was sent.

        Raises `ChainBroken` when its permit is gone, as after a failover to a server that lacks the last
        commits. Nothing is executed from then on, and a request that looks as if nothing had been sent
        needs a person.
        """

        def apply(unit: Unit) -> Request | None:
            request = unit.request(request_id)
            if request is not None and unit.has_permit(request_id, answer.epoch):
                return self._save(unit, request, decide(request, answer, unit.now))
            self._note_loss(unit, request_id, request, answer)
            return None

        after = await self._store.write(apply)
        if after is None:
            broken = ChainBroken(0, f"the permit of request {request_id[:8]}, which was sent, is gone")
            self.distrust(broken)
            raise broken
        self._ends_with.pop(answer.epoch, None)
        return after

    def _note_loss(self, unit: Unit, request_id: str, request: Request | None, answer: RecordAnswer) -> None:
        """What the provider said is in the history all the same; every process executes nothing any more
        until an operator has acknowledged what is lacking; and people are told."""
        outcome = answer.outcome
        lost = {"request": request_id, "epoch": answer.epoch, "result": outcome.result, "said": outcome.said}
        unit.note(LOST, lost)
        if end := self._ends_with.get(answer.epoch):
            anchors.remember(unit, [Anchor(end, request_id, State.EXECUTING, unit.now)])
        if outcome.result is Result.NO_EFFECT:
            return
        told = f"{PERMIT_LOST} {outcome.said}".rstrip()
        events = decide(request, RecordLoss(told), unit.now) if request else []
        if request and events:
            self._save(unit, request, events)
            return
        channels = [request.channel] if request else self.pauses.channels("")
        look = f"Request {code(request_id[:8])}: look at its order there."
        text = f":rotating_light: {literal(told, 600)} {look}"
        owe(unit, *(announce.notice(channel, text) for channel in channels))

    async def take_permit(self, request_id: str, command: TakePermit) -> Permit | None:
        """The right to send one cancel, durable, or None when something stands in its way.

        Raises `ChainBroken` when the stored request is not what its history adds up to; nothing is executed
        from then on.
        """

        unverified = self.unverified  # the walk may come to its end meanwhile, and knows more then

        def take(unit: Unit) -> tuple[Permit | None, Head]:
            request = self._present(unit, request_id)
            unit.prove(request, None if unverified else self._verified)
            doubt = command.doubt or unverified or why_paused(unit, self.facts(request), self._facts)
            judged = replace(command, doubt=doubt or _another_first(unit, request, command.order))
            after = self._save(unit, request, decide(request, judged, unit.now))
            mine = after.permit if after.state is State.EXECUTING else None
            return (mine if mine is not None and mine.epoch == command.epoch else None), unit.head()

        try:
            permit, verified = await self._store.write(take)
        except ChainBroken as broken:
            self.distrust(broken)
            raise
        if not unverified:
            self._verified = verified  # the permit included: should it be lost, it is missed
        if permit is not None:
            self._ends_with[permit.epoch] = verified
        return permit

    async def remind(self, request_id: str) -> bool:
        """Owe the approvers a reminder; False when nobody is waited for any more."""

        def remind(unit: Unit) -> bool:
            request = self._present(unit, request_id)
            if request.state not in {State.PENDING, State.NEEDS_PERSON}:
                return False
            owe(unit, announce.reminder(self.by_name(request), self.facts(request)))
            return True

        return await self._store.write(remind)

    async def warn(self, request_id: str) -> None:
        """Owe a last call, if somebody can still do something about a request that is about to expire."""

        def warn(unit: Unit) -> None:
            request = self._present(unit, request_id)
            waits = request.state in {State.PENDING, State.APPROVED}
            if waits and unit.now < request.expires_at:
                owe(unit, announce.last_call(self.by_name(request), self.facts(request)))

        await self._store.write(warn)

    # --- load, decide, save, announce -------------------------------------------------------------

    async def _could(self, click: Click, command: Callable[[Request], Command]) -> Request:
        """The request, if that could be done now from the clicked card. Changes nothing; raises `Refused`
        if not."""

        def look(unit: Unit) -> Request:
            request = self._present(unit, click.request_id)
            must_be_its_card(unit, request, click)
            decide(request, command(request), unit.now)
            return request

        return await self._store.read(look)

    async def _decide(
        self,
        request_id: str,
        by: Person,
        action: str,
        command: Callable[[Request], Command],
        click: Click | None,
    ) -> Request:
        """One person's decision. A refused one is in the history too, and raised after the commit."""

        def decide_and_save(unit: Unit) -> Request | Refused:
            request = self._present(unit, request_id)
            try:
                if click is not None:
                    same_card(unit, request, click)
                events = decide(request, command(request), unit.now)
                if not events:
                    told = already(action, [request])
                    owe(unit, announce.whisper(click.channel if click else "", by, told))
                return self._save(unit, request, events)
            except Refused as refused:
                unit.save(request, [AttemptRefused(by, action, refused.rule, refused.advice)])
                return refused

        result = await self._store.write(decide_and_save)
        if isinstance(result, Refused):
            raise result
        return result

    def _save(self, unit: Unit, before: Request, events: Sequence[Event]) -> Request:
        if not events:
            return before
        after = unit.save(before, events)
        self._follow(unit, before, after, events)
        count(unit, after, events, self.facts(after), self.pauses.channels(after.provider))
        return after

    def _follow(self, unit: Unit, before: Request | None, after: Request, events: Sequence[Event]) -> None:
        if after.batch:
            self.batches.follow(unit, before, after, events)
            return
        due = agenda.due(before, after, events, unit.now, self.policy.timing)
        unit.schedule_all([(work.kind, after.id, work.lane, work.at) for work in due])
        told = announce.owed(before, self.by_name(after), events, self.facts(after))
        owe(unit, *told, *announce.homes(unit))

    def by_name(self, request: Request) -> Request:
        """With whoever is on call now in place of the schedules, as far as that is known: a schedule
        cannot be mentioned."""
        approvers = self._directory.spelled_out(request.approvers)
        return replace(request, approvers=approvers)

    def verdict(self, request: Request, by: Person) -> Verdict:
        """Against the list frozen into the request and the present one: the stricter wins."""
        return self._directory.known(by, *self.approvers_of(request))

    def approvers_of(self, request: Request) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The list frozen into a request, and the present one. Who is to count must be on both."""
        frozen = request.may_decide
        try:
            present = self.account(request).approvers
        except CountersignError:
            return frozen, frozen
        return frozen, (*present, *self.policy.escalate_to) if request.escalated else present


def _another_first(unit: Unit, request: Request, order: OrderState) -> str:
    """Which other open request is about the same order, as it turns out now, and comes first: it was sent, or
    asked for earlier. Empty when there is none."""
    key = order_key(replace(request, order=order))
    others = unit.open_requests_with(key, but=request.id) if key else []
    mine = (request.created_at, request.id)
    first = [o for o in others if o.state not in BEFORE_PERMIT or (o.created_at, o.id) < mine]
    return f"this is also the order of request {first[0].short_id}, which comes first" if first else ""


def _walk_on(head: Head) -> Callable[[Unit], Head]:
    return lambda unit: unit.verify(head, LINKS_AT_ONCE)


def _told_apart(unit: Unit, request: Request, command: Command) -> Command:
    """A first look-up that shows the order of another open request ends this one: two references, one
    order, and it must be cancelled once."""
    if not isinstance(command, RecordOrder):
        return command
    key = order_key(replace(request, order=command.order))
    others = unit.open_requests_with(key, but=request.id) if key else []
    if not others:
        return command
    detail = f"This is the order of request {others[0].short_id}, which is being dealt with already."
    return RecordOrder(replace(command.order, standing=Standing.NOT_CANCELLABLE, detail=detail, identity=""))
