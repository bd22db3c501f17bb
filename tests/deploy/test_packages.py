"""The locks are whole, and their installation tells in a line how far it is and in a few why it stopped."""

import ast
import io
import os
import re
import signal
import subprocess
import sys
import zipfile
from hashlib import sha256
from importlib.metadata import packages_distributions

import pytest

from deploy import packages
from deploy.pip_output import HAVE_BUILDS, PipOutput, pinned, plain
from terminal.bar import Bar
from tests.support.server import ROOT
from tests.support.waiting import await_that
from tests.test_house import MODULES

WAIT_S = 60

# The locks.


def entries(lock):
    """{package: (version, hashes)} of a lock."""
    found = {}
    for entry in re.split(r"\n(?=\S)", (ROOT / lock).read_text()):
        if not entry.startswith("#"):
            name, _, version = entry.partition("==")
            found[plain(name)] = version.split()[0], entry.count("--hash=sha256:")
    return found


def named_in(requirements):
    """The packages that a hand-written list names."""
    lines = (ROOT / requirements).read_text().splitlines()
    return {plain(found[0]) for line in lines if (found := re.match(r"[A-Za-z][\w.-]*", line))}


RUN, TEST = entries("requirements.txt"), entries("requirements-test.txt")


@pytest.mark.parametrize("lock", [RUN, TEST], ids=["run", "test"])
def test_every_package_has_one_version_and_the_hashes_of_its_builds(lock):
    assert len(lock) > 30
    assert [name for name, (version, hashes) in lock.items() if not version or not hashes] == []


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-test.txt"])
def test_a_lock_names_no_host_and_is_read_as_it_is_written(lock):
    text = (ROOT / lock).read_text()

    assert "://" not in text
    assert pinned(text) == {name: version for name, (version, _) in entries(lock).items()}


def test_what_is_written_by_hand_is_locked():
    assert named_in("requirements.in") - RUN.keys() == set()
    assert named_in("requirements-test.in") - TEST.keys() == set()


def test_what_the_code_imports_is_written_by_hand():
    of_module = packages_distributions()
    imported = {
        node.module.partition(".")[0] if isinstance(node, ast.ImportFrom) else name.name.partition(".")[0]
        for path in MODULES.values()
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in node.names
    }
    needed = {name: set(map(plain, of_module[name])) for name in imported & of_module.keys()}
    named = named_in("requirements.in")

    assert len(needed) > 15
    assert [name for name, of in needed.items() if not of & named] == []


def test_what_only_tests_need_is_not_installed_to_run():
    assert named_in("requirements-test.in") & RUN.keys() == set()


def test_both_locks_agree_on_what_they_share():
    shared = RUN.keys() & TEST.keys()

    assert {name: RUN[name] for name in shared} == {name: TEST[name] for name in shared}


# What pip's output tells.

NUMPY = "numpy==2.0\nflask==3.0\nmlx-metal==1 ; sys_platform == 'darwin'\n"


def output_of(text, lock=NUMPY):
    output = PipOutput(lock)
    for line in text.splitlines():
        output.read(line)
    return output


def test_the_bar_goes_by_what_is_looked_up_fetched_and_unpacked(tmp_path):
    site = tmp_path / "site-packages"
    output = PipOutput(NUMPY)
    fractions = [output.fraction(tmp_path, site)]

    def after(line):
        output.read(line)
        fractions.append(output.fraction(tmp_path, site))

    after("Ignoring mlx-metal: markers 'sys_platform == \"darwin\"' don't match your environment")
    after("Collecting numpy==2.0 (from -r requirements.txt (line 1))")
    after("  Downloading numpy-2.0-cp311-cp311-manylinux_2_28_x86_64.whl.metadata (6 kB)")
    after("  Downloading numpy-2.0-cp311-cp311-manylinux_2_28_x86_64.whl (1.0 MB)")
    (tmp_path / "numpy-2.0-cp311-cp311-manylinux_2_28_x86_64.whl").write_bytes(b"x" * 500_000)
    after("")
    after("Processing ./flask-3.0-py3-none-any.whl (from -r requirements.txt (line 2))")
    after("Installing collected packages: numpy, Flask")
    (site / "flask-3.0.dist-info").mkdir(parents=True)
    after("")
    (site / "numpy-2.0.dist-info").mkdir()
    after("Successfully installed Flask-3.0 numpy-2.0")

    # numpy counts for 17 packages like flask
    assert fractions == pytest.approx(
        [0, 0, 0.05, 0.05, 0.05, 0.05 + 0.6 * 8.5 / 18, 0.7, 0.7, 0.7 + 0.3 / 18, 1]
    )


def test_what_is_there_already_is_done(tmp_path):
    output = output_of(
        "Requirement already satisfied: Flask==3.0 in .venv/lib (from -r list (line 2))", "flask==3.0"
    )

    assert output.fraction(tmp_path, None) == pytest.approx(0.7)


def test_words_that_nobody_knows_move_no_bar(tmp_path):
    output = output_of("Wir holen numpy\nund flask\n\n")

    assert output.fraction(tmp_path, None) == 0


def test_a_missing_build_is_named_with_the_machines_that_have_one():
    output = output_of(
        "Collecting flask==3.0\n"
        "ERROR: Could not find a version that satisfies the requirement numpy==2.0 (from versions: none)\n"
        "ERROR: No matching distribution found for numpy==2.0\n"
    )

    assert output.reason().startswith("pip stopped at numpy:\nERROR: Could not find a version")
    assert "The index has no build of numpy for this machine (Python 3." in output.reason()
    assert HAVE_BUILDS in output.reason()


def test_a_wrong_checksum_names_its_package():
    output = output_of(
        "Collecting flask==3.0\n"
        "ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.\n"
        "    numpy==2.0 from file:///wheels/numpy-2.0-py3-none-any.whl (from -r requirements.txt (line 1)):\n"
        "        Expected sha256 00\n"
    )

    assert output.reason().startswith("pip stopped at numpy:\nERROR: THESE PACKAGES")


def test_an_index_that_does_not_answer_is_said_while_it_is_tried_and_in_the_end():
    output = output_of(
        "Collecting numpy==2.0\n"
        "WARNING: Retrying (Retry(total=4, connect=None)) after connection broken by 'NewConnectionError'\n"
    )
    note = output.note
    output.read("ERROR: No matching distribution found for numpy==2.0")

    assert note == "the package index does not answer, trying again"
    assert output.reason().endswith("is this machine online?")


# The installation, by a pip that plays a part.

FAKE = """#!{python}
import pathlib, sys, time
if sys.argv[1] == "-c":
    sys.exit()
place = pathlib.Path(sys.argv[0]).parent.parent
(place.parent / "asked").open("a").write(sys.argv[-1] + "\\n")
{part}
"""
INSTALLS = 'print("Installing collected packages: numpy, flask")'
FAILS = """print("Collecting numpy==2.0")
print("WARNING: nobody needs to know")
print("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device")
sys.exit(1)"""
WAITS = """print("Collecting numpy==2.0", flush=True)
time.sleep(60)"""


class Checkout:
    """A checkout with a lock and a .venv whose Python plays pip."""

    def __init__(self, folder):
        self.folder = folder
        self.screen = io.StringIO()
        self.site = folder / ".venv" / "lib" / "python3.11" / "site-packages"
        self.site.mkdir(parents=True)
        (folder / ".venv" / "bin").mkdir()
        (folder / "requirements.txt").write_text(NUMPY)
        (folder / "requirements-test.txt").write_text("pytest==9.0\n")
        self.pip(INSTALLS)

    def pip(self, part):
        python = self.folder / ".venv" / "bin" / "python"
        python.write_text(FAKE.format(python=sys.executable, part=part))
        python.chmod(0o755)

    def install(self, *locks):
        packages.install(self.folder, list(locks or (packages.RUN,)), Bar(self.screen))

    @property
    def said(self):
        return re.sub(r"\d+ s$", "1 s", self.screen.getvalue(), flags=re.MULTILINE)

    @property
    def asked(self):
        """The lists that pip was asked to install."""
        asked = self.folder / "asked"
        return [line.rpartition("/")[2] for line in asked.read_text().split()] if asked.exists() else []


@pytest.fixture
def checkout(tmp_path):
    return Checkout(tmp_path)


def test_a_pipe_is_told_in_two_lines_and_the_log_has_the_rest(checkout):
    checkout.install()

    assert checkout.said == "Installing packages\nInstalled 2 packages in 1 s\n"
    assert "Installing collected packages" in (checkout.folder / ".venv" / "install.log").read_text()


def test_pip_runs_only_where_a_lock_has_changed(checkout):
    checkout.install()
    checkout.install(packages.RUN, packages.TEST)
    (checkout.folder / "requirements.txt").write_text(NUMPY + "lxml==6\n")
    checkout.install(packages.RUN, packages.TEST)

    assert checkout.asked == ["requirements.txt", "requirements-test.txt", "requirements.txt"]


def test_an_environment_of_before_the_locks_is_completed(checkout):
    (checkout.folder / ".venv" / ".installed").touch()

    checkout.install()

    assert checkout.asked == ["requirements.txt"]


def test_a_failing_pip_shows_its_reason_and_is_asked_again(checkout):
    checkout.pip(FAILS)

    with pytest.raises(packages.InstallFailed) as failed:
        checkout.install()
    checkout.pip(INSTALLS)
    checkout.install()

    assert str(failed.value).splitlines()[:2] == [
        "pip stopped at numpy:",
        "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device",
    ]
    assert "nobody needs to know" not in str(failed.value)
    assert str(checkout.folder / ".venv" / "install.log") in str(failed.value)
    assert checkout.asked == ["requirements.txt"] * 2


def test_a_pip_that_was_killed_is_told_apart_from_one_that_gave_up(checkout):
    checkout.pip('print("Collecting numpy==2.0", flush=True)\nimport os\nos.kill(os.getpid(), 9)')

    with pytest.raises(
        packages.InstallFailed, match="pip was ended by SIGKILL at numpy; is there too little"
    ):
        checkout.install()


def test_what_an_interrupted_pip_left_half_done_is_not_taken_as_installed(checkout):
    (checkout.site / "numpy-2.0.dist-info").mkdir()
    (checkout.site / "~umpy").mkdir()
    (checkout.site / "flask-3.0.dist-info").mkdir()
    (checkout.site / "flask-3.0.dist-info" / "INSTALLER").touch()

    checkout.install()

    assert [path.name for path in checkout.site.iterdir()] == ["flask-3.0.dist-info"]


def test_a_second_set_up_waits_for_the_first(checkout):
    with packages.alone(checkout.folder, Bar(io.StringIO())):
        second = started(checkout)
        line = second.stdout.readline()
        asked_meanwhile = checkout.asked
    second.communicate(timeout=WAIT_S)

    assert line == "Another set-up is at work here, waiting for it\n"
    assert asked_meanwhile == []
    assert checkout.asked == ["requirements.txt"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_ends_pip_and_says_how_to_go_on(checkout, number):
    checkout.pip(WAITS)
    running = started(checkout)
    await_that(lambda: "Collecting" in log_of(checkout), "pip was not started")
    running.send_signal(number)
    _, told = running.communicate(timeout=WAIT_S)

    assert running.returncode == 130
    assert told == "headstart: interrupted; the same command goes on from here\n"
    assert not (checkout.folder / ".venv" / ".installed").exists()


def started(checkout):
    """The program on a checkout, as a process."""
    program = (
        "import pathlib, sys\n"
        "from deploy import packages\n"
        f"packages.CHECKOUT = pathlib.Path({str(checkout.folder)!r})\n"
        "sys.exit(packages.main())"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def log_of(checkout):
    log = checkout.folder / ".venv" / "install.log"
    return log.read_text() if log.exists() else ""


# The installation, by pip itself.


def wheel_of(folder, name):
    """A wheel in a folder that pip finds without a network; its line in a lock."""
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", "")
        wheel.writestr(
            f"{name}-1.0.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        )
        wheel.writestr(
            f"{name}-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr(f"{name}-1.0.dist-info/RECORD", "")
    return f"{name}==1.0 --hash=sha256:{sha256(path.read_bytes()).hexdigest()}\n"


def test_pip_itself_fills_an_environment_that_was_broken_and_refuses_a_wrong_checksum(tmp_path, monkeypatch):
    wheels, lock = tmp_path / "wheels", tmp_path / "requirements.txt"
    python = tmp_path / ".venv" / "bin" / "python"
    wheels.mkdir()
    python.parent.mkdir(parents=True)
    python.symlink_to("/nowhere/python3.11")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    lock.write_text(wheel_of(wheels, "tiny"))
    screen = io.StringIO()

    packages.install(tmp_path, [packages.RUN], Bar(screen))
    subprocess.run([python, "-c", "import tiny"], check=True)
    wheel_of(wheels, "other")
    lock.write_text(f"other==1.0 --hash=sha256:{'0' * 64}\n")
    with pytest.raises(packages.InstallFailed, match="pip stopped at other:\nERROR: THESE PACKAGES DO NOT"):
        packages.install(tmp_path, [packages.RUN], Bar(io.StringIO()))

    assert re.sub(r"\d+ s", "1 s", screen.getvalue()) == (
        "Making .venv anew, its Python or pip is gone\nInstalling packages\nInstalled 1 packages in 1 s\n"
    )


def test_the_installer_needs_nothing_that_is_not_there_yet():
    program = "import sys, deploy.packages; print(sorted({n.partition('.')[0] for n in sys.modules}))"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.append({str(ROOT)!r}); {program}"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": ""},
    )

    loaded = set(eval(ran.stdout))
    assert loaded - set(sys.stdlib_module_names) == {"__main__", "deploy", "terminal"}
