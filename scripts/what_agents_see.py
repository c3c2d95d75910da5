"""Write `docs/what-agents-see.md`: the skills' descriptions and the tools that a client is offered, with sizes."""

from __future__ import annotations

import json
from pathlib import Path

import anyio

from mcp_server import INSTRUCTIONS
from mcp_server.server import EARLIER, TOOLSETS, build_server
from tao_skill_bank.bank.skills import load_skill, skill_folders

PLAYED = Path(__file__).resolve().parents[1] / "tests" / "agents" / "played.json"
PAGE = Path(__file__).resolve().parents[1] / "docs" / "what-agents-see.md"


def page() -> str:
    """The page; the same sources give the same text."""
    skills = sorted((load_skill(folder) for folder in skill_folders()), key=lambda skill: skill.name)
    tools = anyio.run(build_server().list_tools)
    shown = {t.name: t.model_dump(mode="json", by_alias=True, exclude_none=True) for t in tools}
    sizes = {name: len(json.dumps(tool, separators=(",", ":"))) for name, tool in shown.items()}
    lines = [
        "# What agents see",
        "",
        "Written by `python scripts/what_agents_see.py`; a test says that it is current.",
        "",
        "## Instructions of the server",
        "",
        INSTRUCTIONS,
        "",
        f"## Skills ({sum(len(s.description) for s in skills):,} characters of descriptions)",
        "",
        *(f"- **{skill.name}**: {skill.description}" for skill in skills),
        "",
        f"## Tools ({len(tools)}, {sum(sizes.values()):,} characters)",
        "",
        "| tool | characters | what it says of itself | arguments |",
        "|---|---:|---|---|",
    ]
    for tool in tools:
        given = ", ".join(f"`{name}`" for name in tool.input_schema.get("properties", {}))
        lines.append(f"| `{tool.name}` | {sizes[tool.name]} | {tool.description} | {given or '–'} |")
    apart = "; ".join(f"`{kind}`: {', '.join(f'`{n}`' for n in names)}" for kind, names in TOOLSETS.items())
    earlier = ", ".join(f"`{name}`" for name in EARLIER)
    lines += ["", f"Offered by `--toolsets` alone: {apart}. Answered by the names of earlier versions: {earlier}.", ""]
    lines += [
        "## Requests, played",
        "",
        "Each by one session of a real server over stdio, from these texts alone, to the answer that the person wanted",
        "(`tests/agents/test_requests.py`): calls and characters, sent and received, what was read included.",
        "`make requests` plays all of them and prints the figures. Those with a * follow a run or a job to its end, by",
        "as many calls as that takes on a machine.",
        "",
        "| request | calls | characters |",
        "|---|---:|---:|",
    ]
    played = json.loads(PLAYED.read_text(encoding="utf-8"))
    lines += [
        f"| {name.replace('_', ' ')}{' *' * took['whole_run']} | {took['calls']} | {took['characters']:,} |"
        for name, took in played.items()
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE)
