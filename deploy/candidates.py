"""What set-up finds and tries: servers at this machine's usual ports, one at an address, a cloud's key.

It asks and tells, and writes nothing. Each is asked in the way the running Headstart would.
"""

import dataclasses
import socket
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import requests

from errors import ConnectFailed, ProxyError, UpstreamStatus
from providers import MODELS, Provider
from runtime.session import local_session
from settings import loader
from settings.environment import CLOUD_KEYS
from settings.model import Config, Timeouts
from settings.model import Provider as Settings
from upstream.attempt import Attempt
from upstream.breaker import Policy
from upstream.cancellation import CancelToken
from upstream.connection import read_whole
from upstream.endpoint import CHAT
from upstream.survey import LLAMA_CPP, LM_STUDIO, OLLAMA
from wire.model_lists import ListedModel, chat_models

# Where each listens unless it is told otherwise.
PORTS = {
    "Ollama": (11434,),
    "LM Studio": (1234,),
    "vLLM": (8000,),
    "llama.cpp": (8080, 9931),  # the latter in builds of late 2026
}
SEARXNG_PORTS = (8888, 8080)  # from a checkout, and in its container
MAKES = {OLLAMA: "Ollama", LM_STUDIO: "LM Studio", LLAMA_CPP: "llama.cpp", "vllm": "vLLM"}
OURS = {"auto", "primary"}  # what a Headstart lists
SOME_SERVER = "A server"  # of no make that is known here
PING_S = 1.0  # until a port of this machine answers
FIRST_ANSWER_S = 180.0  # a large model that has to be loaded first takes its time
KEY_S = 15.0  # until a cloud has looked at a key
SEARCH_S = 10.0  # until a search engine of this machine has asked its own
# What a key of each begins with; the longer one first.
KEY_FORMS = {"sk-ant-": "anthropic", "sk-or-": "openrouter", "xai-": "xai", "sk-": "openai"}


@dataclass(frozen=True)
class Home:
    """A home server. make: whose it is. models: those that chat, the one in memory first.

    tells: it was asked and has answered.
    """

    url: str
    make: str
    models: tuple[ListedModel, ...]
    tells: bool = True

    @property
    def title(self) -> str:
        """In a line of a list: what it is, where, and its first models."""
        names = [f"{one.id} (in memory)" if one.loaded else one.id for one in self.models]
        more = f" and {len(names) - 4} more" if len(names) > 4 else ""
        return f"{self.make} at {self.url}: {', '.join(names[:4]) or 'no model yet'}{more}"


def home_at(url: str, key: str | None = None) -> Home:
    """The home server at an address as somebody may write it. Raises a ProxyError."""
    settings = Settings("openai", base_url=url, api_key=key, home=True)
    provider = Provider.classes["openai"]("home", settings)
    discovery = provider.discovery
    assert discovery is not None  # every server of this kind tells its models
    try:
        discovery.survey(CancelToken())
    except ProxyError:
        if not discovery.server.make and not discovery.server.models:
            raise
    server = discovery.server
    models = sorted(chat_models(server.models), key=lambda model: not model.loaded)
    return Home(server.base_url, MAKES.get(server.make, SOME_SERVER), tuple(models))


def homes_here() -> list[Home]:
    """The home servers at this machine's usual ports, asked at the same time; a Headstart is none."""
    urls = [f"http://127.0.0.1:{port}/v1" for ports in PORTS.values() for port in ports]
    with ThreadPoolExecutor(len(urls)) as pool:
        return [home for home in pool.map(_home_if_any, urls) if home]


def _home_if_any(url: str) -> Home | None:
    """The home server at a port, None where there is none, or something else."""
    try:
        parts = urlsplit(url)
        socket.create_connection((parts.hostname, parts.port), PING_S).close()
        home = home_at(url)
    except (OSError, ProxyError):
        return None
    is_ours = {model.id.removesuffix(":latest") for model in home.models} >= OURS
    return None if is_ours or not (home.models or home.make in PORTS) else home


def searxng_here() -> tuple[str, str | None] | None:
    """(its URL, what is wrong with it or None) of a SearXNG on this machine, None where there is none."""
    return next((found for port in SEARXNG_PORTS if (found := _searxng_at(f"http://127.0.0.1:{port}"))), None)


def _searxng_at(url: str) -> tuple[str, str | None] | None:
    session = local_session()
    try:
        config = session.get(f"{url}/config", timeout=PING_S).json()
        if not isinstance(config, dict) or "engines" not in config:
            return None
        answer = session.get(f"{url}/search?q=headstart&format=json", timeout=SEARCH_S)
    except (requests.RequestException, ValueError):
        return None
    if answer.status_code == 403:
        return url, "its settings.yml has to allow json: search.formats: [html, json]"
    return url, None if answer.ok else f"it answers {answer.status_code}"


def try_home(url: str, model: str, key: str | None) -> float:
    """Have a home server produce a token; how long that took, in seconds. Raises a ProxyError.

    model: "" for the one it has.
    """
    limits = Timeouts(connect_s=5.0, first_byte_s=FIRST_ANSWER_S)
    settings = Settings("openai", model=model, base_url=url, api_key=key, home=True, timeouts=limits)
    started = time.monotonic()
    attempt = Attempt(
        Provider.classes["openai"]("home", settings),
        CHAT,
        {"messages": [{"role": "user", "content": "ok"}], "max_tokens": 1},
    )
    try:
        attempt.head()
    finally:
        attempt.cancel()
    return time.monotonic() - started


def cloud_of_key(key: str) -> str | None:
    """The cloud whose keys look like this one, None for none."""
    return next((cloud for form, cloud in KEY_FORMS.items() if key.startswith(form)), None)


def try_key(cloud: str, key: str, environ: Mapping[str, str]) -> str:
    """Have a cloud look at a key, which costs nothing; the model it would be asked for.

    environ: the variables of the set-up. Raises a ProxyError that says what is wrong.
    """
    settings = cloud_settings(cloud, key, environ)
    provider = Provider.classes[settings.kind].build(cloud, settings, Policy(), Path())
    token = CancelToken()
    url = settings.base_url + (settings.health_path or MODELS)
    response = provider.upstream.call(token, "GET", url, connect_s=KEY_S, read_s=KEY_S)
    try:
        read_whole(response, token, max_bytes=65536, truncate=True)
    finally:
        response.close()
    if response.status_code in (400, 401, 403):  # xAI answers a wrong key with 400
        raise ConnectFailed("it refuses the key")
    if response.status_code >= 400:
        raise UpstreamStatus(response.status_code, {}, cloud)
    return provider.model


def cloud_settings(cloud: str, key: str, environ: Mapping[str, str]) -> Settings:
    """The shipped provider of a cloud with a key of its own."""
    config = loader.load(environ={**environ, CLOUD_KEYS[cloud]: key})
    return dataclasses.replace(config.providers[cloud], api_key=key)


def prepared(config: Config, providers: Mapping[str, Provider]) -> dict[str, dict[str, object]]:
    """What is known of the home servers' health once each has been asked for its models, by name."""
    known: dict[str, dict[str, object]] = {}
    for name, provider in providers.items():
        if provider.discovery is None or provider.disabled or not config.providers[name].is_home:
            continue
        try:
            provider.prepare(CancelToken())
        except ProxyError as error:
            known[name] = {"available": False, "reason": error.message}
    return known
