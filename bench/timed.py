"""One command of the bot in a process of its own: prints its seconds and the most memory it held, in MiB."""

from __future__ import annotations

import contextlib
import io
import resource
import sys
import time

from bot import cli


def main(arguments: list[str]) -> None:
    began = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main(arguments)
        except SystemExit as ended:
            if ended.code:
                raise
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(time.perf_counter() - began, most)


if __name__ == "__main__":
    main(sys.argv[1:])
