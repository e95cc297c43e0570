# Prometheus and Grafana with this repository's rules and dashboards inside, for places that cannot
# mount files: Portainer binds no relative path, and Compose refuses inline configs for a
# read-only container. Context: this folder.
#   docker buildx build --file deploy/monitoring.Dockerfile --target prometheus deploy
FROM prom/prometheus:v3.13.2 AS prometheus
COPY prometheus/prometheus.yml /etc/prometheus/prometheus.yml
COPY prometheus/rules /etc/prometheus/rules/

FROM grafana/grafana:13.2.0 AS grafana
COPY grafana/provisioning /etc/grafana/provisioning/
COPY grafana/dashboards /etc/grafana/dashboards/
