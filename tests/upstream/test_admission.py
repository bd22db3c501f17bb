"""The admission queue of a provider: who gets in, who waits in which order, and that no slot is ever lost."""

import random
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from errors import Cancelled
from upstream.admission import CHAT, META, Admission, Overloaded

HANG_GUARD_S = 20


class Client:
    """Somebody who may hang up, as an exchange has it.

    `waits` is set once the queue has taken its number for that, which is when it stands in the queue.
    """

    def __init__(self):
        self.waits = threading.Event()
        self._lock = threading.Lock()
        self._callbacks = []
        self._gone = False

    def on_cancel(self, callback):
        with self._lock:
            if not self._gone:
                self._callbacks.append(callback)
                self.waits.set()
                return
        callback()

    def hangs_up(self):
        with self._lock:
            self._gone = True
            callbacks, self._callbacks = self._callbacks, []
        for callback in callbacks:
            callback()


class Queue:
    """An Admission with one slot, taken, and callers that come one after the other."""

    def __init__(self, **settings):
        self.admission = Admission(
            "local", **{"max_concurrent": 1, "queue_timeout_s": HANG_GUARD_S, **settings}
        )
        self.slot = self.admission.enter()
        self.served = []
        self.threads = ThreadPoolExecutor(64)

    def joins(self, name, priority=CHAT, client=None):
        """Have somebody join the queue who leaves as soon as they are served.

        Returns when they wait, with the future of what becomes of them.
        """
        client = client or Client()

        def comes():
            with self.admission.enter(priority, client.on_cancel) as slot:
                self.served.append(name)
                return slot

        future = self.threads.submit(comes)
        assert client.waits.wait(HANG_GUARD_S)
        return future

    def serves_all(self, *futures):
        self.slot.release()
        for future in futures:
            future.result(HANG_GUARD_S)
        return self.served


def waiting(admission):
    """How many wait for a slot."""
    return sum(map(len, admission._queues.values()))


def waits_at_most(admission, timeout_s):
    """Have those who come from now on wait no longer than this."""
    admission._queue_timeout_s = timeout_s


@pytest.fixture
def queue():
    queue = Queue()
    yield queue
    queue.slot.release()
    queue.threads.shutdown()
    assert (queue.admission.running, waiting(queue.admission)) == (0, 0)


def test_calls_up_to_the_limit_do_not_wait():
    admission = Admission("local", max_concurrent=2)

    slots = [admission.enter(), admission.enter(META)]

    assert admission.running == 2
    assert [slot.queued_ms for slot in slots] == [0, 0]


def test_without_a_limit_nobody_ever_waits():
    admission = Admission("vllm")

    slots = [admission.enter() for _ in range(1000)]

    assert admission.running == 1000
    for slot in slots:
        slot.release()
    assert admission.running == 0


def test_who_comes_first_is_served_first(queue):
    futures = [queue.joins(name) for name in "abcdefgh"]

    assert queue.serves_all(*futures) == list("abcdefgh")


def test_chat_goes_before_meta_and_each_keeps_its_order(queue):
    futures = [queue.joins(name, META if name.isupper() else CHAT) for name in "AaBbCc"]

    assert queue.serves_all(*futures) == list("abcABC")


def test_meta_that_waits_too_long_is_told_so_like_everybody(queue):
    queue.joins("a")

    waits_at_most(queue.admission, 0.01)
    late = queue.joins("A", META)

    with pytest.raises(Overloaded) as told:
        late.result(HANG_GUARD_S)
    assert told.value.message == "provider 'local' had no place within 0.01 s"
    assert (told.value.status, told.value.may_go_on, told.value.code) == (503, True, "provider_busy")
    assert waiting(queue.admission) == 1


def test_nobody_waits_longer_than_the_provider_s_limit():
    queue = Queue(queue_timeout_s=0.01)

    with pytest.raises(Overloaded):
        queue.admission.enter()

    assert waiting(queue.admission) == 0


def test_a_full_queue_turns_people_away_at_once():
    queue = Queue(max_queued=2)
    futures = [queue.joins("a"), queue.joins("b")]

    with pytest.raises(Overloaded, match="its queue is full \\(2\\)"):
        queue.admission.enter()
    with pytest.raises(Overloaded):
        queue.admission.enter(META)

    assert queue.serves_all(*futures) == ["a", "b"]


def test_without_a_queue_nobody_waits():
    admission = Admission("local", max_concurrent=1, max_queued=0)
    admission.enter()

    with pytest.raises(Overloaded):
        admission.enter()


def test_chat_takes_the_place_of_the_newest_meta_in_a_full_queue():
    queue = Queue(max_queued=3)
    kept, newest, chat = queue.joins("A", META), queue.joins("B", META), queue.joins("a")

    late = queue.threads.submit(queue.admission.enter)

    with pytest.raises(Overloaded, match="chat goes first"):
        newest.result(HANG_GUARD_S)
    queue.slot.release()
    late.result(HANG_GUARD_S).release()
    kept.result(HANG_GUARD_S)
    chat.result(HANG_GUARD_S)
    assert queue.served == ["a", "A"]


def test_who_hangs_up_leaves_the_queue_at_once(queue):
    client = Client()
    leaving, staying = queue.joins("a", client=client), queue.joins("b")

    client.hangs_up()

    with pytest.raises(Cancelled):
        leaving.result(HANG_GUARD_S)  # while the slot is still taken
    assert queue.serves_all(staying) == ["b"]


def test_who_has_hung_up_before_does_not_wait_at_all(queue):
    client = Client()
    client.hangs_up()

    with pytest.raises(Cancelled):
        queue.admission.enter(CHAT, client.on_cancel)

    assert waiting(queue.admission) == 0


def test_a_slot_granted_to_somebody_who_hangs_up_goes_to_the_next(queue):
    """The grant and the hang-up both come before the waiting thread can run: it is inside `on_cancel`."""
    admission, following = queue.admission, []

    def at_once(callback):
        following.append(queue.joins("b"))
        queue.slot.release()
        callback()

    with pytest.raises(Cancelled):
        admission.enter(CHAT, at_once)

    following[0].result(HANG_GUARD_S)
    assert queue.served == ["b"]


def test_a_slot_granted_while_on_hang_up_fails_is_not_lost(queue):
    def fails(callback):
        queue.slot.release()
        raise KeyError("a bug of the caller's")

    with pytest.raises(KeyError):
        queue.admission.enter(CHAT, fails)

    assert queue.admission.running == 0


def test_a_hang_up_after_the_slot_was_taken_does_not_take_it_away(queue):
    client = Client()
    queue.slot.release()
    slot = queue.admission.enter(CHAT, client.on_cancel)

    client.hangs_up()

    assert queue.admission.running == 1
    slot.release()


def test_a_hang_up_of_somebody_who_was_served_from_the_queue_frees_nothing_twice(queue):
    client = Client()
    taken = threading.Event()
    slots = []

    def comes():
        slots.append(queue.admission.enter(CHAT, client.on_cancel))
        taken.set()

    queue.threads.submit(comes)
    assert client.waits.wait(HANG_GUARD_S)
    queue.slot.release()
    assert taken.wait(HANG_GUARD_S)

    client.hangs_up()

    assert queue.admission.running == 1
    slots[0].release()


def test_a_slot_is_released_once_however_often_it_is_said():
    admission = Admission("local", max_concurrent=2)
    slot, other = admission.enter(), admission.enter()

    slot.release()
    slot.release()

    assert admission.running == 1
    other.release()


def test_a_speculative_call_takes_a_free_slot_and_never_waits():
    admission = Admission("local", max_concurrent=1)

    slot, second = admission.try_enter(), admission.try_enter()

    assert (slot is not None, second) == (True, None)
    assert (admission.running, waiting(admission)) == (1, 0)


def test_a_speculative_call_overtakes_nobody(queue):
    """A slot that becomes free while somebody waits is theirs, from that very moment."""
    client = Client()
    leaves = threading.Event()

    def holds():
        with queue.admission.enter(CHAT, client.on_cancel):
            leaves.wait(HANG_GUARD_S)

    holding = queue.threads.submit(holds)
    assert client.waits.wait(HANG_GUARD_S)
    queue.slot.release()

    assert queue.admission.try_enter() is None
    leaves.set()
    holding.result(HANG_GUARD_S)


def test_the_time_in_the_queue_is_told():
    now = [50.0]
    queue = Queue(clock=lambda: now[0])
    served = queue.joins("a")

    now[0] += 1.25

    queue.serves_all(served)
    assert served.result().queued_ms == 1250


def test_the_order_holds_for_many_within_each_priority():
    queue = Queue(max_queued=60)
    names = [(META if index % 3 else CHAT, index) for index in range(60)]

    futures = [queue.joins(name, name[0]) for name in names]

    assert queue.serves_all(*futures) == sorted(names)


def test_in_a_crowd_no_slot_is_lost_none_is_given_twice_and_nobody_is_forgotten():
    """Forty threads come and go: served, late, turned away, hung up at any moment, speculative."""
    admission = Admission("local", max_concurrent=3, max_queued=12)
    lock, inside, most = threading.Lock(), 0, 0

    def serves(slot, dice):
        nonlocal inside, most
        with lock:
            inside += 1
            most = max(most, inside)
        threading.Event().wait(dice.choice([0, 0.0002, 0.001]))
        with lock:
            inside -= 1
        slot.release()

    def comes(dice):
        client = Client()
        leaves = threading.Thread(target=client.hangs_up)
        if dice.random() < 0.5:
            leaves.start()
        try:
            if dice.random() < 0.2:
                slot = admission.try_enter()
            else:
                waits_at_most(admission, dice.choice([0.0, 0.001, HANG_GUARD_S]))
                slot = admission.enter(dice.choice([CHAT, META]), client.on_cancel)
            if slot is None:
                return "off"
            serves(slot, dice)
            return "served"
        except (Overloaded, Cancelled) as error:
            return type(error).__name__
        finally:
            if leaves.ident:
                leaves.join()

    def keeps_coming(seed):
        dice = random.Random(seed)
        return Counter(comes(dice) for _ in range(100))

    with ThreadPoolExecutor(40) as threads:
        fates = sum(
            (
                future.result(3 * HANG_GUARD_S)
                for future in [threads.submit(keeps_coming, seed) for seed in range(40)]
            ),
            Counter(),
        )

    assert (admission.running, waiting(admission), inside) == (0, 0, 0)
    assert most == 3
    assert sum(fates.values()) == 40 * 100
    assert set(fates) == {"served", "off", "Overloaded", "Cancelled"}
