"""Housekeeping requests of the frontends (titles, tags, follow-ups, queries, summaries, autocomplete), told from a person's words.

A request is META only if a header set up by the owner says so, or if a message begins or ends with the very words a frontend sends
(meta_markers.yaml). Structure alone (no tools, not streamed, short) never decides: scripts look like that too.
`user_turns` is the other half: the turns a classifier may read, with a document's text taken off the question asked about it.

Texts are cut once to a few hundred characters at either end, and only a request whose beginning or end is already known is
looked at any closer, so a request costs microseconds however many MB it holds.

This module asks no model, opens no connection and does not know what becomes of a META request.
"""

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from errors import ConfigError
from wire.turns import SYSTEM_ROLES, one_spaced, text_of

START_CHARS = (
    400  # what `start`, `whole` and `pattern` see: twice the longest marker, for templates that come indented
)
MARKER_CHARS = 200  # longest `start` or `end`; a marker is a beginning, not a whole template
HEAD_CHARS = (
    1000  # what `head` sees: a known phrase behind a preamble such as "Current model: ... Current date: ..."
)
END_CHARS = 400  # what `end` sees
FULL_STOPS = ".!: "
TASK_NAME = re.compile(
    r"[A-Za-z0-9_.-]{1,64}"
)  # Open WebUI before 0.10 sends "{{TASK}}" unexpanded, on real turns as well


_VISIBLE = re.compile(r"[^\s\ufeff\u200b]")


class _Text:
    """The text of one message, cut once: `start` and `end` with every run of white space as one space, `head` and `full` as sent."""

    def __init__(self, content):
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
    """The messages in which markers may stand: the leading system messages, the last user message and the last one of any role."""

    def __init__(self, body):
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
    """What one message has to say, each field left empty where nothing is asked of it.

    start, end, whole: the trimmed text begins with, ends with, or is one of these (white space and a final full stop do not count).
    head: one of these stands in the first HEAD_CHARS characters. pattern: matches at the start, within START_CHARS characters.
    contains: each of these stands somewhere. closing: where the text holds this tag, it ends with it.
    """

    start: tuple[str, ...] = ()
    whole: tuple[str, ...] = ()
    head: tuple[str, ...] = ()
    end: tuple[str, ...] = ()
    pattern: re.Pattern | None = None
    contains: tuple[str, ...] = ()
    closing: str = ""

    @property
    def anchored(self):
        """Whether these words can be looked for at the ends of a text, without reading all of it."""
        return bool(self.start or self.whole or self.head or self.end)

    def stand_in(self, text):
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
    """One kind of request a frontend sends by itself. Everything it names has to hold; None means not asked.

    system, user, last: words of a leading system (or developer) message, of the last user message, of the last message whatever its role.
    single_turn: at most one message that is not the system's. tools: exactly these names, () for none at all. json_schema: the name
    of the schema the reply is to follow. not_streamed: `stream` false or absent.
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

    def anchor(self):
        """(role, words) of the message by which this marker is found first; None if it has no words to be found by."""
        sides = (("system", self.system), ("user", self.user), ("last", self.last))
        return next(((role, words) for role, words in sides if words is not None and words.anchored), None)

    def fits(self, request):
        for words, texts in (
            (self.system, request.system),
            (self.user, request.user),
            (self.last, request.last),
        ):
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
    """The beginnings and ends of all markers for one role, so that an ordinary message is passed over in one look."""

    starts: tuple[str, ...]
    heads: tuple[str, ...]
    ends: tuple[str, ...]

    @classmethod
    def of(cls, all_words):
        return cls(
            starts=tuple(text for words in all_words for text in (*words.start, *words.whole)),
            heads=tuple(text for words in all_words for text in words.head),
            ends=tuple(text for words in all_words for text in words.end),
        )

    def hold(self, text):
        return (
            text.start.startswith(self.starts)
            or text.end.endswith(self.ends)
            or any(phrase in text.head for phrase in self.heads)
        )


@dataclass(frozen=True)
class MetaRules:
    """The markers of meta_markers.yaml, ready to be looked for. Immutable, so threads share one."""

    task_headers: tuple[str, ...]
    real_tasks: frozenset[str]
    markers: tuple[Marker, ...]
    real: tuple[Marker, ...]
    prompts: tuple[tuple[str, Words], ...]
    anchors: Mapping[str, Anchors]

    @classmethod
    def load(cls, path):
        """Read and check a marker file.

        Raises ConfigError with file, line and key for the first mistake: an unknown key, a wrong type, a regular expression
        that does not compile, a marker without words to be found by.
        """
        return _Reader(Path(path)).rules()

    def match(self, body, headers):
        """The name of the marker that this chat request bears, or None for a real one.

        body: a validated chat-completions body. headers: the client's; a case-insensitive mapping or a plain dict of one.
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

    def matches_prompt(self, prompt):
        """The name of the marker that a legacy completion's prompt bears (an editor's autocomplete), or None."""
        text = _Text(prompt)
        return next((name for name, words in self.prompts if words.stand_in(text)), None)

    def _task(self, headers):
        # Header names come as written from a case-insensitive mapping; a WSGI server's plain dict of one has lost their case.
        for name in self.task_headers:
            value = headers.get(name) or headers.get(name.title()) or headers.get(name.lower())
            if value and TASK_NAME.fullmatch(value.strip()):
                return value.strip()
        return None


def _last_user(messages):
    """The last user message in a list of one, or an empty list: LibreChat once asked for titles with a system message alone."""
    return next(([message] for message in reversed(messages) if message["role"] == "user"), [])


def _tool_names(body):
    """The names of the functions offered, in today's form or in the one before it."""
    functions = [tool.get("function") for tool in body.get("tools") or () if isinstance(tool, dict)]
    functions.extend(body.get("functions") or ())
    return {function.get("name") for function in functions if isinstance(function, dict)}


def _schema_name(body):
    schema = (body.get("response_format") or {}).get("json_schema") or {}
    return schema.get("name")


class _Reader:
    """Reads a marker file node by node, so that a mistake is told with its line."""

    def __init__(self, path):
        self.path = path

    def rules(self):
        top = self.mapping(self.root(), "", ("task_headers", "real_tasks", "markers", "real", "prompts"))
        markers = self.each(top, "markers", self.marker)
        found_by = [marker.anchor() for marker in markers]
        return MetaRules(
            task_headers=self.texts(top["task_headers"], "task_headers") if "task_headers" in top else (),
            real_tasks=frozenset(self.texts(top["real_tasks"], "real_tasks"))
            if "real_tasks" in top
            else frozenset(),
            markers=markers,
            real=self.each(top, "real", self.marker),
            prompts=self.each(top, "prompts", self.prompt),
            anchors={
                role: Anchors.of([words for at, words in found_by if at == role])
                for role in ("system", "user", "last")
            },
        )

    def root(self):
        try:
            node = yaml.compose(self.path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        except OSError as error:
            raise ConfigError(self.path, 0, "markers", error.strerror) from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            problem = getattr(error, "problem", None) or str(error)
            raise ConfigError(self.path.name, mark.line + 1 if mark else 1, "yaml", problem) from error
        if node is None:
            raise ConfigError(self.path.name, 1, "markers", "the file is empty")
        return node

    def fail(self, node, key, message):
        raise ConfigError(self.path.name, node.start_mark.line + 1, key, message)

    def marker(self, node, key):
        keys = (
            "name",
            "system",
            "user",
            "last",
            "single_turn",
            "min_messages",
            "stream",
            "tools",
            "json_schema",
        )
        told = self.mapping(node, key, keys)
        marker = Marker(
            name=self.name(told, node, key),
            **{
                role: self.words(told[role], f"{key}.{role}")
                for role in ("system", "user", "last")
                if role in told
            },
            single_turn="single_turn" in told
            and self.flag(told["single_turn"], f"{key}.single_turn", only=True),
            min_messages=self.whole_number(told["min_messages"], f"{key}.min_messages")
            if "min_messages" in told
            else 1,
            not_streamed="stream" in told and not self.flag(told["stream"], f"{key}.stream", only=False),
            tools=self.texts(told["tools"], f"{key}.tools", may_be_empty=True) if "tools" in told else None,
            json_schema=self.text(told["json_schema"], f"{key}.json_schema")
            if "json_schema" in told
            else None,
        )
        if marker.anchor() is None:
            self.fail(
                node, key, "has no start, whole, head or end to be found by; structure alone never decides"
            )
        return marker

    def prompt(self, node, key):
        told = self.mapping(node, key, ("name", *Words.__dataclass_fields__))
        name = self.name(told, node, key)
        words = self.words_of(told, key)
        if not words.anchored:
            self.fail(node, key, "has no start, whole, head or end to be found by")
        return name, words

    def name(self, told, node, key):
        if "name" not in told:
            self.fail(node, key, "has no name")
        return self.text(told["name"], f"{key}.name")

    def words(self, node, key):
        return self.words_of(self.mapping(node, key, tuple(Words.__dataclass_fields__)), key)

    def words_of(self, told, key):
        found = {
            side: self.edges(told[side], f"{key}.{side}")
            for side in ("start", "whole", "end")
            if side in told
        }
        found |= {
            side: self.texts(told[side], f"{key}.{side}") for side in ("head", "contains") if side in told
        }
        if "closing" in told:
            found["closing"] = self.text(told["closing"], f"{key}.closing")
        if "pattern" in told:
            found["pattern"] = self.pattern(told["pattern"], f"{key}.pattern")
        return Words(**found)

    def edges(self, node, key):
        texts = tuple(one_spaced(text) for text in self.texts(node, key))
        for text in texts:
            if len(text) > MARKER_CHARS:
                self.fail(
                    node,
                    key,
                    f"longer than {MARKER_CHARS} characters; keep what tells this request from others",
                )
        return tuple(text.rstrip(FULL_STOPS) for text in texts) if key.endswith(".whole") else texts

    def pattern(self, node, key):
        try:
            return re.compile(self.text(node, key))
        except re.error as error:
            self.fail(node, key, f"not a regular expression: {error}")

    def mapping(self, node, key, allowed):
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, key or "markers", "must be a mapping of keys to values")
        told = {}
        for name_node, value in node.value:
            name = self.text(name_node, key or "markers")
            here = f"{key}.{name}" if key else name
            if name not in allowed:
                close = difflib.get_close_matches(name, allowed, 1)
                self.fail(name_node, here, "unknown key" + (f", did you mean {close[0]}?" if close else ""))
            if name in told:
                self.fail(name_node, here, "stands here twice")
            told[name] = value
        return told

    def each(self, top, key, read):
        if key not in top:
            return ()
        node = top[key]
        if not isinstance(node, yaml.SequenceNode):
            self.fail(node, key, "must be a list")
        return tuple(read(item, f"{key}[{index}]") for index, item in enumerate(node.value))

    def texts(self, node, key, may_be_empty=False):
        if not isinstance(node, yaml.SequenceNode):
            return (self.text(node, key),)
        if not node.value and not may_be_empty:
            self.fail(node, key, "is an empty list")
        return tuple(self.text(item, key) for item in node.value)

    def text(self, node, key):
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:str":
            self.fail(node, key, "must be text (put it in quotes)")
        if not node.value.strip():
            self.fail(node, key, "must not be empty")
        return node.value

    def flag(self, node, key, only):
        if not isinstance(node, yaml.ScalarNode) or node.tag != "tag:yaml.org,2002:bool":
            self.fail(node, key, "must be true or false")
        value = yaml.SafeLoader.bool_values[node.value.lower()]
        if value is not only:
            self.fail(node, key, f"can only be {str(only).lower()}; leave it out otherwise")
        return value

    def whole_number(self, node, key):
        if (
            not isinstance(node, yaml.ScalarNode)
            or node.tag != "tag:yaml.org,2002:int"
            or not node.value.isdigit()
            or int(node.value) < 1
        ):
            self.fail(node, key, "must be a whole number from 1 on")
        return int(node.value)
