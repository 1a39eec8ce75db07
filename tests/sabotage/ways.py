"""The ways in which bots of this kind are usually wrong, as edits of ours."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Edit:
    path: str
    old: str
    new: str

    def apply(self, text: str) -> str:
        """Raises `ValueError` when the code has moved on and the edit fits no more."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.path} has {text.count(self.old)} places that read {self.old!r}")
        return text.replace(self.old, self.new)


@dataclass(frozen=True)
class Way:
    name: str
    what: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
    """Where it is to be noticed: pytest's arguments."""


def one(name: str, what: str, path: str, old: str, new: str, *tests: str) -> Way:
    return Way(name, what, (Edit(path, old, new),), tests)


WAYS = (
    Way(
        "send-before-permit",
        "the cancel leaves before the permit is written",
        (
            Edit(
                "bot/worker.py",
                "        permit = await self._workflow.take_permit(request.id, command)\n",
                "        sender = self._workflow.account(request).provider\n"
                "        answer = await sender.cancel(reference, '', order)\n"
                "        permit = await self._workflow.take_permit(request.id, command)\n",
            ),
            Edit(
                "bot/worker.py",
                "outcome = await self._send(request, reference, permit, asked_at)",
                "outcome = answer",
            ),
        ),
        ("tests/test_crash.py", "tests/test_doubt.py"),
    ),
    one(
        "resend-after-crash",
        "a permit without an answer is taken for work that is still to be done",
        "bot/worker.py",
        "if request.state is State.EXECUTING and request.permit is not None:",
        "if request.state is State.EXECUTING and request.permit is not None and reference is not None:\n"
        "            await self._send(request, reference, request.permit, self._elapsed())",
        "tests/test_crash.py",
    ),
    one(
        "no-quarantine",
        "a look-up right after a lost answer is believed",
        "bot/worker.py",
        "return timedelta(0) if settled else self._deadlines.reconcile_after",
        "return timedelta(0)",
        "tests/test_doubt.py",
    ),
    one(
        "endless-attempts",
        "a cancel without effect is sent again and again",
        "bot/rules.py",
        "MAX_ATTEMPTS = 2",
        "MAX_ATTEMPTS = 99",
        "tests/bot/test_rules.py",
    ),
    one(
        "client-retries",
        "the HTTP client repeats a cancel by itself",
        "providers/http.py",
        "        async with _deadline(min(self._limits.timeout, fence.left()), progress):\n"
        "            return await self._exchange(request, progress)\n",
        "        async with _deadline(min(self._limits.timeout, fence.left()), progress):\n"
        "            try:\n"
        "                return await self._exchange(request, progress)\n"
        "            except NoAnswer:\n"
        "                return await self._exchange(request, progress)\n",
        "tests/providers/test_http.py",
    ),
    one(
        "no-fence",
        "a process that was stopped sends when it goes on",
        "providers/http.py",
        "if event == _FIRST_BYTE and self._changes and fence.is_closed():",
        "if False:",
        "tests/providers/test_fence.py",
    ),
    one(
        "quorum-one-less",
        "one approval less than required is enough",
        "bot/rules.py",
        "len(after.counted) >= after.quorum",
        "len(after.counted) >= after.quorum - 1",
        "tests/bot/test_rules.py",
    ),
    one(
        "quorum-one-more",
        "the quorum is compared with > instead of >=",
        "bot/rules.py",
        "len(after.counted) >= after.quorum",
        "len(after.counted) > after.quorum",
        "tests/bot/test_rules.py",
    ),
    one(
        "own-request",
        "requesters may approve what they asked for",
        "bot/rules.py",
        '    if command.by == request.requester:\n        raise Refused("own_request", "You asked for this',
        '    if False:\n        raise Refused("own_request", "You asked for this',
        "tests/bot/test_rules.py",
    ),
    one(
        "double-click",
        "a second click by one person is a second vote",
        "bot/rules.py",
        "    if before and before.whole == command.whole:\n        return []",
        "    if False:\n        return []",
        "tests/test_flows.py",
        "tests/bot/test_rules.py",
    ),
    one(
        "eligible-at-the-click",
        "who may approve is asked at the click only",
        "bot/rules.py",
        "confirmed = {v.person for v in command.verdicts if v.answer is Eligibility.ELIGIBLE}",
        "confirmed = {a.by for a in request.approvals}",
        "tests/bot/test_rules.py",
    ),
    one(
        "any-card",
        "an approval of an older card counts for the new one",
        "bot/rules.py",
        "    if command.digest != digest(request):\n",
        "    if False:\n",
        "tests/bot/test_rules.py",
    ),
    one(
        "order-changed",
        "the order is not looked at again before the permit",
        "bot/rules.py",
        "    if stopped := _order_stands_in_the_way(request, command.order):\n        return stopped\n",
        "",
        "tests/bot/test_rules.py",
    ),
    one(
        "never-expires",
        "a request that expired may still be sent",
        "bot/rules.py",
        "    if now >= request.expires_at:\n        return [Expired()]\n",
        "",
        "tests/bot/test_rules.py",
    ),
    one(
        "unread-is-empty",
        "a directory that cannot be read is taken for a yes",
        "bot/directory.py",
        'return Verdict(person, Eligibility.CANNOT_TELL, "the profile could not be read from Slack")',
        'return Verdict(person, Eligibility.ELIGIBLE, "the profile could not be read from Slack")',
        "tests/bot/test_directory.py",
    ),
    one(
        "last-writer-wins",
        "a request is saved although somebody else saved it in between",
        "bot/store/requests.py",
        'col(RequestRow.version) == bindparam("was_version")',
        'bindparam("was_version") > 0',
        "tests/bot/test_store.py",
    ),
    one(
        "together-for-better-or-worse",
        "whoever waited for the database with somebody whose wish failed gets nothing either",
        "bot/store/together.py",
        "            self._one_by_one += begun or wishes[:1]\n",
        "            if begun:\n"
        "                for wish in wishes:\n"
        "                    wish.problem = RuntimeError('somebody else failed')\n"
        "                return wishes\n"
        "            self._one_by_one += wishes[:1]\n",
        "tests/bot/test_together.py",
    ),
    one(
        "stored-after-all",
        "a click of which Slack has said that it failed is counted when the database has time for it",
        "bot/doors/bolt.py",
        ", within(WORTH_WRITING):",
        ":",
        "tests/test_doubt.py",
    ),
    one(
        "late-with-the-others",
        "what waited too long is written if the transaction it shares could be begun",
        "bot/store/together.py",
        "        must_not_have_passed(self.until)\n",
        "",
        "tests/bot/test_together.py",
    ),
    one(
        "tried-for-nobody",
        "what it is too late for holds up the database for two seconds more",
        "bot/store/store.py",
        "            must_not_have_passed(piece.until)  # rather",
        "            # rather",
        "tests/bot/test_together.py",
    ),
    one(
        "held-in-vain",
        "what was claimed in a transaction that came to nothing counts as under way",
        "bot/store/store.py",
        "                self.slots.let_go(unit.claimed)\n",
        "                del unit\n",
        "tests/bot/test_slots.py",
    ),
    one(
        "claimed-and-forgotten",
        "a claim whose commit was not heard of lies until its lease ends",
        "bot/store/work.py",
        "            if lost.id not in running:",
        "            if False:",
        "tests/bot/test_slots.py",
    ),
    one(
        "overtaken",
        "what becomes due is taken before what waits for room",
        "bot/store/slots.py",
        "return lane not in self._waited_for",
        "return lane not in self._full()",
        "tests/bot/test_slots.py",
    ),
    one(
        "done-twice-at-a-time",
        "work that is due anew is begun while it is under way",
        "bot/store/work.py",
        "if not slots.are_at(kind, key):",
        "if not slots.are_at(kind, ''):",
        "tests/bot/test_slots.py",
    ),
    one(
        "kept-after-a-failed-commit",
        "the next transaction begins on a connection on which one could not be ended",
        "bot/store/store.py",
        "                self._drop()  # it may be lost, or in a transaction still whose commit failed\n",
        "",
        "tests/bot/test_together.py",
    ),
    one(
        "one-transaction-without-end",
        "a transaction takes whatever waits, however long that holds up everybody else",
        "bot/store/together.py",
        "while monotonic() < until and",
        "while",
        "tests/bot/test_together.py",
    ),
    one(
        "unproved",
        "a stored request is believed without its history",
        "bot/workflow.py",
        "            unit.prove(request, None if unverified else self._verified)\n",
        "",
        "tests/test_doubt.py",
    ),
    one(
        "end-forgotten",
        "what was known of the history before is not asked for when a permit is taken",
        "bot/workflow.py",
        "unit.prove(request, None if unverified else self._verified)",
        "unit.prove(request, None)",
        "tests/test_doubt.py",
    ),
    one(
        "pages-that-do-not-join",
        "a page of the chain begins behind the number with which the one before it ended",
        "bot/store/history.py",
        "        known = self._ask(_LINKS_FROM, since=head.seq, most=most + 1).all()\n",
        "        known = [(head.seq, head.hash.encode()), "
        "*self._ask(_LINKS_FROM, since=head.seq + 1, most=most)]\n",
        "tests/bot/test_chain.py",
    ),
    one(
        "postponed-and-forgotten",
        "the last message of a lane that Slack did not take is not tried again by itself",
        "bot/outbox.py",
        "[] if is_done and message.is_last else",
        "[] if message.is_last else",
        "tests/bot/test_outbox.py",
    ),
    one(
        "half-proved",
        "the chain is only walked from where it was known before, and not from where a request begins",
        "bot/store/requests.py",
        "start = min(start, verified, key=lambda head: head.seq)",
        "start = verified",
        "tests/bot/test_chain.py",
    ),
    one(
        "not-durable",
        "the database is told not to wait for the disk",
        "bot/store/sqlite.py",
        "PRAGMA synchronous = FULL",
        "PRAGMA synchronous = OFF",
        "tests/bot/test_store.py",
    ),
    one(
        "outbox-in-memory",
        "a message counts as delivered before Slack has taken it",
        "bot/outbox.py",
        "            then = await self._delivery.send(message, message.id in self._look_first)\n",
        "            await self._store.write(lambda unit: unit.delivered(message.id))\n"
        "            then = await self._delivery.send(message, message.id in self._look_first)\n",
        "tests/bot/test_outbox.py",
        "tests/test_crash.py",
    ),
    one(
        "sent-is-done",
        "an accepted cancellation is called cancelled",
        "bot/model.py",
        "    Result.ACCEPTED: State.ACCEPTED,",
        "    Result.ACCEPTED: State.CANCELLED,",
        "tests/test_asynchronous.py",
    ),
    one(
        "ack-before-commit",
        "a click is acknowledged before it is stored",
        "bot/listeners/answers.py",
        '    result = await attempt("button", work())\n',
        '    await ack()\n    result = await attempt("button", work())\n',
        "tests/test_doubt.py",
    ),
    one(
        "ok-from-the-leftovers",
        "a click that could not be stored is acknowledged by whoever answers what nobody listens to",
        "bot/doors/bolt.py",
        "time.monotonic() - began >= SLACK_WAITS",
        "began < 0",
        "tests/test_doubt.py",
    ),
    one(
        "no-doubt",
        "a restored backup executes as if nothing had happened since",
        "bot/rules.py",
        "    if command.doubt:\n",
        "    if False:\n",
        "tests/bot/test_rules.py",
        "tests/test_restored_backup.py",
    ),
    one(
        "room-unseen",
        "what ended makes room for what waits, and nobody looks",
        "bot/store/slots.py",
        "                made_room |= self._is_full() or one.lane in self._full()\n",
        "",
        "tests/bot/test_worker.py",
    ),
    one(
        "due-anew-unseen",
        "work that is scheduled anew while it is done waits for the next idle look",
        "bot/worker.py",
        "            if makes_room or is_due_anew:\n",
        "            if makes_room:\n",
        "tests/bot/test_worker.py",
    ),
    one(
        "too-much-kept",
        "a process keeps more work for itself than it has room for",
        "bot/store/store.py",
        "work = is_left or (is_due and not self.slots.are_free)",
        "work = is_due and not self.slots.are_free",
        "tests/bot/test_presence.py",
    ),
    one(
        "rest-of-the-lane-forgotten",
        "what is owed behind a message that was delivered is not looked for",
        "bot/outbox.py",
        "[] if is_done and message.is_last else",
        "[] if is_done else",
        "tests/bot/test_outbox.py",
    ),
    one(
        "lane-taken-for-empty",
        "what came into a lane while its last message was under way is not looked for",
        "bot/outbox.py",
        "        self._told = under_way.copy() if everywhere else self._told & under_way\n",
        "        self._told = set()\n",
        "tests/bot/test_outbox.py",
        "tests/simulation/test_simulation.py",
    ),
    one(
        "another-target",
        "a cancel goes to whatever the reference leads to by then",
        "providers/servertastic.py",
        'if before.target not in ("", _mark(token)):',
        "if False:",
        "tests/providers/test_servertastic.py",
    ),
    one(
        "call-outlives-the-fence",
        "whoever takes over looks while the first call is still under way",
        "providers/http.py",
        "min(self._limits.timeout, fence.left())",
        "self._limits.timeout",
        "tests/providers/test_fence.py",
    ),
    one(
        "turn-within-the-deadline",
        "an order fails because it had to wait for its turn",
        "providers/http.py",
        "        await self._pace.turn()\n        before = _granted.set(self)\n",
        "        before = _granted.set(None)\n",
        "tests/providers/test_pace.py",
        "tests/test_batches_besides.py",
    ),
    one(
        "permit-lost-unnoticed",
        "the answer to a cancel whose permit is gone is dropped",
        "bot/workflow.py",
        "if request is not None and unit.has_permit(request_id, answer.epoch):",
        "if request is not None:",
        "tests/test_doubt.py",
    ),
    one(
        "broken-and-silent",
        "a history that is found to be wrong at a permit is told to the log alone",
        "bot/workflow.py",
        "        self.unverified = self.broken\n\n    async def go_on",
        "        self.broken = ''\n\n    async def go_on",
        "tests/test_doubt.py",
    ),
    one(
        "same-order-twice",
        "an order that was sent under one name is sent under another one",
        "bot/workflow.py",
        "doubt or _another_first(unit, request, command.order)",
        "doubt",
        "tests/test_doubt.py",
    ),
    one(
        "send-without-an-anchor",
        "a restored backup does not learn from the channel of what was sent and has not ended",
        "bot/delivery.py",
        "(request.state in OUTCOMES or request.attempts)",
        "request.state in OUTCOMES",
        "tests/test_restored_backup.py",
    ),
    one(
        "vote-before-the-old-one-is-gone",
        "nobody can approve anew what changed",
        "bot/store/requests.py",
        "                    case ApprovalVoided(by, _) | ApprovalTakenBack(by):\n"
        "                        self._vote(votes)\n"
        "                        self._change(_FORGET_VOTES_OF, request=before.id, by=str(by))\n",
        "",
        "tests/test_batches_besides.py",
    ),
    one(
        "heard-twice",
        "a form that is sent again after a restart asks again",
        "bot/store/requests.py",
        "return bool(heard == by)",
        "return True",
        "tests/test_replayed.py",
    ),
    one(
        "hanging-lanes-take-all",
        "lanes that hang take the room of those that do not",
        "bot/store/slots.py",
        "return 1 if self._is_full() else AT_ONCE_PER_LANE",
        "return 0 if self._is_full() else AT_ONCE_PER_LANE",
        "tests/bot/test_slots.py",
    ),
    one(
        "loss-forgotten-with-a-restart",
        "what the history lacks is known to the process alone that noticed it",
        "bot/workflow.py",
        "            anchors.remember(unit, [Anchor(end, request_id, State.EXECUTING, unit.now)])\n",
        "            pass\n",
        "tests/test_doubt.py",
    ),
    one(
        "elsewhere-unnoticed",
        "an order is cancelled to which the reference leads only since the approvals",
        "bot/rules.py",
        'if request.order and request.order.target and order.target not in ("", request.order.target):',
        "if False:",
        "tests/bot/test_rules.py",
    ),
    one(
        "silence-not-heeded",
        "Slack is asked about people although it wants silence",
        "bot/directory.py",
        "        if at < self._silent_until.get(PROFILES, at):\n            return\n",
        "",
        "tests/bot/test_directory.py",
    ),
    one(
        "copies-open-forms",
        "a form to deny or to ask opens from a copy of the card",
        "bot/workflow.py",
        "            must_be_its_card(unit, request, click)\n",
        "",
        "tests/test_flows.py",
    ),
    one(
        "home-as-it-was",
        "the App Home shows what was true before something changed",
        "bot/home.py",
        "known.as_of == as_of",
        "known.as_of[1] == as_of[1]",
        "tests/test_home.py",
    ),
    one(
        "days-not-counted-anew",
        "the numbers on the App Home stay as they were counted first",
        "bot/lately.py",
        "unit.made_of_changed(known.head.seq)",
        "unit.made_of_changed(head.seq)",
        "tests/bot/test_lately.py",
    ),
    one(
        "home-among-all-it-was",
        "a Home that was painted is marked among all that it ever showed",
        "bot/store/messages.py",
        "_PAINTED = Prepared(update(MessageRow).where(_IN_LANE, _UNDELIVERED, _UP_TO_THIS)",
        "_PAINTED = Prepared(update(MessageRow).where(_IN_LANE, _UP_TO_THIS)",
        "tests/bot/test_long_past.py",
    ),
    one(
        "claims-among-all-work",
        "the claims of a worker that is gone are looked for among all work that was ever done",
        "bot/store/work.py",
        "_FREE = update(ActionRow).where(_UNDONE, col(ActionRow.token).is_not(None))",
        "_FREE = update(ActionRow).where(col(ActionRow.token).is_not(None))",
        "tests/bot/test_long_past.py",
    ),
    one(
        "open-among-all-asked",
        "what somebody has open is looked for among all that they ever asked for",
        "bot/store/requests.py",
        'col(RequestRow.requester) == bindparam("by"), col(RequestRow.is_open))\n    .group_by',
        'col(RequestRow.requester) == bindparam("by"), col(RequestRow.by_itself))\n    .group_by',
        "tests/bot/test_long_past.py",
    ),
    one(
        "the-end-as-it-was",
        "whoever writes second in a transaction does not know what the first one added to the history",
        "bot/store/history.py",
        "        self._known.head = head\n",
        "",
        "tests/bot/test_together.py",
    ),
    one(
        "watchers-as-they-were",
        "whoever opens their App Home in the same transaction is not told of what changes",
        "bot/store/messages.py",
        "        self._known.watchers.clear()\n",
        "",
        "tests/bot/test_together.py",
    ),
    one(
        "values-as-they-are",
        "a prepared statement forgets how a column spells its values",
        "bot/store/prepared.py",
        "name: values[name] if spell is None else spell(values[name])",
        "name: values[name]",
        "tests/bot/test_prepared.py",
    ),
    one(
        "columns-as-they-are",
        "a prepared statement forgets how a column is read",
        "bot/store/prepared.py",
        "        return [self._read(row) for row in rows]\n",
        "        return rows\n",
        "tests/bot/test_prepared.py",
    ),
    one(
        "used-after-a-broken-disk",
        "a connection on which the disk failed is used again, and takes for written what is lost",
        "bot/store/prepared.py",
        "            connection.invalidate(problem)\n",
        "            pass\n",
        "tests/bot/test_prepared.py",
    ),
    one(
        "an-old-picture-stays",
        "a process that was stopped while it painted leaves its old picture on the card",
        "bot/outbox.py",
        "is_late = message.kind in PICTURES and tenure != self._tenure()",
        "is_late = False",
        "tests/bot/test_outbox.py",
    ),
    one(
        "begun-without-the-right",
        "a process goes on to deliver although another one has the right to",
        "bot/outbox.py",
        "            if not tenure:\n",
        "            if False:\n",
        "tests/bot/test_outbox.py",
    ),
    one(
        "rolled-back-is-done",
        "on Postgres a transaction of which nothing was kept is taken for written",
        "bot/store/libpq.py",
        '.command_status != b"COMMIT" or is_over:',
        ".command_status is None:",
        "tests/bot/test_postgres.py",
    ),
    one(
        "names-that-mean-nothing",
        "what the server has forgotten is asked for by its name for ever",
        "bot/store/libpq.py",
        "            self._names.clear()",
        "            pass",
        "tests/bot/test_postgres.py",
    ),
    one(
        "lost-and-used-again",
        "an answer from a connection that is lost is an answer",
        "bot/store/libpq.py",
        "        raise OperationalError(server.get_error_message())\n",
        "        return answer\n",
        "tests/bot/test_prepared.py",
    ),
    one(
        "deaf-to-ctrl-c",
        "a migration that waits for others cannot be interrupted",
        "bot/store/postgres.py",
        """        with closing(connection.cursor()) as cursor:
            cursor.execute("SET LOCAL lock_timeout = 0")
            cursor.execute(f"SELECT pg_advisory_xact_lock({LOCKS}, {MIGRATING})")
""",
        """        libpq.begin(connection.driver_connection, b"SET LOCAL lock_timeout = 0")
        libpq.begin(connection.driver_connection, b"SELECT pg_advisory_xact_lock(%d, 2)" % LOCKS)
""",
        "tests/bot/test_migrations.py",
    ),
    one(
        "changed-in-all",
        "a statement for several rows counts those of the last only",
        "bot/store/libpq.py",
        "            changed += self.rowcount\n",
        "            changed = self.rowcount\n",
        "tests/bot/test_prepared.py",
    ),
    one(
        "anybodys-answer",
        "an error of the server is taken for an answer",
        "bot/store/libpq.py",
        "    if answer.status not in _FINE:\n",
        "    if server.status is None:\n",
        "tests/bot/test_prepared.py",
    ),
    one(
        "two-readings-of-a-form",
        "an equals sign within a value is read as the beginning of an escape",
        "bot/doors/http.py",
        'text.replace(b"=", b"%3D").replace(b"+", b"%20")',
        'text.replace(b"+", b"%20")',
        "tests/bot/test_http_door.py",
    ),
    one(
        "half-a-form",
        "a form with broken escapes is taken for one",
        "bot/doors/http.py",
        '    if not _QUOTED.fullmatch(text):\n        raise ValueError("not quoted")\n',
        "",
        "tests/bot/test_http_door.py",
    ),
)
