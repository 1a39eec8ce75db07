"""Pages for auditors: one file each, without scripts and without anything from elsewhere, made for paper too.

A text becomes markup only by `tag` and by `slack`; whatever else is put into a page is escaped, and what a
reader could not see in it is spelled out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape, unescape
from typing import Any

from bot.blocks.text import Block, visible


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


_AT_ONCE = 4000
Part = str | Iterable["Part"]


def tag(name: str, *parts: Part, **attributes: str) -> Markup:
    """One element. `_` at the end of an attribute's name is left out: `class_`."""
    given = "".join(f' {key.rstrip("_")}="{escape(value)}"' for key, value in attributes.items())
    return Markup(f"<{name}{given}>{html(parts)}</{name}>")


def html(part: Part) -> Markup:
    """Escaped, unless it is markup."""
    if isinstance(part, Markup):
        return part
    if isinstance(part, str):
        # `visible` reads so much and no more, and here nothing may be left out.
        return Markup(
            "".join(escape(visible(part[at : at + _AT_ONCE])) for at in range(0, len(part), _AT_ONCE))
        )
    return Markup("".join(html(one) for one in part))


def page(title: str, *parts: Part) -> str:
    """A whole document. The policy in it lets no browser load or run anything."""
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
        f"<body>\n{html(parts)}\n</body>\n</html>\n"
    )


def table(headings: Sequence[str], rows: Iterable[Sequence[Part]], class_: str = "") -> Markup:
    """With a heading that is repeated on each sheet."""
    head = tag("thead", tag("tr", *(tag("th", heading) for heading in headings)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("table", head, body, class_=class_)


def pairs(rows: Iterable[tuple[str, Part]]) -> Markup:
    """What is called how."""
    return tag("dl", *([tag("dt", name), tag("dd", value)] for name, value in rows))


def code(text: str) -> Markup:
    return tag("code", text)


# --- what was written for Slack ---------------------------------------------------------------------

_MARKS = re.compile(
    r"(?P<date><!date\^[0-9]+\^[^|>]*\|(?P<utc>[^>]*)>)|<@(?P<user>[A-Z0-9]+)>|<!subteam\^(?P<group>[A-Z0-9]+)>"
    r"|<#(?P<channel>[A-Z0-9]+)>|`(?P<code>[^`\n]+)`|\*(?P<bold>[^*\n]+)\*|:(?P<emoji>[a-z_]+):"
)


def slack(text: str) -> Markup:
    """Markup of ours for Slack, as it is read there: people by their IDs, times in UTC, no decoration."""
    lines = text.split("\n")
    shown = [tag("q", _inline(line[2:])) if line.startswith("> ") else _inline(line) for line in lines]
    return Markup("<br>".join(shown))


def card(blocks: Sequence[Block]) -> Markup:
    """A message as it looked in Slack; buttons can only be looked at."""
    return tag("div", *(_block(block) for block in blocks), class_="card")


def _block(block: Block) -> Markup:
    match block:
        case {"type": "section", "text": {"text": str(text)}}:
            return tag("p", slack(text))
        case {"type": "context", "elements": list(elements)}:
            return tag("p", *(slack(element["text"]) for element in elements), class_="small")
        case {"type": "actions", "elements": list(buttons)}:
            return tag("p", *(tag("span", button["text"]["text"], class_="button") for button in buttons))
        case _:
            return Markup("")


def _inline(text: str) -> Markup:
    done, parts = 0, [""]
    for found in _MARKS.finditer(text):
        parts += [_text(text[done : found.start()]), _marked(found)]
        done = found.end()
    return Markup("".join([*parts, _text(text[done:])]))


def _marked(found: re.Match[str]) -> Markup:
    given: dict[str, Any] = found.groupdict()
    if given["date"]:
        return tag("time", unescape(given["utc"]))
    if given["code"]:
        return code(unescape(given["code"]))
    if given["bold"]:
        return tag("b", _inline(given["bold"]))
    who = given["user"] or given["group"] or given["channel"]
    return tag("span", f"{'#' if given['channel'] else '@'}{who}", class_="who") if who else Markup("")


def _text(text: str) -> Markup:
    return html(unescape(text))


STYLE = """
@page { size: A4; margin: 16mm 15mm 18mm }
* { box-sizing: border-box }
body { font: 14px/1.5 "Noto Sans", "Segoe UI", "Helvetica Neue", Arial, sans-serif; color: #1b1f24;
  background: #fff; max-width: 62rem; margin: 0 auto; padding: 2rem 1.5rem 4rem }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .6rem; padding-bottom: .25rem; border-bottom: 1px solid #c9ced6;
  break-after: avoid }
h3 { font-size: 1rem; margin: 1.2rem 0 .4rem; break-after: avoid }
p { margin: .35rem 0 }
code, pre { font: .86em/1.45 "DejaVu Sans Mono", Consolas, monospace; overflow-wrap: anywhere }
pre { white-space: pre-wrap; background: #f4f5f7; border: 1px solid #dfe2e7; border-radius: 4px;
  padding: .5rem .7rem; margin: .3rem 0 }
table { border-collapse: collapse; width: 100%; margin: .4rem 0 }
thead { display: table-header-group }
tr { break-inside: avoid }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem .3rem 0;
  border-bottom: 1px solid #e3e6ea; overflow-wrap: anywhere }
th { overflow-wrap: normal; font-size: .82rem; color: #57606a; font-weight: 600;
  border-bottom: 1px solid #aab1bb }
td:first-child, .events td:nth-child(2) { white-space: nowrap }
.numbers td:not(:first-child), .numbers th:not(:first-child) { text-align: right }
dl { display: grid; grid-template-columns: minmax(8rem, 12rem) 1fr; gap: .2rem 1rem; margin: .5rem 0 }
dt { color: #57606a }
dd { margin: 0; overflow-wrap: anywhere }
.result { font-size: 1.05rem; border-left: 5px solid #2f5d8a; background: #f2f6fa; padding: .6rem .9rem;
  margin: .9rem 0; break-inside: avoid }
.card { border: 1px solid #c9ced6; border-left: 4px solid #8a94a1; border-radius: 6px; padding: .5rem .9rem;
  margin: .4rem 0 .8rem; break-inside: avoid; max-width: 44rem; font-size: .95em }
.card p { margin: .35rem 0 }
.button { display: inline-block; border: 1px solid #aab1bb; border-radius: 4px; padding: 0 .5rem;
  margin: 0 .4rem .2rem 0; font-size: .85em; color: #57606a }
.small { font-size: .85em; color: #57606a }
.who { font-weight: 600 }
.bad { color: #a40e26; font-weight: 600 }
q { quotes: none; display: inline-block; border-left: 3px solid #c9ced6; padding-left: .6rem; color: #32383f }
figure { margin: .6rem 0; break-inside: avoid }
figure svg { max-width: 100%; height: auto }
@media print { body { font-size: 9.5pt; max-width: none; padding: 0 } a { color: inherit } }
@media (max-width: 40rem) { dl { grid-template-columns: 1fr } dt { margin-top: .4rem }
  body { padding: 1rem } }
"""
