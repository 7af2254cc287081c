"""What MLBuffet is to reach, as ratios within one run."""

from collections.abc import Mapping
from dataclasses import dataclass

from figures import Key, Outcome
from serving.grpc_cases import PIXELS, STREAMS
from serving.overload import OVERLOADED, PEAK, SHORT, UNLOADED
from serving.peers import MLBUFFET_BESIDE_GRPC
from serving.ray_cases import HAPROXY

PYTHON_PEERS = ("MLServer", "KServe", "LitServe", "BentoML", "MLflow", "Ray Serve")


@dataclass(frozen=True)
class Target:
    """A figure of ``ours``, held against the best of ``theirs``."""

    case: str
    ours: Key
    theirs: tuple[Key, ...]
    at_least: float | None = None
    at_most: float | None = None
    difference: bool = False
    """Whether the figures are subtracted, not divided."""
    unit: str | None = None
    """None: the unit of the case."""

    def measured(self, outcomes: Mapping[str, Outcome]) -> float | None:
        """What was measured, if it was."""
        outcome = outcomes.get(self.case)
        if outcome is None or self.ours not in outcome.rounds:
            return None
        there = [key for key in self.theirs if key in outcome.rounds]
        if not there:
            return None
        if self.difference:
            return outcome.median(self.ours, self.unit) - outcome.median(there[0], self.unit)
        return min(outcome.ratio(self.ours, key, self.unit) for key in there)

    @property
    def wanted(self) -> str:
        """The target, for people."""
        bound, word = (self.at_least, "at least") if self.at_least is not None else (self.at_most, "at most")
        return f"{word} {bound:g} {self.unit or 'us'} over" if self.difference else f"{word} {bound:g} x"

    def reached(self, measured: float) -> bool:
        """Whether a measured value is good enough."""
        if self.at_least is not None:
            return measured >= self.at_least
        return self.at_most is None or measured <= self.at_most


def _of(setting: str, *contenders: str) -> tuple[Key, ...]:
    return tuple(Key(contender, setting) for contender in contenders)


def _mlbuffet(setting: str) -> Key:
    return Key("MLBuffet", setting)


_BATCHING = "MLBuffet, --batching"
_ONE, _SIXTEEN, _SIXTY_FOUR = "1 connection", "16 connections", "64 connections"

TARGETS = (
    Target("onnx", _mlbuffet(_ONE), _of(_ONE, "bare route"), at_least=0.95),
    Target("onnx", _mlbuffet(_ONE), _of(_ONE, *PYTHON_PEERS), at_least=4),
    *(
        target
        for crowd in (_SIXTEEN, _SIXTY_FOUR)
        for target in (
            Target("onnx", _mlbuffet(crowd), _of(crowd, "bare route"), at_least=1.1),
            Target("onnx", _mlbuffet(crowd), _of(crowd, *PYTHON_PEERS), at_least=4),
            Target("onnx", _mlbuffet(crowd), _of(crowd, "Triton"), at_least=2),
        )
    ),
    *(Target("onnx", _mlbuffet(count), _of(count, "Mosec"), at_least=1) for count in (_ONE, _SIXTEEN, _SIXTY_FOUR)),
    *(
        Target("heavy", Key(_BATCHING, crowd), _of(crowd, "Mosec, batches"), at_least=1)
        for crowd in (_SIXTEEN, _SIXTY_FOUR)
    ),
    Target("tensorflow", _mlbuffet(_ONE), _of(_ONE, "bare route"), at_least=1.5),
    Target("tensorflow", _mlbuffet(_SIXTY_FOUR), _of(_SIXTY_FOUR, "bare route"), at_least=2),
    *(
        target
        for case in ("digits", "cnn")
        for target in (
            Target(case, Key(_BATCHING, _SIXTEEN), _of(_SIXTEEN, "bare route"), at_least=1.2),
            Target(case, Key(f"{_BATCHING}, binary", _SIXTEEN), _of(_SIXTEEN, _BATCHING), at_least=2),
        )
    ),
    Target("pixels-binary", Key("MLBuffet, binary", _ONE), _of(_ONE, "bare route, np.frombuffer"), at_least=0.9),
    Target("pixels-json", _mlbuffet(_ONE), _of(_ONE, "bare route"), at_least=1.5),
    Target("pixels-json", _mlbuffet(_ONE), _of(_ONE, *PYTHON_PEERS), at_least=4),
    *(
        target
        for small in (_ONE, _SIXTEEN, STREAMS)
        for target in (
            Target("grpc", _mlbuffet(small), _of(small, "bare handler"), at_least=0.9),
            Target("grpc", _mlbuffet(small), _of(small, "MLServer", "KServe"), at_least=3),
        )
    ),
    Target("grpc", _mlbuffet(PIXELS), _of(PIXELS, "bare handler"), at_least=0.8),
    *(
        Target("grpc-http", Key(MLBUFFET_BESIDE_GRPC.name, count), _of(count, "MLBuffet"), at_least=0.97)
        for count in (_ONE, _SIXTEEN, _SIXTY_FOUR)
    ),
    Target("predict-onnx", Key("Model.predict"), (Key("session.run"),), at_most=5, difference=True),
    Target("overload", Key(SHORT, OVERLOADED), (Key(SHORT, PEAK),), at_least=0.9),
    Target("overload", Key(SHORT, OVERLOADED), (Key(SHORT, UNLOADED),), at_most=5, unit="p99 ms"),
    *(
        target
        for count in (_ONE, _SIXTEEN, _ONE + HAPROXY, _SIXTEEN + HAPROXY)
        for target in (
            Target("ray", Key("MLBuffet on Ray Serve", count), _of(count, "Ray Serve"), at_least=0.9),
            Target("ray", Key("MLBuffet on Ray Serve", count), _of(count, "Ray Serve"), at_most=1.11, unit="MB"),
        )
    ),
    Target("models", Key("MLBuffet", "100 models"), _of("1 model", "MLBuffet"), at_least=0.95),
)
