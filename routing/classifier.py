"""One conversation in, a verdict out: which of SIMPLE, MODERATE, COMPLEX, ENRICH its last turn needs.

Two backends: an embedded model (`classifier_mlx.py`), or any chat model that answers with one of the words
(`classifier_chat.py`). Neither is ever waited for longer than `timeout_ms`. When more requests come at once
than the embedded model can decide in time, those who would have to wait are decided by keyword rules.

It does not know routes, and META is none of its words: that is found by structure (`housekeeping.py`).
"""

import logging
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from routing import keyword_rules
from routing.classifier_chat import ChatClassifier
from routing.classifier_mlx import LoadInstruct, MlxClassifier, load_builtin
from routing.decision import ESCALATIONS, RULES, ClassifierFailed, Overloaded, Turn, Verdict
from settings import model as settings_model
from settings.decisions import Decision
from telemetry.call_timing import ms_since
from telemetry.logs import fields
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken, OnCancel

BUILTIN = "builtin"  # the trained model's short name
PROMPTS = Path(__file__).resolve().parent.parent / "prompts"

log = logging.getLogger(__name__)


class ClassifierBackend(Protocol):
    """What decides. source: what its verdicts give as theirs."""

    source: str

    def probabilities(
        self,
        turns: list[Turn],
        timeout_s: float,
        on_cancel: OnCancel,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> tuple[dict[str, float], str | None]:
        """(the probability of each label, the model's text or None where it gives probabilities alone).

        on_attempt: is given the Attempt where a call is made. Raises ClassifierFailed, Cancelled.
        """

    def check(self, timeout_s: float, cancel_token: CancelToken) -> None:
        """Raises ClassifierFailed unless it can decide."""

    def wait_until_ready(self, timeout_s: float) -> None:
        """Raises ClassifierFailed when it cannot decide within the time."""

    def close(self, patience_s: float = 0.0) -> None:
        """To be called when no more requests will come. patience_s: how long to wait for its end."""


class Classifier:
    """A backend with its time limit and what holds when it fails."""

    def __init__(
        self, settings: settings_model.Classifier, backend: ClassifierBackend, made_from: object = None
    ) -> None:
        """made_from: what the backend was made from; where that stays the same, `build` lets it go on."""
        self._settings = settings
        self.backend = backend
        self.made_from = made_from

    def classify(
        self,
        turns: list[Turn],
        on_cancel: OnCancel = lambda cancel: None,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> Verdict:
        """The Verdict on a conversation.

        By rules when too many requests come at once; `on_failure`, with its error, when there is none in
        time.
        on_attempt: is given the Attempt where a call is made to decide. Raises Cancelled.
        """
        started = time.monotonic()
        try:
            probabilities, raw = self.backend.probabilities(
                turns, self._settings.timeout_ms / 1000, on_cancel, on_attempt
            )
            verdict = self._verdict(probabilities, raw)
        except Overloaded as overloaded:
            decision, rule = keyword_rules.decide(turns)
            verdict = Verdict(decision, None, {}, rule, RULES, error=str(overloaded))
        except ClassifierFailed as failed:
            log.warning(
                "Classification failed:",
                extra=fields(source=self.backend.source, error=failed.log_summary),
            )
            on_failure = Decision(self._settings.on_failure)
            verdict = Verdict(on_failure, None, {}, failed.raw, "on_failure", error=str(failed))
        return replace(verdict, ms=ms_since(started))

    def _verdict(self, probabilities: dict[str, float], raw: str | None) -> Verdict:
        if raw is not None:  # a chat model gives a word, not probabilities
            (word,) = probabilities
            return Verdict(Decision(word), None, {}, raw, self.backend.source)
        rounded = {label: round(float(p), 4) for label, p in probabilities.items()}
        summary = " ".join(f"{label}={p:.4f}" for label, p in rounded.items())
        likeliest = max(rounded.values())
        if likeliest < self._settings.min_confidence:
            decision = Decision(self._settings.on_failure)
        else:
            decision = Decision(max(rounded, key=lambda label: self._worth(label, rounded)))
        confidence = rounded.get(decision, likeliest)
        return Verdict(decision, confidence, rounded, summary, self.backend.source)

    def _worth(self, label: str, probabilities: dict[str, float]) -> float:
        """The weight of a label: its probability, less what it costs when it was needless."""
        return probabilities[label] / (self._settings.escalation_cost if label in ESCALATIONS else 1.0)

    def health(self, timeout_s: float, cancel_token: CancelToken) -> dict[str, Any]:
        """As a provider's: {status, latency_ms, error}."""
        started = time.monotonic()
        try:
            self.backend.check(timeout_s, cancel_token)
        except ClassifierFailed as failed:
            return {"status": "unhealthy", "latency_ms": ms_since(started), "error": str(failed)}
        return {"status": "healthy", "latency_ms": ms_since(started), "error": None}


def build(config: settings_model.Config, previous: Classifier | None = None) -> Classifier:
    """The configured classifier. The embedded model is loaded in the background.

    previous: the classifier of the configuration before; its backend goes on if it was made from the same.
    """
    made_from, make = _recipe(config)
    backend = previous.backend if previous and previous.made_from == made_from else make()
    return Classifier(config.classifier, backend, made_from)


def _recipe(config: settings_model.Config) -> tuple[object, Callable[[], ClassifierBackend]]:
    """What the configured backend is made from, to be compared, and how it is made."""
    settings = config.classifier
    if settings.backend == "openai":
        path = Path(config.resolve(settings.prompt)) if settings.prompt else PROMPTS / "classify.md"
        prompt = path.read_text(encoding="utf-8").strip()
        return (settings, prompt), lambda: ChatClassifier(settings, prompt)
    if settings.model == BUILTIN:
        return load_builtin, lambda: MlxClassifier(load_builtin)
    folder = config.resolve(settings.model)
    name = str(folder) if folder.is_dir() else settings.model
    load = LoadInstruct(name, (PROMPTS / "classify_labels.md").read_text(encoding="utf-8"))
    source = Path(settings.model).name if folder.is_dir() else name
    return (load, source), lambda: MlxClassifier(load, source)
