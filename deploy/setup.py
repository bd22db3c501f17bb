"""`make setup`: finds servers, asks at most four questions, tries each answer, writes a short file.

It never overwrites one. Everything is asked before anything is written, so that whoever leaves in the middle
leaves nothing behind.
"""

import os
import socket
from collections.abc import Callable
from pathlib import Path

from deploy import candidates, owner_files
from deploy.place import Place, here
from deploy.questions import Abandoned, Answers, Dialogue, Questions
from providers import build as build_providers
from routing.readiness import readiness, table
from routing.router import Router
from settings.environment import (
    CLIENT_KEY,
)
from terminal.command import run_and_exit, say
from terminal.interruption import status_of_interruption


def set_up(place: Place, dialogue: Dialogue) -> None:
    """Ask, try, write, and show who answers. Raises DeployError, ConfigError, Abandoned."""
    file = place.owners_file
    if file.exists():
        say(f"{file} is there already and stays as it is.")
        show_answers(place)
        say("Edit it, or move it away and run `make setup` again.")
        return
    try:
        answers = Questions(place, dialogue).run()
    except KeyboardInterrupt as error:
        raise Abandoned(by_signal=True) from error
    if answers.are_empty:
        say("Nothing was chosen, so nothing was written.")
        show_answers(place)
        return
    _write(place, answers)
    show_answers(place)
    _tell_what_is_next(place, answers)


def _write(place: Place, answers: Answers) -> None:
    text = owner_files.settings_text(
        home={"base_url": answers.url, "model": answers.model, "comment": answers.make},
        searxng=answers.searxng,
        listens_everywhere=answers.listens_everywhere,
        keys=answers.clouds,
    )
    owner_files.append_keys(place.paths.dotenv, answers.keys)
    owner_files.write_settings(place.owners_file, text)
    say(f"Wrote {place.owners_file} ({len(text.splitlines())} lines)")
    if answers.keys:
        say(f"Added {', '.join(answers.keys)} to {place.paths.dotenv}, which only you can read")


def _tell_what_is_next(place: Place, answers: Answers) -> None:
    if answers.listens_everywhere:
        url = f"http://{socket.gethostname()}:{place.config().server.port}/v1"
        say(f"Others reach it at {url}, with the {CLIENT_KEY} of {place.paths.dotenv}")
    running = place.running()
    if running and answers.listens_everywhere:
        say("Next: stop the server that runs and `make run`, or `make restart`: it has to listen anew")
    else:
        say(f"The server at {running.url} takes it up now" if running else "Next: make run")


def show_answers(place: Place) -> None:
    """Print what goes to whom. Raises ConfigError."""
    config = place.config()
    providers = build_providers(config, Path(os.devnull).parent)
    say("Who will answer:")
    known = candidates.prepared(config, providers)
    router = Router(config, lambda name: providers[name].model)
    for line in table(readiness(router.plan_for, providers, known)):
        say(f"  {line}")


def main(dialogue: Callable[[], Dialogue] = Dialogue) -> int:
    """Run it in the terminal. Returns an exit status; 0 also where the owner had enough of it."""
    try:
        set_up(here(), dialogue())
    except Abandoned as abandoned:
        say("\nNothing was written.")
        return status_of_interruption() if abandoned.by_signal else 0
    return 0


if __name__ == "__main__":
    run_and_exit(main)
