"""Policies: filters on a route plan. Each takes a plan and gives back the same one, or one with less, or
another.

They apply in the order in which they are listed; none of them calls anybody.
"""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Protocol

from errors import Reason, Unavailable
from providers import Provider
from routing.affinity import Conversation
from routing.decision import Verdict
from routing.router import RoutePlan, Router
from settings.model import ApiKey
from wire.native import Native


@dataclass(frozen=True)
class PolicyContext:
    """What policies look at besides the plan.

    native: the request in an API of its own, if it is in one. conversation: None for none, or for
    housekeeping. verdict: None as long as nothing is decided. needs_completions: a legacy completion, which
    not every provider has. key: the client's, None for one that needs none.
    """

    native: Native | None = None
    conversation: Conversation | None = None
    verdict: Verdict | None = None
    needs_completions: bool = False
    key: ApiKey | None = None


OVER_BUDGET = Unavailable("the budget is spent", reason=Reason.OVER_BUDGET)

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
    """Providers that cannot take this request are passed over, with the reason.

    Where none has completions, the first one is asked all the same and says why.
    """
    if context.needs_completions:
        able = tuple(name for name in plan.chain if providers[name].capabilities.completions)
        plan = dataclasses.replace(plan, chain=able or plan.chain)
    native = context.native
    if native is None or native.refusal is None:
        return plan
    unable = {name: native.refusal for name in plan.chain if not providers[name].speaks(native.api)}
    return dataclasses.replace(plan, passed_over={**unable, **plan.passed_over}) if unable else plan
