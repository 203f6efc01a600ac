"""Sets up a generated stack in an account of AWS, and looks at what it does. The account is the emulator's, named by the environment.

    stack.py prepare NAME SECRET SOURCE [KEY FILE]...  the bucket NAME-source, with the source and more; the bucket NAME-code; the secret
    stack.py create NAME TEMPLATE [BUNDLE DIGEST]             uploads the bundle, or one that does nothing, and has CloudFormation make the stack NAME
    stack.py inspect NAME                              all that the stack is, as JSON
    stack.py tend NAME TEMPLATE                        what the emulator leaves out of a stack
    stack.py publish NAME KEY FILE                     an object of NAME-source
    stack.py leave NAME KEY                            an object of the lake, as a writer has left it a month ago
    stack.py busy NAME ROLE ACTION PART UNTIL FILE     S3 is too busy for a role's calls to keys with that part, until the role makes a call of
                                                       the action UNTIL; FILE is where the emulator looks for it
    stack.py hurry NAME STAGE SECONDS                  for how long what a queue hands out stays invisible
    stack.py redrive NAME STAGE                        hands out the dead letters of a queue once more
    stack.py break NAME                                does to queues, buckets, source and secret what makes a pipeline fail
    stack.py send NAME STAGE BODY                      a message
    stack.py depths NAME                               how many messages each queue has, as JSON
    stack.py schedules NAME ENABLED|DISABLED           whether the schedules fire
    stack.py table NAME TABLE COLUMNS KEY              a table of Athena over a copy of a Parquet object of the lake
    stack.py ask NAME QUERY                            asks Athena, in the stack's workgroup and database; the answer as JSON
    stack.py requests NAME CALLS                       how many requests of S3 each role has made, as JSON; CALLS as below
    stack.py powers NAME CALLS                         what each role may do and did or did not, and what was refused to it, as JSON;
                                                       CALLS is what the emulator has noted
"""

import fnmatch
import hashlib
import io
import json
import pathlib
import sys
import time
import zipfile
from datetime import datetime, timedelta, timezone

from aws_account import STAGES, client

PATIENCE = 120.0  # seconds


def prepare(name, secret, source, *more):
    s3 = client("s3")
    for bucket in (f"{name}-source", f"{name}-code"):
        s3.create_bucket(Bucket=bucket)
    publish(name, "movies.csv", source)
    for key, file in zip(more[::2], more[1::2], strict=True):
        publish(name, key, file)
    client("secretsmanager").create_secret(Name=name, SecretString=json.dumps({"omdb": secret}))


def publish(name, key, file):
    client("s3").put_object(Bucket=f"{name}-source", Key=key, Body=pathlib.Path(file).read_bytes())


def leave(name, key):
    written = (datetime.now(timezone.utc) - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    client("s3").put_object(Bucket=name, Key=key, Body=b"half a file", Metadata={"written": written})


def busy(name, role, action, part, until, file):
    line = {"key": key_of(name, role), "action": action, "in": part, "until": until}
    with open(file, "a") as lines:
        lines.write(json.dumps(line) + "\n")


def key_of(name, role):
    """The access key of a function's session, as the emulator makes it."""
    function = client("lambda").get_function_configuration(FunctionName=f"{name}-{role}")
    digest = hashlib.sha256(f"{function['FunctionArn']}:{function['Role']}".encode()).hexdigest()
    return f"ASIA{digest[:16].upper()}"


def create(name, template, bundle=None, digest=""):
    code, s3 = f"{name}-code", client("s3")
    s3.put_object(Bucket=code, Key="stack.json", Body=pathlib.Path(template).read_bytes())
    s3.put_object(Bucket=code, Key="bundle.zip", Body=pathlib.Path(bundle).read_bytes() if bundle else of_nothing())
    make_stack(name, {"CodeBucket": code, "CodeKey": "bundle.zip", "CodeDigest": digest})


def make_stack(name, given):
    """Has CloudFormation make what the template says that is in the code's bucket, and waits for it."""
    formation = client("cloudformation")
    formation.create_stack(
        StackName=name,
        TemplateURL=f"https://s3.us-east-1.amazonaws.com/{name}-code/stack.json",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    until_made(formation, name)


def until_made(formation, name):
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        status = formation.describe_stacks(StackName=name)["Stacks"][0]["StackStatus"]
        if status == "CREATE_COMPLETE":
            return
        if not status.endswith("_IN_PROGRESS") or status.startswith("ROLLBACK"):
            events = formation.describe_stack_events(StackName=name)["StackEvents"]
            sys.exit("\n".join(f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason')}" for one in events))
        time.sleep(0.2)
    sys.exit("the stack is not there in time")


def of_nothing():
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\nexit 1\n")
    return bundle.getvalue()


def queue(sqs, name, stage):
    return sqs.get_queue_url(QueueName=f"{name}-{stage}")["QueueUrl"]


def hurry(name, stage, seconds):
    sqs = client("sqs")
    sqs.set_queue_attributes(QueueUrl=queue(sqs, name, stage), Attributes={"VisibilityTimeout": seconds})


def tend(name, template):
    """What the emulator's CloudFormation leaves out of a bucket: its lifecycle, as the template has it."""
    resources = json.loads(pathlib.Path(template).read_text())["Resources"].values()
    for bucket in [one["Properties"] for one in resources if one["Type"] == "AWS::S3::Bucket"]:
        rules = [
            {
                "ID": rule["Id"],
                "Status": rule["Status"],
                "Filter": {"Prefix": rule.get("Prefix", "")},
                **{key: rule[key] for key in ("AbortIncompleteMultipartUpload",) if key in rule},
                **({"Expiration": {"Days": rule["ExpirationInDays"]}} if "ExpirationInDays" in rule else {}),
            }
            for rule in bucket["LifecycleConfiguration"]["Rules"]
        ]
        client("s3").put_bucket_lifecycle_configuration(
            Bucket=bucket["BucketName"], LifecycleConfiguration={"Rules": rules}
        )


def break_it(name):
    """Everything that somebody may do to a stack with the best intentions."""
    s3, sqs = client("s3"), client("sqs")
    s3.delete_object(Bucket=f"{name}-source", Key="movies.csv")
    client("secretsmanager").update_secret(SecretId=name, SecretString=json.dumps({"another": "field"}))
    hurry(name, "enrich", "60")
    send(name, "enrich-dead", "a letter")
    sqs.set_queue_attributes(QueueUrl=queue(sqs, name, "clean"), Attributes={"RedrivePolicy": ""})
    dead = queue(sqs, name, "clean-dead")
    sqs.set_queue_attributes(QueueUrl=dead, Attributes={"MessageRetentionPeriod": "345600"})
    sqs.delete_queue(QueueUrl=queue(sqs, name, "aggregate"))
    s3.put_bucket_versioning(Bucket=name, VersioningConfiguration={"Status": "Enabled"})
    s3.delete_bucket_lifecycle(Bucket=name)
    s3.put_bucket_notification_configuration(Bucket=name, NotificationConfiguration={})


def send(name, stage, body):
    sqs = client("sqs")
    sqs.send_message(QueueUrl=queue(sqs, name, stage), MessageBody=body)


def redrive(name, stage):
    sqs = client("sqs")
    dead, live = queue(sqs, name, f"{stage}-dead"), queue(sqs, name, stage)
    # What `StartMessageMoveTask` does, which the emulator does not have.
    while letters := sqs.receive_message(QueueUrl=dead, MaxNumberOfMessages=10).get("Messages"):
        for letter in letters:
            sqs.send_message(QueueUrl=live, MessageBody=letter["Body"])
            sqs.delete_message(QueueUrl=dead, ReceiptHandle=letter["ReceiptHandle"])


def depths(name):
    sqs, told = client("sqs"), {}
    counted = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    for stage in (*STAGES, *(f"{stage}-dead" for stage in STAGES)):
        attributes = sqs.get_queue_attributes(QueueUrl=queue(sqs, name, stage), AttributeNames=counted)["Attributes"]
        told[stage] = sum(int(count) for count in attributes.values())
    print(json.dumps(told))


def schedules(name, state):
    scheduler = client("scheduler")
    kept = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target")
    for found in scheduler.list_schedules()["Schedules"]:
        if found["Name"].startswith(f"{name}-"):
            schedule = scheduler.get_schedule(Name=found["Name"])
            scheduler.update_schedule(Name=found["Name"], State=state, **{key: schedule[key] for key in kept})


def outputs_of(name):
    stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def inspect(name):
    outputs = outputs_of(name)
    s3, sqs, functions = client("s3"), client("sqs"), client("lambda")
    queues = {}
    for key in [key for key in outputs if key.endswith("Queue")]:
        queues[key] = sqs.get_queue_attributes(QueueUrl=outputs[key], AttributeNames=["All"])["Attributes"]
    buckets = {}
    for bucket in {outputs[key] for key in outputs if key.endswith("Bucket")}:
        notifications = s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status")
        buckets[bucket] = {"notifications": notifications, "versioning": versioning}
    by_role = {}
    for key in [key for key in outputs if key.endswith("Function")]:
        function = functions.get_function_configuration(FunctionName=outputs[key])
        role = function["Role"].split("/")[-1]
        iam = client("iam")
        policies = iam.list_role_policies(RoleName=role)["PolicyNames"]
        by_role[key] = {
            "environment": function["Environment"]["Variables"],
            "timeout": function["Timeout"],
            "memory": function["MemorySize"],
            "mappings": functions.list_event_source_mappings(FunctionName=outputs[key])["EventSourceMappings"],
            "policies": [iam.get_role_policy(RoleName=role, PolicyName=one)["PolicyDocument"] for one in policies],
        }
    scheduler, glue = client("scheduler"), client("glue")
    names = [one["Name"] for one in scheduler.list_schedules()["Schedules"] if one["Name"].startswith(f"{name}-")]
    schedules = [scheduler.get_schedule(Name=one) for one in names]
    tables = glue.get_tables(DatabaseName=outputs["Database"])["TableList"]
    alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
    found = {
        "outputs": outputs,
        "queues": queues,
        "buckets": buckets,
        "functions": by_role,
        "schedules": [{"expression": one["ScheduleExpression"], "target": one["Target"]} for one in schedules],
        "tables": {one["Name"]: one["StorageDescriptor"]["Location"] for one in tables},
        "alarms": len([one for one in alarms if one["AlarmDescription"].startswith((f"{name}-", f"{name}:"))]),
    }
    # There are dates in it.
    print(json.dumps(found, default=str))


def asked(name, query):
    athena, there = client("athena"), outputs_of(name)
    place = {"WorkGroup": there["Workgroup"], "QueryExecutionContext": {"Database": there["Database"]}}
    begun = athena.start_query_execution(QueryString=query, **place)["QueryExecutionId"]
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        status = athena.get_query_execution(QueryExecutionId=begun)["QueryExecution"]["Status"]
        if status["State"] == "SUCCEEDED":
            rows = athena.get_query_results(QueryExecutionId=begun)["ResultSet"]["Rows"]
            return [[cell.get("VarCharValue") for cell in row["Data"]] for row in rows]
        if status["State"] in ("FAILED", "CANCELLED"):
            sys.exit(f"{query}: {status}")
        time.sleep(0.1)
    sys.exit(f"{query}: no answer in time")


def ask(name, query):
    print(json.dumps(asked(name, query)))


def table(name, table, columns, key):
    bucket = f"{name}-source"
    client("s3").copy_object(Bucket=bucket, Key=f"{table}/0.parquet", CopySource={"Bucket": name, "Key": key})
    place = f"s3://{bucket}/{table}/"
    asked(name, f"CREATE EXTERNAL TABLE {table} ({columns}) STORED AS PARQUET LOCATION '{place}'")


def powers(name, calls):
    """Of each role: what it may, what of that nobody did, what AWS does in its name, and what was refused."""
    made = [json.loads(line) for line in pathlib.Path(calls).read_text().splitlines()]
    functions, iam, told = client("lambda"), client("iam"), {}
    for role in ("ingest", *STAGES):
        function = functions.get_function_configuration(FunctionName=f"{name}-{role}")
        key = key_of(name, role)
        mine = [(action, resource, allowed) for who, action, resource, allowed in made if who == key]
        may, by_aws = set(), set()
        holder = function["Role"].split("/")[-1]
        for policy in iam.list_role_policies(RoleName=holder)["PolicyNames"]:
            document = iam.get_role_policy(RoleName=holder, PolicyName=policy)["PolicyDocument"]
            for statement in document["Statement"]:
                for action in listed(statement["Action"]):
                    for resource in listed(statement["Resource"]):
                        (by_aws if action in BY_AWS else may).add((action, resource))
        used = {
            (action, pattern)
            for action, pattern in may
            if any(did == action and fnmatch.fnmatchcase(on, pattern) for did, on, allowed in mine if allowed)
        }
        told[role] = {
            "used": sorted(used),
            "unused": sorted(may - used),
            "by AWS": sorted(by_aws),
            "refused": sorted({(action, resource) for action, resource, allowed in mine if not allowed}),
        }
    print(json.dumps(told))


def requests(name, calls):
    """How many requests of S3 each role has made, by price: PUT and LIST, GET and HEAD; as JSON."""
    made = [json.loads(line) for line in pathlib.Path(calls).read_text().splitlines()]
    told = {}
    for role in ("ingest", *STAGES):
        key = key_of(name, role)
        mine = [action for who, action, _, _ in made if who == key]
        told[role] = {
            "puts": sum(action in ("s3:PutObject", "s3:ListBucket") for action in mine),
            "gets": sum(action == "s3:GetObject" for action in mine),
        }
    print(json.dumps(told))


# What Lambda and the pollers of queues do as a function's role: the emulator asks no policy for it.
BY_AWS = {"logs:CreateLogStream", "logs:PutLogEvents", "sqs:ReceiveMessage", "sqs:DeleteMessage"}


def listed(one):
    return one if isinstance(one, list) else [one]


COMMANDS = {
    "ask": ask,
    "break": break_it,
    "busy": busy,
    "create": create,
    "depths": depths,
    "hurry": hurry,
    "inspect": inspect,
    "leave": leave,
    "powers": powers,
    "prepare": prepare,
    "publish": publish,
    "redrive": redrive,
    "requests": requests,
    "schedules": schedules,
    "send": send,
    "table": table,
    "tend": tend,
}
if __name__ == "__main__":
    COMMANDS[sys.argv[1]](*sys.argv[2:])
