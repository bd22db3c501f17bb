"""Where each conversation was answered last, so that a short follow-up stays with the provider that answered.

That provider holds the conversation's KV cache, and "yes", "go on" or "and in Python?" alone do not show
what is needed. What is kept is a digest and the names of a route and a provider; no text, and nothing a
client sent. The digest has in it who asks, so that two clients who happen to begin alike never share a
target. In memory only: a restart forgets.
"""

import hashlib
import threading
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from routing.decision import RULES, Turn, Verdict
from wire import Headers

# Filled by the frontend, if the owner has it do so.
ID_HEADERS = ("X-OpenWebUI-Chat-Id", "X-LibreChat-Conversation-Id", "X-Conversation-Id")
USER_HEADERS = ("Authorization", "x-api-key", "X-OpenWebUI-User-Id")
FIRST_TURN = "first turn"
MAX_TARGETS = 10_000
# Far longer than any server keeps a cache, and long enough for a chat that is taken up after lunch.
KEPT_S = 6 * 3600
SHORT_CHARS = 80  # of a follow-up that may need what came before
CLEAR = 0.9  # a decision at least this sure is heeded, whatever came before


@dataclass(frozen=True)
class Target:
    """Where a conversation was answered: names of a route and of a provider."""

    route: str
    provider: str


@dataclass(frozen=True)
class Conversation:
    """A conversation that a request belongs to.

    known_by: the header that named it, or FIRST_TURN. target: None when it has none yet. is_follow_up:
    whether the request is a short turn that goes on with it.
    """

    key: bytes
    known_by: str
    target: Target | None
    is_follow_up: bool

    def should_stay(self, verdict: Verdict) -> bool:
        """Whether it stays with its target: a follow-up does, unless its verdict is clear.

        Without a probability, a chat model's word is clear, a rule is not.
        """
        unclear = verdict.source == RULES if verdict.confidence is None else verdict.confidence < CLEAR
        return self.target is not None and self.is_follow_up and unclear


def client_fingerprint(client: str | None, headers: Headers) -> str:
    """Identifies a client: a digest of the address and of the keys and names sent along.

    client: the address.
    """
    return _digest([client or "", *(headers.get(name) or "" for name in USER_HEADERS)]).hex()


class Affinity:
    """The targets, the least recently used of which are forgotten. From any thread."""

    def __init__(self) -> None:
        self._targets: OrderedDict[bytes, tuple[Target, float]] = OrderedDict()  # key -> (target, when)
        self._lock = threading.Lock()

    def find(
        self, client: str | None, turns: list[Turn], user: object, headers: Headers
    ) -> Conversation | None:
        """The Conversation of a chat request, None where there is nothing to know it by.

        client: the address of who asks. turns: in the user's own words, as user_turns gives them. user: the
        request's field, or None.
        """
        id_header = next((name for name in ID_HEADERS if headers.get(name)), None)
        first = next((text for role, text in turns if role == "user"), "")
        if not turns or (id_header is None and not first):
            return None
        known_by = id_header or FIRST_TURN
        identity = (headers.get(id_header) if id_header else None) or first
        key = _digest([client_fingerprint(client, headers), str(user or ""), known_by, identity])
        # Without an answer it begins now, whoever has begun like this before.
        goes_on = any(role == "assistant" for role, _ in turns)
        last_role, last_text = turns[-1]
        is_follow_up = goes_on and last_role == "user" and len(last_text) <= SHORT_CHARS
        return Conversation(key, known_by, self._target_of(key) if goes_on else None, is_follow_up)

    def _target_of(self, key: bytes) -> Target | None:
        with self._lock:
            known = self._targets.get(key)
        if known is None:
            return None
        target, noted_at = known
        return target if time.monotonic() - noted_at < KEPT_S else None

    def answered(self, conversation: Conversation, target: Target) -> None:
        """Note where a conversation is answered now."""
        with self._lock:
            self._targets[conversation.key] = (target, time.monotonic())
            self._targets.move_to_end(conversation.key)
            if len(self._targets) > MAX_TARGETS:
                self._targets.popitem(last=False)


def _digest(parts: Iterable[str]) -> bytes:
    return hashlib.sha256("\0".join(parts).encode("utf-8", "surrogatepass")).digest()
