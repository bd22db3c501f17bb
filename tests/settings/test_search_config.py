"""What an enrichment may search with: which keys belong to which kind, and where engines cannot stand."""

import pytest

from errors import ConfigError
from settings.model import Pages
from tests.support.config_texts import FINDER, OWN, load, with_provider


def test_a_search_engine_needs_an_address_and_no_model(tmp_path):
    settings = load(tmp_path, with_provider(FINDER, context="finder")).providers["finder"]

    assert settings.disabled is None
    assert (settings.health_path, settings.pages) == (
        "/healthz",
        Pages(count=5, fetch_s=5.0, max_kb=512, allow_private=False),
    )


def test_a_search_engine_without_address_is_disabled(tmp_path):
    settings = load(
        tmp_path, with_provider('  finder: {kind: searxng, base_url: "${SEARXNG_URL:-}"}\n', context="finder")
    ).providers["finder"]

    assert settings.disabled == "SEARXNG_URL is not set"


def test_an_openai_provider_is_asked_over_responses_unless_told_otherwise(tmp_path):
    text = with_provider(
        '  sonar: {kind: openai, base_url: "https://s.example", model: sonar, search: chat}\n',
        context="sonar",
    )

    providers = load(tmp_path, text).providers

    assert (providers["sonar"].search, providers["far"].search) == ("chat", "responses")


def test_what_only_says_the_default_may_stand_anywhere(tmp_path):
    plain = "search: responses, pages: {count: 5, fetch_s: 5.0, max_kb: 512, allow_private: false}"
    text = with_provider(
        f"  own: {{kind: mlx, model: builtin, {plain}}}\n",
        FINDER.replace("}", f", model: '', extra_body: {{}}, {plain}}}"),
    )

    assert load(tmp_path, text).providers["finder"].disabled is None


MISTAKES = {
    "a chain": (
        with_provider(FINDER).replace("chain: [near]", "chain: [near, finder]"),
        "18: routes.primary.chain[1]: 'finder' searches and answers nobody",
    ),
    "a rule": (
        with_provider(FINDER) + "models:\n  - {exact: x, provider: finder}\n",
        "24: models[0].provider: 'finder' searches and answers nobody",
    ),
    "a context that cannot search": (
        with_provider(OWN + "}\n", context="own"),
        "21: routes.enrich.context: 'own' is an embedded model and cannot search",
    ),
    "pages of another kind": (
        with_provider(OWN + ", pages: {allow_private: true}}\n"),
        "9: providers.own.pages: only a searxng provider's results are read",
    ),
    "another way to ask": (
        with_provider(OWN + ", search: chat}\n"),
        "9: providers.own.search: only an openai provider can be asked in more than one way",
    ),
    "a kind nobody knows": (
        with_provider('  s: {kind: opnai, base_url: "http://s", model: m}\n'),
        "9: providers.s.kind: 'opnai' is none of openai, anthropic, mlx, searxng",
    ),
    "a way nobody knows": (
        with_provider('  s: {kind: openai, base_url: "http://s", model: m, search: tools}\n'),
        "9: providers.s.search: 'tools' is none of responses, chat",
    ),
    "no results at all": (
        with_provider(FINDER.replace("}", ", pages: {count: 0}}")),
        "9: providers.finder.pages.count: 0 is less than 1",
    ),
    "all the web": (
        with_provider(FINDER.replace("}", ", pages: {count: 21}}")),
        "9: providers.finder.pages.count: 21 is more than 20",
    ),
    "no time": (
        with_provider(FINDER.replace("}", ", pages: {fetch_s: 0}}")),
        "9: providers.finder.pages.fetch_s: 0.0 is less than 0.1",
    ),
    "more time than a search has": (
        with_provider(FINDER.replace("}", ", pages: {fetch_s: 61}}")),
        "9: providers.finder.pages.fetch_s: 61.0 is more than 60.0",
    ),
    "a slip": (
        with_provider(FINDER.replace("}", ", pages: {allow_privat: true}}")),
        "9: providers.finder.pages.allow_privat: unknown key, did you mean allow_private?",
    ),
} | {
    f"{key} for a search engine": (
        with_provider(FINDER.replace("}", f", {key}: {value}}}")),
        f"9: providers.finder.{key}: a searxng provider has no model to be told this",
    )
    for key, value in {
        "model": "m",
        "extra_body": "{a: 1}",
        "params": "{set: {a: 1}}",
        "prices": "{input: 1, output: 1}",
        "embeddings": "true",
    }.items()
}


@pytest.mark.parametrize("text, told", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_its_line_and_key(tmp_path, text, told):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{told}"
