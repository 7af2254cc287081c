"""What a process of a model may not do: gain privileges, reach the network, write files that are not its own.

It is loaded by its path, before anything that starts threads, such as numpy: what it sets holds for the thread that
calls it and for those that begin later. So it imports little, and nothing of MLBuffet.
"""

import ctypes
import os
import resource
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

problems: list[str] = []
"""What the system did not allow, to be told when there is a log."""
MOST_FILES = 4096
"""How many files the process may have open."""

_SET_NO_NEW_PRIVILEGES = 38
_SET_CAPABILITIES = {"x86_64": 126, "aarch64": 91}
_CAPABILITY_VERSION = 0x20080522
_NEW_NETWORK, _NEW_USER = 0x40000000, 0x10000000
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_ASKED, _PATH_BENEATH = 1, 1

# the rights of Landlock that change something, by the version of its interface that brought them
_WRITE_FILE, _TRUNCATE, _REFER = 1 << 1, 1 << 14, 1 << 13
_CHANGES = {1: sum(1 << bit for bit in (1, *range(4, 13))), 2: _REFER, 3: _TRUNCATE}
_OF_FILES = _WRITE_FILE | _TRUNCATE
_ABSTRACT_SOCKETS, _SIGNALS = 1, 2
_SCOPES = {6: _ABSTRACT_SOCKETS | _SIGNALS}
"""Towards processes that are not confined with this one."""

_libc = ctypes.CDLL(None, use_errno=True)


def confine(folders: Sequence[str]) -> None:
    """Confine this thread, and what it starts; only in ``folders`` may files be written. What fails is a problem."""
    _attempt("limit its open files", _limit_files)
    _attempt("be kept from new privileges", _no_new_privileges)
    _attempt("be kept from the network", _leave_the_network)
    _attempt("be kept from writing files that are not its own", _keep_files, folders)
    _attempt("give up the privileges of its user", _drop_capabilities)


def _attempt(what: str, action: object, *given: object) -> None:
    try:
        action(*given)  # type: ignore[operator]
    except (OSError, ValueError, KeyError) as error:
        problems.append(f"the process of the model cannot {what}: {error}")


def _limit_files() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MOST_FILES if hard == resource.RLIM_INFINITY else min(MOST_FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _no_new_privileges() -> None:
    _checked(_libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0))


def _leave_the_network() -> None:
    """A namespace without interfaces; who is not root needs one of users for that."""
    user, group = os.getuid(), os.getgid()
    if _libc.unshare(_NEW_NETWORK) == 0:
        return
    _checked(_libc.unshare(_NEW_NETWORK | _NEW_USER))
    for file, text in (("setgroups", "deny"), ("uid_map", f"{user} {user} 1"), ("gid_map", f"{group} {group} 1")):
        with open(f"/proc/self/{file}", "w") as opened:  # noqa: PTH123  pathlib is not imported yet
            opened.write(text)


def _keep_files(folders: Sequence[str]) -> None:
    """By Landlock, which has to know each right that it takes away."""
    version = _checked(_libc.syscall(_CREATE_RULESET, None, 0, _VERSION_ASKED))
    handled = sum(rights for since, rights in _CHANGES.items() if since <= version)
    scoped = sum(scopes for since, scopes in _SCOPES.items() if since <= version)
    attributes = struct.pack("<QQQ", handled, 0, scoped)[: 24 if version >= 6 else 8]
    rules = _checked(_libc.syscall(_CREATE_RULESET, attributes, len(attributes), 0))
    try:
        for folder in (*folders, "/dev", "/proc/self"):
            _allow(rules, folder, handled)
        _checked(_libc.syscall(_RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)


def _allow(rules: int, path: str, rights: int) -> None:
    with suppress(FileNotFoundError):
        opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            rule = struct.pack("<Qi", rights if os.path.isdir(path) else rights & _OF_FILES, opened)  # noqa: PTH112
            _checked(_libc.syscall(_ADD_RULE, rules, _PATH_BENEATH, rule, 0))
        finally:
            os.close(opened)


def _drop_capabilities() -> None:
    number = _SET_CAPABILITIES[os.uname().machine]
    _checked(_libc.syscall(number, struct.pack("<Ii", _CAPABILITY_VERSION, 0), bytes(24)))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


if sys.platform != "linux":
    raise ImportError("models are confined on Linux alone")
