"""Hash every event of a database in order, or write each as one line of JSON: nothing is understood.

Prints the seconds and the most memory it held, in MiB.
"""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
import sys
import time
from pathlib import Path

QUERY = "SELECT seq, request_id, at, kind, body, previous, hash FROM event ORDER BY seq"


def main(file: str, output: str) -> None:
    began = time.perf_counter()
    rows = sqlite3.connect(file).execute(QUERY)
    if output:
        with Path(output).open("w", encoding="utf-8") as lines:
            for row in rows:
                lines.write(json.dumps(row, ensure_ascii=False) + "\n")
    else:
        for row in rows:
            hashlib.sha256(json.dumps(row[:6], ensure_ascii=False).encode()).hexdigest()
    # Not what getrusage says: that begins with the memory of the process that started this one.
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    print(time.perf_counter() - began, int(most) / 1024)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
