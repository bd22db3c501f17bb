"""What the owner lets the clients of one named key do: a policy, and the same looked up for a model's name.

Who names what the key may not use is refused. What is decided for such a client keeps within the limits by
itself: a route it may not go falls to one it may, and providers that cost money are passed over.
"""

import dataclasses
from collections.abc import Iterable, Mapping

from errors import Forbidden, QuotaSpent, Reason, Unavailable
from providers import Provider
from routing.policies import OVER_BUDGET, PolicyContext, Spending, at_home
from routing.router import ModelEntry, RoutePlan, Router
from settings.decisions import PINNED
from settings.model import ApiKey


class KeyLimits:
    """The limits of all keys, and a policy that keeps a plan within those of the request's key."""

    def __init__(
        self, router: Router, providers: Mapping[str, Provider], budgets: Mapping[str, Spending]
    ) -> None:
        """budgets: by the name of the key whose money they count; none for a key without a limit."""
        self._router = router
        self._providers = providers
        self._budgets = budgets

    def __call__(self, plan: RoutePlan, context: PolicyContext) -> RoutePlan:
        """The plan within the key's limits. Raises Forbidden, QuotaSpent."""
        key = context.key
        if key is None:
            return plan
        if plan.decision == PINNED:
            self._check_named(plan, key)
        return self._affordable(self._at_home(self.on_its_routes(plan, key), key), key)

    def check_provider(self, name: str, key: ApiKey | None) -> None:
        """Whether a provider may serve where nobody else could. Raises Forbidden, QuotaSpent."""
        if key is None or self._providers[name].is_local:
            return
        if not key.cloud:
            raise _forbidden(key, f"may not use the provider '{name}', which costs money")
        if self._is_spent(key):
            raise _spent(key)

    def listed(self, models: Iterable[ModelEntry], key: ApiKey | None) -> list[ModelEntry]:
        """Those of the model list that the key may name."""
        if key is None:
            return list(models)
        plans = ((entry, self._router.pin(entry[0])) for entry in models)
        return [entry for entry, plan in plans if plan is None or self._may_name(plan, key)]

    # What the client named.

    def _may_name(self, plan: RoutePlan, key: ApiKey) -> bool:
        try:
            self._check_named(plan, key)
        except Forbidden:
            return False
        return True

    def _check_named(self, plan: RoutePlan, key: ApiKey) -> None:
        if not self._may_go(plan, key):
            allowed = ", ".join(key.routes or ()) or "none"
            raise _forbidden(key, f"may not use the route '{plan.route}'; it may use {allowed}")
        usable = (self._providers[name] for name in plan.chain if not self._providers[name].disabled)
        first = next(usable, None)
        if not key.cloud and first is not None and not first.is_local:
            raise _forbidden(key, f"has no cloud, where the route '{plan.route}' leads to '{first.name}'")

    def _may_go(self, plan: RoutePlan, key: ApiKey) -> bool:
        """Whether a plan is one of the key's routes, or leads to a single provider of one of them.

        A cloud that only stands in on a route, for want of a better one, is not to be had by its name.
        """
        allowed = self._routes_of(key)
        if allowed is None or plan.route in (route.route for route in allowed):
            return True
        whole = self._router.plan_of(plan.route)
        is_single = len(plan.chain) == 1 and (whole is None or plan.chain != whole.chain)
        return is_single and any(self._is_for(route, plan.chain[0]) for route in allowed)

    def _is_for(self, route: RoutePlan, provider: str) -> bool:
        """Whether a route is there for a provider: it leads there first, or to one at home."""
        is_ours = self._providers[provider].is_local or not self._providers[route.chain[0]].is_local
        return provider in route.chain and is_ours

    def _routes_of(self, key: ApiKey) -> list[RoutePlan] | None:
        """The plans of the key's routes, None for any."""
        if key.routes is None:
            return None
        return [plan for route in key.routes if (plan := self._router.plan_of(route))]

    # What is decided.

    def on_its_routes(self, plan: RoutePlan, key: ApiKey | None) -> RoutePlan:
        """The plan if the key may go its route; else the primary's, or that of the first route it may go.

        Raises Forbidden for a key that may go none.
        """
        if key is None or plan.decision == PINNED or self._may_go(plan, key):
            return plan
        allowed = self._routes_of(key)
        if not allowed:
            raise _forbidden(key, "may not use any route")
        primary = self._router.primary
        instead = primary if self._may_go(primary, key) else allowed[0]
        return dataclasses.replace(instead, decision=plan.decision)

    def _at_home(self, plan: RoutePlan, key: ApiKey) -> RoutePlan:
        if key.cloud:
            return plan
        message, detail = f"the key '{key.name}' has no cloud", f"key {key.name} has no cloud"
        why = Unavailable(message, reason=Reason.NOT_ALLOWED, detail=detail)
        home = at_home(plan, why, router=self._router, providers=self._providers)
        if home is None:
            raise _forbidden(key, "has no cloud, and no provider at home is configured")
        return home

    def _affordable(self, plan: RoutePlan, key: ApiKey) -> RoutePlan:
        home = at_home(plan, OVER_BUDGET, router=self._router, providers=self._providers)
        if home is plan or not self._is_spent(key):
            return plan
        if home is None:
            raise _spent(key)
        return dataclasses.replace(home, budget_exhausted=True)

    def _is_spent(self, key: ApiKey) -> bool:
        budget = self._budgets.get(key.name or "")
        return budget is not None and budget.exhausted()


def _forbidden(key: ApiKey, why: str) -> Forbidden:
    return Forbidden(f"the key '{key.name}' {why}", param="model", code="key_not_allowed")


def _spent(key: ApiKey) -> QuotaSpent:
    message = f"the key '{key.name}' has spent its money, and no provider at home is configured"
    return QuotaSpent(message, code="insufficient_quota")
