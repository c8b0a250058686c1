"""Runs pods as processes of this machine: only a task's own container, and its image is this environment."""

import os
import re
import sys
from pathlib import Path
from threading import Event, Lock, Semaphore

from tests.tasks.flyte.forks import Fork, Forks
from tests.tasks.flyte.pods import PRIMARY, Pod


class Kubelet:
    """At most *slots* pods at a time; each has a folder below *folder*, and in it ``primary.log``.

    *environment* is what the platform gives every pod. ``names`` are those of all pods, in the order in which they were started.
    """

    def __init__(self, folder: Path, environment: dict[str, str], slots: int = 2):
        self.folder, self.environment = folder, environment
        self.forks = Forks(folder, environment)
        self.names: list[str] = []
        self.pulled: set[str] | None = None
        """Images that can be had; any if none are named."""
        self._slots, self._lock = Semaphore(slots), Lock()
        self._running: dict[str, Fork] = {}

    def run(self, name: str, pod: Pod, environment: dict[str, str], stopped: Event) -> int:
        """The exit code of the container, once it has ended or *stopped* is set; less than zero if a signal ended it."""
        container = next(each for each in pod["containers"] if each["name"] == PRIMARY)
        here = self.folder / name
        with self._slots:
            if stopped.is_set():
                return -15
            (here / "code").mkdir(parents=True)
            own = {each["name"]: each.get("value", "") for each in container.get("env", [])}
            path = os.pathsep.join([str(self.forks.programs), str(Path(sys.executable).parent), os.environ["PATH"]])
            base = {"PATH": path, "HOME": str(here), "LANG": "C.UTF-8", "OMP_NUM_THREADS": "1"}
            command = [*container.get("command", []), *container.get("args", [])]
            fork = self.forks.start(command, here / "code", {**base, **self.environment, **own, **environment}, here / "primary.log")
            with self._lock:
                self.names.append(name)
                self._running[name] = fork
            try:
                return fork.wait()
            finally:
                with self._lock:
                    del self._running[name]

    def log(self, name: str) -> str:
        """What a pod has printed so far."""
        path = self.folder / name / "primary.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def kill(self, name: str) -> None:
        """Kill a pod's processes with SIGKILL, as when its node dies."""
        with self._lock:
            self._running[name].kill()

    def terminate(self, names: str) -> None:
        """Send SIGTERM to the pods whose name begins with *names*."""
        with self._lock:
            for fork in [fork for name, fork in self._running.items() if re.match(names, name)]:
                fork.terminate()

    def missing_image(self, pod: Pod) -> str | None:
        """The first image that cannot be had, if there is one."""
        images = [container["image"] for container in pod["containers"]]
        return next((image for image in images if self.pulled is not None and image not in self.pulled), None)
