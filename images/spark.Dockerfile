# The image of the panel on a cluster that is registered with TRAINWORKS_SPARK: the cpu image, Spark with its Java, and what lets it read S3.
#   docker build -f images/spark.Dockerfile --build-arg BASE=registry.example.com/photostock-cpu --build-arg DIGEST=sha256:… .
ARG BASE=photostock-cpu
# Of the cpu image of the same commit.
ARG DIGEST
FROM ${BASE}@${DIGEST}

# The cpu image's user may not install.
USER 0
WORKDIR /opt/trainworks
COPY pyproject.toml constraints.txt ./
COPY images/spark_jars images/spark_pod /usr/local/bin/
# Certificates as in the cpu image. 0.7 GiB: Spark, Java and AWS's library, in equal parts.
RUN --mount=type=secret,id=certificates \
    if [ -e /run/secrets/certificates ]; then export PIP_CERT=/run/secrets/certificates SSL_CERT_FILE=/run/secrets/certificates; fi \
    && pip install --no-cache-dir "uv>=0.11,<1" \
    && uv pip install --system --system-certs --no-cache --compile-bytecode --requirements pyproject.toml --constraints constraints.txt \
       --extra spark \
    && pip uninstall --yes uv \
    && spark_jars "$(python -c 'import pyspark; print(pyspark.__path__[0])')/jars" \
    && rm -rf ~/.ivy2

WORKDIR /srv/trainworks
# Spark on Kubernetes gives its pods no command but `driver` and `executor`; Flyte's own commands pass through.
ENTRYPOINT ["spark_pod"]
USER 1000
