"""Python's collector rests while models are loaded, and is as it was afterwards."""

import gc
import sys
from types import ModuleType

import pytest

from mlbuffet.repository.gc_pause import FRAMEWORK_MODULES, GcPause


def test_no_garbage_is_collected_while_anything_is_loaded() -> None:
    pause = GcPause()
    assert gc.isenabled()
    with pause.during_load():
        with pause.during_load():
            assert not gc.isenabled()
        assert not gc.isenabled()
    assert gc.isenabled()


def test_a_program_that_does_without_the_collector_keeps_it_so() -> None:
    gc.disable()
    try:
        with GcPause().during_load():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_what_a_framework_leaves_is_not_looked_at_again(monkeypatch: pytest.MonkeyPatch) -> None:
    frozen = gc.get_freeze_count()
    with GcPause().during_load():
        pass
    assert gc.get_freeze_count() == frozen
    try:
        with GcPause().during_load():
            for number in range(FRAMEWORK_MODULES):
                monkeypatch.setitem(sys.modules, f"part_{number}", ModuleType(f"part_{number}"))
        assert gc.get_freeze_count() > frozen
    finally:
        gc.unfreeze()
