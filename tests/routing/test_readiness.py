"""Who will really answer each decision, what is missing, and how to mend it."""

import pytest

import providers
from routing.policies import PolicyContext, stay_within_budget
from routing.readiness import readiness, table
from routing.router import Router
from settings import loader

HOME = {"HOME_URL": "http://192.168.1.10:8000/v1", "HOME_MODEL": "qwen"}
WELL = {"available": True, "reason": None}
DOWN = {"available": False, "reason": "connection refused"}


class Spent:
    """A budget that is spent."""

    @staticmethod
    def exhausted():
        return True


def outlook_of(folder, health=None, text="", *, budget=None, **environ):
    """{decision: Readiness} of a configuration. health: what the probes know, where it is not well."""
    (folder / "headstart.yaml").write_text(text)
    config = loader.load(environ={"HEADSTART_DATA": str(folder), **environ})
    built = providers.build(config, folder)
    known = {name: WELL for name, one in built.items() if not one.disabled} | (health or {})
    router = Router(config)

    def plan_for(decision):
        plan = router.plan_for(decision)
        if budget is None:
            return plan
        return stay_within_budget(plan, PolicyContext(), router=router, providers=built, budget=budget)

    return {one.decision: one for one in readiness(plan_for, built, known)}


def shown(outlook):
    return {decision: one.outlook for decision, one in outlook.items()}


def test_a_home_server_alone_says_what_it_goes_without(tmp_path):
    outlook = outlook_of(tmp_path, **HOME)

    assert shown(outlook) == {
        "SIMPLE": "home (qwen)",
        "MODERATE": "home (qwen)",
        "COMPLEX": "no cloud key; stays on home",
        "ENRICH": "nobody can search; answers will say so",
        "META": "home (qwen)",
    }
    assert not any(one.degraded for one in outlook.values())
    assert "XAI_API_KEY" in outlook["COMPLEX"].repair and "SEARXNG_URL" in outlook["ENRICH"].repair


def test_a_whole_set_up_misses_nothing(tmp_path):
    outlook = outlook_of(tmp_path, XAI_API_KEY="k", **HOME)

    assert shown(outlook) == {
        "SIMPLE": "home (qwen)",
        "MODERATE": "home (qwen)",
        "COMPLEX": f"xai ({outlook['COMPLEX'].model})",
        "ENRICH": "home (qwen), after a search by xai",
        "META": "home (qwen)",
    }
    assert not any(one.repair for one in outlook.values())


def test_the_demo_model_is_called_so(tmp_path):
    outlook = outlook_of(tmp_path)

    assert outlook["SIMPLE"].outlook == "local, the demo model"
    assert "HOME_URL" in outlook["SIMPLE"].repair and not outlook["SIMPLE"].degraded


def test_a_fallback_that_answers_is_a_degradation(tmp_path):
    outlook = outlook_of(tmp_path, {"home": DOWN}, XAI_API_KEY="k", **HOME)

    simple = outlook["SIMPLE"]
    assert (simple.provider, simple.first, simple.degraded) == ("xai", "home", True)
    assert simple.outlook == "home: connection refused; xai answers instead"
    assert simple.repair.endswith("or correct HOME_URL: http://192.168.1.10:8000/v1")
    assert not outlook["COMPLEX"].degraded


def test_nobody_at_all_is_said(tmp_path):
    outlook = outlook_of(tmp_path, {"home": DOWN}, **HOME)

    assert outlook["META"].outlook == "nobody can answer; home: connection refused"
    assert (outlook["META"].provider, outlook["META"].degraded) == (None, True)


def test_a_key_that_is_not_set_is_named(tmp_path):
    outlook = outlook_of(tmp_path, text="providers: {xai: {model: grok-9}}", **HOME)

    assert outlook["COMPLEX"].outlook == "xai: XAI_API_KEY is not set; home answers instead"
    assert outlook["COMPLEX"].repair == "set XAI_API_KEY in .env"
    assert outlook["ENRICH"].outlook == "xai cannot search: XAI_API_KEY is not set; answers will say so"
    assert outlook["ENRICH"].degraded


def test_a_refused_key_is_to_be_corrected(tmp_path):
    refused = {"available": False, "reason": "misconfigured: answered 401, is its key right?"}

    outlook = outlook_of(tmp_path, {"xai": refused}, XAI_API_KEY="k", **HOME)

    assert outlook["COMPLEX"].repair == "correct XAI_API_KEY in .env"


def test_a_model_that_the_server_does_not_have_is_to_be_corrected(tmp_path):
    missing = {"available": False, "reason": "has no model 'qwen'; it has gemma3:4b"}

    outlook = outlook_of(tmp_path, {"home": missing}, **HOME)

    assert outlook["SIMPLE"].outlook == "nobody can answer; home: has no model 'qwen'; it has gemma3:4b"
    assert outlook["SIMPLE"].repair == "correct HOME_MODEL in .env, or leave it out"


def test_a_spent_budget_is_a_degradation(tmp_path):
    outlook = outlook_of(tmp_path, budget=Spent(), XAI_API_KEY="k", **HOME)

    hard, current = outlook["COMPLEX"], outlook["ENRICH"]
    assert hard.outlook == "xai: the budget is spent; home answers instead"
    assert (hard.provider, hard.degraded) == ("home", True) and "budgets" in hard.repair
    assert current.outlook == "xai cannot search: the budget is spent; answers will say so"
    assert current.degraded and not outlook["SIMPLE"].degraded


def test_a_search_that_failed_is_a_degradation_until_one_works(tmp_path):
    config = loader.load(
        environ={"HEADSTART_DATA": str(tmp_path), "SEARXNG_URL": "http://127.0.0.1:8080", **HOME}
    )
    built = providers.build(config, tmp_path)

    def current():
        known = dict.fromkeys(built, WELL)
        return next(
            one for one in readiness(Router(config).plan_for, built, known) if one.decision == "ENRICH"
        )

    built["searxng"].search_trouble = "answered 403"
    failed = current()
    built["searxng"].search_trouble = None

    assert (failed.outlook, failed.degraded) == ("searxng failed to search: answered 403", True)
    assert (current().outlook, current().degraded) == ("home (qwen), after a search by searxng", False)


def test_the_demo_model_is_called_so_also_where_somebody_searches(tmp_path):
    outlook = outlook_of(tmp_path, SEARXNG_URL="http://127.0.0.1:8080")

    assert outlook["ENRICH"].outlook == "local, the demo model"


def test_the_table_has_a_line_for_each_decision_and_each_repair_once(tmp_path):
    lines = list(table(list(outlook_of(tmp_path, {"home": DOWN}, **HOME).values())))

    assert [line.split()[0] for line in lines] == ["SIMPLE", "MODERATE", "COMPLEX", "ENRICH", "META", "start"]
    assert lines[2] == "COMPLEX   -> nobody can answer; home: connection refused"


@pytest.mark.parametrize("available", [True, None])
def test_whoever_was_not_tried_yet_counts_as_able(tmp_path, available):
    outlook = outlook_of(tmp_path, {"home": {"available": available, "reason": None}}, **HOME)

    assert outlook["SIMPLE"].provider == "home"


def test_a_cloud_out_of_reach_is_not_to_be_started(tmp_path):
    outlook = outlook_of(tmp_path, {"xai": DOWN}, XAI_API_KEY="k", **HOME)

    assert outlook["COMPLEX"].repair == (
        "see whether this machine reaches the internet, and https://api.x.ai/v1 in it"
    )


def test_an_address_without_models_may_be_the_wrong_one(tmp_path):
    lost = {"available": False, "reason": "it lists no model at /v1/models, and none is named"}

    outlook = outlook_of(tmp_path, {"home": lost}, HOME_URL="http://box:1/v1")

    assert outlook["SIMPLE"].repair == "load a model there, name one, or correct HOME_URL: http://box:1/v1"


def test_what_the_file_says_is_corrected_there(tmp_path):
    text = "providers: {box: {kind: openai, home: true, base_url: 'http://box:1/v1', model: m, api_key: k}}"
    refused = {"available": False, "reason": "misconfigured: answered 401, is its key right?"}

    assert outlook_of(tmp_path, {"box": refused}, text)["SIMPLE"].repair == "correct the key of box"


def test_whoever_has_a_server_of_its_own_for_what_is_hard_misses_no_cloud(tmp_path):
    text = "routes: {cloud: {chain: [vllm, home]}}"

    outlook = outlook_of(tmp_path, None, text, VLLM_URL="http://big:1/v1", VLLM_MODEL="large", **HOME)

    assert outlook["COMPLEX"].outlook == "vllm (large)"
