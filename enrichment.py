"""The first hop of ENRICH: ask a provider that searches, and put what it found into words for the one that answers.

What comes back was written by strangers on the web, so it goes into the second hop fenced and named as such. No answer is ever lost to a failed search:
then the primary answers from what it knows, and the log and the record say so.
"""

import json
import logging
import secrets
import time

from errors import Cancelled, HeadTimeout, ProxyError, StreamBroken, UpstreamStatus
from logs import fields
from upstream import Line, read_some, set_silence
from wire import openai_chat, openai_responses

SEARCH_S = 60.0  # the longest a web search was seen to take was 26 s; at 60 the user has given up
MAX_OUTPUT_TOKENS = 1024
MAX_ANSWER_BYTES = 8 * 1024 * 1024  # search answers carry their sources' snippets

log = logging.getLogger(__name__)


class Enrichment:
    def __init__(self, providers, prompts):
        self._providers = providers
        self._prompts = prompts

    def context_for(self, exchange, way, date):
        """The text to hand to the answering model, "" when the search failed or found nothing. Raises Cancelled.

        Notes the step, its duration and its outcome in the exchange.
        """
        provider = self._providers[way.context]
        line = Line()
        exchange.on_hang_up(line.cut)
        started = time.monotonic()
        turns = _turns(exchange.body["messages"])
        instructions = self._prompts.render("prompts/search.md", date_context=date)
        request = openai_responses.search_request(provider.model, instructions, turns, way.tools, MAX_OUTPUT_TOKENS)
        step = exchange.enrichment_step = {
            "step": "enrichment",
            "provider": provider.name,
            "url": None,
            "model": provider.model,
            "messages_sent": request["input"],
            "params": {key: value for key, value in request.items() if key not in ("input", "model")},
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
        text, urls, told = "", [], None
        try:
            if provider.disabled:
                raise StreamBroken(f"it is disabled: {provider.disabled}")
            answer = self._ask(provider, line, request, step)
            step["usage"] = answer.get("usage")
            exchange.enrichment_cost_usd = provider.cost_usd(step["usage"])
            text, urls = openai_responses.search_result(answer)
            if not text:
                raise StreamBroken("it found nothing")
        except Cancelled:
            step["error"] = "hung up"
            raise
        except ProxyError as error:
            step["error"] = error.message
            told = type(error).__name__ if isinstance(error, UpstreamStatus) else error.message  # a provider's own words may quote the request
        finally:
            exchange.enrichment_ms = step["duration_ms"] = exchange.ms() - step["started_ms"]
        step["response_content"], step["citations"] = text[:2000], urls
        if not text:
            log.warning(
                "Enrichment failed, answering without context:",
                extra=fields(session=exchange.id, provider=provider.name, status=step["status"], error=told),
            )
            return ""
        log.info("Enrichment context retrieved: session=%s %d chars in %dms", exchange.id, len(text), exchange.enrichment_ms)
        return self._fenced(text, urls)

    def _ask(self, provider, line, request, step):
        url = step["url"] = provider.url("/responses", line)
        deadline = time.monotonic() + SEARCH_S
        response = provider.upstream.call(line, "POST", url, openai_chat.dumps(request), connect_s=provider.settings.timeouts.connect_s, read_s=SEARCH_S)
        try:
            step["status"] = response.status_code
            body = b""
            while more := self._read(response, line, deadline):
                body += more
                if len(body) > MAX_ANSWER_BYTES:
                    raise StreamBroken("its answer is too long")
            answer = _json_object(body)
            if response.status_code >= 300:
                raise UpstreamStatus(response.status_code, openai_chat.error_of(answer) or {}, provider.name)
            if answer is None:
                raise StreamBroken("it sent something that is no JSON object")
            return answer
        finally:
            response.close()

    @staticmethod
    def _read(response, line, deadline):
        left = deadline - time.monotonic()
        if left <= 0:
            raise HeadTimeout(f"no answer within {SEARCH_S:g} s")
        set_silence(response, left)
        return read_some(response, line)

    def _fenced(self, text, urls):
        sources = "\n".join(f"Source: {url}" for url in urls)
        # A fence nobody can know beforehand, so that quoted text cannot close it.
        return self._prompts.render("prompts/enrich.md", fence=secrets.token_hex(4), sources=sources, context=text)


def _json_object(body):
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def _turns(messages):
    """The conversation's user and assistant turns that hold text, as (role, text)."""
    turns = ((message["role"], openai_chat.text_of(message.get("content"))) for message in messages)
    return [(role, text) for role, text in turns if text and role in ("user", "assistant")]
