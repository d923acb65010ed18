# The image that serves, with what builds an index of a fine-tuning set, and the demo: for the people who look after a
# gateway, not for the gateway. Built from the repository's root.
ARG BASE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
ARG TIGHTLIP=localhost/tightlip:latest

FROM ${BASE} AS index
WORKDIR /build
COPY requirements/index.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    python3 -m venv tools \
    && tools/bin/python -m pip install --no-cache-dir --require-hashes --only-binary :all: --quiet \
        --target /opt/tightlip/index -r index.txt

FROM ${TIGHTLIP}
LABEL org.opencontainers.image.title="tightlip-tools" \
      org.opencontainers.image.description="Tightlip's commands with what builds an index, and the demo"
COPY --from=index /opt/tightlip/index /opt/tightlip/index
COPY deploy/demo /opt/tightlip/app/deploy/demo
HEALTHCHECK NONE
CMD ["--help"]
