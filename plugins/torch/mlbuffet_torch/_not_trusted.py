"""The error of a file that does more than compute."""

from typing import Literal

from mlbuffet.errors import LoadFailed


class NotTrusted(LoadFailed):
    """``problem`` says what in the file reaches ``capability``; the option ``trust_code`` allows it."""

    def __init__(self, problem: str, capability: Literal["code", "files"] = "code") -> None:
        super().__init__(f"{problem}; if you trust its maker, set the option trust_code = true")
        self.problem = problem
        self.capability: Literal["code", "files"] = capability
