"""``mlbuffet serve`` as a process of its own."""

import re
import subprocess
import sys


def serve(environment: dict[str, str], *arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mlbuffet", "serve", "--port", "0", *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def read_until(process: subprocess.Popen[str], last: str) -> str:
    assert process.stdout
    text = ""
    while last not in text:
        line = process.stdout.readline()
        assert line, f"the server ended: {text} {process.communicate()}"
        text += line
    return text


def address_in(shown: str) -> str:
    """Where a server says that it serves."""
    return str(re.findall(r"http://127\.0\.0\.1:\d+", shown)[0])
