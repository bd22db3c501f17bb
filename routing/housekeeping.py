"""Finds the frontends' own housekeeping: titles, tags, follow-ups, queries, summaries, autocomplete.

A request is META only if a header set up by the owner says so, or if a message begins or ends with the very
words a frontend sends. Structure alone (no tools, not streamed, short) never decides: scripts look like that.

Texts are cut once to a few hundred characters at either end. Only a request whose beginning or end is already
known is examined further, so a request costs microseconds however many MB it holds.

This module runs no model, opens no connection and does not know what becomes of a META request. The words it
knows are in prompts/meta_markers.yaml, which `routing.markers` reads.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wire import Headers, JsonObject
from wire.turns import SYSTEM_ROLES, one_spaced, text_of

# What `start`, `whole` and `pattern` see: twice the longest marker, for templates that come indented.
START_CHARS = 400
MARKER_CHARS = 200  # longest `start` or `end`; a marker is a beginning, not a whole template
# What `head` sees: a known phrase behind a preamble such as "Current model: ... Current date: ...".
HEAD_CHARS = 1000
END_CHARS = 400  # what `end` sees
FULL_STOPS = ".!: "
# Open WebUI before 0.10 sends "{{TASK}}" unexpanded, on real turns as well; that is no name.
TASK_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_VISIBLE = re.compile(r"[^\s\ufeff\u200b]")


class _Text:
    """The text of one message, cut once.

    `start` and `end` have every run of white space as one space; `head` and `full` are as sent.
    """

    def __init__(self, content: Any) -> None:
        self.full = text_of(content)
        first = _VISIBLE.search(self.full)
        begin = first.start() if first else len(self.full)
        self.head = self.full[begin : begin + HEAD_CHARS]
        self.start = one_spaced(self.head[:START_CHARS])
        close = len(self.full)
        if self.full[-END_CHARS:].isspace():
            close = len(self.full.rstrip())
        self.end = one_spaced(self.full[max(begin, close - END_CHARS) : close])


class _Request:
    """The messages that may bear markers.

    These are the leading system messages, the last user message and the last message of any role.
    """

    def __init__(self, body: JsonObject) -> None:
        self.body = body
        messages = body["messages"]
        self.system = []
        for message in messages:
            if message["role"] not in SYSTEM_ROLES:
                break
            self.system.append(_Text(message.get("content")))
        self.user = [_Text(message.get("content")) for message in _last_user(messages)]
        if messages and messages[-1]["role"] == "user":
            self.last = self.user
        else:
            self.last = [_Text(message.get("content")) for message in messages[-1:]]


@dataclass(frozen=True)
class Words:
    """The words that one message has to have. An empty field demands nothing.

    start, end, whole: the trimmed text begins with, ends with, or is one of these; white space and a final
    full stop do not count.
    head: one of these stands in the first HEAD_CHARS characters.
    pattern: matches at the start, within START_CHARS characters.
    contains: each of these stands somewhere.
    closing: where the text holds this tag, it ends with it.
    """

    start: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    contains: tuple[str, ...] = ()
    closing: str = ""

    @property
    def anchored(self) -> bool:
        """Whether these words can be found at the ends of a text, without reading all of it."""
        return bool(self.start or self.whole or self.head or self.end)

    def stand_in(self, text: _Text) -> bool:
        return (
            (not self.start or text.start.startswith(self.start))
            and (not self.whole or (text.start == text.end and text.start.rstrip(FULL_STOPS) in self.whole))
            and (not self.head or any(phrase in text.head for phrase in self.head))
            and (not self.end or text.end.endswith(self.end))
            and (self.pattern is None or self.pattern.match(text.start) is not None)
            and all(phrase in text.full for phrase in self.contains)
            and (not self.closing or self.closing not in text.full or text.end.endswith(self.closing))
        )


@dataclass(frozen=True)
class Marker:
    """One kind of request a frontend sends by itself. Everything it names has to hold; None demands nothing.

    system: words of a leading system (or developer) message.
    user, last: words of the last user message; of the last message, whatever its role.
    single_turn: at most one message that is not the system's.
    not_streamed: `stream` false or absent.
    tools: exactly these names, () for none at all.
    json_schema: the name of the schema the reply is to follow.
    """

    name: str
    system: Words | None = None
    user: Words | None = None
    last: Words | None = None
    single_turn: bool = False
    min_messages: int = 1
    not_streamed: bool = False
    tools: tuple[str, ...] | None = None
    json_schema: str | None = None

    def anchor(self) -> tuple[str, Words] | None:
        """(role, words) of the message by which this marker is found; None if it has no such words."""
        sides = (("system", self.system), ("user", self.user), ("last", self.last))
        return next(((role, words) for role, words in sides if words is not None and words.anchored), None)

    def fits(self, request: _Request) -> bool:
        sides = ((self.system, request.system), (self.user, request.user), (self.last, request.last))
        for words, texts in sides:
            if words is not None and not any(words.stand_in(text) for text in texts):
                return False
        body = request.body
        if self.not_streamed and body.get("stream") is True:
            return False
        if len(body["messages"]) < self.min_messages:
            return False
        if self.single_turn and sum(message["role"] not in SYSTEM_ROLES for message in body["messages"]) > 1:
            return False
        if self.tools is not None and _tool_names(body) != set(self.tools):
            return False
        return self.json_schema is None or _schema_name(body) == self.json_schema


@dataclass(frozen=True)
class Anchors:
    """The beginnings and ends of all markers for one role: what bears none is passed over at once."""

    starts: tuple[str, ...]
    heads: tuple[str, ...]
    ends: tuple[str, ...]

    @classmethod
    def of(cls, all_words: list[Words]) -> "Anchors":
        return cls(
            starts=tuple(text for words in all_words for text in (*words.start, *words.whole)),
            heads=tuple(text for words in all_words for text in words.head),
            ends=tuple(text for words in all_words for text in words.end),
        )

    def hold(self, text: _Text) -> bool:
        return (
            text.start.startswith(self.starts)
            or text.end.endswith(self.ends)
            or any(phrase in text.head for phrase in self.heads)
        )


@dataclass(frozen=True)
class MetaRules:
    """The markers of a file, ready to be matched. Immutable, so threads share one.

    real: what bears one of these is real work, whatever marker it bears besides.
    prompts: (name, words) for the prompts of legacy completions.
    """

    task_headers: tuple[str, ...]
    real_tasks: frozenset[str]
    markers: tuple[Marker, ...]
    real: tuple[Marker, ...]
    prompts: tuple[tuple[str, Words], ...]
    anchors: Mapping[str, Anchors] = field(init=False)

    def __post_init__(self) -> None:
        found_by = [anchor for marker in self.markers if (anchor := marker.anchor())]
        anchors = {
            role: Anchors.of([words for at, words in found_by if at == role])
            for role in ("system", "user", "last")
        }
        object.__setattr__(self, "anchors", anchors)

    def match(self, body: JsonObject, headers: Headers) -> str | None:
        """The name of the marker that this chat request bears, or None for a real one.

        body: a validated chat-completions body. headers: the client's, which may have lost their case.
        A task header outranks every marker, also when it says that the task is real work.
        """
        task = self._task(headers)
        if task is not None:
            return None if task in self.real_tasks else f"header.{task}"
        request = _Request(body)
        if not any(
            anchors.hold(text) for role, anchors in self.anchors.items() for text in getattr(request, role)
        ):
            return None
        name = next((marker.name for marker in self.markers if marker.fits(request)), None)
        if name is None or any(real.fits(request) for real in self.real):
            return None
        return name

    def matches_prompt(self, prompt: Any) -> str | None:
        """The name of the marker that a legacy completion's prompt bears (editors' autocomplete), or None."""
        text = _Text(prompt)
        return next((name for name, words in self.prompts if words.stand_in(text)), None)

    def _task(self, headers: Headers) -> str | None:
        # Header names come as written from a case-insensitive mapping; a WSGI server's plain dict of one has
        # lost their case.
        for name in self.task_headers:
            value = headers.get(name) or headers.get(name.title()) or headers.get(name.lower())
            if value and TASK_NAME.fullmatch(value.strip()):
                return value.strip()
        return None


def _last_user(messages: list[JsonObject]) -> list[JsonObject]:
    """The last user message in a list of one, or an empty list.

    LibreChat once requested titles with a system message alone.
    """
    return next(([message] for message in reversed(messages) if message["role"] == "user"), [])


def _tool_names(body: JsonObject) -> set[Any]:
    """The names of the functions offered, in today's form or in the one before it."""
    functions = [tool.get("function") for tool in body.get("tools") or () if isinstance(tool, dict)]
    functions.extend(body.get("functions") or ())
    return {function.get("name") for function in functions if isinstance(function, dict)}


def _schema_name(body: JsonObject) -> Any:
    schema = (body.get("response_format") or {}).get("json_schema") or {}
    return schema.get("name")
