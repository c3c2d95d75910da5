"""The MCP door: parse, call one public function of the engine, hand back a small typed result. No logic.

What stands here is said to a client before the rest can be imported: the standard library alone, and no new syntax.
"""

INSTRUCTIONS = (
    "Improves NVIDIA TAO vision models. The DEFT loop: plan_deft_run, show the person the plan, start_deft_run, "
    "get_deft_status until it has ended. Paths are absolute. Long work goes on when this server ends. Thresholds, "
    "GPUs, no internet, labels, settings of platforms: skill://tao-run-deft-aoi/references/nearby-questions.md."
)
FOLDER_OF_SESSION = "codex/sandbox-state-meta"
"""Codex has no roots; to a server that declares this it says with every call which folder its session works in."""
