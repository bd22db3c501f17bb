"""How a server is, by its own report, and whether one report is worse than another."""

import time
from collections.abc import Callable

import requests

from runtime.session import local_session
from wire import JsonObject

NOTHING_ANSWERS = "nothing answers"
# From worst to best.
STATUSES = (NOTHING_ANSWERS, "unhealthy", "unknown", "degraded", "healthy")
CHECK_S = 10.0  # how long /health may take when everybody is asked anew
POLL_S = 0.25
GONE_S = 2.0  # for how long a service that has ended is waited for: its manager may be about to start it


def report_at(url: str) -> JsonObject | None:
    """What its /health reports, with everybody asked anew; None where nothing of ours answers."""
    try:
        report = local_session().get(f"{url}/health?fresh=1", timeout=CHECK_S).json()
    except (requests.RequestException, ValueError):
        return None
    return report if isinstance(report, dict) and report.get("status") in STATUSES else None


def status_of(report: JsonObject | None) -> str:
    """Its status, one of STATUSES."""
    return str(report["status"]) if report else NOTHING_ANSWERS


def is_worse(report: JsonObject | None, than: JsonObject | None) -> bool:
    return STATUSES.index(status_of(report)) < STATUSES.index(status_of(than))


def in_words(report: JsonObject | None) -> str:
    """A report in a line: its status, and what is not well and why."""
    if report is None:
        return NOTHING_ANSWERS
    everybody = {**report.get("providers", {}), "classifier": report.get("classifier") or {}}
    ill = [
        f"{name}: {one.get('error')}" for name, one in everybody.items() if one.get("status") == "unhealthy"
    ]
    replaced = [
        f"{one['decision']}: {one['missing']}" for one in report.get("decisions", ()) if one["degraded"]
    ]
    troubles = [*report.get("config", {}).get("rejected", ()), *(ill or replaced)]
    return f"{report['status']} ({'; '.join(troubles)})" if troubles else str(report["status"])


def awaited(
    url: str, at_least: JsonObject | None, patience_s: float, is_running: Callable[[], bool]
) -> JsonObject | None:
    """Its health as soon as it is as good as another was, else what it is in the end.

    Waits up to patience_s, and hardly where it has ended: is_running says so.
    """
    deadline = time.monotonic() + patience_s
    seen = time.monotonic()
    while True:
        runs = is_running()
        report = report_at(url)
        if report is not None and not is_worse(report, at_least):
            return report
        if runs or report:
            seen = time.monotonic()
        if time.monotonic() > min(deadline, seen + GONE_S):
            return report
        time.sleep(POLL_S)
