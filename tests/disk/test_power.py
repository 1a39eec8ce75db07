"""The pretend disk of the power cuts: what it may forget, and what it must not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.disk.power import EXTREMES, SECTOR, Contents, Disk, Fate
from tests.disk.trace import needs_strace, read

FOLDER = Path("/disk")
SOME = [f"fate {number}" for number in range(200)]


def text(plain: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in plain.encode())


def opened(name: str, fd: int, flags: str = "O_RDWR|O_CREAT") -> str:
    return f'1 openat(AT_FDCWD, "{text(name)}", {flags}, 0600) = {fd}'


def written(fd: int, data: str, offset: int = 0) -> str:
    return f'1 pwrite64({fd}, "{text(data)}", {len(data)}, {offset}) = {len(data)}'


def after(*lines: str, before: Contents | None = None) -> Disk:
    disk = Disk(FOLDER, before or {})
    for call in read(iter(lines)):
        disk.apply(call)
    return disk


def left(disk: Disk) -> list[Contents]:
    return [disk.survives(Fate(kind, kind)) for kind in (*EXTREMES, *SOME)]


def of(disk: Disk, name: str) -> set[bytes | None]:
    return {contents.get(name) for contents in left(disk)}


def test_what_was_not_synced_is_there_or_not_or_torn_between_sectors() -> None:
    data = "a" * SECTOR + "b" * SECTOR
    disk = after(opened("/disk/db", 3), written(3, data, SECTOR // 2), before={"db": b""})
    found = {contents["db"] for contents in left(disk)}
    whole = b"\0" * 256 + data.encode()
    assert {b"", whole} <= found
    torn = found - {b"", whole}
    assert b"\0" * SECTOR + whole[SECTOR : 2 * SECTOR] in torn
    for each in torn:
        for at in range(0, len(each), SECTOR):
            assert each[at : at + SECTOR] in {
                whole[at : at + SECTOR],
                bytes(min(SECTOR, len(each) - at)),
            }, "a sector is whole or not there"


def test_what_was_synced_is_there_whatever_comes_after_it() -> None:
    disk = after(
        opened("/disk/db", 3), written(3, "old"), "1 fdatasync(3) = 0", written(3, "new"), before={"db": b""}
    )
    assert of(disk, "db") == {b"old", b"new"}


def test_a_write_that_began_during_a_sync_is_not_covered_by_it() -> None:
    lines = (
        opened("/disk/db", 3),
        written(3, "a"),
        "1 fdatasync(3 <unfinished ...>",
        f'2 pwrite64(3, "{text("b")}", 1, 1) = 1',
        "1 <... fdatasync resumed>) = 0",
    )
    assert of(after(*lines, before={"db": b""}), "db") == {b"a", b"ab"}


def test_a_call_that_failed_or_wrote_less_changed_nothing_or_less() -> None:
    failed = f'1 pwrite64(3, "{text("b")}", 1, 1) = -1 ENOSPC (No space left on device)'
    half = f'1 pwrite64(3, "{text("cd")}", 2, 1) = 1'
    disk = after(opened("/disk/db", 3), written(3, "a"), failed, half, "1 fsync(3) = 0", before={"db": b""})
    assert of(disk, "db") == {b"ac"}
    unsynced = after(
        opened("/disk/db", 3), written(3, "a"), "1 fsync(3) = -1 EIO (Input/output error)", before={"db": b""}
    )
    assert of(unsynced, "db") == {b"", b"a"}


def test_what_could_not_be_synced_stays_in_doubt_until_it_is_written_anew() -> None:
    """A sync that succeeds later says nothing about it."""
    failed = (opened("/disk/db", 3), written(3, "a"), "1 fsync(3) = -1 EIO (Input/output error)")
    again = (*failed, written(3, "b", 1), "1 fsync(3) = 0")
    assert of(after(*again, before={"db": b""}), "db") == {b"\0b", b"ab"}
    assert of(after(*again, written(3, "c"), "1 fsync(3) = 0", before={"db": b""}), "db") == {b"cb"}
    cut = (*failed, "1 ftruncate(3, 0) = 0", "1 fsync(3) = 0")
    assert of(after(*cut, before={"db": b""}), "db") == {b""}


def test_a_file_may_have_its_old_length_until_it_is_synced() -> None:
    lines = (opened("/disk/db", 3), "1 ftruncate(3, 1) = 0")
    assert of(after(*lines, before={"db": b"abc"}), "db") == {b"abc", b"a"}
    assert of(after(*lines, "1 fsync(3) = 0", before={"db": b"abc"}), "db") == {b"a"}


def test_a_new_file_is_there_for_certain_when_its_folder_was_synced() -> None:
    made = (opened("/disk/new", 3), written(3, "a"), "1 fsync(3) = 0")
    assert of(after(*made), "new") == {None, b"a"}
    assert of(after(*made, opened("/disk", 4, "O_RDONLY"), "1 fsync(4) = 0"), "new") == {b"a"}


def test_a_removed_file_may_be_there_again_and_a_renamed_one_under_its_old_name() -> None:
    removed = after(f'1 unlink("{text("/disk/old")}") = 0', before={"old": b"a"})
    assert of(removed, "old") == {None, b"a"}
    renamed = left(
        after(f'1 rename("{text("/disk/a")}", "{text("/disk/b")}") = 0', before={"a": b"1", "b": b"2"})
    )
    assert {"a": b"1", "b": b"2"} in renamed
    assert {"b": b"1"} in renamed


def test_a_file_of_the_same_name_is_another_file() -> None:
    lines = (
        opened("/disk/log", 3),
        written(3, "old"),
        "1 fsync(3) = 0",
        f'1 unlink("{text("/disk/log")}") = 0',
        "1 close(3) = 0",
        opened("/disk/log", 3),
        written(3, "n"),
    )
    assert of(after(*lines, before={"log": b""}), "log") == {None, b"old", b"", b"n"}


def test_a_folder_that_was_made_takes_what_is_in_it_along() -> None:
    lines = (f'1 mkdir("{text("/disk/data")}", 0777) = 0', opened("/disk/data/db", 3), written(3, "a"))
    synced = ("1 fsync(3) = 0", opened("/disk/data", 4, "O_RDONLY"), "1 fsync(4) = 0")
    assert {} in left(after(*lines, *synced))
    assert left(after(*lines, *synced, opened("/disk", 5, "O_RDONLY"), "1 fsync(5) = 0")) == [
        {"data/db": b"a"}
    ] * len((*EXTREMES, *SOME))


def test_shared_memory_never_survives_and_other_folders_are_none_of_its_business() -> None:
    lines = (
        opened("/disk/db-shm", 3),
        written(3, "a"),
        "1 fsync(3) = 0",
        opened("/elsewhere/x", 4),
        written(4, "b"),
    )
    assert left(after(*lines, opened("/disk", 5, "O_RDONLY"), "1 fsync(5) = 0"))[1] == {}


def test_what_it_does_not_understand_is_not_overlooked() -> None:
    with pytest.raises(NotImplementedError, match="fallocate"):
        after(opened("/disk/db", 3), "1 fallocate(3, 0, 0, 4096) = 0")
    with pytest.raises(ValueError, match="shortened"):
        after(opened("/disk/db", 3), f'1 pwrite64(3, "{text("a")}"..., 9, 0) = 9')


def test_without_strace_it_is_skipped_and_in_ci_that_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("CI", "")
    with pytest.raises(pytest.skip.Exception, match="apt install strace"):
        needs_strace()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="apt install strace"):
        needs_strace()
