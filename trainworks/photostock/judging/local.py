"""A page for the person at this machine: served on loopback alone, and to nobody whom another page sends."""

import logging
import socket
from urllib.parse import urlsplit

from flask import Flask, Response, abort, request
from werkzeug.serving import WSGIRequestHandler, make_server

HOST = "127.0.0.1"
NAMES = frozenset({HOST, "localhost", "::1"})
"""What a browser of this machine calls it. Any other name was made to lead here by somebody else (DNS rebinding)."""

LARGEST = 16 << 10
"""Bytes of the largest request."""


def application(name: str) -> Flask:
    """An application that answers none but this machine's own pages."""
    app = Flask(name, static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = LARGEST

    @app.before_request
    def refuse_others() -> None:
        if _name(f"//{request.headers.get('Host', '')}") not in NAMES:
            abort(403, "this page answers only to localhost")
        origin = request.headers.get("Origin")
        if request.method != "GET" and origin is not None and urlsplit(origin).netloc != request.headers["Host"]:
            abort(403, "this page takes no answers from another one")

    @app.after_request
    def keep_to_itself(response: Response) -> Response:
        response.headers.setdefault("Cache-Control", "no-store")
        response.headers |= {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "same-origin"}
        return response

    @app.get("/favicon.ico")
    def icon() -> tuple[str, int]:
        return "", 204

    return app


def _name(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None


class _Quiet(WSGIRequestHandler):
    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Not a line for every picture."""


def serve(app: Flask, port: int, what: str) -> None:
    """Serve *app* on *port* of loopback, any free one for 0, until Ctrl-C; *what* it is stands before its address.

    Raises:
        ValueError: the port is taken, or cannot be had.
    """
    try:
        listening = socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ValueError(f"--port = {port}: {error}; choose another one, or 0 for any that is free") from error
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    with listening:
        server = make_server(HOST, port, app, threaded=True, request_handler=_Quiet, fd=listening.fileno())
        print(f"{what}: http://{HOST}:{listening.getsockname()[1]}/ (Ctrl-C ends)", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
        finally:
            server.server_close()
