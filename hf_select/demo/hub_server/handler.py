"""HTTP: reads a request, lets it be answered or fail as told, sends the answer, logs it."""

from __future__ import annotations

import json
import re
import socket
import struct
import time
import traceback
from http.server import BaseHTTPRequestHandler
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from hf_select.demo.hub_server.access import identify
from hf_select.demo.hub_server.answers import Answer, Call, Refused
from hf_select.demo.hub_server.faults import Fault, Request
from hf_select.demo.hub_server.routes import answer
from hf_select.demo.hub_server.store import User

if TYPE_CHECKING:
    from hf_select.demo.hub_server.server import LocalHub, Server


class Handler(BaseHTTPRequestHandler):
    """One connection; http.server calls `do_GET` and the like for each of its requests."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else headers and body, two writes, cost a 40 ms delayed ACK
    server: Server

    def do_GET(self) -> None:
        """Every method goes this way."""
        hub = self.server.hub
        body = self._body()
        began = time.perf_counter()
        fault = hub.faults.take(self.command, self.path)
        if fault is not None and fault.delay:
            hub.closed.wait(fault.delay)
        user, reply = self._reply(hub, body, fault)
        sent = self._ranged(reply)
        content = _encoded(sent)
        cut = None if fault is None else fault.cut
        path, _, query = self.path.partition("?")
        bytes_out = len(content) if cut is None else min(cut, len(content))
        hub.log.append(
            Request(
                method=self.command,
                path=path,
                query=query,
                status=sent.status,
                user=user.name if user else None,
                ms=(time.perf_counter() - began) * 1000,
                bytes_out=0 if self.command == "HEAD" else bytes_out,
                headers={
                    name.lower(): value
                    for name, value in self.headers.items()
                    if name.lower() != "authorization"
                },
            )
        )
        self._send(sent, content[:bytes_out], len(content))
        if cut is not None:
            self._reset()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

    def log_message(self, format: str, *args: Any) -> None:
        """The log is `hub.log`; standard error stays quiet."""

    def _reply(self, hub: LocalHub, body: bytes, fault: Fault | None) -> tuple[User | None, Answer]:
        """Do what was asked, unless a fault comes first; a fault has the last word."""
        user, reply = None, None
        try:
            user = identify(hub.store, self.headers.get("Authorization"))
            if fault is None or fault.status is None or fault.applied:
                reply = answer(hub.store, self._call(body, user))
        except Refused as refused:
            reply = refused.answer()
        except Exception as error:  # noqa: BLE001 - else a bug here looks like a lost connection
            hub.bugs.append(traceback.format_exc())
            reply = Refused(500, f"bug in the local Hub: {error!r}").answer()
        if fault is not None and fault.status is not None:
            message = fault.message or "fault"
            return user, Refused(fault.status, message, headers=fault.headers).answer()
        assert reply is not None
        if fault is not None and fault.headers:
            reply = Answer(reply.body, reply.status, {**reply.headers, **fault.headers})
        return user, reply

    def _call(self, body: bytes, user: User | None) -> Call:
        path, _, query = self.path.partition("?")
        named = parse_qs(query, keep_blank_values=True)
        return Call(
            method=self.command,
            path=path,
            query={name.removesuffix("[]"): values for name, values in named.items()},
            body=body,
            content_type=self.headers.get("Content-Type", ""),
            user=user,
        )

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        chunks = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return b"".join(chunks)

    def _ranged(self, reply: Answer) -> Answer:
        """The part of a file that a `Range` header asks for, as a view: nothing is copied."""
        text = self.headers.get("Range", "")
        match = re.fullmatch(r"bytes=(\d*)-(\d*)", text)
        served = reply.status == 200 and "Accept-Ranges" in reply.headers
        if not served or not match or match[0] == "bytes=-":
            return reply
        size = len(reply.body)
        if match[1]:
            start, end = int(match[1]), min(int(match[2] or size), size - 1)
        else:
            start, end = max(0, size - int(match[2])), size - 1
        if start > end:
            headers = {**reply.headers, "Content-Range": f"bytes */{size}"}
            return Answer(b"", 416, headers)
        headers = {**reply.headers, "Content-Range": f"bytes {start}-{end}/{size}"}
        return Answer(memoryview(reply.body)[start : end + 1], 206, headers)

    def _send(self, reply: Answer, content: memoryview, length: int) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        if "Content-Type" not in reply.headers:
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("X-Request-Id", f"local-{len(self.server.hub.log)}")
        self.send_header("Content-Length", str(length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def _reset(self) -> None:
        """Drop the connection as a crash would: RST rather than an orderly end."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()
        self.close_connection = True


def _encoded(reply: Answer) -> memoryview:
    if isinstance(reply.body, bytes | memoryview):
        return memoryview(reply.body)
    # A card may hold dates and whatever else YAML knows.
    return memoryview(json.dumps(reply.body, default=str).encode())
