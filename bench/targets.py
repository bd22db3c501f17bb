"""What is measured, and the requests it is measured with.

Texts carry a marker, `(no. C17)`: scripted backends go by it (backends.py), and it keeps an upstream's prompt
cache honest.
"""

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from bench import client
from bench.client import JsonObject, Reply
from bench.record import Record

CHAT = "/v1/chat/completions"
CLASSIFY = "/v1/classify"
ROUTES = ("MODERATE", "COMPLEX", "ENRICH", "META")
DECISIONS = ("SIMPLE", *ROUTES)
SHORT_TOKENS, LONG_TOKENS = 32, 128  # max_tokens of a request, and where tokens/s are measured
# Of common words, one token each for most tokenizers; 8,192 would leave a small model no room to answer.
LONG_CONTEXT_WORDS = 7700

TEXTS = {
    "MODERATE": "Write a short paragraph about autumn in a small town.",
    "COMPLEX": (
        "Prove that there are infinitely many primes congruent to 3 modulo 4,"
        " and generalise the proof step by step."
    ),
    "ENRICH": "What is the weather in Berlin today, and what are the latest news from there?",
    # Open WebUI's own request for a title, which meta_markers.yaml knows.
    "META": (
        "### Task:\nGenerate a concise, 3-5 word title with an emoji summarizing the chat history.\n"
        '### Output:\nJSON format: { "title": "your concise title here" }\n'
        "### Chat History:\n<chat_history>\nUSER: How do bicycles stay upright?\n</chat_history>"
    ),
}
_STORY = "the house of a man and his dog was by the old river where we had been as children"
_numbers = itertools.count(1)


def next_number() -> int:
    """A number for a marker that no text had yet."""
    return next(_numbers)


def body_for(
    route: str,
    *,
    model: str = "auto",
    stream: bool = True,
    max_tokens: int = SHORT_TOKENS,
    number: int | None = None,
) -> JsonObject:
    """A request that the scripted classifier decides for `route`, each with a text of its own.

    META is not streamed, as frontends send it.
    """
    letter = route[0] if route in ("COMPLEX", "ENRICH") else "M"
    text, marker = TEXTS[route], f"(no. {letter}{number or next_number()})"
    if route == "META":
        marked = text.replace("\n</chat_history>", f" {marker}\n</chat_history>")
    else:
        marked = f"{text}\n\n{marker}"
    return _body(model, marked, max_tokens, stream and route != "META")


def long_body() -> JsonObject:
    """A request with a context of 8K tokens."""
    marker = f"(no. M{next_number()})"  # at the beginning: no upstream has this prompt in its cache
    story = " ".join(itertools.islice(itertools.cycle(_STORY.split()), LONG_CONTEXT_WORDS))
    text = f"{marker} Here is a story.\n\n{story}\n\nSay in one sentence what the story is about."
    return _body("auto", text, SHORT_TOKENS, True)


def _body(model: str, text: str, max_tokens: int, stream: bool) -> JsonObject:
    usage = {"stream_options": {"include_usage": True}} if stream else {}
    return {
        "model": model,
        "messages": [{"role": "user", "content": text}],
        "max_tokens": max_tokens,
        "stream": stream,
        **usage,
    }


@dataclass
class Target:
    """A Headstart.

    record: its log and sessions, None where they are out of reach. headers: for its own key, if it wants one.
    """

    name: str
    url: str
    record: Record | None
    port: int
    headers: dict[str, str] = field(default_factory=dict)

    def chat(self, body: JsonObject) -> Reply:
        return client.request(self.url + CHAT, body, self.headers)

    def decide(self, messages: list[JsonObject]) -> tuple[str | None, str | None]:
        """What /v1/classify makes of a conversation: (decision, source), None and None when it fails."""
        verdict = client.request(self.url + CLASSIFY, {"messages": messages}, self.headers).body or {}
        return verdict.get("decision"), verdict.get("source")


class Direct:
    """Sends what a Headstart sent its providers for a request, without it."""

    def __init__(self, headers_of: Callable[[str], dict[str, str]]) -> None:
        """headers_of: provider's name -> the headers its requests need."""
        self._headers_of = headers_of

    def again(self, target: Target, reply: Reply, stream: bool) -> Reply | None:
        """The same calls once more: a search first, if there was one, then the answering call.

        None when the session file is out of reach.
        """
        session = target.record.session(reply.session) if target.record and reply.session else None
        calls = _calls(session) if session else []
        if not calls:
            return None
        replies = [
            client.request(call["url"], _sent(call, stream), self._headers_of(call["provider"]))
            for call in calls
        ]
        before_ms, last = sum(reply.total_ms for reply in replies[:-1]), replies[-1]
        last.ttft_ms = last.ttft_ms and last.ttft_ms + before_ms
        last.total_ms += before_ms
        return last


def _calls(session: JsonObject) -> list[JsonObject]:
    """The steps of a session whose calls made the answer, in order; none when no provider answered."""
    succeeded = [step for step in session["steps"] if step["status"] == 200]
    searches = [step for step in succeeded if step["step"] == "enrichment"]
    answered = [step for step in succeeded if step["step"] == "provider_call"]
    return [*searches, answered[-1]] if answered else []


def _sent(step: JsonObject, stream: bool) -> JsonObject:
    """The body that a step of a session was sent with."""
    if step["step"] == "enrichment":
        return {**step["params"], "model": step["model"], "input": step["messages_sent"]}
    body = {**step["params"], "messages": step["messages_sent"]}
    if not stream:
        body.pop("stream_options", None)
    return {**body, "stream": stream}
