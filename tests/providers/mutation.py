"""Are the readings tested? Change them in one place at a time and see whether a test notices.

    .venv/bin/python -m tests.providers.mutation            # all adapters; some minutes
    .venv/bin/python -m tests.providers.mutation tradernet  # one of them
    .venv/bin/python -m tests.providers.mutation 40         # 40 changes of each, picked at random

What is changed: comparisons, conditions, results, standings, truth values, numbers, the provider's own
words, keyword arguments, and cases that are left out. Sentences for people are left alone, and so are
the lengths at which texts are cut.
"""

from __future__ import annotations

import ast
import importlib
import os
import random
import re
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from providers.contract import Result, Standing

ROOT = Path(__file__).parents[2]
NAMES = ("cpanel", "digicert", "payvalida", "tradernet", "servertastic")
NEEDED = 90
"""Per cent of the changes that have to be noticed."""
PATIENCE = 120.0
"""Seconds after which a change counts as noticed: the tests do not end."""
PRELOADED = ("bot.app", "hypothesis", "pytest_asyncio.plugin", "sandbox.conformance", "sandbox.town")
"""Imported once, before the processes part; what is changed must not be among it."""

OPPOSITE: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
CHANGEABLE = (
    *(ast.Attribute, ast.BinOp, ast.BoolOp, ast.Call, ast.Compare, ast.Constant),
    *(ast.If, ast.IfExp, ast.Match),
)
WORD = re.compile(r"[A-Za-z0-9_|./-]+")
ABOUT_PATTERNS = "arrives_exactly or depends_on or test_a_pattern or slips_in or of_ascii"
"""Tests that take their time and are not about readings."""
SKIPPED = frozenset({"facts", "from_settings", "account", "close"})


@dataclass(frozen=True, slots=True)
class Change:
    line: int
    what: str
    tree: ast.Module


def changes(source: str) -> Iterator[Change]:
    """Every module that differs from the source in one place."""
    for index, original in enumerate(_nodes(ast.parse(source))):
        if not isinstance(original, CHANGEABLE):
            continue
        for variant in range(5):
            changed = ast.parse(source)
            node = next(islice(_nodes(changed), index, None))
            before = ast.unparse(node)[:60]
            if not _change(node, variant):
                break
            after = ast.unparse(ast.fix_missing_locations(node))[:60]
            yield Change(getattr(node, "lineno", 0), f"{before}  ->  {after}", changed)


def _nodes(tree: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(tree):
        name = getattr(child, "name", None) or getattr(getattr(child, "target", None), "id", None)
        if name in SKIPPED or isinstance(child, ast.JoinedStr | ast.Import | ast.ImportFrom):
            continue
        if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
            continue  # a docstring
        if isinstance(child, ast.keyword) and child.arg == "limit":
            continue
        if isinstance(child, ast.AnnAssign | ast.arg):
            yield from _nodes(child) if isinstance(child, ast.AnnAssign) and child.value else ()
            continue
        yield child
        yield from _nodes(child)


def _change(node: ast.AST, variant: int) -> bool:
    """Change the node in its variant-th way, if it has so many."""
    if isinstance(node, ast.Call):
        return _without_keyword(node, variant)
    if isinstance(node, ast.Match):
        return _without_case(node, variant)
    if variant:
        return False
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in OPPOSITE:
            node.ops[0] = OPPOSITE[type(op)]()
        case ast.BoolOp():
            node.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        case ast.If() | ast.IfExp():
            node.test = ast.UnaryOp(ast.Not(), node.test)
        case ast.Attribute(value=ast.Name(id="Result" | "Standing" as kind)):
            members = list(Result.__members__ if kind == "Result" else Standing.__members__)
            node.attr = members[(members.index(node.attr) + 1) % len(members)]
        case ast.Constant(value=bool(value)):
            node.value = not value
        case ast.Constant(value=int(value)):
            node.value = value + 1
        case ast.Constant(value=str(value)) if WORD.fullmatch(value):
            node.value = f"{value}x"
        case ast.BinOp(op=ast.Add() | ast.Sub()):
            node.op = ast.Sub() if isinstance(node.op, ast.Add) else ast.Add()
        case _:
            return False
    return True


def _without_keyword(node: ast.Call, variant: int) -> bool:
    called = node.func.id if isinstance(node.func, ast.Name) else ""
    optional = [each for each in node.keywords if each.arg != "limit"]
    if called not in {"Outcome", "OrderState", "clean_text"} or variant >= len(optional):
        return False
    node.keywords.remove(optional[variant])
    return True


def _without_case(node: ast.Match, variant: int) -> bool:
    if variant >= len(node.cases) - 1:
        return False
    del node.cases[variant]
    return True


def is_noticed(name: str, change: Change) -> bool:
    """Run the tests of the adapter in a process of its own in which it is changed."""
    child = os.fork()
    if child == 0:
        _test(name, change)
    until = time.monotonic() + PATIENCE
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) != 0
        if time.monotonic() > until:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            return True
        time.sleep(0.01)


def _test(name: str, change: Change) -> None:
    code = 1
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        module = importlib.import_module(f"providers.{name}")
        tree = ast.fix_missing_locations(change.tree)
        exec(compile(tree, str(module.__file__), "exec"), module.__dict__)  # noqa: S102  (our own code)
        folder = "tests/providers"
        options = ["-x", "-q", "--assert=plain", "-p", "no:cacheprovider"]
        files = ["test_examples.py", f"test_{name}.py", "test_references.py"]
        tests = [*(f"{folder}/{file}" for file in files), "-k", f"{name} and not ({ABOUT_PATTERNS})"]
        code = int(pytest.main([*options, *tests]))
    finally:
        os._exit(code)


def main(names: Sequence[str]) -> int:
    os.chdir(ROOT)
    for module in PRELOADED:
        importlib.import_module(module)
    sample = next((int(each) for each in names if each.isdecimal()), 0)
    total = noticed = 0
    for name in [each for each in names if not each.isdecimal()] or NAMES:
        source = (ROOT / "providers" / f"{name}.py").read_text("utf-8")
        if is_noticed(name, Change(0, "nothing", ast.parse(source))):
            sys.stdout.write(f"{name}: the tests fail without any change\n")
            return 2
        found = list(changes(source))
        found = random.Random(name).sample(found, sample) if sample else found  # noqa: S311
        missed = [change for change in found if not is_noticed(name, change)]
        total, noticed = total + len(found), noticed + len(found) - len(missed)
        sys.stdout.write(f"{name}: {len(found) - len(missed)} of {len(found)} changes noticed\n")
        sys.stdout.writelines(f"  line {change.line}: {change.what}\n" for change in missed)
        sys.stdout.flush()
    share = 100 * noticed / total
    sys.stdout.write(f"{share:.1f} % of {total} changes noticed; {NEEDED} % are needed.\n")
    return 0 if share >= NEEDED else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
