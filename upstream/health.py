"""Is everything well? What the background probes know, brought up to date in a moment, or checked anew on
demand.

A dead backend must not freeze the answer. Whoever does not answer at once is reported as last known, or as
unknown where it usually does; only what nothing is known of yet is waited for.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Protocol

from telemetry.call_timing import ms_since
from telemetry.logs import fields
from upstream.cancellation import CancelToken
from upstream.endpoint import Endpoint
from upstream.probes import HEALTHY, UNHEALTHY, UNKNOWN, Probes, status_of
from wire import JsonObject

CHECK_S = 5.0  # how long a backend has when it is checked anew, or for the first time
REFRESH_S = 0.012  # how long it has otherwise; a server nearby that is well, or refuses, answers within it

log = logging.getLogger(__name__)


class Classifier(Protocol):
    """What can report its own health."""

    def health(self, timeout_s: float, cancel_token: CancelToken, /) -> JsonObject:
        """{status, latency_ms, error}, within about timeout_s."""


class Health:
    def __init__(
        self,
        primary_chain: Iterable[str],
        providers: Mapping[str, Endpoint],
        classifier: Classifier,
        probes: Probes,
        dormant: Mapping[str, str] | None = None,
        readiness: Callable[[Mapping[str, JsonObject]], list[JsonObject]] = lambda snapshot: [],
    ) -> None:
        """dormant: shipped providers that nobody has set up, each with the reason.

        readiness: makes of the probes' snapshot who answers for each decision.
        """
        self._dormant = dormant or {}
        self._readiness = readiness
        self._providers = providers
        self._probes = probes
        self._classifier = _ClassifierProbe(classifier)
        self._primary_chain = tuple(primary_chain)

    def report(self, fresh: bool = False, rejected: Sequence[str] = ()) -> JsonObject:
        """{status, duration_ms, config: {rejected}, decisions, providers: {name: entry}, classifier: entry}.

        An entry is {status, latency_ms, error} and what the probes' snapshot has of the provider. fresh:
        check everybody now and wait for the answers, up to CHECK_S; else the report comes within some 20 ms,
        or half a second where somebody who was quick keeps silent. healthy: everything that is
        enabled answers. degraded: something does not, or nobody knows; a decision has another provider than
        the one set up for it; or a changed configuration was rejected. unhealthy: no provider of the primary
        route can answer.

        rejected: the mistakes for which it was, each with file, line and key.
        """
        started = time.monotonic()
        classifier = self._classifier.begin()
        snapshot = self._probes.fresh(CHECK_S) if fresh else self._probes.refresh(REFRESH_S)
        if any(known["available"] is None and not known["reason"] for known in snapshot.values()):
            snapshot = self._probes.fresh(max(0.0, started + CHECK_S - time.monotonic()))
        report: JsonObject = {
            "status": None,
            "duration_ms": None,
            "config": {"rejected": list(rejected)},
            "decisions": self._readiness(snapshot),
            "providers": {
                **{name: _entry(provider, snapshot.get(name)) for name, provider in self._providers.items()},
                **{name: _disabled(reason) for name, reason in self._dormant.items()},
            },
            "classifier": classifier(started + (CHECK_S if fresh else REFRESH_S), started + CHECK_S),
        }
        report["status"] = self._status(report)
        report["duration_ms"] = ms_since(started)
        log.info("Health check:", extra=fields(status=report["status"], duration_ms=report["duration_ms"]))
        return report

    def _status(self, report: JsonObject) -> str:
        entries = report["providers"]
        if not any(entries[name]["status"] in (HEALTHY, UNKNOWN) for name in self._primary_chain):
            return UNHEALTHY
        everybody = [*entries.values(), report["classifier"]]
        doubtful = any(entry["status"] in (UNHEALTHY, UNKNOWN) for entry in everybody)
        replaced = any(decision["degraded"] for decision in report["decisions"])
        return "degraded" if doubtful or replaced or report["config"]["rejected"] else HEALTHY


def _entry(provider: Endpoint, known: JsonObject | None) -> JsonObject:
    """One provider's entry. known: the probes' entry; None for a disabled provider."""
    if known is None:
        return _disabled(provider.disabled)
    return {
        "status": status_of(known),
        "model": provider.model or None,
        "latency_ms": known["latency_ms"],
        "error": None if known["available"] else known["reason"] or "it has not answered yet",
        **{key: value for key, value in known.items() if key != "latency_ms"},
    }


def _disabled(reason: str | None) -> JsonObject:
    return {"status": "disabled", "latency_ms": None, "error": reason}


class _ClassifierProbe:
    """Checks the classifier on a thread of its own, once at a time."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self._lock = threading.Lock()
        self._running: tuple[Future[JsonObject], CancelToken] | None = None
        self._last: JsonObject | None = None

    def begin(self) -> Callable[[float, float], JsonObject]:
        """Begin a check, unless one is under way already.

        Returns a function of two monotonic times that returns {status, latency_ms, error}: by the first time
        where an earlier answer is known, else by the second.
        """
        with self._lock:
            if self._running is None:
                self._running = (Future(), CancelToken())
                threading.Thread(target=self._check, args=self._running, name="health", daemon=True).start()
            future, cancel_token = self._running

        def answer(if_known: float, at_last: float) -> JsonObject:
            try:
                return future.result(max(0.0, (if_known if self._last else at_last) - time.monotonic()))
            except TimeoutError:
                if self._last is None:
                    cancel_token.cancel()
                return self._last or {
                    "status": "unhealthy",
                    "latency_ms": round(CHECK_S * 1000),
                    "error": f"no answer within {CHECK_S:g} s",
                }

        return answer

    def _check(self, future: Future[JsonObject], cancel_token: CancelToken) -> None:
        try:
            health = self._classifier.health(CHECK_S, cancel_token)
        except Exception as error:  # the edge of a thread
            log.exception("Health check failed")
            message = f"{type(error).__name__} while asking"
            health = {"status": "unhealthy", "latency_ms": None, "error": message}
        with self._lock:
            self._last, self._running = health, None
        future.set_result(health)
