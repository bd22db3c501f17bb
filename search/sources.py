"""The sources an enrichment can search with.

They are a provider with search tools, a chat model that searches by itself, and the owner's own SearXNG. Each
is made for one request and knows what it will send (`messages`, `params`); `find` asks, fills in the
SearchCall and returns what was found. What is done with the text is `enrichment.py`'s.
"""

import dataclasses
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlencode

from requests import Response

from errors import HeadTimeout, StreamBroken, UpstreamStatus
from providers import Provider
from search.call import SearchCall
from search.fetcher import Reader
from settings.kinds import CHAT_SEARCH, PAGE_SEARCH, RESPONSES_SEARCH
from settings.model import ModelRule
from telemetry import call_timing
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken, OnCancel
from upstream.connection import read_whole
from upstream.endpoint import CHAT
from wire import JsonObject, chat_search, openai_chat, openai_responses, searxng, webpage
from wire.turns import user_turns

SEARCH_S = 60.0  # the longest a web search was seen to take was 26 s; at 60 the user has given up
MAX_OUTPUT_TOKENS = 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # search answers carry their sources' snippets
PAGE_CHARS = 2000  # of a page's text; with the search engine's snippet before it


class Found(NamedTuple):
    """text: what was found. urls: where. numbered: the text has marks such as [2] that count the urls."""

    text: str
    urls: list[str]
    numbered: bool


@dataclass(frozen=True)
class Question:
    """What is to be found out for one request.

    messages: the conversation as the client sent it. tools: the route's search tools. instructions: gives
    those for a model that searches. reader: reads the pages of results.
    """

    messages: list[JsonObject]
    tools: tuple[str, ...]
    instructions: Callable[[], str]
    reader: Reader

    def text_turns(self) -> list[tuple[str, str]]:
        """The user and assistant turns that hold text, as (role, text)."""
        turns = ((message["role"], openai_chat.text_of(message.get("content"))) for message in self.messages)
        return [(role, text) for role, text in turns if text and role in ("user", "assistant")]


class Source(Protocol):
    """messages, params: what it will send. costs_money: whether a provider takes money for it."""

    costs_money: bool
    messages: list[JsonObject] | None
    params: JsonObject

    def find(self, call: SearchCall, on_cancel: OnCancel) -> Found:
        """Search, and note in the call what came back.

        Raises Cancelled after the client has gone, another ProxyError when nothing came of it.
        """


class JsonRefused(UpstreamStatus):
    """A search engine that gives its results to people alone."""

    # docs.searxng.org/dev/search_api: a 403 is the answer where the format is not enabled.
    WORDS = "answered 403: its settings.yml needs 'json' among search.formats"

    def __init__(self, provider: str) -> None:
        super().__init__(403, {"message": f"it {self.WORDS}"}, provider)

    @property
    def in_our_words(self) -> str:
        return self.WORDS


class ResponsesSearch:
    """OpenAI's Responses API with search tools, as xAI has it too."""

    costs_money = True

    def __init__(self, provider: Provider, question: Question) -> None:
        self._provider = provider
        self._request: JsonObject = openai_responses.search_request(
            provider.model,
            question.instructions(),
            question.text_turns(),
            question.tools,
            MAX_OUTPUT_TOKENS,
        )
        self.messages: list[JsonObject] | None = self._request["input"]
        self.params = _without(self._request, "input", "model")

    def find(self, call: SearchCall, on_cancel: OnCancel) -> Found:
        body = openai_chat.dumps(self._request)
        answer = _json_answer(self._provider, "POST", "/responses", body, call, on_cancel)
        call.usage = answer.get("usage")
        text, urls = openai_responses.search_result(answer)
        return Found(text, urls, numbered=False)


class ChatSearch:
    """A chat model that searches by itself: a chat completion, streamed so that it can be cancelled."""

    costs_money = True

    def __init__(self, provider: Provider, question: Question) -> None:
        self._provider = provider
        self._request: JsonObject = chat_search.search_request(
            question.instructions(), question.text_turns(), MAX_OUTPUT_TOKENS
        )
        self.messages: list[JsonObject] | None = self._request["messages"]
        self.params = _without(self._request, "messages")

    def find(self, call: SearchCall, on_cancel: OnCancel) -> Found:
        attempt = Attempt(self._provider, CHAT, self._request, rule=self._search_limits())
        on_cancel(attempt.cancel)
        try:
            answer = self._assembled(attempt)
        finally:
            # The owner's params may have changed what was sent.
            call.params = _without(attempt.sent_body or {}, "messages", "model") or self.params
            call.url, call.status = attempt.url, attempt.status
            call.usage, call.finish_reason = attempt.usage, attempt.finish_reason
            if attempt.head_at is not None:
                call.ttft_ms = round((attempt.head_at - attempt.started_at) * 1000)
        text, urls = chat_search.search_result(answer)
        return Found(text, urls, numbered=True)

    def _search_limits(self) -> ModelRule:
        """A rule for this call: the provider's own timeouts, and no longer than a search may take in all."""
        timeouts = self._provider.timeouts()
        total_s = min(timeouts.total_s or SEARCH_S, SEARCH_S)
        return ModelRule(timeouts=dataclasses.replace(timeouts, total_s=total_s))

    @staticmethod
    def _assembled(attempt: Attempt) -> JsonObject:
        assembly, size = openai_chat.Assembly(), 0
        attempt.head()
        with closing(attempt.events()) as events:
            for event, chunk in events:
                size += len(event.raw)
                if size > MAX_ANSWER_BYTES:
                    raise StreamBroken("its answer is too long")
                if chunk is not None:
                    assembly.add(chunk)
        if not attempt.saw_done and not assembly.finished:
            raise StreamBroken("it broke off its answer")
        answer: JsonObject = assembly.answer()
        return answer


class SearxngSearch:
    """The owner's own search engine: its results, and the text of their pages."""

    costs_money = False
    messages: list[JsonObject] | None = None

    def __init__(self, provider: Provider, question: Question) -> None:
        self._provider = provider
        self._reader = question.reader
        self._query: str = searxng.query_of(user_turns(question.messages))
        self.params: JsonObject = {"q": self._query, "format": "json"}

    def find(self, call: SearchCall, on_cancel: OnCancel) -> Found:
        deadline = time.monotonic() + SEARCH_S
        if not self._query:
            raise StreamBroken("the user's turns have no words to search for")
        limits = self._provider.settings.pages
        answer = self._results(call, on_cancel)
        results = searxng.results_of(answer, limits.count)
        pages_due = min(deadline, time.monotonic() + limits.fetch_s)
        outcomes = self._reader.read([result.url for result in results], limits, pages_due, on_cancel)
        texts = [
            webpage.text_of(page.body, page.content_type, PAGE_CHARS) if page else ""
            for page, _, _ in outcomes
        ]
        call.pages = [
            {"url": result.url, "duration_ms": ms, "chars": len(text), "error": error}
            for result, (_, error, ms), text in zip(results, outcomes, texts, strict=True)
        ]
        answers, pages = searxng.answers_of(answer), zip(results, texts, strict=True)
        text, urls = searxng.context_of(answers, pages)
        return Found(text, urls, numbered=True)

    def _results(self, call: SearchCall, on_cancel: OnCancel) -> JsonObject:
        try:
            return _json_answer(self._provider, "GET", "/search", None, call, on_cancel, query=self.params)
        except UpstreamStatus as error:
            if error.status != 403:
                raise
            raise JsonRefused(self._provider.name) from error


# By a provider's `capabilities.search`.
SOURCES: dict[str, Callable[[Provider, Question], Source]] = {
    RESPONSES_SEARCH: ResponsesSearch,
    CHAT_SEARCH: ChatSearch,
    PAGE_SEARCH: SearxngSearch,
}


def _without(body: JsonObject, *names: str) -> JsonObject:
    return {name: value for name, value in body.items() if name not in names}


def _json_answer(
    provider: Provider,
    method: str,
    path: str,
    body: bytes | None,
    call: SearchCall,
    on_cancel: OnCancel,
    *,
    query: dict[str, Any] | None = None,
) -> JsonObject:
    """The JSON object that a provider answers with, read within SEARCH_S."""
    cancel_token = CancelToken()
    on_cancel(cancel_token.cancel)
    deadline = time.monotonic() + SEARCH_S
    timeouts = provider.timeouts()
    call.url = provider.url(path, cancel_token)
    url = f"{call.url}?{urlencode(query)}" if query else call.url
    timing = call_timing.clock_for(provider.name, provider.model or "-", body or url)
    response = provider.upstream.call(
        cancel_token, method, url, body, connect_s=timeouts.connect_s, read_s=SEARCH_S
    )
    try:
        call.status = response.status_code
        raw = _whole(response, cancel_token, deadline)
        answer = _json_object(raw)
        if response.status_code >= 300:
            raise UpstreamStatus(response.status_code, openai_chat.error_of(answer) or {}, provider.name)
        if answer is None:
            raise StreamBroken("it sent something that is no JSON object")
        if timing:
            timing.chars_out = len(raw)
        return answer
    finally:
        response.close()
        if timing:
            timing.ended()


def _whole(response: Response, cancel_token: CancelToken, deadline: float) -> bytes:
    try:
        return read_whole(response, cancel_token, max_bytes=MAX_ANSWER_BYTES, deadline=deadline)
    except HeadTimeout as late:
        if late.__cause__ is not None:  # the server stayed silent
            raise
        raise HeadTimeout(f"no answer within {SEARCH_S:g} s") from None


def _json_object(body: bytes) -> JsonObject | None:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
