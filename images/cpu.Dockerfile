# The image of every stage but fine-tuning.
#   docker build -f images/cpu.Dockerfile --build-arg DIGEST=sha256:… --build-arg TRAINWORKS_COMMIT=$(git rev-parse HEAD) .
ARG BASE=python:3.11-slim-bookworm
# Without a default, so that nobody builds on a base that moves: docker buildx imagetools inspect python:3.11-slim-bookworm
ARG DIGEST
FROM ${BASE}@${DIGEST}

WORKDIR /srv/trainworks
COPY pyproject.toml constraints.txt ./
# Export and the untouched backbone need torch, but no CUDA, which is most of its size. Where PyTorch's own index cannot be
# reached, an empty TORCH_BACKEND takes torch from the same index as the rest.
ARG TORCH_BACKEND=cpu
# Anything but empty for a cluster that is registered with TRAINWORKS_SPARK: pyspark and its Java are 600 MB that nothing else needs.
ARG SPARK=
RUN pip install --no-cache-dir "uv>=0.11,<1" \
    && uv pip install --system --system-certs --no-cache --requirements pyproject.toml --constraints constraints.txt \
       --extra train --extra retail --extra flyte --extra cloud ${SPARK:+--extra spark} ${TORCH_BACKEND:+--torch-backend "${TORCH_BACKEND}"} \
    && pip uninstall --yes uv

# Flyte unpacks the code of a fast registration into the working directory.
RUN useradd --uid 1000 --create-home trainworks && chown trainworks /srv/trainworks
COPY trainworks trainworks
COPY tasks tasks
COPY workflows workflows

ARG TRAINWORKS_COMMIT=unknown
ENV PYTHONPATH=/srv/trainworks PYTHONUNBUFFERED=1 TRAINWORKS_COMMIT=${TRAINWORKS_COMMIT}
USER 1000
