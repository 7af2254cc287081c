"""Keys of a model.toml are changed, and all else stays as it was written."""

import stat
from pathlib import Path

import msgspec
import pytest

from mlbuffet.errors import InvalidConfiguration
from mlbuffet.repository.configuration import Configuration, read_configuration
from mlbuffet.repository.configuration_edit import edited, write_configuration

WRITTEN = """\
# what this model is for
description = "Kinds of iris" # by their leaves

[options] # for the runtime
graph_optimization = "all"   # as it was
intra_op_threads = 4 # of eight

[warmup]
inputs = {x = [[1.0, 2.0],
               [3.0, 4.0]]}
"""


def test_a_value_is_replaced_where_it_stands() -> None:
    text = edited(WRITTEN, {"options": {"intra_op_threads": 1}})
    assert text == WRITTEN.replace("intra_op_threads = 4 # of eight", "intra_op_threads = 1 # of eight")


def test_keys_and_tables_are_added_beside_what_is_there() -> None:
    text = edited(WRITTEN, {"options": {"spinning": True}, "batching": {"max_size": 8, "max_delay_ms": 1.5}})
    for line in WRITTEN.splitlines():
        assert line in text.splitlines()
    assert text.endswith("\n[batching]\nmax_size = 8\nmax_delay_ms = 1.5\n")
    found = msgspec.toml.decode(text, type=Configuration)
    assert found.options == {"graph_optimization": "all", "intra_op_threads": 4, "spinning": True}
    assert found.warmup is not None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "scheduling.max_queue = 7",
        "scheduling = {max_queue = 7}",
        "[scheduling]\nmax_queue = 7",
        "[scheduling]\nmax_concurrency = 9\n[options]\n",
        'versions = "all"\r\n[scheduling]\r\nmax_queue = 7\r\n',
    ],
)
def test_a_table_may_be_written_in_every_form(text: str) -> None:
    before = msgspec.toml.decode(text)
    after = msgspec.toml.decode(edited(text, {"scheduling": {"max_concurrency": 2}}))
    assert after == {**before, "scheduling": {**before.get("scheduling", {}), "max_concurrency": 2}}


def test_the_file_is_replaced_as_a_whole_and_keeps_its_mode(tmp_path: Path) -> None:
    file = tmp_path / "model.toml"
    file.write_text(WRITTEN)
    file.chmod(0o600)
    write_configuration(file, edited(WRITTEN, {"scheduling": {"max_concurrency": 3}}))
    assert read_configuration(file).scheduling.max_concurrency == 3
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [one.name for one in tmp_path.iterdir()] == ["model.toml"]


def test_what_the_file_must_not_say_is_not_written(tmp_path: Path) -> None:
    file = tmp_path / "model.toml"
    with pytest.raises(InvalidConfiguration, match="max_size"):
        write_configuration(file, "[batching]\nmax_size = 0\n")
    assert not file.exists()
