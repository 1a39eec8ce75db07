"""`python -m bench [ROW…] [--quick]`: measures, and prints a table."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
import time
from pathlib import Path

from bench import answers, audit, cycles, first_byte, growth, minute, start, workers
from bench.figures import Figure, as_json, table

ROWS = {module.ROW: module for module in (answers, first_byte, cycles, workers, minute, growth, audit, start)}
"""In the order of the table."""
BESIDES = (growth.ROW, minute.ROW, workers.ROW)
"""Rows that are only measured when they are named: they take minutes."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of the table: {', '.join(ROWS)}")
    parser.add_argument("--quick", action="store_true", help="two pairs each, for a first impression")
    parser.add_argument("--requests", type=int, default=growth.REQUESTS, help="on file, for the row growth")
    parser.add_argument("--output", type=Path, default=Path("build/bench.json"), help="for the raw results")
    given = parser.parse_args()
    if unknown := set(given.rows) - set(ROWS):
        parser.error(f"no such row: {', '.join(sorted(unknown))}; there are {', '.join(ROWS)}")
    wanted = given.rows or [row for row in ROWS if row not in BESIDES]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no gigabytes stay behind
    began = time.monotonic()
    figures: list[Figure] = []
    for row in wanted:
        more = {"requests": given.requests} if row == growth.ROW else {}
        figures += asyncio.run(ROWS[row].measure(_say, given.quick, **more))
    results = as_json(figures, quick=given.quick, seconds=time.monotonic() - began)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    print(table(figures))
    return 0


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
