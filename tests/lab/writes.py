"""A writer that shows what an operation does to a cluster's clients; a process of its own, next to the operation.

    python -m tests.lab.writes --progress FILE --identity CA CERT KEY https://10.0.0.1:2379 https://10.0.0.2:2379

Every few milliseconds it puts a key that it never puts again through one member, through each in turn, whatever
became of the writes before: those in flight do not hold the next back, so a gap is the cluster's own. Each
acknowledgement is recorded with its revision; what fails is tried once more, by another key, through the next member.
A connection that failed, and any after 20 writes, is made anew, with the certificates that lie there by then: so what
is served and what is trusted is tried all the time. With several identities each new connection takes the next one
whose files are there.

It ends when its standard input does, by SIGTERM or SIGINT, or after --seconds. Then it reads all its keys from every
member and prints one line of JSON, a `Verdict`. Until then a line on its standard input, such as
{"endpoints": [...]} or {"identities": [[CA, CERT, KEY], ...]}, changes where it writes and as whom; the members that
are read at the end are those it writes to then. Tests start it with `Writer` (writer.py).
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import secrets
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit

import grpc.aio
from etcd3.etcdrpc import rpc_pb2

from nornir_etcd.cluster import url_host
from nornir_etcd.connections.etcd import _channel_options, _credentials
from nornir_etcd.connections.rpc import explain
from nornir_etcd.exceptions import EtcdRefused
from tests.lab.verdict import (
    LONG,
    VERDICT,
    Attempt,
    Failure,
    Found,
    Gap,
    Reading,
    Verdict,
    all_gaps,
    count,
    judge,
)

if TYPE_CHECKING:
    from collections.abc import Coroutine, Sequence

INTERVAL = 0.01  # seconds between two writes, over all members
TIMEOUT = 5.0  # seconds for one call, as etcdctl's --command-timeout
CONNECT_TIMEOUT = 2.0  # seconds for one connection attempt
FRESH_AFTER = 20  # writes after which a connection is made anew
RETRY_PAUSE = 0.05  # seconds before the one retry
REST = 0.2  # seconds that a member is left alone after a connection to it has failed
IN_FLIGHT = 256  # writes that may wait for one member
PROGRESS = 0.2  # seconds between two looks at how far it is
PAGE = 1000  # keys in one answer
READ_TRIES = 6
READ_TIMEOUT = 10.0
MAX_SECONDS = 900.0
# The writer's own end: writes in flight and their retry, each with a connection, then the reading.
STOP_TIMEOUT = 4 * TIMEOUT + READ_TRIES * (TIMEOUT + READ_TIMEOUT + 1) + 30


class Identity(NamedTuple):
    """Paths of what a client trusts and of what it shows; they need not be there yet."""

    cacert: str
    cert: str
    key: str

    @property
    def present(self) -> bool:
        """Whether all three files are there."""
        return all(Path(path).exists() for path in self)


class Connection:
    """A connection to one member, made from the files as they are now; `open` also proves that etcd answers on it."""

    def __init__(self, endpoint: str, identity: Identity) -> None:
        url = urlsplit(endpoint)
        self.endpoint = f"{url_host(url.hostname or '')}:{url.port}"
        self.identity = identity.cert
        self.writes = 0
        credentials = _credentials(endpoint, identity._asdict())
        self._channel = grpc.aio.secure_channel(
            self.endpoint, credentials, options=_channel_options(CONNECT_TIMEOUT, None)
        )

    async def prove(self) -> None:
        """Ask for the member's status, which it gives without a quorum."""
        await self._call("Maintenance/Status", rpc_pb2.StatusRequest(), rpc_pb2.StatusResponse, TIMEOUT)

    async def put(self, key: str, value: str) -> int:
        """Put a key and return the revision."""
        self.writes += 1
        request = rpc_pb2.PutRequest(key=key.encode(), value=value.encode())
        answer = await self._call("KV/Put", request, rpc_pb2.PutResponse, TIMEOUT)
        return int(answer.header.revision)

    async def read(self, prefix: str) -> Reading:
        """Read all keys of a prefix linearizably, all at the revision of the first answer."""
        key, end = prefix.encode(), prefix[:-1].encode() + bytes([ord(prefix[-1]) + 1])
        revision, keys = 0, {}
        while True:
            request = rpc_pb2.RangeRequest(key=key, range_end=end, limit=PAGE, revision=revision)
            answer = await self._call("KV/Range", request, rpc_pb2.RangeResponse, READ_TIMEOUT)
            revision = revision or answer.header.revision
            for kv in answer.kvs:
                keys[kv.key.decode()] = Found(kv.value.decode(errors="replace"), kv.mod_revision, kv.version)
            if not answer.more:
                return Reading(revision, keys)
            key = answer.kvs[-1].key + b"\0"

    async def _call(self, path: str, request: Any, response: Any, timeout: float) -> Any:
        method = self._channel.unary_unary(
            f"/etcdserverpb.{path}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        try:
            return await method(request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            raise explain(error.code().name, error.details() or "", endpoint=self.endpoint, timeout=timeout) from error

    async def close(self) -> None:
        """Close it; calls in flight are cancelled."""
        await self._channel.close()


class Link:
    """The way to one member, over one connection after another."""

    def __init__(self, endpoint: str, writes: Writes) -> None:
        self.endpoint = endpoint
        self.in_flight = 0
        self.rests_until = 0.0
        self._writes = writes
        self._identity = ""
        self._connection: Connection | None = None
        self._making: asyncio.Task[Connection] | None = None

    @property
    def free(self) -> bool:
        """Whether the next write may go this way."""
        return time.monotonic() >= self.rests_until

    async def put(self) -> Attempt:
        """Write once; never raises."""
        key, value = self._writes.next_key()
        began, clock, stage, error, revision = time.time(), time.monotonic(), "connect", "", 0
        connection = None
        self.in_flight += 1
        try:
            connection = await self._ready()
            stage = "write"
            revision = await connection.put(key, value)
        except Exception as failure:  # noqa: BLE001 - whatever happens to a write is what is asked for here
            error = f"{type(failure).__name__}: {failure}"
            if connection is self._connection and not isinstance(failure, EtcdRefused):
                self.drop()
        finally:
            self.in_flight -= 1
        identity = connection.identity if connection else self._identity
        seconds = time.monotonic() - clock
        return Attempt(key, value, self.endpoint, identity, began, seconds, stage, error, revision)

    async def _ready(self) -> Connection:
        """Give the connection; all that wait for a new one share its making and its failure."""
        if self._connection is not None and self._connection.writes < FRESH_AFTER:
            return self._connection
        self._making = self._making or asyncio.create_task(self._make())
        return await asyncio.shield(self._making)

    async def _make(self) -> Connection:
        self.drop()
        answered = False
        try:
            identity = self._writes.next_identity()
            self._identity = identity.cert
            connection = await self._writes.connect(self.endpoint, identity)
            answered = True
        finally:
            self._making = None
            self._writes.handshakes.append((self.endpoint, self._identity, answered))
            if not answered:
                self.rests_until = time.monotonic() + REST
        self._connection = connection
        return connection

    def drop(self) -> None:
        """Use the connection no more; it is closed when what is in flight on it has ended."""
        if self._connection is not None:
            self._writes.retire(self._connection)
        self._connection = None


class Writes:
    """All that one run writes and sees."""

    def __init__(self, endpoints: Sequence[str], identities: Sequence[Identity]) -> None:
        self.run = secrets.token_hex(4)
        self.endpoints = list(endpoints)
        self.identities = list(identities)
        self.handshakes: list[tuple[str, str, bool]] = []
        self.counts: Counter[str] = Counter()
        self.failed: list[Failure] = []
        self._acknowledged: list[Attempt] = []
        self._withheld = 0
        self._numbers = itertools.count(1)
        self._turns = itertools.count()
        self._links: dict[str, Link] = {}
        self._writing: set[asyncio.Task[None]] = set()
        self._others: set[asyncio.Task[None]] = set()
        self._open: set[Connection] = set()

    @property
    def _prefix(self) -> str:
        return f"writer/{self.run}/"

    def next_key(self) -> tuple[str, str]:
        """Give a key that was never used, and its value."""
        return f"{self._prefix}{next(self._numbers)}", secrets.token_hex(8)

    def next_identity(self) -> Identity:
        """Give the identity whose turn it is, of those whose files are there."""
        present = [identity for identity in self.identities if identity.present]
        if not present:
            raise FileNotFoundError(f"none of the identities is complete: {self.identities}")
        return present[next(self._turns) % len(present)]

    async def connect(self, endpoint: str, identity: Identity) -> Connection:
        """Make a connection on which etcd has answered."""
        connection = Connection(endpoint, identity)
        try:
            await connection.prove()
        except BaseException:
            await connection.close()
            raise
        self._open.add(connection)
        return connection

    def retire(self, connection: Connection) -> None:
        """Close a connection when the calls that are in flight on it have ended."""

        async def close() -> None:
            await asyncio.sleep(2 * TIMEOUT)
            self._open.discard(connection)
            await connection.close()

        _keep(self._others, close())

    def change(self, endpoints: Sequence[str] | None = None, identities: Sequence[Sequence[str]] | None = None) -> None:
        """Write through other members, or as others, from now on."""
        if endpoints is not None:
            self.endpoints = list(endpoints)
        if identities is not None:
            self.identities = [Identity(*paths) for paths in identities]

    async def write(self, stop: asyncio.Event, interval: float) -> None:
        """Begin a write every interval until told to stop, then wait for those in flight."""
        due = time.monotonic()
        for turn in itertools.count():
            if stop.is_set():
                break
            link = self._link(self.endpoints[turn % len(self.endpoints)])
            if link.free and link.in_flight < IN_FLIGHT:
                _keep(self._writing, self._write(link))
            elif link.free:
                self._withheld += 1
            due = max(due + interval, time.monotonic())
            await asyncio.sleep(due - time.monotonic())
        if self._writing:
            await asyncio.wait(self._writing)  # every call has its deadline

    async def _write(self, link: Link) -> None:
        first = await link.put()
        if not first.error:
            self._acknowledge(first)
            return
        await asyncio.sleep(RETRY_PAUSE)
        place = self.endpoints.index(link.endpoint) + 1 if link.endpoint in self.endpoints else 0
        retry = await self._link(self.endpoints[place % len(self.endpoints)]).put()
        self.failed.append(Failure(first, retry))
        if not retry.error:
            self._acknowledge(retry)

    def _acknowledge(self, attempt: Attempt) -> None:
        self._acknowledged.append(attempt)
        self.counts[attempt.endpoint] += 1

    def _link(self, endpoint: str) -> Link:
        if endpoint not in self._links:
            self._links[endpoint] = Link(endpoint, self)
        return self._links[endpoint]

    async def verdict(self, started: float, stopped: float) -> Verdict:
        """Read every member and judge."""
        answers = await asyncio.gather(*(self._read(endpoint) for endpoint in self.endpoints))
        readings = {endpoint: it for endpoint, it in zip(self.endpoints, answers) if isinstance(it, Reading)}  # noqa: B905 - gather gives one each
        unread = {endpoint: it for endpoint, it in zip(self.endpoints, answers) if isinstance(it, str)}  # noqa: B905 - as above
        for connection in list(self._open):
            await connection.close()
        gaps = all_gaps(self._acknowledged, stopped)
        return Verdict(
            run=self.run,
            started=started,
            stopped=stopped,
            acknowledged=dict(self.counts),
            failed=self.failed,
            withheld=self._withheld,
            longest_gap=max(gaps, key=lambda gap: gap.seconds, default=Gap(started, stopped)),
            gaps=[gap for gap in gaps if gap.seconds > LONG] if gaps else [Gap(started, stopped)],
            handshakes=count(self.handshakes),
            judgement=judge(self._acknowledged, readings),
            unread=unread,
        )

    async def _read(self, endpoint: str) -> Reading | str:
        """Read one member; several tries, over a new connection each, or the last error."""
        error = ""
        for pause in range(READ_TRIES):
            await asyncio.sleep(min(1, pause))
            try:
                connection = await self.connect(endpoint, self.next_identity())
                return await connection.read(self._prefix)
            except Exception as failure:  # noqa: BLE001 - whatever it is, it is told in the verdict
                error = f"{type(failure).__name__}: {failure}"
        return error


def _keep(tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
    """Start a task and hold it until it is done: the event loop itself would not."""
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)


async def _obey(writes: Writes, stop: asyncio.Event) -> None:
    """Take orders from standard input until its end."""
    reader = asyncio.StreamReader()
    try:
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        async for line in reader:
            writes.change(**json.loads(line))
    finally:
        stop.set()


async def _tell(writes: Writes, place: Path) -> None:
    """Tell from time to time how many writes through each member were acknowledged, in a file that is always whole."""
    staged = place.with_suffix(".new")
    while True:
        staged.write_text(json.dumps({"acknowledged": writes.counts, "failed": len(writes.failed)}))
        staged.replace(place)
        await asyncio.sleep(PROGRESS)


async def _run(options: argparse.Namespace) -> Verdict:
    started, stop, loop = time.time(), asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.call_later(options.seconds, stop.set)
    writes = Writes(options.endpoints, [Identity(*paths) for paths in options.identity])
    orders = asyncio.create_task(_obey(writes, stop))
    told = asyncio.create_task(_tell(writes, options.progress))
    writing = asyncio.create_task(writes.write(stop, options.interval))
    await stop.wait()
    stopped = time.time()
    await writing
    told.cancel()
    if orders.done():
        orders.result()  # an order that could not be understood ends the run here
    return await writes.verdict(started, stopped)


def main() -> None:
    """Run until told to stop; print the verdict, and exit with 1 where it is not ok."""
    parser = argparse.ArgumentParser(
        prog="writes", description="write to every member of a cluster, and look for losses"
    )
    parser.add_argument("endpoints", nargs="+", help="client URLs")
    parser.add_argument("--identity", nargs=3, action="append", required=True, metavar=("CA", "CERT", "KEY"))
    parser.add_argument("--interval", type=float, default=INTERVAL, help="seconds between two writes, over all members")
    parser.add_argument("--seconds", type=float, default=MAX_SECONDS, help="after which it ends by itself")
    parser.add_argument("--progress", type=Path, required=True, help="a file to be told in how far it is")
    verdict = asyncio.run(_run(parser.parse_args()))
    sys.stdout.write(VERDICT.dump_json(verdict).decode() + "\n")
    sys.exit(0 if verdict.ok else 1)


if __name__ == "__main__":
    main()
