"""What all tasks share: content-keyed folders between them, and stages that run once per content.

Flyte keys a folder by its path, so a changed file would be a stale hit and a deleted one a broken
run. Here a folder is keyed by its manifest. On a cluster Flyte's own cache does the rest; locally,
where flytekit's would return folders without looking whether they still exist, the store does.

What tasks hand on is the store's address of a folder. With the artifact root on S3 that is a URI, which
flytekit passes through, so that nothing is uploaded twice and every reader's copy is verified, here as on a
cluster. With a local root it is a path, which flytekit uploads by itself on a cluster.
"""

import functools
import hashlib
import inspect
import json
import logging
import os
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from flytekit import Cache, HashMethod, Resources, task
from flytekit.types.directory import FlyteDirectory

from tasks.attempts import flyte_errors, on_cluster
from tasks.cache import CodeOf
from tasks.deployment import CPU, SMALL, StagePod, registered_with, use_credentials_of_flyte
from tasks.knobs import build, flat
from trainworks.config import Section
from trainworks.storage import manifest, places, s3, store

os.environ.setdefault("FLYTE_LOCAL_CACHE_ENABLED", "false")

HOURS = timedelta(hours=4)
"""Longer than any stage but fine-tuning takes; what hangs must end some day."""


def content(folder: FlyteDirectory | str) -> str:
    """What Flyte's cache knows *folder* by: the digest of its manifest, wherever it lies."""
    return manifest.digest(path(folder, whole=False))


Artifact = Annotated[FlyteDirectory, HashMethod(content)]
"""A folder with a manifest, handed from one stage to the next."""


def path(folder: FlyteDirectory | str, whole: bool = True) -> Path:
    """*folder* on this machine, fetched if it lies elsewhere; if not *whole*, with files to come as `store.fetched` asks for them."""
    address = folder if isinstance(folder, str) else str(folder.remote_source or folder.path)
    return store.local(address, whole) or Path(folder if isinstance(folder, str) else folder.download())


def paths(folders: list[FlyteDirectory], whole: bool = True) -> list[Path]:
    """Each of *folders* on this machine, as `path` gives it."""
    return [path(folder, whole) for folder in folders]


def lasting(name: str, place: str) -> str:
    """*place* in its one spelling, as it outlives a pod: on a cluster, a folder below ``artifacts`` is the one of that name in the
    artifact root on S3.

    Raises:
        ValueError: it names no place, or a folder of the pod; with the input's *name*, and what to give instead.
    """
    place = places.parse(name, place)
    if not on_cluster() or s3.is_uri(place):
        return place
    place_on_s3 = store.address(Path(place).absolute())
    if not s3.is_uri(place_on_s3):
        raise ValueError(
            f"{name} = {place!r}: a folder of the pod, which would be lost with it; on a cluster give {s3.SCHEME}bucket/prefix"
        )
    return place_on_s3


def step(requests: Resources = SMALL, image: str = CPU, retries: int = 2, timeout: timedelta = HOURS, **more: Any) -> Callable:
    """Make a Flyte task of a function: in a pod any namespace admits, with the library's progress shown and its errors as Flyte wants them.

    Parameters that are knob sections become flat inputs.
    """

    def wrap(function: Callable) -> Any:
        hints = get_type_hints(function, include_extras=True)
        sections = {name: kind for name, kind in hints.items() if isinstance(kind, type) and issubclass(kind, Section)}

        @functools.wraps(function)
        def watched(**inputs: Any) -> Any:
            watch()
            if on_cluster():
                use_credentials_of_flyte()
            return function(**inputs)

        whole = {"pod_template": StagePod(), "environment": registered_with(), **more}
        body = flyte_errors()(flat(build, **sections)(watched))
        return task(body, requests=requests, container_image=image, retries=retries, timeout=timeout, **whole)

    return wrap


def stage(
    code: str, requests: Resources, many: bool = False, name: str = "", serialize: bool = False, **more: Any
) -> Callable[[Callable], Any]:
    """Make a cached `step` of a function that fills a folder ``out`` from its other inputs.

    The output is remembered under the task's name, its inputs' content and the code of *code*, the
    library module behind it. Tasks that make the same in different places share what is remembered by one
    *name*. *many* marks a stage that is mapped over slices. With *serialize*, of two executions on a cluster that need the
    same output one makes it and the other waits.
    """
    policy = CodeOf(code)

    def wrap(function: Callable) -> Any:
        hints = get_type_hints(function, include_extras=True)

        @functools.wraps(function)
        def remembered(**inputs: Any) -> FlyteDirectory:
            key = hashlib.sha256(json.dumps([policy.get_version("", None), _keyed(inputs)], sort_keys=True).encode()).hexdigest()[:20]
            folder = store.remember(name or function.__name__, key, lambda out: function(**inputs, out=out), many)
            return FlyteDirectory(store.address(folder))

        visible = [p for p in inspect.signature(function).parameters.values() if p.name != "out"]
        remembered.__signature__ = inspect.Signature(visible, return_annotation=hints["return"])  # type: ignore[attr-defined]
        remembered.__annotations__ = {name: kind for name, kind in hints.items() if name != "out"}
        return step(requests, cache=Cache(policies=policy, serialize=serialize), **more)(remembered)

    return wrap


def watch() -> None:
    """Show the library's progress on the terminal, once per process, and not that flytekit leaves its client of S3 open."""
    logger = logging.getLogger("trainworks")
    if not logger.handlers:
        from trainworks import progress

        logging.getLogger("flytekit").addFilter(lambda record: "Unclosed client session" not in record.getMessage())
        handler = logging.StreamHandler()
        handler.addFilter(progress.hear)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False


def _keyed(value: Any) -> Any:
    """*value* as JSON that names its content."""
    if isinstance(value, FlyteDirectory):
        return content(value)
    if isinstance(value, Section):
        return _keyed(vars(value))
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, dict):
        return {name: _keyed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_keyed(item) for item in value]
    return value
