"""The reading of a host's surroundings, from what hosts print."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nornir_etcd.layout import Layout
from nornir_etcd.observation import ClockOffset, Listener, Surroundings, Unknown, Volume
from nornir_etcd.runtimes import runtime
from nornir_etcd.surroundings.answer import clock_offset, parse_surroundings
from nornir_etcd.survey import Part

PATHS = Layout(ca_dir="/etc/kubernetes/pki", kube_base_dir="/etc/kubernetes", data="/var/lib/etcd")
PEER = "192.0.2.12"
ID = "0123456789abcdef" * 4
NAMES = (
    "tools",
    "sockets",
    "volumes",
    "mounts",
    "manifests",
    "kubelets",
    "ports",
    "runtime",
    "peers",
    "clock",
    "ended",
)


def read(**parts: str) -> Surroundings:
    """Return what these parts say of a host that was asked at 100 and had answered at 101."""
    found = {name: Part(0, out, "") for name, out in parts.items()}
    return parse_surroundings(found, PATHS, runtime("containerd"), (PEER,), (100.0, 101.0))


def test_what_is_not_there_is_unknown() -> None:
    nothing = parse_surroundings({}, PATHS, runtime("containerd"), (PEER,), None)
    for value in (*vars(nothing).values(), *nothing.peers.values()):
        assert isinstance(value, (Unknown, dict))


def test_a_part_that_failed_is_unknown_in_its_own_words() -> None:
    part = {"ports": Part(2, "", "grep: /proc/net/tcp: Permission denied")}
    seen = parse_surroundings(part, PATHS, runtime("containerd"), (), None)
    assert seen.listeners == Unknown("grep: /proc/net/tcp: Permission denied")


def test_the_clock_lies_between_bounds_that_the_round_trip_leaves() -> None:
    """Asked at 100, answered at 101; in between the host read its clock twice, 0.8 s apart, and was 5 s ahead."""
    offset = read(clock="105.1\n", ended="105.9\n").offset
    assert offset == ClockOffset(low=pytest.approx(4.9), high=pytest.approx(5.1))


def test_a_clock_of_whole_seconds_is_known_less_closely() -> None:
    """Busybox prints %N as it stands, or not at all."""
    offset = read(clock="100.%N\n", ended="100\n").offset
    assert offset == ClockOffset(low=-1.0, high=1.0)


def test_readings_at_other_parts_of_a_second_tell_more_of_a_clock_of_whole_seconds() -> None:
    first = clock_offset("100", "100", (100.1, 100.2))
    second = clock_offset("100", "100", (100.8, 100.9))
    assert isinstance(first, ClockOffset)
    assert isinstance(second, ClockOffset)
    assert first.most > 0.85
    assert first.narrowed(second) == ClockOffset(low=pytest.approx(-0.2), high=pytest.approx(0.2))


def test_a_clock_that_was_set_meanwhile_is_known_by_its_last_reading() -> None:
    assert ClockOffset(4.0, 5.0).narrowed(ClockOffset(-0.1, 0.1)) == ClockOffset(-0.1, 0.1)


def test_a_clock_that_prints_no_time_is_unknown() -> None:
    assert isinstance(read(clock="soon\n", ended="100\n").offset, Unknown)


LISTENS = """\
   0: 0100007F:094B 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1 0000 100 0 0 10 0
   1: 00000000:094C 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000 100 0 0 10 0
   0: 00000000000000000000000001000000:094D 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 \
00000000     0        0 4713 1 0000
"""


def test_who_listens_is_read_with_its_container() -> None:
    owners = (
        f"socket 4711 /proc/12/fd:\nsocket 4712 /proc/13/fd:\nowner 12|etcd| 0::/kubepods/{ID}\nowner 13|my nc| 0::/\n"
    )
    assert read(ports=LISTENS + owners).listeners == (
        Listener(2379, "127.0.0.1", 12, "etcd", f" 0::/kubepods/{ID}"),
        Listener(2380, "0.0.0.0", 13, "my nc", " 0::/"),  # noqa: S104 - what is read
        Listener(2381, "::1"),
    )


FOLDERS = """\
/var/lib/etcd|yes|/var/lib/etcd
/etc/kubernetes/pki|yes|/etc/kubernetes
/etc/kubernetes|yes|/etc/kubernetes
/etc/kubernetes/manifests|no|/etc/kubernetes/manifests
Filesystem     1024-blocks     Used Available Capacity Mounted on
/dev/sdb1         10255636  2048000   7654321      22% /var/lib/etcd
/dev/mapper/a b   10255636 10255636         0     100% /
/dev/mapper/a b   10255636 10255636         0     100% /
tmpfs                 1024      -24      1048       - /etc/kubernetes/manifests
"""


def test_space_and_mounts_are_read_by_folder() -> None:
    mounts = "/dev/x / ext4 rw 0 0\n/dev/sdb1 /var/lib/etcd xfs rw 0 0\n/dev/sdb1 /var/lib/etcd xfs ro,relatime 0 0\n"
    assert read(volumes=FOLDERS, mounts=mounts).volumes == {
        "/var/lib/etcd": Volume("/var/lib/etcd", 7654321 * 1024, writable=False, mount="/var/lib/etcd"),
        "/etc/kubernetes/pki": Volume("/etc/kubernetes", 0, writable=True, mount="/"),
        "/etc/kubernetes": Volume("/etc/kubernetes", 0, writable=True, mount="/"),
        "/etc/kubernetes/manifests": Volume(
            "/etc/kubernetes/manifests", 1048 * 1024, writable=False, mount="/etc/kubernetes/manifests"
        ),
    }


def test_space_without_mounts_is_known_all_the_same() -> None:
    volumes = read(volumes=FOLDERS).volumes
    assert not isinstance(volumes, Unknown)
    assert volumes["/var/lib/etcd"].writable


def test_a_df_that_left_a_line_out_is_unknown() -> None:
    assert isinstance(read(volumes=FOLDERS.rsplit("\n", 2)[0]).volumes, Unknown)


@pytest.mark.parametrize(
    ("said", "found"),
    [
        (f"{PEER}|0|", "open"),
        (
            f"{PEER}|1|bash: connect: Connection refused\nbash: line 1: /dev/tcp/{PEER}/2380: Connection refused",
            "refused",
        ),
        (f"{PEER}|1|nc: can't connect to remote host ({PEER}): Connection refused", "refused"),
        (f"{PEER}|124|", "silent"),
        (f"{PEER}|143|Terminated", "silent"),
        (f"{PEER}|1|bash: line 1: /dev/tcp/{PEER}/2380: No route to host", "silent"),
        (f"{PEER}|1|nc: connect to {PEER} port 2380 (tcp) timed out", "silent"),
    ],
)
def test_a_probe_is_told_by_what_it_said(said: str, found: str) -> None:
    other = "192.0.2.1|1|x: Connection refused\n"
    assert read(peers=f"{other}{said}\n").peers == {PEER: found}


@pytest.mark.parametrize("said", ["no bash and no nc", f"{PEER}|1|/dev/tcp/{PEER}/2380: No such file or directory", ""])
def test_a_probe_that_could_not_be_made_is_unknown(said: str) -> None:
    assert isinstance(read(peers=f"{said}\n").peers[PEER], Unknown)


words = st.one_of(
    st.text(max_size=80), st.sampled_from([LISTENS, FOLDERS, f"{PEER}|0|", "12|same||", "owner 1||", "9" * 50])
)


@given(st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(0, 255), words, words)))
def test_an_answer_that_makes_no_sense_is_read_without_an_error(parts: dict[str, tuple[int, str, str]]) -> None:
    found = {name: Part(*part) for name, part in parts.items()}
    parse_surroundings(found, PATHS, runtime("containerd"), (PEER,), (1.0, 2.0))
