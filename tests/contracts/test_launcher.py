"""The launcher from a bank that has no environment: it makes one once, elsewhere, and says in a line when it cannot.

A stand-in for uv makes the environment here: a door to this interpreter, and a note of every call.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import waiting
from ran import ran

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("plugin.json", "versions.yaml", "scripts", "mcp_server", "tao_skill_bank", "skills")
LOCK = "".join(f"{name}=={version(name)} \\\n    --hash=sha256:{'0' * 64}\n" for name in ("mcp", "packaging"))
UV = """#!/bin/sh
echo "$1" >>"$TEST_NOTES"
if [ "$1" = venv ]; then
  for folder; do :; done
  mkdir -p "$folder/bin"
  printf '#!/bin/sh\\n{compiled}exec {python} "$@"\\n' >"$folder/bin/python" && chmod +x "$folder/bin/python"
else
  [ ! -e "$TEST_NOTES.hold" ] || read -r _ <"$TEST_NOTES.hold"
  [ ! -e "$TEST_NOTES.fail" ] || {{ echo 'error: no route to the index' >&2; exit 1; }}
fi
"""
ASKED = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "x", "version": "1"}}
HELLO = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": ASKED}) + "\n"


COMPILED_HERE = "unset PYTHONPYCACHEPREFIX; PYTHONDONTWRITEBYTECODE=1 "
"""The stand-in's interpreter reads what is compiled beside this one's packages: to compile them anew takes seconds."""


class Bank:
    """A copy of the bank without an environment, an empty home, and the stand-in."""

    def __init__(self, folder: Path, compiled: str = COMPILED_HERE) -> None:
        self.root = folder / "plugin cache" / "bank"
        self.root.mkdir(parents=True)
        for name in PARTS:
            source = ROOT / name
            if source.is_dir():
                shutil.copytree(source, self.root / name, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, self.root / name)
        (self.root / "requirements.lock").write_text(LOCK)
        self.home = folder / "home"
        self.notes = folder / "notes"
        self.bin = folder / "bin"
        for made in (self.home, self.bin):
            made.mkdir()
        uv = self.bin / "uv"
        uv.write_text(UV.format(python=sys.executable, compiled=compiled))
        uv.chmod(0o755)

    def start(self, *words: str, **variables: str) -> subprocess.Popen[str]:
        """The launcher, by an interpreter that does not see what is installed."""
        env = {"PATH": f"{self.bin}:/usr/bin:/bin", "HOME": str(self.home), "TEST_NOTES": str(self.notes)}
        # A client that waits as long as it takes, unless a test says otherwise.
        env |= {"TAO_SKILL_BANK_WAIT": "200", **variables}
        return subprocess.Popen(
            [sys.executable, "-S", str(self.root / "scripts/launch.py"), *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=env,
            cwd="/",
        )

    def session(self, **variables: str) -> tuple[int, str, str]:
        """A client's session: hello, and good-bye."""
        process = self.start("serve", **variables)
        out, err = process.communicate(HELLO, timeout=280)
        return process.returncode, out, err

    def hold(self) -> None:
        """From now on the stand-in waits where it would install."""
        os.mkfifo(f"{self.notes}.hold")

    def let_go(self) -> None:
        """It goes on, whether it has come there or not."""
        if not os.path.exists(path := f"{self.notes}.hold"):
            return
        pipe = os.open(path, os.O_RDWR)
        os.write(pipe, b"\n")
        os.unlink(path)
        os.close(pipe)

    @property
    def calls(self) -> list[str]:
        return self.notes.read_text().split() if self.notes.exists() else []

    @property
    def status(self) -> str:
        (path,) = (self.home / ".cache/tao-skill-bank").glob("status-*")
        return path.read_text().strip()

    def files(self) -> list[str]:
        return sorted(p.relative_to(self.root).as_posix() for p in self.root.rglob("*"))


@pytest.fixture
def bank(tmp_path: Path) -> Bank:
    return Bank(tmp_path)


def connected(out: str) -> bool:
    return bool(json.loads(out)["result"]["serverInfo"]["name"] == "tao-skill-bank")


def refused(out: str) -> str:
    """What the client is told instead of the server's greeting."""
    return str(json.loads(out)["error"]["message"]).replace("\n", " ")


def test_the_first_session_makes_the_environment_and_the_second_only_uses_it(tmp_path: Path) -> None:
    bank = Bank(tmp_path, compiled="")
    before = bank.files()
    for _ in range(2):
        status, out, err = bank.session()
        assert (status, connected(out)) == (0, True), err
    assert bank.calls == ["venv", "pip", "pip"]
    assert bank.status == "ready"
    assert bank.files() == before


def test_two_sessions_that_start_at_once_make_it_once(bank: Bank) -> None:
    both = [bank.start("serve") for _ in range(2)]
    answers = [process.communicate(HELLO, timeout=280) for process in both]
    assert all(connected(out) for out, _ in answers), answers
    assert bank.calls == ["venv", "pip", "pip"]


def test_without_a_network_a_session_ends_with_one_line_and_the_next_one_tries_again(bank: Bank) -> None:
    Path(f"{bank.notes}.fail").touch()
    status, out, err = bank.session()
    assert (status, refused(out)) == (1, err.strip())
    assert len(err.splitlines()) == 1
    assert "no route to the index" in err
    assert "log: " in err and ".log)" in err
    assert bank.status.startswith("failed: error: no route to the index")
    Path(f"{bank.notes}.fail").unlink()
    status, out, err = bank.session()
    assert (status, connected(out)) == (0, True), err
    assert bank.status == "ready"


def test_with_python_alone_a_missing_network_is_one_line_too(bank: Bank) -> None:
    status, out, err = bank.session(PATH="/usr/bin:/bin", PIP_NO_INDEX="1")
    assert (status, refused(out)) == (1, err.strip())
    assert len(err.splitlines()) == 1
    assert "pip's configuration (no-index, without find-links) does not have mcp==" in err
    assert bank.calls == []
    assert not list((bank.home / ".cache/tao-skill-bank").glob("env-*/ready"))


class Talk:
    """A client that stays: a launcher at work, and what it answers to each request."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process, self.asked = process, 1
        assert process.stdin is not None and process.stdout is not None
        self.stdin, self.stdout = process.stdin, process.stdout
        self.told: list[str] = []
        """The notifications so far."""

    def hears(self) -> dict[str, Any]:
        while "method" in (message := json.loads(self.stdout.readline())):
            self.told.append(message["method"])
        return dict(message)

    def begins(self, method: str, **params: Any) -> int:
        """Ask, and do not wait for the answer: the request's id."""
        self.asked += 1
        self.stdin.write(json.dumps({"jsonrpc": "2.0", "id": self.asked, "method": method, "params": params}) + "\n")
        self.stdin.flush()
        return self.asked

    def asks(self, method: str, **params: Any) -> dict[str, Any]:
        asked = self.begins(method, **params)
        answer = self.hears()
        assert answer["id"] == asked
        return answer

    def tools(self) -> set[str]:
        return {tool["name"] for tool in self.asks("tools/list")["result"]["tools"]}

    def status(self, wait_sec: float) -> tuple[str, bool]:
        """What the one tool says, and whether as an error."""
        result = self.asks("tools/call", name=waiting.TOOL, arguments={"wait_sec": wait_sec})["result"]
        return result["content"][0]["text"], result["isError"]

    def end(self) -> tuple[str, bool]:
        """What it says when the set-up has ended, however long a busy machine takes to that."""
        while (said := self.status(50))[0].startswith("the environment is being made"):
            pass
        return said

    def leaves(self) -> tuple[int, str]:
        """The exit status and what stood on stderr."""
        _, err = self.process.communicate(timeout=60)
        return self.process.returncode, err


@pytest.fixture
def client(bank: Bank) -> Iterator[Talk]:
    """A client that has been greeted while the index keeps the maker waiting."""
    bank.hold()
    process = bank.start("serve", TAO_SKILL_BANK_WAIT="0")
    try:
        found = Talk(process)
        found.stdin.write(HELLO)
        found.stdin.flush()
        greeting = found.hears()["result"]
        assert greeting["serverInfo"]["name"] == "tao-skill-bank"
        assert waiting.TOOL in greeting["instructions"]
        yield found
    finally:
        bank.let_go()
        process.kill()
        process.communicate()


def test_a_client_is_answered_before_the_set_up_has_ended_and_gets_the_tools_in_the_same_session(
    bank: Bank, client: Talk
) -> None:
    tools = client.tools()
    assert {waiting.TOOL, "get_jobs", "plan_deft_run"} < tools  # there are clients that list once
    early = client.begins("tools/call", name="get_jobs", arguments={"results_dir": "/nowhere"})
    said, wrong = client.status(0.3)
    assert said.startswith("the environment is being made: ") and "(log: " in said and not wrong
    assert client.asks("prompts/list")["result"] == {"prompts": []}
    assert client.asks("ping")["result"] == {}
    assert bank.status == "making"
    bank.let_go()
    while "not yet: " in str(held := client.hears()):  # a busy machine: longer than a call is held
        early = client.begins("tools/call", name="get_jobs", arguments={"results_dir": "/nowhere"})
    assert (held["id"], "outside the allowed folders" in str(held)) == (early, True), "the server has answered it"
    assert "notifications/tools/list_changed" in client.told
    assert client.tools() == tools - {waiting.TOOL}
    assert client.status(0) == (waiting.READY, False)
    assert client.leaves() == (0, "")
    assert bank.status == "ready"
    assert bank.calls == ["venv", "pip", "pip"]


def test_a_set_up_that_fails_later_is_told_by_the_tool_and_tried_again_when_it_is_asked(
    bank: Bank, client: Talk
) -> None:
    Path(f"{bank.notes}.fail").touch()
    bank.let_go()
    said, wrong = client.end()
    assert wrong and said.startswith("error: no route to the index")
    other = client.asks("tools/call", name="get_jobs", arguments={})["result"]
    assert (other["content"][0]["text"], other["isError"]) == (f"not yet: {said}; call {waiting.TOOL}", True)
    Path(f"{bank.notes}.fail").unlink()
    assert client.end() == (waiting.READY, False)
    status, err = client.leaves()
    assert (status, err) == (0, f"tao-skill-bank: {said}\n")


def test_a_try_that_cannot_even_begin_says_its_own_reason_and_not_that_of_the_last_one(
    bank: Bank, client: Talk
) -> None:
    Path(f"{bank.notes}.fail").touch()
    bank.let_go()
    assert "no route to the index" in client.end()[0]
    (bank.root / "requirements.lock").write_text("mcp\n")
    said, wrong = client.end()
    assert wrong and "requirements.lock: line 1 is damaged" in said and "no route" not in said
    (bank.root / "requirements.lock").write_text(LOCK)
    Path(f"{bank.notes}.fail").unlink()
    assert client.end() == (waiting.READY, False)


def test_a_server_that_ends_at_once_is_told_by_the_tool_and_not_called_ready(bank: Bank, client: Talk) -> None:
    (bank.root / "mcp_server/__main__.py").write_text("raise SystemExit('no such thing')\n")
    bank.let_go()
    said, wrong = client.end()
    assert wrong and said.startswith("the server ended at once (exit status 1)")
    status, err = client.leaves()
    assert (status, err.splitlines()) == (1, ["no such thing", f"tao-skill-bank: {said}"])


def test_a_client_that_leaves_while_it_waits_ends_the_launcher_and_not_the_set_up(bank: Bank, client: Talk) -> None:
    assert client.leaves() == (0, "")
    bank.let_go()
    status, out, err = bank.session()
    assert (status, connected(out)) == (0, True), err
    assert bank.calls == ["venv", "pip", "pip"]


@pytest.mark.parametrize(
    "line",
    ["{", "[]", "null", '{"id": 2}', '{"id": [2], "method": "ping"}', '{"id": 2, "method": "ping", "params": 3}'],
)
def test_what_is_no_request_is_answered_and_the_client_is_heard_on(client: Talk, line: str) -> None:
    client.stdin.write(line + "\n")
    client.stdin.flush()
    assert client.hears()["error"]["code"] == -32600
    assert client.asks("resources/read", uri="x")["error"]["code"] == -32601
    assert "from 0 to 50" in client.status(1e9)[0]


def test_the_room_greets_as_the_server_does() -> None:
    from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS

    assert waiting.VERSIONS == HANDSHAKE_PROTOCOL_VERSIONS
    hello = subprocess.run(
        [sys.executable, "-m", "mcp_server"], input=HELLO, capture_output=True, text=True, check=True, cwd=ROOT
    )
    own = json.loads(hello.stdout)["result"]
    assert waiting.CAPABILITIES.keys() == own["capabilities"].keys()
    assert waiting.CAPABILITIES["experimental"] == own["capabilities"]["experimental"]


def test_what_a_killed_maker_left_is_thrown_away(bank: Bank) -> None:
    Path(f"{bank.notes}.fail").touch()
    bank.session()
    (log,) = (bank.home / ".cache/tao-skill-bank").glob("env-*.log")
    half = log.with_suffix("")
    (half / "bin").mkdir(parents=True)
    (half / "bin/python").write_text("not an interpreter")
    Path(f"{bank.notes}.fail").unlink()
    status, out, err = bank.session()
    assert (status, connected(out)) == (0, True), err


@pytest.mark.parametrize("name", ["none", "python3.10"])
def test_an_environment_whose_python_has_gone_or_become_another_is_made_anew(
    bank: Bank, tmp_path: Path, name: str
) -> None:
    bank.session()
    (ready,) = (bank.home / ".cache/tao-skill-bank").glob("env-*/ready")
    python = ready.with_name("bin") / "python"
    if name != "none":
        shutil.move(python, tmp_path / name)
    python.unlink(missing_ok=True)
    python.symlink_to(tmp_path / name)
    status, out, err = bank.session()
    assert (status, connected(out)) == (0, True), err
    assert bank.calls == ["venv", "pip", "pip"] * 2


def test_a_wait_that_is_no_number_is_told_to_the_client(bank: Bank) -> None:
    status, out, err = bank.session(TAO_SKILL_BANK_WAIT="soon")
    assert (status, refused(out)) == (1, err.strip())
    assert "TAO_SKILL_BANK_WAIT='soon' is no number of seconds above 0" in err


def test_another_lock_file_gets_another_environment(bank: Bank) -> None:
    bank.session()
    with (bank.root / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    bank.session()
    assert len(list((bank.home / ".cache/tao-skill-bank").glob("env-*/ready"))) == 2


def test_a_bank_level_script_runs_itself_again_with_the_banks_environment(bank: Bank) -> None:
    done = ran(
        [sys.executable, "-S", str(bank.root / "scripts/resolve_versions_key.py"), "images.tao_toolkit.pyt"],
        env={"PATH": f"{bank.bin}:/usr/bin:/bin", "HOME": str(bank.home), "TEST_NOTES": str(bank.notes)},
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("nvcr.io/nvidia/tao/tao-toolkit:")


def test_the_environment_beside_the_bank_is_taken_before_one_is_made(bank: Bank) -> None:
    if not (ROOT / ".venv/bin/python").exists():
        pytest.skip("no .venv beside this checkout")
    (bank.root / ".venv").symlink_to(ROOT / ".venv")
    out, err = bank.start("where").communicate(timeout=60)
    assert out.strip() == str(bank.root.resolve() / ".venv/bin/python"), err
    assert bank.calls == []


def test_an_unknown_verb_is_refused(bank: Bank) -> None:
    process = bank.start("fly")
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (2, "")
    assert "use serve, run, script or where" in err


def test_the_launcher_runs_on_an_old_python() -> None:
    import ast

    own = ("launch", "waiting", "set_up", "pip_and_uv")
    names = [*(f"scripts/{name}.py" for name in own), "mcp_server/__init__.py"]
    source = "".join((ROOT / name).read_text() for name in names)
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    imported |= {n.module or "" for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert {name.split(".")[0] for name in imported} <= {*sys.stdlib_module_names, *own, "mcp_server"}
    assert "match " not in source and os.path.exists(ROOT / "requirements.lock")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"HOME": "/dev/null/nobody"}, "/dev/null/nobody/.cache/tao-skill-bank cannot be written to (Not a directory)"),
        ({"HOME": "/proc/nobody"}, "cannot be written to ("),
        ({"HOME": "nobody"}, "HOME is not set; set it, or TAO_SKILL_BANK_CACHE to a folder"),
        ({"TAO_SKILL_BANK_CACHE": "cache"}, "TAO_SKILL_BANK_CACHE='cache' begins nowhere; write it from / on"),
        ({"TAO_SKILL_BANK_CACHE": "/dev/null/cache"}, "/dev/null/cache cannot be written to"),
    ],
)
def test_a_home_that_cannot_hold_the_environment_is_told_at_once_to_the_client_too(
    bank: Bank, variables: dict[str, str], said: str
) -> None:
    status, out, err = bank.session(**variables)
    assert (status, refused(out)) == (1, err.strip())
    assert len(err.splitlines()) == 1
    assert said in err and "TAO_SKILL_BANK_CACHE" in err
    assert "again" not in err
    assert bank.calls == []


@pytest.mark.parametrize("text", ["", "mcp\n", LOCK[: len(LOCK) // 2], LOCK.replace("sha256", "md5", 1)])
def test_a_broken_lock_is_told_with_the_command_that_mends_it(bank: Bank, text: str) -> None:
    (bank.root / "requirements.lock").write_text(text)
    status, out, err = bank.session()
    assert (status, refused(out)) == (1, err.strip())
    assert len(err.splitlines()) == 1
    assert "git checkout requirements.lock" in err and "requirements.lock" in bank.status
    assert "again" not in err
    assert bank.calls == []


def test_a_disk_without_room_is_told_before_anything_is_fetched(bank: Bank) -> None:
    (bank.root / "requirements.lock").write_text("# 1 MB to fetch, 999999999 MB on disk (here)\n" + LOCK)
    status, out, err = bank.session()
    assert (status, refused(out)) == (1, err.strip())
    assert "MB free, 999999999 are needed; free some space" in err
    assert bank.calls == []


def test_an_index_that_refuses_is_told_within_the_time_a_client_waits(bank: Bank) -> None:
    nowhere = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/simple"}
    status, out, err = bank.session(PATH="/usr/bin:/bin", **nowhere)
    assert (status, refused(out)) == (1, err.strip())
    assert "the package index http://127.0.0.1:9/simple does not answer" in err and "Connection refused" in err
    assert "TAO_SKILL_BANK_WHEELHOUSE=DIR" in err
