"""For the real client libraries.

None of them looks for anything on the net, and those of Node run in one process that takes orders.
"""

import os

import pytest

from tests.clients.in_node import Node

# Before they are imported.
os.environ |= {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "OPENAI_AGENTS_DISABLE_TRACING": "1"}


@pytest.fixture(scope="session")
def node():
    process = Node()
    yield process
    process.close()


@pytest.fixture(scope="session")
def llm_folder(tmp_path_factory):
    """Where `llm` looks for its settings."""
    folder = tmp_path_factory.mktemp("llm")
    os.environ["LLM_USER_PATH"] = str(folder)
    return folder
