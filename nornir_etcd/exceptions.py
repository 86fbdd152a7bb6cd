"""Everything that nornir_etcd raises on purpose.

NornirEtcdError
├── InventoryError          the inventory or a setting is wrong (exit code 2)
├── PkiError                a certificate or key is unusable, or none can be issued
├── RemoteError             a host could not be worked on
│   ├── HostUnreachable         no route, no answer, name not resolved
│   ├── HostRefused             the port answers "connection refused"
│   ├── HostKeyUnknown          the host's key is not in known_hosts
│   ├── HostKeyChanged          the host's key differs from the one in known_hosts
│   ├── AuthenticationFailed    the host does not accept the user or key
│   ├── ConnectionLost          the session broke while a command ran
│   ├── CommandMissing          a command is not on the host
│   ├── CommandFailed           a command ended with an exit code other than 0
│   └── CommandTimeout          a command ran past its deadline
├── EtcdError               an RPC to etcd failed
│   ├── EtcdUnreachable         nothing answers at the endpoint
│   ├── EtcdTlsError            the TLS handshake failed
│   ├── EtcdTimeout             no answer in time (no quorum, or overloaded)
│   └── EtcdRefused             etcd answered with an error
├── LocksRefused            another operator works on the cluster, or a lock cannot be had
├── ImageError              an image's archive is unusable, or a registry does not take it
├── SnapshotError           a snapshot is damaged, or cannot be kept on the controller
└── StepFailed              a step was carried out and its proof failed
"""

from __future__ import annotations


class NornirEtcdError(Exception):
    """An error in one line: host, thing, wanted, found, remedy.

    Args:
        thing: what is wrong, in a few words.
        host: the inventory name of the host concerned; empty where none is.
        wanted: what was expected.
        found: what was there instead.
        remedy: what the operator can do.
    """

    def __init__(self, thing: str, *, host: str = "", wanted: str = "", found: str = "", remedy: str = "") -> None:
        self.thing = thing
        self.host = host
        self.wanted = wanted
        self.found = found
        self.remedy = remedy
        super().__init__(thing, host, wanted, found, remedy)

    def __reduce__(self) -> tuple[object, ...]:
        # BaseException's own would call the class with positional arguments, which it does not take.
        return _restore, (type(self), self.args, self.__dict__)

    def __str__(self) -> str:
        line = f"{self.host}: {self.thing}" if self.host else self.thing
        facts = [f"{word} {value}" for word, value in (("wanted", self.wanted), ("found", self.found)) if value]
        if facts:
            line += ": " + ", ".join(facts)
        if self.remedy:
            line += f"; {self.remedy}"
        return " ".join(line.split())


def _restore(kind: type[NornirEtcdError], args: tuple[object, ...], state: dict[str, object]) -> NornirEtcdError:
    error = kind.__new__(kind)
    error.args = args
    error.__dict__.update(state)
    return error


class InventoryError(NornirEtcdError):
    """The inventory or a setting is wrong.

    Args:
        problems: every fault found, each a line of its own.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("inventory: " + "; ".join(problems))

    def __str__(self) -> str:
        return "\n".join(self.problems)


class PkiError(NornirEtcdError):
    """A certificate or key is unusable, or none can be issued."""


class RemoteError(NornirEtcdError):
    """A host could not be worked on."""


class HostUnreachable(RemoteError):
    """No route, no answer, or the name does not resolve."""


class HostRefused(RemoteError):
    """The SSH port answers "connection refused"."""


class HostKeyUnknown(RemoteError):
    """The host's key is not in known_hosts."""


class HostKeyChanged(RemoteError):
    """The host's key differs from the one in known_hosts."""


class AuthenticationFailed(RemoteError):
    """The host does not accept the user, key or password."""


class ConnectionLost(RemoteError):
    """The session broke while a command ran; whether it finished is unknown."""


class CommandMissing(RemoteError):
    """A command is not on the host."""


class CommandFailed(RemoteError):
    """A command ended with an exit code other than 0."""


class CommandTimeout(RemoteError):
    """A command ran past its deadline."""


class EtcdError(NornirEtcdError):
    """An RPC to etcd failed."""


class EtcdUnreachable(EtcdError):
    """Nothing answers at the endpoint."""


class EtcdTlsError(EtcdError):
    """The TLS handshake with the endpoint failed."""


class EtcdTimeout(EtcdError):
    """No answer in time: no quorum, or a member that is overloaded."""


class EtcdRefused(EtcdError):
    """Etcd answered with an error."""


class LocksRefused(NornirEtcdError):
    """Another operator works on the cluster, or a lock cannot be had; nothing has been changed.

    Args:
        problems: every lock that was not had, each a line of its own.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("locks: " + "; ".join(problems))

    def __str__(self) -> str:
        return "\n".join(self.problems)


class ImageError(NornirEtcdError):
    """An image's archive is unusable, or a registry does not take the image."""


class SnapshotError(NornirEtcdError):
    """A snapshot is damaged, or cannot be kept on the controller."""


class StepFailed(NornirEtcdError):
    """A step was carried out and its proof failed."""
