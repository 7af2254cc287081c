"""Networks, as people write them."""

from ipaddress import ip_network

import typer


def parse_network(text: str) -> str:
    """``10.0.0.1`` or ``10.0.0.0/8`` as it is. Raises `typer.BadParameter` for what is no address and no network."""
    try:
        ip_network(text)
    except ValueError as error:
        raise typer.BadParameter(f"{error}; write an address or a network, such as 10.0.0.1 or 10.0.0.0/8") from None
    return text
