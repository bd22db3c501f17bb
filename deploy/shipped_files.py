"""The files that we ship and an owner may have edited, as git knows them."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

CONFIG, PROMPTS, MARKERS = "config.yaml", "prompts", "prompts/meta_markers.yaml"
GIT_S = 20.0  # how long a git command may take


class ShippedFiles:
    """The files of a checkout as they are shipped and as the owner has them, as git knows it.

    In the middle of a merge the shipped ones are those that come in, and the owner's side of a conflict is
    "ours"; wherever git applies edits to new files (stash, rebase, checkout -m) it is "theirs".
    """

    def __init__(self, checkout: Path) -> None:
        self._checkout = checkout
        self._merges = self._git("rev-parse", "-q", "--verify", "MERGE_HEAD") is not None
        self._commit = "MERGE_HEAD" if self._merges else "HEAD"
        self._conflicts = self._differing("--diff-filter=U")

    def edited(self) -> Iterator[str]:
        """The shipped files that differ from what is shipped, and can be read."""
        for name in sorted(self._differing(self._commit) | self._conflicts):
            if self._git("cat-file", "-e", f"{self._commit}:{name}") is not None and self._is_text(name):
                yield name

    def is_in_conflict(self, name: str) -> bool:
        return name in self._conflicts

    def versions(self, name: str) -> tuple[str, list[str]]:
        """(the owner's text, the shipped ones that it may have been made from, the newest first)."""
        if name in self._conflicts:
            base, own = (self._git("show", f":{stage}:{name}") for stage in (1, 2 if self._merges else 3))
            if own is not None:
                return own, [base or ""]
        commits = (self._git("log", "--format=%H", "-50", self._commit, "--", name) or "").split()
        shipped = [self._git("show", f"{commit}:{name}") for commit in commits]
        return self.path(name).read_text(encoding="utf-8"), [text for text in shipped if text is not None]

    def restore(self, name: str) -> None:
        self._git("checkout", self._commit, "--", name)

    def path(self, name: str) -> Path:
        return self._checkout / name

    def left_to_do(self) -> Iterator[str]:
        """The command that ends what git is in the middle of."""
        if self._merges:
            yield "git commit --no-edit"
        elif self._git("rev-parse", "-q", "--verify", "REBASE_HEAD") is not None:
            yield "git rebase --continue"

    def _differing(self, *options: str) -> set[str]:
        """The names that `git diff` lists."""
        listed = self._git("diff", "--name-only", "-z", *options, "--", CONFIG, PROMPTS)
        return set(filter(None, (listed or "").split("\0")))

    def _is_text(self, name: str) -> bool:
        """Whether it is UTF-8. What is not stays, and whoever reads it says so."""
        try:
            self.path(name).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            return False
        return True

    def _git(self, *arguments: str) -> str | None:
        """What a git command prints, None where it fails or there is no git."""
        try:
            done = subprocess.run(
                ["git", "-C", str(self._checkout), *arguments], capture_output=True, text=True, timeout=GIT_S
            )
        except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
            return None
        return done.stdout if done.returncode == 0 else None
