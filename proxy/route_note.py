"""`show_route`: an answer begins with a line of reasoning that names decision, route, provider and time.

It says nothing that the response headers do not. Housekeeping and what a program parses go without.
"""

from dataclasses import dataclass

from routing.decision import Verdict
from routing.router import RoutePlan
from settings.decisions import Decision
from wire import JsonObject

OPENING = "Headstart: "


@dataclass(frozen=True)
class RouteNote:
    """The line for one answer. verdict: None where nothing was decided."""

    plan: RoutePlan
    provider: str
    verdict: Verdict | None

    def chunk(self, first: JsonObject, now_ms: int) -> JsonObject:
        """The chunk to send before `first`, the first one with content.

        now_ms: since the request's arrival.
        """
        verdict = self.verdict
        sure = f" {verdict.confidence:.0%} sure" if verdict and verdict.confidence is not None else ""
        decided = f", decided in {verdict.ms} ms" if verdict else ""
        line = (
            f"{OPENING}{self.plan.decision}{sure} -> {self.plan.route}, {self.provider}{decided}, "
            f"first word after {now_ms} ms\n\n"
        )
        top = {key: value for key, value in first.items() if key not in ("choices", "usage")}
        delta = {"role": "assistant", "reasoning_content": line}
        return {**top, "choices": [{"index": 0, "delta": delta, "finish_reason": None}]}


def wants_note(plan: RoutePlan, body: JsonObject) -> bool:
    """Whether an answer to this may begin with a note."""
    return plan.decision != Decision.META and "messages" in body and not _wants_plain(body)


def _wants_plain(body: JsonObject) -> bool:
    """Whether the answer is wanted without reasoning, or a program parses it.

    A program does where a format is named, or a tool must be called.
    """
    form, choice, switches = (
        body.get(name) for name in ("response_format", "tool_choice", "chat_template_kwargs")
    )
    unthinking = isinstance(switches, dict) and switches.get("enable_thinking") is False
    formatted = isinstance(form, dict) and form.get("type") != "text"
    return unthinking or formatted or choice not in (None, "auto", "none")


def without_notes(messages: list[JsonObject]) -> list[JsonObject]:
    """The messages without notes, which some clients hand back with the reasoning.

    The list itself where there are none.
    """
    if not any(map(_has_note, messages)):
        return messages
    return [_without_note(message) if _has_note(message) else message for message in messages]


def _without_note(message: JsonObject) -> JsonObject:
    return {**message, "reasoning_content": message["reasoning_content"].partition("\n\n")[2]}


def _has_note(message: JsonObject) -> bool:
    reasoning = message.get("reasoning_content")
    return isinstance(reasoning, str) and reasoning.startswith(OPENING)
