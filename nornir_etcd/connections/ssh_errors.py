"""What it means that a session could not be opened."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import paramiko

from nornir_etcd.exceptions import AuthenticationFailed, HostKeyChanged, HostRefused, HostUnreachable, RemoteError

if TYPE_CHECKING:
    from nornir_etcd.connections.ssh import LeanLinux


def describe(key: paramiko.PKey) -> str:
    """Return type and fingerprint of a key."""
    return f"{key.get_name()} {key.fingerprint}"


def explain(cause: Exception, session: LeanLinux, parameters: dict[str, Any], *, authenticating: bool) -> RemoteError:
    """Return the error that names what `cause` means for the host."""
    host, port = parameters["hostname"], parameters["port"]
    thing, wanted = f"no SSH session with {host}:{port}", f"an answer within {parameters['timeout']:g} s"
    if isinstance(cause, paramiko.BadHostKeyException):
        return HostKeyChanged(
            "the host key has changed",
            host=session.host,
            wanted=describe(cause.expected_key),
            found=describe(cause.key),
            remedy="find out why before connecting (reinstalled host, wrong address, or interception), then replace "
            f"the host's line in {session.alt_key_file or '~/.ssh/known_hosts'}",
        )
    if isinstance(cause, paramiko.AuthenticationException) or authenticating:
        return _explain_authentication(cause, session, parameters)
    if isinstance(cause, ConnectionRefusedError):
        return HostRefused(
            thing,
            host=session.host,
            wanted="an SSH server on that port",
            found="connection refused",
            remedy="check that sshd runs there and that the port is right",
        )
    remedy = "check address, port, routes and firewalls"
    if isinstance(cause, socket.gaierror):
        wanted, found = "a name that resolves", f"{host}: {cause.strerror}"
        remedy = "correct hostname in the inventory, or the resolver"
    elif isinstance(cause, TimeoutError):
        found = "none"
    elif isinstance(cause, OSError):
        found = (cause.strerror or str(cause)).lower()
    else:
        found = str(cause) or "the connection was closed"
    return HostUnreachable(thing, host=session.host, wanted=wanted, found=found, remedy=remedy)


def _explain_authentication(cause: Exception, session: LeanLinux, parameters: dict[str, Any]) -> AuthenticationFailed:
    tried = [f"key {session.key_file or 'given'} ({parameters['pkey'].fingerprint})"] if parameters["pkey"] else []
    tried += ["the agent's keys"] if parameters["allow_agent"] else []
    tried += ["the keys in ~/.ssh"] if parameters["look_for_keys"] else []
    tried += ["a password"] if parameters["password"] is not None else []
    accepted = ", ".join(getattr(cause, "allowed_types", ()))
    return AuthenticationFailed(
        "authentication failed",
        host=session.host,
        wanted=f"user {parameters['username']} let in by {' or '.join(tried) or 'a key or password, but none is set'}",
        found=f"the host refused{f' (it accepts: {accepted})' if accepted else ''}",
        remedy="authorize the key on the host, or correct username, key_file or password in the inventory",
    )
