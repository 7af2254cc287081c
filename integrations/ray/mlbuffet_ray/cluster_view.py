"""What a front knows of the models that have deployments of their own."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from mlbuffet.errors import ModelNotFound, ModelNotReady, UploadRefused
from mlbuffet.inference import ModelDescription, ModelSelector, State, VersionStatus
from mlbuffet.telemetry.version_statistics import VersionCounts
from mlbuffet_ray.reports import Fulfilment, ModelReport, Report, VersionReport


@dataclass
class ClusterView:
    """The models called ``own``, as the processes that have them report them.

    ``on_disk`` gives the latest version that a model has on disk, if it has any: it is not ready where no process has
    reported it.
    """

    own: frozenset[str]
    on_disk: Callable[[str], int | None]
    is_known: bool = False
    """Whether anything was reported yet."""
    _models: dict[str, list[ModelReport]] = field(default_factory=dict)
    _defaults: dict[str, int] = field(default_factory=dict)
    _reports: Sequence[Report] = ()

    def update(self, reports: Sequence[Report]) -> None:
        """Take what all processes say now."""
        self._reports = reports
        models = {name: [one.models[name] for one in reports if name in one.models] for name in self.own}
        for name in (name for name, found in models.items() if not found):
            if (version := self.on_disk(name)) is not None:
                models[name] = [_awaited(name, version)]
        self._models = {name: found for name, found in models.items() if found}
        self._defaults = {name: self._default(name, found) for name, found in self._models.items()}
        self.is_known = True

    @property
    def attempted(self) -> bool:
        """Whether each model was tried by some process."""
        return self.is_known and self.own <= {name for one in self._reports if one.attempted for name in one.models}

    def names(self) -> list[str]:
        """The models there are."""
        return sorted(self._models)

    def find(self, selector: ModelSelector) -> VersionReport:
        """The version that ``selector`` means. Raises `ModelNotFound`."""
        versions = self._versions(selector.model)
        number = self._defaults[selector.model]
        if selector.label is not None:
            labels = {label: at for one in self._models[selector.model] for label, at in one.labels.items()}
            if selector.label not in labels:
                raise ModelNotFound(selector.model, label=selector.label, labels=sorted(labels))
            number = labels[selector.label]
        elif selector.version is not None and (selector.version in versions or not selector.or_default):
            number = selector.version
        if number not in versions:
            raise ModelNotFound(selector.model, number, sorted(versions))
        return versions[number]

    def ready(self, selector: ModelSelector) -> ModelDescription:
        """The same, which answers. Raises `ModelNotFound` and `ModelNotReady`."""
        status, description, _ = self.find(selector)
        if description is None:
            raise ModelNotReady(status.model, status.version, status.reason, status.retry_after)
        return description

    def versions(self, model: str) -> list[VersionReport]:
        """All versions of a model, the oldest first. Raises `ModelNotFound`."""
        found = self._versions(model)
        return [found[number] for number in sorted(found)]

    def default(self, model: str) -> int:
        """The version for requests that name none."""
        return self._defaults[model]

    def fulfilment(self, model: str, number: int) -> Fulfilment | None:
        """What became of an order: the failure of some process, if there is one; ``None`` before all have done it."""
        done = [one.fulfilments.get(model) for one in self._reports if model in one.models]
        fulfilled = [one for one in done if one is not None and one.number >= number]
        if not done or len(fulfilled) < len(done):
            return None
        return next((one for one in fulfilled if one.error is not None), fulfilled[0])

    def is_loaded(self, model: str, version: int, *, is_default: bool) -> bool:
        """Whether every process that is to have it has that version; with ``is_default``, as the default.

        Raises `UploadRefused` where one cannot load it.
        """
        concerned = [one for one in self._reports if (model in one.models if model in self.own else one.is_front)]
        found = [one.models.get(model) for one in concerned]
        for one in found:
            status = None if one is None or version not in one.versions else one.versions[version].status
            if status is not None and status.state is State.FAILED:
                raise UploadRefused(status.reason)
        return bool(found) and all(
            one is not None and _answers(one, version) and (one.default == version or not is_default) for one in found
        )

    def counts(self, without: str) -> list[Mapping[tuple[str, int], VersionCounts]]:
        """How often each version was asked, in every process but that one."""
        return [one.counts for one in self._reports if one.process != without]

    def _versions(self, model: str) -> dict[int, VersionReport]:
        """Of each version that which is ready, or nearest to it."""
        if model not in self._models:
            raise ModelNotFound(model)
        found: dict[int, VersionReport] = {}
        for report in self._models[model]:
            for number, one in report.versions.items():
                if number not in found or found[number].description is None:
                    found[number] = one
        return found

    def _default(self, name: str, found: list[ModelReport]) -> int:
        """A new default once all processes have it; until then the one before, while any has it."""
        chosen = {one.default for one in found}
        if len(chosen) == 1:
            return chosen.pop()
        before = self._defaults.get(name)
        if before is not None and any(_answers(one, before) for one in found):
            return before
        answering = [number for number in chosen if any(_answers(one, number) for one in found)]
        return max(answering or chosen)


def _awaited(name: str, version: int) -> ModelReport:
    why = "none of its replicas has started yet"
    status = VersionStatus(name, version, State.LOADING, why, retired=False, retry_after=1.0)
    return ModelReport({version: VersionReport(status, None, is_unready=True)}, version, {})


def _answers(model: ModelReport, number: int) -> bool:
    return number in model.versions and model.versions[number].status.state is State.READY
