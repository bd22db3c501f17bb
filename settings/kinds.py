"""The kinds of provider there are: what each can do, and which settings it needs.

This is the one registry of kinds. A new kind is an entry here, a class in `providers.py` that names it, and
its format in `wire/`. Nobody else compares a provider's kind with a name; they ask what it can do.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any

RESPONSES_SEARCH, CHAT_SEARCH, PAGE_SEARCH = "responses", "chat", "pages"


@dataclass(frozen=True)
class Capabilities:
    """What a provider can do.

    responses: the Responses API, passed through untouched.
    search: how it searches the web, one of the words above; None: it does not search.
    vision, audio, tools: whether it takes pictures, sound and tools; None where only the model knows.
    context_length: in tokens, None where it is not known.
    """

    chat: bool = True
    completions: bool = False
    embeddings: bool = False
    responses: bool = False
    search: str | None = None
    vision: bool | None = None
    audio: bool | None = None
    tools: bool | None = None
    context_length: int | None = None


@dataclass(frozen=True)
class Kind:
    """One kind of provider.

    doc: what a provider of it is, in a few words, for the settings' list and for messages.
    capabilities: the most that any provider of this kind can do; the owner's settings switch some of it on
    (`responses`) or choose (`search`).
    searches: what `search` may be, the usual one first.
    needs: the settings without which a provider is disabled.
    embedded: a model of ours, without an address.
    lists_models: its servers tell which models they have, and what those can take, so that one at home need
    not be told which it serves.
    has_api_path: its base URL ends in /v1, unless the owner writes another path.
    has_search_path: it searches at /search below its base URL, which is often written along.
    """

    doc: str
    capabilities: Capabilities
    searches: tuple[str, ...] = ()
    needs: tuple[str, ...] = ("base_url", "model")
    embedded: bool = False
    lists_models: bool = False
    has_api_path: bool = False
    has_search_path: bool = False
    health_path: str | None = None


KINDS: dict[str, Kind] = {
    "openai": Kind(
        "any OpenAI-compatible server",
        Capabilities(completions=True, embeddings=True, responses=True),
        searches=(RESPONSES_SEARCH, CHAT_SEARCH),
        lists_models=True,
        has_api_path=True,
    ),
    "anthropic": Kind(
        "the Messages API",
        Capabilities(vision=True, audio=False, tools=True),
        searches=(CHAT_SEARCH,),
        has_api_path=True,
    ),
    "mlx": Kind(
        "an embedded model",
        Capabilities(completions=True, vision=False, audio=False, tools=True),
        needs=("model",),
        embedded=True,
    ),
    "searxng": Kind(
        "your search engine, for enrichment alone",
        Capabilities(chat=False, vision=False, audio=False, tools=False),
        searches=(PAGE_SEARCH,),
        needs=("base_url",),
        has_search_path=True,
        health_path="/healthz",
    ),
}


def capabilities_of(
    kind: str,
    *,
    responses: bool,
    search: str,
    vision: bool | None = None,
    audio: bool | None = None,
    tools: bool | None = None,
    context_length: int | None = None,
) -> Capabilities:
    """What a provider of a kind can do under the owner's settings. None: as its kind has it."""
    known = KINDS[kind]
    chosen = search if search in known.searches else next(iter(known.searches), None)
    declared: dict[str, Any] = {
        "vision": vision,
        "audio": audio,
        "tools": tools,
        "context_length": context_length,
    }
    return dataclasses.replace(
        known.capabilities,
        responses=known.capabilities.responses and responses,
        search=chosen,
        **{name: value for name, value in declared.items() if value is not None},
    )
