"""One conversation in, a verdict out: which of SIMPLE, MODERATE, COMPLEX, ENRICH its last turn needs.

Two backends. An embedded MLX model, the trained one or any instruct model, is loaded after the fork and belongs to one thread, to which requests queue up:
MLX's graphs are not safe to share, and one core computes them. Any chat model that answers with one of the words serves as well. Neither is ever waited for
longer than `timeout_ms`. When more ask at once than the embedded model can serve in time, those who would have to wait are decided by keyword rules.

It does not know routes, and META is none of its words: that is found by structure (`meta.py`).
"""

import logging
import queue
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from errors import Cancelled, HeadTimeout, ProxyError
from providers import Provider
from routing import keyword_rules
from settings import model as settings_of
from telemetry.call_timing import ms_since
from telemetry.logs import fields
from upstream.attempt import Attempt
from upstream.connection import POOL_SIZE
from wire import openai_chat

RULES = "rules"  # the source of what keyword_rules.py decides, when too many ask at once
LABELS = ("SIMPLE", "MODERATE", "COMPLEX", "ENRICH")
ESCALATIONS = ("COMPLEX", "ENRICH")  # what costs money or time
MAX_WAITING = 64  # requests queued for the model; beyond it they are decided by rules at once
# Whose turn has not come by then is decided by rules: of 32 at once p95 is to stay under 300 ms, and what has begun takes 60 ms on a CPU, or 160 on a busy one.
PATIENCE_S = 0.12
LOADING_S = 10.0  # requests wait for a model that is being loaded, but not for one that is being downloaded
HEAD_CHARS, TAIL_CHARS, EARLIER_CHARS = (
    4000,
    2000,
    1000,
)  # of the last turn and of those before it, for a chat model
BUILTIN, SMOLLM2 = (
    "builtin",
    "smollm2",
)  # models by their short names: the trained one, and the embedded chat model
PROMPTS = Path(__file__).resolve().parent.parent / "prompts"

_CLOSE = object()
_LABEL = re.compile(rf"(?<![A-Za-z])({'|'.join(LABELS)})(?![A-Za-z])")
_OPENING = re.compile(
    r"[\W_]*([A-Za-z]+)(?=[\W_]*$|[*_`\"')\]]*[.,:;!\n])"
)  # a first word that stands for itself

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Verdict:
    """decision: one of LABELS. confidence, probabilities: None and {} where the backend gives none. raw: what the model said. ms: how long it took."""

    decision: str
    confidence: float | None
    probabilities: dict
    raw: str | None
    source: str
    ms: int = 0
    error: str | None = None


class ClassifierFailed(Exception):
    """No decision, and why.

    told: what the log may say of it, where the message holds a stranger's words; those may quote the request. raw: what the model said, if it did.
    """

    def __init__(self, message, *, told=None, raw=None):
        super().__init__(message)
        self.told = told or message
        self.raw = raw


class Overloaded(ClassifierFailed):
    """No decision in time, since too many others are before it."""


class _Asked:
    """A question on its way to the model's thread, and the answer on its way back."""

    def __init__(self, turns):
        self.turns = turns
        self.answered = threading.Event()
        self.begun = False
        self.probabilities = None
        self.error = None
        self.abandoned = False

    def wake(self):
        self.abandoned = True
        self.answered.set()


class MlxClassifier:
    """An embedded model. Its thread loads it, so that nothing of MLX exists in the process before the fork."""

    def __init__(self, load_model, source="mlx", patience_s=PATIENCE_S, loading_s=LOADING_S):
        """load_model: called in the owner thread; returns an object with `batch(list of turns) -> list of {label: probability}` and `at_once`, how many
        conversations it had best be given in one batch. source: what verdicts say they come from.
        patience_s: how long a question waits for its turn. loading_s: for how long after the start questions wait for the model to be loaded.
        """
        self._load_model = load_model
        self.source = source
        self._patience_s = patience_s
        self._loaded_by = time.monotonic() + loading_s
        self._questions = queue.Queue(MAX_WAITING)
        self._ready = threading.Event()  # or known never to be
        self._broken = None
        threading.Thread(target=self._own, name="classifier", daemon=True).start()

    def probabilities(self, turns, timeout_s, on_cancel, on_call=None):
        """({label: probability}, None) for a conversation of (role, text). Raises ClassifierFailed, Overloaded when its turn is too far off, Cancelled."""
        return self._probabilities(turns, timeout_s, on_cancel, min(timeout_s, self._patience_s)), None

    def _probabilities(self, turns, timeout_s, on_cancel, patience_s):
        if not self._ready.is_set() and time.monotonic() > self._loaded_by:
            raise ClassifierFailed("it is still loading")
        asked = _Asked(turns)
        on_cancel(asked.wake)
        try:
            self._questions.put_nowait(asked)
        except queue.Full:
            if self._broken:
                raise ClassifierFailed(self._broken) from None
            raise Overloaded(f"{MAX_WAITING} requests are waiting for it") from None
        if self._broken:
            raise ClassifierFailed(self._broken)
        if (
            not asked.answered.wait(patience_s)
            and patience_s < timeout_s
            and self._ready.is_set()
            and not asked.begun
        ):
            asked.abandoned = True
            raise Overloaded(f"its turn has not come within {patience_s * 1000:g} ms")
        if not asked.answered.wait(timeout_s - patience_s):
            asked.abandoned = True
            raise ClassifierFailed("no answer in time" if self._ready.is_set() else "it is still loading")
        if asked.abandoned:
            raise Cancelled("hung up")
        if asked.error:
            raise ClassifierFailed(asked.error)
        return asked.probabilities

    def check(self, timeout_s, cancel_token):
        """Raises ClassifierFailed unless it decides a trial question in time. It makes no call, so the cancel_token stays unused."""
        self._probabilities([("user", "hello")], timeout_s, lambda cancel: None, patience_s=timeout_s)

    def wait_until_ready(self, timeout_s):
        """Wait for the model to be loaded. Raises ClassifierFailed when it cannot be, or not in time."""
        if not self._ready.wait(timeout_s):
            raise ClassifierFailed(f"it has not been loaded within {timeout_s:g} s")
        if self._broken:
            raise ClassifierFailed(self._broken)

    def close(self):
        """Let go of the model once the questions asked so far are answered. To be called when nobody will ask any more."""
        if not self._broken:  # else nobody takes what is put there
            self._questions.put(_CLOSE)

    def _own(self):
        try:
            model = self._load_model()
        except Exception as error:  # the edge of the worker thread: requests go on with `on_failure`
            self._broken = f"the model could not be loaded: {error}"
            log.exception("Classifier not loaded: %s", error)
            self._let_go()
            self._ready.set()
            return
        self._ready.set()
        while True:
            batch = [self._questions.get()]
            while len(batch) < model.at_once and not self._questions.empty():
                batch.append(self._questions.get_nowait())
            wanted = [asked for asked in batch if asked is not _CLOSE and not asked.abandoned]
            if wanted:
                self._decide(model, wanted)
            if _CLOSE in batch:
                return

    def _let_go(self):
        """Answer those who wait for a model that will not come."""
        while not self._questions.empty():
            asked = self._questions.get_nowait()
            if asked is _CLOSE:
                continue
            asked.error = self._broken
            asked.answered.set()

    def _decide(self, model, batch):
        for asked in batch:
            asked.begun = True
        try:
            for asked, probabilities in zip(
                batch, model.batch([asked.turns for asked in batch]), strict=True
            ):
                asked.probabilities = probabilities
        except Exception as error:  # the edge of the worker thread: one odd text must not end it, nor spoil the others' answers
            if len(batch) > 1:
                for asked in batch:
                    self._decide(model, [asked])
                return
            log.exception("Classifier failed")
            batch[0].error = f"{type(error).__name__} in the model"
        for asked in batch:
            asked.answered.set()


class ChatClassifier:
    """Any chat model behind an OpenAI-compatible endpoint that answers with one of the words, with or without thinking aloud first."""

    def __init__(self, settings, prompt):
        """settings: config.Classifier. prompt: the instructions."""
        self.source = settings.model
        self._prompt = prompt
        self._max_tokens = settings.max_tokens
        self._provider = self._provider_within(settings)
        self._executor = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="classifier")

    @staticmethod
    def _provider_within(settings):
        limit_s = settings.timeout_ms / 1000
        timeouts = settings_of.Timeouts(
            connect_s=limit_s, first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s
        )
        return Provider(
            "classifier",
            settings_of.Provider(
                "openai",
                model=settings.model,
                base_url=settings.base_url,
                api_key=settings.api_key,
                timeouts=timeouts,
            ),
        )

    def probabilities(self, turns, timeout_s, on_cancel, on_call=None):
        """({label: 1.0}, the model's words) for a conversation of (role, text). Raises ClassifierFailed, Cancelled.

        on_call: told of the Attempt, for the books.
        """
        attempt = Attempt(self._provider, "/chat/completions", self._question(turns))
        on_cancel(attempt.cancel)
        if on_call:
            on_call(attempt)
        late = threading.Event()
        timer = threading.Timer(
            timeout_s, lambda: (late.set(), attempt.cancel())
        )  # a socket's timeout starts anew with each byte
        timer.daemon = True
        timer.start()
        try:
            said = self._said(attempt)
        except Cancelled:
            if late.is_set():
                raise ClassifierFailed("no answer in time") from None
            raise
        except HeadTimeout:
            raise ClassifierFailed("no answer in time") from None
        except ProxyError as error:
            raise ClassifierFailed(error.message, told=type(error).__name__) from error
        finally:
            timer.cancel()
        label = word_in(said)
        if label is None:
            raise ClassifierFailed("it answered with none of the words", raw=said)
        return {label: 1.0}, said

    def _said(self, attempt):
        attempt.start(self._executor)  # elsewhere, since a name look-up cannot be cut
        attempt.head()
        return "".join(openai_chat.spoken(chunk) for _, chunk in attempt.events() if chunk)

    def _question(self, turns):
        messages = [
            {"role": "system", "content": self._prompt},
            {"role": "user", "content": transcript(turns)},
        ]
        return {"messages": messages, "max_tokens": self._max_tokens, "temperature": 0}

    def check(self, timeout_s, cancel_token):
        """Raises ClassifierFailed unless its server answers."""
        try:
            self._provider.ping(cancel_token, timeout_s)
        except ProxyError as error:
            raise ClassifierFailed(error.message) from error

    def wait_until_ready(self, timeout_s):
        """There is nothing to wait for."""

    def close(self):
        """Its connections and threads go with it."""


def word_in(said):
    """The label a chat model answered with, after any <think> block; None if there is none. A thought that was cut off is no answer."""
    said = re.sub(r"<think(?:ing)?>.*?</think(?:ing)?>", "", said, flags=re.S)
    said = re.sub(r"^.*</think(?:ing)?>", "", said, flags=re.S)  # some templates open the block in the prompt
    if "<think" in said:
        return None
    opening = _OPENING.match(said)
    if opening and opening[1].upper() in LABELS:
        return opening[1].upper()
    found = _LABEL.findall(said) or _LABEL.findall(
        said.upper()
    )  # in capitals it is the label, in a sentence it may be just a word
    if not found:
        return None
    return found[0] if said.lstrip(" \t\r\n*_`\"'([").upper().startswith(found[0]) else found[-1]


def transcript(turns):
    """A conversation for a chat model to judge: the last turn by its head and tail, the two before it shortened."""
    last = turns[-1][1] if turns else ""
    if len(last) > HEAD_CHARS + TAIL_CHARS:
        last = last[:HEAD_CHARS] + "\n[...]\n" + last[-TAIL_CHARS:]
    earlier = [f"{role}: {text[:EARLIER_CHARS]}" for role, text in turns[-3:-1]]
    return "\n\n".join([*earlier, f"The user's last message:\n{last}"])


class Classifier:
    """A backend with its time limit and what holds when it fails."""

    def __init__(self, settings, backend, made_from=None):
        """settings: config.Classifier. made_from: what the backend was made from, by which `build` knows whether it can go on under other settings."""
        self._settings = settings
        self.backend = backend
        self.made_from = made_from

    def classify(self, turns, on_cancel=lambda cancel: None, on_call=None):
        """The Verdict on a conversation of (role, text); by rules when too many ask at once, `on_failure`, with its error, when there is none in time.

        Raises Cancelled.

        on_call: told of the Attempt where a call is made to decide.
        """
        started = time.monotonic()
        try:
            probabilities, raw = self.backend.probabilities(
                turns, self._settings.timeout_ms / 1000, on_cancel, on_call
            )
            verdict = self._verdict(probabilities, raw)
        except Overloaded as overloaded:
            decision, rule = keyword_rules.decide(turns)
            verdict = Verdict(decision, None, {}, rule, RULES, error=str(overloaded))
        except ClassifierFailed as failed:
            log.warning("Classification failed:", extra=fields(source=self.backend.source, error=failed.told))
            verdict = Verdict(
                self._settings.on_failure, None, {}, failed.raw, "on_failure", error=str(failed)
            )
        return replace(verdict, ms=ms_since(started))

    def _verdict(self, probabilities, raw):
        if raw is not None:  # a chat model gives a word, not probabilities
            return Verdict(max(probabilities, key=probabilities.get), None, {}, raw, self.backend.source)
        rounded = {label: round(float(p), 4) for label, p in probabilities.items()}
        told = " ".join(f"{label}={p:.4f}" for label, p in rounded.items())
        likeliest = max(rounded.values())
        decision = (
            self._settings.on_failure
            if likeliest < self._settings.min_confidence
            else max(rounded, key=lambda label: self._worth(label, rounded))
        )
        return Verdict(decision, rounded.get(decision, likeliest), rounded, told, self.backend.source)

    def _worth(self, label, probabilities):
        """What speaks for a label: its probability, less what it costs when it was needless."""
        return probabilities[label] / (self._settings.escalation_cost if label in ESCALATIONS else 1.0)

    def health(self, timeout_s, cancel_token):
        """As a provider's: {status, latency_ms, error}. cancel_token: an upstream.CancelToken, by which whoever asks may hang up."""
        started = time.monotonic()
        try:
            self.backend.check(timeout_s, cancel_token)
        except ClassifierFailed as failed:
            return {"status": "unhealthy", "latency_ms": ms_since(started), "error": str(failed)}
        return {"status": "healthy", "latency_ms": ms_since(started), "error": None}


def build(config, previous=None):
    """The configured classifier. The embedded model is loaded in the background.

    previous: the classifier of the configuration before; if what it was made from is the same, it goes on deciding.
    """
    settings = config.classifier
    if settings.backend == "openai":
        prompt = Path(config.resolve(settings.prompt)) if settings.prompt else PROMPTS / "classify.md"
        made_from = (settings, prompt.read_text(encoding="utf-8").strip())
        make = ChatClassifier
    elif settings.model == BUILTIN:
        made_from = (_load_embedded,)
        make = MlxClassifier
    else:
        folder = config.resolve(settings.model)
        name = str(folder) if folder.is_dir() else settings.model
        made_from = (
            _Instruct(name, (PROMPTS / "classify_labels.md").read_text(encoding="utf-8")),
            Path(settings.model).name if folder.is_dir() else name,
        )
        make = MlxClassifier
    backend = previous.backend if previous and previous.made_from == made_from else make(*made_from)
    return Classifier(settings, backend, made_from)


def _load_embedded():
    # Imported here and not above: MLX is heavy, must not exist before the fork, and finds its BLAS only if that is loaded first.
    from engine import blas, models_dir

    blas.ready_for_mlx()
    from engine.router_model import RouterModel

    return RouterModel.load(models_dir())


@dataclass(frozen=True)
class _Instruct:
    """How to load an instruct model: SMOLLM2, a folder or a hub's name, and the prompt. A value, by which a changed configuration knows it again."""

    name: str
    prompt: str

    def __call__(self):
        from engine import blas, models_dir, prepare

        blas.ready_for_mlx()
        from engine.label_model import LabelModel

        return LabelModel.load(
            str(models_dir() / prepare.CHAT_MODEL) if self.name == SMOLLM2 else self.name, self.prompt
        )
