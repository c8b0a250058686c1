"""S3 as Spark's executors read it: by Hadoop's ``s3a``, with the endpoint, region and credentials that boto3 goes by."""

from pathlib import Path

from trainworks.storage import aws, s3, store

CHAIN = "com.amazonaws.auth.DefaultAWSCredentialsProviderChain"
"""Where a pod finds credentials of its own, in the order of boto3."""


def address(file: Path) -> str:
    """Where executors find *file*: what lies in the artifact root on S3 is there for each of them, any other on a disk they share."""
    return store.address(file).replace(s3.SCHEME, "s3a://", 1)


def settings() -> dict[str, str]:
    """Hadoop's settings: keys that are given are handed on, while the credentials of a role are each pod's own, which renews them."""
    import boto3
    from botocore.credentials import RefreshableCredentials

    there = aws.client(aws.S3).meta
    found = {"endpoint": there.endpoint_url, "endpoint.region": there.region_name, "path.style.access": "true"}
    given = boto3.session.Session().get_credentials()
    if given is None or isinstance(given, RefreshableCredentials):
        found["aws.credentials.provider"] = CHAIN
    else:
        found |= {"access.key": given.access_key, "secret.key": given.secret_key, "session.token": given.token}
    return {f"fs.s3a.{name}": value for name, value in found.items() if value}
