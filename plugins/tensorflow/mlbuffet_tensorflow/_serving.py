"""What a model offers: its signatures, the default among them, and the parts of the graph behind each."""

from collections.abc import Mapping, Sequence

from mlbuffet.tensors import Signature, Signatures
from mlbuffet_tensorflow._resolution import Offered, default_of
from mlbuffet_tensorflow._session import Served
from mlbuffet_tensorflow._signatures import Wired, Wiring
from mlbuffet_tensorflow._variants import merged
from mlbuffet_tensorflow._written import Written, rename


def served(wired: Wired, requested: str | None) -> Served:
    """The signatures of a file that has some."""
    variants = {name: [wiring] for name, wiring in wired.wirings.items()}
    return _served(_signatures(variants), variants, Offered(tuple(variants), requested, wired.left_out))


def served_keras(wired: Wired, written: Mapping[str, Written], requested: str | None) -> Served:
    """The one function of a Keras file."""
    variants = {name: [rename(wired.wirings[name], each)] for name, each in written.items()}
    return _served(_signatures(variants), variants, Offered(tuple(variants), requested))


def served_functions(
    wirings: Mapping[str, Wiring],
    written: Mapping[str, Written],
    left_out: Mapping[str, str],
    families: Mapping[str, Sequence[str]],
    requested: str | None,
    untraced: Mapping[str, str],
) -> Served:
    """The functions of a file without signatures; those whose traces the inputs' shapes tell apart are one each."""
    unserved = {
        name: left_out[traces[0]] for name, traces in families.items() if all(trace in left_out for trace in traces)
    }
    functions = [name for name in families if name not in unserved]
    signatures: dict[str, Signature] = {}
    variants: dict[str, list[Wiring]] = {}
    for name in functions:
        renamed = {trace: rename(wirings[trace], written[trace]) for trace in families[name] if trace in written}
        if together := merged([wiring.signature for wiring in renamed.values()]):
            signatures[name], variants[name] = together, list(renamed.values())
        else:
            signatures |= {trace: wiring.signature for trace, wiring in renamed.items()}
            variants |= {trace: [wiring] for trace, wiring in renamed.items()}
    left_out = {**unserved, **untraced}
    return _served(signatures, variants, Offered(tuple(signatures), requested, left_out, tuple(functions)))


def _signatures(variants: Mapping[str, Sequence[Wiring]]) -> dict[str, Signature]:
    return {name: wirings[0].signature for name, wirings in variants.items()}


def _served(signatures: Mapping[str, Signature], variants: Mapping[str, Sequence[Wiring]], offered: Offered) -> Served:
    default, reason = default_of(offered)
    return Served(Signatures(signatures, default, default_reason=reason), variants)
