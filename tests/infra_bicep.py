"""A reader of the part of Bicep that infra/ is written in: text to trees of expressions.

Microsoft's compiler is a download that the tests do without. What this does not know is an error
with its line, so that nothing is skipped silently.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

Tree = tuple[Any, ...]
"""What an expression is, then its parts: ("call", "split", [...]), ("get", tree, "name"), ..."""

_TOKEN = re.compile(
    r"(?P<comment>//[^\n]*)|(?P<space>[ \t\r]+)|(?P<newline>\n)|(?P<number>\d+)"
    r"|(?P<word>[A-Za-z_]\w*)|(?P<quote>')|(?P<sign>==|!=|&&|\|\||>=|<=|[\[\]{}().,:?=!+<>@])"
)
_BINARY = ({"||"}, {"&&"}, {"==", "!="}, {"<", ">", "<=", ">="}, {"+"})
_ESCAPES = {"'": "'", "\\": "\\", "n": "\n", "t": "\t", "$": "$"}


class Token(NamedTuple):
    kind: str
    value: Any
    line: int


@dataclass
class Declaration:
    """One statement: `param NAME TYPE = tree`, `resource NAME 'TYPE@API' existing = tree`, ..."""

    kind: str
    name: str
    type: str
    tree: Tree | None
    is_existing: bool = False
    decorators: dict[str, list[Tree]] = field(default_factory=dict)


@dataclass
class BicepFile:
    path: Path
    scope: str
    declarations: dict[str, Declaration]
    outputs: dict[str, Declaration]


def tokens(text: str, line: int = 1) -> list[Token]:
    """All but comments and spaces. A string's value is its parts: text, or tokens of `${...}`."""
    found, position = [], 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SyntaxError(f"line {line}: {text[position : position + 20]!r}")
        position, kind = match.end(), str(match.lastgroup)
        if kind == "quote":
            parts, position = _string(text, position, line)
            found.append(Token("string", parts, line))
        elif kind not in ("comment", "space"):
            found.append(Token(kind, match.group(), line))
        line += kind == "newline"
    return found


def _string(text: str, position: int, line: int) -> tuple[list[Any], int]:
    parts: list[Any] = [""]
    while text[position] != "'":
        if text[position] == "\\":
            parts[-1] += _ESCAPES[text[position + 1]]
            position += 2
        elif text.startswith("${", position):
            end = _closing(text, position + 2)
            parts += [tokens(text[position + 2 : end], line), ""]
            position = end + 1
        else:
            parts[-1] += text[position]
            position += 1
    return parts, position + 1


def _closing(text: str, position: int) -> int:
    """Where the brace closes that was opened before `position`."""
    depth = 1
    while True:
        if text[position] == "'":
            position = _string(text, position + 1, 0)[1]
            continue
        depth += {"{": 1, "}": -1}.get(text[position], 0)
        if depth == 0:
            return position
        position += 1


class _Reader:
    def __init__(self, found: list[Token]) -> None:
        self.found, self.at = [*found, Token("end", "", found[-1].line if found else 0)], 0

    def peek(self, *values: str) -> bool:
        token = self.found[self.at]
        return token.kind != "string" and token.value in values

    def take(self, *values: str) -> Token:
        token = self.found[self.at]
        if values and not self.peek(*values):
            raise SyntaxError(f"line {token.line}: {token.value!r} instead of {values}")
        self.at += 1
        return token

    def lines(self) -> None:
        while self.peek("\n"):
            self.at += 1

    def expression(self, level: int = 0) -> Tree:
        if level == len(_BINARY):
            return self.unary()
        left = self.expression(level + 1)
        while self.peek(*_BINARY[level]):
            left = ("binary", self.take().value, left, self.expression(level + 1))
        if level == 0 and self.peek("?"):
            self.take()
            yes = self.expression()
            self.take(":")
            left = ("if", left, yes, self.expression())
        return left

    def unary(self) -> Tree:
        if self.peek("!"):
            self.take()
            return ("not", self.unary())
        tree = self.primary()
        while self.peek(".", "["):
            if self.take().value == "[":
                tree = ("index", tree, self.expression())
                self.take("]")
                continue
            name = self.take().value
            tree = (
                ("method", tree, name, self.arguments()) if self.peek("(") else ("get", tree, name)
            )
        return tree

    def primary(self) -> Tree:  # noqa: PLR0911 - one for each kind of expression
        token = self.take()
        match token.kind, token.value:
            case "string", parts:
                read = [p if isinstance(p, str) else _Reader(p).expression() for p in parts]
                return ("text", read)
            case "number", digits:
                return ("value", int(digits))
            case "word", ("true" | "false" | "null") as word:
                return ("value", {"true": True, "false": False, "null": None}[word])
            case "word", name:
                return ("call", name, self.arguments()) if self.peek("(") else ("name", name)
            case _, "(":
                tree = self.expression()
                self.take(")")
                return tree
            case _, "{":
                return ("object", self.items("}", self.pair))
            case _, "[":
                self.lines()
                return self.loop() if self.peek("for") else ("array", self.items("]", self.value))
        raise SyntaxError(f"line {token.line}: {token.value!r} begins no expression")

    def arguments(self) -> list[Tree]:
        self.take("(")
        return self.items(")", self.expression)

    def items(self, end: str, read: Any) -> list[Any]:
        found = []
        self.lines()
        while not self.peek(end):
            found.append(read())
            while self.peek(",", "\n"):
                self.take()
        self.take(end)
        return found

    def pair(self) -> tuple[Tree, Tree]:
        token = self.found[self.at]
        key = self.primary() if token.kind == "string" else ("text", [self.take().value])
        self.take(":")
        return key, self.value()

    def value(self) -> Tree:
        """An expression, or what stands behind `if (...)`."""
        if not self.peek("if"):
            return self.expression()
        self.take()
        self.take("(")
        condition = self.expression()
        self.take(")")
        return ("when", condition, self.expression())

    def loop(self) -> Tree:
        self.take("for")
        names = [self.take().value]
        if names == ["("]:
            names = [self.take().value]
            self.take(",")
            names.append(self.take().value)
            self.take(")")
        self.take("in")
        over = self.expression()
        self.take(":")
        body = self.value()
        self.lines()
        self.take("]")
        return ("for", names, over, body)

    def file(self, path: Path) -> BicepFile:
        read = BicepFile(path, "resourceGroup", {}, {})
        decorators: dict[str, list[Tree]] = {}
        self.lines()
        while self.found[self.at].kind != "end":
            if self.peek("@"):
                self.take()
                name = self.take().value
                decorators[name] = self.arguments()
            elif self.peek("targetScope"):
                self.take()
                self.take("=")
                read.scope = self.take().value[0]
            else:
                one = self.declaration(decorators)
                known = read.outputs if one.kind == "output" else read.declarations
                if one.name in known:
                    raise SyntaxError(f"{path.name}: {one.name} is declared twice")
                known[one.name], decorators = one, {}
            self.lines()
        return read

    def declaration(self, decorators: dict[str, list[Tree]]) -> Declaration:
        kind = self.take("param", "var", "resource", "module", "output").value
        name, type_ = self.take().value, ""
        if kind in ("resource", "module"):
            type_ = self.take().value[0]
        elif kind != "var":
            type_ = self.take().value
        is_existing = self.peek("existing")
        if is_existing:
            self.take()
        tree = None
        if self.peek("="):
            self.take()
            tree = self.value()
        elif kind != "param":
            raise SyntaxError(f"{kind} {name} has no value")
        if not self.peek("\n", ""):
            raise SyntaxError(
                f"line {self.found[self.at].line}: {self.take().value!r} is left over"
            )
        return Declaration(kind, name, type_, tree, is_existing, decorators)


@cache
def read(path: Path) -> BicepFile:
    """Raises `SyntaxError` with the line."""
    return _Reader(tokens(path.read_text(encoding="utf-8"))).file(path)
