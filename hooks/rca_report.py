"""Check and package the RCA report that was just written; what is wrong is handed to the agent as a remark."""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
LAUNCHER = os.path.join(ROOT, "scripts", "launch.py")
SKILL = os.path.join(ROOT, "skills", "tao-analyze-gaps-visual-changenet", "SKILL.md")
LIMIT_SEC = 25
MOST = 1500


def run(*arguments):
    """(exit status, output) of a `tao-skills rca …` command."""
    command = [sys.executable, LAUNCHER, "run", "tao_skill_bank.cli", "rca", *arguments]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LIMIT_SEC, check=False
        )
    except subprocess.TimeoutExpired:
        return 1, f"rca {arguments[0]} took longer than {LIMIT_SEC} s"
    return done.returncode, (done.stderr + done.stdout).strip()


def main():
    """Read the hook's input, run the two commands, print a remark if one of them has something to say."""
    try:
        event = json.load(sys.stdin)
        written = event["tool_input"]["file_path"]
    except (ValueError, KeyError, TypeError):
        return
    if not isinstance(written, str) or os.path.basename(written) != "RCA_Report.md":
        return
    here = event.get("cwd")
    folder = os.path.dirname(os.path.abspath(os.path.join(here if isinstance(here, str) else ".", written)))
    remarks = []
    status, said = run("check", folder)
    if status != 0:
        remarks.append("RCA_Report.md does not pass its check:\n" + said)
    transcript = event.get("transcript_path")
    given = ["--transcript", transcript] if isinstance(transcript, str) and os.path.isfile(transcript) else []
    if os.path.isfile(SKILL):
        given += ["--config", SKILL]
    status, said = run("package", folder, *given)
    if status != 0:
        remarks.append("The report could not be packaged:\n" + said)
    if remarks:
        text = "\n".join(remarks)[:MOST]
        print(json.dumps({"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": text}}))


if __name__ == "__main__":
    main()
