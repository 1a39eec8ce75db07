"""One command of the bot in a process of its own: prints its seconds and the most memory it held, in MiB."""

from __future__ import annotations

import contextlib
import io
import re
import sys
import time
from pathlib import Path

from bot import cli


def main(arguments: list[str]) -> None:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main(arguments)
        except SystemExit as ended:
            if ended.code:
                raise
    # Not what getrusage says: that begins with the memory of the process that started this one.
    (most,) = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text("utf-8"))
    print(time.perf_counter() - began, int(most) / 1024)


if __name__ == "__main__":
    main(sys.argv[1:])
