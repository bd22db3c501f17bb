"""The settings: one list, read once, checked in full, frozen.

Each class below is one section of config.yaml, each field one key with its default and a sentence. A mistake names
file, line and key (`config.yaml:14: providers.xai.timeout: unknown key, did you mean timeouts?`) and nothing starts.
Secrets come from the environment (`${NAME}`, `${NAME:-default}`) or from a `.env` file beside the config, the environment first.
A Config remembers where each of its values came from; no message about a mistake quotes a secret, since it may end in the log.

This module opens no connection and loads no model; it only says what was asked for.
"""

import copy
import dataclasses
import difflib
import math
import os
import re
import types
import typing
import zoneinfo
from dataclasses import dataclass
from pathlib import Path

import re2
import yaml
from dotenv import dotenv_values

from errors import ConfigError
from settings.decisions import CLASSIFIED, Decision
from settings.kinds import KINDS, PAGE_SEARCH, Capabilities, capabilities_of

DECISIONS = tuple(map(str, Decision))
LONGEST_S = 86_400.0  # a day: sockets and events take no limit of any length
VARIABLE = r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}]*))?\}"
_VARIABLE = re.compile(VARIABLE)
_LEDGER = re.compile(r"(sqlite|postgres|postgresql|postgresql\+psycopg)://")
HIDDEN = "***"
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_ENDINGS = (
    "key",
    "keys",
    "token",
    "secret",
    "secrets",
    "password",
    "passwd",
    "pwd",
    "credential",
    "credentials",
    "auth",
    "authorization",
)
_CREDENTIALS = re.compile(r"://.*@", re.S)  # a password may hold anything, even a blank
_QUERY = re.compile(r"([\w-]+)(=)([^\s&'\"]+)")
_ASSIGNED = re.compile(r"([\w-]+)(\s*[:=]\s*)((?:(?:Bearer|Basic)\s+)?[^\s&,'\"}]+)")


def setting(
    default=dataclasses.MISSING,
    doc="",
    *,
    factory=dataclasses.MISSING,
    choices=None,
    names=None,
    minimum=None,
    maximum=None,
    secret=False,
):
    """A field of a section: its default, what it means, and what it may be. names: the keys a mapping has, each of them, and no others."""
    metadata = {
        "doc": doc,
        "choices": choices,
        "names": names,
        "minimum": minimum,
        "maximum": maximum,
        "secret": secret,
    }
    return dataclasses.field(default=default, default_factory=factory, metadata=metadata, repr=not secret)


@dataclass(frozen=True)
class Server:
    host: str = setting("127.0.0.1", "address to listen on; HOST overrides")
    port: int = setting(8002, "port to listen on; PORT overrides", minimum=0, maximum=65535)
    threads: int = setting(64, "requests served at once; each open stream holds one", minimum=1)
    max_body_mb: int = setting(32, "largest request body, in MB", minimum=1)
    api_keys: list[str] = setting(
        factory=list, doc="keys clients must send as Bearer or x-api-key; empty: anybody", secret=True
    )
    cors_origins: list[str] = setting(
        factory=list, doc='web pages that may call from a browser, such as https://chat.home; "*": any'
    )


@dataclass(frozen=True)
class Classifier:
    backend: str = setting("mlx", "mlx: in process; openai: any chat model", choices=("mlx", "openai"))
    model: str = setting(
        "builtin",
        "the model's name; mlx: builtin, the trained one, or an instruct model: smollm2, a folder, a hub's owner/model",
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
    min: dict[str, typing.Any] = setting(factory=dict, doc="lowest value of a number the client sent")
    set: dict[str, typing.Any] = setting(factory=dict, doc="fields set whatever the client sent")


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
class Provider:
    kind: str = setting(
        doc="; ".join(f"{name}: {kind.doc}" for name, kind in KINDS.items()),
        choices=KINDS,
    )
    model: str = setting("", "model name sent upstream; empty: disabled")
    base_url: str = setting("", "with /v1 (searxng: as a browser has it); empty: disabled")
    api_key: str | None = setting(None, "sent as Bearer; its variable unset: disabled", secret=True)
    headers: dict[str, str] = setting(factory=dict, doc="sent with every request", secret=True)
    extra_body: dict[str, typing.Any] = setting(factory=dict, doc="merged into every request body")
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
        "responses",
        "how an enrichment asks it: responses, with the route's tools; chat, for a model that searches by itself",
        choices=("responses", "chat"),
    )
    pages: Pages = setting(factory=Pages, doc="searxng: the results that are read")
    disabled: str | None = dataclasses.field(default=None, init=False)  # why it is not used; None: it is

    def __post_init__(self):
        kind = KINDS[self.kind]
        if not self.disabled:
            missing = next((name for name in kind.needs if not getattr(self, name)), None)
            object.__setattr__(self, "disabled", missing and f"{missing} is not set")
        if self.health_path is None:
            object.__setattr__(self, "health_path", kind.health_path)

    @property
    def capabilities(self) -> Capabilities:
        """What it can be asked, as far as its kind and these settings tell."""
        return capabilities_of(self.kind, responses=self.responses, search=self.search)

    @property
    def is_embedded(self) -> bool:
        """Whether it is a model of ours, run beside the server."""
        return KINDS[self.kind].embedded


@dataclass(frozen=True)
class Route:
    chain: list[str] = setting(factory=list, doc="providers in the order they are tried")
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
    extra_body: dict[str, typing.Any] = setting(factory=dict, doc="merged into the request's body")
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
    )


@dataclass(frozen=True)
class Budgets:
    daily_usd: float | None = setting(
        None, "when it is spent, cloud routes fall to local until the next day", minimum=0
    )
    monthly_usd: float | None = setting(None, "likewise until the next month", minimum=0)


@dataclass(frozen=True)
class Log:
    file: str = setting("app.log", "the log file")
    max_mb: float = setting(5.0, "size at which it is rotated", minimum=0.001, maximum=1_000_000)
    backups: int = setting(3, "rotated files kept", minimum=1)


@dataclass(frozen=True)
class Origin:
    """Where a value came from. line: in the configuration file, None if it does not stand there. variables: what supplied it, as "env NAME" or ".env NAME"."""

    line: int | None
    variables: tuple[str, ...] = ()


@dataclass(frozen=True)
class Config:
    """The whole configuration. `path` is the file it came from; paths inside it are relative to that file.

    `origins` has an Origin for each key that was given, as in `providers.xai.model` or `routes.primary.chain[0]`; the others have their defaults.
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
    sessions: Sessions = setting(factory=Sessions, doc="the record of each request")
    log: Log = setting(factory=Log, doc="the log file, one line for each event")
    path: Path = dataclasses.field(default=Path("config.yaml"), init=False)
    origins: dict[str, Origin] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def resolve(self, name):
        """The absolute path of a file named in the configuration."""
        return (self.path.parent / name).resolve()


def pattern_of(regex):
    """A compiled RE2 pattern: linear in the text whatever the pattern, so that none can run away. Raises re2.error."""
    options = re2.Options()
    options.log_errors = False
    return re2.compile(regex, options)


def load(path=None, environ=None):
    """Read and check a configuration file and return a Config.

    path: the file; None takes HEADSTART_CONFIG, else config.yaml beside this module.
    environ: variables to expand from; None takes the process's own, completed by the `.env` beside the file.
    Raises ConfigError for the first mistake found.
    """
    environ = os.environ if environ is None else environ
    path = Path(
        path or environ.get("HEADSTART_CONFIG") or Path(__file__).resolve().parent.parent / "config.yaml"
    ).resolve()
    variables = Variables(environ, _dotenv(path.parent / ".env"))
    reader = _Reader(path, variables)
    config = reader.read()
    origins = reader.origins()
    server = _overridden(config.server, path, HOST=variables.get("HOST"), PORT=variables.get("PORT"))
    for key, name in (("server.host", "HOST"), ("server.port", "PORT")):
        if variables.get(name):
            origins[key] = Origin(None, (variables.told(name),))
    global _last
    _last = altered(config, path=path, server=server, origins=origins)
    return _last


_last = None  # what was loaded last; a worker has it from the master that it was forked from


def load_or_last():
    """(the configuration as `load` reads it, None), or (what was loaded last, the ConfigError) when the file has become faulty since.

    So a worker can be replaced while somebody edits the file. Raises ConfigError when nothing was ever loaded.
    """
    last = _last
    try:
        return load(), None
    except ConfigError as error:
        if last is None:
            raise
        return last, error


def looks_secret(name):
    """Whether what has this name (a variable, a key, a header) is better not shown."""
    return any(word.lower().endswith(_SECRET_ENDINGS) for word in _WORD.findall(name))


def masked(text):
    """A text without the credentials in its URLs, and without what is assigned to a secret-looking name in it."""
    text = _CREDENTIALS.sub(f"://{HIDDEN}@", text)
    for pattern in (_QUERY, _ASSIGNED):
        text = pattern.sub(
            lambda match: match[1] + match[2] + (HIDDEN if looks_secret(match[1]) else match[3]), text
        )
    return text


class Variables:
    """What `${NAME}` is taken from: the environment, else the `.env` file."""

    def __init__(self, environ, dotenv):
        self._environ = environ
        self._dotenv = dotenv

    def get(self, name):
        return self._environ.get(name, self._dotenv.get(name))

    def told(self, name):
        return f"env {name}" if name in self._environ else f".env {name}"


def _dotenv(file):
    try:
        return {name: value for name, value in dotenv_values(file).items() if value is not None}
    except UnicodeDecodeError as error:
        raise ConfigError(file.name, _line_of(error), "text", "is not UTF-8") from error


def _line_of(error):
    """The line that a UnicodeDecodeError is about."""
    return error.object[: error.start].count(b"\n") + 1


def _overridden(server, path, HOST, PORT):
    if PORT and not (re.fullmatch(r"[0-9]{1,5}", PORT) and int(PORT) < 65536):
        raise ConfigError(path.name, 0, "PORT", f"'{PORT}' is not a port number")
    return dataclasses.replace(server, host=HOST or server.host, port=int(PORT) if PORT else server.port)


def altered(section, **changes):
    """A copy of a section, or of the whole, with other values; also those which no file can give."""
    section = copy.copy(section)
    for name, value in changes.items():
        object.__setattr__(section, name, value)
    return section


class _Unset(Exception):
    """A variable without default is not set."""


class _Reader:
    """Turns YAML nodes into the sections above; nodes, since only they remember their lines."""

    def __init__(self, path, variables):
        self.path = path
        self.variables = variables
        self.lines = {}
        self.supplied = {}  # key -> the variables that supplied its value, as an ordered set
        self.secrets = []  # keys whose values no message may quote

    def origins(self):
        return {key: Origin(line, tuple(self.supplied.get(key, ()))) for key, line in self.lines.items()}

    def read(self):
        text = self.text()
        try:
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if node is None:
                self.fail(1, "config", "the file is empty")
            config = self.section(Config, node, "")
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line
            secret = any(
                map(looks_secret, re.findall(r"[\w-]+", "".join(text.splitlines()[line : line + 1])))
            )
            self.fail(line + 1, "yaml", _without_quotes(error.problem) if secret else error.problem)
        except yaml.reader.ReaderError as error:
            self.fail(
                text[: error.position].count("\n") + 1,
                "yaml",
                f"the character {text[error.position]!r} is not allowed",
            )
        except RecursionError:
            self.fail(1, "yaml", "is nested too deeply, or in itself")
        self.check(config)
        return config

    def text(self):
        try:
            return self.path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            self.fail(_line_of(error), "text", "is not UTF-8")
        except OSError as error:
            raise ConfigError(self.path, 0, "config", error.strerror) from error

    def fail(self, where, key, message):
        line = where if isinstance(where, int) else where.start_mark.line + 1
        if any(key.startswith(secret) for secret in self.secrets):
            message = _without_quotes(message)
        raise ConfigError(self.path.name, line, masked(key), masked(message))

    def pairs(self, node, key):
        """The (name, name node, value node) of a mapping, each name once."""
        if not isinstance(node, yaml.MappingNode):
            self.fail(node, key or "config", f"expected a mapping, found {_described(node)}")
        seen = set()
        for name_node, value in node.value:
            name = str(name_node.value)
            here = f"{key}.{name}" if key else name
            if name in seen:
                self.fail(name_node, here, "stands here twice")
            seen.add(name)
            self.lines[here] = name_node.start_mark.line + 1
            yield name, name_node, value

    def section(self, cls, node, key):
        fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
        hints = typing.get_type_hints(cls)
        values, unset = {}, None
        for name, name_node, value in self.pairs(node, key):
            here = f"{key}.{name}" if key else name
            if name not in fields:
                near = difflib.get_close_matches(name, fields, 1, 0.6)
                self.fail(
                    name_node,
                    here,
                    "unknown key"
                    + (f", did you mean {near[0]}?" if near else f"; known: {', '.join(fields)}"),
                )
            if fields[name].metadata["secret"]:
                self.secrets.append(here)
            try:
                values[name] = self.value(hints[name], value, here)
            except _Unset as variable:
                if cls is not Provider or name != "api_key":
                    self.fail(value, here, f"the variable {variable} is not set")
                unset = f"{variable} is not set"
                continue
            self.bounds(fields[name], values[name], value, here)
        for name, field in fields.items():
            if (
                name not in values
                and field.default is dataclasses.MISSING
                and field.default_factory is dataclasses.MISSING
            ):
                self.fail(node, f"{key}.{name}", "is required")
        built = cls(**values)
        return altered(built, disabled=unset) if unset else built

    def bounds(self, field, value, node, key):
        choices, minimum, maximum = (field.metadata[limit] for limit in ("choices", "minimum", "maximum"))
        if choices and value not in choices:
            self.fail(node, key, f"'{value}' is none of {', '.join(choices)}")
        if not isinstance(value, (int, float)) or isinstance(value, bool):
            return
        if not math.isfinite(value):
            self.fail(node, key, f"expected a finite number, found '{node.value}'")
        if minimum is not None and value < minimum:
            self.fail(node, key, f"{value} is less than {minimum}")
        if maximum is not None and value > maximum:
            self.fail(node, key, f"{value} is more than {maximum}")

    def value(self, hint, node, key):
        if isinstance(hint, types.UnionType):  # "X | None": null, or an X
            inner = next(arg for arg in typing.get_args(hint) if arg is not type(None))
            if inner is str and self.has_variable(node):
                return self.scalar(str, node, key) or None
            return None if self.plain(node, key) is None else self.value(inner, node, key)
        if dataclasses.is_dataclass(hint):
            return self.section(hint, node, key)
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin is dict:
            return {
                name: self.value(args[1], child, f"{key}.{name}") for name, _, child in self.pairs(node, key)
            }
        if origin is list:
            if not isinstance(node, yaml.SequenceNode):
                self.fail(node, key, f"expected a list, found {_described(node)}")
            return [self.item(args[0], child, f"{key}[{i}]") for i, child in enumerate(node.value)]
        return self.scalar(hint, node, key)

    def item(self, hint, node, key):
        self.lines[key] = node.start_mark.line + 1
        return self.value(hint, node, key)

    def scalar(self, hint, node, key):
        if self.has_variable(node):
            text = self.expanded(node, key)
            if hint is str:
                return text  # a key of digits, or one that reads "null", is text all the same
            if hint is not typing.Any:
                node = _resolved(node, text)  # quoted or not: between braces YAML wants the quotes
        value = self.plain(node, key)
        if hint is typing.Any:
            return value
        if hint is float and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        if hint is str and isinstance(value, (int, float)) and not isinstance(value, bool):
            return str(node.value)
        if not isinstance(value, hint) or (hint in (int, float) and isinstance(value, bool)):
            self.fail(node, key, f"expected {_TYPE_NAMES[hint]}, found {_described(node)}")
        return value

    def plain(self, node, key):
        """The Python value of a node with its variables expanded. Raises _Unset."""
        if isinstance(node, yaml.SequenceNode):
            return [self.plain(child, f"{key}[{i}]") for i, child in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            return {name: self.plain(child, f"{key}.{name}") for name, _, child in self.pairs(node, key)}
        if self.has_variable(node):
            node = _resolved(node, self.expanded(node, key), node.style in ("'", '"'))
        try:
            return yaml.SafeLoader("").construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            self.fail(node, key, getattr(error, "problem", None) or str(error))

    @staticmethod
    def has_variable(node):
        return isinstance(node, yaml.ScalarNode) and bool(_VARIABLE.search(node.value))

    def expanded(self, node, key):
        """The text of a node with its variables filled in. Raises _Unset."""

        def value_of(match):
            name, default = match.groups()
            value = self.variables.get(name)
            if value:
                self.supplied.setdefault(key, {})[self.variables.told(name)] = None
                return value
            if default is None:
                raise _Unset(name)
            return default  # as in a shell, ":-" also replaces an empty value

        return _VARIABLE.sub(value_of, node.value)

    # What the types cannot say.

    def check(self, config):
        line = lambda key: self.lines.get(key, 1)
        if config.timezone != "local":
            try:
                zoneinfo.ZoneInfo(config.timezone)
            except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
                self.fail(line("timezone"), "timezone", f"'{config.timezone}' is no IANA time zone")
        if config.classifier.backend == "openai" and not config.classifier.base_url:
            self.fail(line("classifier"), "classifier.base_url", "is required for the openai backend")
        self.check_url(line("classifier.base_url"), "classifier.base_url", config.classifier.base_url)
        model = config.classifier.model
        if (
            config.classifier.backend == "mlx"
            and model not in ("builtin", "smollm2")
            and model.count("/") != 1
            and not (self.path.parent / model).is_dir()
        ):
            self.fail(
                line("classifier.model"),
                "classifier.model",
                f"'{model}' is neither builtin, smollm2, a folder nor a hub's owner/model",
            )
        self.check_file(line("classifier.prompt"), "classifier.prompt", config.classifier.prompt)
        for decision, route in config.decisions.items():
            key = f"decisions.{decision}"
            if decision not in DECISIONS:
                self.fail(line(key), key, f"unknown decision; known: {', '.join(DECISIONS)}")
            if route not in config.routes:
                self.fail(line(key), key, f"there is no route '{route}'")
        missing = [decision for decision in DECISIONS if decision not in config.decisions]
        if missing:
            self.fail(line("decisions"), "decisions", f"no route for {', '.join(missing)}")
        for name, provider in config.providers.items():
            self.check_url(
                line(f"providers.{name}.base_url"), f"providers.{name}.base_url", provider.base_url
            )
            self.check_params(line(f"providers.{name}.params"), f"providers.{name}.params", provider.params)
            self.check_search(name, provider)
        for name, route in config.routes.items():
            self.check_route(config, name, route, line(f"routes.{name}"))
        self.check_models(config)
        if not _LEDGER.match(config.ledger.url):
            self.fail(line("ledger.url"), "ledger.url", "has to begin with sqlite:/// or postgresql://")
        marked = [name for name, provider in config.providers.items() if provider.embeddings]
        if len(marked) > 1:
            key = f"providers.{marked[1]}.embeddings"
            self.fail(line(key), key, f"'{marked[0]}' is marked for embeddings already")

    def check_search(self, name, provider):
        """What only makes sense for a provider of one kind is named where another has it; the default, as `make config` prints it, may stand."""
        usual = Provider(provider.kind)
        kind = KINDS[provider.kind]
        for keys, has_them, told in (
            (
                ("model", "extra_body", "params", "prices", "embeddings"),
                "model" in kind.needs,
                f"a {provider.kind} provider has no model to be told this",
            ),
            (("pages",), PAGE_SEARCH in kind.searches, "only a searxng provider's results are read"),
            (
                ("search",),
                len(kind.searches) > 1,
                "only an openai provider can be asked in more than one way",
            ),
        ):
            for key in keys:
                if not has_them and getattr(provider, key) != getattr(usual, key):
                    self.fail(self.lines[f"providers.{name}.{key}"], f"providers.{name}.{key}", told)

    def check_models(self, config):
        seen = {}
        for i, rule in enumerate(config.models):
            key = f"models[{i}]"
            line = self.lines.get(key, 1)
            kinds = [
                (kind, getattr(rule, kind))
                for kind in ("exact", "prefix", "regex")
                if getattr(rule, kind) is not None
            ]
            if len(kinds) != 1 or not kinds[0][1]:
                self.fail(line, key, "needs one of exact, prefix and regex")
            if kinds[0] in seen:
                self.fail(
                    line, key, f"{kinds[0][0]} '{kinds[0][1]}' stands in models[{seen[kinds[0]]}] already"
                )
            seen[kinds[0]] = i
            if bool(rule.provider) == bool(rule.route):
                self.fail(line, key, "needs a provider or a route" + (", not both" if rule.route else ""))
            if rule.provider and rule.provider not in config.providers:
                self.fail(
                    self.lines[f"{key}.provider"],
                    f"{key}.provider",
                    f"there is no provider '{rule.provider}'",
                )
            if rule.provider and not config.providers[rule.provider].capabilities.chat:
                self.fail(
                    self.lines[f"{key}.provider"],
                    f"{key}.provider",
                    f"'{rule.provider}' searches and answers nobody",
                )
            if rule.route and rule.route not in config.routes:
                self.fail(self.lines[f"{key}.route"], f"{key}.route", f"there is no route '{rule.route}'")
            if rule.regex:
                self.check_regex(f"{key}.regex", rule.regex)
            self.check_params(line, f"{key}.params", rule.params)

    def check_regex(self, key, pattern):
        try:
            pattern_of(pattern)
        except re2.error as error:
            told = (
                error.args[0].decode(errors="replace")
                if error.args and isinstance(error.args[0], bytes)
                else str(error)
            )
            self.fail(self.lines[key], key, f"'{pattern}' is no RE2 pattern: {told}")

    def check_params(self, line, key, params):
        for param, floor in params.min.items():
            if not isinstance(floor, (int, float)) or isinstance(floor, bool):
                here = f"{key}.min.{param}"
                self.fail(self.lines.get(here, line), here, "expected a number")

    def check_route(self, config, name, route, line):
        key = f"routes.{name}"
        if name == config.virtual_model:
            self.fail(line, key, "has the name of the virtual model")
        for i, provider in enumerate(route.chain):
            if provider not in config.providers:
                self.fail(
                    self.lines.get(f"{key}.chain", line),
                    f"{key}.chain[{i}]",
                    f"there is no provider '{provider}'",
                )
            if not config.providers[provider].capabilities.chat:
                self.fail(
                    self.lines[f"{key}.chain"],
                    f"{key}.chain[{i}]",
                    f"'{provider}' searches and answers nobody",
                )
        if bool(route.chain) == bool(route.answer):
            self.fail(line, key, "needs a chain, or an answer route" + (", not both" if route.chain else ""))
        if route.context and not route.answer:
            self.fail(
                self.lines[f"{key}.context"],
                f"{key}.context",
                "needs an answer route that uses what it finds",
            )
        if route.answer:
            self.check_answer(config, name)
            if not route.context:
                self.fail(line, f"{key}.context", "is required beside an answer route")
            if route.context not in config.providers:
                self.fail(
                    self.lines[f"{key}.context"], f"{key}.context", f"there is no provider '{route.context}'"
                )
            if not config.providers[route.context].capabilities.search:
                self.fail(
                    self.lines[f"{key}.context"],
                    f"{key}.context",
                    f"'{route.context}' is an embedded model and cannot search",
                )
        self.check_file(
            self.lines.get(f"{key}.system_prompt", line), f"{key}.system_prompt", route.system_prompt
        )

    def check_answer(self, config, name):
        """Whether the route that answers for this one has a chain of its own, and does not lead back here."""
        key = f"routes.{name}.answer"
        way, answer = [name], config.routes[name].answer
        while answer in config.routes and answer not in way:
            way.append(answer)
            answer = config.routes[answer].answer
        if answer in way:
            self.fail(self.lines[key], key, f"is circular: {' -> '.join([*way, answer])}")
        if len(way) != 2:
            self.fail(self.lines[key], key, f"there is no route '{config.routes[name].answer}' with a chain")

    def check_file(self, line, key, name):
        if not name:
            return
        try:
            (self.path.parent / name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            self.fail(line, key, f"'{name}' is not UTF-8")
        except (OSError, ValueError) as error:
            self.fail(line, key, f"'{name}' cannot be read: {getattr(error, 'strerror', None) or error}")

    def check_url(self, line, key, url):
        if url and not re.fullmatch(r"https?://[^/\s]+(/\S*)?", url):
            self.fail(line, key, f"'{url}' is no http(s) URL")


_TYPE_NAMES = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _resolved(node, text, quoted=False):
    """The scalar node with another text, of the type that YAML sees in it."""
    tag = (
        "tag:yaml.org,2002:str"
        if quoted
        else yaml.SafeLoader("").resolve(yaml.ScalarNode, text, (True, False))
    )
    return yaml.ScalarNode(tag, text, node.start_mark, node.end_mark)


def _without_quotes(message):
    """A message without what it quotes."""
    return re.sub(r"'.*'", f"'{HIDDEN}'", message, flags=re.S)


def _described(node):
    if isinstance(node, yaml.MappingNode):
        return "a mapping"
    if isinstance(node, yaml.SequenceNode):
        return "a list"
    return f"'{node.value}'" if node.value else "nothing"
