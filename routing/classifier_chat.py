"""Any chat model as the classifier: shown the conversation, it answers with one of the words.

It may think aloud first. What it writes around the word is left out, and kept for the record.
"""

import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from errors import Cancelled, HeadTimeout, ProxyError
from providers import OpenAIProvider
from routing.decision import ClassifierFailed, Turn
from settings import model as settings_model
from settings.decisions import CLASSIFIED, Decision
from upstream.attempt import Attempt
from upstream.cancellation import CancelToken, OnCancel
from upstream.connection import POOL_SIZE
from upstream.endpoint import CHAT
from wire import JsonObject, openai_chat

# Of the last turn and of those before it, for a chat model.
HEAD_CHARS, TAIL_CHARS, EARLIER_CHARS = 4000, 2000, 1000

_LABEL = re.compile(rf"(?<![A-Za-z])({'|'.join(CLASSIFIED)})(?![A-Za-z])")
# A first word that stands for itself.
_OPENING = re.compile(r"[\W_]*([A-Za-z]+)(?=[\W_]*$|[*_`\"')\]]*[.,:;!\n])")


class ChatClassifier:
    """A chat model behind an OpenAI-compatible endpoint."""

    def __init__(self, settings: settings_model.Classifier, prompt: str) -> None:
        """prompt: the instructions."""
        self.source = settings.model
        self._prompt = prompt
        self._max_tokens = settings.max_tokens
        self._provider = _provider_within(settings)
        self._executor = ThreadPoolExecutor(POOL_SIZE, thread_name_prefix="classifier")

    def probabilities(
        self,
        turns: list[Turn],
        timeout_s: float,
        on_cancel: OnCancel,
        on_attempt: Callable[[Attempt], None] | None = None,
    ) -> tuple[dict[str, float], str]:
        """({label: 1.0}, the model's text). Raises ClassifierFailed, Cancelled.

        on_attempt: is given the Attempt, for the ledger.
        """
        attempt = Attempt(self._provider, CHAT, self._request(turns))
        on_cancel(attempt.cancel)
        if on_attempt:
            on_attempt(attempt)
        late = threading.Event()

        def time_out() -> None:
            late.set()
            attempt.cancel()

        timer = threading.Timer(timeout_s, time_out)  # a socket's timeout starts anew with each byte
        timer.daemon = True
        timer.start()
        try:
            text = self._text(attempt)
        except Cancelled:
            if late.is_set():
                raise ClassifierFailed("no answer in time") from None
            raise
        except HeadTimeout:
            raise ClassifierFailed("no answer in time") from None
        except ProxyError as error:
            raise ClassifierFailed(error.message, log_summary=type(error).__name__) from error
        finally:
            timer.cancel()
        label = word_in(text)
        if label is None:
            raise ClassifierFailed("it answered with none of the words", raw=text)
        return {label: 1.0}, text

    def _text(self, attempt: Attempt) -> str:
        attempt.start(self._executor)  # elsewhere, since a name look-up cannot be cancelled
        attempt.head()
        return "".join(
            openai_chat.answer_text(openai_chat.first_choice(chunk)) for _, chunk in attempt.events() if chunk
        )

    def _request(self, turns: list[Turn]) -> JsonObject:
        messages = [
            {"role": "system", "content": self._prompt},
            {"role": "user", "content": transcript(turns)},
        ]
        return {"messages": messages, "max_tokens": self._max_tokens, "temperature": 0}

    def check(self, timeout_s: float, cancel_token: CancelToken) -> None:
        """Raises ClassifierFailed unless its server answers."""
        try:
            self._provider.ping(cancel_token, timeout_s)
        except ProxyError as error:
            raise ClassifierFailed(error.message) from error

    def wait_until_ready(self, timeout_s: float) -> None:
        """There is nothing to wait for."""

    def close(self, patience_s: float = 0.0) -> None:
        """Its connections and threads go with it."""


def _provider_within(settings: settings_model.Classifier) -> OpenAIProvider:
    """The model's server; no phase of a call may take longer than a decision may."""
    limit_s = settings.timeout_ms / 1000
    timeouts = settings_model.Timeouts(
        connect_s=limit_s, first_byte_s=limit_s, idle_s=limit_s, total_s=limit_s
    )
    return OpenAIProvider(
        "classifier",
        settings_model.Provider(
            "openai",
            model=settings.model,
            base_url=settings.base_url or "",  # never empty: checked when it was read
            api_key=settings.api_key,
            timeouts=timeouts,
        ),
    )


def word_in(text: str) -> Decision | None:
    """The word a chat model answered with, after any <think> block; None if there is none.

    A thought that was cut off is no answer.
    """
    text = re.sub(r"<think(?:ing)?>.*?</think(?:ing)?>", "", text, flags=re.S)
    text = re.sub(r"^.*</think(?:ing)?>", "", text, flags=re.S)  # some templates open the block in the prompt
    if "<think" in text:
        return None
    opening = _OPENING.match(text)
    if opening and opening[1].upper() in CLASSIFIED:
        return Decision(opening[1].upper())
    # In capitals it is the word that decides, in a sentence it may be just a word.
    found = _LABEL.findall(text) or _LABEL.findall(text.upper())
    if not found:
        return None
    is_first = text.lstrip(" \t\r\n*_`\"'([").upper().startswith(found[0])
    return Decision(found[0] if is_first else found[-1])


def transcript(turns: list[Turn]) -> str:
    """A conversation to judge: the last turn by its head and tail, the two before it shortened."""
    last = turns[-1][1] if turns else ""
    if len(last) > HEAD_CHARS + TAIL_CHARS:
        last = last[:HEAD_CHARS] + "\n[...]\n" + last[-TAIL_CHARS:]
    earlier = [f"{role}: {text[:EARLIER_CHARS]}" for role, text in turns[-3:-1]]
    return "\n\n".join([*earlier, f"The user's last message:\n{last}"])
