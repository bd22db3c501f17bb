"""Where the owner's things lie: the checkout, the owner's file, `.env`, and the folder of what is written.

Standard library alone, since commands need it before anything is loaded; it opens no file.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
SHIPPED = CHECKOUT / "config.yaml"  # the defaults; the owner's go over them
OWNER_FILE = "headstart.yaml"
DOTENV = ".env"
OWN_PROMPTS = "my-prompts"  # the owner's prompts and markers, each in place of ours of that name
CARRIED_OVER = "carried-over"  # shipped files as the owner had edited them
CONFIG_VARIABLE, DATA_VARIABLE = "HEADSTART_CONFIG", "HEADSTART_DATA"


@dataclass(frozen=True)
class OwnerPaths:
    """owner_file: the owner's configuration, which need not exist. data: the folder of what is written."""

    owner_file: Path
    data: Path

    @property
    def dotenv(self) -> Path:
        """The `.env` file to write to."""
        return self.owner_file.parent / DOTENV

    @property
    def dotenv_files(self) -> tuple[Path, ...]:
        """Where variables are read from besides the environment, the later ones going first."""
        return tuple(dict.fromkeys((self.data / DOTENV, self.dotenv)))


def owner_paths(
    environ: Mapping[str, str],
    *,
    named: str | os.PathLike[str] | None = None,
    checkout: Path = CHECKOUT,
) -> OwnerPaths:
    """The paths that the variables name, else those in the checkout.

    named: the owner's file, whatever HEADSTART_CONFIG names.
    """
    file, data = named or environ.get(CONFIG_VARIABLE), environ.get(DATA_VARIABLE)
    owner_file = _absolute(file) if file else (_absolute(data) if data else checkout) / OWNER_FILE
    return OwnerPaths(owner_file, _absolute(data) if data else owner_file.parent)


def _absolute(path: str | os.PathLike[str]) -> Path:
    return Path(path).expanduser().resolve()
