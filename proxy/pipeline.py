"""The story of one chat request, top to bottom.

1 plan       META by its markers and pinned models by their name need no decision
2 speculate  for the rest the primary call starts on another thread
3 classify   meanwhile this thread asks the classifier; then the speculation is adopted, or cancelled at once
4 head       nothing is sent before the first content is in hand; until then the chain goes on (`fallback.py`)
5 reply      the stream passed on as it comes, or put together to one answer (`reply.py`)

It knows no Flask and no socket: it is given an exchange and a request, and gives back a reply whose bytes the
API sends.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from errors import NotFound
from providers import Provider
from proxy.exchange import Exchange
from proxy.fallback import Tried, first_head
from proxy.preparation import Preparation
from proxy.reply import Reply, reply
from proxy.request import Request
from proxy.route_note import RouteNote, wants_note
from proxy.speculation import Speculator
from routing.affinity import Affinity, Conversation, Target
from routing.classifier import Classifier
from routing.decision import Verdict
from routing.housekeeping import MetaRules
from routing.policies import Policy, PolicyContext, apply
from routing.router import RoutePlan, Router
from settings.decisions import Decision
from settings.model import Config
from telemetry import events
from telemetry.events import Decided, Planned
from upstream.attempt import Attempt
from wire.native import ProviderRequest

COMPLETIONS = "/completions"


class Pipeline:
    """Answers chat and text completions under one configuration."""

    def __init__(
        self,
        config: Config,
        *,
        providers: Mapping[str, Provider],
        router: Router,
        policies: Iterable[Policy],
        classifier: Classifier,
        meta_rules: MetaRules,
        affinity: Affinity,
        preparation: Preparation,
        speculator: Speculator,
    ) -> None:
        self._config = config
        self._providers = providers
        self._router = router
        self._policies = tuple(policies)
        self._classifier = classifier
        self._meta_rules = meta_rules
        self._affinity = affinity
        self._preparation = preparation
        self._speculator = speculator

    def chat(self, exchange: Exchange, request: Request) -> Reply:
        """Answer a chat request. Raises a ProxyError when nothing has been sent yet."""
        plan, verdict = self._known_plan(exchange, request)
        conversation = self._conversation(exchange, request, plan)
        context = PolicyContext(request.api.native, conversation, needs=request.needs, key=exchange.key)
        if plan is not None:
            plan = self._apply_policies(exchange, plan, context)
            provider_request = self._preparation.provider_request(exchange, request, plan)
            attempt = first_head(exchange, plan, provider_request, self._providers)
        else:
            plan, verdict, attempt = self._decide(exchange, request, context)
        if conversation is not None:
            self._affinity.answered(conversation, Target(plan.route, attempt.provider.name))
        return self._reply(exchange, request, plan, attempt, verdict)

    def completion(self, exchange: Exchange, request: Request) -> Reply:
        """Answer a legacy completion: pinned, else by the primary; autocompletion is never classified."""
        plan, verdict = self._router.pin(request.model), None
        if plan is None:
            verdict = self._autocompletion(request)
            plan = self._router.primary
            if verdict is not None:
                self._decided(exchange, verdict)
                plan = self._router.plan_for(Decision.META)
        context = PolicyContext(needs=request.needs, needs_completions=True, key=exchange.key)
        plan = self._apply_policies(exchange, plan, context)
        provider_request = ProviderRequest(request.body)
        attempt = first_head(exchange, plan, provider_request, self._providers, path=COMPLETIONS)
        return self._reply(exchange, request, plan, attempt, verdict)

    def _reply(
        self,
        exchange: Exchange,
        request: Request,
        plan: RoutePlan,
        attempt: Attempt,
        verdict: Verdict | None,
    ) -> Reply:
        """Step 5."""
        shown = self._config.show_route and wants_note(plan, request.body)
        note = RouteNote(plan, attempt.provider.name, verdict) if shown else None
        return reply(exchange, request, attempt, note)

    # 1 Plan.

    def _known_plan(self, exchange: Exchange, request: Request) -> tuple[RoutePlan | None, Verdict | None]:
        """The plan of a request that needs no decision, with the verdict that its marker is.

        (None, None) for any other.
        """
        plan = self._named_plan(request)
        if plan is not None:
            return plan, None
        verdict = self.housekeeping(exchange, request)
        return (self._router.plan_for(Decision.META), verdict) if verdict else (None, None)

    def _named_plan(self, request: Request) -> RoutePlan | None:
        """The plan that the client named: by a route (in the body or by X-Route), else by the model.

        Raises NotFound for a route that does not exist.
        """
        route = request.api.route or request.headers.get("X-Route")
        if not route:
            return self._router.pin(request.model)
        plan = self._router.plan_of(route)
        if plan is None:
            known = ", ".join(self._router.routes())
            param = "model_class" if request.api.route else "X-Route"
            message = f"there is no route '{route}'; there are {known}"
            raise NotFound(message, param=param, code="route_not_found")
        return plan

    def housekeeping(self, exchange: Exchange, request: Request) -> Verdict | None:
        """The verdict on a frontend's housekeeping, by its marker; None for a person's request."""
        marker = self._meta_rules.match(request.body, request.headers)
        if marker is None:
            return None
        verdict = _housekeeping(marker)
        self._decided(exchange, verdict)
        return verdict

    def _autocompletion(self, request: Request) -> Verdict | None:
        """The verdict on an editor's autocompletion, None for any other completion."""
        prompt = request.body.get("prompt")
        if isinstance(request.body.get("suffix"), str):
            return _housekeeping("suffix")
        marker = self._meta_rules.matches_prompt(prompt) if isinstance(prompt, str) else None
        return _housekeeping(marker) if marker else None

    def _conversation(
        self, exchange: Exchange, request: Request, plan: RoutePlan | None
    ) -> Conversation | None:
        """The conversation that the request belongs to.

        None for housekeeping, or where the owner wants no affinity.
        """
        if not self._config.conversations.sticky or (plan and plan.decision == Decision.META):
            return None
        return self._affinity.find(
            exchange.client_ip, request.turns, request.body.get("user"), request.headers
        )

    def _apply_policies(self, exchange: Exchange, plan: RoutePlan, context: PolicyContext) -> RoutePlan:
        """The plan after all policies, which is how the request is served."""
        plan = apply(self._policies, plan, context)
        conversation, known = context.conversation, None
        if conversation is not None and conversation.target is not None:
            target = conversation.target
            known = events.Affinity(conversation.known_by, target.route, target.provider)
        exchange.notify(
            Planned(
                plan.decision,
                plan.route,
                plan.slow_ms,
                plan.chain,
                affinity=known,
                stayed=plan.stayed,
                budget_exhausted=plan.budget_exhausted,
            )
        )
        return plan

    # 2 Speculate, 3 classify.

    def _decide(
        self, exchange: Exchange, request: Request, context: PolicyContext
    ) -> tuple[RoutePlan, Verdict, Attempt]:
        """The plan of an `auto` request, its verdict, and the attempt that answers, its head in hand."""
        primary = apply(self._policies, self._router.primary, context)

        def prepare(plan: RoutePlan) -> ProviderRequest:
            return self._preparation.provider_request(exchange, request, plan)

        with self._speculator.start(exchange, primary, lambda: prepare(primary)) as speculation:
            verdict = self.classify(exchange, request)
        context = dataclasses.replace(context, verdict=verdict)
        plan = self._apply_policies(exchange, self._router.plan_for(verdict.decision), context)
        tried, attempt = Tried(exchange, plan), None
        if plan.route == primary.route:
            attempt = speculation.adopt(tried)
        else:
            speculation.cancel(tried)
        if attempt is None:
            attempt = first_head(exchange, plan, prepare(plan), self._providers, tried=tried)
            if attempt is speculation.attempt:  # an empty answer, and nobody had a better one
                speculation.adopted()
        return plan, verdict, attempt

    def classify(self, exchange: Exchange, request: Request) -> Verdict:
        """The classifier's verdict. Raises Cancelled when the client leaves meanwhile."""
        started_ms = exchange.ms()
        verdict = self._classifier.classify(
            request.turns, exchange.on_cancel, exchange.calls.asks_for_decision
        )
        self._decided(exchange, verdict, self._config.classifier.model, started_ms)
        return verdict

    def _decided(
        self, exchange: Exchange, verdict: Verdict, model: str | None = None, started_ms: int = 0
    ) -> None:
        exchange.notify(
            Decided(
                decision=verdict.decision,
                route=self._router.plan_for(verdict.decision).route,
                confidence=verdict.confidence,
                probabilities=verdict.probabilities,
                source=verdict.source,
                raw=verdict.raw,
                error=verdict.error,
                model=model,
                started_ms=started_ms,
                duration_ms=verdict.ms,
            )
        )


def _housekeeping(marker: str) -> Verdict:
    return Verdict(Decision.META, 1.0, {Decision.META: 1.0}, marker, "heuristic")
