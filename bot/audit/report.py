"""The monthly report: what was asked for, what came of it, how long it took, and who approved whom."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta

from bot.audit import plots
from bot.audit.month import Course, Month, share
from bot.audit.page import Markup, Part, code, page, table, tag
from bot.blocks.batch_words import orders
from bot.blocks.words import in_words, word
from bot.model import State
from providers.contract import Facts


def report(about: Month, facts: Mapping[str, Facts]) -> str:
    """The page, from the history alone. `facts` by the provider's name."""
    title = f"Cancellations asked for in {about.name}"
    return page(
        title,
        tag("h1", title),
        tag("p", *_at_a_glance(about), class_="result"),
        tag("h2", "By provider and outcome"),
        *_outcomes(about, {name: one.label for name, one in facts.items()}),
        tag("h2", "How long it took"),
        *_times(about),
        tag("h2", "Who approved whom"),
        *_pairs(about),
        tag("h2", "Tried to approve a request of their own"),
        _own(about),
        tag("h2", "Outcome unknown for a while"),
        _list([one for one in about.courses if one.was_unknown], "The outcome was always known at once."),
        tag("h2", "Expired"),
        _list([one for one in about.courses if one.request.state is State.EXPIRED], "None expired."),
        tag("h2", "What this rests on"),
        tag(
            "p",
            f"Requests made from {about.begin:%Y-%m-%d} to before {about.end:%Y-%m-%d} (UTC), with all that "
            f"happened to them up to event {about.head.seq} of the history, which verified; head ",
            code(about.head.hash),
            ". People are shown by their Slack IDs.",
        ),
    )


def _at_a_glance(about: Month) -> Iterator[Part]:
    courses = about.courses
    if not courses:
        yield "Nobody asked for a cancellation."
        return
    states = [course.request.state for course in courses]
    yield tag("b", f"{len(courses)} request{'s' if len(courses) > 1 else ''}. ")
    own = sum(len(course.own_approvals) for course in courses) + len(about.own_lists)
    yield (
        f"{states.count(State.CANCELLED)} cancelled, {states.count(State.DENIED)} denied, "
        f"{states.count(State.EXPIRED)} expired. Outcome unknown for a while: "
        f"{sum(course.was_unknown for course in courses)}; a person was needed: "
        f"{states.count(State.NEEDS_PERSON) + states.count(State.CLOSED)}; refused self-approvals: {own}."
    )


def _outcomes(about: Month, labels: Mapping[str, str]) -> Iterator[Markup]:
    counted = about.by_provider()
    if not counted:
        yield tag("p", "Nothing to count.")
        return
    states = [state for state in State if any(counts[state] for counts in counted.values())]
    yield tag("figure", plots.outcomes(counted, labels))
    rows = [
        (labels.get(name, name), *(_number(counts[state]) for state in states), str(counts.total()))
        for name, counts in counted.items()
    ]
    sums = [sum(counts[state] for counts in counted.values()) for state in states]
    total = ("all", *map(str, sums), str(sum(sums)))
    yield table(("Provider", *map(word, states), "all"), [*rows, total], class_="numbers")


def milestones(about: Month) -> dict[str, list[timedelta]]:
    """From the request to each of them."""
    found = {
        "first approval": [one.first_approval for one in about.courses],
        "enough approvals": [one.quorum for one in about.courses],
        "outcome": [one.outcome for one in about.courses],
    }
    return {name: [time for time in times if time is not None] for name, times in found.items()}


def _times(about: Month) -> Iterator[Markup]:
    times = milestones(about)
    if not any(times.values()):
        yield tag("p", "Nothing to measure.")
        return
    yield tag("figure", plots.waiting(times))
    rows = [
        (name, str(len(taken)), *(in_short(share(taken, part)) for part in (0.5, 0.9, 1.0)))
        for name, taken in times.items()
    ]
    headings = ("From the request to", "requests", "median", "90 % within", "longest")
    yield table(headings, rows, class_="numbers")


def _pairs(about: Month) -> Iterator[Markup]:
    counted = about.pairs()
    if not counted:
        yield tag("p", "Nobody's approval counted.")
        return
    requesters, approvers = (sorted({pair[side] for pair in counted}) for side in (0, 1))
    rows = [(one, *(_number(counted[one, other]) for other in approvers)) for one in requesters]
    yield table(("Asked by \\ approved by", *approvers), rows, class_="numbers")
    note = (
        "Approvals that counted, by the people in the first row, of requests by those in the first column. "
        "On a list each order counts by itself."
    )
    yield tag("p", note, class_="small")


def _own(about: Month) -> Markup:
    rows = [
        (f"{at:%Y-%m-%d %H:%M:%S}", who.user, code(course.request.short_id), in_words(course.request))
        for course in about.courses
        for at, who in course.own_approvals
    ]
    rows += [
        (
            f"{at:%Y-%m-%d %H:%M:%S}",
            who.user,
            code(batch.short_id),
            f"a list of {orders(len(batch.asked.lines))}",
        )
        for at, who, batch in about.own_lists
    ]
    rows.sort(key=lambda row: row[0])
    if not rows:
        return tag("p", "Nobody tried.")
    return table(("Time (UTC)", "Who", "Request", "What became of it"), rows)


def _list(courses: Sequence[Course], otherwise: str) -> Markup:
    if not courses:
        return tag("p", otherwise)
    rows = [
        (
            f"{one.created_at:%Y-%m-%d %H:%M:%S}",
            code(one.short_id),
            [f"{one.provider} ", code(one.reference)],
            one.requester.user,
            in_words(one),
        )
        for one in (course.request for course in courses)
    ]
    return table(("Asked (UTC)", "Request", "Order", "By", "What became of it"), rows)


def _number(count: int) -> str:
    return str(count) if count else "·"


def in_short(time: timedelta | None) -> str:
    """Two units at most: "2 h 05 min"."""
    if time is None:
        return "·"
    seconds = round(time.total_seconds())
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days} d {hours:02} h"
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds % 60:02} s" if minutes else f"{seconds} s"
