"""The formats: bytes and dicts in, values out.

What may not come in here: sockets, threads, clocks, configuration, logging, Flask.
"""

from typing import Any, Protocol

JsonObject = dict[str, Any]


class Headers(Protocol):
    """A request's headers, by names of any case."""

    def get(self, name: str, /) -> str | None: ...

    def __getitem__(self, name: str, /) -> str: ...
