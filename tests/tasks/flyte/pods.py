"""The pods that propeller makes of tasks, and what a Kubernetes API server refuses of them."""

import copy
import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from google.protobuf.json_format import MessageToDict
from kubernetes.utils.quantity import parse_quantity

Pod = dict[str, Any]

PRIMARY = "primary"
GPU = "nvidia.com/gpu"
DEFAULTS = {"cpu": "100m", "memory": "500Mi"}
"""What a container that requests nothing gets: charts/flyte-core/values.yaml."""


def pod_of(template: Any) -> Pod:
    """The pod specification of a task, as it was registered."""
    return MessageToDict(template.k8s_pod.pod_spec)


def completed(pod: Pod, limits: dict[str, str]) -> Pod:
    """*pod* with the resources that propeller gives its containers: flyteplugins/.../flytek8s/container_helper.go.

    What the task's own container does not say is filled in; of any other one a missing request or limit becomes 0.
    """
    whole = copy.deepcopy(pod)
    for container in whole["containers"]:
        resources = container.setdefault("resources", {})
        requests, limited = resources.setdefault("requests", {}), resources.setdefault("limits", {})
        for each in (requests, limited):
            if "gpu" in each:
                each[GPU] = each.pop("gpu")
        for name in ("cpu", "memory", *({GPU} & (requests.keys() | limited.keys()))):
            own = container["name"] == PRIMARY
            request = requests.get(name) or (limited.get(name) or DEFAULTS.get(name, "0") if own else "0")
            limit = limited.get(name) or (request if own else "0")
            ceiling = limits.get("gpu" if name == GPU else name)
            request, limit = _at_most(request, ceiling), _at_most(limit, ceiling)
            requests[name], limited[name] = _at_most(request, limit), limit
    return whole


def _at_most(value: str, limit: str | None) -> str:
    """*value*, or *limit* if it is less and neither is zero: ensureResourceLimit of flyteplugins/.../flytek8s/container_helper.go."""
    if not limit or not parse_quantity(value) or not parse_quantity(limit):
        return value
    return min(value, limit, key=parse_quantity)


def refusal(name: str, pod: Pod) -> str | None:
    """What an API server, in a namespace that is *restricted*, says to *pod*; nothing, if it takes it."""
    said = [f'metadata.name: Invalid value: "{name}": {LABEL_RULE}'] if not _is_subdomain(name) else []
    for rule in (resources, names, mounts, ports, environment):
        said += rule(pod)
    if said:
        return f'Pod "{name}" is invalid: {said[0] if len(said) == 1 else "[" + ", ".join(said) + "]"}'
    violations = list(restricted(pod))
    return f'pods "{name}" is forbidden: violates PodSecurity "restricted:latest": {", ".join(violations)}' if violations else None


LABEL_RULE = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-'"


def _is_label(text: str) -> bool:
    return len(text) <= 63 and re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", text) is not None


def _is_subdomain(text: str) -> bool:
    return len(text) <= 253 and all(_is_label(part) for part in text.split("."))


def _containers(pod: Pod) -> Iterator[tuple[str, dict[str, Any]]]:
    for number, container in enumerate(pod["containers"]):
        yield f"spec.containers[{number}]", container


def resources(pod: Pod) -> Iterator[str]:
    """Requests are at most the limits, and of what is not shared, GPUs, equal: kubernetes/pkg/apis/core/validation/validation.go."""
    for path, container in _containers(pod):
        limits = container["resources"]["limits"]
        for name, request in sorted(container["resources"]["requests"].items()):
            where = f'{path}.resources.requests: Invalid value: "{request}"'
            limit = limits.get(name)
            if name == GPU and (limit is None or parse_quantity(limit) != parse_quantity(request)):
                yield f"{where}: must be equal to {name} limit of {limit or 0}"
            elif limit is not None and parse_quantity(request) > parse_quantity(limit):
                yield f"{where}: must be less than or equal to {name} limit of {limit}"
            if name == GPU and Decimal(parse_quantity(request)) % 1:
                yield f"{where}: must be an integer"


def names(pod: Pod) -> Iterator[str]:
    """Containers and volumes have names of their own, each a DNS label: kubernetes/pkg/apis/core/validation/validation.go."""
    volumes = [(f"spec.volumes[{number}]", volume) for number, volume in enumerate(pod.get("volumes", []))]
    for kind in (list(_containers(pod)), volumes):
        seen = set()
        for path, each in kind:
            if not _is_label(each["name"]):
                yield f'{path}.name: Invalid value: "{each["name"]}": {LABEL_RULE}'
            if each["name"] in seen:
                yield f'{path}.name: Duplicate value: "{each["name"]}"'
            seen.add(each["name"])


def mounts(pod: Pod) -> Iterator[str]:
    """What is mounted exists, and each at a place of its own: kubernetes/pkg/apis/core/validation/validation.go."""
    volumes = {volume["name"] for volume in pod.get("volumes", [])}
    for path, container in _containers(pod):
        seen = set()
        for number, mount in enumerate(container.get("volumeMounts", [])):
            if mount["name"] not in volumes:
                yield f'{path}.volumeMounts[{number}].name: Not found: "{mount["name"]}"'
            if mount["mountPath"] in seen:
                yield f'{path}.volumeMounts[{number}].mountPath: Invalid value: "{mount["mountPath"]}": must be unique'
            seen.add(mount["mountPath"])


def ports(pod: Pod) -> Iterator[str]:
    """A port is one that there is: kubernetes/pkg/apis/core/validation/validation.go."""
    for path, container in _containers(pod):
        for number, port in enumerate(container.get("ports", [])):
            if not 1 <= port.get("containerPort", 0) <= 65535:
                yield f"{path}.ports[{number}].containerPort: Invalid value: {port.get('containerPort')}: must be between 1 and 65535"


def environment(pod: Pod) -> Iterator[str]:
    """A variable has a name that a shell can say: kubernetes/pkg/apis/core/validation/validation.go."""
    for path, container in _containers(pod):
        for number, variable in enumerate(container.get("env", [])):
            if not re.fullmatch(r"[-._a-zA-Z][-._a-zA-Z0-9]*", variable["name"]):
                yield f'{path}.env[{number}].name: Invalid value: "{variable["name"]}": a valid environment variable name must consist of …'


def restricted(pod: Pod) -> Iterator[str]:
    """The Pod Security Standard *restricted*: kubernetes/staging/src/k8s.io/pod-security-admission/policy/check_*.go."""
    whole = pod.get("securityContext", {})
    contexts = {container["name"]: container.get("securityContext", {}) for container in pod["containers"]}

    def violating(what: str, broken: dict[str, bool], must: str) -> Iterator[str]:
        bad = [f'"{name}"' for name, is_broken in broken.items() if is_broken]
        if bad:
            yield f"{what} (container{'s' * (len(bad) > 1)} {', '.join(bad)} must set {must})"

    yield from violating(
        "allowPrivilegeEscalation != false",
        {name: own.get("allowPrivilegeEscalation") is not False for name, own in contexts.items()},
        "securityContext.allowPrivilegeEscalation=false",
    )
    capabilities = {name: own.get("capabilities", {}) for name, own in contexts.items()}
    yield from violating(
        "unrestricted capabilities",
        {
            name: "ALL" not in own.get("drop", []) or set(own.get("add", [])) - {"NET_BIND_SERVICE"} != set()
            for name, own in capabilities.items()
        },
        'securityContext.capabilities.drop=["ALL"]',
    )
    yield from violating(
        "runAsNonRoot != true",
        {name: own.get("runAsNonRoot", whole.get("runAsNonRoot")) is not True for name, own in contexts.items()},
        "securityContext.runAsNonRoot=true",
    )
    yield from violating(
        "runAsUser=0", {name: own.get("runAsUser", whole.get("runAsUser")) == 0 for name, own in contexts.items()}, "runAsUser!=0"
    )
    profiles = {name: own.get("seccompProfile", whole.get("seccompProfile", {})).get("type") for name, own in contexts.items()}
    yield from violating(
        "seccompProfile",
        {name: profile not in ("RuntimeDefault", "Localhost") for name, profile in profiles.items()},
        'securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    )
    if any("hostPath" in volume for volume in pod.get("volumes", [])) or pod.get("hostNetwork") or pod.get("hostPID"):
        yield "restricted volume types (hostPath) or host namespaces"
