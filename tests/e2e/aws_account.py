"""Makes what a pipeline needs in an account of AWS, and tells what is there. The account is the emulator's, named by the environment.

    aws_account.py make NAME SECRET SOURCE   the bucket NAME with SOURCE in it, the queues NAME-STAGE and NAME-STAGE-dead, the secret NAME
    aws_account.py object NAME KEY           the text of an object
    aws_account.py receive NAME STAGE        all that waits in a queue, taken out of it, as events of a function in JSON
    aws_account.py put NAME KEY FILE         makes an object
    aws_account.py state NAME                how many objects and messages there are, as JSON
    aws_account.py credentials               hands out credentials as a container's, an instance's and an SSO portal's endpoint do, on
                                             the port that it prints, until stdin ends
"""

import http.server
import json
import os
import pathlib
import sys
import threading

import botocore.session

MAX_RECEIVES = 10
STAGES = ("enrich", "clean", "aggregate")

session = botocore.session.get_session()


def client(service):
    return session.create_client(
        service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"]
    )


def make(name, secret, source):
    s3, sqs = client("s3"), client("sqs")
    s3.create_bucket(Bucket=name)
    s3.put_object(Bucket=name, Key="source/movies.csv", Body=pathlib.Path(source).read_bytes())
    for stage in STAGES:
        dead = sqs.create_queue(QueueName=f"{name}-{stage}-dead")["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": MAX_RECEIVES})
        sqs.create_queue(
            QueueName=f"{name}-{stage}", Attributes={"VisibilityTimeout": "60", "RedrivePolicy": redrive}
        )
    text = json.dumps({"omdb": secret, "other": "of no concern"})
    client("secretsmanager").create_secret(Name=name, SecretString=text)


def thing(name, key):
    sys.stdout.write(client("s3").get_object(Bucket=name, Key=key)["Body"].read().decode())


def receive(name, stage):
    sqs, events = client("sqs"), []
    url = sqs.get_queue_url(QueueName=f"{name}-{stage}")["QueueUrl"]
    while True:
        told = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, AttributeNames=["ApproximateReceiveCount"])
        if not told.get("Messages"):
            break
        events.append({"Records": [record(message, f"{name}-{stage}") for message in told["Messages"]]})
    print(json.dumps(events))


def record(message, queue):
    return {
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "attributes": message["Attributes"],
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{queue}",
        "awsRegion": "us-east-1",
    }


def put(name, key, file):
    client("s3").put_object(Bucket=name, Key=key, Body=pathlib.Path(file).read_bytes())


def state(name):
    sqs = client("sqs")
    counted = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    messages = 0
    for stage in STAGES:
        for queue in (f"{name}-{stage}", f"{name}-{stage}-dead"):
            url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
            told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=counted)["Attributes"]
            messages += sum(int(count) for count in told.values())
    pages = client("s3").get_paginator("list_objects_v2").paginate(Bucket=name)
    keys = [found["Key"] for page in pages for found in page.get("Contents", [])]
    print(json.dumps({"messages": messages, "keys": keys}))


GIVEN = {"AccessKeyId": "given", "SecretAccessKey": "given", "Token": "given", "Expiration": "2099-01-01T00:00:00Z"}
ROLE = "/latest/meta-data/iam/security-credentials/"
ANSWERS = {
    "/container": json.dumps(GIVEN),
    "/latest/meta-data/placement/region": "us-east-1",
    ROLE: "films",
    ROLE + "films": json.dumps({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-01-01T00:00:00Z", **GIVEN}),
    "/federation/credentials": json.dumps(
        {
            "roleCredentials": {
                "accessKeyId": "given",
                "secretAccessKey": "given",
                "sessionToken": "given",
                "expiration": 4070908800000,
            }
        }
    ),
}


class Handler(http.server.BaseHTTPRequestHandler):
    def answer(self, body, headers=()):
        self.send_response(404 if body is None else 200)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(body or "")))
        self.end_headers()
        self.wfile.write((body or "").encode())

    def do_PUT(self):
        self.answer("a-token", [("x-aws-ec2-metadata-token-ttl-seconds", "21600")])

    def do_GET(self):
        self.answer(ANSWERS.get(self.path.split("?")[0]))

    def log_message(self, *_):
        pass


def credentials():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    print(server.server_address[1], flush=True)
    sys.stdin.read()


COMMANDS = {"credentials": credentials, "make": make, "object": thing, "put": put, "receive": receive, "state": state}
if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
