"""What providers are asked: the client's own words, the route's system prompt, and retrieved context.

A model that is asked for what only a search could tell, and gets no context, is told that it has none.
"""

from errors import Reason
from proxy.exchange import Exchange
from proxy.prompts import Prompts, date_context, has_system, now_in, with_context, with_system
from proxy.request import Request
from proxy.route_note import without_notes
from routing.router import RoutePlan
from search.call import SearchCall
from search.enrichment import Enrichment
from settings.decisions import Decision
from telemetry.events import ANSWERED, CANCELLED, FAILED, Enriched, Unsearched
from wire.native import ProviderRequest

# What keeps a provider from searching, too; the other reasons are about what it answers.
FORBIDDEN = (Reason.OVER_BUDGET, Reason.NOT_ALLOWED)


class Preparation:
    """Prepares requests under one configuration."""

    def __init__(self, prompts: Prompts, enrichment: Enrichment, timezone: str) -> None:
        """timezone: whose date stands in the prompts, an IANA name or "local"."""
        self._timezone = timezone
        self._prompts = prompts
        self._enrichment = enrichment

    def provider_request(self, exchange: Exchange, request: Request, plan: RoutePlan) -> ProviderRequest:
        """What this plan's providers are asked; for an enriched answer the web is searched first.

        A provider that the client named by its model has neither prompt nor context, so it gets what the
        client sent. Raises Cancelled.
        """
        body, native = request.body, request.api.native
        date = date_context(now_in(self._timezone)) if plan.system_prompt or plan.enriched else ""
        prompt = self._prompts.render(plan.system_prompt, date_context=date)
        messages = with_system(without_notes(body["messages"]), prompt)
        native = native and native.with_system(prompt)
        if plan.enriched:
            context = self._context(exchange, request, plan, date)
            messages = with_context(messages, context, in_system=has_system(body["messages"]))
            native = native and native.with_system(context)
        chat = body if messages is body["messages"] else {**body, "messages": messages}
        if plan.decision == Decision.META and chat.get("n"):
            chat = {**chat, "n": 1}  # the frontends throw the answer away if there are several
        return ProviderRequest(chat, native, request.api.at_home)

    def _context(self, exchange: Exchange, request: Request, plan: RoutePlan, date: str) -> str:
        """What the web says, or the note that nobody could ask it; the recorders learn of that.

        Raises Cancelled.
        """
        why = plan.passed_over.get(plan.context) if plan.context else None
        if plan.context is None or (why and why.reason in FORBIDDEN):
            reason = why.reason if why else Reason.DISABLED
            exchange.notify(Unsearched(plan.context, reason))
        elif found := self._found(exchange, request, plan, date):
            return found
        return self._prompts.render("prompts/no_search.md")

    def _found(self, exchange: Exchange, request: Request, plan: RoutePlan, date: str) -> str:
        """What the web says, "" for nothing. The recorders learn of the search however it ends.

        Raises Cancelled.
        """
        calls: list[SearchCall] = []
        try:
            return self._enrichment.find(
                request.body,
                plan,
                date,
                session=exchange.id,
                on_cancel=exchange.on_cancel,
                elapsed_ms=exchange.ms,
                record=calls.append,
            )
        finally:
            for call in calls:
                outcome = ANSWERED if call.status == 200 else CANCELLED if call.cancelled else FAILED
                exchange.notify(
                    Enriched(
                        call.session_step(), outcome, call.started_ms, call.duration_ms or 0, call.cost_usd
                    )
                )
                if call.error and not call.cancelled:
                    exchange.notify(Unsearched(call.provider, call.reason))
