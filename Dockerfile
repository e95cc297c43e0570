# The image of processor. `docker run <image> <command>` takes every command of the CLI.
# The tag is the Node that package.json pins (a test compares them). For a base by digest:
#   --build-arg NODE_IMAGE=node:26.10.0-trixie-slim@sha256:<digest of the index>
ARG NODE_IMAGE=node:26.10.0-trixie-slim

# What the first two stages make is the same on every platform, so they run on the builder's own
# and an image for arm64 needs no emulation: the last stage runs nothing.
FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS build
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# The native parts of compiler and bundler are optional packages, so this stage takes those as well.
RUN npm ci --include=dev --include=optional --ignore-scripts
COPY tsconfig.json tsconfig.build.json ./
COPY scripts/build.ts scripts/bundle.ts scripts/
COPY src src/
RUN node scripts/build.ts
RUN mkdir dumps

FROM --platform=$BUILDPLATFORM ${NODE_IMAGE} AS dependencies
WORKDIR /build
COPY package.json package-lock.json .npmrc ./
# The built program holds the packages it loads (decision 0075). They are here as well for scanners
# of known vulnerabilities, and for the texts of their licenses.
# Node never loads TypeScript from node_modules: type declarations and sources are dead weight.
RUN npm ci --omit=dev --omit=optional --ignore-scripts \
 && find node_modules -type f \( -name '*.ts' -o -name '*.mts' -o -name '*.cts' \) -delete

FROM ${NODE_IMAGE}
# The size of the young generation: decision 0075. Node's own default depends on the memory it may use.
ENV NODE_ENV=production \
    NODE_OPTIONS="--enable-source-maps --max-semi-space-size=16" \
    HTTP_HOST=0.0.0.0 \
    PANIC_DIR=/var/lib/processor
WORKDIR /app
COPY --from=dependencies /build/node_modules node_modules/
COPY --from=build /build/dist dist/
COPY migrations migrations/
COPY package.json deploy/healthcheck ./
# The one place to write besides /tmp; a fresh volume takes this folder's owner.
COPY --from=build --chown=10001:10001 /build/dumps /var/lib/processor/
VOLUME ["/var/lib/processor"]

# A number without a name: it owns nothing in the image and, most likely, nothing on the host.
USER 10001:10001
EXPOSE 9464
# processor handles SIGTERM and SIGINT itself, also as process 1, and starts no children.
STOPSIGNAL SIGTERM
# Says whether the process answers, without starting Node. Docker does not restart an unhealthy
# container: the watchdog ends a process that does not respond, and the restart policy does the
# rest. The limits are wide because a check on a loaded host waits for its CPU.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=4 \
  CMD ["bash", "/app/healthcheck"]
ENTRYPOINT ["node", "/app/dist/processor.js"]
CMD ["run"]

# Last, because they differ with every build.
ARG VERSION=0.0.0-dev
ARG REVISION=unknown
ARG CREATED=unknown
ENV PROCESSOR_REVISION=${REVISION}
LABEL org.opencontainers.image.title="processor" \
      org.opencontainers.image.description="Redis Streams to TimescaleDB worker for Teltonika tracker data" \
      org.opencontainers.image.licenses="UNLICENSED" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.created="${CREATED}"
