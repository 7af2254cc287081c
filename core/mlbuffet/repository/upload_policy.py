"""What becomes of an upload that can do more than compute."""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from mlbuffet.risks import Risk

UploadPolicy: TypeAlias = Literal["strict", "warn", "off"]
"""It is refused, it is taken and logged, or nobody looks."""
_SHOWN = 5
_WORDS = {"code": "run code of its maker", "files": "read or write files", "network": "reach other machines"}


def risks_text(risks: Sequence[Risk]) -> str:
    """What they are, on one line."""
    capabilities = {risk.capability for risk in risks}
    can = " and ".join(text for capability, text in _WORDS.items() if capability in capabilities)
    texts = "; ".join(risk.text for risk in risks[:_SHOWN])
    more = f"; and {len(risks) - _SHOWN} more" if len(risks) > _SHOWN else ""
    return f"it can {can}: {texts}{more}"


def refusal_of(risks: Sequence[Risk]) -> str:
    """Why a strict server refuses an upload with ``risks``."""
    return (
        f"{risks_text(risks)}. This server takes no such uploads (--upload-policy strict): whoever runs it can put the "
        "model into its folder, or start it with --upload-policy warn"
    )
