# Sourced by scripts/stack-test.sh: the stack, what can be asked of it, and the load.
# shellcheck shell=bash

project=processor-stack-test
stream=telemetry:teltonika
work=$(mktemp --directory)
chmod 711 "$work"
mkdir --mode=1777 "$work/ledgers"
export SECRETS_DIR=$work/secrets
deploy/make-secrets "$SECRETS_DIR" > "$work/make-secrets.log"

say() { printf '%s %s\n' "$(date -u +%H:%M:%S)" "$*"; }
fail() { say "FAILED: $*"; exit 1; }

form=(--project-name "$project" --file compose.yaml)
monitoring=(prometheus grafana)
if [ "$stand_ins" = yes ]; then
  # Nothing stands in for Grafana, and nothing for TimescaleDB without its files.
  monitoring=(prometheus)
  if [ -z "${STAND_IN_POSTGRES:-}" ]; then
    printf 'services:\n' > "$work/override.yaml"
    printf '  %s: { environment: { TIMESCALEDB: optional } }\n' migrate processor cli >> "$work/override.yaml"
    form+=(--file "$work/override.yaml")
  fi
fi
dc() { docker compose "${form[@]}" "$@" < /dev/null; }
up() { dc up --detach --quiet-pull --wait --wait-timeout 300 "$@" redis timescaledb migrate processor "${monitoring[@]}" > "$work/up.log" 2>&1 || fail "up: $(tail -n 20 "$work/up.log")"; }

finish() {
  local code=$?
  trap - EXIT
  set +e
  if [ "$code" != 0 ]; then
    logs=${logs:-$(mktemp --directory)}
    mkdir -p "$logs"
    dc logs --no-color --timestamps > "$logs/stack.log" 2>&1
    dc ps --all > "$logs/ps.log" 2>&1
    say "logs: $logs"
  fi
  if [ "$keep" = no ]; then
    docker ps --all --quiet --filter "name=^$project" | xargs -r docker rm --force --volumes > /dev/null
    docker compose --project-name "$project" --file compose.yaml down --volumes --remove-orphans > /dev/null 2>&1
    deploy_down
    rm -rf "$work"
  else
    say "kept: SECRETS_DIR=$SECRETS_DIR docker compose ${form[*]}"
  fi
  exit "$code"
}
trap finish EXIT

containers() { dc ps --quiet "$1"; }

# Polls every second until the command prints "yes" or succeeds.
eventually() {
  local what=$1 seconds=$2 end
  shift 2
  end=$((SECONDS + seconds))
  until "$@"; do
    [ "$SECONDS" -lt "$end" ] || fail "$what: not within $seconds s"
    sleep 1
  done
}

is_healthy() { [ "$(docker inspect --format '{{.State.Running}} {{.State.Health.Status}}' "$1" 2> /dev/null)" = 'true healthy' ]; }
all_healthy() {
  local one
  for one in $(containers "$1"); do is_healthy "$one" || return 1; done
}

# Another server after a failover.
redis_service=redis
redis() {
  # shellcheck disable=SC2016 # expanded in the container
  dc exec -T "$redis_service" sh -c 'REDISCLI_AUTH=$(cat /run/secrets/redis_operator_password) exec redis-cli --user processor-operator "$@"' sh "$@"
}

# The sum of a metric over all instances; fails while one of them does not answer.
metric() {
  local one page=
  for one in $(containers processor); do
    # shellcheck disable=SC2016 # expanded in the container
    page+=$(docker exec "$one" bash -c 'exec 3<> /dev/tcp/127.0.0.1/9464; printf "GET /metrics HTTP/1.0\r\n\r\n" >&3; cat <&3' 2> /dev/null)$'\n' || return 1
  done
  awk -v pattern="^$1" '$0 ~ pattern { sum += $NF } END { printf "%d\n", sum }' <<< "$page"
}
stored() { metric 'processor_records_total[{]outcome="inserted"' || echo 0; }
stores_more_than() { [ "$(stored)" -gt "$1" ]; }

nothing_lost() {
  local lost events
  lost=$(metric processor_stream_entries_lost_total)
  events=$(metric processor_stream_events_total)
  [ "$lost $events" = '0 0' ] || fail "$1: entries lost $lost, stream events $events, and none was"
}

# The newest dead letter, and a digest of all up to one: ids and contents.
last_letter() { redis XREVRANGE "$stream:dlq" + - COUNT 1 | head -n 1; }
letters_digest() {
  redis XRANGE "$stream:dlq" - "$1" > "$work/letters" || fail 'Redis does not answer'
  sha256sum < "$work/letters"
}

# Everything was delivered and acknowledged. `lag` is not asked: Redis forgets it at a restart.
is_settled() {
  local last delivered pending
  last=$(redis XINFO STREAM "$stream" | grep --text -A 1 -x last-generated-id | tail -n 1) || return 1
  delivered=$(redis XINFO GROUPS "$stream" | grep --text -A 1 -x last-delivered-id | tail -n 1) || return 1
  pending=$(redis XPENDING "$stream" processor | head -n 1) || return 1
  [ -n "$last" ] && [ "$last" = "$delivered" ] && [ "$pending" = 0 ]
}

loads=0 load=
start_load() {
  [ -z "$load" ] || return 0
  loads=$((loads + 1))
  load=$project-load-$loads
  dc --profile demo run --detach --no-deps --name "$load" --volume "$work/ledgers:/ledgers" \
    simulator simulate --devices=200 --rate="$rate" --duration=36000 --max-backlog=100000 --live --yes \
    --seed="$loads" --ledger="/ledgers/$loads.ndjson" > /dev/null 2>&1
}

stop_load() {
  [ -n "$load" ] || return 0
  docker stop --time 60 "$load" > /dev/null
  local code
  code=$(docker inspect --format '{{.State.ExitCode}}' "$load")
  say "the load: $(docker logs "$load" 2>&1 | tail -n 1)"
  [ "$code" = 0 ] || fail "simulate ended with $code"
  docker rm "$load" > /dev/null
  load=
  eventually 'everything is settled' 300 is_settled
}

# A process that dies is restarted by the policy. `docker kill` would count as a manual stop, so it
# needs a start; it is for an engine whose processes this machine does not see. The container counts
# as healthy until the engine has noticed, so its new start is waited for.
kill_hard() {
  local pid before
  before=$(started_at "$1")
  pid=$(docker inspect --format '{{.State.Pid}}' "$1")
  if ! grep -q "$1" "/proc/$pid/cgroup" 2> /dev/null || ! kill -KILL "$pid" 2> /dev/null; then
    docker kill "$1" > /dev/null
    docker start "$1" > /dev/null
  fi
  eventually "$1 starts again" 60 has_started_since "$1" "$before"
}
started_at() { docker inspect --format '{{.State.StartedAt}}' "$1"; }
has_started_since() { [ "$(started_at "$1")" != "$2" ]; }
