"""Which way a process finds the others, by its arguments and its environment."""

import pytest

from skinflow_jax.errors import ConfigError, RunError, StartAgain
from skinflow_jax.parallel import processes
from skinflow_jax.parallel.processes import Cluster, _local_devices, find_cluster

SRUN = {"SLURM_JOB_ID": "7", "SLURM_STEP_NUM_TASKS": "4", "SLURM_NTASKS": "4", "SLURM_PROCID": "1"}
MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "0"}
GKE = {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "0"}


@pytest.fixture
def tpu(monkeypatch):
    monkeypatch.setattr(processes.glob, "glob", lambda pattern: ["/dev/vfio/0"])
    monkeypatch.setattr(processes.importlib.util, "find_spec", lambda name: object())


def test_one_process_is_the_rule():
    assert find_cluster(environ={}) is None
    assert find_cluster("none", environ=SRUN) is None


def test_addresses_count_before_everything_else(tpu):
    found = find_cluster("auto", "10.0.0.2:8476", 4, 3, environ=SRUN | GKE)
    assert found == Cluster(None, "10.0.0.2:8476", 4, 3)


@pytest.mark.parametrize(
    ("environ", "method"),
    [(GKE | SRUN | MPI, "gke-tpu"), (SRUN | MPI, "cloud-tpu"), ({}, "cloud-tpu")],
)
def test_on_a_tpu_what_slurm_and_mpi_left_does_not_count(tpu, environ, method):
    assert find_cluster(environ=environ) == Cluster(method)


def test_a_tpu_that_jax_is_told_not_to_use_is_none(tpu):
    assert find_cluster(environ={"JAX_PLATFORMS": "cpu"} | GKE) is None


def test_slurm_s_batch_script_is_one_process_and_its_step_several():
    batch = {"SLURM_JOB_ID": "7", "SLURM_NTASKS": "4", "SLURM_PROCID": "0"}
    assert find_cluster(environ=batch) is None
    assert find_cluster(environ=SRUN | MPI) == Cluster("slurm")
    assert find_cluster(environ=MPI) == Cluster("openmpi")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("auto", "h:1", None, 0), "--processes must be given too"),
        (("auto", None, 2, None), "--coordinator, --process must be given too"),
        (("auto", "h", 2, 0), "--coordinator=h is no HOST:PORT"),
        (("auto", "h:99999", 2, 0), "is no HOST:PORT"),
        (("auto", "h:1", 2, 2), "--process=2 of --processes=2: must be from 0 to 1"),
        (("slurm", "h:1", 2, 0), "--cluster=slurm finds the addresses itself"),
        (("none", "h:1", 2, 0), "--cluster=none is one process: leave its addresses out"),
        (("slurm", None, None, None), "--cluster=slurm: this process has not been started by it"),
    ],
)
def test_what_cannot_be_is_refused_by_name(arguments, message):
    with pytest.raises(ConfigError, match=message):
        find_cluster(*arguments, environ={})


@pytest.mark.parametrize(
    ("environ", "devices"),
    [
        ({"SLURM_STEP_TASKS_PER_NODE": "1(x2)", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, [0, 1, 2, 3]),
        ({"SLURM_STEP_TASKS_PER_NODE": "1", "SLURM_GPUS_ON_NODE": "8"}, list(range(8))),
        ({"SLURM_STEP_TASKS_PER_NODE": "4", "CUDA_VISIBLE_DEVICES": "2"}, [0]),
        ({"SLURM_STEP_TASKS_PER_NODE": "4", "CUDA_VISIBLE_DEVICES": "0,1,2,3"}, None),
        ({}, None),
    ],
)
def test_a_task_alone_on_its_node_has_all_gpus(environ, devices):
    assert _local_devices(environ) == devices


def test_devices_that_cannot_be_used_are_no_reason_to_start_again():
    error = RuntimeError("Unable to initialize backend 'tpu': UNAVAILABLE: /dev/vfio/0 is busy")
    told = processes._start_error(Cluster("gke-tpu"), error, 300)
    assert isinstance(told, RunError) and "no other process there holds them" in str(told)


def test_a_process_lost_as_they_are_connected_is_a_reason_to_start_again():
    error = ValueError("UNKNOWN: Gloo AllGather failed: Connection closed by peer [10.0.0.2]:9355")
    told = processes._start_error(Cluster(None, "10.0.0.1:1", 2, 0), error, 300)
    assert isinstance(told, StartAgain) and "10.0.0.1:1" in str(told)


def test_who_did_not_come_is_told_by_method_port_and_stale_variables(monkeypatch):
    monkeypatch.setenv("JAX_COORDINATOR_PORT", "8476")
    monkeypatch.setenv("MEGASCALE_SLICE_ID", "1")
    told = str(processes._start_error(Cluster("gke-tpu"), TimeoutError("timed out"), 7))
    for words in ("within 7 s", "gke-tpu", "port 8476", "unset MEGASCALE_SLICE_ID"):
        assert words in told


@pytest.mark.parametrize(
    ("cluster", "environ", "number"),
    [
        (Cluster(None, "h:1", 4, 3), {}, 3),
        (Cluster("slurm"), SRUN, 1),
        (Cluster("openmpi"), MPI | {"OMPI_COMM_WORLD_RANK": "1"}, 1),
        (Cluster("gke-tpu"), GKE | {"TPU_WORKER_ID": "1", "MEGASCALE_SLICE_ID": "2"}, 5),
    ],
)
def test_which_process_this_is_is_known_before_it_is_connected(cluster, environ, number):
    assert processes.process_number(cluster, environ) == number
