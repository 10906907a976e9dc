"""Which errors of the devices' runtimes mean that another process is gone, in their own words."""

import jax
import pytest

from skinflow_jax.errors import FAILED_RUN, START_AGAIN, InputError, RunError, exit_code
from skinflow_jax.parallel import peers as module
from skinflow_jax.parallel.broken_operations import broken_operation

LOST = [
    # gloo
    "FAILED_PRECONDITION: Buffer Definition Event: Gloo all-reduce failed: [external/gloo/gloo/"
    "transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:30913",
    "UNKNOWN: Gloo AllGather failed: Read error [10.77.0.2]:1: Connection reset by peer",
    "DEADLINE_EXCEEDED: Gloo context initialization failed: Timed out waiting 30000ms for recv",
    # JAX's coordination service
    "UNAVAILABLE: The following tasks are unhealthy (stopped sending heartbeats): task:3",
    "UNAVAILABLE: Failed to send RPC to coordination service. Either the leader task was preempted",
    "DEADLINE_EXCEEDED: Barrier timed out. Id: [Init]Wait_for_all_tasks_to_register",
    "ABORTED: Unexpected new incarnation of task 2",
    # NCCL
    "INTERNAL: NCCL operation async_err failed: remote process exited or a network error",
    "INTERNAL: nccl_utils.cc:305: NCCL operation ncclGroupEnd() failed: "
    "unhandled system error (run with NCCL_DEBUG=INFO for details)",
    "INTERNAL: NCCL operation ncclAllReduce failed: timeout",
    # libtpu, and the network between its slices
    "INTERNAL: TPU slice health check failed: worker 3 is not reachable",
    "UNKNOWN: MegaScale transfer to slice 1 failed: Broken pipe",
    "UNAVAILABLE: Socket closed",
]
OWN = [
    "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 17179869184 bytes.",
    "RESOURCE_EXHAUSTED: XLA:TPU compile permanent error. Ran out of memory in memory space hbm.",
    "INTERNAL: NCCL operation ncclCommInitRank failed: unhandled cuda error: out of memory",
    "INVALID_ARGUMENT: Executable expected shape f32[8,4] for argument 3 of the while loop",
    "INVALID_ARGUMENT: DynamicSlice in a loop: operand and start indices do not match",
    "UNIMPLEMENTED: Mosaic failed to compile TPU kernel: unsupported look-up",
    "NOT_FOUND: Custom call target is not registered",
]
UNSURE = [
    "FAILED_PRECONDITION: The program continuator has halted unexpectedly.",
    "INTERNAL: Core halted unexpectedly: No error message available",
    "INTERNAL: NCCL operation ncclAllReduce failed: unhandled cuda error",
]


def of(text):
    return jax.errors.JaxRuntimeError(text)


@pytest.mark.parametrize("text", LOST)
def test_a_lost_process(text):
    assert broken_operation(of(text))[1]


@pytest.mark.parametrize("text", OWN)
def test_an_error_that_would_come_again(text):
    assert broken_operation(of(text)) is None


@pytest.mark.parametrize("text", UNSURE)
def test_an_error_that_may_be_either(text):
    assert not broken_operation(of(text))[1]


def test_what_an_error_comes_from_counts_but_not_what_is_no_operation_s():
    error = RunError("the loss cannot be read")
    error.__cause__ = of("UNAVAILABLE: Socket closed")
    assert broken_operation(error)[0] is error.__cause__
    assert broken_operation(InputError("records: connection reset by peer")) is None
    called = ValueError(
        "UNKNOWN: Gloo AllGather failed: Connection closed by peer [127.0.0.1]:9355"
    )
    assert broken_operation(called)[1]
    assert broken_operation(ValueError("UNAVAILABLE: Error writing gs://bucket/run")) is None
    assert broken_operation(ValueError("Barrier timed out: process 1 did not come"))[1]


class Told:
    """Peers who have heard `verdict`, or nothing."""

    def __init__(self, verdict=None):
        self._verdict = verdict

    def verdict(self, wait):
        return self._verdict


def outcome(error):
    code = exit_code(error)
    return None if code is None else (code, str(error))


LEFT = (START_AGAIN, "process 1 is lost (process 0)")


@pytest.mark.parametrize(
    ("text", "told", "code"),
    [
        (LOST[0], None, START_AGAIN),
        (LOST[0], (FAILED_RUN, "the reward raised (process 1)"), FAILED_RUN),
        (UNSURE[0], None, FAILED_RUN),
        (UNSURE[0], LEFT, START_AGAIN),
        (OWN[0], LEFT, FAILED_RUN),
    ],
)
def test_the_code_to_leave_with(text, told, code):
    assert module._why(of(text), outcome, Told(told))[0] == code
