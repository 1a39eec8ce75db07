"""How each point is brought about: where strace is attached, and what no system call tells."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from sandbox.vendors.vendor import Fault
from tests.crash.cancellation import APPROVERS
from tests.crash.points import Point
from tests.crash.trial import Trial

Arranged = Callable[[Trial], Awaitable[None]]
FIRST, SECOND = APPROVERS
DELAY = "200ms"
"""How long calls wait that a snare watches: enough to be recognised and killed in front of."""
STARTS = 10


def arrangement(point: Point) -> Arranged:
    """Raises `ValueError` when there is no such name."""
    found = NAMED.get(point.name) if point.name else at_a_call
    if found is None:
        raise ValueError(f"there is no point called {point.name}")
    return found


# --- at a system call, counted from a moment ----------------------------------------------------------


async def at_a_call(trial: Trial) -> None:
    await BEFORE[trial.point.moment](trial)
    await trial.done.finish()


async def _start(trial: Trial) -> None:
    await trial.machine.forget_everything()
    await trial.machine.start(*trial.point.options)


async def _flow(trial: Trial) -> None:
    await _running(trial)
    await trial.attach()


async def _first(trial: Trial) -> None:
    await _running(trial)
    await trial.done.is_asked_for()
    await trial.attach()


async def _second(trial: Trial) -> None:
    await _approved_by_one(trial)
    await trial.attach()


async def _permit(trial: Trial) -> None:
    await _approved_by_one(trial)
    looks = trial.done.looks
    trial.vendor.fail_next(Fault.HANG, on="read")
    await trial.done.approve(SECOND)
    await trial.machine.alive(trial.vendor.wait_until(lambda: trial.done.looks > looks))
    await trial.attach()
    trial.vendor.release()


async def _answer(trial: Trial) -> None:
    await _held_answer(trial)
    await trial.attach()
    trial.vendor.release()


async def _again(trial: Trial) -> None:
    await killed_while_the_provider_holds_its_answer(trial)
    await trial.start(trial.point.options)


async def _running(trial: Trial) -> None:
    if not trial.machine.is_running:
        await trial.machine.start()


async def _approved_by_one(trial: Trial) -> None:
    await _running(trial)
    await trial.done.is_asked_for()
    await trial.done.approve(FIRST)


async def _held_answer(trial: Trial) -> None:
    """The cancel has been carried out, and its answer is held back."""
    await _approved_by_one(trial)
    trial.vendor.fail_next(Fault.HANG)
    await trial.done.approve(SECOND)
    await trial.machine.alive(trial.vendor.wait_until(lambda: trial.done.performed == 1))


BEFORE: dict[str, Arranged] = {
    "start": _start,
    "flow": _flow,
    "first": _first,
    "second": _second,
    "permit": _permit,
    "answer": _answer,
    "again": _again,
}


# --- by name ------------------------------------------------------------------------------------------


async def killed_before_the_card(trial: Trial) -> None:
    """The request is saved; Slack was not reached with the card."""
    await _running(trial)
    workspace = trial.machine.world.workspace
    workspace.fail_next("chat.postMessage", "hang")
    await trial.done.ask()
    await trial.machine.alive(workspace.wait_until(lambda: workspace.faults.hanging))
    await trial.machine.kill()
    workspace.release()


async def killed_when_slack_has_the_card(trial: Trial) -> None:
    """Slack has it, and its answer comes to nobody."""
    await _running(trial)
    trial.machine.kill_at(lambda: trial.done.cards)
    await trial.done.finish()


async def killed_when_slack_has_the_outcome(trial: Trial) -> None:
    await _running(trial)
    trial.machine.kill_at(lambda: trial.done.outcomes)
    await trial.done.finish()


async def killed_when_the_first_approval_is_saved(trial: Trial) -> None:
    """It is durable, and the person is not answered."""
    await _running(trial)
    await trial.done.is_asked_for()
    await _at_the_first_commit(trial, FIRST)


async def killed_when_the_second_approval_is_saved(trial: Trial) -> None:
    await _approved_by_one(trial)
    await _at_the_first_commit(trial, SECOND)


async def killed_before_the_permit(trial: Trial) -> None:
    """Enough people have approved; the last look-up is under way."""
    await _approved_by_one(trial)
    looks = trial.done.looks
    trial.vendor.fail_next(Fault.HANG, on="read")
    await trial.done.approve(SECOND)
    await trial.machine.alive(trial.vendor.wait_until(lambda: trial.done.looks > looks))
    await trial.machine.kill()
    trial.vendor.release()


async def killed_before_connecting(trial: Trial) -> None:
    """The permit is on disk."""
    await _in_front_of(trial, "connect")


async def killed_before_the_first_byte(trial: Trial) -> None:
    await _in_front_of(trial, "sendto")


async def killed_after_reading_the_answer(trial: Trial) -> None:
    """It was read to its end, and nothing of it is stored."""
    await _in_front_of(trial, "close")


async def killed_when_the_cancel_has_arrived(trial: Trial) -> None:
    """It was carried out; not a byte of the answer was sent."""
    await _running(trial)
    trial.machine.kill_at(lambda: trial.done.sends)
    await trial.done.finish()


async def killed_before_the_provider_did_anything(trial: Trial) -> None:
    """It arrived and was dropped, so that it is sent again, after a look-up."""
    await _running(trial)
    trial.vendor.fail_next(Fault.DROP)
    trial.machine.kill_at(lambda: trial.done.sends)
    await trial.done.finish()


async def killed_while_the_provider_holds_its_answer(trial: Trial) -> None:
    await _held_answer(trial)
    await trial.machine.kill()
    trial.vendor.release()


async def killed_again_during_the_look_up(trial: Trial) -> None:
    await killed_while_the_provider_holds_its_answer(trial)
    looks = trial.done.looks
    trial.machine.kill_at(lambda: trial.done.looks > looks)
    await trial.start()
    await trial.done.finish()


async def killed_in_ten_starts_in_a_row(trial: Trial) -> None:
    """A permit without an answer is waiting each time; each start gets a little further."""
    await killed_while_the_provider_holds_its_answer(trial)
    call = "pwrite64" if trial.machine.has_file else "sendto"
    for number in range(STARTS):
        options = Point(moment="again", call=call, number=1 + 3 * number).options
        if not await trial.until_it_dies(_start_and_finish(trial, options)):
            await trial.machine.kill()


async def _start_and_finish(trial: Trial, options: tuple[str, ...]) -> None:
    await trial.start(options)
    await trial.done.finish()


async def _at_the_first_commit(trial: Trial, who: str) -> None:
    point = Point(threads="writer", call="sendto", number=1)
    await trial.machine.trace(*point.options, threads="writer")
    await trial.done.approve(who)


async def _in_front_of(trial: Trial, call: str) -> None:
    """Kill in front of a call on the connection over which the cancel goes: the second to the provider
    since the second approval; the first is for the last look-up."""
    await _approved_by_one(trial)
    watched = ("-yy", "-e", f"trace={call}", "-e", f"inject={call}:delay_enter={DELAY}")
    strace = await trial.machine.trace(*watched, threads="main")
    port = int(trial.vendor.base_url.split(":")[2].split("/")[0])
    one = rf"\b{call}\([^\n]*" + (
        rf"htons\({port}\)" if call == "connect" else rf"\[127\.0\.0\.1:%s->127\.0\.0\.1:{port}\]"
    )
    first, second = (one, one) if call == "connect" else (one % r"([0-9]+)", one % r"(?!\1-)[0-9]+")
    await trial.done.approve(SECOND)
    await trial.machine.alive(strace.says(rf"{first}[^\n]*\n(?s:.*?){second}"))
    await trial.machine.kill()


NAMED: dict[str, Arranged] = {
    "request-saved": killed_before_the_card,
    "card-taken": killed_when_slack_has_the_card,
    "first-approval-saved": killed_when_the_first_approval_is_saved,
    "second-approval-saved": killed_when_the_second_approval_is_saved,
    "before-permit": killed_before_the_permit,
    "before-connect": killed_before_connecting,
    "before-first-byte": killed_before_the_first_byte,
    "cancel-arrived": killed_when_the_cancel_has_arrived,
    "cancel-dropped": killed_before_the_provider_did_anything,
    "answer-held": killed_while_the_provider_holds_its_answer,
    "answer-read": killed_after_reading_the_answer,
    "outcome-taken": killed_when_slack_has_the_outcome,
    "look-up-after-crash": killed_again_during_the_look_up,
    "ten-starts": killed_in_ten_starts_in_a_row,
}
