"""Is everything well? Every provider and the classifier asked at once, each on a thread of its own that nobody waits for beyond the limit."""

import json
import logging
import sys
import threading
import time
from concurrent.futures import Future

import requests

import config as settings
import providers
from logs import fields

CHECK_S = 5.0  # how long each backend has; a dead one must not freeze the answer

log = logging.getLogger(__name__)


class Health:
    def __init__(self, config, known_providers, classifier):
        self._providers = known_providers
        self._classifier = classifier
        self._primary = config.routes[config.decisions["MODERATE"]].chain
        self._lock = threading.Lock()
        self._running = None

    def report(self):
        """{status, duration_ms, providers: {name: {status, latency_ms, error}}, classifier: {...}}.

        healthy: everything that is enabled answers. degraded: something does not. unhealthy: no provider of the primary route can answer.
        Requests that come while a check is under way share its result, so that monitors cannot pile up threads.
        """
        with self._lock:
            mine = self._running is None
            if mine:
                self._running = Future()
            running = self._running
        if not mine:
            return running.result()
        try:
            running.set_result(self._check())
        except BaseException as error:
            running.set_exception(error)
            raise
        finally:
            with self._lock:
                self._running = None
        return running.result()

    def _check(self):
        started = time.monotonic()
        asked = {name: _on_a_thread(providers.health_of, provider, CHECK_S) for name, provider in self._providers.items()}
        classifier = _on_a_thread(self._classifier.health, CHECK_S)
        told = {name: _within(future, started) for name, future in asked.items()}
        report = {
            "status": None,
            "duration_ms": None,
            "providers": told,
            "classifier": _within(classifier, started),
        }
        report["status"] = self._status(report)
        report["duration_ms"] = providers.ms_since(started)
        log.info("Health check:", extra=fields(status=report["status"], duration_ms=report["duration_ms"]))
        return report

    def _status(self, report):
        told = report["providers"]
        if not any(told[name]["status"] == "healthy" for name in self._primary):
            return "unhealthy"
        everybody = [*told.values(), report["classifier"]]
        return "degraded" if any(one["status"] == "unhealthy" for one in everybody) else "healthy"


def _on_a_thread(check, *args):
    future = Future()

    def run():
        try:
            future.set_result(check(*args))
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="health", daemon=True).start()
    return future


def _within(future, started):
    try:
        return future.result(max(0.0, started + CHECK_S - time.monotonic()))
    except TimeoutError:
        return {"status": "unhealthy", "latency_ms": round(CHECK_S * 1000), "error": f"no answer within {CHECK_S:g} s"}


def main():
    """Print what the running server's /health says. Returns an exit status: 0 only when it is healthy."""
    server = settings.load().server
    address = f"http://{server.host}:{server.port}"
    try:
        report = requests.get(f"{address}/health", timeout=2 * CHECK_S).json()
    except requests.RequestException:
        print(f"nothing answers at {address}")
        return 1
    print(json.dumps(report, indent=2))
    return 0 if report["status"] == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main())
