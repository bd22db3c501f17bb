"""Ollama's API, the streams: a chat completion's chunks as the lines of JSON that its clients read.

`ChatLines` and `GenerateLines` are to this API's clients what `openai_chat.Relay` is to OpenAI's. Every line is a whole object: a client parses each one,
so there are no blank lines, no comments and no pieces of tool calls. Whole answers are `ollama.py`'s.
Reference: "Streaming responses" in docs/api.md and `streamResponse` in server/routes.go of github.com/ollama/ollama.
"""

from typing import NamedTuple

from errors import StreamBroken, UpstreamError
from wire import ollama, openai_chat


class Moment(NamedTuple):
    """What time it is. unix_s: seconds since 1970. since_arrival_ms: milliseconds since the request arrived."""

    unix_s: float
    since_arrival_ms: float


def error_line(message):
    """The line that ends a stream which failed; nothing may follow it."""
    return _line(ollama.error_body(message))


def _line(value):
    return openai_chat.dumps(value) + b"\n"


class _Lines:
    """A completion's stream on its way to a client of this API; used like `openai_chat.Relay`.

    Only the first choice is told. A tool call is gathered and sent whole, with the others, when the choice ends.
    """

    _words = None  # where the endpoint says what is said

    def __init__(self, model, clock):
        """model: what the client asked for. clock: a function that tells the Moment."""
        self._model = model
        self._clock = clock
        self._ttft_ms = None
        self._calls = openai_chat.Assembly()
        self._finish_reason = None
        self.usage = None  # as the provider told it

    @property
    def finished(self):
        """Whether the first choice has ended."""
        return self._finish_reason is not None

    def pass_on(self, event, chunk):
        """The bytes to send for one chunk, often none. event: as received; not needed here. chunk: None for a comment, which this API has not.

        Raises StreamBroken for a tool call that is not whole, unless the answer was cut off in it, and for what is no chunk.
        """
        if chunk is None:
            return b""
        try:
            self.usage = chunk.get("usage") or self.usage
            return self._sent_for(openai_chat.first_choice(chunk), openai_chat.has_content(chunk))
        except (KeyError, TypeError, AttributeError) as error:
            raise StreamBroken("the provider sent something that is no completion") from error

    def ending(self):
        """What is missing at a proper end: tool calls whose choice never ended, and the line that says why it is over and what was used."""
        sent, now = self._gathered(), self._clock()
        over = ollama.ended(
            self._finish_reason, self.usage, ollama.Times(now.since_arrival_ms, self._ttft_ms)
        )
        return sent + _line(ollama.opening(self._model, now.unix_s, self._words(""), done=True) | over)

    def _sent_for(self, choice, has_content):
        if has_content and self._ttft_ms is None:
            self._ttft_ms = self._clock().since_arrival_ms
        calls = (choice.get("delta") or {}).get("tool_calls")
        if calls:
            self._calls.add({"choices": [{"delta": {"tool_calls": calls}}]})
        sent = self._said(*ollama.words_in(choice), logprobs=ollama.logprobs_in(choice))
        if choice.get("finish_reason") and self._finish_reason is None:
            self._finish_reason = choice["finish_reason"]
            sent += self._gathered()
        return sent

    def _gathered(self):
        """The line with the tool calls so far, b"" if there are none."""
        choices, self._calls = self._calls.answer()["choices"], openai_chat.Assembly()
        if not choices:
            return b""
        try:
            return self._said(
                "", calls=ollama.calls_of(choices[0]["message"]["tool_calls"], self._finish_reason)
            )
        except UpstreamError as error:
            raise StreamBroken(error.message) from error

    def _said(self, text, thinking="", calls=(), logprobs=()):
        if not (text or thinking or calls or logprobs):
            return b""
        told = ollama.opening(self._model, self._clock().unix_s, self._words(text, thinking, calls))
        return _line({**told, "logprobs": logprobs} if logprobs else told)


class ChatLines(_Lines):
    """The stream of /api/chat."""

    _words = staticmethod(ollama.chat_words)


class GenerateLines(_Lines):
    """The stream of /api/generate, from chat completions or legacy ones."""

    _words = staticmethod(ollama.generate_words)
