"""Prompts: what a person picks from a menu to begin."""

from __future__ import annotations

from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp_types import Completion, CompletionArgument, CompletionContext, PromptReference, ResourceTemplateReference

TARGETS = ("FAR < 0.1% at recall=100%", "FAR < 0.5% at recall=100%", "FAR < 1% at recall=99%", "FAR < 5% at recall=99%")
MOST_COMPLETIONS = 20


def run_deft_loop(workspace: str, kpi_target: str = "FAR < 0.5% at recall=100%", max_iterations: str = "3") -> str:
    """Improve an AOI inspection model until its false-accept rate meets a target."""
    return (
        f"Run the DEFT loop on the workspace {workspace} until {kpi_target}, at most {max_iterations} iterations. "
        "Follow the skill tao-run-deft-aoi: plan, show me the plan, start it when I approve, follow it to its end, and "
        "report what the target limits with its interval."
    )


def analyze_gaps(experiment: str) -> str:
    """Find where a model fails and why."""
    return (
        f"Analyse the gaps of the experiment in {experiment}. For a ChangeNet inference follow the skill "
        "tao-analyze-gaps-visual-changenet, for yes/no predictions tao-analyze-gaps-vlm-bcq. Tell me the weakest "
        "labels and the next step."
    )


def annotate_videos(video_root: str, domain: str = "general") -> str:
    """Turn videos into training data with captions, questions and reasoning."""
    return (
        f"Annotate the videos in {video_root} (domain: {domain}). Follow the skill "
        "tao-generate-video-reasoning-annotations: ask what has no default, show me the estimate, start when I approve "
        "with a limit, follow the run to its end, and report items, refusals and cost."
    )


async def complete(
    ref: PromptReference | ResourceTemplateReference, argument: CompletionArgument, _context: CompletionContext | None
) -> Completion:
    """Values for the arguments of prompts and resource templates."""
    known: list[str] = []
    if isinstance(ref, ResourceTemplateReference) and argument.name == "name":
        from tao_skill_bank.bank.home import bank_root
        from tao_skill_bank.bank.skills import skill_folders

        guides = sorted(path.stem for path in (bank_root() / "docs" / "guides").glob("*.md"))
        known = guides if ref.uri.startswith("guide:") else [folder.name for folder in skill_folders()]
    elif isinstance(ref, PromptReference) and argument.name == "kpi_target":
        known = list(TARGETS)
    elif isinstance(ref, PromptReference) and argument.name == "max_iterations":
        known = ["1", "2", "3", "5"]
    found = [value for value in known if value.startswith(argument.value)]
    return Completion(values=found[:MOST_COMPLETIONS], total=len(found), has_more=len(found) > MOST_COMPLETIONS)


def register(server: MCPServer[Any]) -> None:
    """Add the prompts and the completion of arguments."""
    server.prompt()(run_deft_loop)
    server.prompt()(analyze_gaps)
    server.prompt()(annotate_videos)
    server.completion()(complete)  # type: ignore[no-untyped-call]
