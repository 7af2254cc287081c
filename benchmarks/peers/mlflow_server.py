"""MLflow's scoring server, with one worker."""

import os
import sys
import tempfile
from pathlib import Path

import mlflow.onnx
import onnx

from session import PORT

if __name__ == "__main__":
    folder = Path(tempfile.mkdtemp(prefix="mlflow-")) / "model"
    mlflow.onnx.save_model(onnx.load(os.environ["MODEL"]), folder)
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = ["mlflow", "models", "serve", "-m", str(folder), "--env-manager", "local"]
    os.execv(Path(sys.executable).with_name("mlflow"), [*command, "-h", "127.0.0.1", "-p", str(PORT), "-w", "1"])
