"""May this be asked for: the form, the person, and what is known of the order already."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any

from bot import typed
from bot.accounts import Account, Accounts
from bot.directory import Directory
from bot.errors import AskedBefore, BadForm, Duplicate, Outsider, Refused
from bot.model import Eligibility, Person, State
from bot.store import Unit
from providers.contract import Facts

ASK_REFUSED = "ask_refused"
"""What is noted in the history when somebody may not ask."""
TELL_FOR = timedelta(days=7)
"""How long an earlier request for the same order is told to whoever asks again."""
WORTH_KNOWING = frozenset({State.DENIED, State.CANCELLED, State.ALREADY_CANCELLED, State.REFUSED})
A_DAY_PER_ORDER = 5
"""Requests for one order within a day: approvers are not to be worn down."""
OPEN_PER_REQUESTER = 20
"""Open requests one person may have: enough for a bad day, too few to wear approvers down."""


ASKER_COUNTS_FOR = 600.0
"""Seconds for which it counts what Slack said about somebody who asks: they may take their time over the
form. Before anything is sent Slack is asked about them again."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What somebody typed into the form."""

    provider: str
    reference: str
    reason: str
    origin: str = ""
    """The channel it was typed in; empty when it was not typed in one."""
    account: str = ""
    """Which of the provider's accounts; may be empty where there is only one."""
    seen: str = ""
    """The earlier request about this order that the person was told about, by its ID."""
    mark: str = ""
    """Stands for the form that was sent, which counts once."""


class Admission:
    """Raises `BadForm` for what can be corrected in the form, and `Refused` for the rest."""

    def __init__(
        self, accounts: Accounts, team: str, requesters: tuple[str, ...], directory: Directory
    ) -> None:
        """`requesters`: who may ask; empty for every member of the workspace."""
        self._accounts = accounts
        self._team = team
        self._requesters = requesters
        self._directory = directory

    def chosen(self, ask: Ask) -> Account:
        names = self._accounts.names_of(ask.provider)
        if not names:
            raise BadForm({"provider": "Choose one of the providers that are set up here."})
        account = self._accounts.find(ask.provider, ask.account or names[0])
        if account is None or (len(names) > 1 and not ask.account):
            raise BadForm({"account": f"Choose one of the accounts: {', '.join(names)}."})
        return account

    def check(self, ask: Ask) -> Account:
        account = self.chosen(ask)
        errors: dict[str, str] = {}
        facts = account.facts
        if len(ask.reference) > 512 or not facts.reference.fullmatch(ask.reference):
            errors["reference"] = (
                f"This cannot be right: a {facts.label} {facts.reference_label} is "
                f"{facts.reference_form.rstrip('.')}."
            )
        if not ask.reason.strip():
            errors["reason"] = "Say why, so that the approvers can judge."
        elif problem := typed.complaint("reason", ask.reason):
            errors["reason"] = problem
        elif facts.reference_is_secret and ask.reference and ask.reference in ask.reason:
            errors["reason"] = typed.reveals("reason")
        if errors:
            raise BadForm(errors)
        return account

    async def meet(self, by: Person) -> None:
        """Somebody asks, so Slack should have said who they are. They wait for it, but not for long."""
        if self._requesters:
            await self._directory.meet(by, ASKER_COUNTS_FOR)

    def may_ask(self, by: Person) -> None:
        if by.team != self._team:
            raise Outsider("ask here")
        if not self._requesters:
            return
        verdict = self._directory.known(by, self._requesters, max_age=ASKER_COUNTS_FOR, of="requesters")
        if verdict.answer is Eligibility.CANNOT_TELL:
            raise Refused("cannot_verify", "It could not be confirmed that you may ask. Try again.")
        if verdict.answer is Eligibility.NOT_ELIGIBLE:
            raise Refused("not_requester", "You are not among the people who may ask for a cancellation.")

    def can_be_approved(self, account: Account, by: Person) -> None:
        """Refuse at once what could never get its approvals. Who is not known may be eligible."""
        possible = self._directory.possible(account.approvers, self._team)
        if possible is None or len(possible - {by.user}) >= account.quorum:
            return
        left = len(possible - {by.user})
        raise Refused(
            "no_quorum",
            f"{account.quorum} people have to approve, and besides you only {left} of the approvers could: "
            "the others are deactivated, guests, bots or from outside. Whoever runs the bot can add some.",
        )


def not_twice(unit: Unit, key: str, by: Person) -> None:
    if existing := unit.open_request_for(key):
        raise Duplicate(
            existing.id,
            f"This order is already being dealt with in request {existing.short_id}. "
            f"/cancel-order status {existing.short_id} shows how far it is.",
        )
    mine = unit.open_requests_of(str(by))
    if mine >= OPEN_PER_REQUESTER:
        raise Refused("too_many", f"You have {mine} open requests. Wait for some of them, or withdraw some.")


def refusal(account: Account, by: Person, refused: Refused) -> dict[str, Any]:
    """For the history: there is no request that it could belong to."""
    told = {"rule": refused.rule, "why": refused.advice}
    return told | {"by": asdict(by), "provider": account.facts.name, "account": account.name}


def not_again(unit: Unit, key: str, seen: str) -> None:
    """What became of earlier requests for this order is said before approvers are asked once more."""
    earlier = unit.requests_for(key, since=unit.now - TELL_FOR)
    lately = [one for one in earlier if one.created_at > unit.now - timedelta(days=1)]
    if len(lately) >= A_DAY_PER_ORDER:
        raise Refused(
            "asked_too_often",
            f"This order has been asked for {len(lately)} times within a day. Talk to the approvers first.",
        )
    told = next((one for one in earlier if one.state in WORTH_KNOWING), None)
    if told is not None and told.id != seen:
        raise AskedBefore(told.id, f"This order was asked for before, in request {told.short_id}.")


def shown(reference: str, key: str, facts: Facts) -> str:
    """What people see of a reference: a secret one only as a fingerprint that tells two apart."""
    return f"#{key[:10]}" if facts.reference_is_secret else reference
