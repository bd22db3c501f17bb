"""The client libraries of Node, as clients.mjs has them, behind the names of in_python.py."""

import json
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
NAMES = (
    "openai-node, chat",
    "openai-node, responses",
    "@anthropic-ai/sdk",
    "ollama-js",
    "AI SDK, openai-compatible",
    "AI SDK, openai chat",
    "AI SDK, openai responses",
    "AI SDK, anthropic",
)


class NodeError(Exception):
    """What a client threw. pieces: those of a stream that had come before."""

    def __init__(self, error):
        super().__init__(f"{error['name']} {error['status']}: {error['message']}")
        self.pieces = error["pieces"]


class Node:
    """The process in which they run, one request after another."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["node", HERE / "clients.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def call(self, **order):
        print(json.dumps(order), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "node has ended"
        result = json.loads(line)
        if "error" in result:
            raise NodeError(result["error"])
        return result.get("value")

    def close(self):
        self._process.stdin.close()
        self._process.wait(20)


class InNode:
    def __init__(self, node, name, url):
        # This one forces a tool on a model that it does not know to follow schemas.
        self.forced = "json" if name == "AI SDK, anthropic" else None
        self._call = lambda does, question: node.call(client=name, does=does, url=url, question=question)

    def text(self, question):
        return self._call("text", question)

    def stream(self, question):
        try:
            yield from self._call("stream", question)
        except NodeError as error:
            yield from error.pieces
            raise

    def tools(self, question):
        return self._call("tools", question)

    def streams_tools(self, question):
        return self._call("streams_tools", question)

    def city(self, question):
        return self._call("city", question)

    def streams_city(self, question):
        return self._call("streams_city", question)

    def abandons(self, question):
        self._call("abandons", question)
