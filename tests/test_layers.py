"""Who may import whom. The table is the architecture; the code below it only reads imports."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = ("bot", "providers", "sandbox", "tests", "bench")

EVERYTHING = ("*",)
STDLIB = tuple(sys.stdlib_module_names)
IMPURE = (
    "asyncio",
    "http",
    "logging",
    "os",
    "pathlib",
    "random",
    "socket",
    "sqlite3",
    "subprocess",
    "threading",
    "time",
)
PURE_STDLIB = tuple(name for name in STDLIB if name not in IMPURE)
WORDS = ("bot.model", "bot.commands", "bot.events")
SLACK = ("slack_bolt", "slack_sdk")
DATABASE = ("sqlalchemy", "sqlmodel", "alembic", "sqlite3")


@dataclass(frozen=True)
class Rule:
    """`modules`, but for `besides`, never import `never`, but for `except_for`.

    Patterns are module names with `*`; each also stands for everything inside the module.
    """

    because: str
    modules: tuple[str, ...]
    never: tuple[str, ...]
    except_for: tuple[str, ...] = ()
    besides: tuple[str, ...] = ()


RULES = (
    Rule(
        "the rules and the words are pure: no clock, no disk, no network, no Slack",
        modules=("bot.rules", *WORDS, "bot.batch.rules"),
        never=EVERYTHING,
        except_for=(*PURE_STDLIB, *WORDS, "bot.rules", "bot.errors", "providers.contract"),
    ),
    Rule(
        "a listener translates; it neither stores nor calls providers",
        modules=("bot.listeners",),
        never=("bot.store*", "httpx", *DATABASE),
    ),
    Rule(
        "blocks are made from records alone, so the same record always gives the same card",
        modules=("bot.blocks",),
        never=EVERYTHING,
        except_for=(
            *PURE_STDLIB,
            "bot.blocks",
            *WORDS,
            "bot.batch.rules",
            "providers.contract",
        ),
    ),
    Rule(
        "providers know nothing of the bot that uses them",
        modules=("providers",),
        never=("bot", "sandbox", "tests", *SLACK, *DATABASE),
    ),
    Rule(
        "a provider can be read, changed and removed without looking at another",
        modules=("providers.*",),
        never=("providers",),
        except_for=(
            "providers.contract",
            "providers.http",
            "providers.fence",
            "providers.spellings",
            "providers.text",
        ),
    ),
    Rule(
        "the bot knows providers by their contract, whichever they are",
        modules=("bot",),
        besides=("bot.on_call",),  # it asks a source of its own, through the same door
        never=("providers",),
        except_for=(
            "providers.contract",
            "providers.fence",
            "providers.http.HttpLimits",
            "providers.spellings",  # what masks secrets in the log must know as many as what masks answers
            "providers.ADAPTERS",
        ),
    ),
    Rule(
        "one door to providers, so that its limits protect every call",
        modules=("bot", "providers", "sandbox"),
        besides=("providers.http",),
        never=("httpx", "httpcore"),
    ),
    Rule(
        "what decides, stores and executes works without Slack",
        modules=("bot.rules", *WORDS, "bot.workflow", "bot.store*", "bot.worker"),
        never=SLACK,
    ),
    Rule(
        "the bot cannot tell whether it runs in the sandbox",
        modules=("bot",),
        never=("sandbox", "tests", "bench"),
    ),
    Rule(
        "what convinces an auditor reads what is stored, and nothing of the bot that works",
        modules=("bot.audit",),
        never=("bot*", *SLACK, "asyncio", "socket"),
        except_for=(
            "bot.anchors",
            "bot.audit",
            "bot.batch.rules",
            "bot.blocks",
            "bot.errors",
            *WORDS,
            "bot.rules",
            "bot.store",
            "bot.__version__",
        ),
    ),
    Rule(
        "plots are an extra that need not be installed",
        modules=("bot", "providers", "sandbox"),
        besides=("bot.audit.plots",),
        never=("matplotlib",),
    ),
    Rule(
        "the bot works without bot.audit: only the command line knows it",
        modules=("bot", "providers", "sandbox"),
        besides=("bot.audit", "bot.cli"),
        never=("bot.audit",),
    ),
    Rule(
        "a floor does by hand what the bot does, so it has nothing of the bot's",
        modules=("bench.floors",),
        never=("bot", "providers", "sandbox", "tests"),
    ),
    Rule(
        "bot.app wires everything together, so nothing else may depend on it",
        modules=("bot", "providers"),
        besides=("bot.app", "bot.cli", "bot.__main__"),
        never=("bot.app",),
    ),
)


def violations(root: Path, rules: tuple[Rule, ...] = RULES) -> list[str]:
    found = []
    for module, path in modules(root):
        for line, imported in imports(module, path):
            for rule in rules:
                if applies(rule, module) and is_forbidden(rule, imported):
                    found.append(f"{path.relative_to(root)}:{line} imports {imported}, but {rule.because}")
    return found


def applies(rule: Rule, module: str) -> bool:
    return matches(module, rule.modules) and not matches(module, rule.besides)


def is_forbidden(rule: Rule, imported: str) -> bool:
    return matches(imported, rule.never) and not matches(imported, rule.except_for)


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    parts = name.split(".")
    inside = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
    return any(fnmatchcase(each, pattern) for each in inside for pattern in patterns)


def modules(root: Path) -> Iterator[tuple[str, Path]]:
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*.py")):
            parts = path.relative_to(root).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imports(module: str, path: Path) -> Iterator[tuple[int, str]]:
    """Every imported name, `from a import b` as `a.b`, wherever in the file it stands."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = module if path.name == "__init__.py" else module.rpartition(".")[0]
            above = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            origin = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((node.lineno, f"{origin}.{alias.name}") for alias in node.names)


def test_everyone_imports_only_what_they_may() -> None:
    assert violations(ROOT) == []


def test_every_rule_is_about_modules_that_there_are() -> None:
    """A rule for a module that was renamed would hold for nobody."""
    there = {".".join(module.split(".")[:length]) for module, _ in modules(ROOT) for length in range(1, 9)}
    for rule in RULES:
        ours = [name for name in (*rule.modules, *rule.besides) if name.split(".")[0] in FOLDERS]
        assert [name for name in ours if not any(fnmatchcase(each, name) for each in there)] == []


FORBIDDEN = {
    "bot/rules.py": "import time",
    "bot/model.py": "from bot.store import Store",
    "bot/events.py": "from time import time",
    "bot/listeners/votes.py": "from bot import store",
    "bot/listeners/forms/deep.py": "from sqlmodel import Session",
    "bot/listeners/requests.py": "from ..store_tables import Row",
    "bot/blocks/cards.py": "from bot.workflow import Workflow",
    "bot/blocks/forms.py": "import slack_sdk.models.blocks",
    "providers/northwind.py": "from bot.model import Request",
    "providers/contoso.py": "from providers import northwind",
    "providers/fabrikam.py": "import httpx",
    "bot/worker.py": "from slack_sdk.web.async_client import AsyncWebClient",
    "bot/announce.py": "from providers.northwind import Northwind",
    "bot/settings.py": "def late():\n    import sandbox.slack",
    "bot/workflow.py": "from bot.app import build_app",
    "bot/audit/export.py": "from bot.workflow import Workflow",
    "bench/floors/ledger.py": "from bot.store import Store",
    "bot/witness.py": "from bot.audit import history",
    "bot/audit/report.py": "from matplotlib.figure import Figure",
}


@pytest.mark.parametrize("path", FORBIDDEN)
def test_the_check_can_fail(tmp_path: Path, path: str) -> None:
    target = tmp_path / path
    target.parent.mkdir(parents=True)
    target.write_text(FORBIDDEN[path])
    assert violations(tmp_path)


ALLOWED = {
    "bot/rules.py": "from bot.model import Request\nfrom datetime import datetime\nimport re",
    "bot/listeners/votes.py": "from bot.workflow import Workflow\nfrom slack_bolt.async_app import AsyncApp",
    "bot/blocks/cards.py": "from . import ids\nfrom bot.blocks.ids import APPROVE\nfrom bot import model",
    "providers/northwind.py": "from providers.contract import Facts\nfrom providers.http import get",
    "providers/__init__.py": "from typing import Final",
    "providers/http.py": "import httpx",
    "bot/audit/export.py": "from bot.store.chain import Head\nfrom bot.audit.history import Row",
    "bot/cli/audit.py": "from bot.audit import export",
    "bot/cli/run.py": "from bot.app import build_app\nfrom providers import ADAPTERS",
    "sandbox/__main__.py": "from bot.app import build_app",
}


@pytest.mark.parametrize("path", ALLOWED)
def test_the_check_can_pass(tmp_path: Path, path: str) -> None:
    target = tmp_path / path
    target.parent.mkdir(parents=True)
    target.write_text(ALLOWED[path])
    assert violations(tmp_path) == []
