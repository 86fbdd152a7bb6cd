"""What the value of a variable may be: each function returns a value found in one form, or raises Unwanted."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Callable, Mapping

from nornir_etcd import versions
from nornir_etcd.settings.problems import Unwanted, shown

_VERSION = re.compile(r"v?[0-9]+\.[0-9]+\.[0-9]+(-[0-9A-Za-z.]{1,64})?")
_PLAIN_VERSION = re.compile(r"[0-9]{1,5}\.[0-9]{1,5}\.[0-9]{1,5}")
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_NODE_PATH = re.compile(r"(/[A-Za-z0-9._+@=,-]+)+")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_FLAG = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_MAX_PATH = 1024
_SYSTEM_FOLDER = re.compile(
    r"/(bin|boot|dev|etc|home|lib|lib64|media|mnt|opt|proc|root|run|sbin|srv|sys|tmp|usr|var|var/lib)"
)


def text(value: object, wanted: str) -> str:
    """Return a value that is a string; a number gets the hint to quote it."""
    if isinstance(value, str):
        return value
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    raise Unwanted(wanted, "YAML reads it as a number: put it in quotes" if number else "")


def one_of(*allowed: str) -> Callable[[object], str]:
    """Return a check for one of the words allowed."""
    wanted = " or ".join(repr(word) for word in allowed)

    def check(value: object) -> str:
        word = text(value, wanted)
        if word not in allowed:
            raise Unwanted(wanted)
        return word

    return check


def whole_number(least: int, most: int, unit: str) -> Callable[[object], int]:
    """Return a check for a whole number within bounds, also one written as a string (a rendered value is one)."""
    wanted = f"a whole number of {unit} from {least} to {most}"

    def check(value: object) -> int:
        number = value
        if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value):
            number = int(value)
        if not isinstance(number, int) or isinstance(number, bool) or not least <= number <= most:
            raise Unwanted(wanted)
        return number

    return check


def version(value: object) -> str:
    """Return a version of etcd as an image tag; it is used as it stands, with or without a leading v."""
    wanted = "a version such as 3.5.16-0"
    found = text(value, wanted)
    try:
        release = versions.parse(found)
    except ValueError:
        raise Unwanted(wanted) from None
    if not _VERSION.fullmatch(found):
        raise Unwanted(wanted)
    if (release.major, release.minor) not in versions.SUPPORTED:
        minors = ", ".join(f"{major}.{minor}" for major, minor in versions.SUPPORTED)
        raise Unwanted(f"a version of etcd {minors}")
    return found


def plain_version(value: object) -> str:
    """Return a version of three numbers."""
    wanted = "a version such as 1.6.5"
    found = text(value, wanted)
    if not _PLAIN_VERSION.fullmatch(found):
        raise Unwanted(wanted)
    return found


def name(value: object) -> str:
    """Return a name that is safe in a file name, in --initial-cluster, in a token and as a common name (64 at most)."""
    wanted = "at most 63 letters, digits, dots, dashes or underscores, with a letter or digit first and last"
    found = text(value, wanted)
    if not _NAME.fullmatch(found) or ".." in found:
        raise Unwanted(wanted)
    return found


def environment_variable(value: object) -> str | None:
    """Return the name of an environment variable (POSIX, Base Definitions 8.1), or None."""
    wanted = "the name of an environment variable, not what it holds"
    found = None if value is None else text(value, wanted)
    if found is not None and not _VARIABLE.fullmatch(found):
        raise Unwanted(wanted)
    return found


def member_name(value: object) -> str:
    """Return a name, see `name`, that leaves the files of the other members alone.

    NAME.pem of a member called x-key would be the key of x.
    """
    found = name(value)
    if found.endswith("-key"):
        raise Unwanted("a name that does not end in -key", "its certificate would lie where another member's key does")
    return found


def node_path(value: object) -> str:
    """Return a clean absolute path on a host, without a trailing slash.

    No colon: a volume's mountPath must not contain one (Kubernetes API, VolumeMount).
    """
    wanted = "an absolute path of letters, digits and . _ + @ = , - without '..'"
    found = text(value, wanted)
    path = posixpath.normpath(found).replace("//", "/", 1) if found else ""
    if len(found) > _MAX_PATH or ".." in found.split("/") or not _NODE_PATH.fullmatch(path):
        raise Unwanted(wanted)
    if _SYSTEM_FOLDER.fullmatch(path):
        raise Unwanted("a folder of its own", f"{path} is the system's: name a folder below it")
    return path


def controller_path(value: object) -> str:
    """Return a path on the controller, absolute or relative to the working directory."""
    wanted = "a path, absolute or relative to the working directory"
    found = text(value, wanted)
    if found.startswith("~"):
        raise Unwanted(wanted, "~ is not expanded: write the path out")
    if not found or found != found.strip() or not found.isprintable() or len(found) > _MAX_PATH:
        raise Unwanted(wanted)
    path = posixpath.normpath(found)
    if not path.strip("./"):
        raise Unwanted("a folder of its own, below the working directory or elsewhere")
    return path


def controller_file(value: object) -> str | None:
    """Return the path of a file on the controller, or None."""
    return None if value is None else controller_path(value)


def extra_flags(value: object) -> dict[str, str]:
    """Return flags of etcd as name (without dashes) -> value, from a mapping or a JSON object in a string."""
    wanted = "a mapping of flag names (without dashes in front) to values"
    found = from_json(value, wanted)
    if not isinstance(found, Mapping):
        raise Unwanted(wanted)
    return {checked_item(_flag, flag): _flag_value(flag, item) for flag, item in found.items()}


def _flag(value: object) -> str:
    found = text(value, "names of etcd's flags")
    if found.startswith("-"):
        raise Unwanted("names of etcd's flags", "leave the dashes in front out")
    if not _FLAG.fullmatch(found):
        raise Unwanted("names of etcd's flags")
    if found in versions.OWN_FLAGS:
        raise Unwanted("flags that the manifest does not set itself", "use the variable for it, where there is one")
    if found in versions.REFUSED_FLAGS:
        raise Unwanted("flags that keep data and members safe", versions.REFUSED_FLAGS[found])
    return found


def _flag_value(flag: object, value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    written = repr(value) if isinstance(value, float) else value
    if isinstance(value, int) and abs(value) < 2**63:
        written = str(value)
    if not isinstance(written, str) or not written.isprintable():
        raise Unwanted(f"a printable string, a number, true or false for {flag!r}")
    return written


def checked_item(check: Callable[[object], str], item: object) -> str:
    """Check one item of a list or mapping; the error names the item, since the value shown is the whole."""
    try:
        return check(item)
    except Unwanted as unwanted:
        raise Unwanted(f"{unwanted.wanted} (not {shown(item)})", unwanted.remedy) from None


def from_json(value: object, wanted: str) -> object:
    """Return what a string holds as JSON, as --set and a rendered template give it; anything else unchanged."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        raise Unwanted(f"{wanted}, as YAML or as JSON in a string") from None
