"""The ways to ask the web for an enrichment: a provider with search tools, a chat model that searches by itself, the owner's own SearXNG.

Each is made for one request and says what it asks (`messages`, `params`); `find(step, on_cancel)` asks it, notes in the step what the server said, and
returns a Found. It raises Cancelled after the hang-up and another ProxyError when nothing came of it. What is done with the words is `enrichment.py`'s.
"""

import contextlib
import dataclasses
import json
import time
from typing import NamedTuple
from urllib.parse import urlencode

from errors import HeadTimeout, StreamBroken, UpstreamStatus
from settings.model import ModelRule
from telemetry import call_timing as timing
from upstream.attempt import Attempt
from upstream.connection import CancelToken, read_some, set_silence
from wire import chat_search, openai_chat, openai_responses, searxng, webpage

SEARCH_S = 60.0  # the longest a web search was seen to take was 26 s; at 60 the user has given up
MAX_OUTPUT_TOKENS = 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # search answers carry their sources' snippets
PAGE_CHARS = 2000  # of a page's text; with the search engine's snippet before it


class Found(NamedTuple):
    """text: what the web says. urls: where it says so. numbered: the text has marks such as [2] that count the urls."""

    text: str
    urls: list
    numbered: bool


class ResponsesSearch:
    """OpenAI's Responses API with search tools, as xAI has it too."""

    def __init__(self, provider, instructions, turns, tools):
        self._provider = provider
        self._request = openai_responses.search_request(
            provider.model, instructions, turns, tools, MAX_OUTPUT_TOKENS
        )
        self.messages = self._request["input"]
        self.params = {key: value for key, value in self._request.items() if key not in ("input", "model")}

    def find(self, step, on_cancel):
        answer = _whole_answer(
            self._provider, "POST", "/responses", openai_chat.dumps(self._request), step, on_cancel
        )
        step["usage"] = answer.get("usage")
        return Found(*openai_responses.search_result(answer), numbered=False)


class ChatSearch:
    """A chat model that searches by itself: a chat completion, streamed as any other so that hanging up reaches it."""

    def __init__(self, provider, instructions, turns):
        self._provider = provider
        self._request = chat_search.search_request(instructions, turns, MAX_OUTPUT_TOKENS)
        self.messages = self._request["messages"]
        self.params = {key: value for key, value in self._request.items() if key != "messages"}

    def find(self, step, on_cancel):
        attempt = Attempt(self._provider, "/chat/completions", self._request, rule=self._hurried())
        on_cancel(attempt.cancel)
        try:
            answer = self._assembled(attempt)
        finally:
            # The owner's params may have changed what was asked.
            sent = attempt.sent_body or {}
            step["params"] = {
                key: value for key, value in sent.items() if key not in ("messages", "model")
            } or self.params
            step["url"], step["status"], step["usage"], step["finish_reason"] = (
                attempt.url,
                attempt.status,
                attempt.usage,
                attempt.finish_reason,
            )
            step["ttft_ms"] = attempt.head_at and round((attempt.head_at - attempt.started_at) * 1000)
        return Found(*chat_search.search_result(answer), numbered=True)

    def _hurried(self):
        """A rule for this call: the provider's own timeouts, and no longer than a search may take in all."""
        timeouts = self._provider.timeouts()
        return ModelRule(
            timeouts=dataclasses.replace(timeouts, total_s=min(timeouts.total_s or SEARCH_S, SEARCH_S))
        )

    @staticmethod
    def _assembled(attempt):
        assembly, read = openai_chat.Assembly(), 0
        attempt.head()
        with contextlib.closing(attempt.events()) as events:
            for event, chunk in events:
                read += len(event.raw)
                if read > MAX_ANSWER_BYTES:
                    raise StreamBroken("its answer is too long")
                if chunk is not None:
                    assembly.add(chunk)
        if not attempt.saw_done and not assembly.finished:
            raise StreamBroken("it broke off its answer")
        return assembly.answer()


class SearxngSearch:
    """The owner's own search engine: its results, and what stands on their pages."""

    def __init__(self, provider, turns, reader):
        """reader: a pages.Reader."""
        self._provider = provider
        self._reader = reader
        self._query = searxng.query_of(turns)
        self.messages = None
        self.params = {"q": self._query, "format": "json"}

    def find(self, step, on_cancel):
        deadline = time.monotonic() + SEARCH_S
        if not self._query:
            raise StreamBroken("the user's turns have no words to search for")
        limits = self._provider.settings.pages
        answer = self._ask(step, on_cancel)
        results = searxng.results_of(answer, limits.count)
        pages_due = min(deadline, time.monotonic() + limits.fetch_s)
        outcomes = self._reader.read([result.url for result in results], limits, pages_due, on_cancel)
        texts = [
            webpage.text_of(page.body, page.content_type, PAGE_CHARS) if page else ""
            for page, _, _ in outcomes
        ]
        step["pages"] = [
            {"url": result.url, "duration_ms": ms, "chars": len(text), "error": error}
            for result, (_, error, ms), text in zip(results, outcomes, texts, strict=True)
        ]
        return Found(
            *searxng.context_of(searxng.answers_of(answer), zip(results, texts, strict=True)), numbered=True
        )

    def _ask(self, step, on_cancel):
        try:
            return _whole_answer(self._provider, "GET", "/search", None, step, on_cancel, query=self.params)
        except UpstreamStatus as error:
            if error.status != 403:
                raise
            # docs.searxng.org/dev/search_api: what a format that is not enabled is answered with
            told = {"message": "it answered 403: its settings.yml needs 'json' among search.formats"}
            raise UpstreamStatus(403, told, self._provider.name) from error


def _whole_answer(provider, method, path, body, step, on_cancel, *, query=None):
    """The JSON object that a provider answers with, read within SEARCH_S. body: bytes or None."""
    cancel_token = CancelToken()
    on_cancel(cancel_token.cancel)
    deadline = time.monotonic() + SEARCH_S
    timeouts = provider.timeouts()
    url = step["url"] = provider.url(path, cancel_token)
    asked = f"{url}?{urlencode(query)}" if query else url
    clock = timing.clock_for(provider.name, provider.model or "-", body or asked)
    response = provider.upstream.call(
        cancel_token, method, asked, body, connect_s=timeouts.connect_s, read_s=SEARCH_S
    )
    try:
        step["status"] = response.status_code
        told = b""
        while more := _read(response, cancel_token, deadline):
            told += more
            if len(told) > MAX_ANSWER_BYTES:
                raise StreamBroken("its answer is too long")
        answer = _json_object(told)
        if response.status_code >= 300:
            raise UpstreamStatus(response.status_code, openai_chat.error_of(answer) or {}, provider.name)
        if answer is None:
            raise StreamBroken("it sent something that is no JSON object")
        if clock:
            clock.chars_out = len(told)
        return answer
    finally:
        response.close()
        if clock:
            clock.ended()


def _read(response, cancel_token, deadline):
    left = deadline - time.monotonic()
    if left <= 0:
        raise HeadTimeout(f"no answer within {SEARCH_S:g} s")
    set_silence(response, left)
    return read_some(response, cancel_token)


def _json_object(body):
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
