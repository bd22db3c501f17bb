"""Whether the port is free to listen on; where it is not, who holds it and which one is free.

Linux tells by /proc; elsewhere `lsof` is asked, which every macOS has. Both tell the pids of one's own
processes only, unless one is root.
"""

import errno
import os
import pwd
import socket
import subprocess
from pathlib import Path

PROC = Path("/proc")
LISTENING = "0A"  # TCP_LISTEN in /proc/net/tcp
FURTHER_PORTS = 100  # how many are tried for one that is free
ASK_S = 5.0


class PortTaken(Exception):
    """The server cannot listen there; the message says why, and what to do."""


def check_free(host: str, port: int) -> None:
    """Raises PortTaken when nobody can listen at that address now. port: 0 is always free."""
    number = _try(host, port) if port else None
    if number is None:
        return
    if number == errno.EADDRINUSE:
        raise PortTaken(f"port {port} is taken by {holder(port)}{_way_out(host, port)}")
    if number == errno.EADDRNOTAVAIL:
        raise PortTaken(f"HOST {host} is no address of this machine")
    if number == errno.EACCES:
        raise PortTaken(f"port {port} is not yours to listen on: ports from 1024 on are")
    raise PortTaken(f"cannot listen on {host}, port {port}: {os.strerror(number)}")


def _try(host: str, port: int) -> int | None:
    """The errno of listening there, None where it works."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as sock:
            # As gunicorn does: connections of a server that has just ended do not keep a port.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port))
    except socket.gaierror:
        return errno.EADDRNOTAVAIL
    except OSError as error:
        return error.errno
    return None


def _way_out(host: str, port: int) -> str:
    further = range(port + 1, min(port + FURTHER_PORTS, 65536))
    free = next((one for one in further if _try(host, one) is None), None)
    return f"; {free} is free: PORT={free} make run" if free else ""


def holder(port: int) -> str:
    """Who listens on a port, in words: `pid 1234 (gunicorn)`, or whose process it is where that is all."""
    owners = _sockets_on_linux(port) if PROC.is_dir() else {}
    pid = _pid_on_linux(set(owners)) if PROC.is_dir() else _pid_by_lsof(port)
    if pid is not None:
        name = _name_of(pid)
        return f"pid {pid} ({name})" if name else f"pid {pid}"
    users = {uid for uid in owners.values() if uid != os.getuid()}
    return f"a process of {_user(users.pop())}" if users else "another user's process"


def _sockets_on_linux(port: int) -> dict[str, int]:
    """Inode -> user id of the sockets that listen on a port."""
    found = {}
    for table in ("tcp", "tcp6"):
        try:
            lines = (PROC / "net" / table).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            _, local, _, state, _, _, _, uid, _, inode, *_ = line.split()
            if state == LISTENING and int(local.rpartition(":")[2], 16) == port:
                found[inode] = int(uid)
    return found


def _pid_on_linux(inodes: set[str]) -> int | None:
    """The process that has one of these sockets, and not a worker that has inherited it."""
    wanted = {f"socket:[{inode}]" for inode in inodes}
    pids = [int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit()] if wanted else []
    holders = {pid for pid in pids if _has_socket(pid, wanted)}
    return min((pid for pid in holders if _parent_of(pid) not in holders), default=None)


def _parent_of(pid: int) -> int | None:
    try:
        return int((PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return None


def _has_socket(pid: int, wanted: set[str]) -> bool:
    try:
        return any(os.readlink(handle) in wanted for handle in (PROC / str(pid) / "fd").iterdir())
    except OSError:
        return False  # another user's, or it has just ended


def _pid_by_lsof(port: int) -> int | None:
    listed = _said("lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t").split()
    return min(map(int, listed), default=None)


def _name_of(pid: int) -> str:
    """What a process is, in a word: its program, or the script or module that a Python runs."""
    try:
        words = (PROC / str(pid) / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        words = _said("ps", "-p", str(pid), "-o", "args=").split()
    if not words or not words[0]:
        return ""
    program = os.path.basename(words[0])
    script = next((word for word in words[1:] if word and not word.startswith("-")), None)
    named = os.path.basename(script) if program.startswith("python") and script else program
    return "Headstart" if any(word.endswith("gunicorn.conf.py") for word in words) else named


def _said(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=ASK_S).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"user {uid}"
