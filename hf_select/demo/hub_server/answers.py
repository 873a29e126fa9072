"""What is asked and what is answered: `Call`, `Answer`, and `Refused` for the Hub's errors."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hf_select.demo.hub_server.store import User


@dataclass(frozen=True)
class Call:
    """A request whose body was read and whose token was looked up."""

    method: str
    path: str
    """As it was sent, percent-encoded."""
    query: Mapping[str, list[str]]
    """Names without a trailing `[]`."""
    body: bytes = b""
    content_type: str = ""
    user: User | None = None

    def value(self, name: str, default: str = "") -> str:
        """The first value of a query parameter."""
        return self.query.get(name, [default])[0]

    def flag(self, name: str) -> bool:
        """Whether a query parameter says yes."""
        return is_true(self.value(name))

    def json(self) -> dict[str, Any]:
        """The body as a JSON object; empty for no body."""
        try:
            document = json.loads(self.body or b"{}")
        except ValueError as error:
            raise Refused(400, f"the body is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise Refused(400, "the body must be a JSON object")
        return document


@dataclass(frozen=True)
class Answer:
    """What is sent back: bytes as they are, anything else as JSON."""

    body: Any = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class Refused(Exception):
    """An error of the Hub: status, message, and a code for those that the client tells apart."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str = "",
        headers: Mapping[str, str] | None = None,
        body: Any = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.body = body

    def answer(self) -> Answer:
        """The response that carries this error."""
        one_line = " ".join(self.message.split()).encode("latin-1", "replace").decode("latin-1")
        headers = {"X-Error-Message": one_line, **self.headers}
        if self.code:
            headers["X-Error-Code"] = self.code
        body = {"error": self.message} if self.body is None else self.body
        return Answer(body, self.status, headers)


def is_true(text: object) -> bool:
    """How the clients spell yes in a query or a form."""
    return str(text).lower() in ("1", "true")
