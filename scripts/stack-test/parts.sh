# Sourced by scripts/stack-test.sh: its parts.
# shellcheck shell=bash

part_up() {
  up
  say "health: $(dc ps --format '{{.Service}} {{.Status}}' | tr '\n' ',')"
  local one secrets
  one=$(containers processor)
  secrets=$(docker exec "$one" ls /run/secrets) || fail "the service's secrets cannot be listed"
  case $secrets in *migrator*) fail "the service holds the migrator's password" ;; esac
  [ "$(docker inspect --format '{{.HostConfig.Memory}}' "$one")" = "$(docker inspect --format '{{.HostConfig.MemorySwap}}' "$one")" ] ||
    fail 'the service may swap'
  dc exec -T processor node dist/processor.js doctor --json > "$work/doctor.json" || fail "doctor: $(cat "$work/doctor.json")"
  if grep -E '"state":"(unknown|failure)"' "$work/doctor.json"; then fail "doctor sees less than it should"; fi
  check_health_cost "$one"
}

# CPU time of the health check's own processes, as the kernel has it.
check_health_cost() {
  local cost
  # shellcheck disable=SC2016 # expanded in the container
  cost=$(docker exec "$1" bash -c 'for _ in 1 2 3 4 5 6 7 8 9 10; do bash /app/healthcheck || exit 1; done; times' | tail -n 1) ||
    fail 'the health check fails'
  say "ten health checks: user and system time $cost"
}

part_scale() {
  up --scale processor=3
  [ "$(containers processor | wc -l)" = 3 ] || fail 'there are not three instances'
  eventually 'Prometheus finds three instances' 60 prometheus_finds 3
  eventually 'the group has three consumers' 30 has_consumers 3
  say "metrics: $(for index in 1 2 3; do dc port --index "$index" processor 9464; done | tr '\n' ' ')"
}

prometheus_finds() {
  dc exec -T prometheus wget -q -O - 'http://127.0.0.1:9090/api/v1/query?query=sum(up%7Bjob=%22processor%22%7D)' |
    grep -q "\"$1\"\]"
}
has_consumers() { [ "$(redis XINFO CONSUMERS "$stream" processor | grep -c -x name)" -ge "$1" ]; }

part_kills() {
  local one before
  start_load
  eventually 'records are stored' 60 stores_more_than 0
  nothing_lost 'before the kills'
  for one in $(containers processor); do
    kill_hard "$one"
    say "killed $one"
    eventually "$one is healthy again" 120 is_healthy "$one"
    before=$(stored)
    eventually 'records are stored again' 120 stores_more_than "$before"
  done
}

part_redis() { restarts redis "$redis_restarts"; }
part_postgres() { restarts timescaledb "$postgres_restarts"; }

# Every second one is a kill. The dead letters of before are there afterwards, with their contents.
restarts() {
  local service=$1 count=$2 number before last digest after one
  start_load
  eventually 'records are stored' 60 stores_more_than 0
  nothing_lost "before the restarts of $service"
  for number in $(seq "$count"); do
    sleep 3
    last=$(last_letter)
    digest=$(letters_digest "${last:-+}")
    one=$(containers "$service")
    if [ $((number % 2)) = 1 ]; then
      dc restart "$service" > /dev/null 2>&1
    else
      kill_hard "$one"
    fi
    eventually "$service is healthy" 180 is_healthy "$one"
    after=$(letters_digest "${last:-+}") || fail "$service $number: $after"
    [ "$after" = "$digest" ] ||
      fail "$service $number: the dead letters up to ${last:-none} are not those of before"
    before=$(stored)
    eventually 'records are stored again' 180 stores_more_than "$before"
    nothing_lost "$service $number"
    say "$service $number of $count: dead letters $(redis XLEN "$stream:dlq"), stored $(stored), lost 0"
  done
}

part_down() {
  local instances letters digest entries
  instances=$(containers processor | wc -l)
  stop_load
  letters=$(redis XLEN "$stream:dlq")
  digest=$(letters_digest +)
  entries=$(redis XLEN "$stream")
  dc down > /dev/null 2>&1
  up --scale "processor=$instances"
  [ "$(redis XLEN "$stream:dlq") $(letters_digest +) $(redis XLEN "$stream")" = "$letters $digest $entries" ] ||
    fail 'the streams are not those of before'
  start_load
  eventually 'records are stored' 60 stores_more_than 1000
  nothing_lost 'after down and up'
  say "down and up: $entries entries, $letters dead letters, as before"
}

part_ledger() {
  stop_load
  check_ledger
}

check_ledger() {
  operator check-ledger $(cd "$work/ledgers" && printf '/ledgers/%s ' *.ndjson) > "$work/check.log" 2>&1 ||
    fail "check-ledger: $(tail -n 25 "$work/check.log")"
  say "ledger: $(cat "$work/check.log")"
  operator verify --from 12h > "$work/verify.log" 2>&1 || fail "verify: $(tail -n 25 "$work/verify.log")"
  say "verify: $(tr -s '\n ' ' ' < "$work/verify.log")"
}

operator() { dc run --rm -T --volume "$work/ledgers:/ledgers:ro" cli "$@"; }
