"""What a provider says it cannot do, read from its error.

The APIs have a code for a prompt that is too long, and none for the rest: so it is the words that tell. Each
phrase below is what a server is known to answer, in small letters; where it comes from stands beside it. A
phrase is as long as it has to be to mean nothing else, since a refusal that is read wrongly only has another
provider asked.
"""

from errors import Reason
from wire import JsonObject

MAX_CHARS = 4000  # of a message that are searched: some servers quote the whole request
# The statuses that mean something else, whatever the words: a key, a wait, a limit on the rate.
ELSE = (401, 402, 403, 408, 409, 425, 429)
TOO_LARGE = 413  # Content Too Large: Anthropic above 32 MB, a reverse proxy's own limit

_CODES = {
    "context_length_exceeded": Reason.CONTEXT_TOO_LONG,  # OpenAI, Groq, OpenRouter
    "model_context_window_exceeded": Reason.CONTEXT_TOO_LONG,  # Anthropic's name for it
    "exceed_context_size_error": Reason.CONTEXT_TOO_LONG,  # llama.cpp's `type`; Ollama passes it on
    "request_too_large": Reason.CONTEXT_TOO_LONG,  # Anthropic's `type` with a 413
}

_PHRASES: tuple[tuple[Reason, tuple[str, ...]], ...] = (
    (
        Reason.CONTEXT_TOO_LONG,
        (
            "maximum context length",  # OpenAI, vLLM, OpenRouter, DeepSeek, Mistral
            "the model's context length is only",  # vLLM: "You passed ... input tokens and requested ..."
            "longer than the maximum model length",  # vLLM, of a prompt with pictures
            "exceeds the available context size",  # llama.cpp, server-context.cpp
            "context size has been exceeded",  # llama.cpp, with a 500: its slots share one context
            "longer than the model's context length",  # SGLang
            "exceeds the model's maximum context",  # SGLang, of prompt and answer together
            "greater than the context length",  # LM Studio: "tokens to keep from the initial prompt ..."
            "when context the overflows",  # LM Studio before 0.3.30, in these words
            "reached context length of",  # LM Studio, of a model that cannot shift its context
            "exceeds the context length",  # Ollama
            "exceeded max context length",  # Ollama's cloud: "prompt too long; exceeded ... by 17 tokens"
            "tokens + `max_new_tokens` must be",  # TGI, with a 422
            "prompt is too long",  # Anthropic: "prompt is too long: 210000 tokens > 200000 maximum"
            "exceed context limit",  # Anthropic: "input length and `max_tokens` exceed context limit"
            "maximum prompt length",  # xAI: "This model's maximum prompt length is 131072 but ..."
            "[input_too_large]",  # xAI, from 2026 on
            "input is too long for requested model",  # Bedrock
            "exceeds the maximum number of tokens",  # Gemini: "The input token count (...) ..."
            "input tokens exceed",  # OpenAI's Responses: "Input tokens exceed the configured limit of ..."
            "exceeds the context window",  # OpenAI's Responses
            "the model's context holds",  # the embedded engine
        ),
    ),
    (
        Reason.NO_VISION,
        (
            "is not a multimodal model",  # vLLM
            "at most 0 image(s)",  # vLLM: "At most 0 image(s) may be provided in one prompt."
            "image input is not supported",  # llama.cpp without --mmproj, with a 500
            'unsupported content part type: "image_url"',  # llama.cpp of 2025
            "missing data required for image input",  # Ollama, with a 500
            "does not support image",  # Ollama's cloud, LM Studio ("Model does not support images"), OpenAI
            "image_url is only supported by certain models",  # OpenAI
            "support image input",  # OpenRouter, with a 404: "No endpoints found that support image input"
            "image inputs are not supported",  # xAI
            "image input is not enabled",  # Mistral
            "unknown variant `image_url`",  # DeepSeek
        ),
    ),
    (
        Reason.NO_AUDIO,
        (
            "at most 0 audio(s)",  # vLLM
            "audio input is not supported",  # llama.cpp
            'unsupported content part type: "input_audio"',  # llama.cpp
            "does not support audio",  # Ollama's cloud, OpenAI
            "support input audio",  # OpenRouter: "No endpoints found that support input audio"
            "unknown variant `input_audio`",  # DeepSeek
            "expected to be either text or image_url type",  # OpenAI, of a model that only sees
        ),
    ),
    (
        Reason.NO_TOOLS,
        (
            "does not support tools",  # Ollama: "registry.ollama.ai/library/... does not support tools"
            "tool choice requires --enable-auto-tool-choice",  # vLLM, with "auto" before it
            "tools param requires --jinja",  # llama.cpp
            "support tool use",  # OpenRouter, with a 404: "No endpoints found that support tool use"
            "the provided 'tool_choice' value",  # OpenRouter
            "does not support function calling",  # OpenAI, Together
        ),
    ),
)


_REFUSED_KEY = ("incorrect api key", "invalid api key", "api key not valid")  # xAI; proxies; Gemini


def true_status(status: int, error: JsonObject) -> int:
    """The status that a refusal deserves: 401 for a wrong key, for which xAI and Gemini answer 400.

    error: as openai_chat.error_of gives it.
    """
    message = str(error.get("message") or "")[:MAX_CHARS].lower()
    return 401 if status == 400 and any(map(message.__contains__, _REFUSED_KEY)) else status


def lacking(status: int | None, error: JsonObject) -> Reason | None:
    """What the provider says it cannot do, None where it says nothing of the kind.

    status: of the answer, None for an error in a stream. error: as openai_chat.error_of gives it.
    """
    if status in ELSE:
        return None
    named = _CODES.get(str(error.get("code"))) or _CODES.get(str(error.get("type")))
    if named or status == TOO_LARGE:
        return named or Reason.CONTEXT_TOO_LONG
    message = str(error.get("message") or "")[:MAX_CHARS].lower()
    return next((reason for reason, phrases in _PHRASES if any(map(message.__contains__, phrases))), None)
