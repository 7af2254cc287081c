"""The servers that MLBuffet is compared with, their versions, and how each is asked."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from artifacts import ROOT, Artifact
from serving import bodies, grpc_messages
from serving.bodies import Body


@dataclass(frozen=True, kw_only=True)
class Peer:
    """A server: the script below benchmarks/peers that starts it, and what that needs."""

    name: str
    script: str = ""
    """None: it is MLBuffet itself."""
    body: Callable[[Artifact], Body] = bodies.open_inference
    packages: tuple[str, ...] = ()
    """What is installed for it beside onnxruntime, in an environment of its own; nothing: it runs in MLBuffet's."""
    python: str | None = None
    """The interpreter that it needs; None: the one that MLBuffet runs with."""
    options: tuple[str, ...] = ()
    """Arguments of its command; ``{grpc_port}`` stands for its port of gRPC."""
    restless: bool = False
    """Whether it takes processor time that nobody asked for, so that it is held still while others are measured."""


MLBUFFET = Peer(name="MLBuffet")
MLBUFFET_BINARY = Peer(name="MLBuffet, binary", body=bodies.open_inference_binary)
MLBUFFET_TWO = Peer(name="MLBuffet, --workers 2", options=("--workers", "2"))
MLBUFFET_ISOLATED = Peer(name="MLBuffet, --isolate", options=("--isolate",))
MLBUFFET_ISOLATED_BINARY = replace(
    MLBUFFET_BINARY, name="MLBuffet, --isolate, binary", options=MLBUFFET_ISOLATED.options
)
MLBUFFET_BATCHING = Peer(name="MLBuffet, --batching", options=("--batching",))
MLBUFFET_BATCHING_BINARY = Peer(
    name="MLBuffet, --batching, binary", body=bodies.open_inference_binary, options=("--batching",)
)
BARE = Peer(name="bare route", script="bare_onnx.py")
BARE_RAW = Peer(name="bare route, np.frombuffer", script="bare_onnx.py", body=bodies.raw)
BARE_TENSORFLOW = Peer(name="bare route", script="bare_tensorflow.py")

MLSERVER = Peer(name="MLServer", script="mlserver_server.py", packages=("mlserver==1.7.1",))
KSERVE = Peer(
    name="KServe", script="kserve_server.py", packages=("kserve==0.21.0",), options=("--enable_grpc", "false")
)
MOSEC = Peer(name="Mosec", script="mosec_server.py", packages=("mosec==0.9.8", "msgspec==0.23.0"), body=bodies.mosec)
MOSEC_RAW = replace(MOSEC, name="Mosec, np.frombuffer", options=("raw",), body=bodies.raw)
MOSEC_BATCHING = replace(MOSEC, name="Mosec, batches", options=("batch",))
MOSEC_BATCHING_RAW = replace(MOSEC_RAW, name="Mosec, batches, np.frombuffer", options=("batch", "raw"))
PYTHON_PEERS = (
    MLSERVER,
    KSERVE,
    Peer(name="LitServe", script="litserve_server.py", packages=("litserve==0.2.19",), body=bodies.litserve),
    Peer(name="BentoML", script="bentoml_server.py", packages=("bentoml==1.4.39",), body=bodies.bentoml),
    Peer(name="MLflow", script="mlflow_server.py", packages=("mlflow==3.17.2", "onnx==1.23.2"), body=bodies.mlflow),
    Peer(name="Ray Serve", script="ray_server.py", packages=("ray[serve]==2.60.0",), body=bodies.ray, restless=True),
    MOSEC,
)
_RAY = "ray[serve]==2.60.0"
_ON_RAY = (_RAY, f"{ROOT}[grpc]", f"{ROOT}/integrations/ray", f"{ROOT}/plugins/onnx")
RAY_PEERS = (
    Peer(name="Ray Serve", script="ray_server.py", packages=(_RAY,), body=bodies.ray, restless=True),
    Peer(name="MLBuffet on Ray Serve", script="mlbuffet_ray_server.py", packages=_ON_RAY, restless=True),
    Peer(
        name="MLBuffet on Ray Serve, [replicas]",
        script="mlbuffet_ray_server.py",
        packages=_ON_RAY,
        options=("--replicas",),
        restless=True,
    ),
)
RAY_PEERS_HAPROXY = tuple(
    replace(peer, name=f"{peer.name}, HAProxy", options=(*peer.options, "--haproxy")) for peer in RAY_PEERS
)
# its library of the interpreter suits Debian's Python 3.11, not every other
TRITON = Peer(
    name="Triton", script="triton_server.py", packages=("nvidia-pytriton==0.7.0",), python="/usr/bin/python3.11"
)

MLBUFFET_BESIDE_GRPC = Peer(name="MLBuffet, --grpc-port", options=("--grpc-port", "{grpc_port}"))
GRPC_PEERS = tuple(
    replace(peer, body=grpc_messages.raw_tensors)
    for peer in (
        Peer(name="bare handler", script="bare_grpc.py"),
        replace(MLBUFFET, options=MLBUFFET_BESIDE_GRPC.options),
        MLSERVER,
        replace(KSERVE, options=()),
        TRITON,
    )
)

_BARE = ("starlette==1.10.0", "uvicorn[standard]==0.54.0", "orjson==3.13.0")
ASGI_SERVERS = (
    Peer(name="uvicorn", script="bare_onnx.py", packages=_BARE),
    Peer(name="granian", script="bare_granian.py", packages=(*_BARE, "granian==2.8.7")),
    Peer(name="hypercorn", script="bare_hypercorn.py", packages=(*_BARE, "hypercorn==0.18.0")),
)
