"""What the first bytes of a file say about an XGBoost model in it."""

import re
from pathlib import Path

from mlbuffet.hookspecs import first_bytes

_SUFFIXES = (".json", ".ubj", ".model", ".bin")  # XGBoost writes UBJSON under any other name than .json
_MODEL = re.compile(
    rb"\{L\0{7}\x07learner\{"  # UBJSON
    rb'|\s*\{\s*(?:"version"\s*:\s*\[[\d,\s]*\]\s*,\s*)?"learner"\s*:\s*\{\s*'
    rb'"(?:attributes|feature_names|feature_types|gradient_booster|learner_model_param|objective)"'
)
_OTHERS = {
    rb"(?:binf)?.{136}[\x01-\x40]\0{7}(?:reg|binary|multi|count|rank|survival):": (
        "it is in XGBoost's old binary format, which XGBoost reads no more; convert it with a version before 3.1: "
        "pip install 'xgboost<3.1', then xgboost.Booster(model_file=...).save_model('model.ubj')"
    ),
    rb'\s*\[\s*\{\s*"nodeid"\s*:|booster\[0\]:\s': (
        "it is a dump of an XGBoost model for people (dump_model), which XGBoost cannot read; save the model with "
        "save_model('model.ubj')"
    ),
    rb'\s*\{\s*"learner"\s*:\s*\{\s*"generic_param"': (
        "it is the configuration of an XGBoost model (save_config) without its trees; save the model with "
        "save_model('model.ubj')"
    ),
}


def is_model(path: Path) -> bool:
    """Whether ``path`` is a file with an XGBoost model in JSON or UBJSON."""
    return path.suffix.lower() in _SUFFIXES and bool(_MODEL.match(first_bytes(path)))


def unservable(path: Path) -> str | None:
    """Why ``path``, which is XGBoost's, cannot be served; ``None`` for models, and for what is not XGBoost's."""
    if not path.is_file() or is_model(path):
        return None
    head = first_bytes(path)
    if _MODEL.match(head):
        return "it is an XGBoost model under another name: rename it so that it ends in .json or .ubj"
    for pattern, reason in _OTHERS.items():
        if re.match(pattern, head, re.DOTALL):
            return reason
    damaged = "the .ubj file is empty or damaged: it does not begin as an XGBoost model does; save the model again"
    return damaged if path.suffix.lower() == ".ubj" else None


def is_damaged(content: bytes) -> bool:
    """Whether ``content`` has no beginning, or in UBJSON not the version at its end: XGBoost itself may crash of it."""
    end = rb"version\[.{9,40}\}$" if content.startswith(b"{L") else b""
    return content[:1] != b"{" or not re.search(end, content[-64:], re.DOTALL)
