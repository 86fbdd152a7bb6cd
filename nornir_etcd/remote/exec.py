"""Runs scripts on a host: one exec channel each, on the transport of the host's one SSH session."""

from __future__ import annotations

import os
import secrets
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import paramiko

from nornir_etcd.connections.ssh import connect
from nornir_etcd.connections.ssh_options import merged_options
from nornir_etcd.exceptions import CommandFailed, CommandTimeout, ConnectionLost, InventoryError, RemoteError
from nornir_etcd.remote import privilege
from nornir_etcd.remote.completed import Completed, failure, last_lines
from nornir_etcd.remote.streams import CHUNK, MARK, Ending, Output, exchange, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nornir.core.configuration import Config
    from nornir.core.inventory import Host

    from nornir_etcd.connections.ssh import LeanLinux

OUTPUT_LIMIT = 16 * 1024 * 1024

_KILL_SECONDS = 3.0
_WATCHDOG_SECONDS = 2 * _KILL_SECONDS
_PROBE_SECONDS = 30.0  # PAM takes two or three over a wrong password, more where a directory service is slow

_BOOT = (
    'umask 077; export LC_ALL=C PATH="$PATH:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"; '
    # What a login shell's start-up files print comes before this mark and is cut off.
    'echo "=nornir-etcd:$$="; echo "=nornir-etcd:$$=" >&2; '
    # Exactly as many bytes as asked for: `fullblock` is GNU's and busybox's (and POSIX 2024's), bs=1 is anyone's.
    "if dd iflag=fullblock bs=1 count=0 </dev/null >/dev/null 2>&1; "
    'then _dd() {{ dd iflag=fullblock bs="$1" count=1 $2; }}; else _dd() {{ dd bs=1 count="$1" $2; }}; fi; '
    'take() {{ [ "$1" -eq 0 ] || _dd "$1" "${{2-}}"; }}; '
    'eval "$(take {size} 2>/dev/null)"\n'
)

_KILL = """
read -r _ _ _ _ own _ </proc/$$/stat && read -r _ _ _ _ group _ </proc/{pid}/stat || exit 0
[ "$group" -gt 1 ] && [ "$group" != "$own" ] || exit 0
kill -TERM -"$group"; sleep 1; kill -KILL -"$group"
"""


@dataclass(frozen=True)
class _Run:
    """What is fixed of one run."""

    host: str
    transport: paramiko.Transport
    way: privilege.Way
    purpose: str
    deadline: float
    limit: int


def run_script(  # noqa: PLR0913 - all but the first three are keywords with one meaning each
    host: Host,
    config: Config,
    script: str,
    *,
    payload: bytes = b"",
    deadline: float,
    check: bool = True,
    output_limit: int = OUTPUT_LIMIT,
    purpose: str = "command",
) -> Completed:
    """Run a POSIX sh script on a host and return what it printed.

    The script runs as root, by sudo where the session's user is another, with umask 077, LC_ALL=C and the usual folders
    at the end of PATH. `payload` is its stdin; `take N` (a shell function: exactly N bytes, some MB at most; an operand
    of dd such as `conv=fsync` may follow) reads from it, and its stderr is dd's. A script that arrives incomplete is
    not started.

    At the deadline the script's process group gets SIGTERM and, a second later, SIGKILL, over the same session.
    Guaranteed is only that the caller is told: where the session itself hangs it is closed, and the script then ends
    when it next writes; what it moved to a session of its own (setsid) goes on.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        script: the text; never logged.
        payload: bytes for its stdin; never logged.
        deadline: seconds for the script and both its streams; a session not yet open is opened before they count.
        check: raise where the exit status is not 0.
        output_limit: bytes of stdout and stderr together that are taken.
        purpose: what it is for, for errors.

    Returns:
        Exit status and output; where `check` is off also those of a script that failed.

    Raises:
        InventoryError: the host's SSH options are wrong.
        AuthenticationFailed: sudo does not make the user root; this is asked once for each session.
        CommandMissing: the shell did not find a command.
        CommandFailed: exit status not 0, or more output than the limit.
        CommandTimeout: the deadline passed.
        ConnectionLost: the session broke; whether the script finished is unknown.
        RemoteError: one of its other kinds where no session could be opened.
    """
    run = _prepare(host, config, purpose, deadline, output_limit)
    completed = _execute(run, _stream(script, payload))
    if check and (error := failure(completed, host.name, purpose)):
        raise error
    return completed


def start_script(
    host: Host, config: Config, script: str, *, deadline: float, purpose: str
) -> tuple[paramiko.Channel, bytes]:
    """Start a POSIX sh script that goes on beside others, as `run_script` would, with its stdin left open.

    It ends by itself: sshd closes its stdin when the channel or the session is closed, or the controller dies.

    Args:
        host: a host of the inventory.
        config: Nornir's configuration.
        script: the text; never logged. It prints a line once it is where it was to get.
        deadline: seconds until that line; a session not yet open is opened before they count.
        purpose: what it is for, for errors.

    Returns:
        Its channel, for the caller to close, and the line without its end.

    Raises:
        NornirEtcdError: as `run_script` raises it; CommandFailed also where the script ended without a line.
    """
    run = _prepare(host, config, purpose, deadline, CHUNK)
    started = time.monotonic()
    output = Output()
    with _watched(run, started, output):
        channel = run.transport.open_session(timeout=deadline)
        try:
            channel.exec_command(run.way.command)
            line = first_line(channel, run.way.lead + _stream(script, b""), started + deadline, output)
        except BaseException:
            channel.close()
            raise
    if line is not None:
        return channel, line
    ended = channel.status_event.wait(_KILL_SECONDS)
    status = channel.exit_status
    channel.close()
    if not ended:
        raise _expired(run, output)
    completed = _judge(run, status, output, time.monotonic() - started)
    raise failure(completed, host.name, purpose) or CommandFailed(
        f"{purpose} failed", host=host.name, wanted="a script that goes on", found="it ended without a word"
    )


def _prepare(host: Host, config: Config, purpose: str, deadline: float, limit: int) -> _Run:
    """Return what is fixed of a run on the host's session, opened where there is none."""
    session = connect(host, config)
    transport = session.remote_conn_pre.get_transport() if session.remote_conn_pre else None
    if transport is None:
        raise _lost(host.name, purpose, "the session was closed meanwhile")
    return _Run(host.name, transport, _way(host, session, transport), purpose, deadline, limit)


def _way(host: Host, session: LeanLinux, transport: paramiko.Transport) -> privilege.Way:
    """Return how scripts become root's on a session, as it was found when the first one ran."""
    with session.way_lock:
        if session.way is None:
            session.way = _find_way(host, transport)
        if isinstance(session.way, RemoteError):
            raise session.way
        return session.way


def _find_way(host: Host, transport: paramiko.Transport) -> privilege.Way | RemoteError:
    """Ask the host; a refusal is kept like an answer, so that a wrong password is tried once and locks nobody out."""
    user = transport.get_username() or "the user"
    if user == "root":
        return privilege.AS_LOGIN
    variable = host.get(privilege.VARIABLE)
    password = (merged_options(host).extras or {}).get("secret") or (os.environ.get(variable) if variable else None)
    script = privilege.PROBE_PASSWORD if password else privilege.PROBE
    run = _Run(host.name, transport, privilege.AS_LOGIN, "look for sudo", _PROBE_SECONDS, CHUNK)
    answer = _execute(run, _stream(script, f"{password or ''}\n".encode()))
    found, said = privilege.verdict(answer.stdout)
    if found == "root":
        return privilege.AS_LOGIN
    if found == "missing":
        return privilege.no_sudo(host.name, user)
    if found == "refused":
        unset = variable if not password else None
        return privilege.refusal(host.name, user, said, unset)
    try:
        return privilege.by_sudo(password if found == "password" else None, secrets.token_hex(16))
    except ValueError as cause:
        raise InventoryError(f"{host.name}: sudo's password: {cause}") from cause


def _execute(run: _Run, stream: bytes) -> Completed:
    """Run one script to its end, whatever its exit status."""
    started = time.monotonic()
    output = Output()
    with _watched(run, started, output):
        ending, status = _converse(run, stream, started + run.deadline, output)
    if ending == "expired":
        raise _expired(run, output)
    if ending == "overflowed":
        raise CommandFailed(
            f"{run.purpose}: too much output", host=run.host, wanted=f"at most {run.limit} bytes", found="more"
        )
    return _judge(run, status, output, time.monotonic() - started)


@contextmanager
def _watched(run: _Run, started: float, output: Output) -> Iterator[None]:
    """Bound whatever paramiko waits for, and say what its errors mean."""
    # paramiko waits without end for the answer to an exec request and for a full TCP buffer: this ends such waits.
    watchdog = threading.Timer(run.deadline + _WATCHDOG_SECONDS, run.transport.close)
    watchdog.daemon = True
    watchdog.start()
    try:
        yield
    except paramiko.ChannelException as cause:
        raise RemoteError(
            f"{run.purpose}: no further channel on the session",
            host=run.host,
            found=cause.text,
            remedy="raise MaxSessions in the host's sshd_config or ask for less at once",
        ) from cause
    except (paramiko.SSHException, EOFError, OSError) as cause:
        if time.monotonic() >= started + run.deadline:
            run.transport.close()  # the next command opens a session of its own and does not wait on this one
            raise _expired(run, output) from cause
        raise _lost(run.host, run.purpose, str(cause) or type(cause).__name__) from cause
    finally:
        watchdog.cancel()


def _stream(script: str, payload: bytes) -> bytes:
    # In braces the whole is parsed before any of it runs.
    body = f"{{\n{script}\n}}".encode()
    return _BOOT.format(size=len(body)).encode() + body + payload


def _converse(run: _Run, stream: bytes, ends: float, output: Output) -> tuple[Ending, int]:
    """Run one command to its end; a command that is given up is killed."""
    channel = run.transport.open_session(timeout=max(0.001, ends - time.monotonic()))
    try:
        channel.exec_command(run.way.command)
        ending = exchange(channel, run.way.lead + stream, ends, run.limit, output)
        if ending == "ended" and not channel.status_event.wait(max(0, ends - time.monotonic())):
            ending = "expired"
        if ending != "ended" and run.transport.is_active() and not _kill(run, output.pid):
            run.transport.close()
        return ending, channel.exit_status
    finally:
        channel.close()


def _kill(run: _Run, pid: int | None) -> bool:
    """Kill a script's process group over the same session; return whether the session still answers."""
    kill = _stream(_KILL.format(pid=pid) if pid is not None else ":", b"")
    try:
        ending, _ = _converse(replace(run, limit=CHUNK), kill, time.monotonic() + _KILL_SECONDS, Output())
    except (paramiko.SSHException, EOFError, OSError):
        return False
    return ending == "ended"


def _judge(run: _Run, status: int, output: Output, seconds: float) -> Completed:
    if status < 0:
        run.transport.join(0.2)  # a dying transport closes its channels just before it says that it is dead
        if not run.transport.is_active():
            raise _lost(run.host, run.purpose, "no exit status")
    stdout, stderr = (MARK.split(stream, maxsplit=1) for stream in (output.stdout, output.stderr))
    if len(stdout) > 1 and len(stderr) > 1:
        return Completed(status, bytes(stdout[-1]), bytes(stderr[-1]), seconds)
    if run.way.by_sudo:
        raise privilege.refusal(run.host, run.transport.get_username() or "the user", bytes(output.stderr))
    raise CommandFailed(
        f"{run.purpose}: the host ran no shell script",
        host=run.host,
        wanted="a login shell that runs `sh -c`",
        found=f"exit status {status}: {last_lines(bytes(output.stdout + output.stderr)) or 'no output'}",
        remedy="check the user's login shell, ForceCommand and account",
    )


def _expired(run: _Run, output: Output) -> CommandTimeout:
    return CommandTimeout(
        f"{run.purpose} ran past its deadline",
        host=run.host,
        wanted=f"an end within {run.deadline:g} s",
        found=last_lines(MARK.sub(b"", output.stderr)) or "nothing on stderr",
    )


def _lost(host: str, purpose: str, found: str) -> ConnectionLost:
    return ConnectionLost(
        f"{purpose}: the SSH session broke",
        host=host,
        wanted="an exit status",
        found=found,
        remedy="whether it finished is unknown: run again, which observes first",
    )
