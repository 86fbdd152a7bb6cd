"""Arguments for ssh in Ansible's variables, such as `ansible_ssh_common_args`: the ways over other hosts. Pure."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field

_HOP = re.compile(r"(?:(?P<user>[\w.@-]+)@)?(?P<host>[\w.-]+|\[[0-9A-Fa-f:]+\])(?::(?P<port>[0-9]{1,5}))?")
# ssh(1): the options that take an argument.
_WITH_ARGUMENT = frozenset("BbcDEeFIiJLlmOoPpQRSWw")
_HARMLESS = frozenset(
    {
        *("controlmaster", "controlpath", "controlpersist", "serveraliveinterval", "serveralivecountmax"),
        *("batchmode", "compression", "connecttimeout", "forwardagent", "loglevel", "preferredauthentications"),
        "tcpkeepalive",
    }
)
"""Options that no session needs to come about: one is kept for a whole run, and watched."""
_HOST_KEYS = frozenset({"stricthostkeychecking", "userknownhostsfile", "globalknownhostsfile", "checkhostip"})


@dataclass
class SshArgs:
    """What arguments for ssh come to.

    Attributes:
        proxy: the command through which a host is reached, as ssh's ProxyCommand; empty where there is none.
        key_file: the private key; empty where none is named.
        username: who logs in; empty where nobody is named.
        port: at which port; None where none is named.
        faults: what cannot be taken over, and without which a session may not come about.
        left: what is not taken over, in words.
    """

    proxy: str = ""
    key_file: str = ""
    username: str = ""
    port: int | None = None
    faults: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)


def read(text: str) -> SshArgs:
    """Return what arguments for ssh come to.

    Args:
        text: the arguments, quoted as for a shell.
    """
    found = SshArgs()
    try:
        words = shlex.split(text)
    except ValueError as error:
        found.faults.append(f"wanted arguments for ssh, found {str(error).lower()}")
        return found
    while words:
        word = words.pop(0)
        if not word.startswith("-") or len(word) == 1:
            found.faults.append(f"wanted options of ssh alone, found {word!r}")
            continue
        letter, rest = word[1], word[2:]
        if letter not in _WITH_ARGUMENT:
            found.left.append(f"-{letter}")
            words = [f"-{rest}", *words] if rest else words
        elif not rest and not words:
            found.faults.append(f"wanted something behind -{letter}, found nothing")
        else:
            _option(found, letter, rest or words.pop(0))
    return found


def _option(found: SshArgs, letter: str, value: str) -> None:
    """Take one option with its argument; the first of a kind holds, as with ssh."""
    name = ""
    if letter == "o":
        name, value = (part.strip() for part in re.split(r"\s*=\s*|\s+", value.strip() + " ", maxsplit=1))
    match {"J": "proxyjump", "i": "identityfile", "l": "user", "p": "port"}.get(letter, name.lower()):
        case "proxyjump":
            _jump(found, value)
        case "proxycommand":
            found.proxy = found.proxy or ("" if value == "none" else value)
        case "identityfile":
            found.key_file = found.key_file or value
        case "user":
            found.username = found.username or value
        case "port" if value.isdecimal():
            found.port = found.port or int(value)
        case known if known in _HOST_KEYS:
            found.left.append(f"{name}={value}: host keys are checked here, see `nornir-etcd hosts trust`")
        case known if known in _HARMLESS:
            pass
        case _:
            found.left.append(f"-{letter} {f'{name}={value}' if name else value}")


def _jump(found: SshArgs, value: str) -> None:
    if value == "none" or found.proxy:
        return
    hops = [_HOP.fullmatch(hop.removeprefix("ssh://")) for hop in value.split(",")]
    *before, last = hops
    if last is None or None in before:
        found.faults.append(f"ProxyJump: wanted [USER@]HOST[:PORT], several with commas, found {value!r}")
        return
    words = ["ssh", *(("-J", value.rpartition(",")[0]) if before else ()), "-W", "%h:%p"]
    words += ["-p", last["port"]] if last["port"] else []
    words += ["-l", last["user"]] if last["user"] else []
    found.proxy = " ".join([*words, last["host"].strip("[]")])
