"""mlx_lm.server, made fit to run unattended: the same HTTP API and batching, without the ways a request can end it.

As it comes, one exception in its generation thread leaves a process that accepts requests and never answers; a token id outside the
vocabulary crashes it; a prompt of any length is taken until memory ends; and it logs what it could not parse. Here everything
that depends on the model is checked inside the `try` that turns into an error for this one request, and the process ends
when the thread does, so that the supervisor sees it at once. `guard` has looked at the body before; this is the second lock.

An answer can be held to a form (`constrained`), which mlx_lm.server knows nothing of: the body's `constraint`, as `guard` makes it.

Leans on names private to mlx_lm 0.32.2 (`_tokenize`, `_run_generate`), which is why requirements.txt pins it exactly.
Imports MLX: the BLAS must be loaded and the environment set before.
"""

import json
import logging
import math
import socket
import sys
import threading
from dataclasses import replace
from http.server import ThreadingHTTPServer
from pathlib import Path

import mlx.core as mx
from mlx_lm import server
from mlx_lm.generate import TextStateMachine

from engine import blas, tool_calls
from engine.constrained import Broken, Constraint, Grammars, Impossible

log = logging.getLogger("headstart.engine")

PREFILL_STEP_TOKENS = (
    256  # a CPU takes a second or two for these; in between others decode and a hang-up is noticed
)
PROMPT_CACHE_BYTES = 1 << 30  # prefixes kept for the next turn; 46 kB per token for SmolLM2 in float32
DECODE_CONCURRENCY = 16
# Where a body says nothing. A small model that repeats itself would hold a CPU for minutes.
MAX_TOKENS = {"cpu": 512, "metal": 4096, "cuda": 4096}
REASON_CHARS = 300  # a hub's error can be a page long
CONTEXT_TOKENS_UNKNOWN = 32768  # for a config.json that does not say


class Refused(ValueError):
    """This one request cannot be served; the message is for the client."""


class Generation(server.ResponseGenerator):
    """The thread that owns the model. `progress` counts what it has sent to anyone: it grows as long as the engine really works."""

    def __init__(self, model_provider, prompt_cache):
        self.progress = 0
        self.failure = "the generation thread ended"
        self._grammars = None
        self._loaded = threading.Event()
        super().__init__(model_provider, prompt_cache)

    def _run_generate(self):
        try:
            self.model_provider.load_default()
            self._grammars = Grammars(self.model_provider.tokenizer, self._vocab_size())
            self._loaded.set()
            self._generate()
        except Exception as error:
            self.failure = f"{type(error).__name__}: {error}".splitlines()[0][:REASON_CHARS]
            self._generation_failed = True
            if (
                self.model_provider.model is not None
            ):  # a model that cannot be loaded is the supervisor's to tell, in a line
                log.exception("the generation thread died")
        finally:
            self._loaded.set()  # nobody waits for what will not come

    def constraint(self, wanted: dict, tools: list[dict] | None, max_tokens: int) -> Constraint:
        """What holds one answer to its form. Called by the request's own thread, since all sequences wait for this one's. Raises Impossible."""
        self._loaded.wait()
        if self._grammars is None:
            raise RuntimeError("the model could not be loaded")
        return self._grammars.compile(wanted, tools, max_tokens)

    def _tokenize(self, tokenizer, request, args):
        """Called inside the `try` that answers this request alone with an error, so whatever can fail for a request is tried here."""
        if request.client_left():
            raise Refused("nobody waits for the answer")
        constraint = request.constraint
        if constraint:  # a mind to make up has no place in the form of the answer
            args.chat_template_kwargs = {"enable_thinking": False, **(args.chat_template_kwargs or {})}
        if request.request_type == "chat" and not tokenizer.has_tool_calling:
            # Such a model's calls would not be recognized: the tools would be kilobytes of prompt for nothing.
            request.messages = tool_calls.as_text(request.messages, request.tools if constraint else [])
            request.tools = None
        tokenized = super()._tokenize(tokenizer, request, args)
        if constraint:
            tokenized = self._with_tail(tokenizer, tokenized, constraint)
        prompt_tokens = len(tokenized[0])
        context_tokens = self._context_tokens()
        if prompt_tokens == 0:
            raise Refused("the prompt is empty")
        if prompt_tokens >= context_tokens:
            raise Refused(
                f"the prompt has {prompt_tokens} tokens, the model's context holds {context_tokens}"
            )
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

    def _with_tail(self, tokenizer, tokenized, constraint):
        """The prompt with what comes before the first token that is held to the form: the end of its thinking, the beginning of a call."""
        prompt, segments, segment_types, state, vision = tokenized
        tail = list(tokenizer.think_end_tokens) if state == "reasoning" else []
        tail += tokenizer.encode(constraint.begun, add_special_tokens=False) if constraint.begun else []
        if not tail:
            return tokenized
        return prompt + tail, [*segments, tail], [*segment_types, "assistant"], "normal", vision

    def _rehearse(self, tokenizer, args, vocab_size):
        """Sample once from flat logits: a value that the sampler cannot take raises here, and not in the middle of everybody's batch."""
        logits = mx.zeros((1, vocab_size))
        for process in server._make_logits_processors(args):
            logits = process(mx.array([0]), logits)
        mx.eval(server._make_sampler(args, tokenizer)(logits))
        server._format_top_logprobs(logits[0], args.top_logprobs, tokenizer)

    def generate(self, request, generation_args, progress_callback=None):
        stop_words, generation_args.stop_words = (
            generation_args.stop_words,
            [],
        )  # they are ours to find, see _delivered
        if not all(isinstance(word, str) and word for word in stop_words):
            raise Refused("stop must be a list of strings")

        def on_prefill(processed, total):
            self._went_on(request)
            progress_callback(processed, total)

        context, responses = super().generate(request, generation_args, on_prefill)
        if request.constraint:  # there are no thoughts or calls in what is held to a form, whatever it says
            context.text_sm = TextStateMachine()
        context.tool_parser = context.tool_parser and tool_calls.sound(context.tool_parser)
        return context, self._delivered(responses, stop_words, request)

    def _went_on(self, request):
        """Called at each step for a request. A write would notice a client that has gone only the second time."""
        self.progress += 1
        if request.client_left():
            raise ConnectionAbortedError

    def _delivered(self, responses, stop_words, request):
        """Pass the responses on, kept in the request's `delivered` too, up to the first stop word.

        mlx_lm would end at a stop word only where it falls on the borders of tokens. Elsewhere it would strip the word and go on, so that
        stop=["o"] makes "clurs" of colours; and at the end it would lose what might have become a stop word. Here the text decides.
        """
        held = ""
        for response in responses:
            self._went_on(request)
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
                shown -= (
                    len(text) if reader and reader.is_waiting(text) else _longest_beginning(stop_words, text)
                )
            yield replace(response, text=text[:shown])
            held = text[shown:]

    def _config(self):
        model = self.model_provider.model
        return getattr(model, "args", None)

    def _context_tokens(self) -> int:
        return getattr(self._config(), "max_position_embeddings", None) or CONTEXT_TOKENS_UNKNOWN

    def _vocab_size(self) -> int:
        # The width of the logits, not the tokenizer's count: they differ where a vocabulary is padded.
        return getattr(self._config(), "vocab_size", None) or len(self.model_provider.tokenizer.get_vocab())


def _longest_beginning(words, text) -> int:
    """How many of the text's last characters begin one of the words."""
    return max((n for word in words for n in range(1, len(word)) if text.endswith(word[:n])), default=0)


def _logits_processors(args, mlx_lm_processors=server._make_logits_processors):
    """A request's own: those of mlx_lm, and last what its answer is held to, so that no bias or penalty opens what is closed."""
    constraint = getattr(args, "constraint", None)
    return [*mlx_lm_processors(args), *([constraint] if constraint else [])]


class Handler(server.APIHandler):
    served_model = None  # the name that answers bear; mlx_lm.server repeats the one asked for, which must always be "default_model"

    def handle_completion(self, request, stop_words):
        self._delivered = request.delivered = []
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
            self.wfile.write(
                b"data: "
                + json.dumps({"error": {"message": message, "type": "server_error"}}).encode()
                + b"\n\n"
            )

    def _constraint(self, request):
        wanted = self.body.get("constraint")
        if wanted is None:
            return None
        constraint = self.response_generator.constraint(wanted, request.tools, self.max_tokens)
        constraint.winds_down = self.body.keys().isdisjoint(("max_tokens", "max_completion_tokens"))
        return constraint

    def _refuse(self, impossible):
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
        """Whether the client has closed its end. One that only stops sending looks the same; the proxy never does that."""
        try:
            return self.connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True

    def generate_response(self, text, finish_reason, *args, **kwargs):
        """mlx_lm.server leaves logprobs out of streams, and the tokens' text out of them elsewhere; forced calls are only text to it."""
        reader = self._reader
        if reader:
            deltas, text = reader.feed(text), ""
            if (
                finish_reason and self._delivered[-1].finish_reason != "stop"
            ):  # cut, by its budget or a stop word
                deltas += reader.flush()
            elif finish_reason:
                finish_reason = "tool_calls"
            kwargs["tool_calls"] = deltas if self.stream else tool_calls.whole(deltas)
        self._has_called |= bool(kwargs.get("tool_calls"))
        if (
            finish_reason == "tool_calls" and not self._has_called
        ):  # what looked like a call could not be read as one
            finish_reason = "stop"
        response = super().generate_response(text, finish_reason, *args, **kwargs)
        response["model"] = self.served_model
        if self.logprobs:
            content = [self._logprob(item) for item in self._delivered if item.finish_reason != "stop"]
            response["choices"][0]["logprobs"] = {"content": content}
            self._delivered.clear()
        return response

    def completion_usage_response(self, *args, **kwargs):
        return {**super().completion_usage_response(*args, **kwargs), "model": self.served_model}

    def _logprob(self, item) -> dict:
        decode = self.response_generator.model_provider.tokenizer.decode
        likeliest = sorted(filter(_is_possible, item.top_tokens), key=lambda likely: -likely["logprob"])
        top = [
            {"token": decode([likely["id"]]), "logprob": likely["logprob"], "bytes": None}
            for likely in likeliest
        ]
        return {"token": decode([item.token]), "logprob": item.logprob, "bytes": None, "top_logprobs": top}

    def _set_completion_headers(self, status_code=200):
        """mlx_lm.server says 404 to everything that went wrong with a request."""
        if status_code == 404 and self.command == "POST":
            status_code = 400 if self.response_generator.is_healthy else 503
        super()._set_completion_headers(status_code)

    def handle_health_check(self):
        healthy = self.response_generator.is_healthy
        self._set_completion_headers(200 if healthy else 503)
        self.end_headers()
        self.wfile.write(
            json.dumps(
                {"status": "ok" if healthy else "unavailable", "progress": self.response_generator.progress}
            ).encode()
        )

    def log_message(self, format, *args):
        """Silent: the proxy has its own line for each request."""


def _is_possible(likely) -> bool:
    """Whether a token may stand there at all: what a grammar forbids has a logprob that JSON cannot say."""
    return likely["logprob"] > -math.inf


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128  # socketserver's 5 makes a burst of clients wait a second for their next SYN

    def handle_error(self, request, client_address):
        """A client that hung up is how a call is cancelled here; anything else is told by its type and place, never with its text."""
        error = sys.exc_info()[1]
        if not isinstance(error, ConnectionError):
            log.warning("a request's handler failed: %s", type(error).__name__)


class NoMessageText(logging.Filter):
    """mlx_lm.server logs bodies that it cannot parse, in full, and complains of every request with tools."""

    def filter(self, record):
        return record.name != "root"


def serve(model: str, on_listening) -> str:
    """Serve the model on 127.0.0.1 until its generation thread ends, and return why it did.

    model: a directory or a hub's name. on_listening: called with the port; the model is being loaded then, requests wait for it.
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
    failures = []

    def run(host, port, model_provider):
        generation = Generation(
            model_provider, server.LRUPromptCache(model_provider.cli_args.prompt_cache_size)
        )
        fingerprint = server.get_system_fingerprint()
        httpd = Server(
            ("127.0.0.1", 0), lambda *args: Handler(generation, *args, system_fingerprint=fingerprint)
        )
        threading.Thread(target=httpd.serve_forever, name="http", daemon=True).start()
        on_listening(httpd.server_address[1])
        generation.join()
        failures.append(generation.failure)

    # main() knows every default of this mlx_lm; only the running of it is ours.
    server.run = run
    server._make_logits_processors = _logits_processors
    sys.argv = ["mlx_lm.server", *(str(part) for option in options.items() for part in option)]
    server.main()
    return failures[0]
