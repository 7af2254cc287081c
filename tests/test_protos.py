"""What is compiled of the messages of gRPC is current, and lives beside other packages' messages of the same names."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import mlbuffet

MESSAGES = Path(mlbuffet.__file__).parent / "grpc/messages"
SERVING = ["tensorflow", "tensorflow_serving.apis.prediction_service_pb2_grpc"]
BESIDE = {
    "tritonclient": (sys.executable, ["tritonclient.grpc"]),
    "TensorFlow, its API for serving, tritonclient": (sys.executable, [*SERVING, "tritonclient.grpc"]),
    # whose messages and tritonclient's, of the same names, are not in one process
    "KServe": (os.environ.get("MLBUFFET_KSERVE_PYTHON"), ["kserve"]),
    "KServe, TensorFlow, its API for serving": (os.environ.get("MLBUFFET_KSERVE_PYTHON"), ["kserve", *SERVING]),
}
OURS = ["mlbuffet.grpc.messages.open_inference", "mlbuffet.grpc.messages.tensorflow_serving", "mlbuffet.grpc.server"]


@pytest.mark.parametrize("name", sorted(path.stem for path in MESSAGES.glob("*.proto")))
def test_what_is_checked_in_is_what_protoc_makes(tmp_path: Path, name: str) -> None:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{MESSAGES}", "--include_imports", f"--pyi_out={tmp_path}"]
    subprocess.run([*command, f"--descriptor_set_out={tmp_path}/made", f"{name}.proto"], check=True)
    hint, made = "`make protos` renews it", (tmp_path / f"{name}_pb2.pyi").read_text()
    assert (tmp_path / "made").read_bytes() == (MESSAGES / f"{name}.binpb").read_bytes(), hint
    types = re.sub(r"^import (\w+)_pb2 as", r"from mlbuffet.grpc.messages import \1 as", made, flags=re.MULTILINE)
    assert types == (MESSAGES / f"{name}.pyi").read_text(), hint


@pytest.mark.parametrize("name", BESIDE)
@pytest.mark.parametrize("first", ["others", "mlbuffet"])
def test_messages_of_the_same_names_may_be_in_one_process(name: str, first: str) -> None:
    python, others = BESIDE[name]
    if python is None:
        pytest.skip("`make clients` makes an environment of its own for it")
    modules = [*others, *OURS] if first == "others" else [*OURS, *others]
    message = "sys.modules['mlbuffet.grpc.messages.open_inference'].ModelInferRequest(model_name='m')"
    check = f"import sys; assert {message}.SerializeToString() == b'\\x0a\\x01m'"
    code = "\n".join([*(f"import {module}" for module in modules), check])
    subprocess.run([python, "-c", code], check=True)


@pytest.mark.parametrize("implementation", ["python", "upb"])
def test_messages_within_messages_are_there_in_each_implementation_of_protobuf(implementation: str) -> None:
    code = (
        "from mlbuffet.grpc.messages.open_inference import ModelInferRequest as request;"
        "tensor = request.InferInputTensor(name='x', datatype='FP32', shape=[1]);"
        "assert request(inputs=[tensor]).inputs[0] == tensor;"
        "import mlbuffet.server.protocols.open_inference.grpc_service"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


@pytest.mark.parametrize("implementation", ["python", "upb"])
@pytest.mark.parametrize("body", ["b'\\x0a\\x01\\xff'", "b'\\x22\\x03\\x0a\\x01\\xff'", "b'\\x0a'"])
def test_what_is_no_message_is_refused_in_each_implementation_of_protobuf(implementation: str, body: str) -> None:
    code = (
        "from mlbuffet.errors import InvalidInput\n"
        "from mlbuffet.grpc.messages.open_inference import ModelInferRequest\n"
        "from mlbuffet.grpc.service import reader\n"
        f"try: reader(ModelInferRequest)({body})\n"
        "except InvalidInput: print('refused')"
    )
    environment = {**os.environ, "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION": implementation}
    ran = subprocess.run([sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True)
    assert ran.stdout == "refused\n"


def test_a_health_service_without_lists_is_enough() -> None:
    """As in versions of grpcio-health-checking before 1.85, which are those for protobuf 6."""
    code = (
        "from grpc_health.v1 import health_pb2, health_pb2_grpc\n"
        "vars(health_pb2).pop('HealthListRequest', 0), vars(health_pb2).pop('HealthListResponse', 0)\n"
        "if hasattr(health_pb2_grpc.HealthServicer, 'List'): del health_pb2_grpc.HealthServicer.List\n"
        "import mlbuffet.grpc.server"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_messages_are_tritons_to_the_byte() -> None:
    from tritonclient.grpc import service_pb2

    from mlbuffet.grpc.messages import open_inference

    for name, theirs in vars(service_pb2).items():
        if (ours := getattr(open_inference, name, None)) is None or not hasattr(theirs, "DESCRIPTOR"):
            continue
        own = {field.name: (field.number, field.type) for field in ours.DESCRIPTOR.fields}
        others = {field.name: (field.number, field.type) for field in theirs.DESCRIPTOR.fields}
        added = {"isLoaded", "isUnloaded"} | ({"model_name"} if own.keys() & {"isLoaded", "isUnloaded"} else set())
        assert own.keys() - others.keys() <= added, name
        assert {key: own[key] for key in own.keys() & others.keys()}.items() <= others.items(), name


def test_nothing_of_grpc_is_imported_unless_it_is_asked_for() -> None:
    code = (
        "import sys, mlbuffet.cli.commands, mlbuffet.cli.serving, mlbuffet.server.processes.server_process\n"
        "from mlbuffet.server import create_app, ServerSettings\n"
        "from mlbuffet import Runtimes\n"
        "from mlbuffet.repository import ModelRepository\n"
        "create_app(ModelRepository(Runtimes()))\n"
        "assert not {name for name in sys.modules if name.split('.')[0] in ('grpc', 'grpc_health')}\n"
        "assert not {name for name in sys.modules if name.startswith(('google.protobuf', 'mlbuffet.grpc'))}\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_codes_of_errors_are_documented() -> None:
    from mlbuffet.grpc.status import CODES

    text = (Path(__file__).parents[1] / "docs/grpc.md").read_text()
    rows = dict(re.findall(r"^\| ([A-Z_]+) \| (.+) \|$", text.split("## Errors")[1], re.MULTILINE))
    for kind, code in CODES.items():
        assert f"`{kind.__name__}`" in rows[code.name]
    assert {code.name for code in CODES.values()} <= rows.keys()
