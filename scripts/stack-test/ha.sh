# Sourced by scripts/stack-test.sh: compose.ha.yaml, and the plug of its primary.
# shellcheck shell=bash

# Over the stack that runs: its Redis becomes the first primary, and keeps its data.
part_ha() {
  local former before round
  stop_load
  form+=(--file compose.ha.yaml)
  up
  [ "$(containers processor | wc -l)" = 2 ] || fail 'there are not two instances'
  eventually 'the sentinels know the whole set' 60 sentinels_agree
  start_load
  eventually 'records are stored' 60 stores_more_than 0
  for round in kill pause; do
    former=$redis_service
    dc "$round" "$former" > /dev/null 2>&1
    eventually 'another server is the primary' 90 primary_is_not "$former"
    redis_service=$(primary)
    before=$(stored)
    eventually 'records are stored again' 90 stores_more_than "$before"
    if [ "$round" = kill ]; then dc start "$former" > /dev/null 2>&1; else dc unpause "$former" > /dev/null 2>&1; fi
    eventually 'the former primary copies from the new one' 90 has_replicas 2
    say "$round of $former: $redis_service is the primary, stored $(stored)"
  done
  nothing_lost 'after two failovers'
}

# The service's name is the host that the sentinels announce.
primary() {
  # shellcheck disable=SC2016 # expanded in the container
  dc exec -T sentinel-1 sh -c 'REDISCLI_AUTH=$(cat /run/secrets/redis_sentinel_password) redis-cli -p 26379 sentinel get-master-addr-by-name telemetry' |
    head -n 1
}
primary_is_not() { [ "$(primary)" != "$1" ] && [ -n "$(primary)" ]; }
has_replicas() { [ "$(redis INFO replication | grep -c 'state=online')" -ge "$1" ]; }
sentinels_agree() {
  # shellcheck disable=SC2016 # expanded in the container
  dc exec -T sentinel-2 sh -c 'REDISCLI_AUTH=$(cat /run/secrets/redis_sentinel_password) redis-cli -p 26379 info sentinel' |
    grep -q 'status=ok.*slaves=2,sentinels=3'
}
