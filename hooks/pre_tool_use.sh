#!/bin/sh
# Before a tool is used: an agent's own use of what stands for a person's word becomes a question to the person.
# Almost every call names nothing of the bank's approvals and costs a few milliseconds. It never fails a session.
said=$(cat)
case $said in *[Tt][Aa][Oo]* | *approv* | *yes* | *launch.py*) ;; *) exit 0 ;; esac
here=${0%/*}
[ "$here" != "$0" ] || here=.
if command -v python3 >/dev/null 2>&1; then
  printf '%s' "$said" | python3 "$here/approvals.py" && exit 0
fi
# Without Python it is not known what the call does: ask where it may be an approval.
case $said in
  *--yes* | *--approve* | *approval.key* | *'roots add'* | *'annotate allow'* | *TAO_ALLOWED_PROMPTS*)
    printf '%s\n' '{"hookSpecificOutput":{"hookEventName":"PreToolUse","permissionDecision":"ask","permissionDecisionReason":"TAO Skill Bank: this call may approve something in your place. Allow it only if that is your own decision."}}' ;;
esac
exit 0
