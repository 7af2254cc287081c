"""The signature of a pipeline, by those of its steps; where these do not fit, the error says which step."""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from mlbuffet.errors import InvalidInput, LoadFailed
from mlbuffet.tensors import ParameterSpec, Signature, Signatures, TensorSpec, shape_text, specs_text
from mlbuffet_pipeline._dimensions import Dimensions, Names, Unequal, keys_of
from mlbuffet_pipeline._file import PipelineFile, Source

_MAX_VARIANTS = 256
"""Each is one more that a call may have to be held against."""
_TOO_MANY = (
    f"with it, there are more than {_MAX_VARIANTS} combinations of the dtypes that the steps take; give several steps "
    "one input, which has the same dtype for all, or let them call signatures that take one dtype"
)


class Port(NamedTuple):
    """An input or output of a step."""

    step: str
    spec: TensorSpec


class Wiring:
    """The steps so far, each with one variant of its signature."""

    def __init__(self, before: "Wiring | None" = None) -> None:
        self._dimensions: Dimensions = Dimensions(before._dimensions if before else None)
        self._inputs: dict[str, Port] = dict(before._inputs) if before else {}
        self._outputs: dict[Source, Port] = dict(before._outputs) if before else {}

    def add(self, step: str, signature: Signature, sources: Mapping[str, Source]) -> "Wiring":
        """These steps and one more. Raises `LoadFailed` where it does not fit."""
        wiring = Wiring(self)
        for name, source in sources.items():
            if name not in signature.inputs:
                raise _wrong(step, f"there is no input {name!r}; its model takes {specs_text(signature.inputs)}")
            wiring._connect(source, Port(step, signature.inputs[name]))
        for name, spec in signature.inputs.items():
            if name not in sources and not spec.optional:
                raise _wrong(step, f"nothing is said of its input {spec}; write inputs.{name} = ...")
        wiring._outputs |= {Source(step, name): Port(step, spec) for name, spec in signature.outputs.items()}
        return wiring

    def signature(self, pipeline: PipelineFile, parameters: Mapping[str, ParameterSpec]) -> Signature:
        """That of the whole."""
        names = Names(self._dimensions)
        ports = [(name, self._inputs[name]) for name in pipeline.inputs()]
        taken = [_renamed(name, port, names, optional=port.spec.optional) for name, port in ports]
        results = {name: self._output("outputs", pipeline.source(text)) for name, text in pipeline.outputs.items()}
        given = [_renamed(name, port, names) for name, port in results.items()]
        return Signature(taken, given, parameters=parameters, description=pipeline.description)

    def _output(self, taker: str, source: Source) -> Port:
        if source not in self._outputs:
            those = {one.name: port.spec for one, port in self._outputs.items() if one.step == source.step}
            raise LoadFailed(f"{taker}: there is no {str(source)!r}; the step gives {specs_text(those)}")
        return self._outputs[source]

    def _connect(self, source: Source, taker: Port) -> None:
        if source.step:
            self._fit(source, self._output(f"the step {taker.step!r}", source), taker)
        elif (known := self._inputs.get(source.name)) is None:
            self._inputs[source.name] = taker
        else:
            self._fit(source, known, taker)
            if taker.spec.optional < known.spec.optional or known.spec.shape is None:
                self._inputs[source.name] = taker

    def _fit(self, source: Source, known: Port, taker: Port) -> None:
        """Let one array be both. Raises `LoadFailed` where none can be."""
        one, other = keys_of(*known), keys_of(*taker)
        problem = "" if known.spec.dtype == taker.spec.dtype else "their dtypes differ"
        try:
            for pair in zip(one, other, strict=True) if one is not None and other is not None else ():
                self._dimensions.join(*pair)
        except Unequal as error:
            problem = problem or str(error)
        except ValueError:  # of zip
            problem = problem or "their ranks differ"
        if problem:
            what = f"as {shape_text(known.spec.shape)} {known.spec.dtype}"
            by = "comes" if source.step else f"is taken by the step {known.step!r}"
            raise _wrong(taker.step, f"it takes {taker.spec}, and {str(source)!r} {by} {what}: {problem}")


def inferred(pipeline: PipelineFile, order: Sequence[str], signatures: Mapping[str, Signatures]) -> Signature:
    """The signature of a ``pipeline`` whose models have ``signatures``. Raises `LoadFailed` where they do not fit."""
    wirings = [Wiring()]
    for step in order:
        wirings = _grown(wirings, step, signature_of(pipeline, step, signatures), pipeline.sources(step))
    parameters = {name: _parameter(pipeline, text, signatures) for name, text in pipeline.parameters.items()}
    variants: list[Signature] = []
    for wiring in wirings:
        signature = wiring.signature(pipeline, parameters)
        if signature not in variants:
            variants.append(signature)
    return variants[0] if len(variants) == 1 else Signature.of_variants(variants)


def signature_of(pipeline: PipelineFile, step: str, signatures: Mapping[str, Signatures]) -> Signature:
    """That which a step calls. Raises `LoadFailed` where there is none, or its parameters are wrong."""
    called = pipeline.steps[step]
    try:
        known = signatures[called.model or step]
        signature = known[known.resolve(called.signature)]
        signature.check_parameters(called.parameters)
    except InvalidInput as error:
        raise _wrong(step, error.problem) from None
    return signature


def _grown(wirings: Iterable[Wiring], step: str, signature: Signature, sources: Mapping[str, Source]) -> list[Wiring]:
    """``wirings`` with one more step: each variant of its signature that fits to each.

    Raises `LoadFailed` that says why none does, or that there are too many.
    """
    grown: list[Wiring] = []
    misfit: LoadFailed | None = None
    for wiring in wirings:
        for variant in signature.variants or (signature,):
            try:
                grown.append(wiring.add(step, variant, sources))
            except LoadFailed as error:
                misfit = misfit or error
        if len(grown) > _MAX_VARIANTS:
            raise _wrong(step, _TOO_MANY)
    if not grown and misfit is not None:
        raise misfit
    return grown


def _parameter(pipeline: PipelineFile, text: str, signatures: Mapping[str, Signatures]) -> ParameterSpec:
    source = pipeline.source(text)
    known = signature_of(pipeline, source.step, signatures).parameters if source.step else {}
    if source.name not in known:
        raise LoadFailed(f"parameters: {text!r} is no parameter of a step; write it as 'STEP.PARAMETER'")
    if source.name in pipeline.steps[source.step or ""].parameters:
        raise LoadFailed(f"parameters: {text!r} is set by the step {source.step!r} itself; leave out one of them")
    return known[source.name]


def _renamed(name: str, port: Port, names: Names, *, optional: bool = False) -> TensorSpec:
    spec, shape = port.spec, names.shape(*port)
    return TensorSpec(name, spec.dtype, shape, optional=optional, labels=spec.labels, description=spec.description)


def _wrong(step: str, problem: str) -> LoadFailed:
    return LoadFailed(f"the step {step!r}: {problem}")
