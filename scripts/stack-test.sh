#!/usr/bin/env bash
# Runs the shipped stack in a Docker engine and breaks it under load: every record that a simulated
# fleet sent must be in the table or a dead letter, once, and nothing may be reported lost.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

usage() {
  cat << 'TEXT'
scripts/stack-test.sh [options]

  --parts LIST         comma-separated, in the order to run; default: all of them
                       up        the stack starts; health, doctor, limits, secrets
                       scale     three instances, each found by Prometheus
                       kills     every instance is killed under load
                       redis     Redis is restarted and killed under load
                       postgres  PostgreSQL is restarted and killed under load
                       down      down and up again, with the same volumes
                       ledger    the load is stopped and every record is looked up
                       deploy    the form for a server; an upgrade by tag under load
                       ha        not by default, before ledger: replicas and sentinels; the
                                 primary is killed and paused under load
  --redis-restarts N   half of them kills; default 4
  --postgres-restarts N  likewise; default 2
  --rate N             records a second of the load; default 500
  --stand-ins          build the base images from Debian packages (scripts/stand-ins/build)
  --logs DIR           where the logs of a failed run go; default: a temporary folder
  --keep               leave the stack running at the end

Exit codes: 0 all parts passed, 1 one failed, 2 wrong usage.
TEXT
}

parts=up,scale,kills,redis,postgres,down,ledger,deploy
redis_restarts=4 postgres_restarts=2 rate=500 stand_ins=no keep=no logs=
while [ $# -gt 0 ]; do
  case $1 in
    --parts | --redis-restarts | --postgres-restarts | --rate | --logs)
      [ $# -ge 2 ] || { usage >&2; exit 2; }
      case $1 in
        --parts) parts=$2 ;;
        --redis-restarts) redis_restarts=$2 ;;
        --postgres-restarts) postgres_restarts=$2 ;;
        --rate) rate=$2 ;;
        --logs) logs=$2 ;;
      esac
      shift 2 ;;
    --stand-ins) stand_ins=yes; shift ;;
    --keep) keep=yes; shift ;;
    --help) usage; exit 0 ;;
    *) usage >&2; exit 2 ;;
  esac
done

. scripts/stack-test/stack.sh
. scripts/stack-test/parts.sh
. scripts/stack-test/deploy.sh
. scripts/stack-test/ha.sh

for part in ${parts//,/ }; do
  declare -F "part_$part" > /dev/null || { usage >&2; exit 2; }
done
if [ "$stand_ins" = yes ]; then
  scripts/stand-ins/build > "$work/stand-ins.log" 2>&1 ||
    fail "$(tail -n 20 "$work/stand-ins.log")"
fi
say "building the image"
dc build --quiet processor
for part in ${parts//,/ }; do
  say "== $part"
  "part_$part"
done
say "all parts passed: $parts"
