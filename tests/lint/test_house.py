# SPDX-License-Identifier: GPL-3.0-or-later
"""What keeps the house in order: rooms that do not go in circles, short files, public things explained."""

from __future__ import annotations

import ast
import os
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent.parent
PACKAGE = PROJECT / "src" / "aptguard"
LONGEST = 400
# What may be longer, and why.
LONGER = {
    "src/aptguard/policy/shipped/10-default.toml": "a table: one entry for each shipped rule",
    "src/aptguard/report/report.schema.json": "one schema is one document",
    "tests/escape/further_routes.py": "a table: one entry for each way out",
}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


@cache
def modules() -> dict[str, ast.Module]:
    """Return the product's modules by dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        found[name.removesuffix(".__init__")] = ast.parse(path.read_text("utf-8"))
    return found


def imported(tree: ast.Module) -> Iterator[str]:
    """Yield the product's modules that a module imports, anywhere in it."""
    known = modules()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in known)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                if whole in known or node.module in known:
                    yield whole if whole in known else node.module


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that reach each other (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(node: str) -> None:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in number:
                visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                found.append(sorted(group))

    for node in sorted(graph):
        if node not in number:
            visit(node)
    return found


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()}) == [["a", "b", "c"]]


def test_no_modules_import_each_other_in_a_circle() -> None:
    graph = {name: set(imported(tree)) - {name} for name, tree in modules().items()}
    assert sum(map(len, graph.values())) > 300, "the imports were not read"
    assert circles(graph) == []


def room(module: str) -> str:
    parts = module.split(".")
    return parts[1] if len(parts) > 2 or (PACKAGE / parts[-1]).is_dir() else module


def test_no_rooms_import_each_other_in_a_circle() -> None:
    graph = defaultdict(set)
    for name, tree in modules().items():
        for other in imported(tree):
            if is_value(other) or room(other) == room(name):
                continue
            graph[room(name)].add(room(other))
    assert {"guard", "daemon", "policy", "rehearsal"} <= graph.keys()
    assert circles(graph) == []


# What rooms give each other; they need nothing but the standard library and each other.
VALUES = ("model", "finding", "facts", "package_state", "error", "errors", "peer", "override")


def is_value(module: str) -> bool:
    return module.rpartition(".")[2] in VALUES or module.count(".") < 2


def test_values_import_nothing_but_values() -> None:
    for name, tree in modules().items():
        if name.rpartition(".")[2] in VALUES:
            others = {other for other in imported(tree) if room(other) != room(name)}
            assert {other for other in others if not is_value(other)} == set(), name


def test_no_file_is_longer_than_can_be_read_at_once() -> None:
    product = (".py", ".sh", "", ".toml", ".json", ".varlink")
    rooms = {PACKAGE: product, PROJECT / "hooks": product, PROJECT / "tests": (".py",)}
    lines = {
        str(path.relative_to(PROJECT)): path.read_text("utf-8").count("\n")
        for directory, suffixes in rooms.items()
        for path in directory.rglob("*")
        if path.is_file() and path.suffix in suffixes
    }
    assert sum(path.startswith("src/") for path in lines) > 150
    assert sum(path.startswith("tests/") for path in lines) > 150
    longer = {path: count for path, count in lines.items() if count > LONGEST}
    assert {path: count for path, count in longer.items() if path not in LONGER} == {}
    assert LONGER.keys() == longer.keys(), "what is short by now needs no exception"


def public(body: list[ast.stmt], above: str) -> Iterator[tuple[str, Definition]]:
    """Yield the public definitions of a module or class, with their names."""
    for node in body:
        if isinstance(node, Definition) and not node.name.startswith("_"):
            yield f"{above}.{node.name}", node
            if isinstance(node, ast.ClassDef):
                yield from public(node.body, f"{above}.{node.name}")


def test_all_that_is_public_is_explained() -> None:
    silent, count = [], 0
    for name, tree in modules().items():
        if not ast.get_docstring(tree):
            silent.append(name)
        for where, node in public(tree.body, name):
            count += 1
            if not ast.get_docstring(node) and not is_override(node):
                silent.append(where)
    assert count > 500
    assert silent == []


def is_override(node: Definition) -> bool:
    """Whether a definition says of itself that it is explained in the class above."""
    return any(isinstance(mark, ast.Name) and mark.id == "override" for mark in node.decorator_list)


def test_every_file_names_its_licence() -> None:
    silent = [
        str(path.relative_to(PROJECT))
        for directory in ("src", "hooks", "tests", "debian/tests")
        for path in (PROJECT / directory).rglob("*")
        if path.suffix in (".py", ".sh") or (os.access(path, os.X_OK) and path.is_file())
        if path.stat().st_size
        and "SPDX-License-Identifier: GPL-3.0-or-later" not in path.read_text("utf-8", "replace")[:300]
    ]
    assert silent == []
