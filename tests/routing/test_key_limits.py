"""What the clients of one key may name, and where what is decided for them goes."""

from types import SimpleNamespace

import pytest

from errors import Forbidden, QuotaSpent
from routing.key_limits import KeyLimits
from routing.policies import PolicyContext
from routing.router import RoutePlan
from settings.decisions import Decision
from settings.fields import altered
from settings.model import ApiKey
from tests.routing.test_policies import CLOUD, ENRICH, PRIMARY, providers, told

META = RoutePlan("meta", ("home",), 5000, decision=Decision.META)
PLANS = {plan.route: plan for plan in (PRIMARY, CLOUD, ENRICH, META)}
PINS = {
    **{name: RoutePlan(name, plan.chain, 0, context=plan.context) for name, plan in PLANS.items()},
    "h-model": RoutePlan("primary", ("home",), 0),
    "f-model": RoutePlan("cloud", ("far",), 0),
}
NOBODY_AT_HOME = {"home": {"is_local": False}, "spare": {"is_local": False}}


def key(**limits):
    return altered(ApiKey("hush", **limits), name="kids")


def limits(spent=False, **changed):
    router = SimpleNamespace(primary=PRIMARY, plan_of=PLANS.get, pin=PINS.get)
    budgets = {"kids": SimpleNamespace(exhausted=lambda: spent)}
    return KeyLimits(router, providers(**changed), budgets)


def kept(plan, of_key, **more):
    return limits(**more)(plan, PolicyContext(key=of_key))


@pytest.mark.parametrize("plan", [*PLANS.values(), *PINS.values()])
def test_a_key_without_limits_and_no_key_at_all_change_nothing(plan):
    assert kept(plan, None) is plan
    assert kept(plan, key()) is plan


# Routes.


@pytest.mark.parametrize("name", ["cloud", "enrich", "f-model"])
def test_a_route_that_the_key_may_not_go_is_refused_by_name(name):
    with pytest.raises(Forbidden) as refused:
        kept(PINS[name], key(routes=["primary", "meta"]))

    route = PINS[name].route
    assert refused.value.message == (
        f"the key 'kids' may not use the route '{route}'; it may use primary, meta"
    )


@pytest.mark.parametrize("name", ["primary", "meta", "h-model"])
def test_its_routes_may_be_named_and_their_providers(name):
    assert kept(PINS[name], key(routes=["primary", "meta"])) is PINS[name]


def test_a_provider_may_be_named_where_any_of_the_routes_has_it():
    assert kept(PINS["h-model"], key(routes=["cloud"])) is PINS["h-model"]


def test_a_cloud_that_only_stands_in_on_a_route_is_not_to_be_had_by_name(monkeypatch):
    monkeypatch.setitem(PLANS, "primary", altered(PRIMARY, chain=("home", "far")))

    with pytest.raises(Forbidden, match="may not use the route 'cloud'"):
        kept(PINS["f-model"], key(routes=["primary"]))
    assert kept(PINS["h-model"], key(routes=["primary"])) is PINS["h-model"]


def test_what_is_decided_for_another_route_falls_to_the_primary():
    plan = kept(CLOUD, key(routes=["meta", "primary"]))

    assert (plan.route, plan.chain, plan.decision) == ("primary", PRIMARY.chain, Decision.COMPLEX)


def test_or_to_the_first_of_its_routes():
    plan = kept(PRIMARY, key(routes=["meta"]))

    assert (plan.route, plan.decision) == ("meta", Decision.MODERATE)


def test_a_key_without_any_route_is_refused():
    with pytest.raises(Forbidden, match="the key 'kids' may not use any route"):
        kept(PRIMARY, key(routes=[]))


# No cloud.


@pytest.mark.parametrize("name", ["cloud", "f-model"])
def test_a_cloud_route_or_provider_is_refused_by_name_to_a_key_without_cloud(name):
    with pytest.raises(Forbidden) as refused:
        kept(PINS[name], key(cloud=False))

    assert refused.value.message == ("the key 'kids' has no cloud, where the route 'cloud' leads to 'far'")


def test_a_cloud_route_may_be_named_where_its_cloud_is_not_configured():
    plan = kept(PINS["cloud"], key(cloud=False), far={"disabled": "no key"})

    assert plan.chain[-1] == "home"


def test_what_is_decided_for_the_cloud_is_answered_at_home():
    plan = kept(CLOUD, key(cloud=False))

    assert (plan.route, plan.chain, plan.budget_exhausted) == ("cloud", ("far", "home"), False)
    assert told(plan) == {"far": "not_allowed"}


@pytest.mark.parametrize("plan", [ENRICH, PINS["enrich"]])
def test_a_search_in_the_cloud_is_left_out(plan):
    assert told(kept(plan, key(cloud=False))) == {"far": "not_allowed"}


def test_where_nobody_is_at_home_a_key_without_cloud_is_refused():
    with pytest.raises(Forbidden, match="no provider at home is configured"):
        kept(PRIMARY, key(cloud=False), **NOBODY_AT_HOME)


# Money.


@pytest.mark.parametrize("plan", [CLOUD, PINS["cloud"]])
def test_a_key_that_has_spent_its_money_is_answered_at_home_and_told_so(plan):
    plan = kept(plan, key(daily_usd=0.2), spent=True)

    assert (told(plan), plan.budget_exhausted) == ({"far": "over_budget"}, True)


def test_where_nobody_is_at_home_a_spent_key_gets_no_answer():
    with pytest.raises(QuotaSpent, match="the key 'kids' has spent its money"):
        kept(CLOUD, key(daily_usd=0.2), spent=True, **NOBODY_AT_HOME)


def test_what_costs_nothing_is_not_touched_by_a_spent_key():
    assert kept(PRIMARY, key(daily_usd=0.2), spent=True) is PRIMARY


# A single provider, and the model list.


def test_a_provider_that_nobody_can_stand_in_for_is_checked_by_itself():
    limits().check_provider("far", None)
    limits().check_provider("far", key())
    limits(spent=True).check_provider("home", key(cloud=False))
    with pytest.raises(Forbidden, match="'kids' may not use the provider 'far'"):
        limits().check_provider("far", key(cloud=False))
    with pytest.raises(QuotaSpent):
        limits(spent=True).check_provider("far", key())


@pytest.mark.parametrize(
    "of_key, listed",
    [
        (None, ["auto", *PINS]),
        (key(), ["auto", *PINS]),
        (key(cloud=False), ["auto", "primary", "enrich", "meta", "h-model"]),
        (key(routes=["meta"]), ["auto", "meta", "h-model"]),
    ],
)
def test_the_model_list_has_what_the_key_may_name(of_key, listed):
    models = [(name, "headstart", None) for name in ("auto", *PINS)]

    assert [name for name, *_ in limits().listed(models, of_key)] == listed
