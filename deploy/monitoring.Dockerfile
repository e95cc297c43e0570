# Prometheus and Grafana with this repository's rules and dashboards inside, for places that cannot
# mount files: Portainer binds no relative path, and Compose refuses inline configs for a
# read-only container. Context: this folder.
#   docker buildx build --file deploy/monitoring.Dockerfile --target prometheus deploy
ARG PROMETHEUS_IMAGE=prom/prometheus:v3.13.2
ARG GRAFANA_IMAGE=grafana/grafana:13.2.0

FROM ${PROMETHEUS_IMAGE} AS prometheus
COPY prometheus/prometheus.yml /etc/prometheus/prometheus.yml
COPY prometheus/rules /etc/prometheus/rules/

FROM ${GRAFANA_IMAGE} AS grafana
COPY grafana/provisioning /etc/grafana/provisioning/
COPY grafana/dashboards /etc/grafana/dashboards/
