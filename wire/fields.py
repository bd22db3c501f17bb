"""What the formats read alike: optional fields, lists and objects that may be something else, counts."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from errors import BadRequest
from wire import JsonObject


def present(fields: JsonObject) -> JsonObject:
    """The fields with a value: to these APIs' clients null means absent."""
    return {name: value for name, value in fields.items() if value is not None}


def refuse_unless_harmless(
    fields: JsonObject, harmless: Mapping[str, tuple[Any, ...]], counterpart: str, prefix: str = ""
) -> None:
    """Raise BadRequest for a field that would change the answer and has no counterpart.

    harmless: the fields in question, each with the values that ask for nothing. counterpart: names where
    there is none. prefix: of the names as the client wrote them.
    """
    for name, values in harmless.items():
        if name in fields and fields[name] not in values:
            problem = f"'{prefix}{name}' has no counterpart in {counterpart}; leave it out"
            raise BadRequest(problem, param=f"{prefix}{name}", code="unsupported_parameter")


def object_of(value: Any) -> JsonObject:
    """What may be an object, as one."""
    return value if isinstance(value, dict) else {}


def objects_of(value: Any) -> list[JsonObject]:
    """The objects in what may be a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def reasoning_in(delta: JsonObject) -> str:
    """The reasoning in a delta or a message, "" for none.

    It stands under the name of vLLM and DeepSeek, or under that of OpenRouter.
    """
    text = delta.get("reasoning_content") or delta.get("reasoning")
    return text if isinstance(text, str) else ""


def count_of(holder: JsonObject, name: str) -> int:
    """A number of tokens; 0 where there is none."""
    count = holder.get(name)
    return count if isinstance(count, int) else 0


class TokenCounts(NamedTuple):
    """A usage's numbers, 0 where the provider gives none. reasoning: None where it gives none."""

    prompt: int
    cached: int
    cache_written: int
    completion: int
    reasoning: int | None


def token_counts(usage: Any) -> TokenCounts:
    """The numbers of a chat completion's usage."""
    usage = object_of(usage)
    read, written = (object_of(usage.get(f"{side}_tokens_details")) for side in ("prompt", "completion"))
    return TokenCounts(
        prompt=count_of(usage, "prompt_tokens"),
        cached=count_of(read, "cached_tokens"),
        cache_written=count_of(read, "cache_write_tokens"),
        completion=count_of(usage, "completion_tokens"),
        reasoning=None if written.get("reasoning_tokens") is None else count_of(written, "reasoning_tokens"),
    )
