"""Ollama, LM Studio, vLLM and llama.cpp on real sockets: what they tell of their models, and how they chat.

Their paths, their answers and what they do with a path or a model that they do not have follow their
documentation and source (November 2026): Ollama's server/routes.go and api/types.go, LM Studio's REST pages
(unknown paths are answered 200 with an error; bug tracker 619: with one model in memory any name will do),
vLLM's entrypoints/openai/models/serving.py, llama.cpp's tools/server/README.md.
"""

import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class HomeServer:
    """models: what it lists, in its own words. loaded: the names of those in memory."""

    def __init__(self, *models, loaded=(), port=0, key=None):
        self.models = list(models)
        self.loaded = list(loaded)
        self.requests = []  # (method, path) of each
        self.chats = []  # the model of each chat
        self.stuck = threading.Event()  # while it is set, nobody gets an answer
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                path = self.path.partition("?")[0]
                server.requests.append((self.command, self.path))
                while server.stuck.is_set() and not server.closed.wait(0.01):
                    pass
                if key and self.headers.get("Authorization") != f"Bearer {key}":
                    return self.answers(401, {"error": {"message": "Invalid API Key"}})
                if path.endswith("/chat/completions") and self.command == "POST":
                    return self.answers(*server.chat(path, json.loads(raw)))
                return self.answers(*server.told(self.command, path, json.loads(raw) if raw else {}))

            do_POST = do_GET

            def answers(self, status, body):
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                kind = "text/event-stream" if raw.startswith(b"data: ") else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            def log_message(self, *args):
                pass

        class Listener(ThreadingHTTPServer):
            daemon_threads = True

            def get_request(self):
                connection, address = super().get_request()
                server.connections.append(connection)
                return connection, address

            def handle_error(self, request, client_address):
                pass  # a caller that hangs up

        self.connections = []
        self.closed = threading.Event()
        self._server = Listener(("127.0.0.1", port), Handler)
        self.port = self._server.server_address[1]
        self.root = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.root}/v1"
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()

    def close(self):
        """End it, with the connections that are kept alive."""
        self.closed.set()
        self._server.shutdown()
        self._server.server_close()
        for connection in self.connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # its caller was quicker

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()

    def asked(self, path):
        """How often a path has been asked for."""
        return sum(one.partition("?")[0] == path for _, one in self.requests)

    # What the makes have in common.

    def names(self):
        return [model["id"] for model in self.models]

    def chat(self, path, body):
        if path != "/v1/chat/completions":
            return self.no_such_path("POST", path)
        name = body.get("model")
        if not self.has(name):
            return self.no_such_model(name)
        self.chats.append(name)
        if not body.get("stream"):
            choice = {
                "index": 0,
                "message": {"role": "assistant", "content": f"by {name}"},
                "finish_reason": "stop",
            }
            return 200, {
                "id": "c1",
                "object": "chat.completion",
                "created": 1,
                "model": name,
                "choices": [choice],
            }
        chunks = [({"role": "assistant", "content": f"by {name}"}, None), ({}, "stop")]
        events = [
            {
                "id": "c1",
                "object": "chat.completion.chunk",
                "created": 1,
                "model": name,
                "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
            }
            for delta, finish in chunks
        ]
        return 200, b"".join(
            b"data: %b\n\n" % json.dumps(one).encode() for one in events
        ) + b"data: [DONE]\n\n"

    def told(self, method, path, body):
        if path == "/v1/models":
            return 200, {"object": "list", "data": self.listed()}
        return self.no_such_path(method, path)

    def has(self, name):
        return name in self.names()

    def no_such_path(self, method, path):
        return 404, {"detail": "Not Found"}


class Vllm(HomeServer):
    """models: {"id", "max_model_len"}, and "parent" for a LoRA."""

    def listed(self):
        return [
            {
                "object": "model",
                "created": 1763700000,
                "owned_by": "vllm",
                "root": model["id"],
                "parent": None,
                **model,
            }
            for model in self.models
        ]

    def no_such_model(self, name):
        error = {"message": f"The model `{name}` does not exist.", "type": "NotFoundError", "param": "model"}
        return 404, {"error": {**error, "code": 404}}


class LlamaCpp(HomeServer):
    """One model, whatever its name in a request: {"id", "n_ctx", "vision"}."""

    def listed(self):
        return [
            {"id": one["id"], "object": "model", "owned_by": "llamacpp", "meta": {"n_ctx_train": 131072}}
            for one in self.models
        ]

    def told(self, method, path, body):
        if path == "/props":
            [model] = self.models
            return 200, {
                "default_generation_settings": {"id": 0, "n_ctx": model["n_ctx"]},
                "total_slots": 1,
                "model_path": f"/models/{model['id']}",
                "chat_template_caps": {"supports_tools": True, "supports_tool_calls": True},
                "modalities": {"vision": model["vision"], "audio": False},
            }
        return super().told(method, path, body)

    def has(self, name):
        return True

    def no_such_path(self, method, path):
        return 404, {"error": {"code": 404, "message": "File Not Found", "type": "not_found_error"}}


class Ollama(HomeServer):
    """models: {"id", "capabilities", "context_length"}. num_ctx: with which models are loaded."""

    num_ctx = 4096

    def told(self, method, path, body):
        if path == "/api/version":
            return 200, {"version": "0.13.0"}
        if path == "/api/tags":
            return 200, {"models": [self.tag(model) for model in self.models]}
        if path == "/api/ps":
            return 200, {
                "models": [
                    {"name": name, "model": name, "context_length": self.num_ctx} for name in self.loaded
                ]
            }
        if path == "/api/show" and method == "POST":
            found = next((model for model in self.models if model["id"] == body["model"]), None)
            return (200, self.show(found)) if found else self.no_such_model(body["model"])
        return super().told(method, path, body)

    def listed(self):
        return [{"id": name, "object": "model", "created": 1, "owned_by": "library"} for name in self.names()]

    @staticmethod
    def tag(model):
        return {"name": model["id"], "model": model["id"], "size": 1, "capabilities": model["capabilities"]}

    @staticmethod
    def show(model):
        info = {"general.architecture": "llama", "llama.context_length": model["context_length"]}
        return {"parameters": "", "model_info": info, "capabilities": model["capabilities"]}

    def chat(self, path, body):
        found = next((one for one in self.names() if one in (body["model"], f"{body['model']}:latest")), None)
        if found:
            self.loaded = [found]
        return super().chat(path, body)

    def has(self, name):
        return name in self.names() or f"{name}:latest" in self.names()

    def no_such_model(self, name):
        return 404, {"error": {"message": f"model '{name}' not found", "type": "not_found_error"}}

    def no_such_path(self, method, path):
        return 404, b"404 page not found"


class LmStudio(HomeServer):
    """models: {"id", "type", "max_context_length"}; loaded ones have 8192."""

    def told(self, method, path, body):
        if path == "/api/v0/models":
            return 200, {"object": "list", "data": [self.native(model) for model in self.models]}
        return super().told(method, path, body)

    def native(self, model):
        if model["id"] not in self.loaded:
            return {**model, "object": "model", "state": "not-loaded"}
        return {**model, "object": "model", "state": "loaded", "loaded_context_length": 8192}

    def listed(self):
        return [{"id": one, "object": "model", "owned_by": "organization_owner"} for one in self.names()]

    def has(self, name):
        return len(self.loaded) == 1 or name in self.names()

    def no_such_model(self, name):
        message = f'Invalid model identifier "{name}". Please specify a valid downloaded model'
        error = {
            "message": message,
            "type": "invalid_request_error",
            "param": "model",
            "code": "model_not_found",
        }
        return 400, {"error": error}

    def no_such_path(self, method, path):
        return 200, {"error": f"Unexpected endpoint or method. ({method} {path})"}


QWEN = {"id": "Qwen/Qwen3-32B", "max_model_len": 40960}
GEMMA = {"id": "gemma3:4b", "capabilities": ["completion", "vision"], "context_length": 131072}
LLAMA = {"id": "llama3.2:latest", "capabilities": ["completion", "tools"], "context_length": 131072}
NOMIC = {"id": "nomic-embed-text:latest", "capabilities": ["embedding"], "context_length": 2048}
