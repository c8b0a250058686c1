# The image of every stage but fine-tuning.
#   docker build -f images/cpu.Dockerfile --build-arg DIGEST=sha256:… --build-arg TRAINWORKS_COMMIT=$(git rev-parse HEAD) .
ARG BASE=python:3.11-slim-bookworm
# Without a default, so that nobody builds on a base that moves: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG DIGEST
FROM ${BASE}@${DIGEST}

# LightGBM's OpenMP, which its wheel does not bring.
RUN apt-get update && apt-get install --yes --no-install-recommends "libgomp1=12.*" && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/trainworks
COPY pyproject.toml constraints.txt ./
# Export and the untouched backbone need torch, but no CUDA, which is most of its size. Where PyTorch's own index cannot be
# reached, an empty TORCH_BACKEND takes torch from the same index as the rest.
ARG TORCH_BACKEND=cpu
# Behind a proxy that opens TLS: --secret id=certificates,src=/etc/ssl/certs/ca-certificates.crt, or whichever file has its authority.
# Compiled at once: nothing in a pod may write bytecode, so that every process would compile what it imports anew.
RUN --mount=type=secret,id=certificates \
    if [ -e /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates SSL_CERT_FILE=/run/secrets/certificates; fi \
    && pip install --no-cache-dir "uv>=0.11,<1" \
    && uv pip install --system --system-certs --no-cache --compile-bytecode --requirements pyproject.toml --constraints constraints.txt \
       --extra train --extra retail --extra flyte --extra cloud ${TORCH_BACKEND:+--torch-backend "${TORCH_BACKEND}"} \
    && pip uninstall --yes uv

COPY trainworks trainworks
COPY tasks tasks
COPY workflows workflows

# The only folder but /tmp that a pod writes to. Flyte unpacks the code of a fast registration there, which comes before the image's own.
RUN useradd --uid 1000 --home-dir /srv/trainworks --create-home trainworks
WORKDIR /srv/trainworks
ARG TRAINWORKS_COMMIT=unknown
ENV PYTHONPATH=/srv/trainworks:/opt/trainworks PYTHONUNBUFFERED=1 TRAINWORKS_COMMIT=${TRAINWORKS_COMMIT}
USER 1000
