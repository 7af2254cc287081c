"""The bare route under granian instead of uvicorn."""

from granian import Granian
from granian.constants import Interfaces, Loops

from session import PORT

if __name__ == "__main__":
    server = Granian(
        "bare_onnx:app", address="127.0.0.1", port=PORT, interface=Interfaces.ASGI, loop=Loops.uvloop, log_enabled=False
    )
    server.serve()
