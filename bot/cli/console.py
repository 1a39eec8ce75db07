"""What every command uses: words to say, settings, the database, and the exit codes."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import NoReturn, Protocol

from sqlalchemy.exc import DBAPIError

from bot.errors import StorageError
from bot.settings import Settings, check_url, database_url, read_environment
from bot.store import Store, schema
from bot.store.database import said
from providers import ADAPTERS

OK, FAILED, BAD_SETTINGS, BAD_DATABASE, BAD_CHAIN = range(5)
INTERRUPTED = 130
"""What shells expect after Ctrl-C: a check that was not finished must not look like a good one."""


class Commands(Protocol):
    """Where a command is added: what `argparse` calls subparsers and has no public name for."""

    def add_parser(self, name: str, *, help: str) -> argparse.ArgumentParser: ...


def complain(text: str, code: int) -> NoReturn:
    sys.stderr.write(text + "\n")
    sys.exit(code)


def say(text: str) -> None:
    sys.stdout.write(text + "\n")


def read_settings() -> Settings:
    return Settings.from_env(read_environment(os.environ), ADAPTERS)


@contextmanager
def plainly() -> Iterator[None]:
    """Say in a sentence what the disk and the database driver have to complain about."""
    try:
        yield
    except OSError as problem:
        where = f" ({problem.filename})" if problem.filename else ""
        raise StorageError(f"The database cannot be used{where}: {problem.strerror}.") from None
    except DBAPIError as problem:
        raise StorageError(f"The database cannot be used: {said(problem).rstrip('.')}.") from None


def database() -> str:
    return database_url(read_environment(os.environ))


def must_be_current(url: str) -> None:
    if problem := schema.problem(url):
        raise StorageError(problem)


@contextmanager
def opened() -> Iterator[Store]:
    url = database()
    with plainly():
        must_be_current(url)
        store = Store(url)
        try:
            yield store
        finally:
            store.close()


def as_json(data: object) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False, default=_text)


def _text(value: object) -> str:
    return value.isoformat() if isinstance(value, datetime) else str(value)


def count(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:10]) <= 1_000_000:
        raise argparse.ArgumentTypeError("must be a number from 1 to 1000000")
    return int(text)


def url(text: str) -> str:
    try:
        return check_url(text)
    except ValueError as advice:
        raise argparse.ArgumentTypeError(str(advice)) from None
