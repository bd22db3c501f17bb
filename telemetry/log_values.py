"""The `key=value` pairs of app.log: how a value is written, and how a line is read again.

Values come from strangers (a model's name, for example), so one that is more than a plain word stands in
quotes, and a line stays one line whatever they write. What is written here is read again here.
"""

import json
import re

MAX_VALUE_CHARS = 200
_PLAIN = re.compile(r"[\w.,:;/@+*()\[\]{}<>!?&%$#~^|-]*", re.ASCII)
_PAIR = re.compile(r'(?:^|(?<= ))(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


def as_value(value: object) -> str:
    """A value as it stands behind `key=`: a plain word as it is, `-` for nothing, anything else in quotes.

    What is quoted is a JSON string, in which whatever can be printed is readable. A long value is cut.
    """
    if value is None or value == "":
        return "-"
    text = str(value)
    if type(value) is int:
        return text
    if len(text) > MAX_VALUE_CHARS:
        text = text[:MAX_VALUE_CHARS] + "..."
    return text if _PLAIN.fullmatch(text) else printable(json.dumps(text, ensure_ascii=False))


def printable(text: str) -> str:
    """A text in one line.

    Line ends of any script, control characters and those that turn the direction of writing are escaped, as
    JSON does.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in text)


def pairs_in(line: str) -> dict[str, str]:
    """The pairs of a line, each value as it was before it was quoted."""
    return {key: json.loads(value) if value.startswith('"') else value for key, value in _PAIR.findall(line)}
