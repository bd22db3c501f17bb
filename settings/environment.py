"""What the environment says: the variables that Headstart knows by name, and those in `.env` files.

A set-up may consist of these variables alone; config.yaml says which of its providers each one sets up.
"""

import difflib
import io
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from dotenv import dotenv_values
from dotenv.parser import parse_stream

from errors import ConfigError
from settings.nodes import line_of
from settings.paths import DOTENV

HOME_URL, HOME_MODEL, HOME_API_KEY = "HOME_URL", "HOME_MODEL", "HOME_API_KEY"
VLLM_URL = "VLLM_URL"
SEARXNG_URL = "SEARXNG_URL"
# Shipped cloud provider -> the variable of its key.
CLOUD_KEYS = {
    "xai": "XAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
}
CLIENT_KEY = "HEADSTART_KEY"  # a key that clients send, beside those of the file
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
LIKE = 0.75  # how like a name has to be: other programs' variables may stand in the same file
# Each of them alone is a set-up.
SET_UP_BY = (HOME_URL, VLLM_URL, *CLOUD_KEYS.values(), SEARXNG_URL)


# It warns of each faulty line without the file's name; here they are mistakes.
logging.getLogger("dotenv.main").setLevel(logging.ERROR)


class Variables:
    """What `${NAME}` is taken from: the environment, else the `.env` files, the later ones going first.

    mistakes: what is wrong with them. A file that is not there has no variables.
    """

    def __init__(self, environ: Mapping[str, str], dotenv_files: Iterable[Path] = ()) -> None:
        self.mistakes: list[ConfigError] = []
        self._environ = environ
        self._dotenv: dict[str, str] = {}
        self._lines: dict[str, int] = {}
        self._wanted: dict[str, None] = {}  # the names that somebody wanted, as an ordered set
        for file in dotenv_files:
            self._dotenv.update(self._read(file))

    def get(self, name: str) -> str | None:
        self._wanted[name] = None
        return self._environ.get(name, self._dotenv.get(name))

    def misspelt(self) -> Iterator[str]:
        """A sentence for each variable of a file that nobody asked for, and that is like an unset one."""
        for name in self._dotenv.keys() - self._wanted.keys():
            near = difflib.get_close_matches(name, self._wanted, 1, LIKE)
            if near and not (self._environ.get(near[0]) or self._dotenv.get(near[0])):
                file, line = self.place(name)
                yield f"{file}:{line}: {name} is not used, did you mean {near[0]}?"

    def source(self, name: str) -> str:
        """Where a variable comes from, as an Origin has it."""
        return f"env {name}" if name in self._environ else f"{DOTENV} {name}"

    def place(self, name: str) -> tuple[str, int]:
        """(file, line) of a variable; line 0 where it stands in no file."""
        return ("environment", 0) if name in self._environ else (DOTENV, self._lines.get(name, 0))

    def _read(self, file: Path) -> dict[str, str]:
        try:
            text = file.read_bytes().decode()
        except (FileNotFoundError, NotADirectoryError):  # the latter is told of the folder
            return {}
        except UnicodeDecodeError as error:
            self._report(file, line_of(error), "is not UTF-8")
            return {}
        except OSError as error:
            self._report(file, 0, f"cannot be read: {error.strerror}")
            return {}
        for binding in parse_stream(io.StringIO(text)):
            if binding.key:
                self._lines[binding.key] = binding.original.line + _blank_lines(binding.original.string)
            name = binding.key
            if binding.error or (name and (binding.value is None or not _NAME.fullmatch(name))):
                # The line itself may hold half a secret.
                line = binding.original.line + _blank_lines(binding.original.string)
                self._report(file, line, "this line is no NAME=value")
        values = dotenv_values(stream=io.StringIO(text))
        return {name: value for name, value in values.items() if value is not None}

    def _report(self, file: Path, line: int, message: str) -> None:
        self.mistakes.append(ConfigError(file.name, line, "text", message))


def file_of(source: str) -> str:
    """What a message names as the file of a variable, by its source."""
    return DOTENV if source.startswith(f"{DOTENV} ") else "environment"


def _blank_lines(text: str) -> int:
    """How many lines before the first one with words."""
    return text[: len(text) - len(text.lstrip())].count("\n")
