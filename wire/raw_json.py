"""JSON in which a part that is text already stands as it is: what is repeated is written only once."""

import json
import secrets
from typing import Any

_PLACEHOLDER = secrets.token_hex(16)  # nobody outside can know it, so no content can hold it


class RawJSON:
    """Text that is JSON already."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text


def dumps(value: Any) -> str:
    """The JSON of a value, which may hold RawJSON."""
    raw: list[str] = []

    def placeholder(part: RawJSON) -> str:
        raw.append(part.text)
        return _PLACEHOLDER

    pieces = json.dumps(value, default=placeholder).split(f'"{_PLACEHOLDER}"')
    return pieces[0] + "".join(text + piece for text, piece in zip(raw, pieces[1:], strict=True))
