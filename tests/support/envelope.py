"""A good stream in OpenAI's format, the same answer whole, and what providers get wrong in its envelope."""

import copy
from typing import NamedTuple

USAGE = {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8}


def chunk(**fields):
    return {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": []} | fields


def _piece(delta, finish=None):
    return chunk(choices=[{"index": 0, "delta": delta, "finish_reason": finish}])


STREAM = (
    _piece({"role": "assistant", "content": "forty"}),
    _piece({"content": "-two"}),
    _piece({}, "stop"),
    chunk(usage=USAGE),
)
WHOLE = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "m",
    "choices": [
        {"index": 0, "message": {"role": "assistant", "content": "forty-two"}, "finish_reason": "stop"}
    ],
    "usage": USAGE,
}


class Mistake(NamedTuple):
    """make: what the provider does to each chunk, in place. stands_in_stream, stands_in_whole: fields that a
    client then gets in the place of the provider's.
    """

    make: object
    stands_in_stream: dict = {}
    stands_in_whole: dict = {}


def _sets(**fields):
    return lambda chunk: chunk.update(fields)


def _drops(*names):
    return lambda chunk: [chunk.pop(name, None) for name in names]


def _in_choices(make):
    return lambda chunk: [make(choice) for choice in chunk["choices"]]


def _in_delta(make):
    return _in_choices(lambda choice: make(choice["delta"]))


def _without_empty_delta(value):
    """A delta that brings nothing is told as `value`, or not at all for KeyError."""

    def make(choice):
        if not choice["delta"]:
            del choice["delta"]
            if value is not KeyError:
                choice["delta"] = value

    return _in_choices(make)


def _no_choices_with_usage(chunk):
    if chunk.get("usage"):
        del chunk["choices"]


def _null_choices_with_usage(chunk):
    if chunk.get("usage"):
        chunk["choices"] = None


def _envelope_only_of_the_words(chunk):
    _drops("id", "object", "created", "model")(chunk)
    _in_choices(_drops("index"))(chunk)
    _in_choices(lambda choice: choice["finish_reason"] or choice.pop("finish_reason"))(chunk)
    _in_delta(_drops("role"))(chunk)


_OUR_ID = {"id": "chatcmpl-ours"}
_OUR_TIME = {"created": 7}
_OUR_MODEL = {"model": "our-model"}
_OURS = _OUR_ID | _OUR_TIME | _OUR_MODEL

MISTAKES = {
    "object of a whole answer": Mistake(_sets(object="chat.completion")),
    "object of a legacy completion": Mistake(_sets(object="text_completion")),
    "object empty": Mistake(_sets(object="")),
    "object missing": Mistake(_drops("object")),
    "id missing": Mistake(_drops("id"), _OUR_ID, _OUR_ID),
    "id empty": Mistake(_sets(id=""), _OUR_ID, _OUR_ID),
    "id null": Mistake(_sets(id=None), _OUR_ID, _OUR_ID),
    "id a number": Mistake(_sets(id=12), _OUR_ID, _OUR_ID),
    "created missing": Mistake(_drops("created"), _OUR_TIME, _OUR_TIME),
    "created null": Mistake(_sets(created=None), _OUR_TIME, _OUR_TIME),
    "created a text": Mistake(_sets(created="1"), {"created": 1}, {"created": 1}),
    "created a broken number": Mistake(_sets(created=1.5), {"created": 1}, {"created": 1}),
    "created a date": Mistake(_sets(created="2026-01-01T00:00:00Z"), _OUR_TIME, _OUR_TIME),
    "model missing": Mistake(_drops("model"), _OUR_MODEL, _OUR_MODEL),
    "model empty": Mistake(_sets(model=""), _OUR_MODEL, _OUR_MODEL),
    "model null": Mistake(_sets(model=None), _OUR_MODEL, _OUR_MODEL),
    "index missing": Mistake(_in_choices(_drops("index"))),
    "index null": Mistake(_in_choices(_sets(index=None))),
    "index a bool": Mistake(_in_choices(_sets(index=False))),
    "role missing": Mistake(_in_delta(_drops("role"))),
    "role null": Mistake(_in_delta(lambda delta: "role" in delta and delta.update(role=None))),
    "choices missing beside the usage": Mistake(_no_choices_with_usage),
    "choices null beside the usage": Mistake(_null_choices_with_usage),
    "delta null": Mistake(_without_empty_delta(None)),
    "delta missing": Mistake(_without_empty_delta(KeyError)),
    "finish_reason missing": Mistake(
        _in_choices(lambda choice: choice["finish_reason"] or choice.pop("finish_reason"))
    ),
    "finish_reason empty": Mistake(
        _in_choices(lambda choice: choice.update(finish_reason=choice["finish_reason"] or ""))
    ),
    "no envelope at all": Mistake(_envelope_only_of_the_words, _OURS, _OURS),
}


def mistaken(name):
    """The stream of a provider that makes one of the mistakes."""
    chunks = copy.deepcopy(list(STREAM))
    for each in chunks:
        MISTAKES[name].make(each)
    return chunks
