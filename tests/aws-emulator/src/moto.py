"""A second emulator of AWS: `moto`, as a server, made to do one thing at a time.

It looks whether a condition holds and writes then, and nothing holds other threads up in between: of two that race both would win. So each
request has the server to itself, but for those that wait for a message: these look again and again.

It heeds no `If-Match` of `CompleteMultipartUpload`: of what is larger than a part only the first emulator tells.
"""

import os
import threading
import time

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.sqs.models import SQSBackend
from werkzeug.serving import run_simple

STEP = 0.02  # seconds between two looks for a message
alone = threading.RLock()
look = SQSBackend.receive_message


def receive(self, queue_name, count, wait_seconds_timeout, visibility_timeout, message_attribute_names=None):
    end = time.monotonic() + (wait_seconds_timeout or 0)
    while True:
        with alone:
            found = look(self, queue_name, count, 0, visibility_timeout, message_attribute_names)
        if found or time.monotonic() >= end:
            return found
        time.sleep(STEP)


SQSBackend.receive_message = receive
application = DomainDispatcherApplication(create_backend_app)


def one_at_a_time(environ, start_response):
    if environ.get("HTTP_X_AMZ_TARGET", "").endswith(".ReceiveMessage"):
        return application(environ, start_response)
    with alone:
        # Whole, for the answer may be made while it is read.
        return [b"".join(application(environ, start_response))]


run_simple("127.0.0.1", int(os.environ["MOTO_PORT"]), one_at_a_time, threaded=True, request_handler=MotoRequestHandler)
