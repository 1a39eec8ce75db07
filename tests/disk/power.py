"""What a power cut may leave of a disk, worked out from a trace of what a program asked of it.

What was synced is there. Of the rest each write is there, is not, or is torn between sectors; a file
may have its old length; and a file that was made, renamed or removed may still be under its old name,
until its folder was synced. What was to be synced when that failed is in doubt for good, as on Linux:
another sync succeeds and does not bring it back. Real file systems keep more; POSIX promises no more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from itertools import pairwise
from math import inf
from pathlib import Path, PurePath
from random import Random

from tests.disk.trace import Call

SECTOR = 512
EXTREMES = ("none of it", "all of it")
"""Of what was not synced."""


class FolderNotSynced(Exception):
    """What comes after this cannot be told."""


Contents = dict[str, bytes]
"""Files by their path below the folder."""


class Standing(Enum):
    WAITING = auto()
    SYNCED = auto()
    LOST = auto()
    """Its sync has failed: nobody knows, and no later sync helps."""


@dataclass(slots=True)
class Change:
    """Bytes at an offset, or a new length."""

    began: int
    """The line of the trace."""
    offset: int
    data: bytes | None
    standing: Standing = Standing.WAITING

    @property
    def end(self) -> float:
        return inf if self.data is None else self.offset + len(self.data)


@dataclass(slots=True)
class File:
    synced: bytes = b""
    changes: list[Change] = field(default_factory=list)
    """Later ones, in their order."""

    def sync(self, until: int) -> None:
        """What was asked for before the line `until` of the trace is on disk now."""
        for change in [each for each in self.changes if each.standing is Standing.WAITING]:
            if change.began < until:
                change.standing = Standing.SYNCED
                self.changes = [each for each in self.changes if not _replaces(change, each)]
        while self.changes and self.changes[0].standing is Standing.SYNCED:
            self.synced = _changed(self.synced, self.changes.pop(0))

    def fail_to_sync(self) -> None:
        for change in self.changes:
            if change.standing is Standing.WAITING:
                change.standing = Standing.LOST

    def survives(self, fate: Fate) -> bytes:
        left = self.synced
        for change in self.changes:
            for part in [change] if change.standing is Standing.SYNCED else fate.of(change):
                left = _changed(left, part)
        return left


@dataclass(slots=True)
class Folder:
    synced: dict[str, Node] = field(default_factory=dict)
    waiting: list[tuple[int, str, Node | None]] = field(default_factory=list)
    """Names that were given to a node or taken away, with the line of the trace."""

    @property
    def now(self) -> dict[str, Node]:
        return _named(self.synced, [(name, node) for _, name, node in self.waiting])

    def fail_to_sync(self) -> None:
        """SQLite does not look at the result. A file system that cannot write its names any more does not
        keep anything else that comes after either, so there is nothing to be learned from it."""
        raise FolderNotSynced

    def sync(self, until: int) -> None:
        self.synced = _named(self.synced, [(name, node) for at, name, node in self.waiting if at < until])
        self.waiting = [each for each in self.waiting if each[0] >= until]

    def survives(self, fate: Fate) -> dict[str, Node]:
        return _named(self.synced, fate.of_names([(name, node) for _, name, node in self.waiting]))


Node = File | Folder


class Fate:
    """Decides what becomes of each change that was not synced."""

    def __init__(self, kind: str, seed: str) -> None:
        self._kind = kind
        self._dice = Random(seed)  # noqa: S311  (it has to be the same again)
        self._loses = self._dice.choice((0.1, 0.5, 0.9))

    def of(self, change: Change) -> list[Change]:
        """The parts of it that are on the disk."""
        if self._kind in EXTREMES:
            return [change] if self._kind == EXTREMES[1] else []
        if self._dice.random() < self._loses:
            return []
        if change.data is None or self._dice.random() < 0.5:
            return [change]
        return [sector for sector in _sectors(change) if self._dice.random() < 0.5]

    def of_names(self, changes: Sequence[tuple[str, Node | None]]) -> list[tuple[str, Node | None]]:
        """Half of the time in order, as a journal keeps them; else each for itself."""
        if self._kind in EXTREMES:
            return list(changes) if self._kind == EXTREMES[1] else []
        if self._dice.random() < 0.5:
            return list(changes[: self._dice.randint(0, len(changes))])
        return [change for change in changes if self._dice.random() >= self._loses]


class Disk:
    """One folder, followed through a trace; all that is in it at the beginning is on disk."""

    def __init__(self, folder: Path, before: Contents) -> None:
        self._folder = folder
        self._root = Folder()
        self._open: dict[int, Node] = {}
        for name, data in before.items():
            self._root.synced[name] = File(data)

    def apply(self, call: Call) -> bool:
        """Let `call` happen. False when it has nothing to do with this folder."""
        if call.returned < 0:
            return self._failed(call)
        match call.name:
            case "openat" | "open" | "creat":
                return self._opened(call)
            case "close":
                self._open.pop(call.numbers[0], None)
                return False
            case "mkdir" | "unlink" | "rename":
                return self._renamed(call.name, [self._below(text) for text in call.texts], call.began)
            case _:
                return self._changed_or_synced(call)

    def survives(self, fate: Fate) -> Contents:
        """What is there after a power cut now. Shared memory never is."""
        found = dict(_files(self._root, fate, PurePath()))
        return {name: data for name, data in found.items() if not name.endswith("-shm")}

    def _opened(self, call: Call) -> bool:
        self._open.pop(call.returned, None)
        path = self._below(call.texts[0])
        if path is None:
            return False
        if path == PurePath():
            self._open[call.returned] = self._root
            return False
        folder = self._folder_of(path)
        node = folder.now.get(path.name)
        if node is None:
            node = File()
            folder.waiting.append((call.began, path.name, node))
        elif isinstance(node, File) and ("O_TRUNC" in call.arguments or call.name == "creat"):
            node.changes.append(Change(call.began, 0, None))
        self._open[call.returned] = node
        return True

    def _renamed(self, what: str, paths: Sequence[PurePath | None], began: int) -> bool:
        if paths[0] is None:
            return False
        folder = self._folder_of(paths[0])
        moved = None if what == "mkdir" else folder.now[paths[0].name]
        folder.waiting.append((began, paths[0].name, Folder() if what == "mkdir" else None))
        if what == "rename" and paths[1] is not None:
            self._folder_of(paths[1]).waiting.append((began, paths[1].name, moved))
        return True

    def _failed(self, call: Call) -> bool:
        node = self._open.get(call.numbers[0]) if call.name in {"fsync", "fdatasync"} else None
        if node is not None:
            node.fail_to_sync()
        return node is not None

    def _changed_or_synced(self, call: Call) -> bool:
        node = self._open.get(call.numbers[0]) if call.numbers else None
        if node is None:
            return False
        match call.name, node:
            case "fsync" | "fdatasync", _:
                node.sync(until=call.began)
            case "pwrite64", File():
                offset = call.numbers[-1]
                node.changes.append(Change(call.began, offset, call.texts[0][: call.returned]))
            case "ftruncate", File():
                node.changes.append(Change(call.began, call.numbers[1], None))
            case name, _:
                raise NotImplementedError(f"{name} on a file in {self._folder}")
        return True

    def _below(self, raw: bytes) -> PurePath | None:
        """The path below the folder; None for one that is elsewhere."""
        path = Path(raw.decode())
        return path.relative_to(self._folder) if path.is_relative_to(self._folder) else None

    def _folder_of(self, path: PurePath) -> Folder:
        folder = self._root
        for name in path.parts[:-1]:
            inside = folder.now[name]
            if not isinstance(inside, Folder):
                raise NotADirectoryError(path)
            folder = inside
        return folder


def _files(folder: Folder, fate: Fate, above: PurePath) -> Iterator[tuple[str, bytes]]:
    for name, node in folder.survives(fate).items():
        if isinstance(node, Folder):
            yield from _files(node, fate, above / name)
        else:
            yield str(above / name), node.survives(fate)


def _named(names: dict[str, Node], changes: Sequence[tuple[str, Node | None]]) -> dict[str, Node]:
    left = dict(names)
    for name, node in changes:
        left.pop(name, None)
        if node is not None:
            left[name] = node
    return left


def _changed(content: bytes, change: Change) -> bytes:
    """A hole reads as zeros."""
    start = content[: change.offset].ljust(change.offset, b"\0")
    if change.data is None:
        return start
    return start + change.data + content[change.offset + len(change.data) :]


def _replaces(later: Change, earlier: Change) -> bool:
    """It does not matter any more what became of the earlier one."""
    return earlier.began < later.began and later.offset <= earlier.offset and earlier.end <= later.end


def _sectors(change: Change) -> Iterator[Change]:
    """The write, cut where the disk's sectors end."""
    data = change.data or b""
    first = -change.offset % SECTOR or SECTOR
    cuts = [0, *range(first, len(data), SECTOR), len(data)]
    for start, end in pairwise(cuts):
        yield Change(change.began, change.offset + start, data[start:end])
