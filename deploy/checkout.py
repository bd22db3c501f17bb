"""The checkout as an update sees it: which version it has, which there are, and its packages."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from deploy.commands import DeployError, end, run
from deploy.place import Place

REMOTE = "origin"
FETCH_S = 600.0
VERSION = re.compile(r"v?(\d+)\.(\d+)(?:\.(\d+))?")
SHOWN = 5  # tags in a message


class Checkout:
    """A clone of the repository. Whatever git refuses is a DeployError in git's words."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def refuse_unless_clone(self) -> None:
        """Raises DeployError where there is nothing to fetch from."""
        if not run("git", "-C", str(self.folder), "rev-parse", "--show-toplevel").ok:
            raise DeployError(f"{self.folder} is no git clone, so there is nothing to fetch an update from")
        if not run("git", "-C", str(self.folder), "remote", "get-url", REMOTE).ok:
            raise DeployError(f"the clone has no remote '{REMOTE}' to fetch an update from")

    def refuse_unless_clean(self) -> None:
        """Raises DeployError where files of ours are changed."""
        changed = self._git("diff", "--name-only", "HEAD").splitlines()
        if not changed:
            return
        line = f"files that an update would replace are changed: {', '.join(changed)}."
        raise DeployError(f"{line} `git stash` puts changes aside, `git checkout -- FILE` drops them")

    def tags(self) -> list[str]:
        """The versions that the remote has, newest first; others than v1.2 and v1.2.3 are no versions."""
        listed = self._git("ls-remote", "--tags", "--refs", REMOTE, timeout_s=FETCH_S)
        names = [line.rpartition("refs/tags/")[2] for line in listed.splitlines()]
        return sorted(filter(VERSION.fullmatch, names), key=_numbers, reverse=True)

    def fetched(self, tag: str) -> str:
        """The commit of a tag, fetched from the remote."""
        reference = f"refs/tags/{tag}"
        self._git("fetch", "--quiet", REMOTE, f"{reference}:{reference}", timeout_s=FETCH_S)
        return self._git("rev-parse", f"{reference}^{{commit}}")

    def commit(self) -> str:
        return self._git("rev-parse", "HEAD")

    def has(self, commit: str) -> bool:
        """Whether a commit is this one, or one before it."""
        return run("git", "-C", str(self.folder), "merge-base", "--is-ancestor", commit, "HEAD").ok

    def name(self) -> str:
        """What is checked out, by a name that `switch` takes: a branch, a tag or a commit."""
        branch = run("git", "-C", str(self.folder), "symbolic-ref", "--short", "--quiet", "HEAD")
        tag = run("git", "-C", str(self.folder), "describe", "--tags", "--exact-match")
        return branch.output if branch.ok else tag.output if tag.ok else self.commit()

    def switch(self, name: str, *, by_force: bool = False) -> None:
        """Check out a branch, a tag or a commit. by_force: over files that were changed meanwhile."""
        force = ["--force"] if by_force else []
        self._git("-c", "advice.detachedHead=false", "checkout", "--quiet", *force, name, "--")

    def _git(self, *words: str, timeout_s: float = 120.0) -> str:
        # Not in the terminal's own group, so that Ctrl-C never breaks off a checkout; but a fetch may ask for
        # a password there.
        fetches = words[0] in ("fetch", "ls-remote")
        done = run("git", "-C", str(self.folder), *words, timeout_s=timeout_s, own_group=not fetches)
        if not done.ok:
            raise DeployError(f"git {words[0]}: {done.output or done.status}")
        return done.output


def _numbers(tag: str) -> tuple[int, ...]:
    matched = VERSION.fullmatch(tag)
    assert matched
    return tuple(int(number or 0) for number in matched.groups())


class Packages:
    """The checkout's .venv, kept aside while another version is set up, so that going back needs no network.

    The files below lib/ are linked and not copied: pip replaces files and never writes into one.
    """

    def __init__(self, checkout: Path) -> None:
        self._venv = checkout / ".venv"
        self._kept = checkout / ".venv-before-update"

    def keep(self) -> None:
        self.forget()
        if self._venv.is_dir() and not self._venv.is_symlink():  # a link is somebody else's
            shutil.copytree(self._venv, self._kept, symlinks=True, copy_function=self._taken)

    def _taken(self, source: str, target: str) -> None:
        if Path(source).relative_to(self._venv).parts[0] == "lib":
            os.link(source, target)
        else:
            shutil.copy2(source, target)

    def put_back(self) -> None:
        if self._kept.is_dir():
            failed = self._venv.with_name(".venv-failed")
            self._venv.rename(failed)
            self._kept.rename(self._venv)
            shutil.rmtree(failed, ignore_errors=True)
            for stamp in self._venv.glob(".installed*"):
                stamp.touch()  # newer than the lock, which has just been checked out: it is that of the lock

    def forget(self) -> None:
        shutil.rmtree(self._kept, ignore_errors=True)


def set_up(place: Place) -> None:
    """Install packages and models as `make run` would. Raises DeployError."""
    inherited = {
        name: value
        for name, value in place.variables().items()
        if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "MAKEOVERRIDES")
    }
    # A group of its own, so that its children end with it, and Ctrl-C reaches them only through us.
    process = subprocess.Popen(
        ["make", "--no-print-directory", "models"],
        cwd=place.checkout,
        env=inherited,
        stdin=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        status = process.wait()
    except BaseException:
        end(process)
        raise
    if status:
        raise DeployError("setting it up failed")
