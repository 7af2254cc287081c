"""Ray Serve's proxy that is HAProxy, as an environment has it chosen."""

import os
import socket


def use_haproxy() -> None:
    """Choose it, before Ray is imported; its own ports are free ones, for several clusters are measured in turn."""
    ports = []
    for _ in range(2):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            ports.append(str(probe.getsockname()[1]))
    os.environ["RAY_SERVE_ENABLE_HA_PROXY"] = "1"
    os.environ["RAY_SERVE_HAPROXY_METRICS_PORT"], os.environ["RAY_SERVE_HAPROXY_STATS_PORT"] = ports
