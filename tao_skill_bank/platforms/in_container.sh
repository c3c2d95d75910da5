#!/bin/sh
# Runs one job inside its container and writes how it ended. POSIX sh, `mv` and, where they are there, `date` and `sync`:
# the image may be anybody's.
#
#   in_container.sh JOB SECRETS COMMAND …
#
# JOB is the job record's path without `.json`; SECRETS is how many `NAME=value` lines arrive on standard input.
# Writes JOB.claim.json (made once: a job whose claim is there never runs again), JOB.log and JOB.exit.json.
job=$1
secrets=$2
shift 2
child=
stopped=

now() {
    date -u +%Y-%m-%dT%H:%M:%S.000000Z 2>/dev/null
}

durable() {
    sync "$1" 2>/dev/null || sync 2>/dev/null
}

# finish STATUS ERROR: the exit record, whole or not at all; without one the container's own status must not be 0.
finish() {
    durable "$job.log"
    printf '{"exit_code": %d, "started_at": "%s", "ended_at": "%s", "canceled": false, "error": %s}\n' \
        "$1" "$started" "$(now)" "$2" >"$job.exit.tmp" || exit 74
    durable "$job.exit.tmp"
    mv -f "$job.exit.tmp" "$job.exit.json" || exit 74
    durable "${job%/*}"
    exit "$1"
}

# The engine's stop signal goes to everything in the container but this shell.
pass_on() {
    stopped=1
    if [ $$ -eq 1 ]; then kill -TERM -1; elif [ -n "$child" ]; then kill -TERM "$child"; fi
} 2>/dev/null

trap pass_on TERM INT
started=$(now)
(
    set -C
    printf '{"pid": 1, "identity": "container", "claimed_at": "%s"}\n' "$started" >"$job.claim.json"
) 2>/dev/null || {
    echo "not run: $job.claim.json is there, or cannot be written"
    exit 125
}
echo "the output is in $job.log"
read_so_far=0
while [ "$read_so_far" -lt "$secrets" ]; do
    IFS= read -r line || finish 125 '"the credentials did not arrive: whoever submitted the job is gone"'
    export "$line"
    read_so_far=$((read_so_far + 1))
done
line=
: >>"$job.log" || finish 125 '"the log cannot be written"'
[ -z "$stopped" ] || finish 143 '"stopped before it began"'
"$@" </dev/null >>"$job.log" 2>&1 &
child=$!
[ -z "$stopped" ] || pass_on
wait "$child"
code=$?
# A signal ends the waiting, not the command.
while kill -0 "$child" 2>/dev/null; do
    wait "$child"
    code=$?
done
finish "$code" null
