"""The structure that the design asks for, held by a program: imports one way, no cycles, no sleeping secrets."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway import errors

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "filters").rglob("*.py"), *(ROOT / "gateway").rglob("*.py")])
PURE = [
    *(path for path in SOURCES if path.is_relative_to(ROOT / "filters")),
    *(
        ROOT / "gateway" / name
        for name in ("upstream/sse.py", "upstream/frames.py", "auth/tokens.py", "auth/rbac.py", "auth/revocation.py")
    ),
]
BODY = "http.response.body"
WAITING = {"asyncio", "aiohttp", "uvicorn", "fastapi", "starlette", "structlog", "prometheus_client", "socket", "time"}


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def imports(path: Path) -> Iterator[str]:
    """Modules imported when this one is; what only a type checker or a function sees makes no cycle."""
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


GRAPH = {module(path): set(imports(path)) for path in SOURCES}


@pytest.mark.parametrize("path", PURE, ids=module)
def test_the_core_does_not_wait_or_log(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & WAITING
    assert not any(isinstance(node, ast.AsyncFunctionDef) for node in ast.walk(ast.parse(path.read_text("utf-8"))))


@pytest.mark.parametrize("path", [path for path in PURE if module(path).startswith("filters")], ids=module)
def test_filters_know_nothing_of_the_gateway(path: Path) -> None:
    nodes = [node for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.ImportFrom)]
    assert not any((node.module or "").split(".")[0] == "gateway" for node in nodes)


def test_there_is_no_import_cycle() -> None:
    ours = {name: {used for used in names if used in GRAPH and used != name} for name, names in GRAPH.items()}
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join([*path, name])
        if name not in done:
            for used in sorted(ours[name]):
                visit(used, (*path, name))
            done.add(name)

    for name in sorted(ours):
        visit(name, ())


def test_every_error_has_its_own_status_type_and_text() -> None:
    seen = {}
    for kind in _subclasses(errors.GatewayError):
        assert 400 <= kind.status < 600
        assert kind.message
        assert kind.type
        assert kind.message.endswith(".")
        seen[kind.__name__] = kind
    assert len(seen) > 15


def test_no_exception_is_swallowed() -> None:
    """`except …: pass` hides what went wrong; `suppress` does the same in one line, and names what it is for."""
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ExceptHandler):
                assert not all(isinstance(step, ast.Pass) for step in node.body), f"{path}:{node.lineno}"
            if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "suppress":
                broad = {"Exception", "BaseException"} & {ast.unparse(kind) for kind in node.args}
                assert not broad, f"{path}:{node.lineno}"


def _subclasses(kind: type[errors.GatewayError]) -> Iterator[type[errors.GatewayError]]:
    yield kind
    for sub in kind.__subclasses__():
        yield from _subclasses(sub)


def test_only_the_envelopes_put_bodies_into_answers() -> None:
    """What leaves is `Wire`, which nobody else makes and nobody else sends: what has to be sealed can't pass by."""
    public = [path for path in SOURCES if not path.is_relative_to(ROOT / "gateway" / "embedded")]
    nodes = {(path, node) for path in public for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))}
    bodies = {path.name for path, node in nodes if isinstance(node, ast.Constant) and node.value == BODY}
    calls = {(path.name, ast.unparse(node.func)) for path, node in nodes if isinstance(node, ast.Call)}
    assert bodies == {"envelope.py"}
    assert {name for name, called in calls if called.split(".")[-1] == "Wire"} == {"envelope.py"}
    responses = {name for name, called in calls if called.split(".")[-1].endswith("Response")}
    assert responses == {"envelope.py", "management.py"}


def test_the_clients_helper_stands_alone() -> None:
    """It is installed where no gateway is."""
    needed = {name.split(".")[0] for path in (ROOT / "clients").rglob("*.py") for name in imports(path)}
    assert needed - set(sys.stdlib_module_names) == {"cryptography", "httpx", "joserfc", "tightlip_client"}
