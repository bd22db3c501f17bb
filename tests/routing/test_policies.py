"""Policies on a plan: who stays, what is affordable, who is able."""

from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import pytest

from errors import BadRequest, Unavailable
from routing.affinity import Conversation, Target
from routing.decision import Verdict
from routing.policies import (
    PolicyContext,
    apply,
    pass_over_the_unable,
    stay_with_target,
    stay_within_budget,
)
from routing.router import RoutePlan
from settings.decisions import Decision
from settings.kinds import Capabilities
from wire.native import Native
from wire.needs import Needs

PRIMARY = RoutePlan("primary", ("home", "spare"), 5000, decision=Decision.MODERATE)
CLOUD = RoutePlan("cloud", ("far", "home"), 30_000, decision=Decision.COMPLEX)
ENRICH = RoutePlan("enrich", ("home", "spare"), 60_000, decision=Decision.ENRICH, context="far")
ROUTER = SimpleNamespace(primary=PRIMARY, plan_of={"primary": PRIMARY, "cloud": CLOUD, "enrich": ENRICH}.get)
UNSURE = Verdict(Decision.COMPLEX, 0.6, {}, None, "mlx")
SURE = Verdict(Decision.COMPLEX, 0.97, {}, None, "mlx")


@dataclass
class FakeProvider:
    name: str
    is_local: bool = True
    disabled: str | None = None
    available: bool = True
    apis: tuple = ()
    capabilities: Capabilities = field(default_factory=lambda: Capabilities(completions=True))
    drops: tuple = ()

    @property
    def settings(self):
        return SimpleNamespace(params=SimpleNamespace(drop=self.drops))

    @property
    def breaker(self):
        return SimpleNamespace(available=self.available)

    def speaks(self, api):
        return api in self.apis


def providers(**changed):
    known = {
        "home": FakeProvider("home"),
        "spare": FakeProvider("spare"),
        "far": FakeProvider("far", is_local=False),
    }
    for name, changes in changed.items():
        vars(known[name]).update(changes)
    return known


def follow_up(route="primary", provider="spare"):
    return Conversation(b"", "first turn", Target(route, provider), is_follow_up=True)


def stayed(plan, context, **changed):
    return stay_with_target(plan, context, router=ROUTER, providers=providers(**changed))


def test_a_short_follow_up_stays_with_the_target_that_the_plan_does_not_have():
    plan = stayed(CLOUD, PolicyContext(conversation=follow_up(), verdict=UNSURE))

    assert (plan.route, plan.chain, plan.stayed) == ("primary", PRIMARY.chain, True)
    assert plan.decision == Decision.COMPLEX  # which is what was decided


@pytest.mark.parametrize(
    "context, changed",
    [
        (PolicyContext(), {}),
        (PolicyContext(conversation=follow_up()), {}),
        (PolicyContext(verdict=UNSURE), {}),
        (PolicyContext(conversation=follow_up(), verdict=SURE), {}),
        (PolicyContext(conversation=follow_up(provider="home"), verdict=UNSURE), {}),
        (PolicyContext(conversation=follow_up(route="gone"), verdict=UNSURE), {}),
        (PolicyContext(conversation=follow_up(provider="gone"), verdict=UNSURE), {}),
        (PolicyContext(conversation=follow_up(), verdict=UNSURE), {"spare": {"disabled": "no key"}}),
        (PolicyContext(conversation=follow_up(), verdict=UNSURE), {"spare": {"available": False}}),
    ],
    ids=[
        "no conversation",
        "no verdict",
        "a first turn",
        "a clear verdict",
        "a target in the chain",
        "a route that is gone",
        "a provider that is gone",
        "a disabled one",
        "one that rests",
    ],
)
def test_else_the_plan_stays_as_it_is(context, changed):
    assert stayed(CLOUD, context, **changed) is CLOUD


def within_budget(plan, exhausted=True, **changed):
    budget = SimpleNamespace(exhausted=lambda: exhausted)
    return stay_within_budget(
        plan, PolicyContext(), router=ROUTER, providers=providers(**changed), budget=budget
    )


def told(plan):
    """Who is passed over, and why."""
    return {name: str(error.reason) for name, error in plan.passed_over.items()}


def test_a_spent_budget_leaves_the_local_providers_of_the_chain():
    plan = within_budget(CLOUD)

    assert (plan.route, plan.chain, plan.budget_exhausted) == ("cloud", ("far", "home"), True)
    assert told(plan) == {"far": "over_budget"}


def test_where_nobody_of_the_chain_is_local_the_primary_answers():
    plan = within_budget(CLOUD, home={"is_local": False})

    assert plan.chain == ("far", "home", "spare")
    assert told(plan) == {"far": "over_budget", "home": "over_budget"}


def test_a_search_that_costs_money_is_left_out():
    plan = within_budget(ENRICH)

    assert (plan.chain, plan.budget_exhausted) == (("home", "spare"), True)
    assert told(plan) == {"far": "over_budget"}  # who would have searched


@pytest.mark.parametrize(
    "plan, exhausted, changed",
    [
        (CLOUD, False, {}),
        (PRIMARY, True, {}),
        (CLOUD, True, {"home": {"is_local": False}, "spare": {"is_local": False}}),
        (CLOUD, True, {"far": {"disabled": "no key"}}),
    ],
    ids=["money is left", "nobody costs any", "nobody is local", "who costs money is disabled"],
)
def test_else_the_budget_changes_nothing(plan, exhausted, changed):
    assert within_budget(plan, exhausted, **changed) is plan


def able(plan, needs=None, needs_completions=False, **changed):
    """The plan after the policy. changed: what each provider can do, or more about it."""
    changes = {
        name: {"capabilities": can} if isinstance(can, Capabilities) else can for name, can in changed.items()
    }
    context = PolicyContext(needs=needs or Needs(), needs_completions=needs_completions)
    return pass_over_the_unable(plan, context, providers=providers(**changes))


PICTURE, SOUND = Needs(pictures=True), Needs(audio=True)
OFFERED, USED = Needs(offers_tools=True), Needs(offers_tools=True, uses_tools=True)
BLIND, DEAF, TOOLLESS = Capabilities(vision=False), Capabilities(audio=False), Capabilities(tools=False)
LONG = Needs(chars=6 * 9000)


def short(tokens):
    return Capabilities(context_length=tokens)


@pytest.mark.parametrize(
    "needs, can, reason",
    [
        (PICTURE, BLIND, "no_vision"),
        (SOUND, DEAF, "no_audio"),
        (USED, TOOLLESS, "no_tools"),
        (LONG, short(8192), "context_too_long"),
    ],
)
def test_who_is_known_not_to_be_able_is_passed_over(needs, can, reason):
    plan = able(CLOUD, needs, far=can)

    assert (plan.chain, told(plan)) == (CLOUD.chain, {"far": reason})


@pytest.mark.parametrize(
    "needs, can",
    [
        (PICTURE, Capabilities()),
        (PICTURE, Capabilities(vision=True, audio=False, tools=False, context_length=1)),
        (SOUND, BLIND),
        (Needs(), Capabilities(vision=False, audio=False, tools=False)),
        (LONG, short(9000)),
        (LONG, short(None)),
    ],
)
def test_who_may_be_able_is_asked(needs, can):
    assert able(CLOUD, needs, far=can) is CLOUD


def test_who_has_no_completions_is_passed_over_unless_nobody_has():
    some = able(PRIMARY, needs_completions=True, home=Capabilities())
    none = able(PRIMARY, needs_completions=True, home=Capabilities(), spare=Capabilities())

    assert told(some) == {"home": "no_completions"}
    assert told(none) == {"spare": "no_completions"}  # the first one is asked and says why


def test_where_all_are_too_short_the_longest_is_asked():
    plan = able(CLOUD, LONG, far=short(4096), home=short(8192))

    assert told(plan) == {"far": "context_too_long"}


def test_where_nobody_can_see_nobody_is_asked():
    assert told(able(CLOUD, PICTURE, far=BLIND, home=BLIND)) == {"far": "no_vision", "home": "no_vision"}


def test_who_is_disabled_is_no_hope():
    plan = able(CLOUD, LONG, far={"disabled": "no key"}, home=short(8192))

    assert plan.passed_over == {}  # the only one there is


def test_who_is_passed_over_already_is_no_hope_and_stays_so():
    spent = within_budget(CLOUD)
    context = PolicyContext(needs=PICTURE)

    plan = pass_over_the_unable(spent, context, providers=providers(home={"capabilities": BLIND}))

    assert told(plan) == {"far": "over_budget", "home": "no_vision"}


@pytest.mark.parametrize("needs", [PICTURE, SOUND, USED, LONG])
def test_who_was_named_is_asked_whatever_it_can_do(needs):
    plan = RoutePlan("primary", ("home",), 0, to_provider=True)
    nothing = Capabilities(vision=False, audio=False, tools=False, context_length=1)

    assert able(plan, needs, home=nothing) is plan


def test_tools_that_are_only_offered_do_not_send_a_chat_to_the_cloud():
    plan = replace(CLOUD, chain=("home", "far"))

    assert able(plan, OFFERED, home=TOOLLESS) is plan
    assert told(able(plan, USED, home=TOOLLESS)) == {"home": "no_tools"}


def test_another_local_provider_with_tools_is_asked_instead():
    assert told(able(PRIMARY, OFFERED, home=TOOLLESS)) == {"home": "no_tools"}
    assert able(PRIMARY, OFFERED, home=TOOLLESS, spare=TOOLLESS) is PRIMARY
    assert able(PRIMARY, OFFERED, home=TOOLLESS, spare={"available": False}) is PRIMARY


def test_who_is_sent_no_tools_needs_none():
    assert able(PRIMARY, USED, home={"capabilities": TOOLLESS, "drops": ("tools",)}) is PRIMARY


def test_what_chat_completions_cannot_say_is_for_providers_of_the_same_api():
    refusal = BadRequest("only there")
    context = PolicyContext(native=Native("messages", {}, refusal=refusal))

    plan = pass_over_the_unable(PRIMARY, context, providers=providers(spare={"apis": ("messages",)}))

    assert (plan.chain, plan.passed_over) == (PRIMARY.chain, {"home": refusal})


def test_who_was_passed_over_before_is_not_called_for_being_able():
    spent, refusal = Unavailable("too dear"), BadRequest("only there")
    plan = replace(PRIMARY, passed_over={"spare": spent})
    context = PolicyContext(native=Native("messages", {}, refusal=refusal))

    plan = pass_over_the_unable(plan, context, providers=providers(spare={"apis": ("messages",)}))

    assert plan.passed_over == {"home": refusal, "spare": spent}


def test_what_chat_completions_can_say_is_for_everybody():
    context = PolicyContext(native=Native("messages", {}))

    assert pass_over_the_unable(PRIMARY, context, providers=providers()) is PRIMARY


def test_policies_apply_in_their_order():
    def first(plan, context):
        return RoutePlan("first", plan.chain, 0)

    def second(plan, context):
        return RoutePlan(plan.route + " second", plan.chain, 0)

    assert apply([first, second], PRIMARY, PolicyContext()).route == "first second"
