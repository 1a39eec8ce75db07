"""The rules. `decide` says what happens, or why it may not; `evolve` says what a request becomes.

Both are pure: time, eligibility and identities come in with the command. A request is exactly what
its events add up to, so replaying the history rebuilds it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import assert_never

from bot.commands import (
    Approve,
    CallPerson,
    Command,
    ConfirmClosing,
    Deny,
    Escalate,
    Expire,
    Hold,
    Judge,
    ProposeClosing,
    Question,
    RecordAnswer,
    RecordFollowUp,
    RecordInterruption,
    RecordLoss,
    RecordOrder,
    TakeBack,
    TakePermit,
    Withdraw,
)
from bot.errors import Outsider, Refused
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
    Held,
    Interrupted,
    OrderRead,
    Permitted,
    PersonCalled,
    Questioned,
    QuorumReached,
    Requested,
    Withdrawn,
)
from bot.model import (
    BEFORE_PERMIT,
    ENDED,
    RESULT_STATE,
    WORDS,
    Approval,
    Closing,
    Eligibility,
    OpenQuestion,
    Permit,
    Person,
    Request,
    State,
    TakenBack,
    Verdict,
    closing_digest,
    digest,
)
from providers.contract import OrderState, Outcome, Result, Standing

MAX_ATTEMPTS = 2
"""A cancel is sent again at most once, and only after proof that the first one changed nothing."""

QUESTIONS_AT_MOST = 20
"""About one request, each of which calls the requester: enough to find out, too few to pester."""

CANNOT_BE_CANCELLED = frozenset({Standing.NOT_CANCELLABLE, Standing.NOT_FOUND})


def decide(request: Request, command: Command, now: datetime) -> list[Event]:
    """Return what happens; an empty list when it has happened already. Changes nothing.

    Raises `Refused` with advice for the person when it may not happen.
    """
    match command:
        case Approve():
            return _approve(request, command, now)
        case TakeBack(by, clicked):
            return _take_back(request, by, clicked)
        case Deny():
            return _deny(request, command, now)
        case Question():
            return _question(request, command, now)
        case Withdraw(by):
            return _withdraw(request, by)
        case Expire():
            return [Expired()] if request.state in BEFORE_PERMIT and now >= request.expires_at else []
        case Escalate():
            return [Escalated()] if _is_to_escalate(request, now) else []
        case RecordOrder(order):
            return [OrderRead(order)] if request.state is State.CHECKING else []
        case Judge(verdicts):
            return _judge(request, verdicts)
        case TakePermit():
            return _take_permit(request, command, now)
        case RecordAnswer(epoch, outcome):
            return [Answered(epoch, outcome)] if _is_answer_to(request, epoch, outcome) else []
        case RecordLoss(why):
            return [PersonCalled(why)] if request.state in BEFORE_PERMIT else []
        case RecordInterruption(epoch):
            return [Interrupted(epoch)] if _is_under_way(request, epoch) else []
        case RecordFollowUp(epoch, outcome):
            return _follow_up(request, outcome) if _is_followed_up(request, epoch) else []
        case CallPerson(epoch, why):
            return [PersonCalled(why)] if _is_followed_up(request, epoch) else []
        case ProposeClosing():
            return _propose_closing(request, command)
        case ConfirmClosing():
            return _confirm_closing(request, command)
        case Hold(why):
            is_news = request.state is State.APPROVED and request.held != why
            return [Held(why)] if is_news else []
        case _:
            assert_never(command)


def evolve(request: Request | None, event: Event, at: datetime, request_id: str) -> Request:
    """Return the request as it is after `event`. Never raises for an event that `decide` returned."""
    if isinstance(event, Requested):
        return _begin(event, at, request_id)
    if request is None:
        raise ValueError(f"the history of {request_id} does not begin with a request")
    changed = _apply(request, event, at)
    ended_at = at if changed.state in ENDED and request.state not in ENDED else changed.ended_at
    return replace(changed, version=request.version + 1, ended_at=ended_at)


def replay(request_id: str, history: Iterable[tuple[Event, datetime]]) -> Request:
    """Rebuild a request from its events."""
    request: Request | None = None
    for event, at in history:
        request = evolve(request, event, at, request_id)
    if request is None:
        raise ValueError(f"there is no history of {request_id}")
    return request


# --- deciding ---------------------------------------------------------------------------------------


def _approve(request: Request, command: Approve, now: datetime) -> list[Event]:
    if request.permit and _is_counted(request, command):
        return []  # the same click once more, after it has led to something
    _may_still_decide(request, command.by, now)
    if command.by == request.requester:
        raise Refused("own_request", "You asked for this cancellation, so somebody else has to approve it.")
    if request.state is State.CHECKING:
        raise Refused(
            "not_looked_up", "The order is still being looked up. The card will ask you in a moment."
        )
    _must_be_approver(command.verdict, needs_certainty=False)
    if bool(request.batch) is not bool(command.whole):
        raise Refused("not_the_card", "This order is decided on together with others, on their common card.")
    before = request.approval_of(command.by)
    if before and before.whole == command.whole:
        return []  # a second click by one person is not a second person
    if command.digest != digest(request):
        raise Refused(
            "old_card", "This card is out of date: the order changed. Look at the new one, then decide."
        )
    if _is_older(command.clicked, request.taken_back_by(command.by)):
        raise Refused(
            "taken_back", "You took that approval back after you had clicked. Approve again if you want to."
        )
    if request.state is State.APPROVED and not request.held:
        raise Refused("enough", "Enough people have approved this already; it is about to be cancelled.")
    verified = command.verdict.answer is Eligibility.ELIGIBLE
    approved = Approved(command.by, command.digest, verified, command.verdict.why, command.whole)
    of_another_list = [ApprovalVoided(command.by, "the list changed since")] if before else []
    return _with_quorum(request, [*of_another_list, approved], now)


def _is_counted(request: Request, command: Approve) -> bool:
    before = request.approval_of(command.by)
    return before is not None and (before.digest, before.whole) == (command.digest, command.whole)


def _is_older(clicked: str, taken_back: TakenBack | None) -> bool:
    """Whether a click was made before the approval was taken back, and only arrives, or arrives again,
    after that. Both times are Slack's."""
    if taken_back is None or not taken_back.clicked:
        return False
    return not clicked or float(clicked) <= float(taken_back.clicked)


def _take_back(request: Request, by: Person, clicked: str) -> list[Event]:
    if by.team != request.team:
        raise Outsider()
    if request.state not in BEFORE_PERMIT:
        raise Refused("too_late", f"It is too late to take an approval back: {_so_far(request)}.")
    if request.approval_of(by) is None:
        before = request.taken_back_by(by)
        if before is not None and clicked and before.clicked == clicked:
            return []  # the same click once more
        raise Refused("no_approval", "You have not approved this request, so there is nothing to take back.")
    return [ApprovalTakenBack(by, clicked)]


def _deny(request: Request, command: Deny, now: datetime) -> list[Event]:
    if request.state is State.DENIED and request.decided_by == command.by:
        return []
    _may_still_decide(request, command.by, now)
    if command.by == request.requester:
        raise Refused("own_request", "This is your own request. Use Withdraw to take it back.")
    _must_be_approver(command.verdict, needs_certainty=True)
    return [Denied(command.by, command.reason, command.verdict.why)]


def _question(request: Request, command: Question, now: datetime) -> list[Event]:
    _may_still_decide(request, command.by, now)
    if command.by == request.requester:
        raise Refused("own_request", "This is your own request. Say in its thread what others should know.")
    _must_be_approver(command.verdict, needs_certainty=False)
    if any((one.by, one.question) == (command.by, command.question) for one in request.questions):
        return []
    if len(request.questions) >= QUESTIONS_AT_MOST:
        raise Refused("too_many", "There are enough questions already. Go on in the thread of the card.")
    return [Questioned(command.by, command.question)]


def _withdraw(request: Request, by: Person) -> list[Event]:
    if by != request.requester:
        raise Refused(
            "not_requester", "Only the person who asked can withdraw this request; others can deny it."
        )
    if request.state is State.WITHDRAWN:
        return []
    if request.state not in BEFORE_PERMIT:
        raise Refused("too_late", f"It is too late to withdraw: {_so_far(request)}.")
    return [Withdrawn(by)]


def _is_to_escalate(request: Request, now: datetime) -> bool:
    at = request.escalate_at
    waits = request.state is State.PENDING and not request.escalated and bool(request.escalation)
    return waits and at is not None and at <= now < request.expires_at


def _judge(request: Request, verdicts: Sequence[Verdict]) -> list[Event]:
    """Count or drop the approvals that could not be confirmed at the click."""
    if request.state not in {State.PENDING, State.APPROVED}:
        return []
    events: list[Event] = []
    for verdict in verdicts:
        approval = request.approval_of(verdict.person)
        if approval is None or approval.verified:
            continue
        if verdict.answer is Eligibility.ELIGIBLE:
            events.append(ApprovalVerified(verdict.person, verdict.why))
        elif verdict.answer is Eligibility.NOT_ELIGIBLE:
            events.append(ApprovalVoided(verdict.person, verdict.why))
    return _with_quorum(request, events, request.created_at)


def _take_permit(request: Request, command: TakePermit, now: datetime) -> list[Event]:
    """Judge everything once more. Returns a permit, or what stands in its way."""
    if request.state is not State.APPROVED:
        return []
    if now >= request.expires_at:
        return [Expired()]
    if stopped := _order_stands_in_the_way(request, command.order):
        return stopped
    gone = [v for v in command.verdicts if v.answer is Eligibility.NOT_ELIGIBLE]
    if voided := [ApprovalVoided(v.person, v.why) for v in gone if request.approval_of(v.person)]:
        return [*voided]
    if doubt := _doubt(request, command):
        return [Held(doubt)] if doubt != request.held else []
    return [Permitted(command.epoch, request.attempts + 1, command.order, command.verdicts)]


def _order_stands_in_the_way(request: Request, order: OrderState) -> list[Event]:
    if order.standing is Standing.CANCELLED or order.standing in CANNOT_BE_CANCELLED:
        return [OrderRead(order)]
    if request.order and request.order.target and order.target not in ("", request.order.target):
        return [OrderRead(order)]  # whatever could be read of it: the reference leads elsewhere by now
    if order.standing is Standing.UNREADABLE:
        return []  # _doubt holds it, unless the approvers knew that it cannot be read
    if request.order is None or request.order.standing is Standing.UNREADABLE:
        return []  # what was approved unseen turns out to be cancellable or unclear: nothing contradicts
    return [] if _looks_the_same(request.order, order) else [OrderRead(order)]


def _looks_the_same(approved: OrderState, now: OrderState) -> bool:
    """The provider's word for the state may move on by itself; what matters of it is in the facts."""
    return (approved.standing, approved.known_as, approved.facts) == (now.standing, now.known_as, now.facts)


def _doubt(request: Request, command: TakePermit) -> str:
    """Why nothing may be sent at the moment; empty when there is no doubt."""
    if command.doubt:
        return command.doubt
    if command.account != request.account:
        return "the account in the settings is not the one that was approved; ask anew"
    if any(a.digest != digest(request) for a in request.approvals):
        return "what is stored is not what was approved; an operator has to look"
    if command.order.standing is Standing.UNREADABLE and not _was_unreadable(request):
        return command.order.detail or "the provider could not be asked"
    if command.requester_present is not Eligibility.ELIGIBLE:
        return "the requester could not be confirmed as a member of this workspace"
    confirmed = {v.person for v in command.verdicts if v.answer is Eligibility.ELIGIBLE}
    counted = {a.by for a in request.counted} & confirmed - {request.requester}
    if len(counted) < max(request.quorum, command.quorum):
        unsure = [v.why for v in command.verdicts if v.answer is Eligibility.CANNOT_TELL]
        return unsure[0] if unsure else "more approvals are needed now than when it was asked for"
    return ""


def _was_unreadable(request: Request) -> bool:
    return request.order is not None and request.order.standing is Standing.UNREADABLE


def _follow_up(request: Request, outcome: Outcome) -> list[Event]:
    if outcome.result is Result.NO_EFFECT and request.state is State.ACCEPTED:
        return []  # the provider took it; that the order is still there only means "not yet"
    was_answered = request.outcome is not None and request.outcome.settled
    if outcome.result is Result.NO_EFFECT and request.outcome and was_answered:
        # The provider had answered, with something that is no success, and the order is as it was:
        # that was a no. Asking again would get the same answer.
        return [FollowedUp(replace(request.outcome, result=Result.REFUSED))]
    if _says_nothing_new(request, outcome):
        return []
    # Whether the cancel itself was answered is not for a look-up to say.
    return [FollowedUp(replace(outcome, settled=was_answered))]


def _says_nothing_new(request: Request, outcome: Outcome) -> bool:
    known = request.outcome
    if outcome.result is Result.UNKNOWN:
        return request.state is not State.UNKNOWN or known is None or known.said == outcome.said
    return known is not None and (known.result, known.said) == (outcome.result, outcome.said)


def _propose_closing(request: Request, command: ProposeClosing) -> list[Event]:
    _may_close(request, command.by, command.verdict)
    known = request.closing
    said = (command.by, command.finding, command.evidence)
    if known and (known.by, known.finding, known.evidence) == said:
        return []
    if command.digest != closing_digest(request):
        raise Refused(
            "old_card", "Somebody has said meanwhile what they found. Look at the card again, then decide."
        )
    return [ClosingProposed(*said, why=command.verdict.why)]


def _confirm_closing(request: Request, command: ConfirmClosing) -> list[Event]:
    found = request.closing
    if request.state is State.CLOSED and found and found.confirmed_by == command.by:
        return []
    _may_close(request, command.by, command.verdict)
    if found is None:
        raise Refused("nothing_found", "Nobody has said yet what they found, so there is nothing to confirm.")
    if command.by == found.by:
        raise Refused("own_finding", "You found this yourself, so somebody else has to confirm it.")
    if command.digest != closing_digest(request):
        raise Refused(
            "old_card",
            "This card is out of date: somebody found something else. Look at it again, then decide.",
        )
    return [Closed(command.by, found.finding, command.digest, command.verdict.why)]


def _may_close(request: Request, by: Person, verdict: Verdict) -> None:
    """Two people close what needs a person, as certain about both as about one who denies."""
    if by.team != request.team:
        raise Outsider()
    if request.state in ENDED:
        raise Refused("decided", f"This request has been decided: {_so_far(request)}.")
    if request.state is not State.NEEDS_PERSON:
        raise Refused("needs_nobody", f"There is nothing to close here: {_so_far(request)}.")
    if by == request.requester:
        raise Refused("own_request", "This is your own request, so two other people have to close it.")
    _must_be_approver(verdict, needs_certainty=True)


def _may_still_decide(request: Request, by: Person, now: datetime) -> None:
    if by.team != request.team:
        raise Outsider()
    if request.state not in BEFORE_PERMIT:
        raise Refused("decided", f"This request has been decided: {_so_far(request)}.")
    if now >= request.expires_at:
        raise Refused("expired", "This request has expired. It can be asked anew.")


def _must_be_approver(verdict: Verdict, *, needs_certainty: bool) -> None:
    if verdict.answer is Eligibility.NOT_ELIGIBLE:
        raise Refused("not_approver", f"You cannot decide on this request: you are {verdict.why}.")
    if needs_certainty and verdict.answer is Eligibility.CANNOT_TELL:
        raise Refused(
            "cannot_verify", f"It could not be confirmed that you may decide ({verdict.why}). Try again."
        )


def _with_quorum(request: Request, events: list[Event], now: datetime) -> list[Event]:
    after = request
    for event in events:
        after = _apply(after, event, now)
    reached = after.state is State.PENDING and len(after.counted) >= after.quorum
    return [*events, QuorumReached()] if reached else events


def _is_under_way(request: Request, epoch: str) -> bool:
    return request.state is State.EXECUTING and _is_present(request, epoch)


def _is_answer_to(request: Request, epoch: str, outcome: Outcome) -> bool:
    """The answer also counts when somebody took its worker for dead meanwhile: nobody else heard it."""
    if _is_under_way(request, epoch):
        return True
    tells = outcome.result is not Result.UNKNOWN
    return tells and request.state is State.UNKNOWN and _is_present(request, epoch)


def _is_followed_up(request: Request, epoch: str) -> bool:
    """What was found out about an earlier attempt says nothing about the present one."""
    return request.state in {State.ACCEPTED, State.UNKNOWN} and _is_present(request, epoch)


def _is_present(request: Request, epoch: str) -> bool:
    return request.permit is not None and request.permit.epoch == epoch


def _so_far(request: Request) -> str:
    return {
        State.EXECUTING: "it is being cancelled right now",
        State.ACCEPTED: "the provider has accepted the cancellation",
        State.UNKNOWN: "the cancellation was sent and its outcome is being checked",
        State.NEEDS_PERSON: "the cancellation was sent and people have to find out what became of it",
        State.CLOSED: "people have closed it",
    }.get(request.state, WORDS[request.state])


# --- evolving ---------------------------------------------------------------------------------------


def _begin(event: Requested, at: datetime, request_id: str) -> Request:
    return Request(
        id=request_id,
        state=State.CHECKING,
        team=event.team,
        channel=event.channel,
        provider=event.provider,
        account=event.account,
        reference=event.reference,
        reference_key=event.reference_key,
        requester=event.requester,
        reason=event.reason,
        quorum=event.quorum,
        approvers=event.approvers,
        created_at=at,
        expires_at=event.expires_at,
        account_name=event.account_name,
        escalation=event.escalation,
        escalate_at=event.escalate_at,
        batch=event.batch,
        version=1,
    )


def _apply(request: Request, event: Event, at: datetime) -> Request:
    match event:
        case OrderRead(order):
            return _read(request, order)
        case Approved(by, card, verified, _, whole):
            approval = Approval(by, card, at, verified, whole)
            return replace(request, approvals=(*request.approvals, approval))
        case ApprovalVerified(by, _):
            confirmed = tuple(replace(a, verified=True) if a.by == by else a for a in request.approvals)
            return replace(request, approvals=confirmed)
        case ApprovalVoided(by, _):
            return _void(request, by)
        case ApprovalTakenBack(by, clicked):
            others = tuple(one for one in request.taken_back if one.by != by)
            return replace(_void(request, by), taken_back=(*others, TakenBack(by, clicked)))
        case QuorumReached():
            return replace(request, state=State.APPROVED, held="")
        case Denied(by, reason):
            return replace(request, state=State.DENIED, decided_by=by, decision=reason)
        case Questioned(by, question):
            return replace(request, questions=(*request.questions, OpenQuestion(by, question, at)))
        case Withdrawn(by):
            return replace(request, state=State.WITHDRAWN, decided_by=by)
        case Expired():
            return replace(request, state=State.EXPIRED)
        case Escalated():
            return replace(request, escalated=True)
        case Held(why):
            return replace(request, held=why)
        case Permitted(epoch, attempt, order, _):
            permit = Permit(epoch, attempt, at, order)
            return replace(request, state=State.EXECUTING, permit=permit, attempts=attempt, held="")
        case Answered(_, outcome) | FollowedUp(outcome):
            return _conclude(request, outcome)
        case Interrupted(_):
            return _conclude(request, Outcome(Result.UNKNOWN, "The bot was interrupted.", "interrupted"))
        case PersonCalled(why):
            found = Outcome(Result.UNKNOWN, why, "needs_person")
            return replace(request, state=State.NEEDS_PERSON, outcome=found)
        case ClosingProposed(by, finding, evidence, _):
            return replace(request, closing=Closing(by, finding, evidence, at))
        case Closed(by):
            found_out = replace(request.closing, confirmed_by=by) if request.closing else None
            return replace(request, state=State.CLOSED, closing=found_out)
        case AttemptRefused() | Requested():
            return request
        case _:
            assert_never(event)


def _read(request: Request, order: OrderState) -> Request:
    """What people decide on is now this order; approvals of anything else are void."""
    if order.standing is Standing.CANCELLED:
        state = State.ALREADY_CANCELLED
    elif order.standing in CANNOT_BE_CANCELLED:
        state = State.NOT_CANCELLABLE
    else:
        return replace(request, order=order, approvals=(), state=State.PENDING, held="")
    return replace(request, order=order, state=state, held="")


def _void(request: Request, by: Person) -> Request:
    left = replace(request, approvals=tuple(a for a in request.approvals if a.by != by))
    enough = len(left.counted) >= request.quorum
    back = State.PENDING if request.state is State.APPROVED and not enough else request.state
    return replace(left, state=back)


def _conclude(request: Request, outcome: Outcome) -> Request:
    if outcome.result is Result.NO_EFFECT:
        may_repeat = request.attempts < MAX_ATTEMPTS
        state = State.APPROVED if may_repeat else State.FAILED
    else:
        state = RESULT_STATE[outcome.result]
    return replace(request, state=state, outcome=outcome)
