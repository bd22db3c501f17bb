"""Any instruct model that mlx_lm loads, as the classifier.

Nothing is generated: the probabilities of the possible answers are read off. The instructions and examples
(prompts/classify_labels.md) are computed once, at loading; a question costs one pass over its own few tokens
on a copy of that prompt's key-value cache. An answer counts by the probability of all its tokens after the
assistant's header, compared with its probability after no question at all: small models have favourite words.

It knows nothing of routes, thresholds or threads: one owner thread calls it, as engine.router_model. It runs
in whatever precision the weights are stored; measured on a CPU in float32 only.
"""

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from engine.text import encodable

if TYPE_CHECKING:  # the optional engine
    import mlx.core as mx

# A token each in the usual vocabularies, where the labels themselves are two or three.
WORDS = {"MODERATE": "easy", "COMPLEX": "hard", "ENRICH": "search"}
EXAMPLES = "\nExamples\n"
NO_QUESTIONS = ("N/A", "", "...", "[request]")
# Of the last turn, and of each of the two before it: time is linear in tokens.
HEAD_TOKENS, TAIL_TOKENS, BEFORE_TOKENS = 64, 24, 20
CHARS_PER_TOKEN = 8  # enough characters to get as many tokens from, of almost any text
SLOT = "\u241fquestion\u241f"  # stands in the rendered prompt where the question goes

Turn = tuple[str, str]  # role, text
Messages = list[dict[str, str]]
Floats = npt.NDArray[np.float32]


class LabelModel:
    """A loaded model with its prompt, ready for questions. Not for several threads at once."""

    at_once = 1

    def __init__(self, model: Any, tokenizer: Any, prompt: str, words: dict[str, str] = WORDS) -> None:
        """model, tokenizer: as mlx_lm.load returns them.

        prompt: instructions, and below "Examples" lines `word: request`. words: label -> its word there.
        """
        import mlx.core as mx
        from mlx_lm.models.cache import make_prompt_cache

        self._model, self._tokenizer = model, tokenizer
        conversation = _conversation(prompt)
        self._specials = tokenizer.get_added_vocab()
        before, self._after = self._rendered(conversation).split(SLOT)
        fixed = before.rstrip()
        self._before = before[len(fixed) :]  # white space, which tokenizers join to what follows
        self._answers = {label: self._answer(conversation, word) for label, word in words.items()}
        self._cache = make_prompt_cache(model)
        model(mx.array([self._ids(fixed)]), cache=self._cache)
        mx.eval([layer.state for layer in self._cache])
        self._bias = np.mean([self._log_probabilities(text) for text in NO_QUESTIONS], axis=0)

    @classmethod
    def load(cls, name: str, prompt: str) -> "LabelModel":
        """name: a folder, or a hub's `owner/model`, which is downloaded if need be.

        Call engine.blas.load() first: this imports MLX. Raises FileNotFoundError when it is neither, and
        whatever mlx_lm and the hub raise.
        """
        if not Path(name).is_dir() and name.count("/") != 1:
            raise FileNotFoundError(f"{name}: neither a folder nor a hub's owner/model")
        from mlx_lm import load

        model, tokenizer, *_ = load(name)
        return cls(model, tokenizer, prompt)

    def batch(self, conversations: list[list[Turn]]) -> list[dict[str, float]]:
        """How likely each label is for each conversation's last turn; the values sum to 1.

        turns: (role, text), oldest first. Of any text of any length some 140 tokens at most are read.
        """
        return [self._probabilities(turns) for turns in conversations]

    def _probabilities(self, turns: list[Turn]) -> dict[str, float]:
        scores = self._log_probabilities(self._question(turns)) - self._bias
        shares = np.exp(scores - scores.max())
        return dict(zip(self._answers, map(float, shares / shares.sum()), strict=True))

    def _log_probabilities(self, question: str) -> Floats:
        """The log-probability of each answer to a question's text, natural, in the order of the labels."""
        import mlx.core as mx

        cache = copy.deepcopy(self._cache)
        ids = self._ids(self._before + question + self._after)
        first = _log_softmax(self._model(mx.array([ids]), cache=cache)[0, -1])
        answers = self._answers.values()
        return np.array([first[answer[0]] + self._continued(answer, cache) for answer in answers])

    def _continued(self, answer: list[int], cache: Any) -> float:
        """The log-probability of an answer's further tokens after its first one."""
        import mlx.core as mx

        if len(answer) == 1:
            return 0.0
        steps = self._model(mx.array([answer[:-1]]), cache=copy.deepcopy(cache))[0]
        rest = zip(steps, answer[1:], strict=True)
        log_probability: float = sum(_log_softmax(logits)[token] for logits, token in rest)
        return log_probability

    def _question(self, turns: list[Turn]) -> str:
        """What of the conversation is classified.

        The two turns before the last, shortened, and the head and tail of the last.
        """
        before = "".join(f"{role}: {self._cut(text, BEFORE_TOKENS, 0)}\n" for role, text in turns[-3:-1])
        return before + self._cut(turns[-1][1] if turns else "", HEAD_TOKENS, TAIL_TOKENS)

    def _cut(self, text: str, head: int, tail: int) -> str:
        """The text within `head` + `tail` tokens, without the template's own words, such as <|im_end|>."""
        room = (head + tail) * CHARS_PER_TOKEN
        first = self._ids(self._plain(text[:room]))
        last = self._ids(self._plain(text[len(text) - tail * CHARS_PER_TOKEN :]))
        kept = first[:head] + (last[-tail:] if tail else [])
        if len(text) <= room and len(first) <= head + tail:
            kept = first
        cut: str = self._tokenizer.decode(kept)
        return cut

    def _plain(self, text: str) -> str:
        for special in self._specials:
            text = text.replace(special, " ")
        return encodable(text)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer.encode(text, add_special_tokens=False)
        return ids

    def _rendered(self, conversation: Messages, answer: str | None = None) -> str:
        """The conversation as the model's chat template renders it.

        Up to where the assistant answers, or with its answer.
        """
        from jinja2 import TemplateError

        messages = [*conversation, *([{"role": "assistant", "content": answer}] if answer else [])]
        try:
            return self._templated(messages, answer is None)
        except TemplateError:  # some models have no system role
            rules, first, *others = messages
            merged = {"role": "user", "content": f"{rules['content']}\n\n{first['content']}"}
            return self._templated([merged, *others], answer is None)

    def _templated(self, messages: Messages, add_generation_prompt: bool) -> str:
        text: str = self._tokenizer.apply_chat_template(
            messages,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            enable_thinking=False,  # where the template knows it
        )
        return text

    def _answer(self, conversation: Messages, word: str) -> list[int]:
        """The word's tokens as they follow the assistant's header in this template.

        A space before the word is part of them where the template has one.
        """
        open_, whole = self._rendered(conversation), self._rendered(conversation, word)
        rest = whole[len(open_) :] if whole.startswith(open_) else word
        return self._ids(rest[: rest.index(word) + len(word)])


def _conversation(prompt: str) -> Messages:
    """The messages of a prompt's instructions and examples, and a place for the question."""
    rules, _, examples = prompt.partition(EXAMPLES)
    messages = [{"role": "system", "content": rules.strip()}]
    for line in examples.strip().splitlines():
        word, _, request = line.partition(": ")
        messages += [{"role": "user", "content": request}, {"role": "assistant", "content": word}]
    return [*messages, {"role": "user", "content": SLOT}]


def _log_softmax(logits: "mx.array") -> Floats:
    import mlx.core as mx

    logits = logits.astype(mx.float32)
    return np.array(logits - mx.logsumexp(logits))
