"""Clients of AWS's services, all with the same manners: boto3's own credentials and region, limits of time, retries, errors in words."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, NamedTuple

from trainworks import extras
from trainworks.errors import StorageError, StorageUnreachable
from trainworks.storage import credentials

ATTEMPTS = 5
CONNECT_SECONDS, READ_SECONDS = 10, 60
CONNECTIONS = 32
"""Requests of one process to one service at the same time."""


class Service(NamedTuple):
    """A service by boto3's name, what people call it, and what a policy must allow."""

    name: str
    called: str
    permission: str


S3 = Service(
    "s3",
    "an S3 store",
    "s3:ListBucket on the bucket, and s3:GetObject, s3:PutObject and s3:DeleteObject below the prefix",
)
SAGEMAKER = Service(
    "sagemaker",
    "SageMaker",
    "sagemaker:CreateTrainingJob, sagemaker:DescribeTrainingJob and sagemaker:StopTrainingJob, and iam:PassRole for the role of the job",
)


def client(service: Service) -> Any:
    """boto3's client of *service*, for the environment as it is; made once, and safe to share between threads.

    Raises:
        ModuleNotFoundError: without boto3.
        What boto3 raises, to be `explained`.
    """
    with _MAKING:  # else threads that begin together would each make a client
        return _client(service.name, tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_"))))


@contextmanager
def explained(what: str, service: Service) -> Iterator[None]:
    """Say of *what* went wrong with *service* inside what it comes to, and what to do.

    Raises:
        StorageUnreachable: it gave no answer, or too many requests came; later the same may succeed.
        StorageError: anything else that AWS's libraries raise.
    """
    for name in ("AWS_ENDPOINT_URL", f"AWS_ENDPOINT_URL_{service.name.upper()}"):
        credentials.refuse(name, os.environ.get(name, ""))
    try:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from botocore.parsers import ResponseParserError
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(f"{what}: {service.called} needs boto3; {extras.install('cloud')}", name="boto3") from error
    try:
        yield
    except (Boto3Error, BotoCoreError, ClientError, ResponseParserError) as error:
        why = _why(error, service)
        raise (StorageUnreachable if why == no_answer(service) else StorageError)(f"{what}: {why} ({error})") from error


_MAKING = threading.Lock()


@lru_cache
def _client(service: str, environment: tuple[tuple[str, str], ...]) -> Any:
    """A client for the *environment* that boto3 reads; clients are costly to make."""
    import boto3
    from botocore.config import Config
    from botocore.exceptions import InvalidConfigError

    retries = {"mode": "standard", "total_max_attempts": ATTEMPTS}
    config = Config(retries=retries, connect_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS, max_pool_connections=CONNECTIONS)  # type: ignore[arg-type]
    try:
        return boto3.session.Session().client(service, config=config)
    except ValueError as error:  # such as "Invalid endpoint: nonsense"
        raise InvalidConfigError(error_msg=str(error)) from error


def no_answer(service: Service) -> str:
    """What a service comes to that does not answer."""
    kind = "store" if service is S3 else "service"
    return f"no answer of {service.called}; is AWS_ENDPOINT_URL right, and the {kind} up and within reach?"


_CREDENTIALS = "no valid credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine or pod a role"
_REGION = "the bucket lies in another region; set AWS_DEFAULT_REGION to it"
_ADVICE = {
    "NoSuchBucket": "no such bucket; create it, or correct its name",
    **dict.fromkeys(("InvalidAccessKeyId", "SignatureDoesNotMatch", "InvalidToken", "ExpiredToken"), _CREDENTIALS),
    **dict.fromkeys(("UnrecognizedClientException", "InvalidSignatureException", "ExpiredTokenException"), _CREDENTIALS),
    **dict.fromkeys(("PermanentRedirect", "AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "301"), _REGION),
    **dict.fromkeys(("NotImplemented", "501"), "the store does not know this request; take one that does, such as S3, MinIO or Ceph"),
    **dict.fromkeys(("ResourceLimitExceeded", "LimitExceededException"), "a quota of the account is reached; have AWS raise it"),
    "RequestTimeTooSkewed": "the clock of this machine is wrong; set it",
}
_DENIED = ("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "403")
_LATER = ("Throttl", "TooManyRequests", "RequestLimit", "RequestTimeout", "SlowDown", "ServiceUnavailable", "Internal")
"""What the codes of errors begin with after which the same request may succeed, whatever their status: SageMaker throttles with 400."""


def _why(error: Exception, service: Service) -> str:
    """What *error* comes to, and what to do."""
    from boto3.exceptions import RetriesExceededError, S3UploadFailedError
    from botocore import exceptions
    from botocore.parsers import ResponseParserError

    if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, Exception):
        error = error.__context__
    if isinstance(error, exceptions.ClientError):
        code, status = error.response["Error"].get("Code", ""), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        if code in _DENIED:
            return f"no permission; the policy must allow {service.permission}"
        is_passing = (status == 429 or status >= 500 or code.startswith(_LATER)) and code not in _ADVICE
        return no_answer(service) if is_passing else _ADVICE.get(code, f"{service.called} refused the request")
    if isinstance(error, exceptions.NoRegionError):
        return "no region; set AWS_DEFAULT_REGION"
    name = type(error).__name__
    if "Credential" in name or "Token" in name or isinstance(error, exceptions.ProfileNotFound):
        return _CREDENTIALS
    if isinstance(error, exceptions.ParamValidationError):
        return "not the name of a bucket or object; expected s3://bucket/prefix" if service is S3 else "not a request that it knows"
    broken = (exceptions.IncompleteReadError, RetriesExceededError)
    connection = (exceptions.HTTPClientError, exceptions.ConnectionError, ResponseParserError, *broken)
    if isinstance(error, connection) or "endpoint" in str(error):
        return no_answer(service)
    return "the request failed"
