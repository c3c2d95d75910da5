"""Turn an agent's own use of what stands for a person's word into a question to the person.

Read from stdin: a client's call of a tool, before it is made. Printed: the decision `ask` with its reason, or nothing.
Looked for are the flags that approve a plan, the commands that widen what tools may touch or spend, and the files and
functions by which an approval could be forged, in shell commands and in programs that are written. Text that hides what
it does (a variable for a flag, `eval`, a decoder) is asked about where it starts something of the bank. This stops what
an agent does by itself in plain sight; it is no wall against one that means to deceive (SECURITY.md).
"""

import json
import re
import sys

MOST = 500
# The bank's commands, by whatever name: the console, the module, the launcher.
BANK = re.compile(r"tao-skills|tao_skill_bank|launch\.py\W+run")
FLAG = re.compile(r"(?<![\w-])--(?:yes|approve)(?![\w-])")
STARTS = re.compile(r"\b(?:deft\W+(?:run|step)|jobs\W+start|annotate\W+(?:run|allow)|roots\W+add)\b")
HIDDEN = re.compile(r"\$|`|\beval\b|\bxargs\b|base64|\bxxd\b|\bprintf\b|\\x[0-9a-f]{2}")
OWN = {
    re.compile(r"\broots\W+add\b"): "adds a folder that tools may read and write in",
    re.compile(r"\bannotate\W+allow\b"): "allows a prompts module, which is a program, to run",
    re.compile(r"\bannotate\W+run\b"): "starts calls to a model that somebody pays for",
}
# What forges an approval or a setting that is a person's, whatever program does it; and by the bank's own functions.
FORGES = {
    re.compile(r"approval\.key"): "touches the key that seals your approvals",
    re.compile(r"\.config/tao-skills|tao-skills/(?:roots|allowed-prompts)"): "touches your own settings",
    re.compile(r"TAO_ALLOWED_PROMPTS|TAO_SKILL_BANK_ROOTS"): "sets a variable that stands for your word",
    re.compile(r"[\"']Elicitation(?:Result)?[\"']"): "sets up something that answers questions in your place",
}
CALLS = re.compile(r"\b(?:open_run|start_action|add_root|sealed|allow\.allow|run_here|start_detached)\s*\(")
PROSE = (".md", ".rst", ".txt")


def main():
    """Read the call, print a question if it is one."""
    try:
        call = json.load(sys.stdin)
        why = reason(str(call.get("tool_name", "")), call.get("tool_input"))
    except (ValueError, AttributeError, RecursionError):
        return
    if why is None:
        return
    text = (
        f"TAO Skill Bank: this call {why}. That is your decision, not the agent's: allow it only if you have read what "
        "would be approved."
    )
    decision = {"hookEventName": "PreToolUse", "permissionDecision": "ask", "permissionDecisionReason": text[:MOST]}
    print(json.dumps({"hookSpecificOutput": decision}))


def reason(tool, given):
    """Why a person is asked, or None. The bank's own tools ask by themselves."""
    if not isinstance(given, dict) or re.match(r"mcp__(?:plugin_)?tao", tool):
        return None
    path = str(given.get("file_path") or given.get("notebook_path") or "")
    if path.lower().endswith(PROSE):
        return forged(path)
    written = tool in ("Write", "Edit", "MultiEdit", "NotebookEdit")
    return about("\n".join(texts(given)), written=written)


def about(text, *, written):
    """What a command or a program would do in a person's place, or None."""
    plain = unquoted(text)
    for seen in (text, plain):
        why = forged(seen)
        if why is not None:
            return why
    if not BANK.search(plain):
        return None
    if FLAG.search(plain):
        return "approves a plan in your place (--approve, --yes)"
    if CALLS.search(plain):
        return "calls a function that approves or pays in your place"
    for pattern, why in OWN.items():
        if pattern.search(plain):
            return why
    if not written and STARTS.search(plain) and HIDDEN.search(text):
        return "starts something of the bank by a command that does not show all it says"
    return None


def forged(text):
    """What of a person's own it touches or calls, or None."""
    for pattern, why in FORGES.items():
        if pattern.search(text):
            return why
    return None


def unquoted(text):
    """The text as a shell or an argument list would join it: without quotes, backslashes and commas between words."""
    joined = re.sub(r"[\"']\s*,\s*[\"']", " ", text)
    return re.sub(r"\\\n|[\"'\\]|\$\(\)|\$@|\$\{\}", "", joined)


def texts(value):
    """Every text in a tool's input."""
    rest = [value]
    while rest:
        item = rest.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, dict):
            rest += item.values()
        elif isinstance(item, list):
            rest += item


if __name__ == "__main__":
    main()
