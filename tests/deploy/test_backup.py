"""A backup holds what is the owner's, and a restore puts it back, or touches nothing."""

import io
import os
import random
import re
import sqlite3
import stat
import tarfile
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from accounting.ledger import Call, Ledger
from deploy import backup, service
from deploy.belongings import belongings
from deploy.commands import DeployError
from deploy.managers import Systemd
from deploy.place import here
from tests.support.config_texts import GOOD
from tests.support.server import unused_port

FILES = {
    "headstart.yaml": GOOD,
    ".env": "KEY=secret\n",
    "my-prompts/primary.md": "be kind",
    "prompts/cloud.md": "be brief",
    "learning/weights.npz": "0101",
    "sessions/2026-11-21_10-00-00_abc.json": "{}",
    "sys/own.md": "named in the configuration",
}
NOT_IN_IT = {
    "app.log": "line",
    "service.log": "line",
    "server.json": "{}",
    "models/big": "0",
    "photos/cat.jpg": "not of Headstart",
}


def write(folder, files):
    for name, text in files.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


@pytest.fixture
def data(home, monkeypatch):
    """A data folder with everything in it, and the place that has it."""
    folder = home / "data"
    folder.mkdir()
    prompt = "routes:\n  primary: {system_prompt: sys/own.md, "
    write(folder, {**FILES, **NOT_IN_IT, "headstart.yaml": GOOD.replace("routes:\n  primary: {", prompt)})
    (folder / ".env").chmod(0o600)
    monkeypatch.setenv("HEADSTART_DATA", str(folder))
    monkeypatch.setenv("HEADSTART_CONFIG", str(folder / "headstart.yaml"))
    monkeypatch.setenv("PORT", str(unused_port()))
    return folder


@pytest.fixture
def ledger(data):
    made = Ledger(f"sqlite:///{data / 'ledger.db'}")
    spend(made)
    yield made
    made.close()


def spend(ledger, calls=1):
    call = Call(datetime.now(UTC), "s", "near", "small", "answered", 5, cost_usd=0.25)
    ledger.record([call] * calls)
    assert ledger.flush()


def rows(file):
    connection = sqlite3.connect(file)
    try:
        return connection.execute("select count(*) from calls").fetchone()[0]
    finally:
        connection.close()


def names(archive):
    with tarfile.open(archive) as tar:
        return set(tar.getnames())


def restored(archive):
    backup.restore(here(), archive, Systemd())


def test_a_backup_holds_what_is_the_owners_and_only_its_owner_may_read_it(data, ledger, capsys):
    archive = backup.back_up(here())

    held = {name for name in FILES if not name.startswith("sessions/")}
    assert names(archive) == {*held, "ledger.db"}
    assert stat.S_IMODE(archive.stat().st_mode) == 0o600
    assert list((data / "backups").iterdir()) == [archive]
    said = capsys.readouterr().out
    assert said.startswith("Backed up .env, headstart.yaml, learning, ledger.db, my-prompts, prompts, sys: ")
    assert f"{archive}, " in said
    assert said.endswith((" B\n", " kB\n"))


def test_where_nothing_is_yet_no_archive_is_made(home, tmp_path, capsys):
    assert backup.back_up(here(checkout=tmp_path)) is None
    assert "Nothing to back up yet" in capsys.readouterr().out
    assert not (tmp_path / "backups").exists()


def test_sessions_are_in_it_when_asked_for(data):
    assert names(backup.back_up(here(), sessions=True)) == set(FILES)


def test_the_checkouts_own_prompts_are_not_the_owners(home, tmp_path):
    write(tmp_path, {"prompts/primary.md": "ours", "my-prompts/primary.md": "mine", "headstart.yaml": ""})

    assert set(belongings(here(checkout=tmp_path)).files) == {
        "my-prompts/primary.md",
        "headstart.yaml",
    }


def test_the_ledger_is_copied_whole_while_a_server_writes(data, ledger):
    stop = threading.Event()

    def write_on():
        while not stop.is_set():
            spend(ledger, 10)

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        archives = [backup.back_up(here()) for _ in range(5)]
    finally:
        stop.set()
        writer.join()

    for archive in archives:
        with backup.unpacked(here(), archive) as files:
            connection = sqlite3.connect(files["ledger.db"])
            assert connection.execute("pragma integrity_check").fetchone() == ("ok",)
            connection.close()
            assert rows(files["ledger.db"]) % 10 == 1


def test_a_restore_puts_everything_back(data, ledger, capsys):
    archive = backup.back_up(here())
    spend(ledger)
    ledger.close()
    write(data, {"headstart.yaml": GOOD.replace("9000", "9001"), "my-prompts/primary.md": "be rude"})
    (data / ".env").unlink()
    write(data, {"my-prompts/later.md": "stays"})
    capsys.readouterr()

    restored(archive)

    assert "9000" in (data / "headstart.yaml").read_text()
    assert (data / "my-prompts/primary.md").read_text() == "be kind"
    assert (data / ".env").read_text() == "KEY=secret\n"
    assert stat.S_IMODE((data / ".env").stat().st_mode) == 0o600
    assert (data / "my-prompts/later.md").read_text() == "stays"
    assert rows(data / "ledger.db") == 1
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    said = {words[0]: words[-1] for words in lines if len(words) > 1}
    assert (said["headstart.yaml"], said[".env"], said["prompts/cloud.md"]) == ("replaced", "new", "is")


def test_a_restore_can_be_undone(data, ledger):
    archive = backup.back_up(here())
    ledger.close()
    write(data, {".env": "KEY=newer\n"})

    restored(archive)
    before = backup.archives(here())[-1]
    assert before != archive
    restored(before)

    assert (data / ".env").read_text() == "KEY=newer\n"


def test_a_restore_of_what_is_there_anyway_changes_nothing(data, capsys):
    archive = backup.back_up(here())

    restored(archive)

    assert "Nothing to restore" in capsys.readouterr().out
    assert backup.archives(here()) == [archive]


def test_the_ledger_goes_where_the_configuration_that_is_put_back_has_it(data, ledger):
    with_another = (data / "headstart.yaml").read_text() + "ledger: {url: 'sqlite:///costs.db'}\n"
    ledger.close()
    (data / "ledger.db").rename(data / "costs.db")
    (data / "headstart.yaml").write_text(with_another)
    archive = backup.back_up(here())
    (data / "headstart.yaml").unlink()  # as on a new machine
    (data / "costs.db").unlink()
    moved = archive.rename(data.parent / "stick.tar.gz")

    restored(moved)

    assert (data / "headstart.yaml").read_text() == with_another
    assert (data / "costs.db").exists()
    assert not (data / "ledger.db").exists()


def test_the_wal_of_the_former_ledger_does_not_spoil_the_restored_one(data, ledger):
    archive = backup.back_up(here())
    with sqlite3.connect(data / "ledger.db") as other:  # keeps -wal and -shm alive
        other.execute("select 1 from calls")
        spend(ledger, 3)
        ledger.close()
        wal = (data / "ledger.db-wal").read_bytes()
    other.close()
    (data / "ledger.db-wal").write_bytes(wal)

    restored(archive)

    assert not (data / "ledger.db-wal").exists()
    assert rows(data / "ledger.db") == 1


def test_a_link_of_the_owners_stays_one(data, tmp_path):
    dotfiles = tmp_path / "dotfiles.env"
    (data / ".env").rename(dotfiles)
    (data / ".env").symlink_to(dotfiles)
    archive = backup.back_up(here())
    dotfiles.write_text("changed")

    restored(archive)

    assert (data / ".env").is_symlink()
    assert dotfiles.read_text() == "KEY=secret\n"


def test_a_configuration_beside_the_data_folder_is_in_it_too(data, home, monkeypatch):
    elsewhere = home / "etc"
    write(elsewhere, {"mine.yaml": GOOD, ".env": "KEY=other\n"})
    monkeypatch.setenv("HEADSTART_CONFIG", str(elsewhere / "mine.yaml"))

    archive = backup.back_up(here())
    (elsewhere / "mine.yaml").write_text("")
    restored(archive)

    assert {"config/mine.yaml", "config/.env", ".env"} <= names(archive)
    assert (elsewhere / "mine.yaml").read_text() == GOOD


def test_the_last_ten_are_kept(data):
    made = [backup.back_up(here()) for _ in range(12)]

    assert backup.archives(here()) == made[2:]


def test_a_faulty_configuration_does_not_prevent_a_backup(data, ledger, capsys):
    write(data, {"headstart.yaml": "providers: ["})

    assert {"headstart.yaml", "ledger.db"} <= names(backup.back_up(here()))
    assert "the configuration is faulty" in capsys.readouterr().out


def test_a_ledger_on_a_server_is_not_in_it_and_that_is_said(data, capsys):
    write(data, {"headstart.yaml": GOOD + "ledger: {url: 'postgresql://me:secret@db/costs'}\n"})

    archive = backup.back_up(here())

    assert "ledger.db" not in names(archive)
    said = capsys.readouterr().out
    assert "the ledger is not in it: it is a postgresql database of its own" in said
    assert "secret" not in said


def link(name):
    member = tarfile.TarInfo(name)
    member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    "member",
    [
        tarfile.TarInfo("../outside"),
        tarfile.TarInfo("my-prompts/../../outside"),
        tarfile.TarInfo("config/../../outside"),
        tarfile.TarInfo("/outside"),
        link("my-prompts"),
        tarfile.TarInfo("app.py"),
        tarfile.TarInfo(".git/hooks/post-checkout"),
    ],
    ids=lambda member: member.name,
)
def test_an_archive_with_anything_else_in_it_changes_nothing(data, member):
    archive = data / "backups/evil.tar.gz"
    archive.parent.mkdir()
    with tarfile.open(archive, "w:gz") as tar:
        good = tarfile.TarInfo(".env")
        good.size = 3
        tar.addfile(good, io.BytesIO(b"new"))
        tar.addfile(member)

    with pytest.raises(DeployError, match=f"is no backup of Headstart, it has '{member.name}' in it"):
        restored(archive)

    assert (data / ".env").read_text() == "KEY=secret\n"
    assert list(archive.parent.iterdir()) == [archive]


@pytest.mark.parametrize("seed", range(8))
def test_an_archive_with_a_damaged_byte_changes_nothing(data, seed):
    text = "".join(random.Random(seed).choices("abcdefgh\n", k=3000))
    write(data, {"my-prompts/primary.md": text})
    archive = backup.back_up(here())
    content = bytearray(archive.read_bytes())
    content[len(content) * (seed + 1) // 9] ^= 0x10
    archive.write_bytes(content)
    write(data, {".env": "KEY=newer\n", "my-prompts/primary.md": "newer"})

    with pytest.raises(DeployError, match="cannot be read"):
        restored(archive)

    assert (data / ".env").read_text() == "KEY=newer\n"
    assert (data / "my-prompts/primary.md").read_text() == "newer"


def test_a_ledger_that_is_none_is_not_restored(data):
    archive = archive_of(data, {"ledger.db": b"not a database", ".env": b"KEY=other"})

    with pytest.raises(DeployError, match=r"is damaged, its ledger cannot be read: file is not a database"):
        restored(archive)

    assert (data / ".env").read_text() == "KEY=secret\n"


def test_what_cannot_be_written_is_named_with_the_way_back(data):
    (data / "learning/weights.npz").unlink()
    archive = archive_of(data, {"learning/weights.npz/x.md": b"x"})
    (data / "learning/weights.npz").write_text("a file")

    with pytest.raises(
        DeployError, match=r"not all is restored: .*weights\.npz: .*; to undo it: make restore FILE="
    ):
        restored(archive)


def test_sessions_are_one_line_of_a_listing(data, capsys):
    write(data, {f"sessions/{number}.json": "{}" for number in range(30)})
    archive = backup.back_up(here(), sessions=True)
    (data / "sessions/7.json").unlink()
    capsys.readouterr()

    restored(archive)

    said = capsys.readouterr().out
    assert re.search(r"^  sessions/ +31 files  1 of them new or replaced$", said, re.MULTILINE)
    assert "7.json" not in said


def archive_of(data, contents):
    """An archive with these contents, written by somebody else."""
    archive = data / "backups/others.tar.gz"
    archive.parent.mkdir(exist_ok=True)
    with tarfile.open(archive, "w:gz") as tar:
        for name, content in contents.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return archive


def test_a_file_that_is_no_archive_is_refused(data):
    (data / "note.txt").write_text("hello")

    with pytest.raises(DeployError, match=r"note\.txt cannot be read"):
        restored(data / "note.txt")
    archive = backup.back_up(here())
    content = bytearray(archive.read_bytes())
    for spoiled in (content[:200], content[:100] + bytes(50) + content[150:]):
        (data / "spoiled.tar.gz").write_bytes(spoiled)
        with pytest.raises(DeployError, match=r"spoiled\.tar\.gz cannot be read"):
            restored(data / "spoiled.tar.gz")
    with pytest.raises(DeployError, match=r"there is no .*nowhere"):
        restored(data / "nowhere")


def test_without_a_name_the_newest_is_restored_and_a_name_may_lack_its_folder(data):
    with pytest.raises(DeployError, match="there is no backup in"):
        backup._chosen(here(), "")
    older, newest = backup.back_up(here()), backup.back_up(here())

    assert backup._chosen(here(), "") == newest
    assert backup._chosen(here(), older.name) == older


def test_a_running_service_is_stopped_meanwhile_and_a_server_by_hand_is_refused(
    systemd, data, monkeypatch, capsys
):
    config = yaml.safe_load(GOOD.replace("9000", os.environ["PORT"]))
    write(data, {"headstart.yaml": yaml.safe_dump(config)})
    archive = backup.back_up(here())
    monkeypatch.setattr(service, "START_S", 0)  # nobody of these is well
    service.install(here(), Systemd())
    first = systemd.pid
    write(data, {".env": "KEY=newer\n"})
    capsys.readouterr()

    restored(archive)

    assert (data / ".env").read_text() == "KEY=secret\n"
    assert systemd.pid not in (first, None)
    said = capsys.readouterr().out
    assert (
        said.index("Stopping the service")
        < said.index("Restored;")
        < said.index("Started the service again: ")
    )

    write(data, {".env": "KEY=newer\n"})
    Path(Systemd().file).unlink()  # it goes on, and is nobody's service
    with pytest.raises(DeployError, match="stop it first"):
        restored(archive)
    assert (data / ".env").read_text() == "KEY=newer\n"
