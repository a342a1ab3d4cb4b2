"""Tokenizing on a Ray cluster: the same call on every worker, again where a node was lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from llasa.base.errors import LlasaError, first_line
from llasa.base.names import check_whole
from llasa.base.packages import require
from llasa.data.tokenize import TokenizeReport

RETRIES = 20
"""How often a worker that is lost begins anew."""
LOCAL = "local"
"""Address for a cluster that is started on this machine and ends with the call."""


def tokenize_on_ray(
    work: Callable[[], TokenizeReport], address: str = "auto", workers: int | None = None
) -> TokenizeReport:
    """Run `work`, a call of `tokenize`, on many workers of a Ray cluster, and sum up what they did.

    All nodes need the recordings, the output and this process's current folder under the same
    paths: a shared file system. Each worker has one GPU where the cluster has any, otherwise one
    core. What a lost node had in hand is done by another; as `tokenize` goes on where it stopped,
    little is done twice.

    Args:
        work: can be pickled by cloudpickle.
        address: of the cluster; `auto` finds the one that this machine belongs to, `local` starts
            one here.
        workers: how many; by default as many as the cluster has GPUs, or else cores.

    Raises:
        LlasaError: Ray is not installed or not to be reached, or a worker raised it.
    """
    if workers is not None:
        check_whole(workers=workers)
    ray = require("ray")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would report to its makers
    try:
        ray.init(
            address=address,
            configure_logging=False,
            log_to_driver=False,
            **({"include_dashboard": False} if address == LOCAL else {}),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise LlasaError(
            f"No Ray cluster can be reached at {address!r} ({error}): start one with "
            "`ray start --head`, give its address, or `local` to use this machine."
        ) from error
    try:
        return _run(ray, work, workers)
    finally:
        ray.shutdown()


def _run(ray: Any, work: Callable[[], TokenizeReport], workers: int | None) -> TokenizeReport:
    resources = ray.cluster_resources()
    gpus = int(resources.get("GPU", 0))
    count = workers or gpus or int(resources.get("CPU", 1))
    share = {"num_gpus": 1} if gpus else {"num_cpus": 1}
    here = os.getcwd()

    def task() -> TokenizeReport:
        try:
            os.chdir(here)  # paths may be relative
        except OSError as error:
            raise LlasaError(
                f"A node of the cluster cannot open {here} ({error.strerror}): all nodes need the "
                "same files under the same paths."
            ) from error
        return work()

    # Again for lost nodes and processes; errors of the work itself are raised at once.
    remote = ray.remote(max_retries=RETRIES, **share)(task)
    try:
        reports = ray.get([remote.remote() for _ in range(count)])
    except LlasaError as error:  # Ray's own error, which is ours as well and quotes the traceback
        raise LlasaError(str(getattr(error, "cause", error))) from error
    except ray.exceptions.RayError as error:
        raise LlasaError(
            f"A worker was lost {RETRIES + 1} times ({first_line(error)}): look for a recording "
            "that crashes its decoder, and at the memory of the nodes."
        ) from error
    total = TokenizeReport()
    for report in reports:
        total.utterances += report.utterances
        total.skipped += report.skipped
        total.seconds += report.seconds
        total.shards = max(total.shards, report.shards)
        total.shards_total = report.shards_total
    return total
