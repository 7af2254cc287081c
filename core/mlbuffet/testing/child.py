"""A fresh interpreter, in which a plugin may import frameworks and crash."""

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from mlbuffet.runtimes import address_of


def run(program: str, plugin: object, task: Mapping[str, Any], *, report: Path, patience: float) -> list[Any]:
    """The facts that ``program`` reports about ``plugin``; the test fails unless it ends well in ``patience`` seconds.

    Facts go to the file ``report``, because frameworks write to the standard streams.
    """
    address = address_of(plugin)
    file = getattr(sys.modules.get(address.partition(":")[0]), "__file__", None)
    task = {**task, "plugin": address, "file": file, "report": report}
    given = b"".join(map(pickle.dumps, (sys.path, task)))
    command = [sys.executable, "-X", "faulthandler", "-c", _START + program]
    end, stderr = f"did not end within {patience:g} s", b""
    with suppress(subprocess.TimeoutExpired):
        child = subprocess.run(command, input=given, capture_output=True, timeout=patience, check=False)  # noqa: S603 ours
        end = f"died with exit code {child.returncode}" if child.returncode else ""
        stderr = child.stderr[-2000:]
    facts = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    if end:
        doing = f"at: {facts[-1][0]}" if facts else f"while it imported {address}, as an entry point would"
        pytest.fail(f"a fresh interpreter {end} {doing}\n{stderr.decode(errors='replace')}".rstrip())
    return facts


_START = """
import importlib.util, json, pickle, sys
from importlib.metadata import EntryPoint

sys.path[:] = pickle.load(sys.stdin.buffer)
import mlbuffet
import msgspec  # in which a plugin writes its options

def packages():
    return {name.partition(".")[0] for name in sys.modules}

def report(*fact):
    with task["report"].open("a") as file:
        print(json.dumps(fact), file=file)

def is_importable(name, file):
    try:
        spec = importlib.util.find_spec(name)
    except ImportError:
        return False
    return spec is not None and (file is None or spec.origin == file)

def import_file(name, file):
    spec = importlib.util.spec_from_file_location(name, file)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

brought = packages() | sys.stdlib_module_names
task = pickle.load(sys.stdin.buffer)
name, file = task["plugin"].partition(":")[0], task["file"]
in_tests = file == task["tests"]
if not is_importable(name, file):
    in_tests = True
    import_file(name, file)
plugin = EntryPoint("plugin", task["plugin"], "mlbuffet").load()
if in_tests:
    brought |= packages()
runtimes = mlbuffet.Runtimes()
runtimes.register(plugin, name="plugin")
"""
"""A plugin in a file of tests is imported from that file, which pytest imports without the help of ``sys.path``."""

ASK = """
for path in task["paths"]:
    report("asking accepts", str(path))
    runtimes["plugin"].accepts(path)
report("all is asked", *(packages() - brought))
"""
"""Calls ``accepts`` for ``paths``; the last fact lists the packages that were imported besides mlbuffet's own."""

LOAD = """
from mlbuffet.model import load_artifact
from mlbuffet.testing.neighbours import context_of

context = context_of(task["beside"], runtimes)
for what, path in task["copies"]:
    report(what, "loading", "")
    try:
        model = load_artifact(path, runtimes, "plugin", task["options"], context=context)
    except mlbuffet.MLBuffetError as error:
        report(what, "refused", error.public)
        continue
    report(what, "loaded", "")
    try:
        model.predict(task["inputs"], signature=task["signature"])
    except mlbuffet.MLBuffetError:
        pass
    model.close()
"""
"""Loads each of ``copies`` and predicts; the facts are the damage, the outcome and the message."""

SCAN = """
RUN = {"exec", "marshal.loads", "os.exec", "os.fork", "os.posix_spawn", "os.system", "pickle.find_class",
       "socket.connect", "subprocess.Popen"}
is_watched = None

def watch(event, given):
    if is_watched is not None and event in RUN:
        what = given[0].co_filename if event == "exec" else "" if event == "marshal.loads" else given
        if is_watched or str(task["path"]) in str(what):
            report("the artifact", "run", f"{event} {what}")

def ask(what, path):
    report(what, "asking risks", "")
    try:
        for risk in runtimes["plugin"].risks(path, options):
            report(what, "told", risk.text)
    except mlbuffet.MLBuffetError as error:
        report(what, "refused", error.public)

options = runtimes["plugin"].combined_options(task["options"], {})
sys.addaudithook(watch)
for is_watched in (False, True):
    ask("the artifact", task["path"])
is_watched = None
for what, path in task["copies"]:
    ask(what, path)
"""
"""Asks for the risks of ``path`` twice, and of ``copies``; the facts are what was asked, the event and its text.

What is ``run`` is so in the first call if it lies in the artifact, since that imports the framework; in the second all.
"""
