"""Where webhooks may lead: to public addresses only, so that nobody uses us to reach what stands behind our wall.

A name is resolved once per attempt, every address it has is checked, and the connection is made to one of those very
addresses, so a name that changes its mind between check and use ("DNS rebinding") gains nothing. What remains: an
address that looks public but is routed inside, which only the network can know. Redirects are not followed and
proxies of the environment not used, since both would resolve names anew.
"""

from __future__ import annotations

import ipaddress
import socket

from core.errors import TollkeeperError

_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class Internal(TollkeeperError):
    """The name leads to an address that is not public."""


class Unresolvable(TollkeeperError):
    """The name has no address now."""


def addresses(host: str, port: int, *, allow_internal: bool) -> list[str]:
    """Return the addresses of a host in the order to try them.

    Raises:
        Internal: one of them is not public, and that is not allowed.
        Unresolvable: there is none; a name server may be away.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise Unresolvable(f"the name {host} cannot be resolved") from error
    unique = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_internal and not all(is_public(address) for address in unique):
        raise Internal(f"{host} leads to an internal address")
    return unique


def is_public(address: str) -> bool:
    """Say whether an address is one of the open internet, looking into IPv6 forms that carry an IPv4 address."""
    ip = ipaddress.ip_address(address.split("%", 1)[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in _NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return ip.is_global and not ip.is_multicast and not ip.is_reserved
