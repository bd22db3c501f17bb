"""The envelope of OpenAI's answers: the fields around the words, mended where a provider gets them wrong.

What is mended, in every chunk of a stream and in every whole answer:

- `object` is `chat.completion.chunk` in a chat's stream, `chat.completion` in a whole answer and
  `text_completion` in both kinds of legacy completions. mlx_lm.server calls the last chunk of a stream, the
  one with the usage, `chat.completion`, and openai-python's `chat.completions.stream()` then loses the usage.
- `id` is a text, not empty, and the same in every chunk: the first chunk's own, or one made here where that
  has none.
- `created` is a whole number of seconds; `model` is a text, not empty. Where a chunk lacks one of them, it
  gets that of the chunks before it, or else the one given here.
- `choices` is a list: `[]` where a chunk with other fields of a completion has none. A whole answer without
  any choice gets an empty one.
- `usage` is null, or has whole numbers as `prompt_tokens`, `completion_tokens` and `total_tokens`; what else
  it holds stays. Anthropic's words for the first two are understood. A whole answer leaves it out where the
  provider told none.

In every choice:

- `index` is a whole number: the choice's place in its list where the provider gives none.
- `delta` (in a chat's stream) is an object; the first one of a choice has a `role`. `message` (in a whole
  answer of a chat) is an object with a `role`; `text` (in legacy completions) is a text.
- `finish_reason` is there, and null until the choice ends. An empty text means null, too.

An object with none of a completion's fields is something of the provider's own; it stays as it is.
This module knows nothing of bytes or events: whoever sends a chunk asks whether it was changed.
Reference: platform.openai.com/docs/api-reference/chat/object and .../chat/streaming.
"""

import math
from typing import Any

from wire import JsonObject

FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage"})


class Envelope:
    """One answer's envelope. It remembers what earlier chunks hold, so every answer needs its own."""

    def __init__(self, id: str, created: int, model: str, *, is_text: bool = False) -> None:
        """id, created, model: stand where the provider gives none; created in seconds since 1970.

        is_text: whether the answer is a legacy completion.
        """
        self.is_text = is_text
        self._id = id
        self._created = created
        self._model = model
        self._has_begun = False
        self._object = "text_completion" if is_text else "chat.completion.chunk"

    @property
    def head(self) -> JsonObject:
        """The first fields of a chunk that is made here."""
        return {"id": self._id, "object": self._object, "created": self._created, "model": self._model}

    def mend_chunk(self, chunk: JsonObject) -> bool:
        """Mend a chunk in place, without its choices. Returns whether anything had to be mended."""
        if (
            chunk.get("id") == self._id
            and chunk.get("object") == self._object
            and chunk.get("model") == self._model
            and type(chunk.get("created")) is int
            and type(chunk.get("choices")) is list
        ):
            is_mended = False  # nearly every chunk is good
        elif FIELDS.isdisjoint(chunk):
            return False
        else:
            is_mended = self._mend_head(chunk, self._object)
            if not isinstance(chunk.get("choices"), list):
                chunk["choices"] = []
                is_mended = True
        return _mend_usage(chunk) or is_mended if chunk.get("usage") is not None else is_mended

    def mend_choice(self, choice: JsonObject, *, is_first: bool) -> bool:
        """Mend a chunk's choice in place, without its index. Returns whether anything had to be mended.

        is_first: whether it is the first piece of its choice.
        """
        is_mended = False
        if not choice.get("finish_reason") and choice.get("finish_reason", "") is not None:
            choice["finish_reason"] = None
            is_mended = True
        if self.is_text:
            return _mend_text(choice) or is_mended
        if not isinstance(choice.get("delta"), dict):
            choice["delta"] = {}
            is_mended = True
        if is_first and not choice["delta"].get("role"):
            choice["delta"] = {**choice["delta"], "role": "assistant"}
            is_mended = True
        return is_mended

    def mend_answer(self, answer: JsonObject) -> JsonObject:
        """Mend a whole answer in place, and return it. Its choices have index and finish_reason already."""
        self._mend_head(answer, "text_completion" if self.is_text else "chat.completion")
        if not answer.get("choices"):
            answer["choices"] = [{"index": 0, "finish_reason": "stop"}]
        for choice in answer["choices"]:
            if self.is_text:
                _mend_text(choice)
            else:
                _mend_message(choice)
        if _mend_usage(answer) and answer["usage"] is None:
            del answer["usage"]
        return answer

    def _mend_head(self, answer: JsonObject, object: str) -> bool:
        """Mend what every chunk repeats, and remember it for the chunks which do not."""
        created = answer.get("created")
        if not self._has_begun:
            self._has_begun = True
            self._id = _text(answer.get("id")) or self._id
        self._created = whole_number(created) or self._created
        self._model = _text(answer.get("model")) or self._model
        head: JsonObject = {"id": self._id, "object": object, "model": self._model}
        if type(created) is not int:
            head["created"] = self._created
        elif all(answer.get(name) == value for name, value in head.items()):
            return False
        answer.update(head)
        return True


def whole_number(value: Any) -> int | None:
    """A number, or a text that is one, as a whole number; None for anything else."""
    if type(value) is int:
        return value
    if isinstance(value, (str, float)):
        try:
            number = float(value)
        except ValueError:
            return None
        return int(number) if math.isfinite(number) else None
    return None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _mend_text(choice: JsonObject) -> bool:
    if isinstance(choice.get("text"), str):
        return False
    choice["text"] = ""
    return True


def _mend_message(choice: JsonObject) -> None:
    message = choice.get("message")
    if not isinstance(message, dict):
        choice["message"] = {"role": "assistant", "content": None}
    elif not message.get("role"):
        choice["message"] = {**message, "role": "assistant"}


def _mend_usage(answer: JsonObject) -> bool:
    """Mend the usage of a chunk or an answer in an object of its own; the records keep the provider's."""
    usage = answer.get("usage")
    if not usage or not isinstance(usage, dict):
        answer["usage"] = None
        return True
    if (
        type(usage.get("total_tokens")) is int
        and type(usage.get("prompt_tokens")) is int
        and type(usage.get("completion_tokens")) is int
    ):
        return False
    read, written = (
        whole_number(usage.get(name)) or whole_number(usage.get(other)) or 0
        for name, other in (("prompt_tokens", "input_tokens"), ("completion_tokens", "output_tokens"))
    )
    total = whole_number(usage.get("total_tokens")) or read + written
    counts = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": total}
    answer["usage"] = {**usage, **counts}
    return True
