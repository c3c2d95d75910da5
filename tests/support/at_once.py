"""One door to a run, in a process of its own, opened when a line comes on standard input: `at_once.py DOOR RUN`.

`command` steps the run as a person or an agent does in a terminal, `server` as an agent does through the MCP server.
Prints `ready`, and then a JSON object: whether it worked, and what it said.
"""

import contextlib
import io
import json
import sys
from pathlib import Path

import tiny

door, run = sys.argv[1], Path(sys.argv[2])


def command() -> tuple[bool, str]:
    """`tao-skills deft step`."""
    from tao_skill_bank import cli

    said = io.StringIO()
    sys.argv = ["tao-skills", "deft", "step", "--results-dir", str(run)]
    with contextlib.redirect_stderr(said), contextlib.redirect_stdout(io.StringIO()):
        try:
            cli.main()
        except SystemExit as end:
            return end.code == 0, said.getvalue()
    raise AssertionError("it does not end")


def server() -> tuple[bool, str]:
    """The tool `step_deft_run`."""
    from server_calls import call

    from mcp_server.server import build_server

    answer = call(build_server([run.parents[1]]), "step_deft_run", {"results_dir": str(run)})
    return not answer.error, answer.text


tiny.fake_model().start()
print("ready", flush=True)
sys.stdin.readline()
worked, text = {"command": command, "server": server}[door]()
print(json.dumps({"worked": worked, "text": text}), flush=True)
