"""What a service manager is told of Headstart: the text of a systemd user unit and of a launchd agent.

Values in, text out, and the same values back from the text; no file and no process is touched.
"""

import plistlib
import re
import xml.parsers.expat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

UNIT_NAME = "headstart.service"
AGENT_LABEL = "local.headstart"
RESTART_S = 10  # between a failure and the next start
STOP_S = 25  # how long a stop may take: gunicorn drains for 10 s, then the engines end


@dataclass(frozen=True)
class Service:
    """One installed Headstart. Paths are absolute.

    environment: the variables it is started with, beside those that every service has.
    """

    checkout: Path
    log: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def command(self) -> list[str]:
        # Not .venv/bin/gunicorn, whose first line may be longer than a kernel reads.
        python, settings = self.checkout / ".venv/bin/python", self.checkout / "gunicorn.conf.py"
        return [str(python), "-m", "gunicorn", "-c", str(settings)]


# systemd.


def systemd_unit(service: Service) -> str:
    """The text of the unit. Raises ValueError, with a message for the owner, where systemd knows no way."""
    if unfit := re.search(r"[\"'`\\]", str(service.checkout)):
        raise ValueError(
            f"systemd starts nothing in a folder with {unfit[0]} in its name: {service.checkout}"
        )
    for value in (str(service.checkout), str(service.log), *service.environment.values()):
        if re.search(r"[\x00-\x1f\x7f]", value):
            raise ValueError(f"systemd takes no control characters: {value!r}")
    environment = [f"Environment={_quoted(f'{name}={value}')}" for name, value in service.environment.items()]
    # ":" keeps systemd from replacing $NAME in the command.
    command = ":" + " ".join(map(_word, service.command))
    return "\n".join(
        [
            "# Written by `make install`, removed by `make uninstall`.",
            "[Unit]",
            "Description=Headstart, a proxy for LLM chat",
            # An address may be missing early after a boot, and a faulty configuration may be mended any day.
            "StartLimitIntervalSec=0",
            "",
            "[Service]",
            "Type=notify",
            f"ExecStart={command}",
            "ExecReload=kill -HUP $MAINPID",
            f"WorkingDirectory={_without_specifiers(str(service.checkout))}",
            *environment,
            f"StandardOutput=append:{_without_specifiers(str(service.log))}",
            "StandardError=inherit",
            "Restart=on-failure",
            f"RestartSec={RESTART_S}",
            # The master alone is asked to stop: it lets requests finish, then ends its engines itself.
            "KillMode=mixed",
            f"TimeoutStopSec={STOP_S}",
            "OOMPolicy=continue",  # an engine that was too large is started anew by its supervisor
            "NoNewPrivileges=yes",
            "",
            "[Install]",
            "WantedBy=default.target",
            "",
        ]
    )


def from_systemd_unit(text: str) -> Service:
    """The values that a text of `systemd_unit` was made of. Raises ValueError for another text."""
    environment = {}
    for line in re.findall(r'^Environment="(.*)"$', text, re.MULTILINE):
        name, _, value = _with_specifiers(re.sub(r"\\(.)", r"\1", line)).partition("=")
        environment[name] = value
    checkout = re.search(r"^WorkingDirectory=(.+)$", text, re.MULTILINE)
    log = re.search(r"^StandardOutput=append:(.+)$", text, re.MULTILINE)
    if not checkout or not log:
        raise ValueError("it is no unit of Headstart")
    return Service(Path(_with_specifiers(checkout[1])), Path(_with_specifiers(log[1])), environment)


def _word(word: str) -> str:
    """A word of a command line, in quotes where it needs them."""
    return word if re.fullmatch(r"[\w/.-]+", word) else _quoted(word)


def _quoted(word: str) -> str:
    return '"' + _without_specifiers(re.sub(r'(["\\])', r"\\\1", word)) + '"'


def _without_specifiers(text: str) -> str:
    return text.replace("%", "%%")


def _with_specifiers(text: str) -> str:
    return text.replace("%%", "%")


# launchd.

_NO_AGENT = (plistlib.InvalidFileException, KeyError, AttributeError, TypeError)


def launchd_agent(service: Service) -> bytes:
    """The property list of the agent."""
    return plistlib.dumps(
        {
            "Label": AGENT_LABEL,
            "ProgramArguments": service.command,
            "WorkingDirectory": str(service.checkout),
            "EnvironmentVariables": dict(service.environment),
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_S,
            "ExitTimeOut": STOP_S,
            "ProcessType": "Interactive",  # others are slowed down in favour of what has a window
            "StandardOutPath": str(service.log),
            "StandardErrorPath": str(service.log),
        }
    )


def from_launchd_agent(plist: bytes) -> Service:
    """The values that a property list of `launchd_agent` was made of. Raises ValueError for another one."""
    try:
        agent = plistlib.loads(plist)
        environment = {str(name): str(value) for name, value in agent["EnvironmentVariables"].items()}
        return Service(Path(agent["WorkingDirectory"]), Path(agent["StandardOutPath"]), environment)
    except (*_NO_AGENT, xml.parsers.expat.ExpatError) as error:
        raise ValueError("it is no agent of Headstart") from error
