"""What clients of the Responses API may refer to instead of sending it again: the answers of the last hours, by `previous_response_id` or `item_reference`.

In memory only and bounded, so a restart forgets, as does time; a client that is refused then sends the whole conversation. What one client was told
is found by that client alone. `store: false` keeps nothing.
"""

import json
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

MAX_BYTES = 32 * 1024 * 1024  # of all that is kept, as JSON
KEPT_S = 6 * 3600


@dataclass(frozen=True)
class _Kept:
    """An answer: the conversation's items up to it, the response, its size in bytes, and when it was kept."""

    items: tuple
    response: dict
    size: int
    at: float


class ResponseStore:
    """The answers, the oldest of which are forgotten. From any thread."""

    def __init__(self, clock=time.monotonic):
        self._clock = clock
        self._answers = OrderedDict()  # (owner, response id) -> _Kept
        self._items = {}  # (owner, item id) -> item
        self._bytes = 0
        self._lock = threading.Lock()

    def resolved(self, owner, body):
        """The same request with what it refers to in its place, as far as that is known here; what is not is left as it is.

        owner: what tells this client from others. body: a checked Responses request.
        """
        items = _items_of(body.get("input"))
        with self._lock:
            self._forget(self._clock() - KEPT_S)
            before = self._answers.get((owner, body.get("previous_response_id")))
            found = [
                self._items.get((owner, item.get("id")), item)
                if item.get("type") == "item_reference"
                else item
                for item in items
            ]
        if before is None and found == items:
            return body
        named = {
            name: value for name, value in body.items() if before is None or name != "previous_response_id"
        }
        return {**named, "input": [*before.items, *found] if before else found}

    def keep(self, owner, body, response):
        """Keep an answer, unless its request said `store: false`. body: the request with what it referred to in its place. response: the response object."""
        if body.get("store") is False:
            return
        items = (*_items_of(body.get("input")), *response["output"])
        size = len(json.dumps([items, response]))
        with self._lock:
            self._answers[owner, response["id"]] = _Kept(items, response, size, self._clock())
            self._items.update({(owner, item["id"]): item for item in response["output"]})
            self._bytes += size
            self._forget(self._clock() - KEPT_S)

    def response(self, owner, name):
        """A kept response object by its id, None where there is none."""
        with self._lock:
            kept = self._answers.get((owner, name))
            return kept and kept.response

    def drop(self, owner, name):
        """Forget an answer. Returns whether there was one."""
        with self._lock:
            if (owner, name) not in self._answers:
                return False
            self._drop((owner, name))
            return True

    # Below, the lock is held.

    def _forget(self, before):
        while self._answers:
            key, oldest = next(iter(self._answers.items()))
            if self._bytes <= MAX_BYTES and oldest.at >= before:
                return
            self._drop(key)

    def _drop(self, key):
        kept = self._answers.pop(key)
        self._bytes -= kept.size
        for item in kept.response["output"]:
            self._items.pop((key[0], item["id"]), None)


def _items_of(given):
    """A request's input as a list of items."""
    return [{"role": "user", "content": given}] if isinstance(given, str) else given or []
