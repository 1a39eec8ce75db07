"""The work that is due: who may take it, who holds it, and when there is more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import inf

from sqlalchemy import BindParameter, bindparam, case, func, update
from sqlmodel import col, select
from sqlmodel.sql.sqltypes import UTCDateTime

from bot.store.prepared import Prepared, Upsert
from bot.store.slots import Claimed
from bot.store.tables import ActionRow
from bot.store.transaction import Transaction

NAME_LENGTH = 8
"""Of a worker's name, which its tokens begin with."""


_CLAIMED = (
    ActionRow.id,
    ActionRow.kind,
    ActionRow.key,
    ActionRow.lane,
    ActionRow.due,
    ActionRow.runs,
    ActionRow.token,
)
_UNDONE = ~col(ActionRow.done)
_IS_FREE = col(ActionRow.token).is_(None) | (col(ActionRow.lease) < bindparam("now"))
_IS_NOT_RUNNING = col(ActionRow.id).not_in(bindparam("running", expanding=True))

_SCHEDULE = Prepared(
    Upsert(ActionRow, key=("kind", "key"), changes=("lane", "due", "done", "runs", "token", "lease"))
)
_HELD = Prepared(select(*map(col, _CLAIMED)).where(_UNDONE, col(ActionRow.token) == bindparam("by")))
_HAS_ROOM = col(ActionRow.lane).not_in(bindparam("full", expanding=True))

_FIRST_DUE = (
    select(ActionRow.id)
    .where(_UNDONE, col(ActionRow.due) <= bindparam("now"), _IS_FREE, _IS_NOT_RUNNING, _HAS_ROOM)
    .order_by(col(ActionRow.due), col(ActionRow.id))
    .limit(1)
)
_TAKE = (
    update(ActionRow)
    .values(token=bindparam("by"), lease=bindparam("until"), runs=ActionRow.runs + 1)
    .returning(*map(col, _CLAIMED))
)
_CLAIM = _TAKE.where(col(ActionRow.id).in_(_FIRST_DUE.scalar_subquery()))
_CLAIM_THIS = Prepared(
    _TAKE.where(
        col(ActionRow.kind) == bindparam("what"),
        col(ActionRow.key) == bindparam("about"),
        col(ActionRow.due) <= bindparam("now"),
    )
)
_MINE = (col(ActionRow.id) == bindparam("action")) & (col(ActionRow.token) == bindparam("by"))
_RENEW = Prepared(update(ActionRow).where(_MINE).values(lease=bindparam("until")))
_FINISH = Prepared(update(ActionRow).where(_MINE).values(done=True, token=None, lease=None))
_AGAIN: BindParameter[datetime] = bindparam("again", type_=UTCDateTime())
_HASTENED = col(ActionRow.due) != bindparam("was_due")
_PUT_BACK = Prepared(
    update(ActionRow)
    .where(_MINE)
    .values(due=case((_HASTENED, col(ActionRow.due)), else_=_AGAIN), token=None, lease=None)
    .returning(col(ActionRow.due))
)
_FREE = update(ActionRow).where(_UNDONE, col(ActionRow.token).is_not(None)).values(token=None, lease=None)
_CLAIMABLE = func.coalesce(col(ActionRow.lease), col(ActionRow.due), type_=UTCDateTime())
_NEXT = select(_CLAIMABLE).where(_UNDONE, _IS_NOT_RUNNING, _HAS_ROOM).order_by(_CLAIMABLE).limit(1)


class DueWork(Transaction):
    def schedule(self, kind: str, key: str, lane: str, due: datetime) -> None:
        """Make work due. Rescheduling takes it away from whoever holds it now: their `finish` and
        `put_back` find nothing, and the new due time stands."""
        self.schedule_all([(kind, key, lane, due)])

    def schedule_all(self, work: Sequence[tuple[str, str, str, datetime]]) -> None:
        """`schedule` for many: kind, key, lane and due time of each."""
        anew = {"done": False, "runs": 0, "token": None, "lease": None}
        rows = [{"kind": kind, "key": key, "lane": lane, "due": due} | anew for kind, key, lane, due in work]
        self._change_all(_SCHEDULE, rows)
        for kind, key, lane, due in work:
            self._is_due(due - self.now, 1)
            if due <= self.now:
                self._at_once.append((kind, key, lane))

    def held(self, token: str) -> list[Claimed]:
        """What `token` has claimed, and not given back."""
        return [Claimed(*row) for row in self._ask(_HELD, by=token)]

    def claim(
        self, token: str, lease: timedelta, full: Sequence[str], running: Sequence[int] = ()
    ) -> Claimed | None:
        """Take one due action, leaving out the lanes in `full` and the actions whose task is `running`
        in this process: a step of the clock may end their lease, but not the task. None when there
        is none."""
        until = self.now + lease
        row = self._ask(_CLAIM, by=token, until=until, now=self.now, full=full, running=running).first()
        return None if row is None else Claimed(*row)

    def claim_at_once(self) -> None:
        """Claim what this transaction made due, as far as the worker of this process has room for it."""
        slots, terms = self.slots, self.slots.terms
        if terms is None:
            return
        by = {"by": terms.token, "until": self.now + terms.lease, "now": self.now}
        for kind, key, lane in self._at_once:
            if slots.have_turn_for(lane):
                if not slots.are_at(kind, key):  # else that task sees, when it is done, that it is due anew
                    for row in self._ask(_CLAIM_THIS, what=kind, about=key, **by):
                        self._hold(Claimed(*row))
                self._due_now -= 1

    def claim_all(self) -> timedelta | None:
        """Claim whatever is due for as long as the worker of this process has room. Returns how long until
        there is more for it."""
        slots, terms = self.slots, self.slots.terms
        if terms is None:
            return None
        running = slots.running()
        for lost in self.held(terms.token):
            if lost.id not in running:  # the connection broke right after a commit
                self._change(_RENEW, action=lost.id, by=terms.token, until=self.now + terms.lease)
                self._hold(lost)
        while one := self.claim(terms.token, terms.lease, slots.full(), slots.running()):
            self._hold(one)
        slots.everybody_had_their_turn()
        return self.until_due(slots.full(), slots.running())

    def hasten(self, kind: str, provider: str) -> None:
        """Whatever of this kind waits in the lanes of a provider is due now; of all, if none is named. What
        is under way is due again as soon as it is put back."""
        waits = update(ActionRow).where(col(ActionRow.kind) == kind, _UNDONE)
        if provider:
            lane = col(ActionRow.lane)
            waits = waits.where((lane == provider) | lane.startswith(f"{provider}/", autoescape=True))
        is_under_way = col(ActionRow.token).is_not(None)
        self._change(waits.where((col(ActionRow.due) > self.now) | is_under_way).values(due=self.now))
        self._is_due(timedelta(0))

    def finish(self, action_id: int, token: str) -> bool:
        """False when somebody else has it now, or it is due anew."""
        return self._change(_FINISH, action=action_id, by=token) == 1

    def put_back(self, action_id: int, token: str, was_due: datetime, after: timedelta) -> timedelta | None:
        """Work that was due at `was_due` is to be done again. Returns how soon, which is at once if it was
        hastened meanwhile; None when somebody else has it now."""
        again = self.now + after
        due = self._ask(_PUT_BACK, action=action_id, by=token, was_due=was_due, again=again).scalar()
        return None if due is None else due - self.now

    def free_all_actions(self) -> None:
        """Void every lease. Only for the sole process on a database, at its start."""
        self._change(_FREE)

    def holders(self) -> frozenset[str]:
        """The workers that hold claims, by the `NAME_LENGTH` characters their tokens begin with."""
        name = func.substr(col(ActionRow.token), 1, NAME_LENGTH)
        held = select(name).where(_UNDONE, col(ActionRow.token).is_not(None))
        return frozenset(self._ask(held.distinct()).scalars())

    def free_actions_of(self, name: str) -> None:
        """Void the leases of a worker that is gone."""
        if len(name) != NAME_LENGTH:
            raise ValueError("what is no worker's name may be the beginning of every token")
        self._change(_FREE.where(col(ActionRow.token).startswith(name, autoescape=True)))
        self._is_due(timedelta(0))

    def until_due(self, full: Sequence[str] = (), running: Sequence[int] = ()) -> timedelta | None:
        """How long until the next action can be claimed: at its due time, or at the end of a lease that
        nobody gave back. Left out is what `claim` leaves out. None: there is none."""
        due = self._ask(_NEXT, full=full, running=running).scalar()
        return None if due is None else due - self.now

    def _hold(self, one: Claimed) -> None:
        self.slots.hold(one)
        self.claimed.append(one)

    def _is_due(self, wait: timedelta, pieces: float = inf) -> None:
        if wait <= timedelta(0):
            self._due_now += pieces
        else:
            self._due_in = wait if self._due_in is None else min(self._due_in, wait)
