"""A kind of provider that is registered later is read, checked and named like those that are there."""

import jsonschema
import pytest
import yaml

from errors import ConfigError
from settings import schema
from settings.kinds import CHAT_SEARCH, KINDS, PAGE_SEARCH, RESPONSES_SEARCH, Capabilities, Kind
from tests.support.config_texts import OWN, load, with_provider

SHELF = '  shelf: {kind: shelf, base_url: "http://127.0.0.1:8081"}\n'


@pytest.fixture
def shelf(monkeypatch):
    """A kind of provider that only embeds."""
    kind = Kind("a shelf of books", Capabilities(chat=False, embeddings=True), needs=("base_url",))
    monkeypatch.setitem(KINDS, "shelf", kind)


def test_a_kind_registered_later_is_read_like_any_other(shelf, tmp_path):
    provider = load(tmp_path, with_provider(SHELF)).providers["shelf"]

    assert (provider.disabled, provider.is_embedded, provider.capabilities.chat) == (None, False, False)


def test_a_kind_registered_later_is_among_those_a_mistake_names(shelf, tmp_path):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, with_provider(SHELF.replace("kind: shelf", "kind: shelve")))

    mistake_text = "'shelve' is none of openai, anthropic, mlx, searxng, shelf"
    assert str(mistake.value) == f"config.yaml:9: providers.shelf.kind: {mistake_text}"


def test_a_kind_registered_later_is_one_that_editors_know(shelf):
    config = yaml.safe_load(with_provider(SHELF))

    assert list(jsonschema.Draft202012Validator(schema.schema()).iter_errors(config)) == []


@pytest.mark.parametrize(
    "text, mistake_text",
    [
        (
            with_provider(SHELF, context="shelf"),
            "21: routes.enrich.context: 'shelf' is a shelf of books and cannot search",
        ),
        (
            with_provider(SHELF).replace("chain: [near]", "chain: [near, shelf]"),
            "18: routes.primary.chain[1]: 'shelf' answers nobody",
        ),
        (
            with_provider(SHELF.replace("}", ", model: m}")),
            "9: providers.shelf.model: a shelf provider has no model to be told this",
        ),
    ],
)
def test_what_a_kind_cannot_do_is_told_by_what_it_is(shelf, tmp_path, text, mistake_text):
    with pytest.raises(ConfigError) as mistake:
        load(tmp_path, text)

    assert str(mistake.value) == f"config.yaml:{mistake_text}"


def test_a_key_for_some_kinds_names_all_of_them(monkeypatch, tmp_path):
    searches = (RESPONSES_SEARCH, CHAT_SEARCH, PAGE_SEARCH)
    monkeypatch.setitem(KINDS, "gemini", Kind("the Gemini API", Capabilities(), searches=searches))

    with pytest.raises(
        ConfigError, match="only an openai or a gemini provider can be asked in more than one"
    ):
        load(tmp_path, with_provider(OWN + ", search: chat}\n"))
    with pytest.raises(ConfigError, match="only a searxng or a gemini provider's results are read"):
        load(tmp_path, with_provider(OWN + ", pages: {count: 1}}\n"))
