"""How a row of the history is spelled in a file: JSON lines, or CSV by RFC 4180.

The same row always gives the same bytes, and the row can be read back from them exactly. JSON lines are
plain ASCII. A spreadsheet would take some CSV cells for a formula, and some characters for more than
text: a cell that begins with one of = + - @ ' or has a control character in it gets a ' in front, and in
that cell % and control characters become %XX, as in a URL. Take the ' away, undo the %XX, and it is what
it was.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as quoted
from urllib.parse import quote, unquote

from bot.audit.history import Row

COLUMNS = Row._fields
SELECTION = "selection"
"""One column more in an export of some events: a hash over the rows up to here, as `select` makes it."""

_FORMULA = tuple("=+-@'")
_INVISIBLE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
"""Control characters, line and paragraph ends, and what changes the direction of text."""
_TO_ENCODE = re.compile(f"[%{_INVISIBLE}]")
_UNSAFE = re.compile(f"[{_INVISIBLE}]")

Cells = tuple[Row, str]
"""A row, and its `selection`, which is empty in an export of everything."""


@dataclass(frozen=True, slots=True)
class Format:
    name: str
    head: Callable[[bool], bytes]
    """The first line, if there is one; true: with the column `selection`."""
    write: Callable[[Row, str], bytes]
    read: Callable[[bytes], Cells]
    """Raises `ValueError` for a line that none of our exports has."""


# --- JSON lines -------------------------------------------------------------------------------------


def _write_json(row: Row, selection: str) -> bytes:
    """What `json.dumps` makes of the same, spelled out here because that is most of the work of an export."""
    seq, previous, digest, at, request_id, kind, body = row
    owner = "null" if request_id is None else quoted(request_id)
    more = f',"{SELECTION}":{quoted(selection)}' if selection else ""
    return (
        f'{{"seq":{seq},"previous":{quoted(previous)},"hash":{quoted(digest)},"at":{quoted(at)},'
        f'"request_id":{owner},"kind":{quoted(kind)},"body":{quoted(body)}{more}}}\n'
    ).encode()


def _read_json(line: bytes) -> Cells:
    cells = json.loads(line)
    if not isinstance(cells, dict):
        raise ValueError("no object")
    return _checked([cells.get(name) for name in COLUMNS], cells.get(SELECTION, ""))


# --- CSV --------------------------------------------------------------------------------------------


def _head(with_selection: bool) -> bytes:
    return _record([*COLUMNS, *([SELECTION] if with_selection else [])])


def _write_csv(row: Row, selection: str) -> bytes:
    cells = [str(row.seq), *["" if text is None else _harmless(text) for text in row[1:]]]
    return _record([*cells, selection] if selection else cells)


def _read_csv(line: bytes) -> Cells:
    (cells,) = csv.reader([line.decode()], strict=True)
    if len(cells) < len(COLUMNS) or not re.fullmatch(r"[0-9]{1,15}", cells[0]):
        raise ValueError("no row")
    seq, *texts = cells[: len(COLUMNS)]
    read: list[object] = [_as_it_was(text) for text in texts]
    of = COLUMNS.index("request_id") - 1
    read[of] = None if texts[of] == "" else read[of]
    return _checked([int(seq), *read], "".join(cells[len(COLUMNS) :]))


def _record(cells: list[str]) -> bytes:
    """What `csv.writer` makes of cells that are harmless, in a third of the time."""
    return (",".join(map(_cell, cells)) + "\r\n").encode()


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if '"' in text or "," in text else text


def _harmless(text: str) -> str:
    is_plain = text.isprintable() or not _UNSAFE.search(text)  # none of the unsafe ones can be printed
    if text and is_plain and not text.startswith(_FORMULA):
        return text
    return "'" + _TO_ENCODE.sub(lambda found: quote(found[0], safe=""), text)


def _as_it_was(cell: str) -> str:
    return unquote(cell[1:], errors="strict") if cell.startswith("'") else cell


def _checked(cells: list[object], selection: object) -> Cells:
    seq, *texts = cells
    if type(seq) is not int or not isinstance(selection, str):
        raise ValueError("no row")
    for name, text in zip(COLUMNS[1:], texts, strict=True):
        if isinstance(text, str):
            text.encode()  # half of a surrogate pair is no text
        elif text is not None or name != "request_id":
            raise ValueError("no row")
    return Row(*cells), selection  # type: ignore[arg-type]


JSONL = Format("jsonl", lambda _: b"", _write_json, _read_json)
CSV = Format("csv", _head, _write_csv, _read_csv)
FORMATS = {one.name: one for one in (CSV, JSONL)}
