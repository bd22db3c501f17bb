"""A configuration over scripted providers."""


def scripted_config(primary, backup, cloud, judge):
    """A configuration over four scripted providers."""
    timeouts = {"connect_s": 2, "first_byte_s": 10, "idle_s": 10}

    def provider(upstream, **more):
        return {
            "kind": "openai",
            "base_url": upstream.url,
            "model": upstream.model,
            "api_key": f"key-of-{upstream.model}",
            "timeouts": timeouts,
            **more,
        }

    return {
        "breaker": {
            "failures": 1_000_000
        },  # one server serves many tests, and what one breaks must not rest in the next
        "classifier": {"backend": "openai", "base_url": judge.url, "model": judge.model, "timeout_ms": 4000},
        "decisions": {
            "SIMPLE": "primary",
            "MODERATE": "primary",
            "COMPLEX": "xai",
            "ENRICH": "enrich",
            "META": "meta",
        },
        "providers": {
            "main": provider(primary),
            "backup": provider(backup),
            "cloud": provider(cloud, prices={"input": 2.0, "output": 10.0}),
            "off": {"kind": "openai", "base_url": "", "model": "never"},
        },
        "routes": {
            "primary": {"chain": ["main", "backup"]},
            "meta": {"chain": ["main", "backup"]},
            "xai": {"chain": ["cloud", "main"]},
            "enrich": {"context": "cloud", "answer": "primary", "tools": ["web_search", "x_search"]},
        },
    }
