"""Constrained decoding: a grammar for an answer, and the logits processor that lets only its tokens pass.

The grammars are llguidance's: a JSON schema, a choice, a regular expression, or calls of tools. This module
knows nothing of HTTP; what a client's fields mean is for `guard` to decide. A schema is not to be trusted: it
is compiled within llguidance's limits of time and memory, on a thread of its own with a stack for the deepest
one that `guard` lets through, and tried for a few tokens before it meets anybody's batch.
"""

import json
import math
import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import mlx.core as mx
import numpy as np
import numpy.typing as npt
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, regex_to_lark
from llguidance.hf import from_tokenizer

from engine import tool_calls
from engine.json_schema import tightened
from wire import JsonObject

# As json.dumps writes it, which is what models were trained on, and in one form only: in whitespace small
# models never come to an end.
LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# Less than llguidance's own: at most half a second to compile, and some 10 ms for a step that all sequences
# of the batch wait for.
LIMITS = LLParserLimits(
    initial_lexer_fuel=500_000, step_lexer_fuel=100_000, max_grammar_size=50_000, verbose_errors=False
)
STACK_BYTES = 256 << 20  # a chain of a thousand $refs takes a few MB; only what is used is ever touched
MOST_RESIDUES = 10_000  # an automaton for multipleOf has as many states; 716,051 of them took 5 s and 300 MB
ASCII_CLASSES = "d"  # \d is 0-9 and no other script's digits
REHEARSED_TOKENS = 4
REASON_CHARS = 300
GRAMMARS_PLACE = re.compile(r"^at \d+\(\d+\): |\n +\d+ \| .*|<non-verbose/>", re.DOTALL)
WINDING_DOWN = 1 / 4  # of the budget is kept for bringing an answer to its end

Mask = npt.NDArray[np.bool_]  # over the vocabulary


class Impossible(ValueError):
    """No answer can be held to this; the message says why. param: the client's field."""

    def __init__(self, message: str, param: str) -> None:
        super().__init__(message)
        self.param = param


class Broken(Exception):
    """The grammar became too complex in the middle of an answer, which is now useless."""


class Grammars:
    """Compiles constraints for one model.

    tokenizer: mlx_lm's. vocab_size: the width of its logits, which may be more than the tokenizer knows.
    """

    def __init__(self, tokenizer: Any, vocab_size: int) -> None:
        self._tokenizer = tokenizer
        self._ending: Mask = np.zeros(vocab_size, np.bool_)
        self._ending[[token for token in tokenizer.eos_token_ids if token < vocab_size]] = True
        self._trie: LLTokenizer | None = None  # a third of a second to build, and few requests need it
        self._closers: list[int] = []
        self._thread = _thread_with_a_deep_stack()

    def compile(self, wanted: JsonObject, tools: list[JsonObject] | None, max_tokens: int) -> "Constraint":
        """The constraint for one answer. Raises Impossible.

        wanted: the body's `constraint`, as `guard` makes it. max_tokens: the answer's budget, which limits
        what the schema does not.
        """
        return self._thread.submit(self._compile, wanted, tools or [], max_tokens).result()

    def _compile(self, wanted: JsonObject, tools: list[JsonObject], max_tokens: int) -> "Constraint":
        match wanted:
            case {"json": dict() as schema, "param": str() as param}:
                matcher, _ = self._json(schema, max_tokens, param)
                return self._constraint(matcher)
            case {"choice": [str(), *_] as choices, "param": str() as param}:
                grammar = "start: " + " | ".join(map(_literal, choices))
                return self._constraint(self._matcher(grammar, param))
            case {"regex": str() as regex, "param": str() as param}:
                grammar = f"start: /{regex_to_lark(regex, ASCII_CLASSES)}/"
                return self._constraint(self._matcher(grammar, param))
            case {"calls": int() as most, "at": list() as places} if tools and len(tools) == len(places):
                return self._calls(dict(zip(places, tools, strict=True)), most, max_tokens)
        raise Impossible("nothing that an answer could be held to", "constraint")

    def _calls(self, tools: dict[int, JsonObject], most: int, max_tokens: int) -> "Constraint":
        """tools: those that may be called, by their place among the client's. most: the number of calls."""
        arguments = []
        for place, tool in tools.items():
            # Each by itself first: an error names its tool, and one that cannot be closed leaves the others
            # closed.
            param = f"tools[{place}].function.parameters"
            _, schema = self._json(tool_calls.parameters(tool), max_tokens, param)
            arguments.append(schema)
        names = [tool["function"]["name"] for tool in tools.values()]
        # What can be written in one form only goes into the prompt, where it takes no steps.
        begun = tool_calls.opening(names[0]) if most == len(names) == 1 else ""
        matcher = self._matcher(_calls_grammar(names, arguments, most, begun), "tools")
        return self._constraint(matcher, tool_calls.Reader(names, begun), begun)

    def _json(self, schema: JsonObject, max_tokens: int, param: str) -> tuple[LLMatcher, JsonObject]:
        """A matcher, and its schema: one whose objects are closed, if anything can satisfy that."""
        _check_multiples(schema, param)
        closed = tightened(schema, max_tokens)
        try:
            return self._matcher(_json_grammar(closed, param), param), closed
        except Impossible:
            still_open = tightened(schema, max_tokens, closes=False)
            return self._matcher(_json_grammar(still_open, param), param), still_open

    def _matcher(self, grammar: str, param: str) -> LLMatcher:
        if self._trie is None:
            self._trie = self._built_trie(param)
        matcher = LLMatcher(self._trie, grammar, log_level=0, limits=LIMITS)
        self._rehearse(matcher.deep_copy(), param)
        return matcher

    def _built_trie(self, param: str) -> LLTokenizer:
        tokenizer, vocab_size = self._tokenizer._tokenizer, len(self._ending)
        try:
            trie = from_tokenizer(tokenizer, vocab_size, eos_token=sorted(self._tokenizer.eos_token_ids))
        except ValueError as error:
            raise Impossible(f"this model's tokenizer knows no grammar: {error}", param) from error
        self._closers = [trie.greedy_tokenize(char)[0] for char in '}]",']
        return trie

    def _rehearse(self, matcher: LLMatcher, param: str) -> None:
        """Take a few tokens of any answer. Raises Impossible.

        Some grammars are too complex only once they are used, and some allow no answer at all.
        """
        constraint = self._constraint(matcher)
        for _ in range(REHEARSED_TOKENS):
            allowed = constraint.allowed()
            if constraint.error:
                raise Impossible(f"no answer can be held to this: {constraint.error}", param)
            constraint.take(int(allowed.argmax()))

    def _constraint(
        self, matcher: LLMatcher, reader: tool_calls.Reader | None = None, begun: str = ""
    ) -> "Constraint":
        return Constraint(matcher, self._ending, self._closers, reader, begun)


class Constraint:
    """Holds one answer to its grammar, as a logits processor of mlx_lm.

    It never raises: that would end the batch of everybody.

    reader: what makes tool calls of the answer's text, or None. begun: text that belongs at the end of the
    prompt. winds_down: whether from the last quarter of its budget on the answer closes what is open,
    wherever that is allowed, so that it becomes whole. error: what went wrong with the grammar in the middle;
    the answer then ends at once.
    """

    def __init__(
        self,
        matcher: LLMatcher,
        ending: Mask,
        closers: list[int],
        reader: tool_calls.Reader | None = None,
        begun: str = "",
    ) -> None:
        self.reader = reader
        self.begun = begun
        self.winds_down = False
        self.error = _reason(matcher.get_error()) if matcher.is_error() else ""
        self._matcher = matcher
        self._ending = ending
        self._closers = closers
        self._is_begun = False
        self._steps_to_spare = math.inf

    def has_budget(self, max_tokens: int) -> None:
        """Set the most tokens that this answer may have, which is known once its prompt is."""
        if self.winds_down:
            self._steps_to_spare = max_tokens - int(max_tokens * WINDING_DOWN)

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """tokens: all so far, of which the first call's are the prompt's; each later call brings one more."""
        mx.async_eval(logits)  # the forward pass goes on while the mask is made
        if self._is_begun:
            token: Any = tokens[-1].item()
            self.take(token)
        self._is_begun = True
        allowed = self.allowed()
        self._steps_to_spare -= 1
        if self._steps_to_spare < 0:
            allowed = self._closing(allowed)
        return mx.where(mx.array(allowed), logits, mx.array(-math.inf, logits.dtype))

    def take(self, token: int) -> None:
        """Add the token to the answer."""
        if not self._matcher.is_stopped():  # mlx_lm computes a step beyond the end
            self._matcher.consume_token(token)

    def allowed(self) -> Mask:
        """Which tokens may come next; only those that end the answer once it is whole or broken."""
        mask = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8) != 0
        if self._matcher.is_error():
            self.error = self.error or _reason(self._matcher.get_error())
        elif not self._matcher.is_accepting() and not (mask & ~self._ending).any():
            self.error = self.error or "nothing can satisfy it"
        return self._ending if self.error else mask

    def _closing(self, allowed: Mask) -> Mask:
        """Of the allowed tokens the one that closes what is open; all of them where there is none."""
        if self._matcher.is_accepting():
            return self._ending
        brace, bracket, quote, comma = (allowed[token] for token in self._closers)
        # Structure allows a brace or a bracket, never both; where both may stand is the inside of a string.
        open_ends = [brace and not bracket, bracket and not brace, quote, comma]
        for token, closes in zip(self._closers, open_ends, strict=True):
            if closes:
                only = np.zeros_like(allowed)
                only[token] = True
                return only
        return allowed


def _thread_with_a_deep_stack() -> ThreadPoolExecutor:
    """One thread, so that clients' schemas never take more than one core.

    It is started here since a stack's size is set for the threads that start next.
    """
    before = threading.stack_size(STACK_BYTES)
    try:
        thread = ThreadPoolExecutor(1, "grammars")
        thread.submit(int).result()
    finally:
        threading.stack_size(before)
    return thread


def _check_multiples(schema: JsonObject, param: str) -> None:
    """Raise Impossible if `multipleOf` takes too many states: llguidance has no limit of its own on them."""
    significant = (Decimal(repr(multiple)).normalize().as_tuple().digits for multiple in _multiples(schema))
    if math.lcm(*(int("".join(map(str, digits)) or 0) or 1 for digits in significant)) > MOST_RESIDUES:
        raise Impossible(f"multipleOf needs more than {MOST_RESIDUES} states", param)


def _multiples(node: Any) -> Iterator[int | float]:
    if isinstance(node, list):
        for item in node:
            yield from _multiples(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "multipleOf" and isinstance(value, (int, float)) and not isinstance(value, bool):
                yield value
            else:
                yield from _multiples(value)


def _json_grammar(schema: JsonObject, param: str) -> str:
    try:
        return LLMatcher.grammar_from_json_schema(json.dumps({**schema, "x-guidance": LAYOUT}))
    except ValueError as error:  # a number beyond its own, or nested too deep once tightened
        raise Impossible(f"no answer can be held to this: {error}", param) from error


def _reason(error: str) -> str:
    """llguidance's message, without the place in a grammar that the client has never seen."""
    words = " ".join(GRAMMARS_PLACE.sub("", error).split())
    return words[:REASON_CHARS]


def _literal(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _calls_grammar(names: list[str], arguments: list[JsonObject], most: int, begun: str) -> str:
    """One line for each call; where its beginning stands in the prompt, what is left of it."""
    rules = []
    for i, name in enumerate(names):
        opening = _literal(tool_calls.opening(name).removeprefix(begun))
        rules.append(f"call{i}: {opening} arguments{i} {_literal('}')}")
    for i, schema in enumerate(arguments):
        rules.append(f"arguments{i}: %json {json.dumps({**schema, 'x-guidance': LAYOUT})}")
    more = f' ("\\n" call){{0,{most - 1}}}' if most > 1 else ""
    any_call = " | ".join(f"call{i}" for i in range(len(names)))
    return "\n".join([f"start: call{more}", f"call: {any_call}", *rules])
