"""The first hop of ENRICH: have the web asked, and put what was found into words for the one that answers.

What comes back was written by strangers on the web, so it goes into the second hop fenced and named as such. No answer is ever lost to a failed search:
then the primary answers from what it knows, and the log and the record say so. How each kind of provider is asked is `searching.py`'s.
"""

import logging
import secrets
import time

from errors import Cancelled, ProxyError, StreamBroken, UpstreamStatus
from search.fetcher import Reader
from search.sources import ChatSearch, ResponsesSearch, SearxngSearch
from settings.kinds import PAGE_SEARCH, RESPONSES_SEARCH
from telemetry.logs import fields
from wire import openai_chat, webpage
from wire.turns import user_turns

log = logging.getLogger(__name__)


class Enrichment:
    def __init__(self, providers, prompts):
        self._providers = providers
        self._prompts = prompts
        self._reader = Reader(webpage.is_readable)

    def context_for(self, exchange, plan, date):
        """The text to hand to the answering model, "" when the search failed or found nothing. Raises Cancelled.

        Notes the step, its duration and its outcome in the exchange.
        """
        provider = self._providers[plan.context]
        started = time.monotonic()
        search = self._search(provider, exchange.body["messages"], plan.tools, date)
        step = exchange.enrichment_step = {
            "step": "enrichment",
            "provider": provider.name,
            "url": None,
            "model": provider.model or None,
            "messages_sent": search.messages,
            "params": search.params,
            "started_ms": exchange.ms(started),
            "duration_ms": None,
            "ttft_ms": None,
            "status": None,
            "finish_reason": None,
            "usage": None,
            "response_content": None,
            "citations": [],
            "error": None,
        }
        found = told = None
        try:
            found = self._found(provider, search, step, exchange.on_cancel)
        except Cancelled:
            step["error"] = "hung up"
            raise
        except ProxyError as error:
            step["error"] = error.message
            told = (
                type(error).__name__ if isinstance(error, UpstreamStatus) else error.message
            )  # a provider's own words may quote the request
        finally:
            exchange.enrichment_ms = step["duration_ms"] = exchange.ms() - step["started_ms"]
            exchange.enrichment_cost_usd = (
                0.0 if provider.capabilities.search == PAGE_SEARCH else provider.cost_usd(step["usage"])
            )
        if found is None:
            step["response_content"] = ""
            log.warning(
                "Enrichment failed, answering without context:",
                extra=fields(session=exchange.id, provider=provider.name, status=step["status"], error=told),
            )
            return ""
        step["response_content"], step["citations"] = found.text[:2000], found.urls
        log.info(
            "Enrichment context retrieved: session=%s %d chars in %dms",
            exchange.id,
            len(found.text),
            exchange.enrichment_ms,
        )
        return self._fenced(found)

    def _search(self, provider, messages, tools, date):
        """The way to ask a provider, by its capability."""
        if provider.capabilities.search == PAGE_SEARCH:
            return SearxngSearch(provider, user_turns(messages), self._reader)
        instructions = self._prompts.render("prompts/search.md", date_context=date)
        if provider.capabilities.search == RESPONSES_SEARCH:
            return ResponsesSearch(provider, instructions, _turns(messages), tools)
        return ChatSearch(provider, instructions, _turns(messages))

    @staticmethod
    def _found(provider, search, step, on_cancel):
        if provider.disabled:
            raise StreamBroken(f"it is disabled: {provider.disabled}")
        found = search.find(step, on_cancel)
        if not found.text:
            raise StreamBroken("it found nothing")
        return found

    def _fenced(self, found):
        marks = [f" [{number}]" if found.numbered else "" for number in range(1, len(found.urls) + 1)]
        sources = "\n".join(f"Source{mark}: {url}" for mark, url in zip(marks, found.urls, strict=True))
        # A fence nobody can know beforehand, so that quoted text cannot close it.
        return self._prompts.render(
            "prompts/enrich.md", fence=secrets.token_hex(4), sources=sources, context=found.text
        )


def _turns(messages):
    """The conversation's user and assistant turns that hold text, as (role, text)."""
    turns = ((message["role"], openai_chat.text_of(message.get("content"))) for message in messages)
    return [(role, text) for role, text in turns if text and role in ("user", "assistant")]
