"""Strace as the hand that pulls the plug, or breaks the disk, at one system call of a running process.

The product has no switches for that. Strace stops the process in front of the n-th call of a kind; a
signal sent there kills it before the call is carried out.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import re
import shutil
import signal
import subprocess
import sys
from functools import cache
from typing import Self

import pytest

ANYBODY = ctypes.c_ulong(-1)
PR_SET_PTRACER = 0x59616D61
PR_SET_PDEATHSIG = 1
SHOWN = "80"
"""Characters of each argument: enough to recognise a call by."""


class CannotTrace(Exception):
    """Strace is missing, or the system does not let it."""


class Strace:
    """Attached to one process until that ends, or until `detach`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._changed = asyncio.Event()
        self._ended = False
        self.text = ""
        """What it has said so far; each call from the moment it begins."""
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def attach(cls, thread: int, *options: str, follow: bool) -> Self:
        """Return when it is attached to `thread` and, with `follow`, to all others of its process,
        those to come included. Raises `CannotTrace`."""
        command = ["strace", *(["-f"] if follow else []), "-s", SHOWN, *options, "-p", str(thread)]
        try:
            process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
            )
        except FileNotFoundError:
            raise CannotTrace("strace is not installed") from None
        strace = cls(process)
        if await strace.says(r"strace: Process \d+ attached") is None:
            await strace.detach()
            raise CannotTrace(strace.text.strip())
        return strace

    async def says(self, pattern: str) -> re.Match[str] | None:
        """Wait until it has said something like that; None when it ended without."""
        while True:
            self._changed.clear()
            if found := re.search(pattern, self.text):
                return found
            if self._ended:
                return None
            await self._changed.wait()

    async def detach(self) -> None:
        """Let the process go on undisturbed; nothing happens if it is gone already."""
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        await self._reading

    async def _read(self) -> None:
        if self._process.stderr is None:
            raise RuntimeError("started without a pipe")
        while chunk := await self._process.stderr.read(65536):
            self.text += chunk.decode(errors="replace")
            self._changed.set()
        self._ended = True
        self._changed.set()


def prepare() -> None:
    """Called in a new process before its program starts.

    Where only ancestors may attach, as on Ubuntu, the strace beside it may then do so all the same; and
    the process does not outlive the one that tries it, however that ends.
    """
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_PTRACER, ANYBODY, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


@cache
def why_not() -> str:
    """Why nothing can be traced here, and what to do about it; empty when it can."""
    if not sys.platform.startswith("linux"):
        return "killing at a system call needs Linux and strace"
    if shutil.which("strace") is None:
        return "strace is not installed; on Debian and its kin: apt install strace"
    with subprocess.Popen(["sleep", "60"], preexec_fn=prepare) as sleeper:
        try:
            tried = subprocess.run(
                ["strace", "-p", str(sleeper.pid), "-e", "trace=none"],
                stdin=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                timeout=0.5,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return ""  # it is attached, and stays
        finally:
            sleeper.kill()
    return f"strace may not attach here ({tried.stderr.strip()}); in a container add SYS_PTRACE"


def required() -> None:
    """Skip where nothing can be traced; in CI that is a failure, because nothing would be shown."""
    if why := why_not():
        if os.environ.get("CI"):
            pytest.fail(why)
        pytest.skip(why)
