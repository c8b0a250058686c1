"""A proxy on loopback that lets every request through but one, or none after it."""

import http.client
import socket
import threading
import time
from contextlib import contextmanager, nullcontext
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

FAULTS = ("cut before", "cut after", "cut in the answer", "error before", "error after", "late")
"""What happens to a request: whether the store did it or not, its answer is lost, halved, an error 500, or later than a client waits."""


class FaultProxy(ThreadingHTTPServer):
    """Passes requests on to *target*, counting them; *fault* befalls number *at*, and with *forever* all after it.

    *before* is called with the method and path of every request, and may wait.
    """

    daemon_threads = True

    def __init__(self, target: str, late: float = 0.0):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.target, self.late = urlsplit(target).netloc, late
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.lock = threading.Lock()
        self.writing = threading.Lock()  # S3 checks a condition and writes in one step, moto in two: one put at a time makes up for it
        self.before = lambda method, path: None
        self.plan("", 0)

    def plan(self, fault: str, at: int, forever: bool = False) -> None:
        """Count anew, with this *fault*."""
        self.fault, self.at, self.forever, self.count = fault, at, forever, 0

    def next_fault(self) -> str:
        with self.lock:
            self.count += 1
            return self.fault if self.count == self.at or (self.forever and self.count > self.at > 0) else ""

    def handle_error(self, request, client_address):
        """A client that went away is what this proxy is for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def _pass_on(self):
        self.server.before(self.command, self.path)
        fault = self.server.next_fault()
        body = self._body()
        if fault == "cut before":
            return self._cut()
        if fault == "error before":
            return self._answer(500, {}, b"")
        with self.server.writing if self.command == "PUT" else nullcontext():
            answer, content = self._ask(body)
        if fault == "late":
            time.sleep(self.server.late)
        if fault == "cut after":
            return self._cut()
        if fault == "error after":
            return self._answer(500, {}, b"")
        self._answer(answer.status, dict(answer.getheaders()), content, halved=fault == "cut in the answer")

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _ask(self, body: bytes) -> tuple[http.client.HTTPResponse, bytes]:
        upstream = http.client.HTTPConnection(self.server.target, timeout=60)
        headers = {name: value for name, value in self.headers.items() if name.lower() not in ("expect", "connection")}
        upstream.request(self.command, self.path, body, headers)
        answer = upstream.getresponse()
        content = answer.read()
        upstream.close()
        return answer, content

    def _answer(self, status: int, headers: dict[str, str], content: bytes, halved: bool = False) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(content))
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if halved else content)
        if halved:
            self._cut()

    def _cut(self) -> None:
        self.close_connection = True
        self.wfile.flush()
        self.connection.shutdown(socket.SHUT_RDWR)

    def log_message(self, *_):
        pass


@contextmanager
def fault_proxy(target: str, late: float = 0.0):
    """A `FaultProxy` that serves while the block runs."""
    proxy = FaultProxy(target, late)
    threading.Thread(target=proxy.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield proxy
    finally:
        proxy.shutdown()
        proxy.server_close()
