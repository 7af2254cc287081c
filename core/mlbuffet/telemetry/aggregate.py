"""What a server has counted, whatever number of processes it has."""

from collections.abc import Mapping, Sequence

from anyio.to_thread import run_sync

from mlbuffet.repository import ModelRepository
from mlbuffet.telemetry.counts import Counts, Version, total
from mlbuffet.telemetry.snapshot import Census
from mlbuffet.telemetry.version_statistics import ModelStatistics
from mlbuffet.telemetry.worker_exchange import Siblings


class Ledger:
    """That of this process alone, or of all workers, of the versions that this process knows."""

    def __init__(self, repository: ModelRepository, census: Census, siblings: Siblings | None) -> None:
        self._repository = repository
        self._census = census
        self._siblings = siblings

    async def start(self) -> None:
        """Begin, on the event loop that runs."""
        if self._siblings is not None:
            await self._siblings.start()

    async def close(self) -> None:
        """Leave what was counted to the other workers."""
        if self._siblings is not None:
            await self._siblings.close()

    async def counts(self) -> Counts:
        """All of it."""
        if self._siblings is None:
            self._census.forget()
            return await run_sync(self._census.take)
        return await run_sync(self._together, await self._siblings.counts())

    async def statistics(self) -> Mapping[Version, ModelStatistics]:
        """The statistics of those versions that were asked under /v2."""
        return (await self.counts()).statistics

    def _together(self, parts: Sequence[Counts]) -> Counts:
        return total(parts).of({(one.name, one.version) for one in self._repository})
