"""What is wrong with one machine of a slice, and what must be alike on all of them.

Runs as root on the image's Python (3.10), before or after the setup: standard library only. Prints
lines `same<TAB>what<TAB>value`, which `tpu_pod.sh doctor` compares, and `problem<TAB>sentence`.
"""

import argparse
import contextlib
import email.utils
import hashlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from pathlib import Path

METADATA = "http://metadata.google.internal"
PACKAGES = ("jax", "jaxlib", "libtpu", "flax", "orbax_checkpoint", "grain", "transformers")
# Any of these, left by another job or an image, makes JAX look for a cluster that is not there.
STALE = re.compile(
    r"(MEGASCALE|SLURM|OMPI|JAX|XLA|LIBTPU|CLOUD_TPU)_\w+"
    r"|TPU_(WORKER|PROCESS|SKIP|CHIPS|HOST|VISIBLE|ACCELERATOR|TOPOLOGY)\w*"
)
# Any command of skinflow's, and the scripts that stand before one.
LEFT = re.compile(
    r"(\S*python\S* (-\S+ )*)?\S*skinflow(_jax)? [a-z]|(\S*bash )?\S*/(stages|job)\.sh "
)
# As much of a command line as is printed.
SHOWN = 60
FREE_GB = 20
CLOCK_SECONDS = 5
WAIT = float(os.environ.get("DOCTOR_WAIT", 60))


def packages(home):
    """The Python and the versions of what computes, from the folder names of the environment."""
    sites = sorted(home.glob("venv/lib/python3.*/site-packages"))
    if not sites:
        yield "python", "not set up"
    for site in sites:
        yield "python", site.parent.name
        for name in PACKAGES:
            found = [path.name for path in site.glob(f"{name}-*.dist-info")]
            yield name, ",".join(found).removesuffix(".dist-info").partition("-")[2] or "none"


def digest(path):
    """The first characters of the file's SHA-256, or `none`."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.exists() else "none"


def chips():
    """The devices of the TPU: /dev/vfio/0 ... on v5e and later, /dev/accel0 ... on v4."""
    return [*Path("/dev").glob("accel[0-9]*"), *Path("/dev/vfio").glob("[0-9]*")]


def holders(devices):
    """`pid command` of each process that has one of the devices open."""
    names = {str(device) for device in devices}
    for process in Path("/proc").glob("[0-9]*"):
        if names & set(open_files(process)):
            yield f"{process.name} {command(process)[:SHOWN]}"


def open_files(process):
    """What the process of a /proc folder has open, as far as it can be read and is still there."""
    with contextlib.suppress(OSError):
        for link in (process / "fd").iterdir():
            with contextlib.suppress(OSError):
                yield os.readlink(link)


def command(process):
    """The whole command line of a /proc folder."""
    try:
        return (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    except OSError:
        return ""


def in_job(process):
    """Whether the process is the unit's own."""
    try:
        return "skinflow.service" in (process / "cgroup").read_text()
    except OSError:
        return True


def left_over():
    """Processes of skinflow outside the unit: they hold the TPU, the port or the workdir."""
    for process in Path("/proc").glob("[0-9]*"):
        words = command(process)
        if LEFT.match(words) and not in_job(process):
            yield f"{process.name} {words[:SHOWN]}"


def running():
    """Whether the unit's job runs: it then holds TPU and port by right."""
    words = ["systemctl", "is-active", "skinflow"]
    try:
        state = subprocess.run(words, capture_output=True, text=True)
    except OSError:
        return False
    return state.stdout.strip() in ("active", "activating")


def port_in_use(port):
    """Whether something listens on the port of the coordinator."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", port))
        except OSError:
            return True
    return False


def listen(port, peers):
    """Take the connections of so many peers, for a minute at most."""
    with contextlib.suppress(OSError), socket.create_server(("", port)) as listener:
        listener.settimeout(WAIT)
        for _ in range(peers):
            listener.accept()[0].close()


def reach(address, port):
    """Why worker 0 cannot be reached on the port, or None. It may be slower to listen than this."""
    deadline = time.monotonic() + WAIT / 2
    while True:
        try:
            socket.create_connection((address, port), timeout=5).close()
            return None
        except OSError as error:
            if time.monotonic() > deadline:
                return str(error)
        time.sleep(0.5)


def stale_variables():
    """Variables that would reach a command that is started over ssh, by where they come from."""
    for name in sorted(os.environ):
        if STALE.fullmatch(name):
            yield f"{name} is set in the environment"
    for path in (Path("/etc/environment"), *Path("/etc/profile.d").glob("*.sh")):
        if path.exists():
            for name in sorted({match[0] for match in STALE.finditer(path.read_text())}):
                yield f"{name} is set in {path}"


def clock_off():
    """Seconds between this machine's clock and the metadata server's, or None without one."""
    request = urllib.request.Request(METADATA, headers={"Metadata-Flavor": "Google"})
    try:
        with urllib.request.urlopen(request, timeout=5) as answer:
            date = email.utils.parsedate_to_datetime(answer.headers["Date"])
    except (OSError, TypeError, ValueError):
        return None
    return abs(time.time() - date.timestamp())


def unwritable(root, user):
    """Why the root cannot be written to, or None. What is written is removed again."""
    name = f".doctor-{socket.gethostname()}-{uuid.uuid4().hex[:8]}"
    place = f"{root.rstrip('/')}/{name}"
    if root.startswith("gs://"):
        write, remove = ["gcloud", "storage", "cp", "-", place], ["gcloud", "storage", "rm", place]
    else:
        write, remove = ["tee", place], ["rm", place]
    # As the user of the runs, where root can become one.
    become = ["sudo", "-u", user] if shutil.which("sudo") else []
    for words in (write, remove):
        try:
            done = subprocess.run([*become, *words], input="doctor", capture_output=True, text=True)
        except OSError as error:
            return f"{words[0]}: {error.strerror}"
        if done.returncode:
            return (done.stderr.strip() or "no reason given").splitlines()[-1]
    return None


def problems(arguments, home):
    """Sentences, each with its remedy."""
    devices = chips()
    if len(devices) != arguments.chips:
        yield f"{len(devices)} chips in /dev, {arguments.chips} expected: reboot it, or resume"
    if not running():
        for holder in holders(devices):
            yield f"the TPU is held by process {holder}: kill -TERM it, and wait"
        if port_in_use(arguments.port):
            yield f"port {arguments.port} is in use: end what listens, or give --port"
    for process in left_over():
        yield f"a process is left of another run: {process}: kill -TERM it, and wait"
    free = shutil.disk_usage(home if home.exists() else home.parent).free / 1e9
    if free < FREE_GB:
        yield f"{free:.0f} GB are free on the disk, {FREE_GB} needed: remove what is not"
    for variable in stale_variables():
        yield f"{variable}: remove it there"
    off = clock_off()
    if off is not None and off > CLOCK_SECONDS:
        yield f"the clock is {off:.0f} s off: systemctl restart systemd-timesyncd or chrony"
    reason = unwritable(arguments.root, home.parent.name) if arguments.root else None
    if reason:
        yield f"{arguments.root} cannot be written to: {reason}"


def port_number(text):
    """The number of a port."""
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port from 1 to 65535")
    return int(text)


def main():
    """Print all lines, or try the port between workers."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("--port", type=port_number, required=True)
    parser.add_argument("--chips", type=int, default=4)
    parser.add_argument("--root", default="")
    parser.add_argument("--listen", type=int, metavar="PEERS", help="as worker 0: take connections")
    parser.add_argument("--reach", metavar="ADDRESS", help="as another: connect to worker 0")
    arguments = parser.parse_args()
    if arguments.listen is not None:
        return listen(arguments.port, arguments.listen)
    if arguments.reach:
        reason = reach(arguments.reach, arguments.port)
        if reason:
            print(
                f"problem\tworker 0 is not reached on port {arguments.port}: {reason}; a firewall?"
            )
        return
    home = Path(os.path.expanduser(f"~{os.environ.get('SUDO_USER', '')}")) / "skinflow"
    same = [
        *packages(home),
        ("code", digest(home / "code.tar.gz")),
        ("kernel", os.uname().release),
        ("image's Python", sys.version.split()[0]),
    ]
    for what, value in same:
        print("same", what, value, sep="\t")
    for problem in problems(arguments, home):
        print("problem", problem, sep="\t")


if __name__ == "__main__":
    main()
