"""A run's request is one model: commands, tools, scripts and Python offer its fields, under one name and one help."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import click
import pytest
from click.testing import CliRunner
from server_calls import call, served

import tao_skill_bank as tao
from mcp_server import annotate, data, deft, gaps, jobs
from mcp_server.asked import with_request, within
from mcp_server.roots import Roots
from mcp_server.server import BankServer
from tao_skill_bank import runs
from tao_skill_bank.actions.gap_analysis import cli as gap_cli
from tao_skill_bank.actions.gap_analysis.config import VcnAoiConfig, VlmBcqConfig, VlmCompareConfig
from tao_skill_bank.actions.mining import embedding_cli, tmm_cli
from tao_skill_bank.actions.mining.config import ImageEmbeddingsConfig, NearestNeighborsConfig
from tao_skill_bank.annotate.asked import Estimating
from tao_skill_bank.annotate.asked import Request as Annotation
from tao_skill_bank.commands.annotate import cli as annotate_cli
from tao_skill_bank.commands.deft import cli
from tao_skill_bank.commands.gaps import cli as gaps_cli
from tao_skill_bank.commands.jobs import cli as jobs_cli
from tao_skill_bank.commands.options import request_options
from tao_skill_bank.commands.scripted import add_request
from tao_skill_bank.commands.spec import cli as spec_cli
from tao_skill_bank.core.asked import Said, command_words, keys_text, options, schema_of
from tao_skill_bank.core.errors import InputError
from tao_skill_bank.core.overrides import parse_command_line
from tao_skill_bank.core.settings import validated
from tao_skill_bank.loop.asked import Request
from tao_skill_bank.tasks.asked import ActionAsked, KpiAsked, MineAsked, RouteAsked, SpecAsked, TrainingCheck
from tao_skill_bank.tasks.changenet.task import TASK

SCRIPT = Path(__file__).parents[3] / "skills/tao-run-deft-aoi/scripts/init_deft_state.py"
EVERY: dict[str, Any] = {
    "workspace": "/w",
    "task": "changenet",
    "kpi_target": "FAR < 1% at recall=99%",
    "max_iterations": 2,
    "time_limit": "6h",
    "platform": "docker",
    "offline": True,
    "settings": ("num_epochs=3", "mining.encoder='a b'"),
    "results_dir": "/w/results/r",
}


def test_every_command_of_a_run_has_every_field_with_its_help() -> None:
    assert [option.name for option in options(Request)] == [given.name for given in fields(Request)]
    for name in ("plan", "run", "step"):
        known = {p.name: p for p in cli.commands[name].params if isinstance(p, click.Option)}
        for option in options(Request):
            assert option.flag in known[str(option.name)].opts
            assert known[str(option.name)].help == option.said.text


def test_the_tools_have_every_field(server: BankServer) -> None:
    for tool in (deft.plan_of, deft.plan_deft_run, deft.start_deft_run):
        assert {option.name for option in options(Request)} <= set(inspect.signature(tool).parameters)


def test_the_script_of_the_skill_has_every_field() -> None:
    said = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, check=True).stdout
    assert all(option.flag in said for option in options(Request))


def test_the_command_that_a_person_is_shown_asks_for_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    paths = {option.name for option in options(Request) if option.kind == "path"}
    asked = Request(**{key: Path(value) if key in paths else value for key, value in EVERY.items()})

    class Plan:
        digest = "d" * 64
        words = ()

    words = shlex.split(deft.approve_command(asked, Plan()))  # type: ignore[arg-type]
    given = cli.commands["run"].make_context("run", words[words.index("run") + 1 :]).params
    assert {name: given[name] for name in EVERY} == {key: getattr(asked, key) for key in EVERY}
    assert given["approve"] == Plan.digest


@pytest.fixture
def server() -> BankServer:
    return served(Path("/"))


def test_a_start_resolves_and_checks_its_plan_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import tiny

    workspace = tiny.make_workspace(tmp_path / "w", pairs=0)
    counted = {"checked": 0, "resolved": 0}
    real, resolve = TASK.pre_flight, runs.opening.resolve

    def pre_flight(self: Any, plan: Any) -> Any:
        counted["checked"] += 1
        return real(plan)

    def resolved(*args: Any) -> Any:
        counted["resolved"] += 1
        return resolve(*args)

    monkeypatch.setattr(type(TASK), "pre_flight", pre_flight)
    monkeypatch.setattr(runs.opening, "resolve", resolved)
    asked = {"workspace": str(workspace), "kpi_target": EVERY["kpi_target"], "max_iterations": 1}
    asked["settings"] = ["routing.accept_dropped=[bridge,missing,pass]", "offline=false"]
    planned = call(served(tmp_path), "plan_deft_run", asked)
    assert not planned.error, planned.text
    assert counted == {"checked": 1, "resolved": 1}
    request = Request(**{**asked, "workspace": workspace, "settings": tuple(asked["settings"])})
    checked, _ = runs.plan_within(request, lambda files: None)
    runs.open_run(request, approve=checked.digest, how="elicitation", checked=checked)
    assert counted == {"checked": 2, "resolved": 3}, "what is shown is resolved again before it starts, and not checked"


def test_offline_is_the_same_as_a_field_and_as_a_setting(tmp_path: Path) -> None:
    import tiny

    workspace = tiny.make_workspace(tmp_path / "w", pairs=0)
    dropped = "routing.accept_dropped=[bridge,missing,pass]"
    field, setting = (
        runs.plan_run(tiny.request(workspace, iterations=1, settings=more, offline=flag))
        for more, flag in (((dropped,), True), ((dropped, "offline=true"), False))
    )
    assert field.digest == setting.digest
    assert field.config["offline"] is True


def test_a_new_field_of_a_request_is_an_option_an_argument_and_a_line_of_help_at_once() -> None:
    @dataclass(frozen=True)
    class OfARun(Request):
        colour: Annotated[str | None, Said("Of the paint.")] = None

    @dataclass(frozen=True)
    class OfAnAnnotation(Annotation):
        colour: Annotated[str | None, Said("Of the paint.")] = None

    def tool(**asked: Any) -> None: ...

    for model in (OfARun, OfAnAnnotation):
        command = request_options(model)(click.command("paint")(lambda **given: click.echo(given["colour"])))
        assert CliRunner().invoke(command, ["--colour", "red"]).output == "red\n"
        assert re.search(r"--colour TEXT +Of the paint\.", CliRunner().invoke(command, ["--help"]).output)
        argument = inspect.signature(with_request(model)(partial(tool))).parameters["colour"]
        assert argument.annotation.__metadata__[0].description == "Of the paint."
        assert command_words(model(colour="red")) == ["--colour", "red"]
    parser = argparse.ArgumentParser()
    add_request(parser, OfARun)
    assert parser.parse_args(["--colour", "red"]).colour == "red"
    assert "Of the paint." in parser.format_help()


def test_every_command_and_tool_of_an_annotation_has_every_field_of_its_request() -> None:
    for name, model in (("estimate", Estimating), ("run", Annotation)):
        known = {p.name: p for p in annotate_cli.commands[name].params}
        assert [option.name for option in options(model) if option.name not in known] == []
        told = {p.name: p.help for p in known.values() if isinstance(p, click.Option)}
        assert all(told[option.name] == option.said.text for option in options(model) if option.flag)
    tools = ((annotate.estimate_annotation, Estimating), (annotate.start_annotation, Annotation))
    for tool, model in tools:
        offered = {option.name for option in options(model) if option.said.tool is not False}
        assert offered == set(inspect.signature(tool).parameters) - {"allowed", "plan", "answer"}
    python = {"overrides" if name == "settings" else name for name in inspect.signature(tao.annotate).parameters}
    assert python - {"approve", "progress"} == {option.name for option in options(Annotation)}


def test_the_command_for_an_annotation_that_a_person_is_shown_asks_for_the_same(tmp_path: Path) -> None:
    asked = Annotation(
        spec=tmp_path / "a b.yaml",
        results_dir=tmp_path / "it's",
        video_root=tmp_path,
        prices=tmp_path / "p.yaml",
        price={"m=x": (0.1, 2)},
        shard="2/8",
        batch=True,
        overrides=("a.b=[1,2]", "c='d e'"),
        max_calls=3,
        max_cost=0.25,
    )
    context = annotate_cli.commands["run"].make_context("run", command_words(asked))
    given = {name: value for name, value in context.params.items() if hasattr(asked, name)}
    assert Annotation(**given) == asked


CONFIGURATIONS = {
    ("gap_analysis", "vcn_aoi"): (VcnAoiConfig, gaps.analyze_vcn_gaps),
    ("gap_analysis", "vlm_bcq"): (VlmBcqConfig, None),
    ("gap_analysis", "vlm_compare"): (VlmCompareConfig, None),
    ("embedding", "image_embeddings"): (ImageEmbeddingsConfig, jobs.embed_images),
    ("tmm", "nearest_neighbors"): (NearestNeighborsConfig, jobs.mine_neighbors),
}


@pytest.mark.parametrize("words", CONFIGURATIONS)
def test_the_help_of_an_action_and_its_tool_have_every_field_of_its_configuration(words: tuple[str, str]) -> None:
    model, tool = CONFIGURATIONS[words]
    actions = {"gap_analysis": gap_cli.ACTIONS, "embedding": embedding_cli.ACTIONS, "tmm": tmm_cli.ACTIONS}
    assert keys_text(model) in actions[words[0]][words[1]].usage
    if tool is not None:
        offered = {option.name for option in options(model) if option.said.tool is not False}
        assert offered <= set(inspect.signature(tool).parameters)


def test_a_new_field_of_an_action_is_a_key_a_line_of_help_an_option_and_an_argument_at_once() -> None:
    @dataclass(frozen=True, kw_only=True)
    class OfAnAction(VcnAoiConfig):
        colour: Annotated[str, Said("Of the paint.")] = "red"

    def tool(**asked: Any) -> None: ...

    assert re.search(r"\n  colour +Of the paint \[red\]", keys_text(OfAnAction))
    paths = dict.fromkeys(("inference_results_dir", "train_config", "results_dir"), "x")
    line = parse_command_line([*(f"{k}={v}" for k, v in paths.items()), "colour=blue"], schema_of(OfAnAction))
    assert validated(OfAnAction, line.config).colour == "blue"
    with pytest.raises(InputError, match="color"):
        validated(OfAnAction, {**paths, "color": "blue"})
    command = request_options(OfAnAction, without=paths)(
        click.command("paint")(lambda **given: click.echo(given["colour"]))
    )
    assert CliRunner().invoke(command, ["--colour", "blue"]).output == "blue\n"
    argument = inspect.signature(with_request(OfAnAction)(partial(tool))).parameters["colour"]
    assert (argument.annotation.__metadata__[0].description, argument.default) == ("Of the paint.", "red")


DOORS: dict[type, tuple[Any, Any]] = {
    TrainingCheck: (data.check_training_csv, None),
    KpiAsked: (data.analyze_kpi, None),
    SpecAsked: (data.check_spec, spec_cli.commands["check"]),
    RouteAsked: (data.route_samples, gaps_cli.commands["route"]),
    ActionAsked: (jobs.start_action, jobs_cli.commands["start"]),
    MineAsked: (None, gaps_cli.commands["mine"]),
}


@pytest.mark.parametrize("model", DOORS)
def test_what_is_asked_of_data_specs_actions_and_mining_is_one_model_of_which_command_and_tool_are_made(
    model: type,
) -> None:
    tool, command = DOORS[model]
    if tool is not None:
        offered = {option.name for option in options(model) if option.said.tool is not False}
        assert offered <= set(inspect.signature(tool).parameters)
    if command is not None:
        known = {p.name: p for p in command.params}
        assert [option.name for option in options(model) if option.name not in known] == []
        assert all(known[o.name].help == o.said.text and o.flag in known[o.name].opts for o in options(model) if o.flag)


def test_python_mines_with_the_fields_and_defaults_of_the_command() -> None:
    python = {name: p.default for name, p in inspect.signature(tao.mine).parameters.items() if p.default is not p.empty}
    assert python == {option.name: option.default for option in options(MineAsked)}


def test_what_a_tool_is_not_given_is_the_field_s_default_and_a_choice_is_a_choice(tmp_path: Path) -> None:
    @dataclass(frozen=True, kw_only=True)
    class Wish:
        colours: Annotated[tuple[str, ...], Said("Of the paint.")] = ()
        sheen: Annotated[Literal["dull", "bright"], Said("Of the paint.")] = "dull"

    allowed = Roots(folders=[tmp_path])
    assert within(Wish, {"colours": None, "sheen": "bright"}, allowed) == {"colours": (), "sheen": "bright"}
    command = request_options(Wish)(click.command("paint")(lambda **given: click.echo(given["sheen"])))
    assert CliRunner().invoke(command, []).output == "dull\n"
    assert "'matt' is not one of" in CliRunner().invoke(command, ["--sheen", "matt"]).output
