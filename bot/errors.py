"""What can go wrong, and what the person should do about it.

`advice` is the sentence a person reads. `rule` is the short name of the rule that stopped them, for
the log and the audit history.
"""

from __future__ import annotations


class CountersignError(Exception):
    """Anything a person is told about in words of ours."""

    rule = "error"

    def __init__(self, advice: str) -> None:
        super().__init__(advice)
        self.advice = advice


class Refused(CountersignError):
    """The rules say no. Nothing changed."""

    def __init__(self, rule: str, advice: str) -> None:
        super().__init__(advice)
        self.rule = rule


class Outsider(Refused):
    """Somebody from another workspace, whom Slack lets into a channel that is shared with them."""

    def __init__(self, cannot: str = "decide here") -> None:
        super().__init__("outsider", f"Only members of the workspace that runs this bot can {cannot}.")


class BadForm(CountersignError):
    """Something typed into the form is wrong. `errors` maps a field of the form to advice."""

    rule = "bad_form"

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


class Duplicate(Refused):
    """The same order is already being dealt with in another request."""

    def __init__(self, request_id: str, advice: str) -> None:
        super().__init__("duplicate", advice)
        self.request_id = request_id


class HeardBefore(Refused):
    """The very same was received before, and has counted."""

    def __init__(self) -> None:
        super().__init__("heard_before", "This was received before, and counts once.")


class AskedBefore(Refused):
    """The same order was asked for before, and that ended in a way to know about. Not final: whoever
    has been told may ask all the same."""

    def __init__(self, request_id: str, advice: str) -> None:
        super().__init__("asked_before", advice)
        self.request_id = request_id


class SomeAskedBefore(Refused):
    """The same of some of the orders on a list. `seen` stands for the earlier requests: who sends the list
    again with it has been told."""

    def __init__(self, seen: str, advice: str) -> None:
        super().__init__("asked_before", advice)
        self.seen = seen


class Conflict(Exception):
    """Somebody else saved the request in between; the whole unit of work is to be repeated."""


class StorageError(CountersignError):
    """The database could not be read or written. Nothing was acknowledged."""

    rule = "storage"


class ChainBroken(StorageError):
    """The history does not verify. Nothing may be executed on top of it."""

    rule = "chain"

    def __init__(self, seq: int, advice: str) -> None:
        super().__init__(advice)
        self.seq = seq
