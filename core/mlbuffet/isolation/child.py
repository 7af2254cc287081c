"""A process of a model: it loads the model, and answers the calls of its server until that ends it."""

import faulthandler
import gc
import logging
import os
import pickle
import socket
import sys
from collections.abc import Sequence
from importlib.metadata import EntryPoint
from threading import Thread

import msgspec

from mlbuffet.errors import LoadFailed, reason_of
from mlbuffet.hookspecs import import_seconds
from mlbuffet.isolation import sent_errors, sent_signatures
from mlbuffet.isolation.channel import ServedChannel, error_message
from mlbuffet.isolation.control import Control
from mlbuffet.isolation.messages import Packed, Packer, Received
from mlbuffet.isolation.other_models import ServerModels
from mlbuffet.isolation.sent_logs import SendingHandler
from mlbuffet.isolation.surroundings import end_with_server, limit
from mlbuffet.isolation.task import Task
from mlbuffet.load_context import LoadContext
from mlbuffet.model import Model
from mlbuffet.request import Request
from mlbuffet.running_calls import REQUEST_IDS
from mlbuffet.runtimes import Runtime, Runtimes

logger = logging.getLogger("mlbuffet.process")


def main(problems: Sequence[str]) -> None:
    """Live as such a process, which could not be confined for these ``problems``.

    The arguments are the socket and a file for the tracebacks of a crash.
    """
    control, dump = Control(socket.socket(fileno=int(sys.argv[1]))), int(sys.argv[2])
    given = control.receive_bytes()
    if given is None:
        return
    task: Task = pickle.loads(given[0])  # noqa: S301 the server wrote it
    end_with_server(task.server)
    faulthandler.enable(dump)
    logging.basicConfig(level=task.log_level, handlers=[SendingHandler(control)])
    for problem in problems:
        logger.warning("%s", problem)
    limit(task)
    try:
        model = _loaded(task, control)
    except (Exception, SystemExit) as error:  # noqa: BLE001 whatever it is, the server is told
        control.send("failed", sent_errors.sent(error))
    else:
        gc.freeze()  # what was loaded stays
        _serve(model, control)
    sys.stdout.flush()
    os._exit(0)  # how a framework ends is of no interest


def _loaded(task: Task, control: Control) -> Model:
    models = ServerModels(control)
    context = LoadContext(
        name=task.name,
        version=task.version,
        options_folder=task.options_folder,
        is_upload=task.is_upload,
        models=models,
    )
    with import_seconds() as imports:
        model = Model.load(_runtime(task), task.path, task.options, context)
    models.end_of_load()
    signatures = sent_signatures.sent(model.signatures)
    control.send("loaded", signatures, model.concurrency, model.memory, dict(imports))
    return model


def _runtime(task: Task) -> Runtime:
    runtimes = Runtimes()
    for name, address in task.plugins.items():
        try:
            runtimes.register(EntryPoint(name, address, "mlbuffet").load(), name=name)
        except Exception as error:
            if name == task.runtime:
                reason = f"its runtime {name!r} cannot be imported by another process, as {address!r}"
                raise LoadFailed(reason, detail=reason_of(error)) from error
    runtimes.discover()
    return runtimes[task.runtime]


def _serve(model: Model, control: Control) -> None:
    """Answer calls on each channel that the server opens, until it says that there are no more, or has ended."""
    while (message := control.receive()) is not None:
        (kind, *_), files = message
        if kind == "channel":
            memory, requested, answered = files
            channel = ServedChannel((memory, requested, answered))
            Thread(target=channel.serve, args=[_Answers(model)], name="mlbuffet-predict", daemon=True).start()
        elif kind == "end":
            model.close()
            break


class _Answers:
    """Answers the calls of one channel."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._packer = Packer()

    def __call__(self, received: Received) -> Packed:
        try:
            return self._answer(received)
        except BaseException as error:  # noqa: BLE001 whatever it is, the server gets it
            return error_message(sent_errors.sent(error))

    def _answer(self, received: Received) -> Packed:
        model = self._model
        _, signature, outputs = received.head
        ids, _, parameters = received.tail.partition(b"\n")
        REQUEST_IDS.set(ids)
        request = None
        if model.wants_request:
            names = tuple(ids.decode(errors="replace").split())
            request = Request(
                model=model.name,
                version=model.version,
                outputs=outputs,
                ids=names,
                deadline=received.deadline,
                parameters=msgspec.msgpack.decode(parameters) if parameters else {},
            )
        results = model.compute(signature, received.tensors, request)
        try:
            return self._packer.pack(("ok",), results)
        except (TypeError, AttributeError):
            wanted = model.signatures[signature].check_outputs(outputs)
            model.check_results(results, signature, received.tensors, wanted)  # which says what is wrong with them
            raise
