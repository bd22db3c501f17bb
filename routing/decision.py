"""The verdict on a request: what it needs, who decided so, and how sure that is.

It knows nothing of how a verdict is reached.
"""

from dataclasses import dataclass

from settings.decisions import Decision

RULES = "rules"  # the source of what keyword_rules.py decides, when too many requests come at once
ESCALATIONS = (Decision.COMPLEX, Decision.ENRICH)  # what costs money or time

Turn = tuple[str, str]  # (role, text)


@dataclass(frozen=True)
class Verdict:
    """What a request needs.

    confidence, probabilities: None and {} where the backend gives none. raw: the backend's own words.
    source: who decided. ms: how long it took. error: why it was not decided by whom the owner chose.
    """

    decision: Decision
    confidence: float | None
    probabilities: dict[str, float]
    raw: str | None
    source: str
    ms: int = 0
    error: str | None = None


class ClassifierFailed(Exception):
    """No decision, and why.

    log_summary: what the log may hold of it, where the message is a stranger's words; those may quote the
    request. raw: what the model answered, if it did.
    """

    def __init__(self, message: str, *, log_summary: str | None = None, raw: str | None = None) -> None:
        super().__init__(message)
        self.log_summary = log_summary or message
        self.raw = raw


class Overloaded(ClassifierFailed):
    """No decision in time, since too many others are before it."""
