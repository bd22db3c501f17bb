"""Policies: filters on a route plan. Each takes a plan and gives back the same one, or one with less, or
another.

They apply in the order in which they are listed; none of them calls anybody.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from errors import ProxyError, Reason, Unavailable
from providers import Provider
from routing.affinity import Conversation
from routing.decision import Verdict
from routing.router import RoutePlan, Router
from settings.model import ApiKey
from wire.native import Native
from wire.needs import Needs


@dataclass(frozen=True)
class PolicyContext:
    """What policies look at besides the plan.

    native: the request in an API of its own, if it is in one. conversation: None for none, or for
    housekeeping. verdict: None as long as nothing is decided. needs: what is asked of a model.
    needs_completions: a legacy completion, which not every provider has. key: the client's, None for one that
    needs none.
    """

    native: Native | None = None
    conversation: Conversation | None = None
    verdict: Verdict | None = None
    needs: Needs = Needs()
    needs_completions: bool = False
    key: ApiKey | None = None


OVER_BUDGET = Unavailable("the budget is spent", reason=Reason.OVER_BUDGET)

NO_TOOLS = Unavailable("no tools", reason=Reason.NO_TOOLS)
# What is estimated, or declared in good faith: a provider may do better than is known of it.
UNCERTAIN = (Reason.CONTEXT_TOO_LONG, Reason.NO_TOOLS, Reason.NO_COMPLETIONS)

Policy = Callable[[RoutePlan, PolicyContext], RoutePlan]


class Spending(Protocol):
    """Knows whether the money is spent; accounting.budgets.Budget does."""

    def exhausted(self) -> bool: ...


def apply(policies: Iterable[Policy], plan: RoutePlan, context: PolicyContext) -> RoutePlan:
    """The plan after all policies."""
    return reduce(lambda plan, policy: policy(plan, context), policies, plan)


def stay_with_target(
    plan: RoutePlan, context: PolicyContext, *, router: Router, providers: Mapping[str, Provider]
) -> RoutePlan:
    """A short follow-up whose verdict is unclear stays where its conversation was answered before."""
    conversation, verdict = context.conversation, context.verdict
    if conversation is None or verdict is None or not conversation.should_stay(verdict):
        return plan
    target = conversation.target
    if target is None or target.provider in plan.chain:
        return plan
    before, provider = router.plan_of(target.route), providers.get(target.provider)
    if before is None or provider is None or target.provider not in before.chain:
        return plan
    if provider.disabled or not provider.breaker.available:
        return plan
    return dataclasses.replace(before, decision=plan.decision, stayed=True)


def stay_within_budget(
    plan: RoutePlan,
    context: PolicyContext,
    *,
    router: Router,
    providers: Mapping[str, Provider],
    budget: Spending,
) -> RoutePlan:
    """Once the money is spent, only local providers serve: the plan's own, else the primary's.

    Who costs money stays in the chain and is passed over. The plan stays as it is where nobody is local.
    """
    home = at_home(plan, OVER_BUDGET, router=router, providers=providers)
    if home is None or home is plan or not budget.exhausted():
        return plan
    return dataclasses.replace(home, budget_exhausted=True)


def at_home(
    plan: RoutePlan, why: Unavailable, *, router: Router, providers: Mapping[str, Provider]
) -> RoutePlan | None:
    """The plan with local providers alone: its own, else the primary's. The others are passed over.

    why: they are. The plan itself where it costs no money anyway, None where nobody is local.
    """
    named = {name for name in (*plan.chain, plan.context) if name and name not in plan.passed_over}
    paid = [name for name in named if not providers[name].is_local and not providers[name].disabled]
    if not paid:
        return plan

    def usable(name: str) -> bool:
        return providers[name].is_local and not providers[name].disabled

    chain = plan.chain
    if not any(map(usable, chain)):
        chain = (*chain, *filter(usable, router.primary.chain))
    if not any(map(usable, chain)):
        return None
    passed_over = {**plan.passed_over, **dict.fromkeys(paid, why)}
    return dataclasses.replace(plan, chain=chain, passed_over=passed_over)


def pass_over_the_unable(
    plan: RoutePlan, context: PolicyContext, *, providers: Mapping[str, Provider]
) -> RoutePlan:
    """Providers that are known not to be able to serve this request are passed over, with the reason.

    Who was named is asked whatever it can do. Where nobody of the chain is able, the one that comes closest
    is asked all the same, since its own words are the truth; only what is certain to fail is not tried, which
    is a picture or sound for models that take none.

    A prompt counts as too long when no tokenizer could make it fit. How long an answer the client allows does
    not matter: llama.cpp, Ollama and LM Studio end it where their context ends, and who refuses such a
    request says so, whereupon the chain goes on.

    Tools that are merely offered, as Open WebUI does in every chat, are no reason to leave home: a provider
    without tools is then passed over for another local one that has them, and for nobody else. Where a tool
    must be called, or has been, it is passed over for anybody.
    """
    candidates = {name: providers[name] for name in plan.chain if name not in plan.passed_over}
    unable = {
        name: why for name, provider in candidates.items() if (why := _lacking(provider, plan, context))
    }
    if context.needs.offers_tools and not plan.to_provider:
        unable |= _without_tools({name: one for name, one in candidates.items() if name not in unable})
    if not unable:
        return plan
    able = [name for name, provider in candidates.items() if name not in unable and not provider.disabled]
    if not able and (closest := _closest(unable, candidates)):
        del unable[closest]
    return dataclasses.replace(plan, passed_over={**plan.passed_over, **unable})


def _lacking(provider: Provider, plan: RoutePlan, context: PolicyContext) -> ProxyError | None:
    """Why a provider cannot serve a request, None where it can, or where nobody knows."""
    native, needs, can = context.native, context.needs, provider.capabilities
    if native and native.refusal and not provider.speaks(native.api):
        return native.refusal
    if plan.to_provider or provider.disabled:
        return None
    if needs.pictures and can.vision is False:
        return Unavailable("text only", reason=Reason.NO_VISION)
    if needs.audio and can.audio is False:
        return Unavailable("no sound", reason=Reason.NO_AUDIO)
    if can.context_length and needs.least_tokens > can.context_length:
        why = f"the prompt is too long for its context of {can.context_length} tokens"
        return Unavailable(why, reason=Reason.CONTEXT_TOO_LONG, detail=why)
    if needs.uses_tools and _has_no_tools(provider):
        return NO_TOOLS
    if context.needs_completions and not can.completions:
        return Unavailable("no text completions", reason=Reason.NO_COMPLETIONS)
    return None


def _has_no_tools(provider: Provider) -> bool:
    """Whether it is known that a provider refuses tools. One that is not sent them does not."""
    return provider.capabilities.tools is False and "tools" not in provider.settings.params.drop


def _without_tools(candidates: Mapping[str, Provider]) -> dict[str, ProxyError]:
    """Who has no tools, if a local provider that can be called now has."""
    local = (
        one for one in candidates.values() if one.is_local and not one.disabled and one.breaker.available
    )
    if all(map(_has_no_tools, local)):
        return {}
    return {name: NO_TOOLS for name, one in candidates.items() if _has_no_tools(one)}


def _closest(unable: Mapping[str, ProxyError], candidates: Mapping[str, Provider]) -> str | None:
    """Who of those that are not able is asked all the same: the one with the most context, else the first.

    None where it would be in vain.
    """
    worth_asking = [name for name, why in unable.items() if why.reason in UNCERTAIN]
    return max(worth_asking, key=lambda name: candidates[name].capabilities.context_length or 0, default=None)
