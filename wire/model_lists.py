"""What servers tell of their models: which there are, which is in memory, what each can take.

A parser for each server, all to `ListedModel`. Nothing is taken for granted, since a server of another make
may answer at the same path; LM Studio answers 200 with an error in it at paths that it does not have.

References (November 2026): vLLM's ModelCard (entrypoints/openai/models), docs.ollama.com/api (tags, ps,
show), LM Studio's /api/v0/models (lmstudio.ai/docs/developer/rest), llama.cpp's tools/server/README.md
(/v1/models, /props, and `status` where it is a router), openrouter.ai/docs/models.
"""

import dataclasses
import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from wire import JsonObject
from wire.fields import object_of, objects_of

MAX_MODELS = 5000  # of a list that are read; OpenRouter has some hundreds
MAX_ID_CHARS = 200  # of a name; a longer one is no name
SHOWN_NAMES = 8  # in a message
# Models that Ollama only relays to its cloud, where each token is paid for.
OLLAMA_CLOUD = (":cloud", "-cloud")
# Where the server itself does not say what a model is for.
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|\btts\b|(^|[/:_-])(bge|gte|e5|minilm|clip|stable-diffusion|sdxl|flux)([-_.:]|$)",
    re.I,
)


@dataclass(frozen=True)
class ListedModel:
    """One model, as far as its server tells; None where it does not.

    context_length: in tokens. loaded: it is in memory. chats: False for one that embeds or the like.
    is_adapter: a LoRA on top of another one. is_relayed: somebody else's server computes it.
    """

    id: str
    context_length: int | None = None
    vision: bool | None = None
    audio: bool | None = None
    tools: bool | None = None
    loaded: bool | None = None
    chats: bool | None = None
    is_adapter: bool = False
    is_relayed: bool = False

    def completed_by(self, other: "ListedModel") -> "ListedModel":
        """This model with what only the other one knows of it."""
        known = {
            field.name: getattr(other, field.name)
            for field in dataclasses.fields(self)
            if getattr(self, field.name) is None
        }
        return dataclasses.replace(self, **known)


Models = tuple[ListedModel, ...]


# The list of the OpenAI API, with what the makers add to its entries.


def openai_models(answer: Any) -> Models | None:
    """The models of /v1/models; None where that is no such list."""
    listed = object_of(answer).get("data")
    if not isinstance(listed, list):
        return None
    return tuple(_openai_model(entry) for entry in _named(listed, "id"))


def owner_of(answer: Any) -> str:
    """Who says that the models of /v1/models are theirs: "vllm", "llamacpp" and so on, "" for nobody."""
    first = next(iter(objects_of(object_of(answer).get("data"))), {})
    owner = first.get("owned_by")
    return owner if isinstance(owner, str) else ""


def _openai_model(entry: JsonObject) -> ListedModel:
    meta, modalities = (
        object_of(entry.get("meta")),
        object_of(entry.get("architecture")).get("input_modalities"),
    )
    takes = modalities if isinstance(modalities, list) else None
    parameters = entry.get("supported_parameters")
    return ListedModel(
        entry["id"],
        context_length=_count(
            object_of(entry.get("top_provider")).get("context_length"),  # OpenRouter: of who serves it now
            entry.get("max_model_len"),
            entry.get("context_length"),
            meta.get("n_ctx"),
            meta.get("n_ctx_train"),
        ),
        vision=None if takes is None else "image" in takes,
        audio=None if takes is None else "audio" in takes,
        tools="tools" in parameters if isinstance(parameters, list) else None,
        loaded=_status(entry),
        is_adapter=bool(entry.get("parent")),
    )


def _status(entry: JsonObject) -> bool | None:
    """Whether llama.cpp's router has a model in memory."""
    status = object_of(entry.get("status")).get("value")
    return status == "loaded" if isinstance(status, str) else None


# Ollama.


def is_ollama(version: Any) -> bool:
    """Whether the answer of /api/version is Ollama's."""
    return isinstance(object_of(version).get("version"), str)


def ollama_models(tags: Any) -> Models | None:
    """The models of /api/tags, the one changed last first; None where that is no such list."""
    listed = object_of(tags).get("models")
    if not isinstance(listed, list):
        return None
    return tuple(_ollama_model(entry) for entry in _named(listed, "model", "name"))


def _ollama_model(entry: JsonObject) -> ListedModel:
    name = entry["id"]
    relayed = bool(entry.get("remote_host")) or name.endswith(OLLAMA_CLOUD)
    return dataclasses.replace(_ollama_abilities(name, entry), is_relayed=relayed)


def ollama_loaded(ps: Any) -> dict[str, int | None] | None:
    """Model -> the context length it was loaded with, of /api/ps; None where it does not tell."""
    listed = object_of(ps).get("models")
    if not isinstance(listed, list):
        return None
    return {entry["id"]: _count(entry.get("context_length")) for entry in _named(listed, "model", "name")}


def ollama_shown(model: str, show: Any) -> ListedModel:
    """What /api/show tells of a model.

    The context length is the one in the model's own parameters, else the longest it was trained for. The one
    it is loaded with (`ollama_loaded`) is often shorter.
    """
    show = object_of(show)
    info = object_of(show.get("model_info"))
    architecture = info.get("general.architecture")
    parameters = show.get("parameters")
    own = re.search(r"^num_ctx\s+(\d{1,9})\s*$", parameters, re.M) if isinstance(parameters, str) else None
    longest = (own and int(own[1])) or info.get(f"{architecture}.context_length")
    return dataclasses.replace(_ollama_abilities(model, show), context_length=_count(longest))


def _ollama_abilities(name: str, entry: JsonObject) -> ListedModel:
    """`capabilities` is missing in older servers, and never partial."""
    capabilities = entry.get("capabilities")
    if not isinstance(capabilities, list) or not capabilities:
        return ListedModel(name)
    return ListedModel(
        name,
        vision="vision" in capabilities,
        audio="audio" in capabilities,
        tools="tools" in capabilities,
        chats="completion" in capabilities,
    )


# LM Studio.


def lmstudio_models(answer: Any) -> Models | None:
    """The models of /api/v0/models; None where that is no such list.

    Tools are known only where a model was trained for them: the server offers them to the others as well.
    """
    listed = object_of(answer).get("data")
    if not isinstance(listed, list) or not any("state" in entry for entry in objects_of(listed)):
        return None
    return tuple(_lmstudio_model(entry) for entry in _named(listed, "id"))


def _lmstudio_model(entry: JsonObject) -> ListedModel:
    loaded, kind, capabilities = entry.get("state") == "loaded", entry.get("type"), entry.get("capabilities")
    return ListedModel(
        entry["id"],
        context_length=_count(loaded and entry.get("loaded_context_length"), entry.get("max_context_length")),
        vision=kind == "vlm" if kind in ("llm", "vlm") else None,
        tools=True if isinstance(capabilities, list) and "tool_use" in capabilities else None,
        loaded=loaded,
        chats=kind != "embeddings" if isinstance(kind, str) else None,
    )


# llama.cpp.


def llamacpp_props(model: str, props: Any) -> ListedModel:
    """What /props tells of the model. Tools as with LM Studio: other templates get a generic format."""
    props = object_of(props)
    modalities = object_of(props.get("modalities"))
    caps = object_of(props.get("chat_template_caps"))
    return ListedModel(
        model,
        context_length=_count(object_of(props.get("default_generation_settings")).get("n_ctx")),
        vision=_flag(modalities.get("vision")),
        audio=_flag(modalities.get("audio")),
        tools=True if caps.get("supports_tools") is True else None,
    )


# Choosing, and telling.


def find(models: Iterable[ListedModel], name: str) -> ListedModel | None:
    """The model of a name; for Ollama's servers a name without a tag means `:latest`."""
    by_name = {model.id: model for model in models}
    return by_name.get(name) or by_name.get(f"{name}:latest") or by_name.get(name.removesuffix(":latest"))


def chat_models(models: Iterable[ListedModel]) -> Models:
    """The models that can be taken for chat without asking: no embedding, adapter, or somebody else's server.

    Where the server does not tell what a model is for, its name does.
    """
    return tuple(
        model
        for model in models
        if not (model.is_adapter or model.is_relayed)
        and (model.chats if model.chats is not None else not _NO_CHAT.search(model.id))
    )


def chosen(models: Iterable[ListedModel], before: str | None = None) -> ListedModel | None:
    """The model to take where none is named, None where there is none.

    It is the one taken before while the server has it, else one that is in memory, else the first in the
    server's own order.
    """
    able = chat_models(models)
    kept = find(able, before) if before else None
    return kept or next((model for model in able if model.loaded), None) or next(iter(able), None)


def names_of(models: Sequence[ListedModel], wanted: str = "") -> str:
    """The models' names for a message: at most SHOWN_NAMES, those most like `wanted` first."""
    names = [model.id for model in models]
    if len(names) > SHOWN_NAMES:
        close = difflib.get_close_matches(wanted, names, SHOWN_NAMES, 0.3) if wanted else []
        names = list(dict.fromkeys([*close, *names]))
    shown = ", ".join(names[:SHOWN_NAMES])
    return f"{shown} and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else shown


def blames_model(status: int, error: JsonObject) -> bool:
    """Whether a refusal may mean that the server has no such model. Its list of models can prove it.

    error: its error object in OpenAI's shape. vLLM and Ollama answer 404, LM Studio 404 or 400.
    """
    return (
        status == 404
        or error.get("code") == "model_not_found"
        or (status == 400 and error.get("param") == "model")
    )


# Reading.


def _named(listed: list[Any], *keys: str) -> list[JsonObject]:
    """The entries that have a usable name, with it as their `id`."""
    found = []
    for entry in objects_of(listed[:MAX_MODELS]):
        name = next((entry[key] for key in keys if entry.get(key)), None)
        if isinstance(name, str) and len(name) <= MAX_ID_CHARS and name.isprintable():
            found.append({**entry, "id": name})
    return found


def _count(*values: Any) -> int | None:
    """The first that is a number above 0."""
    return next((value for value in values if type(value) is int and value > 0), None)


def _flag(value: Any) -> bool | None:
    return value if isinstance(value, bool) else None
