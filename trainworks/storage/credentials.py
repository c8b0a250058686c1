"""Secrets in URIs that people give: refused at once, because a URI ends up in logs, reports and manifests."""

import re

_SECRET = re.compile(
    r"://[^/?#]*(?:@|:[^@]*@)"  # user:password@; a secret key may have slashes in it
    r"|[?&][^=&]*(?:signature|credential|token|secret|password|key|sig)[^=&]*=",
    re.IGNORECASE,
)


def refuse(name: str, uri: str) -> None:
    """Refuse a *uri*, given as *name*, with a user, a password or a signature in it; the message does not repeat it.

    Raises:
        ValueError: with what to do instead.
    """
    if _SECRET.search(uri):
        raise ValueError(
            f"{name}: expected a URI without credentials, found some in a {uri.partition(':')[0]}: URI; leave them out and set "
            "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give the machine or pod a role"
        )
