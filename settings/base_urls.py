"""Base URLs of OpenAI-compatible APIs, from what people write. No server is asked."""

import re
from typing import NamedTuple
from urllib.parse import SplitResult, urlsplit

from settings.addresses import is_private_host


class RepairedUrl(NamedTuple):
    """written: by the owner. url: as it is used. problems: what was wrong, in words; () where nothing was.

    guessed: its path is a guess, and the API may be at the server's root instead.
    """

    written: str
    url: str
    problems: tuple[str, ...] = ()
    guessed: bool = False


API_PATH = "/v1"
_NO_API_PATH = f"has no {API_PATH}"
_NO_SCHEME, _SLASH = "has no http://", "ends in a slash"
_SEARCH = re.compile(r"/search/?(\?\S*)?$")
_ADDRESS = re.compile(r"(\[[0-9a-f:.]+\]|[\w.-]+)(:[0-9]{1,5})?(/.*)?", re.A | re.I)  # a URL without a scheme
_ENDPOINT = re.compile(r"/(chat/completions|completions|responses|messages|embeddings|models)$")
# What Ollama and LM Studio serve beside the OpenAI API, and at which ports they do.
_NATIVE_API = re.compile(r"/api(/(chat|generate|tags|show|ps|version|v0|v1))?$")
_NATIVE_PORTS = (11434, 1234)
_ONLY_NATIVE_API = re.compile(r"/api/(generate|tags|show|ps|version|v0)$")  # nobody else's, at any port


def repaired_url(text: str) -> RepairedUrl:
    """The base URL of an OpenAI-compatible API, from what somebody wrote.

    A path that may be meant is left alone, and so is a text that is no address at all.
    """
    url = text.strip()
    problems = []
    if _is_private_address(url):
        url = f"http://{url}"
        problems.append(_NO_SCHEME)
    parts = _split(url)
    if parts is None:
        return RepairedUrl(text, text)
    path, problem = _repaired_path(parts)
    if problem:
        problems.append(problem)
    guessed = problem == _NO_API_PATH and parts.port not in _NATIVE_PORTS
    return RepairedUrl(text.strip(), parts._replace(path=path).geturl(), tuple(problems), guessed)


def repaired_search_url(text: str) -> RepairedUrl:
    """The base URL of a SearXNG, from what somebody wrote, such as the address that Open WebUI wants."""
    url = text.strip()
    problems = []
    if _is_private_address(url.partition("?")[0]):
        url = f"http://{url}"
        problems.append(_NO_SCHEME)
    found = _SEARCH.search(url)
    parts = _split(url[: found.start()] if found else url)
    if parts is None:
        return RepairedUrl(text, text)
    path = parts.path.rstrip("/")
    if found:
        problems.append(f"ends in {found[0]}")
    elif path != parts.path:
        problems.append(_SLASH)
    return RepairedUrl(text.strip(), parts._replace(path=path).geturl(), tuple(problems))


def _is_private_address(url: str) -> bool:
    """Whether it is a URL of the owner's network but for the scheme. A single word may be anything."""
    found = _ADDRESS.fullmatch(url)
    if found is None or not is_private_host(host := found[1].strip("[]")):
        return False
    return bool(found[2]) or "." in host or ":" in host or host == "localhost"


def _split(url: str) -> SplitResult | None:
    """The parts of an HTTP URL without query; None for anything else."""
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError for what is no number
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or re.search(r"[?#\s]", url):
        return None
    return parts


def _repaired_path(parts: SplitResult) -> tuple[str, str | None]:
    """(the path of the API, what was wrong with the one given)."""
    path = parts.path.rstrip("/")
    is_native = parts.port in _NATIVE_PORTS and _NATIVE_API.fullmatch(path)
    if is_native or _ONLY_NATIVE_API.fullmatch(path):
        return API_PATH, f"has {path} instead of {API_PATH}"
    api = _ENDPOINT.sub("", path)
    if not api:
        return API_PATH, _NO_API_PATH
    if api != path:
        return api, f"ends in {path.removeprefix(api)}"
    return path, _SLASH if parts.path != path else None
