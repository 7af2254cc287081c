"""A cluster of Ray on this machine, in a process of its own: tests tell it what to serve, and which node ends.

``python ray_cluster.py PORT GRPC_PORT NODES`` reads one JSON object a line, and writes one.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import psutil

from mlbuffet.server.processes.port_reservation import reserve

TESTS = Path(__file__).parent
HIGHLY_AVAILABLE = {
    "RAY_SERVE_ENABLE_HA_PROXY": "1",
    "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response\n    option http-buffer-request",
    "RAY_SERVE_HAPROXY_RETRIES": "10",
}
STREAMING = {**HIGHLY_AVAILABLE, "RAY_SERVE_HAPROXY_RETRY_ON": "conn-failure empty-response"}
"""The same for streams of gRPC whose clients wait for answers before they send more."""
QUIET = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_MODE": "disabled", "RAY_SERVE_LOG_TO_STDERR": "0"}


@dataclass(frozen=True)
class Replica:
    """A process that serves."""

    deployment: str
    pid: int

    def kill(self) -> None:
        """End it as a crash would."""
        os.kill(self.pid, signal.SIGKILL)


class RayCluster:
    """A cluster whose proxy listens on two ports of loopback."""

    def __init__(self, process: "subprocess.Popen[str]", port: int, grpc_port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.grpc_address = f"127.0.0.1:{grpc_port}"
        self._process = process
        self._lock = Lock()

    def run(self, path: Path, **options: Any) -> None:
        """Serve the models at ``path``, or serve them anew; ``options`` are those of `mlbuffet_ray.app`."""
        self._tell("run", models=str(path), options=options)

    def delete(self) -> None:
        """Serve nothing."""
        self._tell("delete")

    def remove_node(self) -> None:
        """End the node that was added last, with all of its processes."""
        self._tell("remove_node")

    def drain_node(self) -> None:
        """Have the node that was added last give up what it runs, as before a machine is turned off."""
        self._tell("drain_node")

    def replicas(self, *, of_last_node: bool = False) -> list[Replica]:
        """The processes that serve, of all nodes, or of the one that was added last."""
        found = []
        first = self._tell("raylet") if of_last_node else self._process.pid
        for process in psutil.Process(first).children(recursive=True):
            try:
                title = process.cmdline()[:1]
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
            parts = title[0].split(":") if title else []
            if parts[:3] == ["ray", "", "ServeReplica"]:
                found.append(Replica(parts[4].split(".")[0], process.pid))
        return found

    def end(self) -> None:
        """End every process."""
        everyone = psutil.Process(self._process.pid).children(recursive=True)
        self._process.kill()
        for process in everyone:
            if process.is_running():
                process.kill()
        self._process.wait()

    def _tell(self, what: str, **facts: Any) -> Any:
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin
        assert stdout
        with self._lock:
            print(json.dumps({"do": what, **facts}), file=stdin, flush=True)
            answer = json.loads(stdout.readline())
        assert "error" not in answer, answer["error"]
        return answer["result"]


@contextmanager
def ray_cluster(
    nodes: int = 1, *, grpc_port: int | None = None, environment: Mapping[str, str] = HIGHLY_AVAILABLE
) -> Iterator[RayCluster]:
    """A cluster of so many nodes that ends with the block."""
    port, free, metrics, statistics = _free_ports(4)
    grpc_port = grpc_port or free
    ports = {"RAY_SERVE_HAPROXY_METRICS_PORT": str(metrics), "RAY_SERVE_HAPROXY_STATS_PORT": str(statistics)}
    paths = [str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])]
    everything = {**os.environ, **QUIET, **ports, **environment, "PYTHONPATH": os.pathsep.join(paths)}
    command = [sys.executable, __file__, str(port), str(grpc_port), str(nodes)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=everything, start_new_session=True
    ) as process:
        cluster = RayCluster(process, port, grpc_port)
        try:
            cluster._tell("wait")
            yield cluster
        finally:
            cluster.end()


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        return [stack.enter_context(reserve("127.0.0.1", 0)).getsockname()[1] for _ in range(count)]


_PREEMPTION = 2
"""Ray's number of the reason to drain a node that is in use."""


class _Commands:
    """What the process does."""

    def __init__(self, port: int, grpc_port: int, nodes: int) -> None:
        import ray
        from ray import serve
        from ray.cluster_utils import Cluster

        self._serve = serve
        self._cluster = Cluster(
            initialize_head=True, head_node_args={"num_cpus": 8, "include_dashboard": False}, connect=False
        )
        self._nodes = [self._cluster.add_node(num_cpus=8) for _ in range(nodes - 1)]
        ray.init(address=self._cluster.address, log_to_driver=False)
        serve.start(
            proxy_location="HeadOnly",
            http_options={"host": "127.0.0.1", "port": port},
            grpc_options={
                "port": grpc_port,
                "grpc_servicer_functions": ["mlbuffet_ray.grpc_methods:add_services"],
                "enable_reflection": False,
            },
        )

    def wait(self) -> None:
        """Answer, now that there is a cluster."""

    def run(self, models: str, options: Mapping[str, Any]) -> None:
        import mlbuffet_ray

        application = mlbuffet_ray.app({"models": models, "front": {"num_cpus": 0}, **options})
        self._serve.run(application, route_prefix="/")

    def delete(self) -> None:
        self._serve.delete("default")

    def remove_node(self) -> None:
        self._cluster.remove_node(self._nodes.pop(), allow_graceful=False)

    def drain_node(self) -> None:
        import ray

        gcs = ray._raylet.GcsClient(address=self._cluster.gcs_address)  # as the command ray drain-node has it
        milliseconds = (int(time.time()) + 600) * 1000
        is_accepted, why = gcs.drain_node(self._nodes[-1].node_id, _PREEMPTION, "it is turned off", milliseconds)
        if not is_accepted:
            raise RuntimeError(why)

    def raylet(self) -> int:
        """The first process of the node that was added last."""
        return int(self._nodes[-1].all_processes["raylet"][0].process.pid)


def main() -> None:
    """Do what each line of the input says."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what others print is no answer
    commands = _Commands(*map(int, sys.argv[1:]))
    for line in sys.stdin:
        facts = json.loads(line)
        try:
            answer = {"result": getattr(commands, facts.pop("do"))(**facts)}
        except Exception as error:  # noqa: BLE001  the test is told
            answer = {"error": repr(error)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
