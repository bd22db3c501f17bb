"""What is known of one web search, for the session file, the log and the ledger."""

from dataclasses import dataclass, field
from typing import Any

from errors import Reason
from wire import JsonObject


@dataclass
class SearchCall:
    """One search for one request. It is filled in while the search goes on and complete when that has ended.

    started_ms: from the request's arrival. duration_ms: None until it has ended. ttft_ms: from its own start,
    None where the answer is not streamed. status: the provider's HTTP status, None before its headers. url:
    None until a provider is called. usage: as the provider sent it. response_content: the beginning of what
    was found, "" for a search that failed, None for a cancelled one. pages: what became of each result's
    page, where pages are read.
    error: why nothing was found; reason: the same in a word. cancelled: the client went. cost_usd: None where
    nobody knows.
    """

    provider: str
    model: str | None
    messages_sent: list[JsonObject] | None
    params: JsonObject
    started_ms: int
    url: str | None = None
    duration_ms: int | None = None
    ttft_ms: int | None = None
    status: int | None = None
    finish_reason: str | None = None
    usage: Any = None
    response_content: str | None = None
    citations: list[str] = field(default_factory=list)
    pages: list[JsonObject] | None = None
    error: str | None = None
    reason: Reason = Reason.FAILED
    cancelled: bool = False
    cost_usd: float | None = None

    def session_step(self) -> JsonObject:
        """Its entry among a session's steps."""
        step = {
            "step": "enrichment",
            "provider": self.provider,
            "url": self.url,
            "model": self.model,
            "messages_sent": self.messages_sent,
            "params": self.params,
            "started_ms": self.started_ms,
            "duration_ms": self.duration_ms,
            "ttft_ms": self.ttft_ms,
            "status": self.status,
            "finish_reason": self.finish_reason,
            "usage": self.usage,
            "response_content": self.response_content,
            "citations": self.citations,
            "error": self.error,
        }
        return step if self.pages is None else {**step, "pages": self.pages}
