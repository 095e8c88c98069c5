"""A language model's server on this machine: a real one over HTTP, whose answers a test decides."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


class Server:
    """Answers with `answer(request body)`, keeps what it was asked; `speak` may take the socket over."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.answer: Callable[[dict[str, Any]], Answer] = lambda body: said("Something was said here.")
        self.speak: Callable[[BaseHTTPRequestHandler], None] | None = None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append({"path": self.path, **body})
                outer.keys.append(self.headers.get("Authorization"))
                try:
                    if outer.speak is not None:
                        outer.speak(self)
                        return
                    status, headers, content = outer.answer(body)
                    self.send_response(status)
                    own = {"Content-Length": str(len(content)), "Content-Type": "application/json", **headers}
                    for name, value in own.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    self.close_connection = True  # The client went away, as it should.

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/v1"


def said(content: object, **more: Any) -> Answer:
    body = {
        "choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop", **more}]
    }
    return 200, {}, json.dumps(body).encode()


@contextmanager
def serving() -> Iterator[Server]:
    """A server that runs."""
    server = Server()
    thread = threading.Thread(target=server.http.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield server
    finally:
        server.http.shutdown()
        thread.join()
        server.http.server_close()
