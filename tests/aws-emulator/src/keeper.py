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
# The emulator hands a schedule's input over as it stands; AWS fills in the instant that it was due. And it speaks no TLS here, which
# policies ask for: what comes over the loopback interface counts as safe. And it asks policies for the batch forms of SQS's actions, where
# AWS has none: who may send may send ten. What it asks policies, and how they answer, is noted in `calls.jsonl`.
EMULATOR = """
import json
from datetime import datetime, timezone
from ministack.services import eventbridge

hand_over = eventbridge._invoke_target

def fill_in(target, event, *rest):
    if event.get("Source") == "aws.scheduler" and target.get("Input"):
        due = datetime.fromtimestamp(event["Time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:00Z")
        target = {**target, "Input": target["Input"].replace("<aws.scheduler.scheduled-time>", due)}
    return hand_over(target, event, *rest)

eventbridge._invoke_target = fill_in
from ministack import app
from ministack.core import iam_actions, iam_evaluator

action_of = iam_actions.extract_iam_action

def single(*request):
    action = action_of(*request)
    return action.removesuffix("Batch") if action and action.startswith("sqs:") else action

iam_actions.extract_iam_action = single
pin = app.pin_request_origin
app.pin_request_origin = lambda address, safe: pin(address, True)
asks, calls = iam_evaluator.enforce, open("calls.jsonl", "w", buffering=1)

def noted(key, action, service, region, resource_arn="*", **more):
    refusal = asks(key, action, service, region, resource_arn=resource_arn, **more)
    calls.write(json.dumps([key, action, resource_arn, refusal is None]) + chr(10))
    return refusal

iam_evaluator.enforce = noted
app.main()
"""

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
    "LOG_LEVEL": "WARNING",
    # Functions are processes of the emulator, and find it by this.
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
}
if sys.argv[2:] == ["strict"]:
    # Functions may what their roles say.
    environment["AUTH"] = "true"
emulator = subprocess.Popen(
    [sys.executable, "-c", EMULATOR],
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
