"""paramiko's transport, with the host's own words kept where it refuses a channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

import paramiko

if TYPE_CHECKING:
    from paramiko.message import Message


class Transport(paramiko.Transport):
    """A transport that tells why a channel was refused.

    paramiko's ChannelException has the code alone, and "connect failed" (RFC 4254, 5.1) is said of a port that refuses
    as well as of a name that does not resolve.
    """

    refusal = ""
    """What the host said when it last refused a channel."""

    def _parse_channel_open_failure(self, m: Message) -> None:
        m.get_int()  # the channel
        m.get_int()  # the code
        self.refusal = m.get_text()
        m.rewind()
        super()._parse_channel_open_failure(m)  # type: ignore[misc]  # one of paramiko's handlers, made to be overridden
