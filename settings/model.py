"""The settings: each class is one section of config.yaml, each field one key with its default and a sentence.

All of it is frozen: what a request began with stays as it is. A Config remembers where each value came from.

This module reads no file, opens no connection and loads no model. `settings.loader` reads the file, and
`settings.validation` checks what a field's type and limits cannot say.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from settings.addresses import is_private_host
from settings.base_urls import RepairedUrl, repaired_search_url, repaired_url
from settings.decisions import CLASSIFIED, CLOUD, XAI, Decision
from settings.fields import altered, setting
from settings.kinds import CHAT_SEARCH, KINDS, RESPONSES_SEARCH, Capabilities, capabilities_of
from settings.paths import OWN_PROMPTS, SHIPPED, OwnerPaths

DECISIONS = tuple(map(str, Decision))
LONGEST_S = 86_400.0  # a day: sockets and events take no limit of any length


@dataclass(frozen=True)
class ApiKey:
    key: str = setting(doc="what the client sends", secret=True)
    cloud: bool = setting(True, "whether providers that cost money may answer; else those at home alone")
    daily_usd: float | None = setting(
        None, "when its clients have spent it, they get local answers until the next day", minimum=0
    )
    monthly_usd: float | None = setting(None, "likewise until the next month", minimum=0)
    routes: list[str] | None = setting(None, "the routes its clients may go; unset: any")
    name: str | None = dataclasses.field(default=None, init=False)  # None for one of a list


@dataclass(frozen=True)
class Server:
    host: str = setting("127.0.0.1", "address to listen on; HOST overrides")
    port: int = setting(8002, "port to listen on; PORT overrides", minimum=0, maximum=65535)
    threads: int = setting(64, "requests served at once; each open stream holds one", minimum=1)
    max_body_mb: int = setting(32, "largest request body, in MB", minimum=1)
    api_keys: list[str] | dict[str, str | ApiKey] = setting(
        factory=list,
        doc="keys clients must send as Bearer or x-api-key: a list, or each under a name of yours that log, "
        "sessions and costs show, with limits of its own; empty: anybody",
        secret=True,
    )
    allow_open: bool = setting(False, "without a key, serve other machines too; refused unless it is set")
    published_host: str = setting(
        "", "in a container: the machine's address at which its port is published; empty: `host` says it all"
    )
    cors_origins: list[str] = setting(
        factory=list, doc='web pages that may call from a browser, such as https://chat.home; "*": any'
    )

    @property
    def keys(self) -> list[ApiKey]:
        """The keys in one form: those of a list have neither name nor limits."""
        if isinstance(self.api_keys, list):
            return [ApiKey(key) for key in self.api_keys]
        return [
            altered(ApiKey(given) if isinstance(given, str) else given, name=name)
            for name, given in self.api_keys.items()
        ]


@dataclass(frozen=True)
class Classifier:
    backend: str = setting("mlx", "mlx: in process; openai: any chat model", choices=("mlx", "openai"))
    model: str = setting(
        "builtin",
        "the model's name; mlx: builtin, the trained one, or an instruct model: "
        "smollm2, a folder, a hub's owner/model",
    )
    timeout_ms: int = setting(
        2000, "how long a request waits for its decision", minimum=1, maximum=int(LONGEST_S * 1000)
    )
    on_failure: str = setting(
        "MODERATE", "the decision when the classifier fails or is late", choices=tuple(map(str, CLASSIFIED))
    )
    escalation_cost: float = setting(
        1.0,
        "mlx: how much worse a needless COMPLEX or ENRICH is than a missed one",
        minimum=0.01,
        maximum=100,
    )
    min_confidence: float = setting(0.0, "mlx: below it `on_failure` is the decision", minimum=0, maximum=1)
    base_url: str | None = setting(None, "openai backend: where, with /v1")
    api_key: str | None = setting(None, "openai backend: its key", secret=True)
    prompt: str | None = setting(None, "openai backend: file with the instructions")
    max_tokens: int = setting(512, "openai backend: longest reply, thoughts included", minimum=1)


@dataclass(frozen=True)
class Speculation:
    enabled: bool = setting(True, "start the primary call before the decision is known")
    max_in_flight: int = setting(
        8, "undecided speculative calls at once; beyond it requests go without", minimum=0
    )


@dataclass(frozen=True)
class Conversations:
    sticky: bool = setting(
        True, "a short follow-up stays with the provider that answered before, unless the decision is clear"
    )


@dataclass(frozen=True)
class Params:
    drop: list[str] = setting(factory=list, doc="fields removed from the request")
    min: dict[str, Any] = setting(factory=dict, doc="lowest value of a number the client sent")
    set: dict[str, Any] = setting(factory=dict, doc="fields set whatever the client sent")


@dataclass(frozen=True)
class Timeouts:
    connect_s: float = setting(5.0, "until the connection stands", minimum=0.001, maximum=LONGEST_S)
    first_byte_s: float | None = setting(
        None,
        "until the first content; unset: 120 at home, slow in prefill; else 60",
        minimum=0.001,
        maximum=LONGEST_S,
    )
    idle_s: float = setting(120.0, "longest silence within an answer", minimum=0.001, maximum=LONGEST_S)
    total_s: float | None = setting(
        None, "the whole call; unset: as long as it takes", minimum=0.001, maximum=LONGEST_S
    )


@dataclass(frozen=True)
class Prices:
    input: float = setting(doc="USD per million prompt tokens", minimum=0)
    output: float = setting(doc="USD per million completion tokens", minimum=0)
    cached_input: float | None = setting(
        None, "USD per million prompt tokens read from a cache; unset: as input", minimum=0
    )


@dataclass(frozen=True)
class Pages:
    count: int = setting(5, "results taken, from the top", minimum=1, maximum=20)
    fetch_s: float = setting(
        5.0, "until their pages have to be there; a result has its snippet if not", minimum=0.1, maximum=60.0
    )
    max_kb: int = setting(512, "of a page that are read, unpacked", minimum=1, maximum=16_384)
    allow_private: bool = setting(
        False, "read pages at private addresses too, such as those of your own wiki"
    )


@dataclass(frozen=True)
class Wake:
    mac: str = setting(doc="hardware address of its network card, as in a1:b2:c3:d4:e5:f6")
    broadcast: str = setting(
        "255.255.255.255", "IPv4 address the packet goes to; better your network's own, as in 192.168.1.255"
    )
    port: int = setting(9, "UDP port it goes to", minimum=1, maximum=65535)


@dataclass(frozen=True)
class Provider:
    kind: str = setting(
        doc="; ".join(f"{name}: {kind.doc}" for name, kind in KINDS.items())
        + "; left away where one that is shipped is only changed",
        choices=KINDS,
    )
    model: str = setting(
        "", "model name sent upstream; empty: found by asking a server at home, else disabled"
    )
    base_url: str = setting("", "with /v1 (searxng: as a browser has it); empty: disabled")
    api_key: str | None = setting(None, "sent as Bearer; its variable unset: disabled", secret=True)
    headers: dict[str, str] = setting(factory=dict, doc="sent with every request", secret=True)
    extra_body: dict[str, Any] = setting(factory=dict, doc="merged into every request body")
    params: Params = setting(factory=Params, doc="what to drop, raise or set in the request")
    timeouts: Timeouts = setting(factory=Timeouts, doc="in seconds")
    prices: Prices | None = setting(None, "for cost_usd; unset: unknown")
    health_path: str | None = setting(
        None, "path for /health below base_url; unset: /models, of searxng /healthz"
    )
    max_concurrent: int | None = setting(
        None, "calls at once, the others queue; unset: 8 for mlx, else any number", minimum=1
    )
    max_queued: int = setting(64, "calls that may wait; beyond it the next of the chain is asked", minimum=0)
    queue_timeout_s: float = setting(
        120.0, "how long a call waits for its turn", minimum=0, maximum=LONGEST_S
    )
    embeddings: bool = setting(False, "embeddings go here, whatever model they name")
    responses: bool = setting(
        False, "openai: it has /responses, so clients of that API are passed through to it untouched"
    )
    search: str = setting(
        RESPONSES_SEARCH,
        "how an enrichment asks it: responses, with the route's tools; "
        "chat, for a model that searches by itself",
        choices=(RESPONSES_SEARCH, CHAT_SEARCH),
    )
    pages: Pages = setting(factory=Pages, doc="searxng: the results that are read")
    wake: Wake | None = setting(
        None, "wake the machine by Wake-on-LAN when a request wants it and nobody is there; unset: never"
    )
    home: bool | None = setting(
        None, "whether it is your own server, whose calls cost nothing; unset: at a private address it is"
    )
    vision: bool | None = setting(None, "whether it takes pictures; unset: learnt where the server tells")
    audio: bool | None = setting(None, "whether it takes sound; unset: learnt where the server tells")
    tools: bool | None = setting(None, "whether it takes tools; unset: learnt where the server tells")
    context_length: int | None = setting(
        None, "longest conversation and answer, in tokens; unset: learnt where the server tells", minimum=1
    )
    disabled: str | None = dataclasses.field(default=None, init=False)  # why it is not used; None: it is
    url_repair: RepairedUrl | None = dataclasses.field(default=None, init=False)  # where base_url needed one
    # Setting -> the variable that alone supplied it, for messages that say what to correct.
    variables: Mapping[str, str] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        kind = KINDS[self.kind]
        if kind.has_api_path or kind.has_search_path:
            repair = repaired_url(self.base_url) if kind.has_api_path else repaired_search_url(self.base_url)
            object.__setattr__(self, "base_url", repair.url)
            object.__setattr__(self, "url_repair", repair if repair.problems else None)
        if not self.disabled:
            missing = next(
                (name for name in kind.needs if not (getattr(self, name) or self._finds(name))), None
            )
            object.__setattr__(self, "disabled", missing and f"{missing} is not set")
        if self.health_path is None:
            object.__setattr__(self, "health_path", kind.health_path)

    def _finds(self, name: str) -> bool:
        """Whether a setting that is not given is found out from the server."""
        return name == "model" and KINDS[self.kind].lists_models and self.is_home

    @property
    def capabilities(self) -> Capabilities:
        """What it can do, as far as its kind and these settings tell."""
        return capabilities_of(
            self.kind,
            responses=self.responses,
            search=self.search,
            vision=self.vision,
            audio=self.audio,
            tools=self.tools,
            context_length=self.context_length,
        )

    @property
    def is_home(self) -> bool:
        """Whether it is the owner's own: declared so, embedded, or at a private address without prices."""
        return not self.is_away and (bool(self.home) or not self.prices)

    @property
    def is_away(self) -> bool:
        """Whether it is somebody else's: declared so, or at a public address."""
        if self.home is not None or self.is_embedded:
            return self.home is False
        return not is_private_host(urlsplit(self.base_url).hostname or "")

    @property
    def is_embedded(self) -> bool:
        """Whether it is a model of ours, run beside the server."""
        return KINDS[self.kind].embedded


@dataclass(frozen=True)
class Route:
    chain: list[str] = setting(
        factory=list,
        doc="providers in the order they are tried; primary, meta and cloud have one of their own",
    )
    slow_ms: int = setting(5000, "beyond this a request is logged as SLOW_REQUEST", minimum=0)
    system_prompt: str | None = setting(None, "file whose text is added to the system message")
    context: str | None = setting(None, "enrich: the provider that searches")
    answer: str | None = setting(None, "enrich: the route that answers with the context")
    tools: list[str] = setting(factory=list, doc="enrich: the context provider's search tools")


@dataclass(frozen=True)
class ModelRule:
    exact: str | None = setting(None, "the model name this rule is for")
    prefix: str | None = setting(None, "or how such names begin")
    regex: str | None = setting(None, "or an RE2 pattern found anywhere in them")
    provider: str | None = setting(None, "who answers, without a fallback")
    route: str | None = setting(None, "or the route it goes")
    model: str | None = setting(None, "the name sent to that provider; unset: as the client wrote it")
    extra_body: dict[str, Any] = setting(factory=dict, doc="merged into the request's body")
    params: Params = setting(factory=Params, doc="what to drop, raise or set, before the provider's own")
    timeouts: Timeouts | None = setting(None, "instead of the provider's")


@dataclass(frozen=True)
class Sessions:
    dir: str = setting("sessions", "where the records go")
    max_count: int = setting(5000, "more than these are removed, oldest first", minimum=0)
    max_age_days: float = setting(7.0, "older than this are removed", minimum=0, maximum=36_500)
    clean_every: int = setting(100, "saves between two clean-ups", minimum=1)
    clean_period_s: float = setting(60.0, "and the longest time between two", minimum=0.1, maximum=LONGEST_S)


@dataclass(frozen=True)
class Breaker:
    failures: int = setting(5, "failures in a row after which a provider rests", minimum=1)
    first_rest_s: float = setting(
        1.0, "its first rest; each further one is twice as long", minimum=0.1, maximum=LONGEST_S
    )
    longest_rest_s: float = setting(60.0, "up to this", minimum=0.1, maximum=LONGEST_S)


@dataclass(frozen=True)
class Probes:
    period_s: float = setting(
        60.0, "between two looks at each provider's health, in the background", minimum=1, maximum=LONGEST_S
    )


@dataclass(frozen=True)
class Ledger:
    url: str = setting(
        "sqlite:///ledger.db",
        "where calls and their costs are kept: SQLite, or postgresql+psycopg://...",
        secret=True,
        has_credentials=True,
    )


@dataclass(frozen=True)
class Budgets:
    daily_usd: float | None = setting(
        None, "when it is spent, cloud routes fall to local until the next day", minimum=0
    )
    monthly_usd: float | None = setting(None, "likewise until the next month", minimum=0)


@dataclass(frozen=True)
class Alerts:
    url: str = setting(
        "",
        "where the owner is told of spent budgets, routes on a fallback, rejected configurations and refused "
        "keys: the URL of an ntfy topic or of a webhook; empty: nowhere",
        secret=True,
    )
    kind: str = setting(
        "ntfy",
        "ntfy: a text with a title; webhook: JSON with event, title, message, at",
        choices=("ntfy", "webhook"),
    )


@dataclass(frozen=True)
class Log:
    file: str = setting("app.log", "the log file")
    max_mb: float = setting(5.0, "size at which it is rotated", minimum=0.001, maximum=1_000_000)
    backups: int = setting(3, "rotated files kept", minimum=1)


@dataclass(frozen=True)
class Origin:
    """Where a value came from.

    line: in the owner's file, None if it does not stand there.
    variables: what supplied it, as "env NAME" or ".env NAME".
    """

    line: int | None
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """The whole configuration: the owner's file over the shipped one, or the owner's alone where it is whole.

    `path` is the owner's file, which need not exist; what is read by a name in it is looked up beside it.
    `data` is the folder of everything that is written. `origins` has an Origin for each key that was given,
    as in `providers.xai.model` or `routes.primary.chain[0]`; the others have their defaults. `dormant` has
    the shipped providers that are not in use, each with the reason, `hints` a sentence for each variable that
    nobody uses and that may be misspelt.
    """

    server: Server = setting(factory=Server, doc="where it listens, and to whom")
    virtual_model: str = setting("auto", "the model name that is classified")
    timezone: str = setting("local", "IANA name, or local")
    show_route: bool = setting(
        False, "name route, provider and time in a line of reasoning before each answer"
    )
    conversations: Conversations = setting(factory=Conversations, doc="how a conversation keeps its place")
    classifier: Classifier = setting(factory=Classifier, doc="who decides what a request needs")
    speculation: Speculation = setting(
        factory=Speculation, doc="the primary call that starts before the decision"
    )
    decisions: dict[str, str] = setting(factory=dict, doc="decision -> route", names=DECISIONS)
    providers: dict[str, Provider] = setting(factory=dict, doc="the backends, by a name of yours")
    routes: dict[str, Route] = setting(
        factory=dict,
        doc="the ways a request can go, by a name of yours; each is a model that clients can name",
    )
    models: list[ModelRule] = setting(
        factory=list, doc="where model names go; the first rule that fits decides"
    )
    breaker: Breaker = setting(factory=Breaker, doc="when a provider that fails is left alone")
    probes: Probes = setting(factory=Probes, doc="how the providers' health is watched")
    ledger: Ledger = setting(factory=Ledger, doc="what every call used and cost")
    budgets: Budgets = setting(factory=Budgets, doc="what the cloud may cost")
    alerts: Alerts = setting(factory=Alerts, doc="what the owner is told on another device")
    sessions: Sessions = setting(factory=Sessions, doc="the record of each request")
    log: Log = setting(factory=Log, doc="the log file, one line for each event")
    path: Path = dataclasses.field(default=SHIPPED, init=False)
    data: Path = dataclasses.field(default=SHIPPED.parent, init=False, compare=False)
    dormant: dict[str, str] = dataclasses.field(default_factory=dict, init=False, compare=False)
    hints: tuple[str, ...] = dataclasses.field(default=(), init=False, compare=False)
    origins: dict[str, Origin] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def chain_of(self, route: str) -> list[str]:
        """The providers that answer for a route: its own chain, or that of its answer route."""
        return self.routes[self.routes[route].answer or route].chain

    @property
    def engines(self) -> dict[str, str]:
        """Provider -> model of the embedded engines, which are started with the server and not later."""
        return {
            name: provider.model
            for name, provider in self.providers.items()
            if provider.is_embedded and not provider.disabled
        }

    @property
    def aliases(self) -> dict[str, str]:
        """Alias -> route: `xai` is `cloud` unless a route of its own has that name."""
        return {XAI: CLOUD} if CLOUD in self.routes and XAI not in self.routes else {}

    @property
    def folders(self) -> tuple[Path, ...]:
        """Where files that the configuration names are looked for, the owner's before ours."""
        beside = self.path.parent
        own = (beside / OWN_PROMPTS, self.data / OWN_PROMPTS, beside, self.data, SHIPPED.parent)
        return tuple(dict.fromkeys(own))

    @property
    def dotenv_files(self) -> tuple[Path, ...]:
        """Where variables are read from besides the environment, the later ones going first."""
        return OwnerPaths(self.path, self.data).dotenv_files

    def resolve(self, name: str | os.PathLike[str]) -> Path:
        """The absolute path of a file that the configuration names and that is read.

        The owner's folders come first, then the checkout: a prompt `prompts/primary.md` is looked for as
        `my-prompts/primary.md` too. A file that is nowhere is named as if it stood beside the owner's.
        """
        for folder in self.folders:
            found = folder / (Path(name).name if folder.name == OWN_PROMPTS else name)
            if found.exists():
                return found.resolve()
        return (self.path.parent / name).resolve()

    @property
    def prompts(self) -> list[Path]:
        """The prompts that it names, each where it is found."""
        named = (self.classifier.prompt, *(route.system_prompt for route in self.routes.values()))
        return [self.resolve(name) for name in named if name]

    def own(self, name: str) -> Path | None:
        """The owner's file in place of the shipped `prompts/NAME`, None where there is none."""
        found = self.resolve(f"prompts/{name}")
        return found if found.exists() and found != SHIPPED.parent / "prompts" / name else None

    def written(self, name: str | os.PathLike[str]) -> Path:
        """The absolute path of something that is written: below `data` unless its name is absolute."""
        return (self.data / name).resolve()

    def place(self, key: str) -> tuple[str, int]:
        """(file, line) of a key, for a message about it; line 0 where it does not stand in a file."""
        origin = self.origins.get(key)
        return self.path.name, (origin and origin.line) or 0
