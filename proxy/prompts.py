"""The prompt files of the configuration, and how they join a client's messages.

A client's own system message keeps its place and its beginning; ours comes after it, with what changes (the date) at the very end.
Nothing here alters the list or the messages it was given.
"""

import re
from pathlib import Path

from wire.turns import SYSTEM_ROLES

_PLACEHOLDER = re.compile(r"\{(\w+)\}")


class Prompts:
    """Reads each file once. Placeholders are {names} replaced by text; other braces stay as they are."""

    def __init__(self, config):
        self._config = config
        self._texts = {}

    def render(self, name, **values):
        """The text of a prompt file, with its placeholders filled in. name: relative to the config file, else to this one; None gives ""."""
        if not name:
            return ""
        if name not in self._texts:
            theirs = self._config.resolve(name)
            ours = (
                Path(__file__).resolve().parent.parent / name
            )  # what a config file elsewhere does not bring along
            self._texts[name] = (theirs if theirs.is_file() else ours).read_text(encoding="utf-8").strip()
        # In one pass, so that what is filled in is never searched for placeholders.
        return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), self._texts[name]).strip()


def with_system(messages, text):
    """The messages with `text` at the end of the system message, or as a new first one."""
    if not text:
        return messages
    for i, message in enumerate(messages):
        if message["role"] in SYSTEM_ROLES:
            return [
                *messages[:i],
                {**message, "content": _joined(message.get("content"), text)},
                *messages[i + 1 :],
            ]
    return [{"role": "system", "content": text}, *messages]


def has_system(messages):
    return any(message["role"] in SYSTEM_ROLES for message in messages)


def with_context(messages, text, *, in_system):
    """The messages with retrieved context: at the end of the system message, else before the words of the last user message.

    in_system: whether the client sent a system message of its own. Without, the second way keeps every earlier turn byte for byte,
    and chat templates that allow no system message between turns have nothing to refuse.
    """
    if in_system:
        return with_system(messages, text)
    for i in range(len(messages) - 1, -1, -1):
        if messages[i]["role"] == "user":
            return [
                *messages[:i],
                {**messages[i], "content": _joined(text, messages[i].get("content"))},
                *messages[i + 1 :],
            ]
    return with_system(messages, text)


def _joined(first, second):
    """Two contents, one of them a text, the other a text, a list of parts or None."""
    if isinstance(first, list):
        return [*first, {"type": "text", "text": second}]
    if isinstance(second, list):
        return [{"type": "text", "text": first}, *second]
    return "\n\n".join(part for part in (first, second) if part)
