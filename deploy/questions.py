"""What set-up asks the owner, at most four questions, and what came of them; each answer is tried by a call.

Nothing is written here.
"""

import getpass
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from deploy import candidates
from deploy.candidates import Home
from deploy.commands import DeployError
from deploy.place import Place
from errors import ConfigError, ProxyError, UpstreamStatus
from settings.base_urls import repaired_url
from settings.environment import (
    CLIENT_KEY,
    CLOUD_KEYS,
    HOME_API_KEY,
    HOME_MODEL,
    HOME_URL,
    SEARXNG_URL,
    Variables,
)
from terminal.command import say

_KEY = re.compile(r"[\x21-\x7e]{8,500}")  # what stands in a header, and unquoted in .env
_UNSAFE = set("#'\"\\$`")


class Abandoned(DeployError):
    """The owner has left in the middle, with nothing written. by_signal: by Ctrl-C."""

    def __init__(self, *, by_signal: bool = False) -> None:
        super().__init__("nothing was written")
        self.by_signal = by_signal


@dataclass
class Answers:
    """What has been found out, and not been written yet.

    url, model, make: of the home server, "" for none or for the one in memory. keys: variable -> value, for
    .env. clouds: variable -> what it is for, also those that were set before.
    """

    url: str = ""
    model: str = ""
    make: str = ""
    searxng: str | None = None
    listens_everywhere: bool = False
    keys: dict[str, str] = field(default_factory=dict)
    clouds: dict[str, str] = field(default_factory=dict)

    @property
    def are_empty(self) -> bool:
        """Whether there is nothing to write."""
        return not any((self.url, self.keys, self.searxng, self.listens_everywhere, self.clouds))


class Dialogue:
    """Asks the owner. Raises Abandoned at the end of the input."""

    def ask(self, question: str) -> str:
        """The answer without blanks at its ends; "" for Enter."""
        try:
            return input(f"{question} ").strip()
        except EOFError as error:
            raise Abandoned from error

    def ask_secret(self, question: str) -> str:
        """The same, without showing it."""
        if not sys.stdin.isatty():
            return self.ask(question)
        try:
            return getpass.getpass(f"{question} ").strip()
        except EOFError as error:
            raise Abandoned from error


class Questions:
    """One run through the questions."""

    def __init__(self, place: Place, dialogue: Dialogue) -> None:
        self._place = place
        self._ask = dialogue.ask
        self._ask_secret = dialogue.ask_secret
        self._variables = Variables(place.variables(), place.paths.dotenv_files)
        self._answers = Answers()
        self._count = 0

    def run(self) -> Answers:
        """Ask and try. Raises Abandoned."""
        if self._variables.get(HOME_URL):
            self._home_is_set()
        else:
            self._home()
        self._search()
        if any(self._variables.get(variable) for variable in CLOUD_KEYS.values()):
            self._clouds_are_set()
        else:
            self._cloud()
        self._listening()
        return self._answers

    def _number(self) -> str:
        """The number of the next question."""
        self._count += 1
        return f"{self._count}."

    # The home server and its model.

    def _home_is_set(self) -> None:
        url, model = self._variables.get(HOME_URL) or "", self._variables.get(HOME_MODEL) or ""
        say(f"{HOME_URL} is set: {repaired_url(url).url}")
        self._tried(url, model, self._variables.get(HOME_API_KEY))

    def _home(self) -> None:
        say(f"Looking for servers on this machine ({_in_words(candidates.PORTS)}) ...")
        found = candidates.homes_here()
        for number, one in enumerate(found, 1):
            say(f"  {number}  {one.title}")
        if not found:
            say("  none found")
        while True:
            home = self._chosen(found)
            if not home:
                return
            key = self._variables.get(HOME_API_KEY) or self._answers.keys.get(HOME_API_KEY)
            model = self._model(home)
            if not home.tells or self._tried(home.url, model, key) or not self._wants_another("server"):
                self._answers.url, self._answers.model = home.url, model
                self._answers.make = "" if home.make == candidates.SOME_SERVER else home.make
                return

    def _chosen(self, found: Sequence[Home]) -> Home | None:
        """The home server of the owner's choice, None for none."""
        first = "Enter for 1, - for none" if found else "Enter for none"
        number = "  " if self._count else self._number()
        question = f"{number} Your home server: {'a number, or ' if found else ''}an address ({first}):"
        while True:
            answer = self._ask(question) or ("1" if found else "-")
            if answer == "-":
                return None
            if answer.isdecimal() and 0 < int(answer) <= len(found):
                return found[int(answer) - 1]
            if "." not in answer and ":" not in answer and answer != "localhost":
                say(f"  '{answer}' is neither in the list nor an address such as 192.168.1.10:8000")
                continue
            home = self._at(answer)
            if home:
                return home

    def _at(self, written: str) -> Home | None:
        """The server at an address, None where the owner wants to write another one."""
        repair = repaired_url(written)
        if repair.problems:
            say(f"  {written} {' and '.join(repair.problems)}; using {repair.url}")
        key = self._variables.get(HOME_API_KEY)
        while True:
            try:
                home = candidates.home_at(repair.url, key)
            except UpstreamStatus as error:
                if error.status not in (401, 403):
                    return self._kept_anyway(repair.url, error)
                if key:
                    say("  It refuses the key")
                hints = f"{HOME_API_KEY}; not shown; Enter for another server"
                key = self._ask_secret(f"  It wants a key ({hints}):")
                if not key:
                    return None
                if _is_key(key):
                    self._answers.keys[HOME_API_KEY] = key
            except (ProxyError, ValueError) as error:
                return self._kept_anyway(repair.url, error)
            else:
                say(f"  {home.title}")
                return home

    def _kept_anyway(self, url: str, error: Exception) -> Home | None:
        say(f"  It does not tell its models: {getattr(error, 'message', error)}")
        if self._wants_another("server"):
            return None
        return Home(url, candidates.SOME_SERVER, (), tells=False)

    def _model(self, home: Home) -> str:
        """The name of the model, "" for the one in memory."""
        if len(home.models) < 2:
            return ""
        for number, model in enumerate(home.models, 1):
            say(f"  {number}  {model.id}{' (in memory)' if model.loaded else ''}")
        question = f"{self._number()} Which model: a number (Enter: the one in memory, found at each start):"
        while True:
            answer = self._ask(question)
            if not answer:
                return ""
            if answer.isdecimal() and 0 < int(answer) <= len(home.models):
                return home.models[int(answer) - 1].id
            if any(model.id == answer for model in home.models):
                return answer
            say(f"  '{answer}' is not in the list")

    def _tried(self, url: str, model: str, key: str | None) -> bool:
        say(f"  Trying {model or 'it'} (the first answer may take a minute) ...")
        try:
            took_s = candidates.try_home(url, model, key)
        except ProxyError as error:
            say(f"  It does not answer: {error.message}")
            return False
        say(f"  It answers, after {took_s:.1f} s")
        return True

    # Search, which is not asked for.

    def _search(self) -> None:
        if self._variables.get(SEARXNG_URL):
            say(f"{SEARXNG_URL} is set: ENRICH searches there")
            return
        found = candidates.searxng_here()
        if found is None:
            return
        url, problem = found
        if problem:
            say(f"There is a SearXNG at {url}, but {problem}")
        else:
            say(f"There is a SearXNG at {url}, and it answers: ENRICH searches there")
            self._answers.searxng = url

    # A cloud.

    def _clouds_are_set(self) -> None:
        for cloud, variable in CLOUD_KEYS.items():
            key = self._variables.get(variable)
            if key:
                say(f"{variable} is set")
                self._tried_key(cloud, key)
                self._answers.clouds[variable] = f"COMPLEX goes to {cloud}"

    def _cloud(self) -> None:
        clouds = "xAI, Anthropic, OpenAI or OpenRouter"
        question = f"{self._number()} A key for what is hard, of {clouds} (not shown; Enter for none):"
        while key := self._ask_secret(question):
            if not _is_key(key):
                say("  That is no key: it has blanks, quotes or other characters that keys do not have")
                continue
            cloud = candidates.cloud_of_key(key) or self._cloud_by_name()
            if cloud and (self._tried_key(cloud, key) or not self._wants_another("key")):
                self._answers.keys[CLOUD_KEYS[cloud]] = key
                self._answers.clouds[CLOUD_KEYS[cloud]] = f"COMPLEX goes to {cloud}"
                return

    def _cloud_by_name(self) -> str | None:
        names = list(CLOUD_KEYS)
        answer = self._ask(f"  Whose key is it: {', '.join(names)} (Enter for another key)?").lower()
        return answer if answer in names else None

    def _tried_key(self, cloud: str, key: str) -> bool:
        say(f"  Asking {cloud} about it (costs nothing) ...")
        try:
            model = candidates.try_key(cloud, key, self._place.variables())
        except (ProxyError, ConfigError) as error:
            say(f"  It does not work: {getattr(error, 'message', error)}")
            return False
        say(f"  It works; {model} will answer there")
        return True

    # Who may come in.

    def _listening(self) -> None:
        others = "other machines and containers (Open WebUI in Docker)"
        answer = self._ask(f"{self._number()} Shall {others} reach it? [y/N]")
        if not answer.lower().startswith("y"):
            return
        self._answers.listens_everywhere = True
        if not self._variables.get(CLIENT_KEY):
            self._answers.keys[CLIENT_KEY] = f"hs-{secrets.token_urlsafe(24)}"

    def _wants_another(self, what: str) -> bool:
        return not self._ask(f"  Keep it anyway? [y/N, N for another {what}]").lower().startswith("y")


def _is_key(text: str) -> bool:
    return bool(_KEY.fullmatch(text)) and not _UNSAFE & set(text)


def _in_words(ports: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{name} {' or '.join(map(str, numbers))}" for name, numbers in ports.items())
