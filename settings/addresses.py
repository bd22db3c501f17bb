"""Which addresses belong to the open internet and which are the owner's own: the one notion of "local".

It resolves no name; a caller that has resolved one checks each address found.
"""

import ipaddress

# RFC 6762, 6761, 8375, and what routers hand out.
PRIVATE_NAMES = (".local", ".localhost", ".lan", ".home", ".internal", ".home.arpa")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # RFC 6052: how a network without IPv4 reaches it
_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
_SIX_TO_FOUR = ipaddress.ip_network("2002::/16")
_PROTOCOLS = ipaddress.ip_network("192.0.0.0/24")  # RFC 6890; some of it counts as global in Python 3.11


def is_public(address: str) -> bool:
    """Whether an IP address belongs to the open internet.

    False for private, loopback, link-local, shared (CGNAT), multicast, reserved and documentation addresses.
    An IPv4 address in an IPv6 one (mapped, or behind NAT64) counts as itself. Python's own `is_global` is too
    kind to some of these before 3.12.4. Raises ValueError for what is no address.
    """
    ip = ipaddress.ip_address(address)
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if ip in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)))
        return ip in _GLOBAL_UNICAST and ip not in _SIX_TO_FOUR and ip.is_global
    return ip.is_global and not ip.is_multicast and ip not in _PROTOCOLS


def is_private_host(host: str) -> bool:
    """Whether a host, by its name or address alone, is one of the owner's own network. "" is none."""
    try:
        return not is_public(host)
    except ValueError:
        return bool(host) and ("." not in host or host.endswith(PRIVATE_NAMES))


def authority(host: str, port: int) -> str:
    """Host and port as a URL has them: an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def is_loopback(host: str) -> bool:
    """Whether a server that listens at this host is reached from its own machine alone."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        return host.lower() == "localhost"
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return (mapped or ip).is_loopback
