"""A function as people write it in Python: what it imports, and a loop over Lambda's Runtime API. Of each record of a batch it asks the API,
and writes the answer to Bronze, unless it is there. `API` is the service, `NAME` bucket and secret; where `BRONZE` is set, that folder is
Bronze and `KEY` the secret.
"""

import json
import os
import pathlib
import urllib.parse
import urllib.request

import boto3
import pandas

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"


class Account:
    def __init__(self, name):
        self.name = name
        self.s3, self.secrets = (boto3.client(service, region_name="us-east-1") for service in ("s3", "secretsmanager"))

    def secret(self):
        return json.loads(self.secrets.get_secret_value(SecretId=self.name)["SecretString"])["omdb"]

    def has(self, key):
        return self.s3.list_objects_v2(Bucket=self.name, Prefix=f"python/bronze/{key}")["KeyCount"] > 0

    def write(self, key, text):
        self.s3.put_object(Bucket=self.name, Key=f"python/bronze/{key}", Body=text.encode(), IfNoneMatch="*")


class Here:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)

    def secret(self):
        return os.environ["KEY"]

    def has(self, key):
        return (self.folder / key).exists()

    def write(self, key, text):
        (self.folder / key).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / key).write_text(text)


place = Here(os.environ["BRONZE"]) if "BRONZE" in os.environ else Account(os.environ["NAME"])


def handler(event):
    written = 0
    for message in [json.loads(record["body"])["inline"] for record in event["Records"]]:
        key = f"run={message['tick']}/batch={message['batch']}.jsonl"
        if place.has(key):
            continue
        secret = place.secret()
        films = pandas.json_normalize([entry["record"] for entry in message["entries"]])
        answers = [ask(secret, title) for title in films["title"]]
        place.write(key, "\n".join(answers))
        written += len(answers)
    return {"written": written, "batchItemFailures": []}


def ask(secret, title):
    query = urllib.parse.urlencode({"t": title, "apikey": secret})
    with urllib.request.urlopen(f"{os.environ['API']}?{query}") as answer:
        return answer.read().decode()


while True:
    with urllib.request.urlopen(f"{API}/next") as told:
        request, event = told.headers["lambda-runtime-aws-request-id"], json.load(told)
    answer = json.dumps(handler(event)).encode()
    urllib.request.urlopen(urllib.request.Request(f"{API}/{request}/response", data=answer)).close()
