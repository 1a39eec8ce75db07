"""Records to canonical JSON and back. The bytes are what the history's hashes are taken over."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, TypeAdapter

from bot.batch.rules import Batch, BatchEvent
from bot.events import Event
from bot.model import Request, canonical

_EVENT: TypeAdapter[Event] = TypeAdapter(Annotated[Event, Field(discriminator="kind")])
_REQUEST: TypeAdapter[Request] = TypeAdapter(Request)
_BATCH: TypeAdapter[Batch] = TypeAdapter(Batch)
_BATCH_EVENT: TypeAdapter[BatchEvent] = TypeAdapter(Annotated[BatchEvent, Field(discriminator="kind")])


def dump_event(event: Event) -> str:
    return canonical(_EVENT.dump_python(event, mode="json")).decode()


def load_event(body: str) -> Event:
    return _EVENT.validate_json(body)


def dump_request(request: Request) -> str:
    return canonical(_REQUEST.dump_python(request, mode="json")).decode()


def load_request(body: str) -> Request:
    return _REQUEST.validate_json(body)


def is_of_batch(kind: str) -> bool:
    """Whether an event of this kind is about a whole list: for `load_batch_event`, not `load_event`."""
    return kind.startswith("batch_")


def dump_batch_event(event: BatchEvent) -> str:
    return canonical(_BATCH_EVENT.dump_python(event, mode="json")).decode()


def load_batch_event(body: str) -> BatchEvent:
    return _BATCH_EVENT.validate_json(body)


def dump_batch(batch: Batch) -> str:
    return canonical(_BATCH.dump_python(batch, mode="json")).decode()


def load_batch(body: str) -> Batch:
    return _BATCH.validate_json(body)
