"""The house stays in order: imports run one way, no circle, every room says what it is for, the root is
short.
"""

import ast
import graphlib

import pytest

from tests.support.server import ROOT

# From the top floor down; who stands on one line may not import each other.
FLOORS = (
    {"app", "deploy", "console"},
    {"api", "dashboard"},
    {"services"},
    {"alerts"},
    {"proxy"},
    {"search"},
    {"routing"},
    {"providers"},
    {"upstream", "accounting", "runtime"},
    {"settings", "session_logger", "engine"},
    {"telemetry"},
    {"wire"},
    {"terminal"},
    {"errors"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
IN_THE_ROOT = {"app", "services", "providers", "session_logger", "errors", "gunicorn.conf"}


def modules():
    """{dotted name: path} of every module in the house."""
    files = [path for room in FLOOR for path in (*ROOT.glob(f"{room}.py"), *ROOT.glob(f"{room}/**/*.py"))]
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
        for path in files
    }


MODULES = modules()


def imported_by(path):
    """The modules of the house that a file imports, wherever in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            found = name if name in MODULES else name.rpartition(".")[0]
            if found in MODULES:
                yield found


def room_of(module):
    return module.partition(".")[0]


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_run_downwards(module):
    room = room_of(module)

    climbs = [
        name
        for name in imported_by(MODULES[module])
        if room_of(name) != room and FLOOR[room_of(name)] <= FLOOR[room]
    ]

    assert climbs == []


def test_no_modules_import_each_other_in_a_circle():
    graph = {module: set(imported_by(path)) - {module} for module, path in MODULES.items()}

    graphlib.TopologicalSorter(graph).prepare()  # raises CycleError, which names the circle


@pytest.mark.parametrize("room", sorted(room for room in FLOOR if (ROOT / room).is_dir()))
def test_every_room_says_what_it_is_for(room):
    assert ast.get_docstring(ast.parse((ROOT / room / "__init__.py").read_text()))


def test_the_root_holds_only_the_modules_that_a_stranger_must_see_first():
    assert {path.stem for path in ROOT.glob("*.py")} == IN_THE_ROOT
