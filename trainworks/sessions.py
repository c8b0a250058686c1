"""ONNX graphs in services: a session of each process, because the threads of onnxruntime do not survive a fork."""

import ctypes
import os
import threading
import weakref
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime


class Session:
    """The graph in the file *path*, on CPU; safe to share between threads, and to load before a server forks its workers.

    A forked process makes a session of its own when it first uses one: with its parent's it would wait forever for threads that it
    does not have, at its end at the latest. The file may be gone by then.
    """

    def __init__(self, path: Path):
        self.path = path
        self._file = path.open("rb")
        weakref.finalize(self, self._file.close)
        self._lock = threading.Lock()
        self._session: onnxruntime.InferenceSession | None = _session(str(path))
        _all.add(self)
        self.inputs = [(each.name, each.shape) for each in self._session.get_inputs()]
        """Name and shape of each input."""
        self.outputs = [(each.name, each.shape) for each in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """The outputs of the graph, in order."""
        if (session := self._session) is None:
            with self._lock:
                size = os.fstat(self._file.fileno()).st_size
                session = self._session = self._session or _session(os.pread(self._file.fileno(), size, 0))
        return session.run(None, dict(inputs))

    def _forget(self) -> None:
        """Leave the parent's session where it is: ending it would wait for its threads."""
        if self._session is not None:
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
        self._session, self._lock = None, threading.Lock()


_all: "weakref.WeakSet[Session]" = weakref.WeakSet()


def _session(graph: str | bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Threads that wait would spin: a quarter of the CPU time on two cores, and more where a container may use fewer cores than it sees.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def _forget_all() -> None:
    for each in list(_all):
        each._forget()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=_forget_all)
