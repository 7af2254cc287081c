"""MLBuffet on Ray Serve: the model in the front, or with --replicas in one process of its own."""

import os
import signal
import sys
from pathlib import Path

from haproxy import use_haproxy

if "--haproxy" in sys.argv:
    use_haproxy()

import ray
from ray import serve

import mlbuffet_ray

if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    serve.start(http_options={"host": "127.0.0.1", "port": int(os.environ["PORT"])})
    replicas = {"num_cpus": 0} if "--replicas" in sys.argv else None
    folder = Path(os.environ["MODEL"]).parents[1]
    serve.run(mlbuffet_ray.app({"models": f"{os.environ['NAME']}={folder}", "replicas": replicas}), route_prefix="/")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
