"""What Slack knows better than this machine: the time, and what the database has forgotten."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.anchors import accept, forgotten
from bot.slack import Posted, SlackProblem
from bot.store import Store, Unit
from bot.store.chain import Head
from bot.witness import COUNTS_FOR, LONGEST_PAUSE, NEWEST, Witness, read_anchors
from tests.bot.builders import NOW
from tests.bot.stores import Clock, opened, sql

CHANNEL, OTHER = "C0APPROVE", "C0OTHER"
OLDER = "is an older copy, or another one"


class Channels:
    """Stands in for Slack: what is in each channel, the newest first."""

    def __init__(self, messages: Sequence[Posted] = ()) -> None:
        self.clock_offset: timedelta | None = timedelta(0)
        self.messages = {CHANNEL: list(messages)}
        self.problem: SlackProblem | None = None

    async def history(self, channel: str, *, limit: int, latest: str | None = None) -> list[Posted]:
        if self.problem:
            raise self.problem
        if channel not in self.messages:
            raise SlackProblem("not_in_channel")
        return [m for m in self.messages[channel] if latest is None or float(m.ts) < float(latest)][:limit]


def outcome(
    head: Head, ts: float = 1000.0, *, is_ours: bool = True, kind: str = "order_cancellation"
) -> Posted:
    payload = {"request_id": f"request{head.seq}", "state": "cancelled", "audit_head": str(head)}
    return Posted(f"{ts:.6f}", "Outcome", is_ours, event_type=kind, payload=payload)


def grow(store: Store, *said: str) -> list[Head]:
    """Add an event for each of `said`; the head after each."""

    def add(unit: Unit) -> list[Head]:
        heads = []
        for one in said:
            unit.note("said", {"what": one})
            heads.append(unit.head())
        return heads

    return store.write_now(add)


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with opened(tmp_path / "bot.db", Clock()) as store:
        yield store


def a_witness(source: Channels, store: Store, seconds: Seconds, *channels: str) -> Witness:
    return Witness(source, store, channels or (CHANNEL,), Clock(), seconds)


# --- the past ---------------------------------------------------------------------------------------


@settings(max_examples=30)
@given(length=st.integers(1, 12), kept=st.integers(0, 12), posted=st.sets(st.integers(1, 12), min_size=1))
def test_a_history_is_missed_exactly_if_the_channel_knows_what_comes_after_it(
    length: int, kept: int, posted: set[int]
) -> None:
    said = [f"{number}" for number in range(length)]
    with tempfile.TemporaryDirectory() as folder:
        with opened(Path(folder, "whole.db"), Clock()) as whole:
            heads = grow(whole, *said)
        anchors = [outcome(heads[seq - 1]) for seq in posted if seq <= length]
        with opened(Path(folder, "kept.db"), Clock()) as part:
            grow(part, *said[:kept])
            read = asyncio.run(read_anchors(Channels(anchors), [CHANNEL]))
            lacking = part.read_now(lambda unit: forgotten(unit, read))
    beyond = sorted((seq for seq in posted if kept < seq <= length), reverse=True)
    assert [anchor.head.seq for anchor in lacking] == beyond


async def test_a_history_that_went_on_differently_is_another_one(
    tmp_path: Path, store: Store, seconds: Seconds
) -> None:
    grow(store, "the same")
    with opened(tmp_path / "other.db", Clock()) as other:
        theirs = grow(other, "the same", "theirs")[-1]
    ours = grow(store, "ours", "more of ours", "even more")
    witness = a_witness(Channels([outcome(ours[-1]), outcome(theirs)]), store, seconds)
    await witness.compare()
    assert "The channel knows of event 2" in witness.doubt()
    assert OLDER in witness.doubt()


async def test_only_our_own_outcomes_are_evidence(store: Store, seconds: Seconds) -> None:
    forged = Head(99, "f" * 64)
    others = [outcome(forged, is_ours=False), outcome(forged, kind="order_cancellation_note")]
    witness = a_witness(Channels([*others, Posted("1.0", "hello", is_ours=True)]), store, seconds)
    await witness.compare()
    assert witness.doubt() == ""


async def test_metadata_that_slack_keeps_back_are_not_taken_for_none(store: Store, seconds: Seconds) -> None:
    kept_back = Posted("1.0", "Outcome", is_ours=True, event_type="order_cancellation")
    witness = a_witness(Channels([kept_back]), store, seconds)
    await witness.compare()
    assert "(metadata_withheld)" in witness.doubt()


async def test_every_channel_counts(store: Store, seconds: Seconds) -> None:
    source = Channels()
    witness = a_witness(source, store, seconds, CHANNEL, OTHER)
    await witness.compare()
    assert "(not_in_channel)" in witness.doubt()
    source.messages[OTHER] = [outcome(Head(5, "a" * 64))]
    await witness.compare()
    assert OLDER in witness.doubt()


@pytest.mark.parametrize(("talk", "is_found"), [(NEWEST, True), (999, True), (1000, False)])
async def test_outcomes_are_looked_for_behind_a_conversation(
    store: Store, seconds: Seconds, talk: int, is_found: bool
) -> None:
    said = [Posted(f"{5000 - number}.000000", "hello", is_ours=False) for number in range(talk)]
    witness = a_witness(Channels([*said, outcome(Head(5, "a" * 64))]), store, seconds)
    await witness.compare()
    assert (OLDER in witness.doubt()) is is_found


async def test_what_was_acknowledged_is_no_doubt_and_nothing_else(store: Store, seconds: Seconds) -> None:
    seen, before, after = (Head(seq, f"{seq}" * 64) for seq in (5, 4, 6))
    source = Channels([outcome(seen)])
    witness = a_witness(source, store, seconds)
    await witness.compare()
    assert OLDER in witness.doubt()
    read = await read_anchors(source, [CHANNEL])
    store.write_now(lambda unit: accept(unit, read))
    await witness.compare()
    assert witness.doubt() == ""
    for unseen in (before, after):
        source.messages[CHANNEL].insert(0, outcome(unseen))
        await witness.compare()
        assert f"The channel knows of event {unseen.seq}" in witness.doubt()
        read = await read_anchors(source, [CHANNEL])
        store.write_now(lambda unit, read=read: accept(unit, read))  # type: ignore[misc]


async def test_what_was_found_once_is_not_forgotten_and_noted_once(store: Store, seconds: Seconds) -> None:
    source = Channels([outcome(Head(5, "a" * 64))])
    for _ in range(2):
        witness = a_witness(source, store, seconds)
        await witness.compare()
        await witness.compare()
        assert OLDER in witness.doubt()
    assert len(store.read_now(lambda unit: unit.notes("behind"))) == 1
    source.messages[CHANNEL].clear()
    await witness.compare()
    assert OLDER in witness.doubt()


async def test_a_database_that_cannot_note_it_is_in_doubt_all_the_same(
    tmp_path: Path, store: Store, seconds: Seconds
) -> None:
    witness = a_witness(Channels([outcome(Head(5, "a" * 64))]), store, seconds)
    with sql(tmp_path / "bot.db", begin="BEGIN IMMEDIATE"):
        await witness.compare()
    assert "(the database cannot be used)" in witness.doubt()


# --- when it was compared ---------------------------------------------------------------------------


async def test_before_the_first_comparison_there_is_doubt(store: Store, seconds: Seconds) -> None:
    source = Channels()
    witness = a_witness(source, store, seconds)
    assert "has not been compared with the channel yet" in witness.doubt()
    source.problem = SlackProblem("missing_scope")
    await witness.compare()
    assert "has not been compared with the channel (missing_scope)" in witness.doubt()
    source.problem = None
    await witness.compare()
    assert witness.doubt() == ""


async def test_a_comparison_counts_for_a_while_although_slack_is_away(store: Store, seconds: Seconds) -> None:
    source = Channels()
    witness = a_witness(source, store, seconds)
    await witness.compare()
    source.problem = SlackProblem("no_answer_ClientError")
    seconds.now += COUNTS_FOR - 1
    await witness.compare()
    assert witness.doubt() == ""
    seconds.now += 2
    assert "(no_answer_ClientError)" in witness.doubt()


async def test_it_is_tried_again_soon_and_as_late_as_slack_wants(
    store: Store, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, pauses = Channels(), list[float]()
    witness = a_witness(source, store, seconds)

    async def noted(pause: float) -> None:
        pauses.append(pause)
        match len(pauses):
            case 1:
                source.problem = SlackProblem("no_answer_ClientError")
            case 7:
                source.problem = SlackProblem("ratelimited", timedelta(seconds=40))
            case 8:
                source.problem = None
            case 9:
                raise asyncio.CancelledError

    monkeypatch.setattr("bot.witness.asyncio.sleep", noted)
    await witness.compare()
    with pytest.raises(asyncio.CancelledError):
        await witness.run()
    assert pauses == [300.0, 1.0, 2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE, 40.0, 300.0]


# --- the time ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (None, ""),
        (0, ""),
        (60, ""),
        (-60, ""),
        (61, "The clock of this machine is 61 s ahead of Slack's"),
        (-7200, "The clock of this machine is 7200 s behind Slack's"),
    ],
)
async def test_a_clock_more_than_a_minute_off_is_not_believed(
    store: Store, seconds: Seconds, ahead: int | None, said: str
) -> None:
    source = Channels()
    source.clock_offset = None if ahead is None else timedelta(seconds=ahead)
    witness = a_witness(source, store, seconds)
    await witness.compare()
    assert witness.doubt().partition(";")[0] == said


async def test_the_clock_of_the_database_counts_as_well(tmp_path: Path, seconds: Seconds) -> None:
    with opened(tmp_path / "bot.db", Clock(NOW - timedelta(minutes=5))) as store:
        witness = a_witness(Channels(), store, seconds)
        await witness.compare()
    assert witness.doubt().startswith("The clock of the database is 300 s behind Slack's")


async def test_the_number_stays_the_same_while_it_is_about_right(store: Store, seconds: Seconds) -> None:
    source = Channels()
    witness = a_witness(source, store, seconds)
    said = []
    for ahead in (120, 121, 118, 300):
        source.clock_offset = timedelta(seconds=ahead)
        said.append(witness.doubt().split(" s ahead")[0].rpartition(" ")[2])
    assert said == ["120", "120", "120", "300"]
