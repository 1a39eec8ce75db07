"""`make sabotage`: break the code on purpose, one way at a time, and see a test turn red for each.

Each way is tried in a copy of the project, so that nothing here is ever broken. First the tests that
will be asked run on the copy as it is: a test that is red anyway would prove nothing.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.sabotage.ways import WAYS, Way

ROOT = Path(__file__).parents[2]
COPIED = ("bot", "providers", "sandbox", "tests", "docs", "pyproject.toml", "manifest.yml", "README.md")
LIMIT = 300
"""Seconds for the tests of one way; what does not end by then has noticed something as well."""


def main() -> int:
    given = _arguments()
    ways = [way for way in WAYS if not given.names or way.name in given.names]
    with tempfile.TemporaryDirectory(prefix="countersign-sabotage-") as folder:
        copy = Path(folder, "copy")
        _copy(copy)
        print(f"{len(ways)} ways to break it. First, unbroken:", flush=True)
        if not _is_green(copy, sorted({test for way in ways for test in way.tests}), 4 * LIMIT):
            print("The tests are red before anything was broken.")
            return 1
        unnoticed = [way.name for way in ways if not _is_noticed(copy, way)]
    print(f"{len(ways) - len(unnoticed)} of {len(ways)} were noticed.")
    for name in unnoticed:
        print(f"  not noticed: {name}")
    return 1 if unnoticed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.sabotage", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[[], *(way.name for way in WAYS)], metavar="NAME")
    return parser.parse_args()


def _copy(to: Path) -> None:
    to.mkdir()
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, to / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, to / name)


def _is_noticed(copy: Path, way: Way) -> bool:
    began = time.monotonic()
    originals = {path: (copy / path).read_text("utf-8") for path in {edit.path for edit in way.edits}}
    try:
        for edit in way.edits:
            path = copy / edit.path
            path.write_text(edit.apply(path.read_text("utf-8")), "utf-8")
        noticed = not _is_green(copy, way.tests, LIMIT)
    finally:
        for name, text in originals.items():
            (copy / name).write_text(text, "utf-8")
    took = time.monotonic() - began
    print(f"  {'red' if noticed else 'GREEN':5}  {took:5.1f} s  {way.name}: {way.what}", flush=True)
    return noticed


def _is_green(copy: Path, tests: Sequence[str], limit: float) -> bool:
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"}
    try:
        done = subprocess.run(
            command, cwd=copy, env=environment, capture_output=True, timeout=limit, check=False
        )
    except subprocess.TimeoutExpired:
        return False
    if done.returncode not in (0, 1):
        # Neither green nor red: nothing was collected, or the break is no Python at all.
        print(done.stdout.decode()[-2000:] + done.stderr.decode()[-2000:])
        raise SystemExit(f"pytest ended with {done.returncode}")
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
