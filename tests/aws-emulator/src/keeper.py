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
# The emulator passes a schedule's input on unchanged; AWS fills in the instant that it was due. And it speaks no TLS here, which
# policies ask for: what comes over the loopback interface counts as safe. And it asks policies for the batch forms of SQS's actions, where
# AWS has none: a role that may send may send ten. Checks of policies, and answers, are noted in `calls.jsonl`. It is never too busy for a
# call: here S3 is for those that a line of `busy.jsonl` names, until the caller calls what the line says. And an object whose metadata tell
# when it was written was written then: a test need not wait until something is old. And a parameter's value is text: for a mapping's bound the
# emulator's poller wants a number.
EMULATOR = """
import contextvars
import json
from datetime import datetime, timezone
from ministack.services import eventbridge, s3

build_record, handle_s3 = s3._build_object_record, s3.handle_request
too_busy = contextvars.ContextVar("too_busy", default=False)

def build_dated(body, headers, *more, **named):
    record = build_record(body, headers, *more, **named)
    record["last_modified"] = headers.get("x-amz-meta-written", record["last_modified"])
    return record

async def handle_if_idle(*request, **more):
    if too_busy.get():
        return 503, {"Content-Type": "application/xml"}, b"<Error><Code>SlowDown</Code></Error>"
    return await handle_s3(*request, **more)

s3._build_object_record, s3.handle_request = build_dated, handle_if_idle

hand_over = eventbridge._invoke_target

def fill_in(target, event, *rest):
    if event.get("Source") == "aws.scheduler" and target.get("Input"):
        due = datetime.fromtimestamp(event["Time"], timezone.utc).strftime("%Y-%m-%dT%H:%M:00Z")
        target = {**target, "Input": target["Input"].replace("<aws.scheduler.scheduled-time>", due)}
    return hand_over(target, event, *rest)

eventbridge._invoke_target = fill_in
from ministack.services.cloudformation import provisioners

mapping = provisioners._RESOURCE_HANDLERS["AWS::Lambda::EventSourceMapping"]
make_mapping = mapping["create"]

def make_with_numbers(logical_id, properties, stack):
    bound = properties.get("ScalingConfig")
    if bound:
        properties = {**properties, "ScalingConfig": {"MaximumConcurrency": int(bound["MaximumConcurrency"])}}
    return make_mapping(logical_id, properties, stack)

mapping["create"] = make_with_numbers
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
open("busy.jsonl", "w").close()
busy, told = open("busy.jsonl"), []

def is_busy_for(key, action, resource):
    told.extend(json.loads(line) for line in busy)
    told[:] = [one for one in told if (one["key"], one["until"]) != (key, action)]
    return any((one["key"], one["action"]) == (key, action) and one["in"] in resource for one in told)

def noted(key, action, service, region, resource_arn="*", **more):
    refusal = asks(key, action, service, region, resource_arn=resource_arn, **more)
    calls.write(json.dumps([key, action, resource_arn, refusal is None]) + chr(10))
    too_busy.set(refusal is None and is_busy_for(key, action, resource_arn))
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
    # In the second emulator: the account of the first one, so that names are the same in both.
    "MOTO_PORT": str(port),
    "MOTO_ACCOUNT_ID": "000000000000",
    "BIND_HOST": "127.0.0.1",
    "GATEWAY_PORT": str(port),
    "SFTP_ENABLED": "0",
    "LOG_LEVEL": "WARNING",
    # Functions are processes of the emulator, and find it by this.
    "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
}
# The text of another emulator, in the place of the first one.
program = sys.argv[3] if sys.argv[2:3] == ["run"] else EMULATOR
if sys.argv[2:] == ["strict"]:
    # Functions may do what their roles allow.
    environment["AUTH"] = "true"
emulator = subprocess.Popen(
    [sys.executable, "-c", program],
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
    # No test starts to use it now. One may have begun just before.
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
