# What `tightlip serve` needs, the detectors and their models among it, and no more; alike for amd64 and arm64. What
# builds an index, and the demo, are in an image on top of it: deploy/image/tools.Dockerfile.
#
# Whoever builds without a registry names another base (deploy/image/README.md). It needs Python 3.11 with `venv`;
# nothing is run in the last stages, so that theirs could do without a shell.
ARG BASE=docker.io/library/python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# What the lock says, by hash. The secrets `pip` and `ca` are a configuration of pip and a certificate authority, for
# those who have a mirror; they are there for this command alone. Tests of others, and what telephone numbers' areas are
# called in thirty languages, go: 12 MB of the compressed image.
FROM ${BASE} AS packages
ARG SITE=/opt/tightlip/python/lib/python3.11/site-packages
WORKDIR /build
COPY requirements/build.txt requirements/run.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf --mount=type=secret,id=ca,target=/run/secrets/ca.pem \
    python3 -m venv tools \
    && tools/bin/python -m pip install --no-cache-dir --require-hashes --quiet -r build.txt \
    && python3 -m venv --without-pip /opt/tightlip/python \
    && tools/bin/python -m pip --python /opt/tightlip/python/bin/python install \
        --no-cache-dir --require-hashes --only-binary :all: --quiet -r run.txt \
    && printf '/opt/tightlip/app\n/opt/tightlip/index\n' > "$SITE/tightlip.pth" \
    && rm -rf "$SITE/phonenumbers/geodata" \
    && find "$SITE/blis" "$SITE/numpy" "$SITE/spacy" "$SITE/thinc" -depth -type d -name tests -exec rm -rf {} +

FROM packages AS application
COPY pyproject.toml README.md LICENSE NOTICE ./source/
COPY filters ./source/filters
COPY gateway ./source/gateway
RUN tools/bin/python -m pip wheel --no-deps --no-build-isolation --no-index --quiet --wheel-dir wheels ./source \
    && tools/bin/python -m pip --python /opt/tightlip/python/bin/python install \
        --no-deps --no-index --find-links wheels --quiet --target /opt/tightlip/app tightlip \
    && cp source/LICENSE source/NOTICE /opt/tightlip/app/ \
    && mkdir empty

# A layer that changes with the lock alone, and on it a small one that changes with each version.
FROM ${BASE} AS dependencies
COPY --from=packages /opt/tightlip/python /opt/tightlip/python

FROM dependencies AS serving
LABEL org.opencontainers.image.title="tightlip" \
      org.opencontainers.image.description="A gateway that holds back what a fine-tuned model should not say" \
      org.opencontainers.image.licenses="Apache-2.0"
# Only these two folders, and /tmp, are to be written to: volumes, on a root that is read-only. HOME is for libraries
# that ask where the user lives, whom no file knows.
COPY --from=application --chown=10001:10001 /build/empty /var/lib/tightlip
COPY --from=application --chown=10001:10001 /build/empty /var/log/tightlip
COPY --from=application /opt/tightlip/app /opt/tightlip/app
ENV PATH=/opt/tightlip/app/bin:/opt/tightlip/python/bin:/usr/local/bin:/usr/bin:/bin \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /
EXPOSE 8080 9090
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 \
    CMD ["/opt/tightlip/python/bin/python", "-m", "gateway.health"]
ENTRYPOINT ["/opt/tightlip/app/bin/tightlip"]
CMD ["serve", "--config", "/etc/tightlip/config/tightlip.yaml"]
