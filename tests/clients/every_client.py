"""All the clients by name, those of Python and those of Node."""

from tests.clients.in_node import NAMES, InNode
from tests.clients.in_python import CLIENTS, write_llms_models

ALL = (*CLIENTS, *NAMES)
FORMS_ONLY = [name for name in CLIENTS if name.startswith("instructor") or name.endswith("function calling")]
TALKING = [name for name in ALL if name not in FORMS_ONLY]


def made(request, server, llm_folder):
    """The client that a test is parametrized with, pointed at a server."""
    if request.param in NAMES:
        return InNode(request.getfixturevalue("node"), request.param, server.url)
    write_llms_models(llm_folder, server.url)
    return CLIENTS[request.param](server.url)
