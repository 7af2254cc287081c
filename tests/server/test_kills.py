"""A server that is killed leaves whole versions, and all that it acknowledged; ``make kills`` does it 300 times."""

from pathlib import Path

from kill_campaign import campaign


def test_versions_are_whole_or_absent_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    counts = campaign(tmp_path, kills=6, seed=1)
    assert sum(count for what, count in counts.items() if what.endswith("interrupted")) >= 6
