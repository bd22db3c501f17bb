"""What clients of the Responses API may refer to instead of sending it again: recent answers, by
`previous_response_id` or `item_reference`.

In memory only and bounded, so a restart forgets, as does time; a client that is refused then sends the whole
conversation. What one client got is found by that client alone. `store: false` keeps nothing.
"""

import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from wire import JsonObject

MAX_BYTES = 32 * 1024 * 1024  # of all that is kept, as JSON
KEPT_S = 6 * 3600


@dataclass(frozen=True)
class _Kept:
    """An answer: the conversation's items up to it, the response, its size in bytes, and when it was kept."""

    items: tuple[JsonObject, ...]
    response: JsonObject
    size: int
    at: float


class ResponseStore:
    """The answers, the oldest of which are forgotten. From any thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._answers: OrderedDict[tuple[str, Any], _Kept] = OrderedDict()  # by client and response id
        self._items: dict[tuple[str, Any], JsonObject] = {}  # by client and item id
        self._bytes = 0
        self._lock = threading.Lock()

    def resolved(self, client: str, body: JsonObject) -> JsonObject:
        """The same request with what it refers to in its place; what is not known here is left as it is.

        client: what tells this client from others. body: a checked Responses request.
        """
        items = _items_of(body.get("input"))
        with self._lock:
            self._forget(self._clock() - KEPT_S)
            before = self._answers.get((client, body.get("previous_response_id")))
            found = [self._resolved_item(client, item) for item in items]
        if before is None:
            return body if found == items else {**body, "input": found}
        named = {name: value for name, value in body.items() if name != "previous_response_id"}
        return {**named, "input": [*before.items, *found]}

    def keep(self, client: str, body: JsonObject, response: JsonObject) -> None:
        """Keep an answer, unless its request has `store: false`.

        body: with what it refers to in its place.
        """
        if body.get("store") is False:
            return
        items = (*_items_of(body.get("input")), *response["output"])
        size = len(json.dumps([items, response]))
        with self._lock:
            self._answers[client, response["id"]] = _Kept(items, response, size, self._clock())
            self._items.update({(client, item["id"]): item for item in response["output"]})
            self._bytes += size
            self._forget(self._clock() - KEPT_S)

    def response(self, client: str, name: str) -> JsonObject | None:
        """A kept response object by its id, None where there is none."""
        with self._lock:
            kept = self._answers.get((client, name))
            return kept.response if kept else None

    def drop(self, client: str, name: str) -> bool:
        """Forget an answer. Returns whether there was one."""
        with self._lock:
            if (client, name) not in self._answers:
                return False
            self._drop((client, name))
            return True

    # Below, the lock is held.

    def _resolved_item(self, client: str, item: JsonObject) -> JsonObject:
        if item.get("type") != "item_reference":
            return item
        return self._items.get((client, item.get("id")), item)

    def _forget(self, before: float) -> None:
        while self._answers:
            key, oldest = next(iter(self._answers.items()))
            if self._bytes <= MAX_BYTES and oldest.at >= before:
                return
            self._drop(key)

    def _drop(self, key: tuple[str, Any]) -> None:
        kept = self._answers.pop(key)
        self._bytes -= kept.size
        for item in kept.response["output"]:
            self._items.pop((key[0], item["id"]), None)


def _items_of(given: Any) -> list[JsonObject]:
    """A request's input as a list of items."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else given or []
