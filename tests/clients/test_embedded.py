"""Every client library with the models that come along.

The small chat model on the CPU, held to short answers, and the embedding model.
"""

import shutil

import pytest
import yaml
from langchain_openai import OpenAIEmbeddings

from tests.clients.every_client import ALL, TALKING, made
from tests.support.server import ROOT, Server

MAX_TOKENS = 60
SENTENCES = [
    "That is a happy person",
    "That is a happy dog",
    "That is a very happy person",
    "Today is a sunny day",
]
PUBLISHED = [1, 0.6945, 0.9429, 0.2569]
BEYOND_IT = {
    "instructor, json": "the schema stands in the prompt alone, and so small a model does not follow it",
}


@pytest.fixture(scope="module")
def embedded(tmp_path_factory):
    """A Headstart with the default configuration, but for the length of its answers."""
    folder = tmp_path_factory.mktemp("embedded")
    shutil.copytree(ROOT / "prompts", folder / "prompts")
    config = yaml.safe_load((ROOT / "config.yaml").read_text())
    config["providers"]["local"]["params"] = {"set": {"max_tokens": MAX_TOKENS, "temperature": 0}}
    server = Server(folder, config, VLLM_URL="", VLLM_MODEL="", XAI_API_KEY="").wait_until_up()
    yield server
    server.stop()


@pytest.fixture
def client(request, embedded, llm_folder):
    return made(request, embedded, llm_folder)


@pytest.mark.parametrize("client", TALKING, indirect=True)
def test_stream(client):
    pieces = [piece for piece in client.stream("Say hello to me in three words.") if piece]

    assert len(pieces) > 1
    assert "".join(pieces).strip()


@pytest.mark.parametrize("client", [name for name in ALL if name not in BEYOND_IT], indirect=True)
def test_structured_output(client):
    city = client.city("Name the capital of France and the number of its people.")

    fields = city if isinstance(city, dict) else city.model_dump()
    assert fields["name"].strip()
    assert isinstance(fields["people"], int)


def test_langchains_embeddings_by_default_are_the_published_ones(embedded):
    client = OpenAIEmbeddings(base_url=f"{embedded.url}/v1", api_key="any", model="all-minilm", max_retries=0)

    vectors = client.embed_documents(SENTENCES)

    cosines = [sum(a * b for a, b in zip(vectors[0], vector, strict=True)) for vector in vectors]
    assert cosines == pytest.approx(PUBLISHED, abs=1e-4)
    assert client.embed_query(SENTENCES[0]) == pytest.approx(vectors[0], abs=1e-6)
