"""A client's request, read and checked, in the words of chat completions."""

from dataclasses import dataclass

from proxy.client_api import ClientApi
from proxy.exchange import Exchange
from telemetry.events import Accepted
from wire import Headers, JsonObject
from wire.needs import Needs, needs_of
from wire.turns import user_turns


@dataclass(frozen=True)
class Request:
    """What is asked.

    api: what the client speaks, which writes the answer as well. turns: the conversation as (role, text) in
    the user's own words; empty where there are no messages. needs: what it asks of a model.
    """

    body: JsonObject
    headers: Headers
    api: ClientApi
    turns: list[tuple[str, str]]
    needs: Needs

    @property
    def model(self) -> str:
        return str(self.body["model"])

    @property
    def stream(self) -> bool:
        return bool(self.body.get("stream"))


def accept(
    exchange: Exchange, api: ClientApi, body: JsonObject, headers: Headers, virtual_model: str
) -> Request:
    """The Request for a body that `api` has read; the recorders learn of it.

    virtual_model: stands where the client names no model.
    """
    body = {**body, "model": body.get("model") or virtual_model}
    messages = body.get("messages")
    if messages is not None:
        turns = user_turns(messages)
        text = next((text for role, text in reversed(turns) if role == "user"), None)
    else:
        prompt = body.get("prompt", body.get("input"))
        turns, text = [], prompt if isinstance(prompt, str) else None
    request = Request(body, headers, api, turns, needs_of(body))
    exchange.notify(Accepted(body["model"], request.stream, messages, text, request.needs.chars))
    return request
