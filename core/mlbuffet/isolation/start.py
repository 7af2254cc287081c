"""What a process of a model begins with.

It is run by its path, so that nothing of MLBuffet is imported before the process is confined.
"""

import json
import runpy
import sys
from pathlib import Path


def start() -> None:
    """Be such a process; the last argument is JSON: the module path, and where a confined one may write."""
    given = json.loads(sys.argv.pop())
    problems = []
    if given["folders"] is not None:
        module = runpy.run_path(str(Path(__file__).with_name("confinement.py")))
        module["confine"](given["folders"])
        problems = module["problems"]
    sys.path[:] = given["path"]
    from mlbuffet.isolation.child import main

    main(problems)


if __name__ == "__main__":
    start()
