"""The configured providers: which class serves a kind, and what it may be probed for."""

import pytest

import providers
from errors import ConfigError
from settings import model as config
from upstream.endpoint import DeepProbe

AT_HOME = "http://127.0.0.1:11434/v1"


def configured(tmp_path, **kinds):
    needs = {"model": "m", "base_url": AT_HOME}
    return providers.build(
        config.Config(providers={name: config.Provider(kind, **needs) for name, kind in kinds.items()}),
        tmp_path,
    )


def test_each_kind_of_the_settings_has_its_class(tmp_path):
    built = configured(tmp_path, a="openai", b="anthropic", c="mlx", d="searxng")

    assert [type(one) for one in built.values()] == [
        providers.OpenAIProvider,
        providers.AnthropicProvider,
        providers.EmbeddedProvider,
        providers.SearxngProvider,
    ]


def test_a_kind_without_a_class_is_a_mistake_that_names_its_key(tmp_path, monkeypatch):
    monkeypatch.delitem(providers.Provider.classes, "anthropic")

    with pytest.raises(ConfigError) as raised:
        configured(tmp_path, claude="anthropic")

    assert str(raised.value) == (
        "config.yaml: providers.claude.kind: nothing here serves a provider of kind 'anthropic'"
    )


@pytest.mark.parametrize(
    ("kind", "deep_probe"),
    [
        ("openai", DeepProbe.IF_OLLAMA),
        ("anthropic", DeepProbe.NEVER),
        ("mlx", DeepProbe.ALWAYS),
        ("searxng", DeepProbe.NEVER),
    ],
)
def test_only_a_model_of_the_owner_s_may_be_probed_for_a_token(tmp_path, kind, deep_probe):
    assert configured(tmp_path, one=kind)["one"].deep_probe is deep_probe


def test_an_embedded_engine_runs_eight_calls_at_once(tmp_path):
    engine = configured(tmp_path, local="mlx")["local"]

    slots = [engine.admission.try_enter() for _ in range(9)]

    assert [slot is not None for slot in slots] == [True] * 8 + [False]


def test_openai_itself_is_sent_what_it_takes_and_the_owner_has_the_last_word(tmp_path):
    chat = {"messages": [], "max_tokens": 9, "tools": [{}]}
    drop = config.Params(drop=["reasoning_effort"])

    def sent(base_url, **settings):
        given = config.Provider("openai", model="gpt-6.1-terra", base_url=base_url, **settings)
        return providers.OpenAIProvider("one", given).body(chat, stream=False)

    asked = {"messages": [], "tools": [{}], "model": "gpt-6.1-terra"}
    limited = {**asked, "max_completion_tokens": 9}
    assert sent("https://api.openai.com/v1") == {**limited, "reasoning_effort": "none"}
    assert sent("https://api.openai.com/v1", params=drop) == limited
    assert sent(AT_HOME) == {**asked, "max_tokens": 9}
