"""What calls cost: by the owner's prices, by a provider's charge, by the list; how vendors count tokens."""

from dataclasses import dataclass

import genai_prices
import pytest

from accounting import prices
from settings.model import Provider
from wire import usage as usages


@dataclass(frozen=True)
class Prices:
    """The section `prices` of a provider."""

    input: float
    output: float
    cached_input: float | None = None


def provider(base_url="https://api.openai.com/v1", model="gpt-5", kind="openai", owner=None):
    return Provider(kind=kind, model=model, base_url=base_url, prices=owner)


def cost(usage, **settings):
    asked = provider(**settings)
    return prices.cost_usd(asked, asked.model, usages.parse_usage(usage))


THOUSAND_AND_HUNDRED = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}


# Tokens.


def test_openai_counts_reasoning_within_the_completion():
    usage = usages.parse_usage(
        {
            "prompt_tokens": 100,
            "completion_tokens": 50,
            "total_tokens": 150,
            "prompt_tokens_details": {"cached_tokens": 64},
            "completion_tokens_details": {"reasoning_tokens": 40},
        }
    )

    assert usage == usages.Usage(input_tokens=100, cached_tokens=64, output_tokens=50, reasoning_tokens=40)


def test_xai_counts_reasoning_beside_the_completion_and_within_the_total():
    usage = usages.parse_usage(
        {
            "prompt_tokens": 279,
            "completion_tokens": 6,
            "total_tokens": 374,
            "completion_tokens_details": {"reasoning_tokens": 89},
        }
    )

    assert usage == usages.Usage(input_tokens=279, output_tokens=95, reasoning_tokens=89)


def test_thoughts_that_only_the_total_tells_of_are_output():
    assert (
        usages.parse_usage({"prompt_tokens": 20, "completion_tokens": 198, "total_tokens": 623}).output_tokens
        == 603
    )


def test_anthropics_input_leaves_out_what_touched_the_cache():
    usage = usages.parse_usage(
        {
            "input_tokens": 50,
            "cache_read_input_tokens": 1000,
            "cache_creation_input_tokens": 200,
            "output_tokens": 30,
        }
    )

    assert usage == usages.Usage(
        input_tokens=1250, cached_tokens=1000, cache_write_tokens=200, output_tokens=30
    )


def test_the_responses_api_names_its_tokens_otherwise():
    usage = usages.parse_usage(
        {
            "input_tokens": 125,
            "output_tokens": 48,
            "total_tokens": 173,
            "input_tokens_details": {"cached_tokens": 98},
            "output_tokens_details": {"reasoning_tokens": 8},
        }
    )

    assert usage == usages.Usage(input_tokens=125, cached_tokens=98, output_tokens=48, reasoning_tokens=8)


def test_vllm_says_null_where_it_has_no_details():
    usage = usages.parse_usage(
        {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": None}
    )

    assert usage == usages.Usage(input_tokens=7, output_tokens=3)


@pytest.mark.parametrize("usage", [None, {}, [], "many", {"queue_time": 0.1}])
def test_a_usage_that_says_nothing_is_none(usage):
    assert usages.parse_usage(usage) is None


@pytest.mark.parametrize(
    "nonsense", [-5, "12", None, True, float("nan"), float("inf"), 10**30, [1], {"a": 1}]
)
def test_a_count_that_is_none_counts_as_nothing(nonsense):
    told = {
        "prompt_tokens": nonsense,
        "completion_tokens": 3,
        "total_tokens": nonsense,
        "prompt_tokens_details": {"cached_tokens": nonsense},
    }

    assert usages.parse_usage(told) == usages.Usage(output_tokens=3)


def test_more_cached_than_sent_is_all_of_it_cached():
    assert (
        usages.parse_usage(
            {"prompt_tokens": 10, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 99}}
        ).cached_tokens
        == 10
    )


def test_a_call_that_was_cut_is_estimated_by_its_text_and_what_arrived():
    body = {
        "messages": [
            {"role": "user", "content": "x" * 400},
            {"role": "user", "content": [{"type": "text", "text": "y" * 10}]},
        ]
    }

    assert usages.estimate_usage(body, 7) == usages.Usage(input_tokens=103, output_tokens=7, estimated=True)


def test_a_cut_completion_is_estimated_by_its_prompt():
    assert usages.estimate_usage({"prompt": "x" * 40}, 0).input_tokens == 10
    assert usages.estimate_usage({"input": ["x" * 40, "y" * 4]}, 0).input_tokens == 11


# Prices.


def test_the_price_list_prices_a_known_model():
    listed = genai_prices.calc_price(
        genai_prices.Usage(input_tokens=1000, output_tokens=100), "gpt-5", provider_id="openai"
    ).total_price

    assert cost(THOUSAND_AND_HUNDRED) == float(listed) > 0


def test_cached_tokens_are_cheaper_by_the_price_list():
    cached = {**THOUSAND_AND_HUNDRED, "prompt_tokens_details": {"cached_tokens": 1000}}

    assert 0 < cost(cached) < cost(THOUSAND_AND_HUNDRED)


def test_writing_anthropics_cache_costs_more_than_reading_it():
    claude = {"base_url": "https://api.anthropic.com/v1", "model": "claude-sonnet-4-5"}

    read = cost({"input_tokens": 0, "cache_read_input_tokens": 1000, "output_tokens": 0}, **claude)
    fresh = cost({"input_tokens": 1000, "output_tokens": 0}, **claude)
    written = cost({"input_tokens": 0, "cache_creation_input_tokens": 1000, "output_tokens": 0}, **claude)

    assert 0 < read < fresh < written


def test_xais_reasoning_is_paid_as_output():
    beside = {
        "prompt_tokens": 1000,
        "completion_tokens": 10,
        "total_tokens": 1110,
        "completion_tokens_details": {"reasoning_tokens": 100},
    }
    within = {**beside, "completion_tokens": 110}

    assert cost(beside, owner=Prices(2.0, 10.0)) == cost(within, owner=Prices(2.0, 10.0)) == 0.0031


def test_a_charge_that_the_provider_names_beats_the_price_list():
    grok = {"base_url": "https://api.x.ai/v1", "model": "grok-4-1-fast-reasoning"}

    assert cost({**THOUSAND_AND_HUNDRED, "cost_in_usd_ticks": 37756000}, **grok) == 0.0037756


def test_openrouters_charge_is_taken_for_a_model_that_no_list_knows():
    assert (
        cost(
            {**THOUSAND_AND_HUNDRED, "cost": 0.95},
            base_url="https://openrouter.ai/api/v1",
            model="some/new-model",
        )
        == 0.95
    )


def test_openrouters_fee_alone_is_not_the_price_where_the_owner_brings_a_key():
    usage = {**THOUSAND_AND_HUNDRED, "cost": 0.0001, "is_byok": True}

    assert cost(usage, base_url="https://openrouter.ai/api/v1", model="openai/gpt-5") > 0.001


def test_the_owners_prices_beat_everything():
    usage = {**THOUSAND_AND_HUNDRED, "cost": 5.0}

    assert cost(usage, owner=Prices(2.0, 10.0)) == 0.003


def test_the_owners_price_for_cached_tokens_is_for_those_alone():
    usage = {**THOUSAND_AND_HUNDRED, "prompt_tokens_details": {"cached_tokens": 400}}

    assert cost(usage, owner=Prices(2.0, 10.0, cached_input=0.5)) == 0.0024


def test_prices_are_exact_to_the_tenth_digit():
    assert cost({"prompt_tokens": 3, "completion_tokens": 0}, owner=Prices(0.1, 0.1)) == 0.0000003


def test_a_model_that_the_list_does_not_know_is_null():
    assert cost(THOUSAND_AND_HUNDRED, model="gpt-of-tomorrow") is None


def test_a_cloud_that_the_list_does_not_know_is_null():
    assert cost(THOUSAND_AND_HUNDRED, base_url="https://llm.example.com/v1") is None


def test_a_model_that_is_listed_without_a_price_for_text_is_null():
    assert cost(THOUSAND_AND_HUNDRED, model="whisper-1") is None


def test_a_model_that_is_listed_without_any_price_is_null():
    assert (
        cost(THOUSAND_AND_HUNDRED, base_url="https://api.cerebras.ai/v1", model="qwen-3-coder-480b") is None
    )


def test_a_free_model_is_free():
    assert (
        cost(
            THOUSAND_AND_HUNDRED,
            base_url="https://openrouter.ai/api/v1",
            model="meta-llama/llama-3.3-70b-instruct:free",
        )
        == 0.0
    )


def test_a_call_that_used_nothing_cost_nothing_whatever_the_price():
    assert prices.cost_usd(provider(model="gpt-of-tomorrow"), "gpt-of-tomorrow", usages.Usage()) == 0.0


def test_a_call_without_usage_is_null():
    assert prices.cost_usd(provider(), "gpt-5", None) is None


@pytest.mark.parametrize(
    "base_url",
    [
        "http://127.0.0.1:8000/v1",
        "http://[::1]:8000/v1",
        "http://192.168.1.20:11434/v1",
        "http://10.1.2.3/v1",
        "http://100.100.1.1:8000/v1",  # Tailscale
        "http://[fd00::2]:8000/v1",
        "http://localhost:8000/v1",
        "http://ollama:11434/v1",
        "http://nas.local:11434/v1",
        "http://gpu.home.arpa/v1",
    ],
)
def test_a_private_address_costs_nothing(base_url):
    assert provider(base_url=base_url).is_home
    assert cost(THOUSAND_AND_HUNDRED, base_url=base_url) == 0.0


@pytest.mark.parametrize(
    "base_url",
    [
        "https://api.x.ai/v1",
        "http://8.8.8.8/v1",
        "http://172.32.0.1/v1",
        "https://mylocal.example.com/v1",
        "",
    ],
)
def test_a_public_address_is_not_local(base_url):
    assert not provider(base_url=base_url).is_home


def test_an_embedded_model_costs_nothing():
    assert cost(THOUSAND_AND_HUNDRED, kind="mlx", base_url="", model="builtin") == 0.0


def test_a_private_address_that_the_owner_priced_costs_what_the_owner_says():
    assert cost(THOUSAND_AND_HUNDRED, base_url="http://127.0.0.1:4000/v1", owner=Prices(1.0, 1.0)) == 0.0011
    assert not provider(base_url="http://127.0.0.1:4000/v1", owner=Prices(1.0, 1.0)).is_home
