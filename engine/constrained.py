"""Constrained decoding: a grammar for what an answer must be, and the logits processor that lets no other token through.

The grammars are llguidance's: a JSON schema, a choice, a regular expression, or calls of tools. Knows nothing of HTTP; what a client's
fields mean is `guard`'s to say. A schema is a stranger's: it is compiled within llguidance's limits of time and memory, on a thread
of its own with a stack for the deepest one that `guard` lets through, and tried for a few tokens before anybody's batch meets it.
"""

import json
import math
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import mlx.core as mx
import numpy as np
from llguidance import LLMatcher, LLParserLimits, regex_to_lark
from llguidance.hf import from_tokenizer

from engine import tool_calls
from engine.json_schema import tightened

# As json.dumps writes it, which is what models were trained on, and in one way only: whitespace is where small models never come to an end.
LAYOUT = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
# Less than llguidance's own: at most half a second to compile, and some 10 ms for a step that all sequences of the batch wait for.
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


class Impossible(ValueError):
    """No answer can be held to this; the message says why. param: the client's field."""

    def __init__(self, message: str, param: str):
        super().__init__(message)
        self.param = param


class Broken(Exception):
    """The grammar became too complex in the middle of an answer, which is worth nothing now."""


class Grammars:
    """Compiles constraints for one model.

    tokenizer: mlx_lm's. vocab_size: the width of its logits, which may be more than the tokenizer knows.
    """

    def __init__(self, tokenizer, vocab_size: int):
        self._tokenizer = tokenizer
        self._ending = np.zeros(vocab_size, bool)
        self._ending[[token for token in tokenizer.eos_token_ids if token < vocab_size]] = True
        self._trie = None  # a third of a second to build, and only few ask for it
        self._closers = []
        self._thread = _thread_with_a_deep_stack()

    def compile(self, wanted: dict, tools: list[dict], max_tokens: int) -> "Constraint":
        """The constraint for one answer. Raises Impossible.

        wanted: the body's `constraint`, as `guard` makes it. max_tokens: the answer's budget, which limits what the schema does not.
        """
        return self._thread.submit(self._compile, wanted, tools or [], max_tokens).result()

    def _compile(self, wanted, tools, max_tokens):
        match wanted:
            case {"json": dict() as schema, "param": str() as param}:
                matcher, _ = self._json(schema, max_tokens, param)
                return self._constraint(matcher)
            case {"choice": [str(), *_] as choices, "param": str() as param}:
                return self._constraint(self._matcher("start: " + " | ".join(map(_literal, choices)), param))
            case {"regex": str() as regex, "param": str() as param}:
                return self._constraint(
                    self._matcher(f"start: /{regex_to_lark(regex, ASCII_CLASSES)}/", param)
                )
            case {"calls": int() as most, "at": list() as places} if tools and len(tools) == len(places):
                return self._calls(dict(zip(places, tools, strict=True)), most, max_tokens)
        raise Impossible("nothing that an answer could be held to", "constraint")

    def _calls(self, tools, most, max_tokens):
        arguments = []
        for place, tool in tools.items():
            # Each by itself first, so that an error names its tool, and one that cannot be closed leaves the others so.
            _, schema = self._json(
                tool_calls.parameters(tool), max_tokens, f"tools[{place}].function.parameters"
            )
            arguments.append(schema)
        names = [tool["function"]["name"] for tool in tools.values()]
        # What can only be written in one way goes into the prompt, where it takes no steps.
        begun = tool_calls.opening(names[0]) if most == len(names) == 1 else ""
        matcher = self._matcher(_calls_grammar(names, arguments, most, begun), "tools")
        return self._constraint(matcher, tool_calls.Reader(names, begun), begun)

    def _json(self, schema, max_tokens, param):
        """A matcher, and the schema that it is for: one whose objects are closed, if anything can satisfy that."""
        _check_multiples(schema, param)
        closed = tightened(schema, max_tokens)
        try:
            return self._matcher(_json_grammar(closed, param), param), closed
        except Impossible:
            still_open = tightened(schema, max_tokens, closes=False)
            return self._matcher(_json_grammar(still_open, param), param), still_open

    def _matcher(self, grammar, param):
        if self._trie is None:
            self._build_trie(param)
        matcher = LLMatcher(self._trie, grammar, log_level=0, limits=LIMITS)
        self._rehearse(matcher.deep_copy(), param)
        return matcher

    def _build_trie(self, param):
        try:
            trie = from_tokenizer(
                self._tokenizer._tokenizer,
                n_vocab=len(self._ending),
                eos_token=sorted(self._tokenizer.eos_token_ids),
            )
        except ValueError as error:
            raise Impossible(f"this model's tokenizer knows no grammar: {error}", param) from error
        self._closers = [trie.greedy_tokenize(char)[0] for char in '}]",']
        self._trie = trie

    def _rehearse(self, matcher, param):
        """A few tokens of any answer: some grammars are too complex only once they are used, and some lead nowhere."""
        constraint = self._constraint(matcher)
        for _ in range(REHEARSED_TOKENS):
            allowed = constraint.allowed()
            if constraint.error:
                raise Impossible(f"no answer can be held to this: {constraint.error}", param)
            constraint.take(int(allowed.argmax()))

    def _constraint(self, matcher, reader=None, begun=""):
        return Constraint(matcher, self._ending, self._closers, reader, begun)


class Constraint:
    """Holds one answer to its grammar, as a logits processor of mlx_lm. It never raises: that would end the batch of everybody.

    reader: what makes tool calls of the answer's text, or None. begun: text that belongs at the end of the prompt. winds_down: whether
    from the last quarter of its budget on the answer closes what is open, wherever that is allowed, so that it becomes whole.
    error: what went wrong with the grammar in the middle; the answer then ends at once.
    """

    def __init__(
        self, matcher: LLMatcher, ending: np.ndarray, closers: list[int], reader=None, begun: str = ""
    ):
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
        """max_tokens: the most that this answer may have, known once its prompt is."""
        if self.winds_down:
            self._steps_to_spare = max_tokens - int(max_tokens * WINDING_DOWN)

    def __call__(self, tokens: mx.array, logits: mx.array) -> mx.array:
        """tokens: all so far, of which the first call's are the prompt's; each later call brings one more."""
        mx.async_eval(logits)  # the forward pass goes on while the mask is made
        if self._is_begun:
            self.take(tokens[-1].item())
        self._is_begun = True
        allowed = self.allowed()
        self._steps_to_spare -= 1
        if self._steps_to_spare < 0:
            allowed = self._closing(allowed)
        return mx.where(mx.array(allowed), logits, mx.array(-math.inf, logits.dtype))

    def take(self, token: int) -> None:
        if not self._matcher.is_stopped():  # mlx_lm computes a step beyond the end
            self._matcher.consume_token(token)

    def allowed(self) -> np.ndarray:
        """Which tokens may come next, for each of the vocabulary; only those that end the answer once it is whole or broken."""
        mask = np.frombuffer(self._matcher.compute_logit_bias(), np.uint8) != 0
        if self._matcher.is_error():
            self.error = self.error or _reason(self._matcher.get_error())
        elif not self._matcher.is_accepting() and not (mask & ~self._ending).any():
            self.error = self.error or "nothing can satisfy it"
        return self._ending if self.error else mask

    def _closing(self, allowed):
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


def _thread_with_a_deep_stack():
    """One thread, so that strangers' schemas never take more than one core; started here since a stack's size is set for what starts next."""
    before = threading.stack_size(STACK_BYTES)
    try:
        thread = ThreadPoolExecutor(1, "grammars")
        thread.submit(int).result()
    finally:
        threading.stack_size(before)
    return thread


def _check_multiples(schema, param):
    """llguidance has no limit of its own on the states that `multipleOf` takes."""
    significant = (Decimal(repr(multiple)).normalize().as_tuple().digits for multiple in _multiples(schema))
    if math.lcm(*(int("".join(map(str, digits)) or 0) or 1 for digits in significant)) > MOST_RESIDUES:
        raise Impossible(f"multipleOf needs more than {MOST_RESIDUES} states", param)


def _multiples(node):
    if isinstance(node, list):
        for item in node:
            yield from _multiples(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key == "multipleOf" and isinstance(value, (int, float)) and not isinstance(value, bool):
                yield value
            else:
                yield from _multiples(value)


def _json_grammar(schema, param):
    try:
        return LLMatcher.grammar_from_json_schema(json.dumps({**schema, "x-guidance": LAYOUT}))
    except ValueError as error:  # a number beyond its own, or nested too deep once tightened
        raise Impossible(f"no answer can be held to this: {error}", param) from error


def _reason(error):
    """llguidance's own words, without the place in a grammar that the client has never seen."""
    words = " ".join(GRAMMARS_PLACE.sub("", error).split())
    return words[:REASON_CHARS]


def _literal(text):
    return json.dumps(text, ensure_ascii=False)


def _calls_grammar(names, arguments, most, begun):
    """One line for each call; where its beginning stands in the prompt, what is left of it."""
    rules = [
        f"call{i}: {_literal(tool_calls.opening(name).removeprefix(begun))} arguments{i} {_literal('}')}"
        for i, name in enumerate(names)
    ]
    rules += [
        f"arguments{i}: %json {json.dumps({**schema, 'x-guidance': LAYOUT})}"
        for i, schema in enumerate(arguments)
    ]
    more = f' ("\\n" call){{0,{most - 1}}}' if most > 1 else ""
    return "\n".join(
        [f"start: call{more}", "call: " + " | ".join(f"call{i}" for i in range(len(names))), *rules]
    )
