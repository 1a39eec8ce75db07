"""What a program asked of the disk, call by call, as `strace` saw it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ADVICE = "This needs strace and leave to use it. Install it on Linux (Debian, Ubuntu: apt install strace)."

CHANGES = "pwrite64 write pwritev writev ftruncate truncate fallocate copy_file_range sendfile"
SYNCS = "fsync fdatasync sync_file_range sync syncfs"
NAMES = "openat open creat close unlink unlinkat rename renameat renameat2 mkdir mkdirat link linkat rmdir"
TRACED = (*CHANGES.split(), *SYNCS.split(), *NAMES.split())

_LINE = re.compile(
    r"(?P<pid>\d+) +(?:(?P<name>\w+)\((?P<rest>.*)|<\.\.\. (?P<again>\w+) resumed>(?P<end>.*))"
)
_RETURNED = re.compile(r"\) *= (-?\d+)(?: (E[A-Z]+)?.*)?$")
_UNFINISHED = " <unfinished ...>"
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')


@dataclass(frozen=True, slots=True)
class Call:
    """One system call. `began` and `ended` are lines of the trace: in between, others may have run."""

    name: str
    arguments: str
    """As strace prints them, texts in hexadecimal."""
    returned: int
    began: int
    ended: int
    error: str = ""
    """Such as EIO, where it failed."""

    @property
    def texts(self) -> list[bytes]:
        """The texts among the arguments."""
        found = _TEXT.findall(self.arguments)
        if any(cut for _, cut in found):
            raise ValueError(f"strace has shortened what {self.name} wrote")
        return [bytes.fromhex(text.replace("\\x", "")) for text, _ in found]

    @property
    def numbers(self) -> list[int]:
        """The arguments that are plain numbers, in their order."""
        return [int(word) for word in _TEXT.sub("_", self.arguments).split(", ") if word.isdigit()]


def is_there() -> bool:
    """Installed, and allowed to look at our own processes."""
    try:
        return subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode == 0
    except FileNotFoundError:
        return False


def needs_strace() -> None:
    """Skip the test where strace is missing; in CI that is a failure, because nobody would notice."""
    if is_there():
        return
    if os.environ.get("CI") == "true":
        pytest.fail(ADVICE)
    pytest.skip(ADVICE)


def run_traced(
    program: Sequence[str], log: Path, environment: Mapping[str, str] | None = None, inject: str = ""
) -> tuple[list[Call], subprocess.CompletedProcess[str]]:
    """Run `python …` to its end, and return what it asked of the disk. Its exit code is for the caller.
    `inject`: a system call that fails, as in `fdatasync:error=EIO:when=7`, counted in each thread."""
    # A question mark: there are machines that do not have the call.
    wanted = ",".join(f"?{name}" for name in TRACED)
    strace = ["strace", "-f", "-qq", "-xx", "-s", "10000000", "-o", str(log), "-e", f"trace={wanted}"]
    if inject:
        strace += ["-e", f"inject={inject}"]
    done = subprocess.run(
        [*strace, sys.executable, *program],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
    )
    with log.open() as lines:
        return list(read(lines)), done


def read(lines: Iterator[str]) -> Iterator[Call]:
    """The calls in the order in which they ended."""
    open_calls: dict[str, tuple[str, str, int]] = {}
    for number, line in enumerate(lines):
        found = _LINE.match(line.rstrip("\n"))
        if found is None:
            continue  # a signal, or the end of a process
        pid = found["pid"]
        if found["name"]:
            name, rest, began = found["name"], found["rest"], number
        else:
            name, before, began = open_calls.pop(pid)
            rest = before + found["end"]
        if rest.endswith(_UNFINISHED):
            open_calls[pid] = (name, rest.removesuffix(_UNFINISHED), began)
        elif returned := _RETURNED.search(rest):
            yield Call(name, rest[: returned.start()], int(returned[1]), began, number, returned[2] or "")
