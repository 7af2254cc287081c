"""Versions are those of TensorFlow Serving: 0 to the largest number of 64 bits, whatever asks for them."""

from pathlib import Path

import pytest

from mlbuffet import InvalidInput
from mlbuffet.version_numbers import LARGEST, numbered_folders, version_in_address, version_number


@pytest.mark.parametrize(
    ("digits", "number"), [("0", 0), ("000", 0), ("00000123", 123), (str(LARGEST), LARGEST), ("0" * 50 + "7", 7)]
)
def test_digits_are_a_version(digits: str, number: int) -> None:
    assert version_number(digits) == number


@pytest.mark.parametrize(
    "name", ["", "v1", "-1", "+1", "1.0", "1_0", " 1", "1\n", "１", "²", "١", str(2**63), "9" * 5000]
)
def test_nothing_else_is_a_version(name: str) -> None:
    assert version_number(name) is None
    with pytest.raises(InvalidInput, match="versions are whole numbers from 0 to 9223372036854775807"):
        version_in_address(name)


@pytest.mark.parametrize("text", ["01", "00"])
def test_an_address_has_one_way_to_write_a_number(text: str) -> None:
    with pytest.raises(InvalidInput):
        version_in_address(text)
    assert version_in_address("0") == 0


def test_folders_of_versions_are_sorted_by_their_numbers(tmp_path: Path) -> None:
    for name in ("10", "9", "0", "v1", str(2**63)):
        (tmp_path / name).mkdir()
    (tmp_path / "3").touch()
    (tmp_path / "4").symlink_to("nowhere")
    (tmp_path / "5").symlink_to(".")
    (tmp_path / "6").symlink_to("9")
    assert [number for number, _ in numbered_folders(tmp_path)] == [0, 6, 9, 10]
