"""Hash every event of a database in order, and write the file that the bot exports: all by hand.

Nothing is checked, and nothing is understood. Prints the seconds and the most memory it held, in MiB.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sqlite3
import sys
import time
from collections.abc import Callable
from json.encoder import encode_basestring as quoted
from json.encoder import encode_basestring_ascii as ascii_quoted
from pathlib import Path
from typing import IO

QUERY = "SELECT seq, request_id, at, kind, body, previous, hash FROM event ORDER BY seq"
COLUMNS = ("seq", "previous", "hash", "at", "request_id", "kind", "body")
Cells = tuple[int, str, str, str, str | None, str, str]


def main(file: str, output: str) -> None:
    began = time.perf_counter()
    if output:
        with Path(output).open("w", encoding="utf-8", newline="") as lines:
            walk(file, csv_into(lines) if output.endswith(".csv") else json_into(lines))
            lines.flush()
            os.fsync(lines.fileno())
    else:
        walk(file)
    # Not what getrusage says: that begins with the memory of the process that started this one.
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    print(time.perf_counter() - began, int(most) / 1024)


def walk(file: str, write: Callable[[Cells], object] | None = None) -> None:
    for seq, owner, stored, kind, body, previous, digest in sqlite3.connect(file).execute(QUERY):
        at = stored.replace(" ", "T").removesuffix(".000000") + "+00:00"
        of = "null" if owner is None else quoted(owner)
        content = f"[{seq},{of},{quoted(at)},{quoted(kind)},{quoted(body)},{quoted(previous)}]"
        hashlib.sha256(content.encode()).hexdigest()
        if write:
            write((seq, previous, digest, at, owner, kind, body))


def json_into(lines: IO[str]) -> Callable[[Cells], object]:
    def write(cells: Cells) -> None:
        seq, *texts = cells
        previous, digest, at, of, kind, body = [
            "null" if text is None else ascii_quoted(text) for text in texts
        ]
        lines.write(
            f'{{"seq":{seq},"previous":{previous},"hash":{digest},"at":{at},'
            f'"request_id":{of},"kind":{kind},"body":{body}}}\n'
        )

    return write


def csv_into(lines: IO[str]) -> Callable[[Cells], object]:
    """What is exported here is harmless in a spreadsheet as it is."""
    writer = csv.writer(lines)
    writer.writerow(COLUMNS)
    return writer.writerow


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
