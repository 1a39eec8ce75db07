"""What is said about running it for real holds: files, commands, backups."""

from __future__ import annotations

import asyncio
import configparser
import re
import secrets
import shlex
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml
from sqlalchemy.engine import make_url

from bot import cli
from bot.store import Store, schema
from bot.store.chain import Head
from tests import postgres
from tests.conftest import World

ROOT = Path(__file__).parents[1]
UNIT = ROOT / "docs/deploy/countersign.service"


def of_kind(kind: str) -> list[dict[str, Any]]:
    documents = yaml.safe_load_all((ROOT / "docs/deploy/kubernetes.yaml").read_text("utf-8"))
    return [each for each in documents if each["kind"] == kind]


def unit() -> dict[str, str]:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNIT, "utf-8")
    return dict(parser["Service"])


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text("utf-8"))
    return found


def commands() -> Iterator[list[str]]:
    """The arguments of every `python -m bot` in the files that start it."""
    for line in (ROOT / "Procfile").read_text("utf-8").splitlines():
        yield shlex.split(line.partition("python -m bot")[2])
    for name in ("ExecStartPre", "ExecStart"):
        yield shlex.split(unit()[name].partition("python -m bot")[2])
    yield from (compose()["services"][name]["command"] for name in ("upgrade", "bot"))
    for document in (*of_kind("Job"), *of_kind("Deployment")):
        yield from (each["args"] for each in document["spec"]["template"]["spec"]["containers"])


def test_every_command_that_starts_it_is_understood() -> None:
    found = list(commands())
    assert len(found) == 10
    for arguments in found:
        assert callable(cli._parser().parse_args(arguments).command), arguments


def test_whoever_stops_it_waits_longer_than_it_needs() -> None:
    assert int(unit()["TimeoutStopSec"]) > 30
    assert compose()["services"]["bot"]["stop_grace_period"] == "40s"
    for deployment in of_kind("Deployment"):
        assert deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] > 30


async def test_probes_ask_what_the_bot_answers(world: World) -> None:
    assert world.bot is not None
    probes = [
        each[name]
        for deployment in of_kind("Deployment")
        for each in deployment["spec"]["template"]["spec"]["containers"]
        for name in ("livenessProbe", "readinessProbe")
    ]
    paths = {probe["httpGet"]["path"] for probe in probes}
    assert paths == {"/livez", "/readyz"}
    assert "/livez" in (ROOT / "Dockerfile").read_text("utf-8")
    for path in paths:
        reader, writer = await asyncio.open_connection("127.0.0.1", world.bot.port)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: bot\r\nConnection: close\r\n\r\n".encode())
        assert (await reader.readline()).split()[1] == b"200"
        writer.close()


def test_the_image_has_all_that_is_imported_and_nothing_secret() -> None:
    image = (ROOT / "Dockerfile").read_text("utf-8")
    copied = re.findall(r"^COPY (?!--from)(\S+)", image, re.MULTILINE)
    assert sorted(copied) == ["bot", "manifest.yml", "providers", "requirements.txt"]
    allowed = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert "*" in allowed
    assert sorted(line[1:] for line in allowed if line.startswith("!")) == sorted(copied)
    assert re.search(r"^USER \d+$", image, re.MULTILINE)


def test_settings_in_the_examples_are_ours() -> None:
    known = {name.strip() for name in re.findall(r"^#? ?([A-Z_]+)=", env_example(), re.MULTILINE)}
    named = set(of_kind("ConfigMap")[0]["data"])
    named |= set(re.findall(r"^Environment=(\w+)=", UNIT.read_text("utf-8"), re.MULTILINE))
    for service in ("upgrade", "bot"):
        named |= {name.removesuffix("_FILE") for name in compose()["services"][service]["environment"]}
    assert named <= known


def env_example() -> str:
    return (ROOT / ".env.example").read_text("utf-8")


def test_restarts_are_not_tried_where_they_mend_nothing() -> None:
    """Wrong settings, a database that must not be used, a history that does not verify."""
    assert unit()["RestartPreventExitStatus"].split() == ["2", "3", "4"]


# --- backups ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("transport", "storage"), [("socket", "sqlite"), ("http", "postgres")])
async def test_a_backup_that_is_made_while_the_bot_runs_is_whole(world: World, tmp_path: Path) -> None:
    """As the page on deploying says it is made, checked and restored."""
    order = world.vendor("payvalida").samples["cancellable"]
    card = await world.asked("alice", "payvalida", order)
    await world.approve("bob", card)
    await world.reads(card, "1 more needed")
    copy = back_up(world.database, tmp_path)
    await world.approve("carol", card)
    await world.reads(card, "Outcome: cancelled")
    await world.stop_bot()
    assert schema.problem(copy) is None
    with closing(Store(copy)) as store:
        head = store.read_now(lambda unit: unit.verify(Head()))
        (request,) = store.read_now(lambda unit: unit.requests())
    assert head.seq > 0
    assert [approval.by.user for approval in request.approvals] == [world.person("bob").id]


def back_up(database: str, folder: Path) -> str:
    """The setting of a copy that the database's own tools have made and put back."""
    if database.startswith("sqlite"):
        path, copy = str(make_url(database).database), folder / "restored.db"
        with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)  # what the shell's .backup does
        return f"sqlite:///{copy}"
    given = postgres.url_of(postgres.name_in(database))
    dump, name = folder / "bot.dump", f"restored_{secrets.token_hex(6)}"
    run_tool("pg_dump", "--format=custom", f"--file={dump}", given)
    postgres.create(name)
    run_tool("pg_restore", "--clean", "--if-exists", f"--dbname={postgres.url_of(name)}", str(dump))
    return postgres.as_sqlalchemy(postgres.url_of(name))


def run_tool(name: str, *arguments: str) -> None:
    subprocess.run([postgres.tools() / name, *arguments], check=True, capture_output=True, timeout=60)
