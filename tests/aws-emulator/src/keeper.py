"""Runs the emulator of AWS for as long as somebody uses it.

Does not share it: who uses it holds `users.lock` (flock, shared), which the system lets go when a process dies. When nobody has
held it for a while, the emulator is stopped by its process id. If this process dies, the emulator does as well (on Linux).
"""

import ctypes
import fcntl
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

LINGERS = 15.0  # seconds without a user: between two tests there may be none
folder = pathlib.Path(sys.argv[1])
os.setsid()

with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]


def die_with_parent():
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


environment = {
    **os.environ,
    "BIND_HOST": "127.0.0.1",
    "GATEWAY_PORT": str(port),
    "SFTP_ENABLED": "0",
    "SERVICES": "s3,sqs,secretsmanager,sts,iam,lambda,cloudformation,scheduler,logs,monitoring,glue,athena",
    "LOG_LEVEL": "WARNING",
}
emulator = subprocess.Popen(
    [sys.executable, "-m", "ministack"],
    env=environment,
    cwd=folder,
    stdin=subprocess.DEVNULL,
    preexec_fn=die_with_parent,
)
unfinished = folder / "address.new"
unfinished.write_text(f"http://127.0.0.1:{port}")
unfinished.rename(folder / "address")

start = open(folder / "start.lock", "a")
users = open(folder / "users.lock", "a")


def taken(lock, how):
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        return True
    except OSError:
        return False


unused_since = None
while emulator.poll() is None:
    time.sleep(0.5)
    if not taken(users, fcntl.LOCK_EX):
        unused_since = None
        continue
    fcntl.flock(users, fcntl.LOCK_UN)
    unused_since = unused_since or time.monotonic()
    if time.monotonic() - unused_since < LINGERS or not taken(start, fcntl.LOCK_EX):
        continue
    # Nobody starts to use it now. Somebody may have begun just before.
    if taken(users, fcntl.LOCK_EX):
        (folder / "address").unlink(missing_ok=True)
        emulator.terminate()
        try:
            emulator.wait(10)
        except subprocess.TimeoutExpired:
            emulator.kill()
        break
    fcntl.flock(start, fcntl.LOCK_UN)
sys.exit(0 if emulator.wait() in (0, -signal.SIGTERM) else 1)
