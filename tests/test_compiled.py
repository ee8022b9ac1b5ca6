"""The compiled writer by itself. That it writes what Python does, test_normalize.py holds."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
import sysconfig
import weakref
from pathlib import Path
from typing import Any

import pytest

from flowlog_core import compiled
from flowlog_core.formats import FORMATS, ORDER
from flowlog_core.tuple_tables import Table

ROOT = Path(__file__).resolve().parents[1]
COMPILER = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
HEADERS = Path(sysconfig.get_path("include")) / "Python.h"

needs_compiler = pytest.mark.skipif(
    COMPILER is None or not HEADERS.exists(), reason="no C compiler, or no headers of Python"
)
pytestmark = needs_compiler

TUPLE = "1525186745,192.168.1.4,10.0.0.4,55960,3389,T,I,A"


def writer() -> Any:
    made = compiled.writer_of(FORMATS[0].fields, ORDER)
    assert made is not None
    return made


def ends_in(written: bytes) -> list[int]:
    return memoryview(written).cast("q").tolist()


def refuse(text: object, index: int, common: str) -> None:
    raise AssertionError(f"{text!r} at {index} in {common!r} was left to Python")


def test_it_is_compiled_wherever_there_is_a_compiler() -> None:
    assert compiled.is_compiled()
    assert [one.writer is None for one in FORMATS] == [False] * 3


def test_without_it_there_is_no_writer(tmp_path: Path) -> None:
    """As where it was built for another machine: what is there cannot be loaded."""
    package = tmp_path / "flowlog_core"
    shutil.copytree(ROOT / "flowlog_core", package, ignore=shutil.ignore_patterns("*.so"))
    (package / "_tuple_writer.abi3.so").write_bytes(b"not for this machine")
    code = (
        "from flowlog_core import compiled, formats\n"
        "print(compiled.is_compiled(), [one.writer for one in formats.FORMATS])"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (run.stderr, run.stdout) == ("", "False [None, None, None]\n")


def test_ordinary_tuples_are_not_left_to_python() -> None:
    lines = {
        1: TUPLE,
        2: "1542110379,10.5.16.4,2001:db8::1,44931,443,U,O,D,B,,,,",
        4: "1735636259204,10.1.0.4,104.208.16.91,56347,443,6,O,E,NX,12,5045,12,5902",
    }
    for one in FORMATS:
        assert one.writer is not None
        groups = [([lines[one.version]] * 3, 8, "*")]
        text, written_ends = one.writer.write("{", groups, 3, refuse, None)
        ends = ends_in(written_ends)
        assert len(ends) == 3
        assert ends[-1] == len(text)
        assert [record[:2] for record in text.split(b",{")] == [b"{8", b"9*"[:1] + b'"', b"10"]


def test_what_python_raises_comes_out() -> None:
    class Fault(Exception):
        pass

    class Faulty(Table):
        def __getitem__(self, field: str) -> str:
            raise Fault(field)

    def otherwise(text: object, index: int, common: str) -> str | None:
        raise Fault(text, index, common)

    with pytest.raises(Fault) as raised:
        writer().write("", [([TUPLE, "?", TUPLE], 5, "*")], 3, otherwise, None)
    assert raised.value.args == ("?", 6, "*")
    faulty = compiled.writer_of([Faulty(str, 1), *FORMATS[0].fields[1:]], ORDER)
    assert faulty is not None
    with pytest.raises(Fault, match="1525186745"):
        faulty.write("", [([TUPLE], 0, "*")], 1, otherwise, None)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        ("", [], 0, refuse),
        (b"", [], 0, refuse, None),
        ("", (), 0, refuse, None),
        ("", [5], 0, refuse, None),
        ("", [([], 0)], 0, refuse, None),
        ("", [((), 0, "")], 0, refuse, None),
        ("", [([], "0", "")], 0, refuse, None),
        ("", [([], 0, None)], 0, refuse, None),
        ("", [([], -1, "")], 0, refuse, None),
        ("", [([], 2**63 - 1, "")], 0, refuse, None),
        ("", [(["?"], 0, "")], 1, lambda *_: 5, None),
        ("", [(["?"], 0, "")], 1, None, None),
        ("\ud800", [], 0, refuse, None),
        ("", [([], 0, "\ud800")], 0, refuse, None),
        ("", [], 0, refuse, 5),
        ("", [], 0, refuse, bytearray(b"[]")),
        ("", [], 0, refuse, "[]"),
        *[
            ("", [(place, 0, "")], 1, lambda *_: None, b'["?","?"]')
            for place in (
                *([], [1], [1, 1, 1], ["1", 1], [1, None], [-1, 1], [1, -1], [2**70, 1]),
                *([0, 1], [2, 1], [9, 1], [10, 1], [2**62, 1], [1, 3], [5, 2], [8, 1]),
            )
        ],
    ],
)
def test_it_refuses_what_it_cannot_take(arguments: tuple[Any, ...]) -> None:
    with pytest.raises((TypeError, SystemError, ValueError, OverflowError)):
        writer().write(*arguments)


@pytest.mark.parametrize(
    ("columns", "order"),
    [
        ((), ()),
        ((("time", {}),), (1,)),
        ((("time", {}),), (-1,)),
        ((("time", {}),), ()),
        ((("time", {}),), ("0",)),
        ((("time", {}),) * 17, tuple(range(17))),
        ((5,), (0,)),
        ((("time",),), (0,)),
        ((("time", {}, 1),), (0,)),
        ((("lookup", {}),), (0,)),
        ((("lookup", {}, "1"),), (0,)),
        ((("address", {}, 1, ""),), (0,)),
        ((("address", {}, "", 1),), (0,)),
        ((("decimal", -1, True, ""),), (0,)),
        ((("lookup", {}, 0),), (0,)),
        ((("lookup", {}, -(2**31)),), (0,)),
        ((("time", {}), ("time", {})), (0, 0)),
        ((("decimal", "1", True, ""),), (0,)),
        ((("decimal", 10**8, True, ""),), (0,)),
        ((("decimal", 10**16 - 1, True, ""),), (0,)),
        ((("lookup", {}, 33),), (0,)),
        ((("lookup", {}, 16), ("lookup", {}, 16), ("time", {})), (0, 1, 2)),
        ((("other", {}),), (0,)),
    ],
)
def test_it_cannot_be_made_of_what_is_no_column(columns: Any, order: Any) -> None:
    kind: Any = type(writer())
    with pytest.raises((TypeError, ValueError, OverflowError, SystemError)):
        kind(columns, order)


def test_it_is_made_of_nothing_by_name() -> None:
    kind: Any = type(writer())
    with pytest.raises(TypeError, match="takes no keyword arguments"):
        kind((("time", {}),), (0,), limit=5)


@pytest.mark.parametrize("count", [-(2**63), -1, 0, 1, 2, 2**63 - 1])
def test_how_many_tuples_are_expected_may_be_wrong(count: int) -> None:
    expected = writer().write("", [([TUPLE, TUPLE], 0, "*")], 2, refuse, None)
    assert writer().write("", [([TUPLE, TUPLE], 0, "*")], count, refuse, None) == expected


def test_a_truth_that_cannot_be_told_makes_no_column() -> None:
    class Untold:
        def __bool__(self) -> bool:
            raise RuntimeError("neither")

    kind: Any = type(writer())
    with pytest.raises(RuntimeError, match="neither"):
        kind((("decimal", 1, Untold(), ""),), (0,))


def test_tuples_are_taken_from_the_bytes_of_their_entry() -> None:
    raw = f'["{TUPLE}","?","{TUPLE}"] ["","{TUPLE}"]'.encode()
    second = raw.index(b" ") + 2
    asked = []

    def otherwise(text: object, index: int, common: str) -> None:
        asked.append((text, index, common))

    groups = [([1, 3], 8, "*"), ([second, 2], 11, "-"), ([0, 0], 13, "")]
    in_raw = writer().write("{", groups, 5, otherwise, raw)
    assert asked == [("?", 9, "*"), ("", 11, "-")]
    listed = [([TUPLE, "?", TUPLE], 8, "*"), (["", TUPLE], 11, "-")]
    assert writer().write("{", listed, 5, lambda *_: None, None) == in_raw
    assert len(ends_in(in_raw[1])) == 3


def test_a_part_too_long_to_keep_is_left_to_python() -> None:
    kind: Any = type(writer())
    made = kind((("lookup", {"a": "x" * 512, "b": "x" * 513}, 1),), (0,))
    text, _ = made.write("", [(["a", "b"], 0, "")], 2, lambda text, *_: f"<{text}>", None)
    assert text == b"0" + b"x" * 512 + b",<b>"


@pytest.mark.parametrize("first", [0, 8, 98, 998, 10**18 - 2])
def test_records_are_counted_on_from_the_index_of_their_group(first: int) -> None:
    kind: Any = type(writer())
    made = kind((("lookup", {"": ""}, 1),), (0,))
    text, _ = made.write("<", [([""] * 13, first, ">")], 13, refuse, None)
    assert text == ",".join(f"<{number}>" for number in range(first, first + 13)).encode()


def test_what_python_leaves_empty_is_no_record() -> None:
    said = {"?": None, "!": "", "+": "{}"}
    tuples = ["?", TUPLE, "!", "+", TUPLE, "?"]
    text, written_ends = writer().write("", [(tuples, 0, "")], 6, lambda text, *_: said[text], None)
    ends = ends_in(written_ends)
    assert text.count(b"1525186745") == 0
    assert [len(ends), bytes(text[ends[0] : ends[1]])] == [3, b",{}"]


def test_what_was_compiled_of_other_sources_is_not_used(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "flowlog_core", tmp_path / "flowlog_core")
    source = tmp_path / "flowlog_core/compiled.py"
    source.write_text(source.read_text().replace("_INTERFACE = 3", "_INTERFACE = 2"))
    code = "from flowlog_core import compiled; print(compiled.is_compiled())"
    for expected in ("False\n", "True\n"):
        ran = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert ran.stdout == expected
        source.write_text(source.read_text().replace("_INTERFACE = 2", "_INTERFACE = 3"))


def test_what_does_not_say_of_which_sources_it_was_compiled_is_not_used(tmp_path: Path) -> None:
    """A module of Python with no number in it stands in for it."""
    package = tmp_path / "flowlog_core"
    shutil.copytree(ROOT / "flowlog_core", package, ignore=shutil.ignore_patterns("*.so"))
    (package / "_tuple_writer.py").write_text("")
    code = "from flowlog_core import compiled; print(compiled.is_compiled())"
    command = [sys.executable, "-c", code]
    ran = subprocess.run(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True, check=True)
    assert ran.stdout == "False\n"


def test_it_keeps_nothing_of_an_entry_and_lets_go_of_its_tables() -> None:
    head, common, texts = "head" * 2, "common" * 2, [TUPLE[:-1] + "D", "no tuple" * 2]
    held = (head, common, texts, *texts)
    before = [sys.getrefcount(one) for one in held]
    for _ in range(100):
        writer().write(head, [(texts, 0, common)], 2, lambda *_: None, None)
    assert [sys.getrefcount(one) for one in held] == before

    def upper(field: str) -> str:
        return field.upper()

    table = Table(upper, 10)
    kind: Any = type(writer())
    made = kind((("lookup", table, 1),), (0,))
    text, ends = made.write("", [(["a", "b", "a"], 0, "*")], 3, refuse, None)
    assert (text, ends_in(ends)) == (b"0A*,1B*,2A*", [3, 7, 11])
    gone = weakref.ref(table)
    del table, made
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("processor", [[], ["-U__SSE2__"]], ids=["this one", "without SSE2"])
def test_it_reads_and_writes_no_memory_but_its_own(tmp_path: Path, processor: list[str]) -> None:
    """Compiled once more with a sanitizer, which ends the process at the first wrong byte."""
    assert COMPILER is not None
    where = [COMPILER, "-print-file-name=libasan.so"]
    library = subprocess.run(where, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    if not Path(library).is_absolute():
        pytest.skip("the compiler has no address sanitizer")
    module = tmp_path / "_tuple_writer.abi3.so"
    sanitized = ["-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    strict = ["-Wall", "-Wextra", "-Werror"]
    built_as = ["-shared", "-fPIC", "-DPy_LIMITED_API=0x030B0000", f"-I{HEADERS.parent}"]
    source = ROOT / "flowlog_core/_tuple_writer.c"
    compile_it = [
        COMPILER,
        *sanitized,
        *strict,
        *built_as,
        *processor,
        str(source),
        "-o",
        str(module),
    ]
    subprocess.run(compile_it, check=True)
    settings = {
        "LD_PRELOAD": library,
        "PYTHONMALLOC": "malloc",  # so that each str ends where its memory ends
        "ASAN_OPTIONS": "detect_leaks=0",  # Python keeps much to its end
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(
        [sys.executable, ROOT / "tests/sanitized_writer.py", module],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.stderr[-4000:], ran.stdout, ran.returncode) == ("", "as in Python\n", 0)
