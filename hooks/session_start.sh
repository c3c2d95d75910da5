#!/bin/sh
# Session start: say in a few lines what the bank has here. Shell built-ins only, so that it costs a few milliseconds;
# it reads, prints and ends well whatever it finds. The root comes from this file's own path.
LC_ALL=C
here=${0%/*}
[ "$here" != "$0" ] || here=.
root=$(CDPATH= cd -- "$here/.." 2>/dev/null && pwd -P) || exit 0

# For commands of this session. A quote in the path would end the quoting: write it as '\''.
if [ -n "${CLAUDE_ENV_FILE:-}" ]; then
  rest=$root quoted=
  while :; do
    case $rest in
      *\'*) quoted="$quoted${rest%%\'*}'\\''" rest=${rest#*\'} ;;
      *) quoted=$quoted$rest && break ;;
    esac
  done
  { printf "export TAO_SKILL_BANK_PATH='%s'\n" "$quoted" >>"$CLAUDE_ENV_FILE"; } 2>/dev/null
fi

version=
if [ -r "$root/plugin.json" ]; then
  while IFS= read -r line; do
    case $line in *'"version"'*) line=${line#*: \"} && version=${line%%\"*} && break ;; esac
  done <"$root/plugin.json"
fi

# versions.yaml: `images:` holds groups of `name: reference`; `digests:` may pin a reference.
images= named= section= group= count=0 pins='
'
if [ -f "$root/versions.yaml" ] && [ -r "$root/versions.yaml" ]; then
  while IFS= read -r line || [ -n "$line" ]; do
    case $line in
      '' | '#'*) continue ;;
      '    '*)
        [ "$section" = images ] || continue
        entry=${line#    }
        key=${entry%%:*} value=${entry#*: }
        case $value in *' #'*) value=${value%% #*} ;; esac
        case $group$key$value in '' | *[!A-Za-z0-9._/:@+-]*) continue ;; esac
        count=$((count + 1))
        if [ $count -le 8 ]; then images="$images$value
"; fi
        ;;
      '  '*)
        entry=${line#  }
        case $section in
          images) group=${entry%%:*} ;;
          digests) pins="$pins${entry%: *} ${entry##*: }
" ;;
        esac
        ;;
      *:*) section=${line%%:*} ;;
    esac
  done <"$root/versions.yaml" 2>/dev/null
  # As references; what has the same name as the one before it shows its tag alone.
  last=
  while read -r reference; do
    [ -n "$reference" ] || continue
    pin=${pins#*"
$reference "}
    if [ "$pin" = "$pins" ]; then pin=; else pin=@${pin%%"
"*}; fi
    name=${reference%:*}
    if [ "$name" = "$last" ]; then named="$named, ${reference##*:}$pin"; else named="$named${named:+, }$reference$pin"; fi
    last=$name
  done <<IMAGES
$images
IMAGES
  if [ $count -gt 8 ]; then named="$named and $((count - 8)) more"; fi
fi

set_names= unset_names=
for name in NGC_KEY HF_TOKEN GOOGLE_API_KEY OPENAI_API_KEY; do
  eval "given=\${$name:+yes}"
  if [ -n "$given" ]; then set_names="$set_names $name"; else unset_names="$unset_names $name"; fi
done

if command -v docker >/dev/null 2>&1; then docker=found; else docker='not found'; fi
gpu='not found'
for device in /dev/nvidia0 /dev/nvidia1 /dev/dxg; do
  [ ! -e "$device" ] || gpu=found
done

# The launcher leaves a word about the environment it starts the server with.
cache=${TAO_SKILL_BANK_CACHE:-${XDG_CACHE_HOME:-${HOME:-}/.cache}/tao-skill-bank}
state=
if [ -r "$cache/status-$version" ]; then IFS= read -r state <"$cache/status-$version" 2>/dev/null; fi
if [ -z "$state" ] && [ -x "$root/.venv/bin/python" ]; then state=ready; fi
case $state in
  ready) server='ready (server "tao")' ;;
  failed:*) server="not there. $state" ;;
  *) server='being prepared for its first start (a minute or two); its tool get_set_up_status says how far it is' ;;
esac

text="TAO Skill Bank $version: $root (TAO_SKILL_BANK_PATH)
Images of versions.yaml (not looked for here): ${named:-it could not be read}
Set in the environment:${set_names:- none}; not set:${unset_names:- none}
docker command: $docker; GPU: $gpu (the local platform needs neither)
MCP tools: $server
To begin: \"run the DEFT loop on WORKSPACE until FAR < 0.5% at recall=100%\" or \"analyze the gaps of EXPERIMENT\"."
# A client cuts long output: stay far below its limit whatever the paths are.
if [ ${#text} -gt 1400 ]; then text=$(printf '%.1400s' "$text"); fi
printf '%s\n' "$text"
exit 0
