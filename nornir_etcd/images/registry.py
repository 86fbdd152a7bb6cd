"""A registry: the part of the OCI distribution API by which images get into it.

https://github.com/opencontainers/distribution-spec/blob/v1.1.0/spec.md. How a registry asks for a token is told in
https://distribution.github.io/distribution/spec/auth/token/. The standard library's HTTP is enough for these few calls:
what libraries for registries add (docker, oras) is a second HTTP stack, and none of them resumes an upload.
Environment variables for proxies are not heeded.
"""

from __future__ import annotations

import json
import re
import ssl
from base64 import b64encode
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urljoin, urlsplit

from nornir_etcd.exceptions import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from email.message import Message
    from pathlib import Path

TIMEOUT = 60.0
"""Seconds that a registry may be silent."""
ANSWER_LIMIT = 1024 * 1024
"""Bytes that are read of an answer."""
_OK, _CREATED, _ACCEPTED, _NO_CONTENT, _NOT_FOUND = 200, 201, 202, 204, 404
_UNAUTHORIZED, _FORBIDDEN = 401, 403
_REDIRECTS = (301, 302, 303, 307, 308)
_PARAMETER = re.compile(r'(\w+)="([^"]*)"')
_TITLE = re.compile(rb"<title[^>]*>([^<]{1,80})", re.IGNORECASE)


class Interrupted(ImageError):
    """A registry stopped answering; it may be asked again."""


@dataclass(frozen=True)
class Login:
    """Who asks.

    Args:
        user: the name.
        password: never shown.
    """

    user: str
    password: str = field(repr=False)

    @property
    def basic(self) -> str:
        """The header of Basic authentication (RFC 7617)."""
        return f"Basic {b64encode(f'{self.user}:{self.password}'.encode()).decode()}"


@dataclass(frozen=True)
class Answer:
    """What a registry answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def is_html(self) -> bool:
        """Whether it is a page for people."""
        kind = str(self.headers.get("Content-Type", "")).lower()
        return kind.startswith("text/html") or self.body.lstrip()[:1] == b"<"


class Registry:
    """One registry. Nothing is asked before the first call; not for several threads at once.

    Args:
        address: host or host:port.
        ca: file of the CAs that its certificate is to be of; the system's where it is None.
        login: who asks; nobody where it is None.
        plain_http: without TLS, on purpose.
        timeout: seconds that it may be silent.

    Raises:
        ImageError: the file of CAs cannot be used.
    """

    def __init__(
        self,
        address: str,
        *,
        ca: Path | None = None,
        login: Login | None = None,
        plain_http: bool = False,
        timeout: float = TIMEOUT,
    ) -> None:
        self.base = f"{'http' if plain_http else 'https'}://{address}"
        self._login = login
        self._timeout = timeout
        self._context = None if plain_http else _context(ca)
        self._connection: HTTPConnection | None = None
        self._authorization = ""

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection:
            self._connection.close()
            self._connection = None

    def check(self) -> None:
        """See that this is a registry, and that it lets one in.

        Raises:
            ImageError: it is none, it cannot be reached, its certificate is not trusted, or it refuses the login.
        """
        answer = self.ask("GET", "/v2/")
        try:
            json.loads(answer.body or b"{}")
        except (ValueError, RecursionError):
            raise self._refused("/v2/", "the API of a registry", _beginning(answer)) from None
        if answer.status != _OK:
            raise self.unexpected("/v2/", answer, "200")

    def ask(self, method: str, target: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Answer:
        """Ask, with a login where one is asked for.

        Args:
            method: of HTTP.
            target: path and query.
            body: what is sent.
            headers: further ones.

        Raises:
            Interrupted: the connection broke, or no answer came in time.
            ImageError: the registry cannot be reached or refuses the login, or the answer is a page for people.
        """
        answer = self._once(method, target, body, headers or {})
        if answer.status == _UNAUTHORIZED and not answer.is_html:
            self._authorization = self._authorize(target, answer)
            answer = self._once(method, target, body, headers or {})
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN} and not answer.is_html:
            raise self._unauthorized(target, answer)
        if answer.is_html:
            title = _TITLE.search(answer.body)
            found = f"HTML with status {answer.status}" + (
                f", '{' '.join(title[1].decode(errors='replace').split())}'" if title else ""
            )
            raise self._refused(target, "the API of a registry", found)
        return answer

    def unexpected(self, target: str, answer: Answer, wanted: str) -> ImageError:
        """Return the error of a status that is not the one wanted, with what the registry says of it."""
        return ImageError(
            f"{self.base}{_path(target)}",
            wanted=f"status {wanted}",
            found=f"{answer.status}: {_said(answer)}",
            remedy="see the registry's log",
        )

    def local(self, target: str, location: str) -> str:
        """Return path and query of a Location.

        Raises:
            ImageError: it leads to another host.
        """
        found = urlsplit(urljoin(f"{self.base}{target}", location))
        if found.hostname != urlsplit(self.base).hostname:
            raise self._refused(target, f"an upload to {self.base}", f"one to {found.scheme}://{found.netloc}")
        return f"{found.path}?{found.query}" if found.query else found.path

    def _refused(self, target: str, wanted: str, found: str) -> ImageError:
        remedy = "check address and port of the registry, and what stands in front of it"
        return ImageError(f"{self.base}{_path(target)}", wanted=wanted, found=found, remedy=remedy)

    def _once(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        more = {"Authorization": self._authorization} if self._authorization else {}
        kept = self._connection is not None
        try:
            return self._exchange(method, target, body, {**headers, **more})
        except Interrupted:
            # A connection that was kept may have been closed meanwhile; what changes nothing is simply asked again.
            if not kept or method not in {"GET", "HEAD"}:
                raise
            return self._exchange(method, target, body, {**headers, **more})

    def _exchange(self, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        if self._connection is None:
            self._connection = self._connect(self.base)
        try:
            return _converse(self._connection, method, target, body, headers)
        except (OSError, HTTPException, ValueError) as error:
            self.close()
            raise self._failed(self.base, error) from error

    def _connect(self, base: str) -> HTTPConnection:
        parts = urlsplit(base)
        host = parts.hostname or ""
        if parts.scheme == "https":
            context = self._context or _context(None)
            return HTTPSConnection(host, parts.port, timeout=self._timeout, context=context)
        return HTTPConnection(host, parts.port, timeout=self._timeout)

    def _failed(self, base: str, error: Exception) -> ImageError:
        """Return the error of a connection that could not be made, or broke."""
        if isinstance(error, ssl.SSLCertVerificationError):
            remedy = "name the file of its CA with --ca, and the registry by a name of its certificate"
            return ImageError(base, wanted="a certificate that is trusted", found=error.verify_message, remedy=remedy)
        if isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError)):
            found = "an answer without TLS" if "WRONG_VERSION" in (error.reason or "") else str(error.reason or error)
            remedy = "check the port; --plain-http goes without TLS, on purpose"
            return ImageError(base, wanted="a TLS handshake", found=found, remedy=remedy)
        if isinstance(error, TimeoutError):
            return Interrupted(base, wanted=f"an answer within {self._timeout:g} s", found="none")
        if isinstance(error, (ConnectionRefusedError, HTTPException)) or not isinstance(error, OSError):
            found = " ".join(str(getattr(error, "strerror", None) or error).split())[:200] or type(error).__name__
            return Interrupted(base, wanted="an answer of a registry", found=found.lower())
        if isinstance(error, (ConnectionError, ssl.SSLError)):
            return Interrupted(base, wanted="an answer", found=(error.strerror or type(error).__name__).lower())
        remedy = "check its name and address; without DNS the name goes into /etc/hosts"
        return ImageError(base, wanted="a connection", found=str(error.strerror or error).lower(), remedy=remedy)

    def _authorize(self, target: str, answer: Answer) -> str:
        """Return the header that the registry asks for.

        Raises:
            ImageError: it asks for a login and none is given, or for one that is not known here.
        """
        challenges = [str(one) for one in answer.headers.get_all("WWW-Authenticate") or ()]
        for challenge in challenges:
            scheme, _, rest = challenge.partition(" ")
            if scheme.lower() == "bearer":
                return f"Bearer {self._token(dict(_PARAMETER.findall(rest)))}"
        if not any(challenge.lower().startswith("basic") for challenge in challenges):
            raise self._refused(target, "Basic or Bearer authentication", ", ".join(challenges) or "neither")
        if not self._login or self._authorization == self._login.basic:
            raise self._unauthorized(target, answer)
        return self._login.basic

    def _token(self, asked: Mapping[str, str]) -> str:
        realm = asked.get("realm", "")
        parts = urlsplit(realm)
        if parts.scheme != "https" and not (parts.scheme == "http" and self.base.startswith("http:")):
            raise self._refused("/v2/", "a token service over https", realm or "none")
        query = urlencode({name: asked[name] for name in ("service", "scope") if name in asked})
        headers = {"Authorization": self._login.basic} if self._login else {}
        base = f"{parts.scheme}://{parts.netloc}"
        connection = self._connect(base)
        try:
            path = f"{parts.path or '/'}?{'&'.join(filter(None, (parts.query, query)))}"
            answer = _converse(connection, "GET", path, b"", headers)
        except (OSError, HTTPException, ValueError) as error:
            raise self._failed(base, error) from error
        finally:
            connection.close()
        if answer.status in {_UNAUTHORIZED, _FORBIDDEN}:
            raise self._unauthorized(parts.path, answer)
        try:
            content = json.loads(answer.body)
            return str(content.get("token") or content["access_token"])
        except (ValueError, KeyError, AttributeError, RecursionError):
            raise ImageError(
                realm, wanted="a token", found=f"status {answer.status}: {_beginning(answer)}", remedy="see its log"
            ) from None

    def _unauthorized(self, target: str, answer: Answer) -> ImageError:
        if self._login:
            wanted, found = f"that {self._login.user} may push", f"refused: {_said(answer)}"
            remedy = "check user and password, and the rights of the user in the project"
        else:
            wanted, found = "a login", "none given"
            remedy = "give --user, and the password with --password-env or at the prompt"
        return ImageError(f"{self.base}{_path(target)}", wanted=wanted, found=found, remedy=remedy)


def _context(ca: Path | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=str(ca) if ca else None)
    except OSError as error:  # ssl.SSLError is one
        found = getattr(error, "reason", None) or error.strerror or str(error)
        raise ImageError(f"--ca {ca}", wanted="certificates as PEM", found=str(found)) from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _converse(connection: HTTPConnection, method: str, target: str, body: bytes, headers: Mapping[str, str]) -> Answer:
    length = {"Content-Length": str(len(body))} if method in {"POST", "PUT", "PATCH"} else {}
    connection.request(method, target, body=body or None, headers={**headers, **length, "User-Agent": "nornir-etcd"})
    response = connection.getresponse()
    answer = Answer(response.status, response.headers, response.read(ANSWER_LIMIT))
    if not response.isclosed():  # more than is read of an answer: what is left would be taken for the next one
        connection.close()
    return answer


def _path(target: str) -> str:
    """Return a target without its query, in which registries keep state."""
    return target.partition("?")[0]


def _said(answer: Answer) -> str:
    """Return what a registry says in its errors."""
    try:
        errors = json.loads(answer.body)["errors"]
        lines = [f"{one.get('code', '')} {one.get('message', '')}".strip() for one in errors]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return _beginning(answer)
    return "; ".join(lines)[:200] or "no reason"


def _beginning(answer: Answer) -> str:
    text = " ".join(answer.body[:200].decode(errors="replace").split())
    return text if text.isprintable() and text else ("no text" if text else "nothing")
