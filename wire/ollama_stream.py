"""Ollama's API, the streams: a chat completion's chunks as the lines of JSON that its clients read.

`ChatLines` and `GenerateLines` are to this API's clients what `openai_chat.Relay` is to OpenAI's. Every line
is a whole object: a client parses each one, so there are no blank lines, no comments and no pieces of tool
calls. Whole answers are `ollama.py`'s.
Reference: "Streaming responses" in docs/api.md and `streamResponse` in server/routes.go of
github.com/ollama/ollama.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from errors import StreamBroken, UpstreamError
from wire import JsonObject, ollama, openai_chat, sse


class Moment(NamedTuple):
    """What time it is. unix_s: since 1970. since_arrival_ms: since the request arrived."""

    unix_s: float
    since_arrival_ms: float


def error_line(message: str) -> bytes:
    """The line that ends a stream which failed; nothing may follow it."""
    return _line(ollama.error_body(message))


def _line(value: JsonObject) -> bytes:
    return openai_chat.dumps(value) + b"\n"


class _Lines:
    """A completion's stream on its way to a client of this API; used like `openai_chat.Relay`.

    Only the first choice is sent. A tool call is gathered and sent whole, with the others, when the choice
    ends.
    """

    _words: ollama.Words

    def __init__(self, model: str, clock: Callable[[], Moment]) -> None:
        """model: what the client asked for. clock: returns the Moment."""
        self._model = model
        self._clock = clock
        self._ttft_ms: float | None = None
        self._calls = openai_chat.Assembly()
        self._finish_reason: Any = None
        self.usage: JsonObject | None = None  # as the provider reports it

    @property
    def finished(self) -> bool:
        """Whether the first choice has ended."""
        return self._finish_reason is not None

    def pass_on(self, event: sse.Event, chunk: JsonObject | None) -> bytes:
        """The bytes to send for one chunk, often none. chunk: None for a comment; this API has none.

        Raises StreamBroken for a tool call that is not whole, unless the answer was cut off in it, and for
        what is no chunk.
        """
        if chunk is None:
            return b""
        try:
            self.usage = chunk.get("usage") or self.usage
            return self._sent_for(openai_chat.first_choice(chunk), openai_chat.has_content(chunk))
        except (KeyError, TypeError, AttributeError) as error:
            raise StreamBroken("the provider sent something that is no completion") from error

    def ending(self) -> bytes:
        """What is missing at a proper end: calls whose choice never ended, the line with reason and usage."""
        sent, now = self._gathered(), self._clock()
        times = ollama.Times(now.since_arrival_ms, self._ttft_ms)
        end = ollama.opening(self._model, now.unix_s, self._words(""), done=True)
        return sent + _line(end | ollama.ended(self._finish_reason, self.usage, times))

    def _sent_for(self, choice: JsonObject, has_content: bool) -> bytes:
        if has_content and self._ttft_ms is None:
            self._ttft_ms = self._clock().since_arrival_ms
        calls = (choice.get("delta") or {}).get("tool_calls")
        if calls:
            self._calls.add({"choices": [{"delta": {"tool_calls": calls}}]})
        sent = self._line_of(*ollama.words_in(choice), logprobs=ollama.logprobs_in(choice))
        if choice.get("finish_reason") and self._finish_reason is None:
            self._finish_reason = choice["finish_reason"]
            sent += self._gathered()
        return sent

    def _gathered(self) -> bytes:
        """The line with the tool calls so far, b"" if there are none."""
        choices, self._calls = self._calls.answer()["choices"], openai_chat.Assembly()
        if not choices:
            return b""
        try:
            calls = ollama.calls_of(choices[0]["message"]["tool_calls"], self._finish_reason)
            return self._line_of("", calls=calls)
        except UpstreamError as error:
            raise StreamBroken(error.message) from error

    def _line_of(
        self,
        text: str,
        thinking: str = "",
        calls: Sequence[JsonObject] = (),
        logprobs: Sequence[JsonObject] = (),
    ) -> bytes:
        if not (text or thinking or calls or logprobs):
            return b""
        line = ollama.opening(self._model, self._clock().unix_s, self._words(text, thinking, calls))
        return _line({**line, "logprobs": logprobs} if logprobs else line)


class ChatLines(_Lines):
    """The stream of /api/chat."""

    _words = staticmethod(ollama.chat_words)


class GenerateLines(_Lines):
    """The stream of /api/generate, from chat completions or legacy ones."""

    _words = staticmethod(ollama.generate_words)
