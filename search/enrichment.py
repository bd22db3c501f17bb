"""The first hop of ENRICH: have the web searched, and put what was found into a text for the model that
answers.

What comes back was written by strangers on the web, so it goes into the second hop fenced and named as such.
No answer is ever lost to a failed search: then the primary answers from what it knows and is told so, and
the log and the record say so, too. What each kind of provider is sent is `sources.py`'s.
"""

import logging
import secrets
from collections.abc import Callable, Mapping
from typing import Protocol

from errors import (
    Cancelled,
    ConnectFailed,
    HeadTimeout,
    ProxyError,
    Reason,
    StreamBroken,
    Unavailable,
    UpstreamStatus,
)
from providers import Provider
from routing.router import RoutePlan
from search.call import SearchCall
from search.fetcher import Reader
from search.sources import SOURCES, Found, Question, Source
from telemetry.logs import fields
from upstream.cancellation import OnCancel
from wire import JsonObject, webpage

NOTED_CHARS = 2000  # of what was found, kept for the record

log = logging.getLogger(__name__)


class Prompts(Protocol):
    """The texts of the prompt files."""

    def render(self, name: str | None, **values: str) -> str: ...


class Enrichment:
    """Searches for the requests of one configuration."""

    def __init__(self, providers: Mapping[str, Provider], prompts: Prompts) -> None:
        self._providers = providers
        self._prompts = prompts
        self._reader = Reader(webpage.is_readable)

    def find(
        self,
        body: JsonObject,
        plan: RoutePlan,
        date: str,
        *,
        session: str,
        on_cancel: OnCancel,
        elapsed_ms: Callable[[], int],
        record: Callable[[SearchCall], None],
    ) -> str:
        """The text to hand to the answering model, "" when the search failed or found nothing.

        body: the client's request, a chat. plan: one with a context. session: the request's id, for the log.
        elapsed_ms: since the request's arrival. record: is given the SearchCall once, when the search begins;
        the call is complete when this method returns or raises. Raises Cancelled.
        """
        assert plan.context is not None
        provider = self._providers[plan.context]
        started_ms = elapsed_ms()
        source = self._source(provider, body["messages"], plan.tools, date)
        call = SearchCall(provider.name, provider.model or None, source.messages, source.params, started_ms)
        record(call)
        found = log_summary = None
        try:
            found = self._found(provider, source, call, on_cancel)
            call.response_content, call.citations = found.text[:NOTED_CHARS], found.urls
            provider.search_trouble = None
        except Cancelled:
            call.error, call.cancelled = "hung up", True
            raise
        except ProxyError as error:
            call.error, call.response_content, call.reason = error.message, "", error.reason
            provider.breaker.missed(error)
            # A provider's own words may quote the request.
            log_summary = error.in_our_words if isinstance(error, UpstreamStatus) else error.message
            if isinstance(error, (ConnectFailed, HeadTimeout, UpstreamStatus)) and not error.lacks:
                provider.search_trouble = error.in_our_words
        finally:
            # Two roundings may differ by one: no first word comes after the end.
            call.duration_ms = max(elapsed_ms() - call.started_ms, call.ttft_ms or 0)
            call.cost_usd = provider.cost_usd(call.usage) if source.costs_money else 0.0
        if found is None:
            log.warning(
                "Enrichment failed, answering without context:",
                extra=fields(session=session, provider=provider.name, status=call.status, error=log_summary),
            )
            return ""
        log.info(
            "Enrichment context retrieved: session=%s %d chars in %dms",
            session,
            len(found.text),
            call.duration_ms,
        )
        return self._fenced(found)

    def _source(
        self, provider: Provider, messages: list[JsonObject], tools: tuple[str, ...], date: str
    ) -> Source:
        search = provider.capabilities.search
        assert search is not None  # the settings were checked: a context provider searches

        def instructions() -> str:
            return self._prompts.render("prompts/search.md", date_context=date)

        return SOURCES[search](provider, Question(messages, tools, instructions, self._reader))

    @staticmethod
    def _found(provider: Provider, source: Source, call: SearchCall, on_cancel: OnCancel) -> Found:
        if provider.disabled:
            raise Unavailable(f"it is disabled: {provider.disabled}", reason=Reason.DISABLED)
        found = source.find(call, on_cancel)
        if not found.text:
            raise StreamBroken("it found nothing")
        return found

    def _fenced(self, found: Found) -> str:
        marks = [f" [{number}]" if found.numbered else "" for number in range(1, len(found.urls) + 1)]
        sources = "\n".join(f"Source{mark}: {url}" for mark, url in zip(marks, found.urls, strict=True))
        # A fence nobody can know beforehand, so that quoted text cannot close it.
        return self._prompts.render(
            "prompts/enrich.md", fence=secrets.token_hex(4), sources=sources, context=found.text
        )
