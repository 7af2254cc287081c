"""What a file says about a LightGBM model in it, before LightGBM reads it."""

import re
from itertools import accumulate, pairwise
from pathlib import Path

from mlbuffet.errors import LoadFailed
from mlbuffet.hookspecs import first_bytes

_SUFFIXES = (".txt", ".lgb", ".lgbm", ".model")
_MODEL = re.compile(rb"tree\r?\nversion=v\d")
_DUMP = re.compile(rb'\s*\{\s*"name"\s*:\s*"tree"\s*,\s*"version"\s*:\s*"v\d')
_TREE = re.compile(r"Tree=\d+\n(?:[a-z_]+=[-+.\w ]*\n)+\s*")
_SPLITS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")


def is_model(path: Path) -> bool:
    """Whether ``path`` is a file with a LightGBM model."""
    return path.suffix.lower() in _SUFFIXES and bool(_MODEL.match(first_bytes(path)))


def unservable(path: Path) -> str | None:
    """Why ``path``, which is LightGBM's, cannot be served; ``None`` for models, and for what is not LightGBM's."""
    if is_model(path):
        return None
    head = first_bytes(path)
    if _MODEL.match(head):
        return "it is a LightGBM model under another name: rename it so that it ends in .txt or .lgb"
    if _DUMP.match(head):
        return (
            "it is a dump of a LightGBM model (dump_model), which LightGBM cannot read; save the model with "
            "booster.save_model('model.txt')"
        )
    return None


def read_model(path: Path) -> str:
    """The text of the model. Raises `LoadFailed` where a part is missing: LightGBM would end the process."""
    try:
        text = path.read_bytes().decode().replace("\r\n", "\n")
        whole = _is_whole(text)
    except (KeyError, ValueError):
        whole = False
    if not whole:
        raise LoadFailed("the file is cut short, damaged or edited; copy it again, or save the model again")
    return text


def _is_whole(text: str) -> bool:
    """Whether the trees have the sizes in the header, and all that LightGBM looks up. Raises for what is no model."""
    begin, end = text.index("\nTree=0\n") + 1, text.index("\nend of trees\n") + 1
    bounds = [0, *accumulate(map(int, _fields(text[:begin])["tree_sizes"].split()))]
    trees = text[begin:end]
    return (
        text.startswith("tree\n")
        and text.index("\nend of parameters\n") > end
        and bounds[-1] == len(trees)
        and all(_is_tree(trees[one:other]) for one, other in pairwise(bounds))
    )


def _is_tree(text: str) -> bool:
    """Whether a tree has all that LightGBM looks up, as often as it does."""
    fields = _fields(text)
    leaves = int(fields["num_leaves"])
    counts = {len(fields[name].split()) for name in _SPLITS}
    return bool(_TREE.fullmatch(text)) and counts == {leaves - 1} and len(fields["leaf_value"].split()) == leaves


def _fields(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
