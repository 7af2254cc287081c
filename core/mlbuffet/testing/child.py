"""A fresh interpreter, in which a plugin may import what it likes and die without harm."""

import json
import pickle
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlbuffet.runtimes import address_of


class ChildFailed(Exception):
    """The interpreter died or hung; the message says what it was about to do."""


def run(program: str, plugin: object, task: Mapping[str, Any], *, report: Path, patience: float) -> list[Any]:
    """The facts that ``program`` told about ``plugin``; `ChildFailed` unless it ended well within ``patience`` seconds.

    Facts go to the file ``report``, since frameworks write to the standard streams as they please.
    """
    given = b"".join(map(pickle.dumps, (sys.path, {**task, "plugin": address_of(plugin), "report": report})))
    command = [sys.executable, "-X", "faulthandler", "-c", _START + program]
    end, last_words = "", b""
    try:
        child = subprocess.run(command, input=given, capture_output=True, timeout=patience, check=False)  # noqa: S603 ours
    except subprocess.TimeoutExpired:
        end = f"did not end within {patience:g} s"
    else:
        end = f"died with exit code {child.returncode}" if child.returncode else ""
        last_words = child.stderr[-2000:]
    facts = [json.loads(line) for line in report.read_text().splitlines()] if report.exists() else []
    if end:
        doing = f"at: {facts[-1][0]}" if facts else f"while it imported {address_of(plugin)}, as an entry point would"
        raise ChildFailed(f"a fresh interpreter {end} {doing}\n{last_words.decode(errors='replace')}".rstrip())
    return facts


_START = """
import json, pickle, sys
from importlib.metadata import EntryPoint

sys.path[:] = pickle.load(sys.stdin.buffer)
import mlbuffet

def packages():
    return {name.partition(".")[0] for name in sys.modules}

def tell(*fact):
    with task["report"].open("a") as report:
        print(json.dumps(fact), file=report)

brought = packages() | sys.stdlib_module_names
task = pickle.load(sys.stdin.buffer)
runtimes = mlbuffet.Runtimes()
runtimes.register(EntryPoint("plugin", task["plugin"], "mlbuffet").load(), name="plugin")
"""

ASK = """
for path in task["paths"]:
    tell("asking accepts", str(path))
    runtimes["plugin"].accepts(path)
tell("all is asked", *(packages() - brought))
"""
"""Asks ``accepts`` about ``paths``; the last fact lists the packages that were imported besides mlbuffet's own."""

LOAD = """
for what, path in task["copies"]:
    tell(what, "loading", "")
    try:
        model = mlbuffet.load(path, runtime="plugin", options=task["options"], runtimes=runtimes)
    except mlbuffet.MLBuffetError as error:
        tell(what, "refused", error.public)
        continue
    tell(what, "loaded", "")
    try:
        model.predict(task["inputs"], signature=task["signature"])
    except mlbuffet.MLBuffetError:
        pass
    model.close()
"""
"""Loads each of ``copies`` and lets it predict; the facts are what was done to it, what came of it, the message."""
