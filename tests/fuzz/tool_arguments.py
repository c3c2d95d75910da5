"""Arguments of every tool of the server, sensible, strange and hostile, called in process."""

from __future__ import annotations

import json
import os
import random
import tempfile
from pathlib import Path
from typing import Any, Self
from unittest.mock import patch

import anyio.from_thread
from mcp.client import Client

from tao_skill_bank.core.errors import InputError

SECRET = "nobody-may-read-this"
MOST_TEXT = 6000
_WORDS = (
    "",
    "\0",
    "a\nb",
    "\x1b[2J\x1b]0;x\x07",
    "\u202egpj.exe",
    "half\ud800",
    "n" * 5000,
    "../../etc/passwd",
    "/etc/passwd",
    "/",
    "~",
    "-rf",
    "--help",
    "${oc.env:HOME}",
    "$(touch x)",
    "; touch x",
    "{{7*7}}",
    "%s%n",
    "null",
    "FAR < 1% at recall=99%",
    "FAR < 1e999% at recall=-1%",
    "99999999999999999999h",
    "baseline",
    "iter0",
    "docker",
    "slurm",
    "kubernetes",
    "local",
    "num_epochs=1",
    "seed=[1,2",
    "docker.mounts=[/]",
    "docker.host=unix:///nowhere.sock",
    "workspace=/",
    "specs_file=/etc/passwd",
    "training_csv=../../outside/secret.csv",
)
_NUMBERS = (0, -1, 1, 2**63, -(2**70), 1e308, 0.5, float("nan"), float("inf"), 10**400)


def _no_worker(*_: object) -> None:
    raise InputError("no process is started here")


class Surface:
    """The server with a workspace of a few files, one secret outside of it, and one client for all calls."""

    def __init__(self) -> None:
        import tiny

        from mcp_server.server import build_server

        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-tools-")
        base = Path(self._folder.name)
        self.workspace = tiny.make_workspace(base / "workspace", pairs=2, pool=4)
        self.outside = base / "outside"
        self.outside.mkdir()
        (self.outside / "secret.csv").write_text(f"{SECRET},b\n{SECRET},2\n")
        (self.outside / "deft_state.json").write_text(json.dumps({SECRET: SECRET}))
        for name in ("link", "inference.csv", "kpi_gaps.parquet", "loop_log.jsonl"):
            target = self.outside if name == "link" else self.outside / "secret.csv"
            (self.workspace / name).symlink_to(target)
        (self.workspace / "run").mkdir()
        (self.workspace / "run/deft_state.json").symlink_to(self.outside / "secret.csv")
        self._before = self._looks()
        self._portal_context = anyio.from_thread.start_blocking_portal()
        self._portal = self._portal_context.__enter__()
        self._client_context = self._portal.wrap_async_context_manager(Client(build_server([self.workspace])))
        self._client = self._client_context.__enter__()
        listed = self._portal.call(self._client.list_tools)
        self.schemas: dict[str, dict[str, Any]] = {tool.name: tool.input_schema for tool in listed.tools}

    def close(self) -> None:
        """End the server and remove the workspace."""
        self._client_context.__exit__(None, None, None)
        self._portal_context.__exit__(None, None, None)
        self._folder.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, tool: str, arguments: dict[str, Any]) -> None:
        """One call; its answer is a result or an error of a line (of several faults: some lines).

        Raises:
            AssertionError: A bug showed, a secret came out, or something outside was touched.
        """
        # What starts is shown elsewhere; here ten thousand calls are.
        with patch("tao_skill_bank.platforms.jobs.submit", _no_worker):
            result = self._portal.call(self._client.call_tool, tool, arguments)
        text = "\n".join(getattr(block, "text", "") for block in result.content)
        said = f"{tool} {arguments!r:.300}: {text[:300]!r}"
        assert "Traceback" not in text and text.strip() != f"Error executing tool {tool}", said
        assert len(text) < MOST_TEXT, said
        assert SECRET not in text, f"read outside the roots: {said}"
        assert "\x1b" not in text and "\x07" not in text, f"control characters: {said}"
        if result.is_error:
            assert text.count("\n") <= 12 and text.strip(), said
        assert self._looks() == self._before, f"touched what lies outside: {said}"

    def arguments(self, tool: str, rng: random.Random) -> dict[str, Any]:
        """Arguments by the tool's schema: mostly of the right kind, often wrong in one place or two."""
        known = self.schemas[tool]["properties"]
        required = self.schemas[tool].get("required", ())
        out = {
            name: self._value(name, schema, rng)
            for name, schema in known.items()
            if rng.random() < (0.97 if name in required else 0.5)
        }
        if rng.random() < 0.05:
            out[rng.choice(_WORDS[:5]) or "x"] = 1
        return out

    def _value(self, name: str, schema: dict[str, Any], rng: random.Random) -> Any:
        if rng.random() < 0.08:
            return self._anything(rng, 3)
        kind = schema.get("type") or rng.choice(schema.get("anyOf") or [{"type": "string"}]).get("type")
        if "enum" in schema and rng.random() < 0.9:
            return rng.choice(schema["enum"])
        if kind == "boolean":
            return rng.random() < 0.5
        if kind in ("integer", "number"):
            return rng.choice((1, 2, 5)) if name == "wait_sec" else rng.choice(_NUMBERS)
        if kind == "array":
            return [self._text(name, rng) for _ in range(rng.randrange(4))]
        if kind == "object":
            return {rng.choice(("train.num_epochs", "a.b", *_WORDS[:5])): rng.choice(_WORDS) for _ in range(2)}
        return self._text(name, rng)

    def _text(self, name: str, rng: random.Random) -> str:
        if name in ("action", "iter_label", "image", "job", "key", "platform", "note", "summary") or rng.random() < 0.1:
            return rng.choice((*_WORDS, "train", "evaluate", "images.tao_toolkit.pyt"))
        if name in ("kpi_target", "time_limit", "settings"):
            return rng.choice(_WORDS[-18:])
        inside = (
            "", "specs/baseline_spec.yaml", "train/base/training_set.csv", "kpi/testing_set.csv", "images", "run",
            "link", "link/secret.csv", "inference.csv", "kpi_gaps.parquet", "loop_log.jsonl", "new", "new/run",
            "../outside", "../outside/secret.csv", *_WORDS[:12],
        )  # fmt: skip
        return os.path.join(str(self.workspace), rng.choice(inside)) if rng.random() < 0.93 else rng.choice(_WORDS)

    def _anything(self, rng: random.Random, depth: int) -> Any:
        kind = rng.randrange(6 if depth else 4)
        if kind == 0:
            return rng.choice(_NUMBERS[:-1])
        if kind == 1:
            return None
        if kind == 2:
            return rng.random() < 0.5
        if kind == 3:
            return rng.choice(_WORDS)
        if kind == 4:
            return [self._anything(rng, depth - 1) for _ in range(3)]
        # A client cannot send half a surrogate pair as a name.
        names = [word for word in _WORDS if word.isascii()]
        return {rng.choice(names): self._anything(rng, depth - 1) for _ in range(3)}

    def _looks(self) -> dict[str, tuple[int, int]]:
        return {
            str(p): (p.lstat().st_mtime_ns, p.lstat().st_size)
            for p in [self.outside, *self.outside.iterdir(), self.workspace.parent]
        }


_surface: list[Surface] = []


def surface() -> Surface:
    """The one of this process, made when it is first asked for."""
    if not _surface:
        import atexit

        _surface.append(Surface())
        atexit.register(_surface[0].close)
    return _surface[0]


def call_with(path: Path) -> None:
    """What the bytes of a file say: which tool, which arguments. The same bytes make the same call."""
    here = surface()
    data = path.read_bytes()
    rng = random.Random(data)
    named = data.decode("latin-1").split("\n", 1)[0]
    tool = named if named in here.schemas else rng.choice(list(here.schemas))
    here.call(tool, here.arguments(tool, rng))


SEEDS = [b"plan_deft_run\n1", b"start_action\n2", b"analyze_vcn_gaps\n3", b"log_stage\n4", b"\x00" * 8]
