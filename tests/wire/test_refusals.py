"""What providers say they cannot do, in their own words."""

import pytest

from errors import Reason
from wire import openai_chat
from wire.refusals import lacking, true_status

# (status, body) as the servers are known to answer.
SAID = {
    Reason.CONTEXT_TOO_LONG: {
        "OpenAI": (
            400,
            {
                "error": {
                    "message": "Your input is too long.",
                    "type": "invalid_request_error",
                    "param": "messages",
                    "code": "context_length_exceeded",
                }
            },
        ),
        "vLLM": (
            400,
            {
                "object": "error",
                "message": "This model's maximum context length is 16384 tokens. However, you requested "
                "19591 tokens (9591 in the messages, 10000 in the completion).",
                "type": "BadRequestError",
                "param": None,
                "code": 400,
            },
        ),
        "vLLM of 2026": (
            400,
            {
                "error": {
                    "message": "You passed 99073 input tokens and requested 32000 output tokens. However, "
                    "the model's context length is only 131072 tokens, resulting in a maximum input length "
                    "of 99072 tokens. Please reduce the length of the input prompt.",
                    "type": "BadRequestError",
                    "param": "input_tokens",
                    "code": 400,
                }
            },
        ),
        "llama.cpp with several slots": (
            500,
            {
                "error": {
                    "code": 500,
                    "message": "Context size has been exceeded.",
                    "type": "server_error",
                }
            },
        ),
        "LM Studio without context shift": (
            400,
            {
                "error": "Reached context length of 4096 tokens with model (arch: qwen3vlmoe) that does not "
                "currently support mid-generation context overflow. Try reloading with a larger context "
                "length or shortening the prompt/chat."
            },
        ),
        "Ollama's cloud": (
            400,
            {"error": {"message": "prompt too long; exceeded max context length by 17 tokens"}},
        ),
        "TGI": (
            422,
            {
                "error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: "
                "4000 `inputs` tokens and 512 `max_new_tokens`",
                "error_type": "validation",
            },
        ),
        "vLLM with pictures": (
            400,
            {
                "error": {
                    "message": "The decoder prompt (length 163840) is longer than the maximum model length "
                    "of 131072. Make sure that `max_model_len` is no smaller than ...",
                    "type": "BadRequestError",
                    "code": 400,
                }
            },
        ),
        "llama.cpp": (
            400,
            {
                "error": {
                    "code": 400,
                    "message": "request (9412 tokens) exceeds the available context size (8192 tokens), try "
                    "increasing it",
                    "type": "exceed_context_size_error",
                    "n_prompt_tokens": 9412,
                    "n_ctx": 8192,
                }
            },
        ),
        "SGLang": (
            400,
            {
                "object": "error",
                "message": "The input (61709 tokens) is longer than the model's context length (40960 "
                "tokens).",
                "type": "BadRequestError",
                "code": 400,
            },
        ),
        "LM Studio": (
            400,
            {
                "error": "The number of tokens to keep from the initial prompt is greater than the context "
                "length (n_keep: 13055>= n_ctx: 4096). Try to load the model with a larger context length"
            },
        ),
        "LM Studio of 2025": (
            400,
            {
                "error": "Trying to keep the first 10136 tokens when context the overflows. However, the "
                "model is loaded with context length of only 7866 tokens, which is not enough."
            },
        ),
        "Anthropic": (
            400,
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": "prompt is too long: 600446 tokens > 200000 maximum",
                },
            },
        ),
        "Anthropic with max_tokens": (
            400,
            {
                "type": "error",
                "error": {
                    "type": "invalid_request_error",
                    "message": "input length and `max_tokens` exceed context limit: 184915 + 20000 > 204648",
                },
            },
        ),
        "Anthropic above 32 MB": (
            413,
            {"error": {"type": "request_too_large", "message": "Request exceeds the maximum size"}},
        ),
        "nginx": (413, None),
        "xAI": (
            400,
            {
                "code": "Client specified an invalid argument",
                "error": "This model's maximum prompt length is 131072 but the request contains "
                "136973 tokens.",
            },
        ),
        "xAI of 2026": (
            400,
            {
                "error": "Failed to start sampling: [input_too_large] Current message (1149677 tokens) "
                "exceeds budget (975424 tokens)"
            },
        ),
        "our engine": (
            400,
            {"error": "the prompt has 9000 tokens, the model's context holds 8192"},
        ),
    },
    Reason.NO_VISION: {
        "vLLM": (
            400,
            {"object": "error", "message": "m is not a multimodal model", "type": "BadRequestError"},
        ),
        "vLLM with a limit": (
            400,
            {"error": {"message": "At most 0 image(s) may be provided in one prompt.", "code": 400}},
        ),
        "llama.cpp": (
            500,
            {
                "error": {
                    "code": 500,
                    "message": "image input is not supported - hint: if this is unexpected, you may need to "
                    "provide the mmproj",
                    "type": "server_error",
                }
            },
        ),
        "llama.cpp of 2025": (
            500,
            {
                "error": {
                    "message": 'Failed to parse messages: Unsupported content part type: "image_url"; '
                    "messages = [...]"
                }
            },
        ),
        "Ollama": (500, {"error": {"message": "this model is missing data required for image input"}}),
        "Ollama's cloud": (400, {"error": "this model does not support image input (ref: b8bd630e)"}),
        "LM Studio": (400, {"error": "Model does not support images. Please use a model that does."}),
        "OpenAI": (
            400,
            {"error": {"message": "Invalid content type. image_url is only supported by certain models."}},
        ),
        "OpenRouter": (
            404,
            {"error": {"message": "No endpoints found that support image input", "code": 404}},
        ),
        "DeepSeek": (
            400,
            {
                "error": {
                    "message": "Failed to deserialize the JSON body into the target type: messages[1]: "
                    "unknown variant `image_url`, expected `text` at line 1 column 679289"
                }
            },
        ),
    },
    Reason.NO_AUDIO: {
        "vLLM": (400, {"error": {"message": "At most 0 audio(s) may be provided in one prompt."}}),
        "llama.cpp": (500, {"error": {"message": "audio input is not supported - hint: ..."}}),
        "OpenRouter": (404, {"error": {"message": "No endpoints found that support input audio"}}),
    },
    Reason.NO_TOOLS: {
        "Ollama": (
            400,
            {"error": {"message": "registry.ollama.ai/library/gemma3:4b does not support tools"}},
        ),
        "vLLM": (
            400,
            {
                "error": {
                    "message": '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser '
                    "to be set",
                    "type": "BadRequestError",
                }
            },
        ),
        "llama.cpp": (500, {"error": {"message": "tools param requires --jinja flag"}}),
        "OpenRouter": (404, {"error": {"message": "No endpoints found that support tool use."}}),
    },
}
CASES = [(reason, *said) for reason, servers in SAID.items() for said in servers.values()]
IDS = [f"{reason} {server}" for reason, servers in SAID.items() for server in servers]


@pytest.mark.parametrize("reason, status, body", CASES, ids=IDS)
def test_a_servers_own_words_are_understood(reason, status, body):
    assert lacking(status, openai_chat.error_of(body) or {}) == reason


@pytest.mark.parametrize("reason, status, body", CASES, ids=IDS)
def test_in_a_stream_they_mean_the_same(reason, status, body):
    assert body is None or status == 413 or lacking(None, openai_chat.error_of(body) or {}) == reason


@pytest.mark.parametrize("status", [401, 403, 408, 429])
def test_a_key_or_a_limit_on_the_rate_is_something_else(status):
    error = {"message": "Limit 30000, requested 40000: maximum context length", "code": "rate_limit_exceeded"}

    assert lacking(status, error) is None


@pytest.mark.parametrize(
    "error",
    [
        {},
        {"message": "temperature must be at most 2", "code": "invalid_value"},
        {"message": "The model `x` does not exist", "code": "model_not_found"},
        {"message": "could not fetch the image"},
        {"message": None, "type": ["odd"], "code": {"odd": 1}},
    ],
)
def test_what_is_the_clients_own_doing_is_not_read_as_a_lack(error):
    assert lacking(400, error) is None


@pytest.mark.parametrize(
    "status, message, deserved",
    [
        (400, "Incorrect API key provided: xa***. You can obtain an API key from the console.", 401),
        (400, "API key not valid. Please pass a valid API key.", 401),
        (400, "messages: what is an invalid apikey?", 400),
        (404, "Incorrect API key provided", 404),
    ],
    ids=["xAI", "Gemini", "a request's own words", "another status"],
)
def test_a_wrong_key_is_a_401_whatever_the_provider_calls_it(status, message, deserved):
    error = openai_chat.error_of({"code": "invalid argument", "error": message})

    assert true_status(status, error) == deserved
