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
from errors import ConfigError
from logs import fields
from upstream import Line

CHECK_S = 5.0  # how long each backend has; a dead one must not freeze the answer

log = logging.getLogger(__name__)


class Health:
    def __init__(self, config, known_providers, classifier):
        self._providers = known_providers
        self._classifier = classifier
        primary = config.routes[config.decisions["MODERATE"]]
        self._primary = (config.routes[primary.answer] if primary.answer else primary).chain
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
        asked = {name: _Question(providers.health_of, provider) for name, provider in self._providers.items()}
        classifier = _Question(self._classifier.health)
        report = {
            "status": None,
            "duration_ms": None,
            "providers": {name: question.answer(started) for name, question in asked.items()},
            "classifier": classifier.answer(started),
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


class _Question:
    """One backend's health, asked on a thread of its own."""

    def __init__(self, health, *whose):
        self._future = Future()
        self._line = Line()
        threading.Thread(target=self._ask, args=(health, *whose), name="health", daemon=True).start()

    def _ask(self, health, *whose):
        try:
            self._future.set_result(health(*whose, CHECK_S, self._line))
        except Exception as error:  # the edge of a thread: one odd backend must not cost the others their report
            log.exception("Health check failed")
            self._future.set_result({"status": "unhealthy", "latency_ms": None, "error": f"{type(error).__name__} while asking"})

    def answer(self, started):
        """{status, latency_ms, error}, at the latest CHECK_S after the monotonic time `started`."""
        try:
            return self._future.result(max(0.0, started + CHECK_S - time.monotonic()))
        except TimeoutError:
            self._line.cut()  # else a backend that sends a byte now and then would keep the thread for ever
            return {"status": "unhealthy", "latency_ms": round(CHECK_S * 1000), "error": f"no answer within {CHECK_S:g} s"}


def main():
    """Print what the running server's /health says. Returns an exit status: 0 only when it is healthy."""
    try:
        server = settings.load().server
    except ConfigError as error:
        print(f"headstart: {error}", file=sys.stderr)
        return 1
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(server.host, server.host)
    address = f"http://[{host}]:{server.port}" if ":" in host else f"http://{host}:{server.port}"
    try:
        report = requests.get(f"{address}/health", timeout=2 * CHECK_S).json()
    except requests.RequestException:
        print(f"nothing answers at {address}")
        return 1
    print(json.dumps(report, indent=2))
    return 0 if report["status"] == "healthy" else 1


if __name__ == "__main__":
    sys.exit(main())
