"""The documents say what is true: held against the code that they talk about."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from bot import cli
from bot.blocks.notices import VERBS
from bot.blocks.words import word
from bot.cli import console
from bot.commands import (
    Approve,
    CallPerson,
    Command,
    ConfirmClosing,
    Deny,
    Expire,
    Judge,
    ProposeClosing,
    RecordAnswer,
    RecordFollowUp,
    RecordInterruption,
    RecordOrder,
    TakeBack,
    TakePermit,
    Withdraw,
)
from bot.errors import Refused
from bot.events import Requested
from bot.model import Eligibility, Finding, Person, Request, State, Verdict, closing_digest, digest
from bot.rules import decide, evolve
from bot.settings import DEFAULTS, OTHERS, SECRETS
from providers import ADAPTERS
from providers.contract import Facts, OrderState, Outcome, Result, Setting, Standing
from tests.bot.builders import ALICE, BOB, CAROL, CHANNEL, NOW, TEAM

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text("utf-8")
DOCUMENTS = (
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "docs/how-it-works.md",
    "docs/deploy.md",
    "docs/reliability.md",
    "docs/operations.md",
    "docs/audit.md",
    "docs/performance.md",
)

each_document = pytest.mark.parametrize("document", DOCUMENTS)


def text_of(document: str) -> str:
    return (ROOT / document).read_text("utf-8")


def tables(text: str) -> Iterator[tuple[tuple[str, ...], list[tuple[str, ...]]]]:
    """Each table: its headings and its rows."""
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        rows = [tuple(map(_cell, re.split(r"(?<!\\)\|", line)[1:-1])) for line in block.splitlines()]
        yield rows[0], rows[2:]


def _cell(text: str) -> str:
    return text.strip().replace("\\|", "|")


def table(*headings: str) -> list[tuple[str, ...]]:
    return next(rows for heading, rows in tables(README) if heading[: len(headings)] == headings)


# --- providers ----------------------------------------------------------------------------------------


def test_the_providers_are_those_there_are() -> None:
    assert table("Provider", "Typed as") == [_typed(adapter.facts) for adapter in ADAPTERS]


def test_what_providers_do_is_what_their_facts_say() -> None:
    wanted = [adapter.facts for adapter in ADAPTERS]
    assert table("Provider", "What cancelling does") == [
        (facts.label, facts.consequence, facts.success_means, facts.limits) for facts in wanted
    ]


def test_every_setting_is_in_the_example_and_every_setting_named_exists() -> None:
    settings = {setting.name for adapter in ADAPTERS for setting in adapter.facts.settings}
    names = settings | set(DEFAULTS) | set(SECRETS) | set(OTHERS)
    example = (ROOT / ".env.example").read_text("utf-8")
    assert set(re.findall(r"^(?:# )?([A-Z][A-Z0-9_]+)=", example, re.MULTILINE)) == names
    named = set(re.findall(r"`([A-Z]+(?:_[A-Z]+)+)(?:_FILE=…)?`", README))
    assert named - names == set()


def _typed(facts: Facts) -> tuple[str, ...]:
    settings = ", ".join(map(_setting, facts.settings))
    return (facts.label, f"`{facts.name}`", facts.reference_label, f"`{facts.example}`", settings)


def _setting(setting: Setting) -> str:
    return f"`{setting.name}`" + ("" if setting.default is None else f" ({setting.default})")


# --- states -------------------------------------------------------------------------------------------


def diagram() -> tuple[set[str], set[tuple[str, str]]]:
    """States and transitions as drawn; an arrow to a box stands for one to each state in it."""
    found = re.search(r"```mermaid\n(.*?)```", README, re.DOTALL)
    assert found
    boxes = {
        name: inside.split()
        for name, inside in re.findall(r'state "[^"]*" as (\w+) \{(.*?)\}', found[1], re.S)
    }
    drawn = re.findall(r"(\S+) --> (\w+)", found[1])
    arrows = {(one, each) for one, other in drawn for each in boxes.get(other, [other])}
    states = {name for arrow in arrows for name in arrow} | {
        name for inside in boxes.values() for name in inside
    }
    return states - {"[*]"}, {(one, other) for one, other in arrows if one != "[*]"}


def test_the_diagram_has_every_state_and_no_other() -> None:
    states, _ = diagram()
    assert states == {state.value for state in State}


def test_the_diagram_has_every_transition_and_no_other() -> None:
    _, arrows = diagram()
    assert arrows == {(one.value, other.value) for one, other in transitions()}


def test_the_states_are_called_in_slack_what_the_table_says() -> None:
    rows = [(state, called) for state, called, _ in table("State", "In Slack")]
    assert rows == [(f"`{state.value}`", word(state)) for state in _in_the_order_of(rows)]
    assert len(rows) == len(State)


def _in_the_order_of(rows: list[tuple[str, str]]) -> list[State]:
    return [State(name.strip("`")) for name, _ in rows]


def transitions() -> set[tuple[State, State]]:
    """Every change of state that the rules allow: found by trying everything from the beginning."""
    ends = NOW + timedelta(hours=1)
    asked = Requested(TEAM, CHANNEL, "digicert", "account", "1", "key", ALICE, "why", 2, ("S0",), ends)
    start = evolve(None, asked, NOW, "r")
    found: set[tuple[State, State]] = set()
    known, waiting = {_kind(start)}, [start]
    while waiting:
        before = waiting.pop()
        for command, at in commands(before, late=ends):
            after = _after(before, command, at)
            if after.state is not before.state:
                found.add((before.state, after.state))
            if _kind(after) not in known:
                known.add(_kind(after))
                waiting.append(after)
    return found


def _kind(request: Request) -> object:
    """Requests that the rules cannot tell apart."""
    votes = sorted((approval.by.user, approval.verified) for approval in request.approvals)
    finder = request.closing.by if request.closing else None
    return request.state, request.attempts, tuple(votes), request.order, finder


def _after(request: Request, command: Command, at: datetime) -> Request:
    try:
        events = decide(request, command, at)
    except Refused:
        return request
    for event in events:
        request = evolve(request, event, NOW, request.id)
    return replace(request, version=0, taken_back=())


def commands(request: Request, late: datetime) -> Iterator[tuple[Command, datetime]]:
    """Everything that anybody may try, at the two times that matter."""
    for order in map(OrderState, Standing):
        yield RecordOrder(order), NOW
        for answer in (Eligibility.ELIGIBLE, Eligibility.NOT_ELIGIBLE):
            yield from ((_permit(order, answer), at) for at in (NOW, late))
    for person in (BOB, CAROL):
        for answer in Eligibility:
            yield Approve(person, digest(request), _verdict(person, answer)), NOW
            yield Judge((_verdict(person, answer),)), NOW
            yield TakeBack(person), NOW
            shown, verdict = closing_digest(request), _verdict(person, answer)
            yield ProposeClosing(person, Finding.CANCELLED, "seen", shown, verdict), NOW
            yield ConfirmClosing(person, shown, verdict), NOW
    for result in Result:
        yield RecordAnswer("epoch", Outcome(result)), NOW
        yield RecordFollowUp("epoch", Outcome(result, "found out")), NOW
    yield Deny(BOB, "no", _verdict(BOB, Eligibility.ELIGIBLE)), NOW
    yield from ((one, NOW) for one in (Withdraw(ALICE), RecordInterruption("epoch")))
    yield CallPerson("epoch", "late"), NOW
    yield Expire(), late


def _permit(order: OrderState, answer: Eligibility) -> TakePermit:
    verdicts = tuple(_verdict(person, answer) for person in (BOB, CAROL))
    return TakePermit("epoch", order, verdicts, Eligibility.ELIGIBLE, 2, "account")


def _verdict(person: Person, answer: Eligibility) -> Verdict:
    return Verdict(person, answer, "why")


# --- commands -----------------------------------------------------------------------------------------


def leaves(parser: argparse.ArgumentParser, *above: str) -> Iterator[tuple[str, frozenset[str]]]:
    """Each command of the command line, with its options and arguments."""
    inner = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    for action in inner:
        for name, below in action.choices.items():
            yield from leaves(below, *above, name)
    if not inner:
        own = [action for action in parser._actions if action.dest != "help"]
        yield (
            " ".join(above),
            frozenset(action.option_strings[0] if action.option_strings else _name(action) for action in own),
        )


def _name(action: argparse.Action) -> str:
    return action.option_strings[0] if action.option_strings else str(action.metavar or "ID")


def test_the_command_line_is_what_the_table_says() -> None:
    documented = {}
    for row in table("Command"):
        found = re.match(r"`([a-z ]+?)(?: (?=[\[A-Z-])(.*))?`$", row[0])
        assert found, row[0]
        documented[found[1]] = frozenset(re.findall(r"--[a-z]+|\b(?:ID|PROVIDER)\b", found[2] or ""))
    assert documented == dict(leaves(cli._parser()))


def code_in(document: str) -> list[str]:
    """Everything set as code, a line each; also what is wrapped in a sentence."""
    fenced = r"^ *```\w*\n(.*?)^ *```"
    lines = "\n".join(re.findall(fenced, text_of(document), re.DOTALL | re.MULTILINE)).splitlines()
    prose = re.sub(fenced, "", text_of(document), flags=re.DOTALL | re.MULTILINE)
    return [" ".join(each.split()) for each in (*lines, *re.findall(r"`([^`]+)`", prose))]


@each_document
def test_every_command_named_is_understood(document: str) -> None:
    for line in code_in(document):
        if found := re.search(r"python -m bot ([a-z].*)", line):
            given = cli._parser().parse_args(shlex.split(found[1], comments=True))
            assert callable(given.command)


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    codes = [console.OK, console.FAILED, console.BAD_SETTINGS, console.BAD_DATABASE, console.BAD_CHAIN]
    assert [int(row[0]) for row in table("Exit code")] == codes


def test_the_verbs_are_those_that_slack_understands() -> None:
    typed = [row[0].strip("`").removeprefix("/cancel-order").strip() for row in table("Typed")]
    assert [verb for verb in typed if verb and not verb.startswith("<")] == list(VERBS)


@each_document
def test_every_make_target_named_exists(document: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    called = [found[1] for line in code_in(document) if (found := re.match(r"make((?: [a-z-]+)*)", line))]
    named = {target for line in called for target in line.split()}
    assert named <= set(targets)


# --- links --------------------------------------------------------------------------------------------


@each_document
def test_every_link_leads_somewhere(document: str) -> None:
    home = (ROOT / document).parent
    missing = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        path, _, anchor = target.partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        file = home / path if path else ROOT / document
        if not file.exists() or (anchor and anchor not in anchors(file)):
            missing.append(target)
    assert missing == []


def anchors(file: Path) -> set[str]:
    """The headings of a document as a link spells them."""
    headings = re.findall(r"^#+ (.*)$", file.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_document
def test_every_file_named_exists(document: str) -> None:
    named = re.findall(r"`((?:bot|providers|sandbox|tests|docs)/[\w/]+\.(?:py|md))`", text_of(document))
    number = 1 + len(list((ROOT / "bot/migrations/versions").glob("[0-9]*.py")))
    to_be_written = {
        "providers/northwind.py",
        "sandbox/vendors/northwind.py",
        "tests/providers/test_northwind.py",
        f"bot/migrations/versions/{number:04}_what_changes.py",
    }
    assert [path for path in named if path not in to_be_written and not (ROOT / path).is_file()] == []
