"""The parts under one configuration, built after the fork, and how one configuration succeeds another."""

import logging
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path

from accounting.accounts import Accounts
from accounting.entries import LedgerEntries
from alerts.alerts import Alerts, Watched
from engine.embedder import Embedder
from errors import ConfigError
from providers import Provider
from providers import build as build_providers
from proxy.passthrough import PassThrough
from proxy.pipeline import Pipeline
from proxy.preparation import Preparation
from proxy.prompts import Prompts
from proxy.speculation import Speculator
from routing import markers, policies
from routing.affinity import Affinity
from routing.classifier import Classifier
from routing.classifier import build as build_classifier
from routing.decision import ClassifierFailed
from routing.housekeeping import MetaRules
from routing.key_limits import KeyLimits
from routing.markers import SHIPPED_MARKERS
from routing.readiness import announce, readiness
from routing.router import ModelEntry, RoutePlan, Router
from search.enrichment import Enrichment
from session_logger import SessionLogger
from settings.decisions import Decision
from settings.model import ApiKey, Config
from settings.paths import CHECKOUT, OWN_PROMPTS, SHIPPED
from settings.repairs import repairs
from telemetry import logs
from telemetry.events import Recorder
from telemetry.metrics import Metrics, RequestMetrics
from telemetry.request_log import RequestLog
from telemetry.session_record import SessionRecord
from telemetry.summary import Summary
from upstream.health import Health
from upstream.probes import Probes

FIRST_ROUND_S = 5.0  # how long the table of who answers waits for the first probes
CLASSIFIER_END_S = 3.0  # how long the process's end waits for a classifier that is still being loaded
LOAD_S = 120.0  # how long a new classifier's model may take before a changed configuration is refused

log = logging.getLogger(__name__)


class Services:
    """Everything that serves requests under one configuration."""

    metrics: Metrics
    affinity: Affinity
    alerts: Alerts
    embedder: Embedder
    sessions: SessionLogger
    providers: dict[str, Provider]
    classifier: Classifier
    accounts: Accounts

    def __init__(self, config: Config, previous: "Services | None" = None) -> None:
        """previous: the services of the configuration before; what a change leaves as it was is taken over.

        Raises ConfigError for a faulty marker file.
        """
        self.config = config
        self.keys = config.server.keys
        self.max_body_bytes = config.server.max_body_mb * 1024 * 1024
        self.metrics = previous.metrics if previous else Metrics()
        self.affinity = previous.affinity if previous else Affinity()
        self.alerts = previous.alerts if previous else Alerts()
        self.embedder = previous.embedder if previous else Embedder()
        self.sessions = (
            previous.sessions
            if previous
            else SessionLogger(config.written(config.sessions.dir), config.sessions)
        )
        engines = Path(os.environ.get("HEADSTART_ENGINES") or CHECKOUT / "engines")
        self.providers = build_providers(config, engines, previous.providers if previous else None)
        self.classifier = build_classifier(config, previous.classifier if previous else None)
        # The providers and not `self`: services that have served their time are gone at once, and not when a
        # cycle is found.
        known = self.providers
        self.router = Router(config, lambda name: known[name].model)
        self.accounts = Accounts(config, self.router.cloud.chain, previous.accounts if previous else None)
        self.key_limits = KeyLimits(self.router, self.providers, self.accounts.key_budgets)
        self._within_budget = partial(
            policies.stay_within_budget, router=self.router, providers=known, budget=self.accounts.budget
        )
        self.probes = _probes(known, config.probes.period_s)
        self.pipeline = self._pipeline(config, _meta_rules(config, is_first=previous is None))
        self.passthrough = PassThrough(
            config.virtual_model, self.router, known, self.embedder, self.key_limits
        )
        self._readiness = partial(readiness, self._plan_now(), known)
        self.health = self._health(config)

    def _pipeline(self, config: Config, meta_rules: MetaRules) -> Pipeline:
        prompts = Prompts(config)
        return Pipeline(
            config,
            providers=self.providers,
            router=self.router,
            policies=self._policies(),
            classifier=self.classifier,
            meta_rules=meta_rules,
            affinity=self.affinity,
            preparation=Preparation(prompts, Enrichment(self.providers, prompts), config.timezone),
            speculator=Speculator(config.speculation, self.providers),
        )

    def _health(self, config: Config) -> Health:
        outlook = self._readiness
        return Health(
            self.router.primary.chain,
            self.providers,
            self.classifier,
            self.probes,
            config.dormant,
            lambda snapshot: [one.as_json() for one in outlook(snapshot)],
        )

    def _policies(self) -> tuple[policies.Policy, ...]:
        """The filters on every plan, in the order in which they apply."""
        return (
            partial(policies.stay_with_target, router=self.router, providers=self.providers),
            self.key_limits,
            self._within_budget,
            partial(policies.pass_over_the_unable, providers=self.providers),
        )

    def _plan_now(self) -> Callable[[Decision], RoutePlan]:
        """What gives the plan for a decision as it is just now, for a client that may do everything."""
        router, within_budget = self.router, self._within_budget
        return lambda decision: within_budget(router.plan_for(decision), policies.PolicyContext())

    def models(self, key: ApiKey | None) -> list[ModelEntry]:
        """The model list as the clients with a key see it."""
        return self.key_limits.listed(self.router.models(), key)

    def _watched(self) -> Watched:
        usable = {name: one for name, one in self.providers.items() if not one.disabled}
        plans = {name: plan for name in self.router.routes() if (plan := self.router.plan_of(name))}
        return Watched(
            budgets=self.accounts.budgets,
            breakers={name: provider.breaker for name, provider in usable.items()},
            chains={name: tuple(one for one in plan.chain if one in usable) for name, plan in plans.items()},
        )

    def recorders(self, summary: Summary) -> Iterator[Recorder]:
        """Who records what happens to one request, a line each. summary: what they all need of it."""
        yield summary
        yield RequestLog(summary)
        yield RequestMetrics(self.metrics, summary)
        yield LedgerEntries(self.accounts.ledger, summary)
        yield SessionRecord(self.sessions, summary)
        yield from self.alerts.recorder()

    def files(self) -> set[Path]:
        """The files these services were made of, also those that do not exist yet.

        They are the configuration, ours and the owner's, its `.env`, the markers and the prompts.
        """
        config = self.config
        around = {file for folder in config.folders for file in _prompts_in(folder)}
        return {SHIPPED, config.path, *config.dotenv_files, SHIPPED_MARKERS, *config.prompts, *around}

    def successor(self, config: Config) -> "Services":
        """The services under another configuration, ready to take this one's place.

        Raises ConfigError; then nothing has changed.
        """
        following = Services(config, self)
        section = "classifier"
        try:
            if following.classifier.backend is not self.classifier.backend:
                following.classifier.backend.wait_until_ready(LOAD_S)
            section = "sessions"
            if config.sessions != self.config.sessions:
                self.sessions.move(config.written(config.sessions.dir), config.sessions)
            section = "log"
            if config.log != self.config.log:
                logs.set_up(config)
        except (ClassifierFailed, OSError) as error:
            following.close(self)
            reason = getattr(error, "strerror", None) or str(error)
            raise ConfigError(*config.place(section), section, reason) from error
        return following

    def rejected(self, mistake: str) -> None:
        """A changed configuration has a mistake; this one goes on."""
        self.alerts.rejected(mistake)

    def start(self) -> None:
        """Begin to serve."""
        for hint in self.config.hints:
            log.warning("Config misspelt? %s", hint)
        for repair in repairs(self.config):
            log.warning("Config repaired: %s", repair)
        self.probes.start()
        self.alerts.serve(self.config.alerts, self._watched())
        threading.Thread(target=self._tell_who_answers, name="readiness", daemon=True).start()

    def _tell_who_answers(self) -> None:
        """Once everybody has been tried, say on the terminal and in the log who answers which decision."""
        self.probes.wait_first_round(FIRST_ROUND_S)
        announce(self._readiness(self.probes.snapshot()))

    def stop(self) -> None:
        """Another configuration serves from now on; requests in flight go on."""
        self.probes.stop()

    def close(self, successor: "Services | None") -> None:
        """Let go of what the successor has not taken over; None: of everything."""
        if successor is None:  # else they go on
            self.alerts.close()
            self.sessions.close()
            self.classifier.backend.close(CLASSIFIER_END_S)
        self.accounts.close(successor.accounts if successor else None)
        if successor and self.classifier.backend is not successor.classifier.backend:
            self.classifier.backend.close()


def _probes(providers: Mapping[str, Provider], period_s: float) -> Probes:
    return Probes(
        providers,
        {name: provider.breaker for name, provider in providers.items()},
        period_s,
        busy=lambda name: providers[name].admission.running > 0,
        unheard_s=lambda name: time.monotonic() - providers[name].heard_at,
    )


def _meta_rules(config: Config, *, is_first: bool) -> MetaRules:
    """The owner's markers over ours. Raises ConfigError for faulty ones.

    is_first: of this process. The start has found no mistake, so there is one only where a worker is replaced
    while somebody edits the file; then ours serve alone, since a server without markers serves better than
    none.
    """
    try:
        return markers.in_effect(config)
    except ConfigError:
        if not is_first:
            raise
        return markers.load(SHIPPED_MARKERS)


def _prompts_in(folder: Path) -> Iterator[Path]:
    """The prompts and markers in one of the configuration's folders."""
    prompts = folder if folder.name == OWN_PROMPTS else folder / "prompts"
    yield from (*prompts.glob("*.md"), prompts / SHIPPED_MARKERS.name)
