"""What Prometheus reads of the streams: at an address of this machine, or in a file."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, start_http_server, write_to_textfile
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from lakehouse import log
from lakehouse.durations import BOUNDS
from lakehouse.figures import FIGURES, STREAM

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import Metric

    from lakehouse.health import Health
    from lakehouse.run import Run

# Of this machine only: what is told names topics and rules, and nobody who asks says who he is.
HOST = "127.0.0.1"
# How long the file waits for Spark's last events, which take milliseconds.
SETTLE_SECONDS = 5.0


@dataclass(frozen=True)
class Exporter(Collector):
    """The metrics of the streams of one layer, read anew each time somebody asks."""

    health: Health
    layer: str

    def collect(self) -> Iterator[Metric]:
        """Yield each metric, with the values of every stream of the layer."""
        names = [name for name in self.health.streams if name.startswith(f"{self.layer}.")]
        seen = [(name.partition(".")[2], *self.health.look(name)) for name in names]
        for figure in FIGURES:
            family = figure.family()
            for entity, health, durations in seen:
                own = {"layer": self.layer, "entity": entity}
                fixed = [own[label] for label in figure.labels if label in own]
                for varying, value in figure.values(health, durations).items():
                    family.add_metric([*fixed, *varying], value)
            yield family
        histogram = HistogramMetricFamily(
            "lakehouse_batch_duration_seconds", "Seconds that each batch took.", labels=STREAM
        )
        for entity, _, durations in seen:
            counts = map(float, accumulate(durations.batches))
            buckets = list(zip([*map(str, BOUNDS), "+Inf"], counts, strict=True))
            histogram.add_metric([self.layer, entity], buckets, durations.seconds)
        yield histogram


@dataclass(frozen=True)
class Endpoint:
    """Where the metrics of a layer are served, until closed."""

    server: WSGIServer
    thread: Thread

    @property
    def port(self) -> int:
        """The port that it has, whichever was asked for."""
        return self.server.server_port

    @property
    def url(self) -> str:
        """The address that Prometheus scrapes."""
        return f"http://{HOST}:{self.port}/metrics"

    def close(self) -> None:
        """Serve no more: the thread has ended and the port is free."""
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def serve(health: Health, layer: str, port: int) -> Endpoint:
    """Serve the metrics of *layer* on this machine, at *port* or, if that is taken, at a free one.

    Metrics are no reason to stop a stream.
    """
    registry = _registry(health, layer)
    try:
        endpoint = Endpoint(*start_http_server(port, addr=HOST, registry=registry))
    except OSError as error:
        endpoint = Endpoint(*start_http_server(0, addr=HOST, registry=registry))
        log.get("lakehouse.metrics").warning(
            f"Metrics are at another port than {port}", reason=str(error), metrics=endpoint.url
        )
    return endpoint


def write(health: Health, layer: str, path: Path) -> None:
    """Replace *path* by the metrics of *layer*; a reader finds the old file or the new one whole.

    A file that cannot be written is a warning, and no reason to call a run failed.
    """
    try:
        write_to_textfile(str(path), _registry(health, layer))
    except OSError as error:
        log.get("lakehouse.metrics").warning("Metrics could not be written", reason=str(error))


@contextmanager
def published(health: Health, layers: Sequence[str], run: Run) -> Iterator[None]:
    """Serve the metrics of *layers* inside the block; with `once`, write them at its end.

    The end is when Spark has told all of it, and it comes whether the streams failed or not.
    """
    settings = run.config.metrics
    with ExitStack() as stack:
        for layer in layers:
            if run.once:
                path = run.config.state_dir / f"{layer}.prom"
                stack.callback(write, health, layer, path)
            elif settings.serve:
                endpoint = serve(health, layer, settings.port(layer))
                stack.callback(endpoint.close)
                health.publish(layer, endpoint.url)
        if run.once:
            stack.callback(health.settle, SETTLE_SECONDS)
        yield


def _registry(health: Health, layer: str) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Exporter(health, layer))
    return registry
