"""How long calls wait for a free process, by the theory of queues."""

from math import inf, log

from mlbuffet.planning.service_time import ServiceTime

BUSIEST = 0.95
"""The part of the time that a process may compute; beyond it, small errors of what was measured become long queues."""


def probability_of_waiting(load: float, servers: int) -> float:
    """Erlang's C formula: that all ``servers`` are taken, where ``load`` of them compute on average."""
    if load >= servers:
        return 1.0
    blocked = 1.0  # Erlang's B formula by its recursion, which neither overflows nor underflows
    for count in range(1, servers + 1):
        blocked = load * blocked / (count + load * blocked)
    return blocked / (1 - load / servers * (1 - blocked))


def waiting_time(rate: float, servers: int, service: ServiceTime, part: float) -> float:
    """The seconds that at most 1 - ``part`` of the calls wait longer; infinite where they are too many.

    ``rate`` calls a second arrive independently of each other (a Poisson process) and wait in one queue for the first
    of ``servers`` that is free. The waiting time of an M/M/c queue is scaled by (1 + variation) / 2, as Allen and
    Cunneen approximate M/G/c.
    """
    load = rate * service.mean
    if load > BUSIEST * servers:
        return inf
    waits = probability_of_waiting(load, servers)
    if waits <= 1 - part:
        return 0.0
    return log(waits / (1 - part)) * service.mean * (1 + service.variation) / 2 / (servers - load)


def latency(rate: float, servers: int, service: ServiceTime, part: float = 0.99) -> float:
    """The seconds from its arrival that at most 1 - ``part`` of the calls take longer."""
    return service.p99 + waiting_time(rate, servers, service, part)


def batched_latency(rate: float, servers: int, service: ServiceTime) -> float:
    """Likewise where each process computes batches of up to ``service.rows`` calls, and the next gathers meanwhile.

    A call waits at most for the batch that runs, then for its own: twice its time, if calls do not come faster than
    batches take them, which is infinite.
    """
    if rate > BUSIEST * servers * service.rows_per_second:
        return inf
    return 2 * service.p99


def servers_for(rate: float, service: ServiceTime, limit: float | None) -> int | None:
    """The fewest servers with which calls take ``limit`` seconds at most, 99 of 100 of them; ``None`` if none do."""
    if limit is not None and service.p99 > limit:
        return None
    servers = max(1, int(rate * service.mean / BUSIEST))
    while (took := latency(rate, servers, service)) == inf or (limit is not None and took > limit):
        servers += 1
    return servers


def batching_servers_for(rate: float, service: ServiceTime, limit: float | None) -> int | None:
    """Likewise with batches."""
    if limit is not None and 2 * service.p99 > limit:
        return None
    return max(1, -int(-rate / (BUSIEST * service.rows_per_second) // 1))
