"""Any instruct model that mlx_lm loads, as the classifier: nothing is generated, the probabilities of the possible answers are read off.

The instructions and examples (prompts/classify_labels.md) are computed once, at loading; a question costs one pass over its own few tokens on a copy of that
prompt's key-value cache. An answer counts by the probability of all its tokens after the assistant's header, and compared with what the model would say to no
question at all: small models have favourite words.

It knows nothing of routes, thresholds or threads: one owner thread calls it, as engine.router_model. It runs in whatever precision the weights are stored;
measured on a CPU in float32 alone.
"""

import copy
from pathlib import Path

import numpy as np

WORDS = {
    "MODERATE": "easy",
    "COMPLEX": "hard",
    "ENRICH": "search",
}  # a token each in the usual vocabularies, where the labels themselves are two or three
EXAMPLES = "\nExamples\n"
NO_QUESTIONS = ("N/A", "", "...", "[request]")
HEAD_TOKENS, TAIL_TOKENS, BEFORE_TOKENS = (
    64,
    24,
    20,
)  # of the last turn, and of each of the two before it: time is linear in tokens
CHARS_PER_TOKEN = 8  # enough characters to get as many tokens from, of almost any text
SLOT = "\u241fquestion\u241f"  # stands in the rendered prompt where the question goes

Turn = tuple[str, str]  # role, text


class LabelModel:
    """A loaded model and its prompt, ready to be asked. Not for several threads at once."""

    at_once = 1

    def __init__(self, model, tokenizer, prompt: str, words: dict[str, str] = WORDS):
        """model, tokenizer: as mlx_lm.load returns them. prompt: instructions, and below "Examples" lines `word: request`. words: label -> its word there."""
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
        """name: a folder, or a hub's `owner/model`, which is downloaded if need be. Call engine.blas.load() first: this imports MLX.

        Raises FileNotFoundError when it is neither, and whatever mlx_lm and the hub raise.
        """
        if not Path(name).is_dir() and name.count("/") != 1:
            raise FileNotFoundError(f"{name}: neither a folder nor a hub's owner/model")
        from mlx_lm import load

        return cls(*load(name), prompt)

    def batch(self, conversations: list[list[Turn]]) -> list[dict[str, float]]:
        """How likely each label is for each conversation's last turn; the values sum to 1.

        turns: (role, text), oldest first. Of any text of any length some 140 tokens at most are read.
        """
        return [self._probabilities(turns) for turns in conversations]

    def _probabilities(self, turns):
        scores = self._log_probabilities(self._question(turns)) - self._bias
        shares = np.exp(scores - scores.max())
        return dict(zip(self._answers, map(float, shares / shares.sum()), strict=True))

    def _log_probabilities(self, question):
        """The log-probability of each answer to a question's text, natural, in the order of the labels."""
        import mlx.core as mx

        cache = copy.deepcopy(self._cache)
        first = _log_softmax(
            self._model(mx.array([self._ids(self._before + question + self._after)]), cache=cache)[0, -1]
        )
        return np.array(
            [first[answer[0]] + self._continued(answer, cache) for answer in self._answers.values()]
        )

    def _continued(self, answer, cache):
        """The log-probability of an answer's further tokens after its first one."""
        import mlx.core as mx

        if len(answer) == 1:
            return 0.0
        told = self._model(mx.array([answer[:-1]]), cache=copy.deepcopy(cache))[0]
        return sum(_log_softmax(logits)[token] for logits, token in zip(told, answer[1:], strict=True))

    def _question(self, turns):
        """What of the conversation is judged: the two turns before the last, shortened, and the head and tail of the last."""
        before = "".join(f"{role}: {self._cut(text, BEFORE_TOKENS, 0)}\n" for role, text in turns[-3:-1])
        return before + self._cut(turns[-1][1] if turns else "", HEAD_TOKENS, TAIL_TOKENS)

    def _cut(self, text, head, tail):
        """The text within `head` + `tail` tokens, and without words that only the template may say, such as <|im_end|>."""
        room = (head + tail) * CHARS_PER_TOKEN
        first, last = text[:room], text[len(text) - tail * CHARS_PER_TOKEN :]
        first, last = (self._ids(self._plain(part)) for part in (first, last))
        if len(text) <= room and len(first) <= head + tail:
            return self._tokenizer.decode(first)
        return self._tokenizer.decode(first[:head] + (last[-tail:] if tail else []))

    def _plain(self, text):
        for special in self._specials:
            text = text.replace(special, " ")
        return text.encode("utf-8", "replace").decode(
            "utf-8"
        )  # without lone surrogates, which JSON may carry and no tokenizer accepts

    def _ids(self, text):
        return self._tokenizer.encode(text, add_special_tokens=False)

    def _rendered(self, conversation, answer=None):
        """The conversation in the words of the model's chat template, up to where the assistant answers, or with its answer."""
        from jinja2 import TemplateError

        told = [*conversation, *([{"role": "assistant", "content": answer}] if answer else [])]
        options = {
            "tokenize": False,
            "add_generation_prompt": answer is None,
            "enable_thinking": False,
        }  # the last where the template knows it
        try:
            return self._tokenizer.apply_chat_template(told, **options)
        except TemplateError:  # some models have no system role
            rules, first, *others = told
            return self._tokenizer.apply_chat_template(
                [{"role": "user", "content": f"{rules['content']}\n\n{first['content']}"}, *others], **options
            )

    def _answer(self, conversation, word):
        """The word's tokens as they follow the assistant's header in this template, a space before it included where it has one."""
        asked, answered = self._rendered(conversation), self._rendered(conversation, word)
        rest = answered[len(asked) :] if answered.startswith(asked) else word
        return self._ids(rest[: rest.index(word) + len(word)])


def _conversation(prompt):
    """The messages of a prompt's instructions and examples, and of a question that has yet to come."""
    rules, _, examples = prompt.partition(EXAMPLES)
    messages = [{"role": "system", "content": rules.strip()}]
    for line in examples.strip().splitlines():
        word, _, request = line.partition(": ")
        messages += [{"role": "user", "content": request}, {"role": "assistant", "content": word}]
    return [*messages, {"role": "user", "content": SLOT}]


def _log_softmax(logits):
    import mlx.core as mx

    logits = logits.astype(mx.float32)
    return np.array(logits - mx.logsumexp(logits))
