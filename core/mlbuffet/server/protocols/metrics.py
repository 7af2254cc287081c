"""The endpoint for Prometheus: GET /metrics."""

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from mlbuffet.server.http.openapi import Operation, Protocol
from mlbuffet.telemetry.worker import Totals, WorkerTelemetry


class Metrics:
    """Writes down what the server counts anyway."""

    def __init__(self, telemetry: WorkerTelemetry) -> None:
        self.routes = [Route("/metrics", self.metrics), Route("/monitoring/prometheus/metrics", self.metrics)]
        self._telemetry = telemetry

    async def metrics(self, request: Request) -> Response:
        """Counts and durations of all processes of the server for Prometheus, also at TensorFlow Serving's address."""
        totals = await self._telemetry.totals()
        text, media_type = await run_in_threadpool(_text, totals, request.headers.get("accept", ""))
        return Response(text, media_type=media_type)


def _text(totals: Totals, accept: str) -> tuple[bytes, str]:
    # imported at the first question: it takes a tenth of a second
    from prometheus_client.exposition import choose_encoder

    from mlbuffet.telemetry.prometheus_families import Families

    encode, media_type = choose_encoder(accept)
    return encode(Families(totals)), media_type


def protocol(metrics: Metrics) -> Protocol:
    """The endpoint as OpenAPI describes it."""
    operation = Operation(answer=str, media_type="text/plain")
    return Protocol("Operations", metrics.routes, {Metrics.metrics: operation}, {})
