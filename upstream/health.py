"""Is everything well? What the background probes know, brought up to date as far as that goes in a moment, or asked anew on demand.

A dead backend must not freeze the answer: whoever does not answer at once is told as last known, and only what nothing is known of yet is waited for.
"""

import json
import logging
import sys
import threading
import time
from concurrent.futures import Future

import requests

from errors import ConfigError
from settings import loader
from telemetry.call_timing import ms_since
from telemetry.logs import fields
from upstream.connection import CancelToken

CHECK_S = 5.0  # how long a backend has when it is asked anew, or for the first time
REFRESH_S = 0.012  # how long it has otherwise; a server nearby that is well, or refuses, answers within it

log = logging.getLogger(__name__)


class Health:
    def __init__(self, config, known_providers, classifier, probes):
        self._providers = known_providers
        self._probes = probes
        self._classifier = _Asked(classifier)
        primary = config.routes[config.primary_route]
        self._primary = (config.routes[primary.answer] if primary.answer else primary).chain

    def report(self, fresh=False):
        """{status, duration_ms, providers: {name: {status, latency_ms, error, available, last_check, breaker, ...}}, classifier: {status, latency_ms, error}}.

        fresh: ask everybody now and wait for the answers, up to CHECK_S; else the answer comes within some 20 ms.
        healthy: everything that is enabled answers. degraded: something does not. unhealthy: no provider of the primary route can answer.
        """
        started = time.monotonic()
        classifier = self._classifier.begin()
        told = self._probes.fresh(CHECK_S) if fresh else self._probes.refresh(REFRESH_S)
        if any(one["available"] is None for one in told.values()):
            told = self._probes.fresh(max(0.0, started + CHECK_S - time.monotonic()))
        report = {
            "status": None,
            "duration_ms": None,
            "providers": {
                name: _told(provider, told.get(name)) for name, provider in self._providers.items()
            },
            "classifier": classifier(started + (CHECK_S if fresh else REFRESH_S), started + CHECK_S),
        }
        report["status"] = self._status(report)
        report["duration_ms"] = ms_since(started)
        log.info("Health check:", extra=fields(status=report["status"], duration_ms=report["duration_ms"]))
        return report

    def _status(self, report):
        told = report["providers"]
        if not any(told[name]["status"] == "healthy" for name in self._primary):
            return "unhealthy"
        everybody = [*told.values(), report["classifier"]]
        return "degraded" if any(one["status"] == "unhealthy" for one in everybody) else "healthy"


def _told(provider, known):
    """One provider's entry. known: its entry in the probes' snapshot, None for a disabled one."""
    if known is None:
        return {"status": "disabled", "latency_ms": None, "error": provider.disabled}
    status = "healthy" if known["available"] else "unhealthy"
    error = None if known["available"] else known["reason"] or "it has not answered yet"
    return {
        "status": status,
        "latency_ms": known["latency_ms"],
        "error": error,
        **{key: value for key, value in known.items() if key != "latency_ms"},
    }


class _Asked:
    """The classifier's health, asked on a thread of its own, at most one at a time."""

    def __init__(self, classifier):
        self._classifier = classifier
        self._lock = threading.Lock()
        self._running = None
        self._last = None

    def begin(self):
        """Ask, unless that is under way already.

        Returns a function of two monotonic times that returns {status, latency_ms, error}: by the first time where an earlier answer is known, else
        by the second.
        """
        with self._lock:
            if self._running is None:
                self._running = (Future(), CancelToken())
                threading.Thread(target=self._ask, args=self._running, name="health", daemon=True).start()
            future, cancel_token = self._running

        def answer(soon, at_last):
            try:
                return future.result(max(0.0, (soon if self._last else at_last) - time.monotonic()))
            except TimeoutError:
                if self._last is None:
                    cancel_token.cancel()
                return self._last or {
                    "status": "unhealthy",
                    "latency_ms": round(CHECK_S * 1000),
                    "error": f"no answer within {CHECK_S:g} s",
                }

        return answer

    def _ask(self, future, cancel_token):
        try:
            told = self._classifier.health(CHECK_S, cancel_token)
        except Exception as error:  # the edge of a thread
            log.exception("Health check failed")
            told = {
                "status": "unhealthy",
                "latency_ms": None,
                "error": f"{type(error).__name__} while asking",
            }
        with self._lock:
            self._last, self._running = told, None
        future.set_result(told)


def main():
    """Print what the running server's /health says. Returns an exit status: 0 only when it is healthy."""
    try:
        server = loader.load().server
    except ConfigError as error:
        print(f"headstart: {error}", file=sys.stderr)
        return 1
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    address = f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
    try:
        report = requests.get(f"{address}/health?fresh=1", timeout=2 * CHECK_S).json()
    except requests.RequestException:
        print(f"nothing answers at {address}")
        return 1
    print(json.dumps(report, indent=2))
    return 0 if report["status"] == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main())
