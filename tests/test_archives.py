"""Zip files: which entries are refused by whoever unpacks, and how much may come of one file."""

import unicodedata
import zipfile
from pathlib import Path

import pytest

from mlbuffet import LoadFailed
from mlbuffet.archives import MAX_RATIO, RATIO_FREE, Budget, checked, opened, pieces


def archive_of(path: Path, *names: str) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            entry = zipfile.ZipInfo(name)
            entry.filename = entry.orig_filename = name  # ZipInfo itself mends some names
            archive.writestr(entry, b"content")
    return path


def check(path: Path) -> list[str]:
    with opened(path) as archive:
        return [entry.filename for entry in checked(archive, Budget(100, 100), 10)]


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("C:/x", "a colon"),
        ("C:x", "a colon"),
        ("a:b", "a colon"),
        ("variables/a:b", "a colon"),
        ("C:\\x", "a backslash"),
        ("\\\\host\\x", "a backslash"),
        ("a\tb", "a control character"),
        ("a\x7f", "a control character"),
        ("a\x85", "a control character"),
        ("/x", "an absolute path"),
        ("//host/x", "an absolute path"),
        ("a/../b", "'..'"),
        ("..", "'..'"),
        ("./a", "'.'"),
        ("x.", "ends with a dot"),
        ("x ", "ends with a dot or a space"),
        ("assets./x", "ends with a dot"),
        (".. /x", "ends with a dot or a space"),
        ("...", "ends with a dot"),
        ("CON", "a device"),
        ("clock$", "a device"),
        ("nul.txt", "a device"),
        ("a/Aux.tar.gz", "a device"),
        ("prn/x", "a device"),
        ("COM1", "a device"),
        ("com¹.log", "a device"),
        ("lpt9", "a device"),
        ("nul .txt", "a device"),
        ("CONIN$", "a device"),
        ("é" * 128, "longer than 255 bytes"),
        ("a/" * 32 + "b", "deeper than 32 folders"),
    ],
)
def test_a_name_that_another_system_would_write_elsewhere_is_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(LoadFailed, match="the zip file holds") as refused:
        check(archive_of(tmp_path / "a.zip", name))
    assert reason in refused.value.reason


@pytest.mark.parametrize(
    "names",
    [
        ("a", "A"),
        ("variables/x", "Variables/X"),
        ("é", "E\N{COMBINING ACUTE ACCENT}"),
        (unicodedata.normalize("NFC", "Å.txt"), unicodedata.normalize("NFD", "å.txt")),
        ("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK CAPITAL LETTER SIGMA}"),
        ("a", "a/b"),
        ("A/b", "a"),
    ],
    ids=repr,
)
def test_names_that_are_one_on_some_file_system_are_refused(tmp_path: Path, names: tuple[str, str]) -> None:
    with pytest.raises(LoadFailed, match="twice; capitals and ways to write an accent"):
        check(archive_of(tmp_path / "a.zip", *names))


def test_names_that_are_names_everywhere_are_taken(tmp_path: Path) -> None:
    names = ["saved_model.pb", "variables/", "variables/variables.data-00000-of-00001", ".hidden", "console.txt"]
    names += ["com10", "auxiliary/nulls", "日本.txt", "a b", "a..b", "..a"]
    assert check(archive_of(tmp_path / "a.zip", *names[:10])) == names[:10]
    assert check(archive_of(tmp_path / "b.zip", *names[10:])) == names[10:]


def test_names_of_no_known_encoding_are_taken_as_they_are(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", "aaaa.pb")
    path.write_bytes(path.read_bytes().replace(b"aaaa.pb", b"\x84\x99\xe1a.pb"))  # of MS-DOS, which zip files assume
    assert check(path) == ["äÖßa.pb"]


def test_a_budget_is_one_for_all_that_is_spent_of_it() -> None:
    budget = Budget(10, 2 * RATIO_FREE)
    budget.spend(RATIO_FREE)
    budget.spend(10 * MAX_RATIO)
    with pytest.raises(LoadFailed, match="grow more than 100 times"):
        budget.spend(1)
    assert not budget.is_exceeded
    with pytest.raises(LoadFailed, match=f"more than {2 * RATIO_FREE} bytes"):
        budget.spend(RATIO_FREE)
    assert budget.is_exceeded


def test_more_entries_than_are_taken_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadFailed, match="has 11 entries; 10 are taken"):
        check(archive_of(tmp_path / "a.zip", *map(str, range(11))))


def test_an_entry_gives_no_more_than_it_declares(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(2**22))
    data = bytearray(path.read_bytes())
    for offset in (22, data.index(b"PK\1\2") + 24):
        data[offset : offset + 4] = (100).to_bytes(4, "little")
    path.write_bytes(data)
    given: list[bytes] = []
    with pytest.raises(LoadFailed, match="damaged"), opened(path) as archive:
        given.extend(pieces(archive, archive.infolist()[0]))
    assert sum(map(len, given)) <= 100


@pytest.mark.parametrize("cut", [1, 22, 40])
def test_a_zip_file_that_is_cut_is_damaged(tmp_path: Path, cut: int) -> None:
    path = archive_of(tmp_path / "a.zip", "a")
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(LoadFailed, match="damaged, cut short"):
        check(path)


def test_a_directory_that_is_said_to_lie_before_the_file_is_damage(tmp_path: Path) -> None:
    path = archive_of(tmp_path / "a.zip", "a")
    data = bytearray(path.read_bytes())
    data[-10:-6] = (10**6).to_bytes(4, "little")  # the size of the directory
    path.write_bytes(data)
    with pytest.raises(LoadFailed, match="damaged"):
        check(path)
