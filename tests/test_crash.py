"""The process is killed as by a power cut, at the worst moments, and started again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sandbox.slack.model import Message
from sandbox.vendors.vendor import Fault
from tests.conftest import World
from tests.crash.machine import Machine, machine_in


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with machine_in(tmp_path) as machine:
        await machine.start()
        yield machine
        machine.history_verifies()


async def test_killed_while_the_provider_holds_its_answer_sends_once_and_tells_the_truth(
    machine: Machine,
) -> None:
    world, vendor = machine.world, machine.world.vendor("payvalida")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "payvalida", reference)
    vendor.fail_next(Fault.HANG)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await vendor.wait_until(lambda: vendor.sends == [reference])
    await machine.kill()
    vendor.release()
    await machine.start()
    done = await world.reads(card, "Outcome: cancelled", timeout=30)
    assert vendor.sends == [reference]
    assert world.decisions(done) == []


async def test_killed_before_the_provider_did_anything_sends_again_only_after_a_look_up(
    machine: Machine,
) -> None:
    world, vendor = machine.world, machine.world.vendor("payvalida")
    reference = vendor.samples["cancellable"]
    card = await world.asked("alice", "payvalida", reference)
    vendor.fail_next(Fault.DROP)
    for who in ("bob", "carol"):
        await world.approve(who, card)
    await vendor.wait_until(lambda: vendor.sends == [reference])
    await machine.restart()
    await world.reads(card, "Outcome: cancelled", timeout=40)
    assert vendor.performed == [reference]
    assert vendor.sends == [reference, reference]
    between = [seen.changes for seen in vendor.seen if seen.order == reference]
    first, second = (number for number, changes in enumerate(between) if changes)
    assert False in between[first:second], "a look-up came before the second send"


async def test_killed_between_the_approvals_forgets_none(machine: Machine) -> None:
    world, vendor = machine.world, machine.world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    answer = await world.approve("bob", card)
    assert answer.ok
    await machine.restart()
    await world.approve("carol", card)
    await world.reads(card, "Outcome: cancelled", timeout=30)
    assert len(vendor.sends) == 1


async def test_killed_right_after_the_quorum_carries_on(machine: Machine) -> None:
    world, vendor = machine.world, machine.world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG, on="read")
    await world.approve("carol", card)
    await machine.restart()
    vendor.release()
    await world.reads(card, "Outcome: cancelled", timeout=30)
    assert len(vendor.sends) == 1


async def test_an_outcome_that_slack_did_not_take_is_posted_after_a_restart(machine: Machine) -> None:
    world, vendor = machine.world, machine.world.vendor("digicert")
    card = await world.asked("alice", "digicert", vendor.samples["cancellable"])
    await world.approve("bob", card)
    vendor.fail_next(Fault.HANG)
    await world.approve("carol", card)
    await vendor.wait_until(lambda: len(vendor.sends) == 1)
    for method in ("chat.postMessage", "chat.update"):
        world.workspace.fail_next(method, status=503, times=1000)
    vendor.release()
    await vendor.wait_until(lambda: len(vendor.seen) >= 4)
    await machine.kill()
    world.workspace.faults.clear()
    await machine.start()
    await world.reads(card, "Outcome: cancelled", timeout=30)
    await world.workspace.wait_until(lambda: outcomes(world, card), 20)
    await world.workspace.wait_until(lambda: world.person("alice").dms(), 20)
    assert len(outcomes(world, card)) == 1


def outcomes(world: World, card: Message) -> list[Message]:
    return [reply for reply in world.card(card).thread if "Outcome: *cancelled*" in reply.text]
