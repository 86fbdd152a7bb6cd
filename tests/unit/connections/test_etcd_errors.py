"""What the texts of gRPC and etcd mean: those that no etcd at hand can be made to say, as they were recorded."""

from __future__ import annotations

import pytest

from nornir_etcd.connections.rpc import explain
from nornir_etcd.exceptions import EtcdError, EtcdRefused, EtcdTimeout, EtcdTlsError, EtcdUnreachable

UNCONNECTED = "failed to connect to all addresses; last error: "


@pytest.mark.parametrize(
    ("code", "details", "kind", "wanted"),
    [
        (
            "UNAVAILABLE",
            UNCONNECTED + "UNAVAILABLE: ipv4:192.0.2.1:2379: Unwrap failed (TSI_DATA_CORRUPTED)",
            EtcdTlsError,
            (
                "found the client certificate refused, or none given; "
                "give a client certificate that is valid now and issued by a CA that etcd trusts"
            ),
        ),
        (
            "UNAVAILABLE",
            UNCONNECTED + "UNKNOWN: ipv4:192.0.2.1:2379: Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: "
            "error:10000412:SSL routines:OPENSSL_internal:SSLV3_ALERT_BAD_CERTIFICATE: OK",
            EtcdTlsError,
            (
                "found the client certificate refused, or none given; "
                "give a client certificate that is valid now and issued by a CA that etcd trusts"
            ),
        ),
        (
            "UNAVAILABLE",
            UNCONNECTED
            + "UNKNOWN: ipv6:%5B::1%5D:2379: Tls handshake failed (TSI_PROTOCOL_FAILURE): something new: OK",
            EtcdTlsError,
            (
                "found Tls handshake failed (TSI_PROTOCOL_FAILURE): something new; "
                "check that address and port are those of etcd's client URL"
            ),
        ),
        (
            "UNAVAILABLE",
            UNCONNECTED + "UNKNOWN: ipv4:192.0.2.1:2379: tcp handshaker shutdown",
            EtcdUnreachable,
            "found no answer to the TCP connection; check address, routes and firewall",
        ),
        (
            "UNAVAILABLE",
            UNCONNECTED + "UNKNOWN: ipv4:192.0.2.1:2379: Failed to connect to remote host: connect() timed out",
            EtcdUnreachable,
            "found no answer to the TCP connection; check address, routes and firewall",
        ),
        (
            "UNAVAILABLE",
            UNCONNECTED + "UNKNOWN: ipv4:192.0.2.1:2379: Failed to connect to remote host: No route to host",
            EtcdUnreachable,
            "found Failed to connect to remote host: No route to host; check address, routes and firewall",
        ),
        (
            "UNAVAILABLE",
            "Stream removed (recvmsg:Connection reset by peer (104))",
            EtcdUnreachable,
            (
                "found Stream removed (recvmsg:Connection reset by peer (104)); "
                "see etcd's log: it stops, or refuses the client certificate"
            ),
        ),
        (
            "UNAVAILABLE",
            "etcdserver: request timed out, possibly due to previous leader failure",
            EtcdTimeout,
            (
                "wanted an answer within 2 s, found etcdserver: request timed out, possibly due to previous leader "
                "failure; check that a majority of members runs, and its load and disks"
            ),
        ),
        (
            "UNKNOWN",
            "context deadline exceeded",
            EtcdTimeout,
            (
                "wanted an answer within 2 s, found context deadline exceeded; "
                "check that a majority of members runs, and its load and disks"
            ),
        ),
        (
            "DEADLINE_EXCEEDED",
            "Deadline Exceeded",
            EtcdTimeout,
            "wanted an answer within 2 s, found none; check that a majority of members runs, and its load and disks",
        ),
        (
            "UNAVAILABLE",
            "etcdserver: no leader",
            EtcdRefused,
            ("found UNAVAILABLE etcdserver: no leader; check that a majority of members runs, and its load and disks"),
        ),
        (
            "FAILED_PRECONDITION",
            "etcdserver: can only promote a learner member which is in sync with leader",
            EtcdRefused,
            (
                "found FAILED_PRECONDITION etcdserver: can only promote a learner member which is in sync with leader; "
                "see the learner's log: it must run, and leader and learner must reach each other's peer port"
            ),
        ),
        ("UNIMPLEMENTED", "unknown service", EtcdRefused, "found UNIMPLEMENTED unknown service"),
    ],
)
def test_a_text_is_told_as_what_it_means(code: str, details: str, kind: type[EtcdError], wanted: str) -> None:
    error = explain(code, details, endpoint="192.0.2.1:2379", timeout=2)
    assert type(error) is kind
    assert str(error) == f"etcd at 192.0.2.1:2379: {wanted}"
