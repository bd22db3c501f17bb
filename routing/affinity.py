"""Where each conversation was answered last, so that a short follow-up ("yes", "go on", "and in Python?") stays with the provider that holds its KV cache.

What is kept is a digest and the names of a route and a provider; no text, and nothing a client sent. The digest has in it who asks, so that two
clients who happen to begin alike never share a target. In memory only: a restart forgets.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass

from routing.decision import RULES

ID_HEADERS = (
    "X-OpenWebUI-Chat-Id",
    "X-LibreChat-Conversation-Id",
    "X-Conversation-Id",
)  # filled by the frontend, if the owner has it do so
USER_HEADERS = ("Authorization", "x-api-key", "X-OpenWebUI-User-Id")
FIRST_TURN = "first turn"
MOST_TARGETS = 10_000
KEPT_S = (
    6 * 3600
)  # far longer than any server keeps a cache, and long enough for a chat that is taken up after lunch
SHORT_CHARS = 80  # of a follow-up that may lean on what came before
CLEAR = 0.9  # a decision at least this sure is heeded, whatever came before


@dataclass(frozen=True)
class Target:
    """Where a conversation was answered: names of a route and of a provider."""

    route: str
    provider: str


@dataclass(frozen=True)
class Conversation:
    """A conversation a request belongs to. known_by: the header that named it, or FIRST_TURN. target: None when it has none yet. leans: whether the
    request is a short follow-up."""

    key: bytes
    known_by: str
    target: Target | None
    leans: bool

    def holds(self, verdict):
        """Whether it should stay where it is, for all that a classifier.Verdict says. Without a probability, a chat model's word is clear, a rule is not."""
        unclear = verdict.source == RULES if verdict.confidence is None else verdict.confidence < CLEAR
        return self.target is not None and self.leans and unclear


def owner_of(client, headers):
    """What tells who asks from others: a digest of the address and of the keys and names sent along. client: the address."""
    told = [client or "", *(headers.get(name, "") for name in USER_HEADERS)]
    return hashlib.sha256("\0".join(told).encode("utf-8", "surrogatepass")).hexdigest()


class Affinity:
    """The targets, the least recently used of which are forgotten. From any thread."""

    def __init__(self):
        self._targets = OrderedDict()  # key -> (Target, when)
        self._lock = threading.Lock()

    def find(self, client, turns, user, headers):
        """The Conversation of a chat request, None where there is nothing to know it by.

        client: the address of who asks. turns: (role, text) in the user's own words, as user_turns gives them. user: the request's field, or None.
        """
        named = next((name for name in ID_HEADERS if headers.get(name)), None)
        first = next((text for role, text in turns if role == "user"), None)
        if not turns or (named is None and not first):
            return None
        known_by = named or FIRST_TURN
        told = [owner_of(client, headers), str(user or ""), known_by, headers[named] if named else first]
        key = hashlib.sha256("\0".join(told).encode("utf-8", "surrogatepass")).digest()
        goes_on = any(
            role == "assistant" for role, _ in turns
        )  # else it begins, whoever has begun like this before
        leans = goes_on and turns[-1][0] == "user" and len(turns[-1][1]) <= SHORT_CHARS
        return Conversation(key, known_by, self._place(key) if goes_on else None, leans)

    def _place(self, key):
        with self._lock:
            target, at = self._targets.get(key, (None, 0))
            return target if target and time.monotonic() - at < KEPT_S else None

    def answered(self, conversation, target):
        """Note where a conversation is answered now."""
        with self._lock:
            self._targets[conversation.key] = (target, time.monotonic())
            self._targets.move_to_end(conversation.key)
            if len(self._targets) > MOST_TARGETS:
                self._targets.popitem(last=False)
