"""What the engine says, as a tool says it: arguments instead of options, whole commands as a person types them."""

from __future__ import annotations

import re

import pytest

from mcp_server.words import all_in_own_words, in_own_words, program

HERE = " ".join(program())


@pytest.mark.parametrize(
    ("said", "heard"),
    [
        ("put it there or --set specs_file=PATH", "put it there or settings specs_file=PATH"),
        ("name it, or --results-dir of a run to take up", "name it, or results_dir of a run to take up"),
        ("is not known, so --max-cost cannot be kept", "is not known, so max_cost cannot be kept"),
        ("write config-file--old.yaml", "write config-file--old.yaml"),
        ("read the plan, then add --approve 0a1b", "read the plan, then add --approve 0a1b"),
        ("start the server with --root FOLDER", "start the server with --root FOLDER"),
        (
            "look, then: tao-skills deft run --results-dir /r --yes --set annotate.review=none",
            f"look, then: {HERE} deft run --results-dir /r --yes --set annotate.review=none",
        ),
        (
            "(tao-skills platforms install virtualenv makes one, or add --set virtualenv.bin=FOLDER)",
            f"({HERE} platforms install virtualenv makes one, or add settings virtualenv.bin=FOLDER)",
        ),
        (
            "serve it: vllm serve m --host 127.0.0.1 --max-model-len 9",
            "serve it: vllm serve m --host 127.0.0.1 --max-model-len 9",
        ),
        ("/opt/bin/tao-skills roots add /x --for me", "/opt/bin/tao-skills roots add /x --for me"),
        (
            "start it: tao-skills jobs start visual_changenet train train.gpu_ids=[0,1] --platform docker",
            f"start it: {HERE} jobs start visual_changenet train train.gpu_ids=[0,1] --platform docker",
        ),
        (
            "type tao-skills annotate run -e '/lot (2)/s.yaml' --max-cost 2, or give --max-calls",
            f"type {HERE} annotate run -e '/lot (2)/s.yaml' --max-cost 2, or give max_calls",
        ),
        (
            "'/my home/bin/tao-skills' annotate run --price m=1,2 --max-cost 2",
            "'/my home/bin/tao-skills' annotate run --price m=1,2 --max-cost 2",
        ),
        (
            "the run's own: tao-skills deft stop R --json, the run's",
            f"the run's own: {HERE} deft stop R --json, the run's",
        ),
        ("name a run folder, or start one with deft run", "name a run folder, or start one with start_deft_run"),
        ("go on with deft run --results-dir", "go on with start_deft_run results_dir"),
        ("watch it with annotate status, or annotate stop", "watch it with get_annotation_status, or stop_annotation"),
        ("/data/deft run/x.csv", "/data/deft run/x.csv"),
        ("/data/my deft run/x: not there", "/data/my deft run/x: not there"),
        ("no such file: /data/--old/x.csv", "no such file: /data/--old/x.csv"),
        ("/x/python -m pip install --require-hashes -r l", "/x/python -m pip install --require-hashes -r l"),
        ("give it: --price my/m=INPUT,OUTPUT in USD", 'give it: price {"my/m": [INPUT, OUTPUT]} in USD'),
        ("give --price MODEL=INPUT,OUTPUT", 'give price {"MODEL": [INPUT, OUTPUT]}'),
    ],
)
def test_options_become_arguments_and_commands_stay_commands(said: str, heard: str) -> None:
    assert in_own_words(said) == heard


def test_an_option_that_the_tool_lacks_is_said_to_be_the_command_lines() -> None:
    assert (
        in_own_words("give --proof, or more boards", ["scores"]) == "give proof (of the command line), or more boards"
    )


def test_texts_within_a_result_are_said_so_and_command_lines_stand() -> None:
    stands = {"command": "x --set a.b=c", "log": ["--set a=b"], "output": ["usage: train --steps N"], "n": 3}
    found = {"warnings": ["mend it by --set a.b=c"], **stands}
    heard = {"warnings": ["mend it by settings a.b=c"], **stands}
    assert all_in_own_words(found) == heard


def test_no_fix_of_the_engine_keeps_an_option_outside_a_command() -> None:
    from pathlib import Path

    import tao_skill_bank

    sources = Path(tao_skill_bank.__file__).parent.rglob("*.py")
    texts = [text for path in sources if "commands" not in path.parts for text in _fixes(path.read_text())]
    assert len(texts) > 100
    left = [
        text
        for text in texts
        if re.search(r"(?<!\w)--(?!root|approve|yes)[a-z]", _without_commands(in_own_words(text)))
    ]
    assert left == []


def _fixes(source: str) -> list[str]:
    return re.findall(r'\b(?:fix|where)=f?"([^"\n]*)"', source)


def _without_commands(text: str) -> str:
    return re.sub(r"(?:\S*tao-skills|vllm serve|docker run)[^;(),\n]*", "", text)
