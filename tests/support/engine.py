"""A supervised engine with the real model, and a client of it."""

import http.client
import json
from pathlib import Path

from engine import prepare, supervisor
from engine.guard import checked
from engine.state import EngineState

READY_S = 120  # 2 s on an idle machine
FRANCE = [{"role": "user", "content": "What is the capital of France?"}]


class Running:
    """A supervisor with one engine, and a client of it."""

    def __init__(self, folder, model=prepare.BUILTIN):
        assert prepare.is_ready(Path(prepare.model_dir(prepare.BUILTIN))), (
            "run `python -m engine.prepare` first; make test does"
        )
        self.state = EngineState(folder / "local.json")
        self.supervisor = supervisor.spawn(folder, {"local": str(model)})

    @property
    def engine(self):
        return self.state.wait_ready(READY_S)

    def connection(self):
        port = int(self.engine.base_url.split(":")[2].split("/")[0])
        return http.client.HTTPConnection("127.0.0.1", port, timeout=READY_S)

    def ask(self, body, path="/v1/chat/completions"):
        connection = self.connection()
        connection.request("POST", path, json.dumps(body))
        response = connection.getresponse()
        status, raw = response.status, response.read()
        connection.close()
        return status, raw

    def answer(self, **fields):
        """A guarded, streamed answer: its text, its finish_reason and its events."""
        status, raw = self.ask(checked({"stream": True, "max_tokens": 24, **fields}))
        assert status == 200, raw
        assert raw.endswith(b"data: [DONE]\n\n")
        lines = raw.decode().split("\n\n")
        events = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        choices = [event["choices"][0] for event in events if event["choices"]]
        text = "".join(choice["delta"].get("content", "") for choice in choices)
        return text, choices[-1]["finish_reason"], events

    def progress(self):
        connection = self.connection()
        connection.request("GET", "/health")
        counted = json.loads(connection.getresponse().read())["progress"]
        connection.close()
        return counted

    def stop(self):
        self.supervisor.stdin.close()
        assert self.supervisor.wait(30) == 0
