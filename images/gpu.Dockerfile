# The image of the GPU stage, and of all that trains on SageMaker: Flyte brings its own command, SageMaker runs `train`.
#   docker build -f images/gpu.Dockerfile --build-arg DIGEST=sha256:… --build-arg TRAINWORKS_COMMIT=$(git rev-parse HEAD) .
# The base is plain Python: torch's wheels bring CUDA, cuDNN and NCCL in the versions constraints.txt pins, and the host
# brings the driver. A CUDA base image would only add a second copy.
ARG BASE=python:3.11-slim-bookworm
# Without a default, so that nobody builds on a base that moves: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG DIGEST
FROM ${BASE}@${DIGEST}

# What the NVIDIA container runtime asks for before it hands in GPUs and driver.
ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility

# As in the cpu image.
RUN apt-get update && apt-get install --yes --no-install-recommends "libgomp1=12.*" && rm -rf /var/lib/apt/lists/*

WORKDIR /opt/trainworks
COPY pyproject.toml constraints.txt ./
# As in the cpu image.
RUN --mount=type=secret,id=certificates \
    if [ -e /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates SSL_CERT_FILE=/run/secrets/certificates; fi \
    && pip install --no-cache-dir "uv>=0.11,<1" \
    && uv pip install --system --system-certs --no-cache --compile-bytecode --requirements pyproject.toml --constraints constraints.txt \
       --extra train --extra retail --extra flyte --extra cloud \
    && pip uninstall --yes uv

COPY images/train /usr/local/bin/train
COPY trainworks trainworks
COPY tasks tasks
COPY workflows workflows

# As in the cpu image; on SageMaker a job writes to /opt/ml too.
RUN useradd --uid 1000 --home-dir /srv/trainworks --create-home trainworks && mkdir -p /opt/ml && chown trainworks /opt/ml
WORKDIR /srv/trainworks
ARG TRAINWORKS_COMMIT=unknown
ENV PYTHONPATH=/srv/trainworks:/opt/trainworks PYTHONUNBUFFERED=1 TRAINWORKS_COMMIT=${TRAINWORKS_COMMIT}
# What `train` trains where no job says what.
ENV TRAINWORKS_PROGRAM=trainworks.photostock.training.job
# SageMaker hands /opt/ml to root in some set-ups; --build-arg USER_ID=0 is for those alone.
ARG USER_ID=1000
USER ${USER_ID}
