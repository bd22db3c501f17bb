"""What no message, log line or report may show: the names secrets have, and texts without their secrets.

This module knows no setting and reads no file; it only looks at texts.
"""

import re

HIDDEN = "***"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_ENDINGS = (
    "key",
    "keys",
    "token",
    "secret",
    "secrets",
    "password",
    "passwd",
    "pwd",
    "credential",
    "credentials",
    "auth",
    "authorization",
)
_CREDENTIALS = re.compile(r"://.*@", re.S)  # a password may hold anything, even a blank
_QUERY = re.compile(r"([\w-]+)(=)([^\s&'\"]+)")
_ASSIGNED = re.compile(r"([\w-]+)(\s*[:=]\s*)((?:(?:Bearer|Basic)\s+)?[^\s&,'\"}]+)")
_NAME = re.compile(r"[\w-]+")


def looks_secret(name: str) -> bool:
    """Whether the value of a variable, key or header of this name is better not shown."""
    return any(word.lower().endswith(_SECRET_ENDINGS) for word in _WORD.findall(name))


def names_secret(text: str) -> bool:
    """Whether any name in a text looks like a secret's."""
    return any(map(looks_secret, _NAME.findall(text)))


def masked(text: str) -> str:
    """A text without the credentials in its URLs, and without what is assigned to a secret-looking name."""
    text = _CREDENTIALS.sub(f"://{HIDDEN}@", text)
    for pattern in (_QUERY, _ASSIGNED):
        text = pattern.sub(_without_value, text)
    return text


def without_quotes(message: str) -> str:
    """A message without what it quotes."""
    return re.sub(r"'.*'", f"'{HIDDEN}'", message, flags=re.S)


def _without_value(assignment: re.Match[str]) -> str:
    name, sign, value = assignment.groups()
    return name + sign + (HIDDEN if looks_secret(name) else value)
