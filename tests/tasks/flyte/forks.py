"""A process that has imported what every pod needs but the code of the pipelines, and forks one for each command.

flytekit, torch and the rest take five seconds to import; a fork costs none of them. What then runs is the command's own entry point,
in a folder and an environment of its own, with the code that was registered.
"""

import atexit
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import traceback
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from select import select
from typing import NoReturn

PROGRAMS = ("pyflyte-execute", "pyflyte-map-execute")
"""What another program of a pod may start: each is then a small file that asks for a fork."""

# Not onnxruntime and scikit-learn: importing them starts a thread, which no fork has.
IMPORTED = [
    "boto3",
    "flytekit.bin.entrypoint",
    "hypothesis",
    "kubernetes.client",
    "matplotlib.pyplot",
    "onnx",
    "onnxscript",
    "open_clip",
    "optuna",
    "pandas",
    "pyarrow.parquet",
    "pytorch_lightning",
    "s3fs",
    "scipy.stats",
    "timm",
    "torch",
    "torch.utils.tensorboard",
    "transformers",
]

ASK = """#!{python} -IS
import json, os, signal, socket, sys
client = socket.socket(socket.AF_UNIX)
client.connect({address!r})
request = {{"argv": [os.path.basename(sys.argv[0]), *sys.argv[1:]], "cwd": os.getcwd(), "environment": dict(os.environ)}}
socket.send_fds(client, [json.dumps(request).encode() + b"\\n"], [1, 2])
lines = client.makefile()
process = int(lines.readline())
signal.signal(signal.SIGTERM, lambda *_: os.kill(process, signal.SIGTERM))
code = int(lines.readline())
if code < 0:
    signal.signal(-code, signal.SIG_DFL) if code != -9 else None
    os.kill(os.getpid(), -code)
sys.exit(code)
"""


class Forks:
    """The process, started with *folder* for its socket and its programs, and the *platform*'s variables, which some packages read
    when they are imported; close it."""

    def __init__(self, folder: Path, platform: dict[str, str]):
        self.address = str(folder / "forks")
        self.programs = folder / "bin"
        self.programs.mkdir()
        for name in PROGRAMS:
            program = self.programs / name
            program.write_text(ASK.format(python=sys.executable, address=self.address))
            program.chmod(0o755)
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH" and not name.startswith("AWS_")}
        environment["FLYTE_INTERNAL_EXECUTION_ID"] = "a pod's"  # flytekit then writes its log as in pods
        environment |= {"HOME": str(folder), "OMP_NUM_THREADS": "1", "MPLCONFIGDIR": str(folder), **platform}
        with (folder / "forks.log").open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, __file__, self.address], cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=log
            )

    def wait(self) -> None:
        """Until it has imported all."""
        assert self._process.stdout and self._process.stdout.readline() == b"ready\n", Path(self.address + ".log").read_text()

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()

    def start(self, command: list[str], cwd: Path, environment: dict[str, str], log: Path) -> "Fork":
        """Run a console script of flytekit's; what it prints goes to *log*."""
        client = socket.socket(socket.AF_UNIX)
        client.connect(self.address)
        with log.open("ab") as file:
            request = {"argv": command, "cwd": str(cwd), "environment": environment}
            socket.send_fds(client, [json.dumps(request).encode() + b"\n"], [file.fileno(), file.fileno()])
        return Fork(client)


class Fork:
    """A process that was forked."""

    def __init__(self, client: socket.socket):
        self._client, self._lines = client, client.makefile()
        self.process = int(self._lines.readline())

    def wait(self) -> int:
        """Its exit code; less than zero if a signal ended it."""
        code = int(self._lines.readline())
        self._lines.close()
        self._client.close()
        return code

    def terminate(self) -> None:
        """SIGTERM to the first process alone, as a kubelet sends it."""
        os.kill(self.process, signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL to all of it."""
        os.killpg(self.process, signal.SIGKILL)


def _serve(address: str) -> None:
    """Fork one process per request, tell its id and then its exit code; whose client has gone is killed."""
    for name in IMPORTED:
        import_module(name)
    gc.collect()
    gc.freeze()  # else each fork's first collection copies all of it
    server = socket.socket(socket.AF_UNIX)
    server.bind(address)
    server.listen()
    print("ready", flush=True)
    clients: dict[int, socket.socket] = {}
    while True:
        for ready in select([server, *clients.values()], [], [], 0.02)[0]:
            if ready is server:
                client, _ = server.accept()
                text, outputs, *_ = socket.recv_fds(client, 1 << 20, 2)
                while not text.endswith(b"\n"):
                    text += client.recv(1 << 20)
                process = os.fork()
                if process == 0:
                    for each in (server, client, *clients.values()):
                        each.close()
                    _become(json.loads(text), outputs)
                for each in outputs:
                    os.close(each)
                clients[process] = client
                client.sendall(f"{process}\n".encode())
            elif not ready.recv(1):
                process = next(process for process, client in clients.items() if client is ready)
                del clients[process]
                os.killpg(process, signal.SIGKILL)
        while True:
            try:
                process, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if not process:
                break
            if client := clients.pop(process, None):
                client.sendall(f"{os.waitstatus_to_exitcode(status)}\n".encode())
                client.close()


def _become(request: dict, outputs: list[int]) -> NoReturn:
    """Run the program that was asked for, to its end; what was imported is not taken apart, which takes seconds."""
    from flytekit import FlyteContextManager

    os.setsid()
    for number, each in enumerate(outputs, 1):
        os.dup2(each, number)
        os.close(each)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = request["argv"]
    sys.path[0:1] = [os.path.abspath(each) for each in os.environ.get("PYTHONPATH", "").split(os.pathsep) if each]  # noqa: PTH100
    FlyteContextManager.initialize()
    (program,) = entry_points(group="console_scripts", name=Path(sys.argv[0]).name)
    code: object = 1
    try:
        code = program.load()()
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code if isinstance(code, int) else code is not None)


if __name__ == "__main__":
    _serve(sys.argv[1])
