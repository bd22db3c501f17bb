"""The lists of models as vLLM, Ollama, LM Studio, llama.cpp and OpenRouter send them.

The answers have the shapes of their documentation and source of 2026, shortened: vLLM's ModelCard
(entrypoints/openai/engine/protocol.py), Ollama's api/types.go, LM Studio's REST pages, llama.cpp's
tools/server/README.md, openrouter.ai/docs/models.
"""

import pytest

from wire import model_lists
from wire.model_lists import ListedModel

VLLM = {
    "object": "list",
    "data": [
        {
            "id": "Qwen/Qwen3-32B",
            "object": "model",
            "created": 1763700000,
            "owned_by": "vllm",
            "root": "Qwen/Qwen3-32B",
            "parent": None,
            "max_model_len": 40960,
            "permission": [{"id": "modelperm-1"}],
        },
        {"id": "sql-lora", "object": "model", "owned_by": "vllm", "parent": "Qwen/Qwen3-32B"},
    ],
}
LLAMACPP = {
    "object": "list",
    "data": [
        {
            "id": "qwen3-8b.gguf",
            "object": "model",
            "architecture": {"input_modalities": ["text", "image"], "output_modalities": ["text"]},
            "created": 1735142223,
            "owned_by": "llamacpp",
            "meta": {"vocab_type": 2, "n_ctx_train": 131072, "n_params": 8030261312},
        }
    ],
}
ROUTER = {
    "object": "list",
    "data": [
        {"id": "gemma", "object": "model", "owned_by": "llamacpp", "status": {"value": "unloaded"}},
        {
            "id": "qwen",
            "object": "model",
            "owned_by": "llamacpp",
            "status": {"value": "loaded", "args": ["llama-server"]},
            "meta": {"n_ctx": 32768, "n_ctx_train": 262144},
        },
    ],
}
OPENROUTER = {
    "data": [
        {
            "id": "anthropic/claude-sonnet-4.5",
            "context_length": 1000000,
            "architecture": {"modality": "text+image->text", "input_modalities": ["text", "image", "file"]},
            "top_provider": {"context_length": 200000, "max_completion_tokens": 64000},
            "supported_parameters": ["max_tokens", "tools", "tool_choice"],
        }
    ]
}
TAGS = {
    "models": [
        {
            "name": "nomic-embed-text:latest",
            "model": "nomic-embed-text:latest",
            "size": 274302450,
            "capabilities": ["embedding"],
        },
        {
            "name": "gpt-oss:120b-cloud",
            "model": "gpt-oss:120b-cloud",
            "remote_model": "gpt-oss:120b",
            "remote_host": "https://ollama.com:443",
            "capabilities": ["completion", "tools", "thinking"],
        },
        {
            "name": "gemma3:4b",
            "model": "gemma3:4b",
            "size": 3338801804,
            "digest": "a2af6cc3eb7f",
            "details": {"family": "gemma3"},
            "capabilities": ["completion", "vision"],
        },
    ]
}
SHOW = {
    "parameters": 'temperature                    1\nnum_ctx                        8192\nstop  "<end>"',
    "details": {"family": "gemma3"},
    "model_info": {"general.architecture": "gemma3", "gemma3.context_length": 131072},
    "capabilities": ["completion", "vision"],
}
LMSTUDIO = {
    "object": "list",
    "data": [
        {
            "id": "text-embedding-nomic-embed-text-v1.5",
            "object": "model",
            "type": "embeddings",
            "state": "not-loaded",
            "max_context_length": 2048,
        },
        {
            "id": "qwen2-vl-7b-instruct",
            "object": "model",
            "type": "vlm",
            "arch": "qwen2_vl",
            "state": "not-loaded",
            "max_context_length": 32768,
        },
        {
            "id": "qwen3-8b",
            "object": "model",
            "type": "llm",
            "state": "loaded",
            "max_context_length": 40960,
            "loaded_context_length": 8192,
            "capabilities": ["tool_use"],
        },
    ],
}
PROPS = {
    "default_generation_settings": {"id": 0, "n_ctx": 16384, "params": {"n_predict": -1}},
    "total_slots": 4,
    "model_path": "/models/qwen3-8b.gguf",
    "chat_template": "...",
    "chat_template_caps": {"supports_tools": True, "supports_tool_calls": True},
    "modalities": {"vision": True, "audio": False},
    "build_info": "b9999-abcdef",
}
UNEXPECTED = {"error": "Unexpected endpoint or method. (GET /api/version)"}  # LM Studio, with status 200


def test_vllm_tells_how_long_a_request_may_be_and_which_models_are_adapters():
    assert model_lists.openai_models(VLLM) == (
        ListedModel("Qwen/Qwen3-32B", context_length=40960),
        ListedModel("sql-lora", is_adapter=True),
    )
    assert model_lists.owner_of(VLLM) == "vllm"


def test_llama_cpp_tells_what_its_model_takes():
    [model] = model_lists.openai_models(LLAMACPP)

    assert model == ListedModel("qwen3-8b.gguf", context_length=131072, vision=True, audio=False)
    assert model_lists.llamacpp_props("qwen3-8b.gguf", PROPS) == ListedModel(
        "qwen3-8b.gguf", context_length=16384, vision=True, audio=False, tools=True
    )


def test_a_router_of_llama_cpp_tells_which_model_is_in_memory():
    assert model_lists.openai_models(ROUTER) == (
        ListedModel("gemma", loaded=False),
        ListedModel("qwen", loaded=True, context_length=32768),
    )


def test_openrouter_tells_what_the_one_who_serves_a_model_takes():
    assert model_lists.openai_models(OPENROUTER) == (
        ListedModel("anthropic/claude-sonnet-4.5", 200000, vision=True, audio=False, tools=True),
    )


def test_ollama_tells_what_its_models_can_do_and_which_it_only_relays():
    embedding, relayed, gemma = model_lists.ollama_models(TAGS)

    assert (embedding.chats, relayed.is_relayed) == (False, True)
    assert gemma == ListedModel("gemma3:4b", vision=True, audio=False, tools=False, chats=True)


def test_an_ollama_that_does_not_tell_abilities_leaves_them_open():
    assert model_lists.ollama_models({"models": [{"name": "llama3:latest"}]}) == (
        ListedModel("llama3:latest"),
    )


def test_ollamas_own_context_length_of_a_model_comes_before_what_it_was_trained_for():
    shown = model_lists.ollama_shown("gemma3:4b", SHOW)

    assert (shown.context_length, shown.vision, shown.tools) == (8192, True, False)
    assert model_lists.ollama_shown("m", {**SHOW, "parameters": ""}).context_length == 131072


def test_ollama_tells_with_which_context_length_a_model_is_in_memory():
    ps = {"models": [{"name": "gemma3:4b", "model": "gemma3:4b", "context_length": 4096}, {"name": "old:1b"}]}

    assert model_lists.ollama_loaded(ps) == {"gemma3:4b": 4096, "old:1b": None}


def test_lm_studio_tells_kind_state_and_the_context_length_in_use():
    embedding, vision, loaded = model_lists.lmstudio_models(LMSTUDIO)

    assert embedding.chats is False
    assert vision == ListedModel("qwen2-vl-7b-instruct", 32768, vision=True, loaded=False, chats=True)
    assert loaded == ListedModel("qwen3-8b", 8192, vision=False, tools=True, loaded=True, chats=True)


@pytest.mark.parametrize(
    "answer", [UNEXPECTED, None, [], "models", {"data": {}}, {"data": None}, {"models": 3}]
)
def test_what_is_no_list_is_none(answer):
    assert not model_lists.is_ollama(answer)
    for parse in (model_lists.openai_models, model_lists.ollama_models, model_lists.lmstudio_models):
        assert parse(answer) is None


def test_the_list_of_the_openai_api_is_none_of_lm_studios():
    assert model_lists.lmstudio_models(VLLM) is None


@pytest.mark.parametrize(
    "entry",
    [{}, {"id": 7}, {"id": ""}, {"id": "x" * 201}, {"id": "a\nb"}, "text", None],
    ids=["none", "number", "empty", "long", "line", "text", "null"],
)
def test_an_entry_without_a_usable_name_is_left_out(entry):
    assert model_lists.openai_models({"data": [entry, {"id": "m"}]}) == (ListedModel("m"),)


@pytest.mark.parametrize("length", [0, -1, "8192", 8192.5, True, None, {}])
def test_a_context_length_that_is_none_is_not_known(length):
    assert model_lists.openai_models({"data": [{"id": "m", "max_model_len": length}]}) == (ListedModel("m"),)


# Choosing.


def test_the_model_in_memory_is_taken_else_the_first_that_chats():
    studio = model_lists.lmstudio_models(LMSTUDIO)
    assert model_lists.chosen(studio).id == "qwen3-8b"
    assert model_lists.chosen(model_lists.ollama_models(TAGS)).id == "gemma3:4b"
    assert model_lists.chosen(model_lists.openai_models(ROUTER)).id == "qwen"
    assert model_lists.chosen(model_lists.openai_models(VLLM)).id == "Qwen/Qwen3-32B"


def test_the_model_taken_before_stays_while_the_server_has_it():
    studio = model_lists.lmstudio_models(LMSTUDIO)

    assert model_lists.chosen(studio, "qwen2-vl-7b-instruct").id == "qwen2-vl-7b-instruct"
    assert model_lists.chosen(studio, "gone").id == "qwen3-8b"


@pytest.mark.parametrize(
    "name",
    [
        "nomic-embed-text",
        "BAAI/bge-m3",
        "bge-reranker-v2-m3",
        "all-minilm:22m",
        "intfloat/e5-large",
        "whisper-1",
    ],
)
def test_a_model_that_is_for_something_else_by_its_name_is_not_taken(name):
    assert model_lists.chosen([ListedModel(name), ListedModel("llama3")]).id == "llama3"
    assert model_lists.chosen([ListedModel(name)]) is None


@pytest.mark.parametrize(
    "name", ["qwen3:8b", "gemma-3n-e4b", "deepseek-r1", "phi-4", "mistral-small", "edge5"]
)
def test_models_that_chat_are_not_taken_for_others(name):
    assert model_lists.chosen([ListedModel(name)]).id == name


def test_a_name_without_a_tag_means_the_latest():
    listed = [ListedModel("llama3:latest"), ListedModel("llama3:8b")]

    assert model_lists.find(listed, "llama3").id == "llama3:latest"
    assert model_lists.find(listed, "llama3:70b") is None


def test_a_long_list_is_shown_in_part_the_most_like_first():
    listed = [ListedModel(f"vendor/model-{i}") for i in range(300)] + [ListedModel("qwen/qwen3-32b")]

    shown = model_lists.names_of(listed, "qwen3-32b")

    assert shown.startswith("qwen/qwen3-32b, ")
    assert shown.endswith(" and 293 more")
    assert model_lists.names_of(listed[:2]) == "vendor/model-0, vendor/model-1"


@pytest.mark.parametrize(
    "status, error, blamed",
    [
        (404, {"message": "The model `x` does not exist.", "code": 404}, True),
        (
            400,
            {"message": 'Invalid model identifier "x".', "param": "model", "code": "model_not_found"},
            True,
        ),
        (400, {"message": "No models loaded.", "param": "model", "code": None}, True),
        (400, {"message": "the context is too long", "param": "messages"}, False),
        (429, {"message": "slow down"}, False),
    ],
)
def test_a_refusal_may_be_the_models_fault(status, error, blamed):
    assert model_lists.blames_model(status, error) is blamed
