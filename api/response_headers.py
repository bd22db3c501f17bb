"""The response headers that say what became of a request (CONTRACT: HTTP)."""

from telemetry.summary import Summary


def response_headers(request: Summary, now_ms: int) -> dict[str, str]:
    """What is known at this moment, as headers. now_ms: since the request's arrival."""
    inference_ms = request.inference_ms
    if inference_ms is None and request.inference_started_ms is not None:
        inference_ms = now_ms - request.inference_started_ms
    times = {
        "classification": request.classification_ms,
        "enrichment": request.enrichment_ms,
        "inference": inference_ms,
    }
    headers = {
        "X-Session-Id": request.session,
        "X-Decision": request.decision,
        "X-Route": request.route,
        "X-Provider": request.provider,
        "X-Speculation": request.speculation,
        "X-Degraded": request.degraded,
        "X-Budget": "exhausted" if request.budget_exhausted else None,
        "Server-Timing": ", ".join(f"{name};dur={ms}" for name, ms in times.items() if ms is not None),
    }
    return {name: value for name, value in headers.items() if value}
