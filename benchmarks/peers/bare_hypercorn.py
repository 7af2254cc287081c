"""The bare route under hypercorn instead of uvicorn."""

import uvloop
from hypercorn.asyncio import serve
from hypercorn.config import Config

from bare_onnx import app
from session import PORT

if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{PORT}"]
    uvloop.run(serve(app, config))
