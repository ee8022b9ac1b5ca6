"""What a deployment of infra/ would create, worked out on paper.

Modules are followed, loops unrolled and names put together, as Azure does. What only Azure knows
(a principal's id, a region) is a `Known` that remembers how it is reached. What Azure would refuse
before it begins (an unknown name, a parameter that is missing or of another type) is an error.
"""

from __future__ import annotations

import hashlib
import json
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from infra_bicep import BicepFile, Declaration, Tree, read

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000"


class Known(str):
    """Something that Azure knows when it deploys; the text says how it is reached."""

    __slots__ = ()


@dataclass
class Resource:
    """One that would be created, or that is looked up."""

    type: str
    id: str
    body: dict[str, Any]
    is_existing: bool

    @property
    def name(self) -> str:
        return self.id.rpartition("/")[2]


@dataclass
class Deployment:
    """Everything that one file would create, its modules included."""

    outputs: dict[str, Any]
    resources: list[Resource] = field(default_factory=list)

    def of(self, type_: str) -> list[Resource]:
        return [one for one in self.resources if one.type.lower() == type_.lower()]


def deploy(
    file: BicepFile,
    parameters: Mapping[str, Any],
    scope: str,
    facts: Mapping[str, Any] | None = None,
) -> Deployment:
    """`facts`: what Azure knows, by the last part of how it is reached. Raises `ValueError`."""
    return _File(file, parameters, scope, facts or {}).run()


class _File:
    def __init__(
        self, file: BicepFile, given: Mapping[str, Any], scope: str, facts: Mapping[str, Any]
    ) -> None:
        self.file, self.scope, self.facts = file, scope, facts
        self.made: list[Resource] = []
        self.values: dict[str, Any] = {}
        self.going_on: list[str] = []
        self.parameters(given)

    def error(self, text: str) -> ValueError:
        return ValueError(f"{self.file.path.name}: {text}")

    def parameters(self, given: Mapping[str, Any]) -> None:
        declared = {d.name: d for d in self.file.declarations.values() if d.kind == "param"}
        if unknown := given.keys() - declared.keys():
            raise self.error(f"there is no parameter {unknown}")
        for name, one in declared.items():
            if name not in given and one.tree is None:
                raise self.error(f"parameter {name} is missing")
            value = given[name] if name in given else self.value(one.tree, {})
            kinds = {"string": str, "int": int, "bool": bool, "object": dict, "array": list}
            if not isinstance(value, (kinds[one.type], Known)):
                raise self.error(f"{name} is {value!r} and not a {one.type}")
            for choices in one.decorators.get("allowed", []):
                if value not in self.value(choices, {}):
                    raise self.error(f"{name} may not be {value!r}")
            self.values[name] = value

    def run(self) -> Deployment:
        for name, one in self.file.declarations.items():
            if one.kind in ("resource", "module", "var"):
                self.named(name)
        deployment = Deployment({n: self.value(d.tree, {}) for n, d in self.file.outputs.items()})
        deployment.resources = self.made
        return deployment

    def named(self, name: str) -> Any:
        """The value behind a name, worked out when it is first asked for."""
        if name in self.going_on:
            raise self.error(f"{name} depends on itself, through {self.going_on}")
        if name not in self.values:
            if name not in self.file.declarations:
                raise self.error(f"{name} is declared nowhere")
            one = self.file.declarations[name]
            self.going_on.append(name)
            make = {"resource": self.resource, "module": self.module}.get(one.kind)
            self.values[name] = self.each(one, make) if make else self.value(one.tree, {})
            self.going_on.pop()
        return self.values[name]

    def each(
        self, one: Declaration, make: Callable[[Declaration, Any, dict[str, Any]], Any]
    ) -> Any:
        def build(tree: Tree, local: dict[str, Any]) -> Any:
            if tree[0] != "when":
                return make(one, self.value(tree, local), local)
            if one.is_existing or self.value(tree[1], local):
                return build(tree[2], local)
            return Known(f"{one.name} which is not there")

        assert one.tree is not None
        if one.tree[0] == "for":
            return [build(one.tree[3], local) for local in self.unrolled(one.tree, {})]
        return build(one.tree, {})

    def unrolled(self, tree: Tree, local: dict[str, Any]) -> list[dict[str, Any]]:
        _, names, over, _ = tree
        items = self.value(over, local)
        return [{**local, **dict(zip(names, (v, i), strict=False))} for i, v in enumerate(items)]

    def resource(self, one: Declaration, body: dict[str, Any], _local: object) -> Resource:
        type_, version = one.type.split("@")
        scope, parent = body.get("scope", self.scope), body.get("parent")
        if isinstance(parent, Resource):
            id_ = f"{parent.id}/{type_.rpartition('/')[2]}/{body['name']}"
        elif isinstance(scope, Resource):  # an extension of another resource
            id_ = f"{scope.id}/providers/{type_}/{body['name']}"
        elif type_ == "Microsoft.Resources/resourceGroups":
            id_ = f"{scope}/resourceGroups/{body['name']}"
        else:
            provider, *kinds = type_.split("/")
            names = body["name"].split("/")
            path = "/".join(f"{k}/{n}" for k, n in zip(kinds, names, strict=True))
            id_ = f"{scope}/providers/{provider}/{path}"
        found = Resource(type_, id_, body, one.is_existing)
        if not one.is_existing:
            if any(other.id.lower() == id_.lower() for other in self.made):
                raise self.error(f"{id_} is created twice")
            self.made.append(found)
        assert version[:2] == "20", version
        return found

    def module(self, one: Declaration, body: dict[str, Any], _local: object) -> Deployment:
        scope = body.get("scope", self.scope)
        scope = scope.id if isinstance(scope, Resource) else scope
        path = (self.file.path.parent / one.type).resolve()
        made = _File(read(path), body.get("params", {}), scope, self.facts).run()
        self.made += made.resources
        return made

    # One case for each kind of expression.
    def value(  # noqa: PLR0911, PLR0912
        self, tree: Tree | None, local: dict[str, Any]
    ) -> Any:
        assert tree is not None
        match tree:
            case "value", value:
                return value
            case "text", [str(alone)]:
                return alone
            case "text", parts:
                values = [p if isinstance(p, str) else self.value(p, local) for p in parts]
                if any(isinstance(v, (list, dict, Resource)) for v in values):
                    raise self.error(f"{parts} is no text")
                return "".join(str(v) for v in values)
            case "name", name:
                return local[name] if name in local else self.named(name)
            case "array", items:
                return [self.value(item, local) for item in items]
            case "object", pairs:
                return {self.value(k, local): self.value(v, local) for k, v in pairs}
            case "for", _, _, body:
                return [self.value(body, inner) for inner in self.unrolled(tree, local)]
            case "not", inner:
                return not self.truth(inner, local)
            case "if", condition, yes, no:
                return self.value(yes if self.truth(condition, local) else no, local)
            case "binary", ("&&" | "||") as sign, left, right:
                both = self.truth(left, local)
                return self.truth(right, local) if both == (sign == "&&") else both
            case "binary", sign, left, right:
                return _SIGNS[sign](self.value(left, local), self.value(right, local))
            case "index", inner, key:
                return self.value(inner, local)[self.value(key, local)]
            case "get", inner, name:
                return self.part(self.value(inner, local), name)
            case "call", name, arguments:
                return self.call(name, [self.value(a, local) for a in arguments])
        raise self.error(f"{tree[0]} is not known here")

    def truth(self, tree: Tree, local: dict[str, Any]) -> bool:
        value = self.value(tree, local)
        if not isinstance(value, bool):
            raise self.error(f"{value!r} is neither true nor false")
        return value

    def part(self, value: Any, name: str) -> Any:
        match value:
            case Resource() if name in ("id", "name", "type"):
                return getattr(value, name)
            case Resource() | Known():
                path = f"{value.name if isinstance(value, Resource) else value}.{name}"
                return self.facts.get(name, Known(path))
            case Deployment() if name == "outputs":
                return value.outputs
            case dict():
                if name not in value:
                    raise self.error(f"there is no {name} among {sorted(value)}")
                return value[name]
        raise self.error(f"{value!r} has no {name}")

    def call(self, name: str, given: list[Any]) -> Any:
        function = _FUNCTIONS.get(name) or getattr(self, f"call_{name}", None)
        if function is None:
            raise self.error(f"the function {name} is not known here")
        return function(*given)

    def call_subscription(self) -> Any:
        id_ = "/".join(self.scope.split("/")[:3])
        return {"id": id_, "subscriptionId": id_.rpartition("/")[2]}

    def call_resourceGroup(self, *names: str) -> Any:  # noqa: N802 - Bicep's name
        if not names:
            return {"id": self.scope, "name": self.scope.rpartition("/")[2]}
        subscription = "/".join(self.scope.split("/")[:3])
        if len(names) == 2:
            subscription = f"/subscriptions/{names[0]}"
        return f"{subscription}/resourceGroups/{names[-1]}"

    def call_resourceId(self, type_: str, name: str) -> str:  # noqa: N802 - Bicep's name
        return f"{self.scope}/providers/{type_}/{name}"

    def call_loadJsonContent(self, name: str) -> Any:  # noqa: N802 - Bicep's name
        return json.loads(self.call_loadTextContent(name))

    def call_loadTextContent(self, name: str) -> str:  # noqa: N802 - Bicep's name
        return (self.file.path.parent / name).read_text(encoding="utf-8")


def names_in(tree: Any) -> set[str]:
    """The declared names that an expression uses, in every branch of it."""
    match tree:
        case "name", str(name):
            return {name}
        case "for", list(local), over, body:
            return names_in(over) | names_in(body) - set(local)
        case tuple() | list():
            return set().union(*map(names_in, tree))
    return set()


_SIGNS: dict[str, Callable[[Any, Any], Any]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    ">": operator.gt,
    "+": operator.add,
}


def _digest(*parts: Any) -> str:
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "concat": lambda *lists: [item for one in lists for item in one],
    "contains": lambda within, what: isinstance(within, Known) or what in within,
    "empty": lambda value: not value,
    "environment": lambda: {"suffixes": {"storage": "core.windows.net"}},
    "guid": lambda *parts: _digest(*parts)[:32],
    "indexOf": lambda text, what: text.find(what),
    "join": lambda items, sign: sign.join(items),
    "last": lambda items: items[-1],
    "length": len,
    "listKeys": lambda id_, _version: {"systemKeys": {"blobs_extension": Known(f"key of {id_}")}},
    "padLeft": lambda value, width, sign: str(value).rjust(width, sign),
    "range": lambda first, count: list(range(first, first + count)),
    "replace": lambda text, old, new: text.replace(old, new),
    "split": lambda text, sign: text.split(sign),
    "string": str,
    "subscriptionResourceId": lambda type_, name: f"/providers/{type_}/{name}",
    "substring": lambda text, start: text[start:],
    "toLower": lambda text: text.lower(),
    "trim": lambda text: text.strip(),
    "union": lambda *objects: {k: v for one in objects for k, v in one.items()},
    "uniqueString": lambda *parts: _digest(*parts)[:13],
}
