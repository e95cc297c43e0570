# Sourced by scripts/stack-test.sh: the form for a server, and an upgrade by tag.
# shellcheck shell=bash

deploy_project=processor-deploy-test
export PROCESSOR_IMAGE=processor-deploy-test STACK_NAME=$deploy_project SERVERS_NETWORK=$deploy_project-servers
export METRICS_BIND=127.0.0.1:9564-9573

deploy_form() { form=(--project-name "$deploy_project" --file deploy/compose.deploy.yaml); }
deploy_up() {
  COMPOSE_PROFILES=servers PROCESSOR_TAG=$1 dc up --detach --wait --wait-timeout 300 --scale processor=2 > "$work/up.log" 2>&1 ||
    fail "up of $1: $(tail -n 20 "$work/up.log")"
}
deploy_down() {
  deploy_form
  COMPOSE_PROFILES=servers PROCESSOR_TAG=1.0.0 dc down --volumes --remove-orphans > /dev/null 2>&1
}

# Two versions of the image: the second differs in its label and its revision alone.
deploy_images() {
  local version
  for version in 1.0.0 1.0.1; do
    docker build --quiet --build-arg "VERSION=$version" --build-arg "REVISION=$version" \
      --tag "$PROCESSOR_IMAGE:$version" . > /dev/null
  done
}

part_deploy() {
  local one before version
  stop_load
  dc down > /dev/null 2>&1
  rm -f "$work"/ledgers/*
  deploy_form
  if [ -f "$work/override.yaml" ]; then
    printf 'services:\n' > "$work/deploy-override.yaml"
    printf '  %s: { environment: { TIMESCALEDB: optional } }\n' migrate processor cli >> "$work/deploy-override.yaml"
    form+=(--file "$work/deploy-override.yaml")
  fi
  export COMPOSE_PROFILES=servers PROCESSOR_TAG=1.0.0
  deploy_images
  deploy_up 1.0.0
  deploy_load
  eventually 'records are stored' 120 stores_more_than 0

  export PROCESSOR_TAG=1.0.1
  deploy_up 1.0.1
  for one in $(containers processor); do
    version=$(docker inspect --format '{{index .Config.Labels "org.opencontainers.image.version"}}' "$one")
    [ "$version" = 1.0.1 ] || fail "an instance still runs $version"
  done
  before=$(stored)
  eventually 'records are stored after the upgrade' 120 stores_more_than "$before"
  nothing_lost 'after the upgrade'
  stop_load
  check_ledger
  say "upgraded from 1.0.0 to 1.0.1: $(containers processor | wc -l) instances"
}

# As the ingestion service does: from a container of its own, in the network of the servers.
deploy_load() {
  load=$project-load-deploy
  docker run --detach --name "$load" --network "$SERVERS_NETWORK" --read-only \
    --volume "$SECRETS_DIR/redis_ingestion_password:/run/secrets/password:ro" \
    --volume "$work/ledgers:/ledgers" \
    --env REDIS_URL=redis://ingestion@redis:6379 --env REDIS_PASSWORD_FILE=/run/secrets/password \
    "$PROCESSOR_IMAGE:$PROCESSOR_TAG" simulate --devices=200 --rate="$rate" --duration=36000 \
    --max-backlog=100000 --live --yes --seed=99 --ledger=/ledgers/99.ndjson > /dev/null
}
