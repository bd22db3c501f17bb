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
    """What a client threw. said: the pieces of a stream that had come before."""

    def __init__(self, told):
        super().__init__(f"{told['name']} {told['status']}: {told['message']}")
        self.said = told["said"]


class Node:
    """The process in which they run, one request after another."""

    def __init__(self):
        self._process = subprocess.Popen(
            ["node", HERE / "clients.mjs"], cwd=HERE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def tell(self, **what):
        print(json.dumps(what), file=self._process.stdin, flush=True)
        line = self._process.stdout.readline()
        assert line, "node has ended"
        told = json.loads(line)
        if "error" in told:
            raise NodeError(told["error"])
        return told.get("value")

    def close(self):
        self._process.stdin.close()
        self._process.wait(20)


class InNode:
    def __init__(self, node, name, url):
        self.forced = (
            "json" if name == "AI SDK, anthropic" else None
        )  # of a model that it does not know to follow schemas
        self._tell = lambda does, question: node.tell(client=name, does=does, url=url, question=question)

    def text(self, question):
        return self._tell("text", question)

    def stream(self, question):
        try:
            yield from self._tell("stream", question)
        except NodeError as error:
            yield from error.said
            raise

    def tools(self, question):
        return self._tell("tools", question)

    def streams_tools(self, question):
        return self._tell("streams_tools", question)

    def city(self, question):
        return self._tell("city", question)

    def streams_city(self, question):
        return self._tell("streams_city", question)

    def abandons(self, question):
        self._tell("abandons", question)
