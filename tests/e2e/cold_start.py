"""A function as people write it in Python: what it imports, and a loop over Lambda's Runtime API. Of each record of a batch it asks the API,
and writes the answer to Bronze, unless it is there. `NAME` is bucket and secret, `API` the service.
"""

import json
import os
import urllib.parse
import urllib.request

import boto3
import pandas

API = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation"
NAME = os.environ["NAME"]
s3, secrets = (boto3.client(name, region_name="us-east-1") for name in ("s3", "secretsmanager"))


def handler(event):
    written = 0
    for message in [json.loads(record["body"])["inline"] for record in event["Records"]]:
        key = f"python/bronze/run={message['tick']}/batch={message['batch']}.jsonl"
        if s3.list_objects_v2(Bucket=NAME, Prefix=key)["KeyCount"]:
            continue
        secret = json.loads(secrets.get_secret_value(SecretId=NAME)["SecretString"])["omdb"]
        films = pandas.json_normalize([entry["record"] for entry in message["entries"]])
        answers = [ask(secret, title) for title in films["title"]]
        s3.put_object(Bucket=NAME, Key=key, Body="\n".join(answers).encode(), IfNoneMatch="*")
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
