"""mlx_lm.server, made fit to run unattended: the same HTTP API and batching, but no request can end it.

As it comes, one exception in its generation thread leaves a process that accepts requests and never answers;
a token id outside the vocabulary crashes it; a prompt of any length is taken until memory ends; and it logs
what it could not parse. Here everything that depends on the model is checked inside the `try` that turns into
an error for this one request, and the process ends when the thread does, so that the supervisor sees it at
once. `guard` has checked the body before; this is the second check.

An answer can be held to a form (`constrained`), which mlx_lm.server knows nothing of: the body's
`constraint`, as `guard` makes it.

Relies on names private to mlx_lm 0.32.2 (`_tokenize`, `_run_generate`), which is why requirements.txt pins it
exactly. Imports MLX: the BLAS must be loaded and the environment set before.
"""

import json
import logging
import math
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any

import mlx.core as mx
from mlx_lm import server
from mlx_lm.generate import TextStateMachine
from mlx_lm.models.cache import LRUPromptCache

from engine import blas, tool_calls
from engine.constrained import Broken, Constraint, Grammars, Impossible
from wire import JsonObject

log = logging.getLogger("headstart.engine")

# A CPU takes a second or two for these; in between others decode, and a client that has left is noticed.
PREFILL_STEP_TOKENS = 256
PROMPT_CACHE_BYTES = 1 << 30  # prefixes kept for the next turn; 46 kB per token for SmolLM2 in float32
DECODE_CONCURRENCY = 16
# Where a body sets no limit. A small model that repeats itself would hold a CPU for minutes.
MAX_TOKENS = {"cpu": 512, "metal": 4096, "cuda": 4096}
REASON_CHARS = 300  # a hub's error can be a page long
CONTEXT_TOKENS_UNKNOWN = 32768  # for a config.json that does not name its own

Words = list[str]


class Refused(ValueError):
    """This one request cannot be served; the message is for the client."""


class Generation(server.ResponseGenerator):
    """The thread that owns the model.

    `progress` counts what it has sent to anyone: it grows as long as the engine really works.
    """

    def __init__(self, model_provider: server.ModelProvider, prompt_cache: LRUPromptCache) -> None:
        self.progress = 0
        self.failure = "the generation thread ended"
        self._grammars: Grammars | None = None
        self._loaded = threading.Event()
        super().__init__(model_provider, prompt_cache)

    def _run_generate(self) -> None:
        try:
            self.model_provider.load_default()
            self._grammars = Grammars(self.model_provider.tokenizer, self._vocab_size())
            self._loaded.set()
            self._generate()  # type: ignore[no-untyped-call]  # mlx_lm's
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}".splitlines()[0][:REASON_CHARS]
            self._generation_failed = True
            # A model that cannot be loaded is the supervisor's to report, in one line.
            if self.model_provider.model is not None:
                log.exception("the generation thread died")
        finally:
            self._loaded.set()  # nobody waits for what will not come

    def constraint(self, wanted: JsonObject, tools: list[JsonObject] | None, max_tokens: int) -> Constraint:
        """What holds one answer to its form. Raises Impossible.

        Called by the request's own thread, since all sequences wait for the generation thread.
        """
        self._loaded.wait()
        if self._grammars is None:
            raise RuntimeError("the model could not be loaded")
        return self._grammars.compile(wanted, tools, max_tokens)

    def _tokenize(self, tokenizer: Any, request: Any, args: Any) -> Any:
        """The prompt's tokens, as mlx_lm gives them, and the request's arguments made to fit the model.

        Called inside the `try` that answers this request alone with an error, so whatever can fail for a
        request is tried here.
        """
        if request.client_left():
            raise Refused("nobody waits for the answer")
        constraint = request.constraint
        if constraint:  # thoughts have no place in the form of the answer
            args.chat_template_kwargs = {"enable_thinking": False, **(args.chat_template_kwargs or {})}
        if request.request_type == "chat" and not tokenizer.has_tool_calling:
            # Such a model's calls would not be recognized: the tools would be kilobytes of useless prompt.
            request.messages = tool_calls.as_text(request.messages, request.tools if constraint else [])
            request.tools = None
        tokenized: Any = super()._tokenize(tokenizer, request, args)  # type: ignore[no-untyped-call]  # mlx_lm's
        if constraint:
            tokenized = self._with_tail(tokenizer, tokenized, constraint)
        prompt_tokens = len(tokenized[0])
        context_tokens = self._context_tokens()
        if prompt_tokens == 0:
            raise Refused("the prompt is empty")
        if prompt_tokens >= context_tokens:
            refusal = f"the prompt has {prompt_tokens} tokens, the model's context holds {context_tokens}"
            raise Refused(refusal)
        args.max_tokens = min(args.max_tokens, context_tokens - prompt_tokens)
        vocab_size = self._vocab_size()
        if args.sampling.top_k >= vocab_size:
            args.sampling.top_k = 0  # "the k most likely of fewer than k": all of them
        for token_id in args.logits.logit_bias or ():
            if not 0 <= token_id < vocab_size:
                raise Refused(f"logit_bias: token {token_id} is outside the vocabulary of {vocab_size}")
        self._rehearse(tokenizer, args, vocab_size)
        if constraint:
            constraint.has_budget(args.max_tokens)
            args.constraint = constraint
        return tokenized

    def _with_tail(self, tokenizer: Any, tokenized: Any, constraint: Constraint) -> Any:
        """The prompt with what comes before the first token that is held to the form.

        That is the end of its thinking and the beginning of a call.
        """
        prompt, segments, segment_types, state, vision = tokenized
        tail = list(tokenizer.think_end_tokens) if state == "reasoning" else []
        tail += tokenizer.encode(constraint.begun, add_special_tokens=False) if constraint.begun else []
        if not tail:
            return tokenized
        return prompt + tail, [*segments, tail], [*segment_types, "assistant"], "normal", vision

    def _rehearse(self, tokenizer: Any, args: Any, vocab_size: int) -> None:
        """Sample once from flat logits.

        A value that the sampler cannot take raises here, and not in the middle of everybody's batch.
        """
        logits = mx.zeros((1, vocab_size))
        for process in server._make_logits_processors(args):
            logits = process(mx.array([0]), logits)
        mx.eval(server._make_sampler(args, tokenizer)(logits))
        server._format_top_logprobs(logits[0], args.top_logprobs, tokenizer)

    def generate(self, request: Any, generation_args: Any, progress_callback: Any = None) -> Any:
        """mlx_lm's context of the answer, and its responses as they come."""
        stop_words = generation_args.stop_words
        generation_args.stop_words = []  # they are ours to find, see _delivered
        if not all(isinstance(word, str) and word for word in stop_words):
            raise Refused("stop must be a list of strings")

        def on_prefill(processed: int, total: int) -> None:
            self._advance(request)
            progress_callback(processed, total)

        context, responses = super().generate(request, generation_args, on_prefill)
        if request.constraint:  # there are no thoughts or calls in what is held to a form, whatever it says
            context.text_sm = TextStateMachine()
        context.tool_parser = context.tool_parser and tool_calls.sound(context.tool_parser)
        return context, self._delivered(responses, stop_words, request)

    def _advance(self, request: Any) -> None:
        """Called at each step for a request. Raises ConnectionAbortedError if its client has left.

        A write would notice a client that has left only the second time.
        """
        self.progress += 1
        if request.client_left():
            raise ConnectionAbortedError

    def _delivered(self, responses: Iterable[Any], stop_words: Words, request: Any) -> Iterator[Any]:
        """Pass the responses on, up to the first stop word; they are kept in the request's `delivered` too.

        mlx_lm would end at a stop word only where it falls on the borders of tokens. Elsewhere it would strip
        the word and go on, so that stop=["o"] makes "clurs" of colours; and at the end it would lose what
        might have become a stop word. Here the text decides.
        """
        held = ""
        for response in responses:
            self._advance(request)
            if response.finish_reason and request.constraint and request.constraint.error:
                raise Broken(request.constraint.error)
            request.delivered.append(response)
            text = held + response.text
            starts = [text.index(word) for word in stop_words if word in text]
            if starts:
                yield replace(response, text=text[: min(starts)], finish_reason=None)
                yield replace(response, text="", finish_reason="stop")
                return
            if response.finish_reason == "stop" and text:  # mlx_lm.server drops the last one's
                yield replace(response, text=text, finish_reason=None)
            shown = len(text)
            if not response.finish_reason:
                reader = request.constraint and request.constraint.reader
                is_waiting = reader and reader.is_waiting(text)
                shown -= len(text) if is_waiting else _longest_beginning(stop_words, text)
            yield replace(response, text=text[:shown])
            held = text[shown:]

    def _config(self) -> Any:
        model = self.model_provider.model
        return getattr(model, "args", None)

    def _context_tokens(self) -> int:
        return getattr(self._config(), "max_position_embeddings", None) or CONTEXT_TOKENS_UNKNOWN

    def _vocab_size(self) -> int:
        """The width of the logits, not the tokenizer's count: they differ where a vocabulary is padded."""
        tokenizer: Any = self.model_provider.tokenizer
        return getattr(self._config(), "vocab_size", None) or len(tokenizer.get_vocab())


def _longest_beginning(words: Words, text: str) -> int:
    """How many of the text's last characters begin one of the words."""
    return max((n for word in words for n in range(1, len(word)) if text.endswith(word[:n])), default=0)


def _logits_processors(
    args: Any, mlx_lm_processors: Callable[[Any], list[Any]] = server._make_logits_processors
) -> list[Any]:
    """A request's logits processors: those of mlx_lm, and then its constraint.

    The constraint is the last, so that no bias or penalty opens what is closed.
    """
    constraint = getattr(args, "constraint", None)
    return [*mlx_lm_processors(args), *([constraint] if constraint else [])]


class Handler(server.APIHandler):
    """One client's connection."""

    # The name that answers carry; mlx_lm.server repeats the request's, which must always be "default_model".
    served_model: str | None = None
    response_generator: Generation

    def handle_completion(self, request: Any, stop_words: Words) -> None:
        self._delivered: list[Any] = []
        request.delivered = self._delivered
        request.client_left = self._client_left
        try:
            request.constraint = self._constraint(request)
        except Impossible as impossible:
            self._refuse(impossible)
            return
        self._reader = request.constraint and request.constraint.reader
        self._has_called = False
        try:
            super().handle_completion(request, stop_words)
        except Broken as broken:
            log.warning("an answer's grammar broke")
            if not self.stream:
                raise
            message = f"the form of the answer is too complex: {broken}"
            event = json.dumps({"error": {"message": message, "type": "server_error"}})
            self.wfile.write(f"data: {event}\n\n".encode())

    def _constraint(self, request: Any) -> Constraint | None:
        wanted = self.body.get("constraint")
        if wanted is None:
            return None
        max_tokens: int = self.max_tokens  # type: ignore[assignment]  # mlx_lm.server has read the body
        constraint = self.response_generator.constraint(wanted, request.tools, max_tokens)
        constraint.winds_down = self.body.keys().isdisjoint(("max_tokens", "max_completion_tokens"))
        return constraint

    def _refuse(self, impossible: Impossible) -> None:
        error = {
            "message": str(impossible),
            "type": "invalid_request_error",
            "param": impossible.param,
            "code": None,
        }
        self._set_completion_headers(400)
        self.end_headers()
        self.wfile.write(json.dumps({"error": error}).encode())

    def _client_left(self) -> bool:
        """Whether the client has closed its end.

        A client that only stops sending looks the same; the proxy never does that.
        """
        try:
            ahead: bytes = self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
            return ahead == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def generate_response(self, text: str, finish_reason: Any, *args: Any, **kwargs: Any) -> Any:
        """The response of mlx_lm.server with its logprobs and its forced calls.

        mlx_lm.server leaves logprobs out of streams, and the tokens' text out of logprobs elsewhere; forced
        calls are only text to it.
        """
        reader = self._reader
        if reader:
            deltas, text = reader.feed(text), ""
            # Was it cut, by its budget or a stop word?
            if finish_reason and self._delivered[-1].finish_reason != "stop":
                deltas += reader.flush()
            elif finish_reason:
                finish_reason = "tool_calls"
            kwargs["tool_calls"] = deltas if self.stream else tool_calls.whole(deltas)
        self._has_called |= bool(kwargs.get("tool_calls"))
        if finish_reason == "tool_calls" and not self._has_called:
            finish_reason = "stop"  # what looked like a call could not be read as one
        response = super().generate_response(text, finish_reason, *args, **kwargs)
        response["model"] = self.served_model
        if self.logprobs:
            content = [self._logprob(item) for item in self._delivered if item.finish_reason != "stop"]
            response["choices"][0]["logprobs"] = {"content": content}
            self._delivered.clear()
        return response

    def completion_usage_response(self, *args: Any, **kwargs: Any) -> JsonObject:
        return {**super().completion_usage_response(*args, **kwargs), "model": self.served_model}

    def _logprob(self, item: Any) -> JsonObject:
        tokenizer: Any = self.response_generator.model_provider.tokenizer

        def shown(token: int, logprob: float) -> JsonObject:
            return {"token": tokenizer.decode([token]), "logprob": logprob, "bytes": None}

        likeliest = sorted(filter(_is_possible, item.top_tokens), key=lambda likely: -likely["logprob"])
        top = [shown(likely["id"], likely["logprob"]) for likely in likeliest]
        return {**shown(item.token, item.logprob), "top_logprobs": top}

    def _set_completion_headers(self, status_code: int = 200) -> None:
        """mlx_lm.server answers 404 to everything that went wrong with a request."""
        if status_code == 404 and self.command == "POST":
            status_code = 400 if self.response_generator.is_healthy else 503
        super()._set_completion_headers(status_code)

    def handle_health_check(self) -> None:
        healthy = self.response_generator.is_healthy
        self._set_completion_headers(200 if healthy else 503)
        self.end_headers()
        status = "ok" if healthy else "unavailable"
        self.wfile.write(
            json.dumps({"status": status, "progress": self.response_generator.progress}).encode()
        )

    def log_message(self, format: str, *args: Any) -> None:
        """Silent: the proxy has its own line for each request."""


def _is_possible(likely: JsonObject) -> bool:
    """Whether a grammar allows the token: what it forbids has a logprob that JSON cannot express."""
    logprob: float = likely["logprob"]
    return logprob > -math.inf


class Server(ThreadingHTTPServer):
    """A thread for each connection."""

    daemon_threads = True
    request_queue_size = 128  # socketserver's 5 makes a burst of clients wait a second for their next SYN

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what failed by its type, never with its text.

        A client that hangs up is how a call is cancelled here, and not logged.
        """
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            log.warning("a request's handler failed: %s", type(error).__name__)


class NoMessageText(logging.Filter):
    """mlx_lm.server logs bodies that it cannot parse, in full, and complains of every request with tools."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.name != "root"


def serve(model: str, on_listening: Callable[[int], None]) -> str:
    """Serve the model on 127.0.0.1 until its generation thread ends, and return why it did.

    model: a directory or a hub's name. on_listening: called with the port; the model is being loaded then,
    requests wait for it.
    """
    for handler in logging.getLogger().handlers:
        handler.addFilter(NoMessageText())
    options = {
        "--model": model,
        "--log-level": "WARNING",
        "--prefill-step-size": PREFILL_STEP_TOKENS,
        "--prompt-cache-bytes": PROMPT_CACHE_BYTES,
        "--decode-concurrency": DECODE_CONCURRENCY,
        "--max-tokens": MAX_TOKENS[blas.device()],
    }
    Handler.served_model = Path(model).name if Path(model).is_dir() else model
    failures: list[str] = []

    def run(host: str, port: int, model_provider: server.ModelProvider) -> None:
        generation = Generation(model_provider, LRUPromptCache(model_provider.cli_args.prompt_cache_size))
        make_handler = partial(Handler, generation, system_fingerprint=server.get_system_fingerprint())
        httpd = Server(("127.0.0.1", 0), make_handler)
        threading.Thread(target=httpd.serve_forever, name="http", daemon=True).start()
        on_listening(httpd.server_address[1])
        generation.join()  # type: ignore[no-untyped-call]  # mlx_lm's
        failures.append(generation.failure)

    # main() knows every default of this mlx_lm; only run() is ours.
    server.run = run  # type: ignore[assignment]  # ours lacks the parameters that main() never gives
    server._make_logits_processors = _logits_processors
    sys.argv = ["mlx_lm.server", *(str(part) for option in options.items() for part in option)]
    server.main()
    return failures[0]
