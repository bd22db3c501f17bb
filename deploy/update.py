"""`make update`: to another version and, where that does worse, back.

Back up, fetch, check out, set up, check the configuration, start, compare the health with that before. This
is the old version's code all the while: it asks the new one for nothing but `make models` and
`python -m deploy.check`.
"""

import sys

from deploy import health, managers, service
from deploy.carry_over import carry_over
from deploy.checkout import REMOTE, SHOWN, Checkout, set_up
from deploy.commands import DeployError, run
from deploy.former_version import PATIENCE_S, FormerVersion
from deploy.managers import ServiceManager
from deploy.place import Place, here
from deploy.trial import InstalledService, Subject, TemporaryServer
from terminal.command import run_and_exit, say
from wire import JsonObject


def update(place: Place, manager: ServiceManager, tag: str, patience_s: float = PATIENCE_S) -> None:
    """Go to a version. Raises DeployError where that fails; then the former version is there as before.

    tag: of the remote; "" for its newest version.
    """
    checkout = Checkout(place.checkout)
    checkout.refuse_unless_clone()
    if carried := carry_over(place.checkout, place.variables()):
        say(carried)
    checkout.refuse_unless_clean()
    wanted = _wanted(checkout, tag)
    if wanted is None:
        return
    runs = service.is_ours(place, manager) and manager.state().running
    subject: Subject = (
        InstalledService(place, manager, patience_s) if runs else TemporaryServer(place, patience_s)
    )
    if not runs:
        say("No service runs here: both versions are started for a moment, to be compared")
    before = subject.before()
    say(f"From {place.version()} ({health.status_of(before)}) to {wanted}")
    former = FormerVersion(place, manager, checkout, before)
    attempt = _Attempt(place, checkout, subject, before)
    try:
        attempt.go_to(wanted)
    except (Exception, KeyboardInterrupt) as error:  # whatever it is, the owner shall not be left half-way
        say(f"Going back to {former.name}: {str(error) or 'it was interrupted'}")
        try:
            former.come_back(restart=attempt.started and runs)
        except DeployError as trouble:
            raise DeployError(f"{wanted} was not taken, and {trouble}") from error
        as_before = f"{wanted} was not taken, {former.name} is there as before"
        if isinstance(error, KeyboardInterrupt):
            say(as_before)
            raise
        raise DeployError(as_before) from error
    finally:
        former.forget()
    say(f"This is {wanted}; to go back: {former.command}")
    running = place.running()
    if running and not runs:
        say(f"The server that you started (pid {running.pid}) has the former version until its end")


def _wanted(checkout: Checkout, tag: str) -> str | None:
    """The tag to go to, fetched; None, and a line, where there is nothing to do."""
    tags = checkout.tags()
    if not tags:
        raise DeployError(f"the remote '{REMOTE}' has no version yet (a tag such as v1.2.3)")
    if tag and tag not in tags:
        raise DeployError(f"the remote has no version {tag}; it has {', '.join(tags[:SHOWN])}")
    wanted = tag or tags[0]
    commit = checkout.fetched(wanted)
    if commit == checkout.commit():
        say(f"This is {wanted} already" + ("" if tag else ", the newest version"))
        return None
    if not tag and checkout.has(commit):
        say(f"This is ahead of {wanted}, the newest version")
        return None
    return wanted


class _Attempt:
    """The way to another version. started: whether it was tried on what the owner uses."""

    def __init__(self, place: Place, checkout: Checkout, subject: Subject, before: JsonObject | None) -> None:
        self._place = place
        self._checkout = checkout
        self._subject = subject
        self._before = before
        self.started = False

    def go_to(self, wanted: str) -> None:
        self._checkout.switch(wanted)
        say(f"Setting up {wanted}")
        set_up(self._place)
        python = self._place.service.command[0]
        folder, variables = self._place.checkout, self._place.variables()
        checked = run(python, "-m", "deploy.check", folder=folder, environment=variables)
        if not checked.ok:
            raise DeployError(f"its check of the configuration says: {checked.output}")
        say("The configuration is valid")
        self.started = True
        say(f"Starting {wanted}")
        after = self._subject.after(self._before)
        if health.is_worse(after, self._before):
            compared = (
                f"it was {health.status_of(self._before)}, and with {wanted} it is: {health.in_words(after)}"
            )
            raise DeployError(f"{compared}\n{self._subject.log()}".rstrip())
        say(f"It is {health.in_words(after)}")


def main() -> int:
    manager = managers.of_this_machine()
    update(here(manager.installed()), manager, sys.argv[1] if len(sys.argv) > 1 else "")
    return 0


if __name__ == "__main__":
    run_and_exit(main)
