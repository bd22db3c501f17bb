"""The prompt files of the configuration, and how they join a client's messages.

A client's own system message keeps its place and its beginning; ours comes after it, with what changes (the
date) at the very end. Nothing here alters the list or the messages it was given.
"""

import re
import zoneinfo
from datetime import datetime
from typing import Any

from settings.model import Config
from wire import JsonObject
from wire.turns import SYSTEM_ROLES

_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_SEASONS = ("winter", "spring", "summer", "autumn")  # meteorological, northern half
# (before this hour, name)
_TIMES_OF_DAY = ((5, "night"), (12, "morning"), (17, "afternoon"), (22, "evening"), (24, "night"))


class Prompts:
    """Reads each file once. Placeholders are {names} replaced by text; other braces stay as they are."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._texts: dict[str, str] = {}

    def render(self, name: str | None, **values: str) -> str:
        """The text of a prompt file, with its placeholders filled in; "" for None.

        name: of a file that `Config.resolve` finds: the owner's before ours.
        """
        if not name:
            return ""
        if name not in self._texts:
            self._texts[name] = self._config.resolve(name).read_text(encoding="utf-8").strip()
        # In one pass, so that what is filled in is never searched for placeholders.
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self._texts[name]).strip()


def with_system(messages: list[JsonObject], text: str) -> list[JsonObject]:
    """The messages with `text` at the end of the system message, or as a new first one.

    The list itself for "".
    """
    if not text:
        return messages
    for i, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            extended = {**message, "content": _joined(message.get("content"), text)}
            return [*messages[:i], extended, *messages[i + 1 :]]
    return [{"role": "system", "content": text}, *messages]


def has_system(messages: list[JsonObject]) -> bool:
    """Whether the client sent a system message of its own."""
    return any(message["role"] in SYSTEM_ROLES for message in messages)


def with_context(messages: list[JsonObject], text: str, *, in_system: bool) -> list[JsonObject]:
    """The messages with retrieved context, in the system message or before the user's last words.

    in_system: whether the client sent a system message of its own; then it goes to its end. Without one,
    every earlier turn stays byte for byte, and chat templates that allow no system message between turns have
    nothing to refuse.
    """
    if in_system:
        return with_system(messages, text)
    for i in range(len(messages) - 1, -1, -1):
        if messages[i]["role"] == "user":
            extended = {**messages[i], "content": _joined(text, messages[i].get("content"))}
            return [*messages[:i], extended, *messages[i + 1 :]]
    return with_system(messages, text)


def _joined(first: Any, second: Any) -> Any:
    """Two contents, one of them a text, the other a text, a list of parts or None."""
    if isinstance(first, list):
        return [*first, {"type": "text", "text": second}]
    if isinstance(second, list):
        return [{"type": "text", "text": first}, *second]
    return "\n\n".join(part for part in (first, second) if part)


def now_in(timezone: str) -> datetime:
    """The wall-clock time in a zone: an IANA name, or "local" for the machine's own."""
    return datetime.now().astimezone() if timezone == "local" else datetime.now(zoneinfo.ZoneInfo(timezone))


def date_context(now: datetime) -> str:
    """One line about an aware datetime: season, zone, date, weekday, weekend or not, time of day.

    Only what changes a few times a day stands in it, coarse first: a system message that ends with it stays
    the same from turn to turn and minute to minute, and the upstream's prefix cache holds.
    """
    zone = getattr(now.tzinfo, "key", None) or now.strftime("%Z (UTC%z)")
    part = next(name for before, name in _TIMES_OF_DAY if now.hour < before)
    kind = "weekend" if now.weekday() >= 5 else "working week"
    season = _SEASONS[now.month % 12 // 3]
    return (
        f"Season: {season} (northern hemisphere). Time zone: {zone}. "
        f"Today is {now:%A}, {now.day} {now:%B %Y} ({kind}), {part}."
    )
