"""Sets up a generated stack in an account of AWS, and looks at what it does. The account is the emulator's, named by the environment.

    aws_stack.py prepare NAME SECRET FILE KEY...  the buckets NAME-source (the source, and FILE under each KEY) and NAME-code, the secret NAME
    aws_stack.py create NAME TEMPLATE BUNDLE      uploads the bundle, and has CloudFormation make the stack NAME
    aws_stack.py set NAME STAGE ATTRIBUTE VALUE   an attribute of the queue NAME-STAGE
    aws_stack.py send NAME STAGE BODY             a message
    aws_stack.py depths NAME                      how many messages wait in each queue, as JSON
    aws_stack.py halt NAME                        disables the schedules
    aws_stack.py ask NAME TABLE QUERY             asks Athena, in the stack's workgroup and database, as JSON; TABLE is declared over Gold's
                                                  Parquet object of that name
    aws_stack.py policies NAME                    what each role may do, and what was done with it, as JSON
"""

import json
import pathlib
import sys
import time

from aws_account import STAGES, client

PATIENCE = 120.0  # seconds


def prepare(name, secret, source, *keys):
    s3 = client("s3")
    for bucket in (f"{name}-source", f"{name}-code"):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=f"{name}-source", Key="movies.csv", Body=pathlib.Path(source).read_bytes())
    for key, file in zip(keys[::2], keys[1::2], strict=True):
        s3.put_object(Bucket=f"{name}-source", Key=key, Body=pathlib.Path(file).read_bytes())
    client("secretsmanager").create_secret(Name=name, SecretString=json.dumps({"omdb": secret}))


def create(name, template, bundle):
    client("s3").put_object(Bucket=f"{name}-code", Key="bundle.zip", Body=pathlib.Path(bundle).read_bytes())
    formation = client("cloudformation")
    given = {"CodeBucket": f"{name}-code", "CodeKey": "bundle.zip"}
    formation.create_stack(
        StackName=name,
        TemplateBody=pathlib.Path(template).read_text(),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM", "CAPABILITY_NAMED_IAM"],
    )
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        stack = formation.describe_stacks(StackName=name)["Stacks"][0]
        if stack["StackStatus"] == "CREATE_COMPLETE":
            outputs = {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}
            resources = formation.describe_stack_resources(StackName=name)["StackResources"]
            print(json.dumps({"outputs": outputs, "resources": [one["ResourceType"] for one in resources]}))
            return
        if not stack["StackStatus"].endswith("_IN_PROGRESS") or stack["StackStatus"].startswith("ROLLBACK"):
            events = formation.describe_stack_events(StackName=name)["StackEvents"]
            told = [(one["LogicalResourceId"], one.get("ResourceStatusReason")) for one in events]
            sys.exit(f"{stack['StackStatus']}: {[one for one in told if one[1]]}")
        time.sleep(0.2)
    sys.exit("the stack is not there in time")


def queue(sqs, name, stage):
    return sqs.get_queue_url(QueueName=f"{name}-{stage}")["QueueUrl"]


def set_attribute(name, stage, attribute, value):
    sqs = client("sqs")
    sqs.set_queue_attributes(QueueUrl=queue(sqs, name, stage), Attributes={attribute: value})


def send(name, stage, body):
    sqs = client("sqs")
    sqs.send_message(QueueUrl=queue(sqs, name, stage), MessageBody=body)


def depths(name):
    sqs = client("sqs")
    counted = [f"ApproximateNumberOfMessages{kind}" for kind in ("", "NotVisible", "Delayed")]
    told = {}
    for stage in (*STAGES, *(f"{stage}-dead" for stage in STAGES)):
        attributes = sqs.get_queue_attributes(QueueUrl=queue(sqs, name, stage), AttributeNames=counted)["Attributes"]
        told[stage] = sum(int(count) for count in attributes.values())
    print(json.dumps(told))


def halt(name):
    scheduler = client("scheduler")
    for found in scheduler.list_schedules()["Schedules"]:
        if not found["Name"].startswith(f"{name}-"):
            continue
        schedule = scheduler.get_schedule(Name=found["Name"])
        kept = ("ScheduleExpression", "ScheduleExpressionTimezone", "FlexibleTimeWindow", "Target")
        scheduler.update_schedule(Name=found["Name"], State="DISABLED", **{key: schedule[key] for key in kept if key in schedule})


def outputs(name):
    stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in stack["Outputs"]}


def asked(name, query):
    athena, there = client("athena"), outputs(name)
    begun = athena.start_query_execution(
        QueryString=query, WorkGroup=there["Workgroup"], QueryExecutionContext={"Database": there["Database"]}
    )["QueryExecutionId"]
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


def ask(name, table, columns, place, query):
    asked(name, f"CREATE EXTERNAL TABLE {table}_as_parquet ({columns}) STORED AS PARQUET LOCATION '{place}'")
    print(json.dumps(asked(name, query)))


COMMANDS = {
    "ask": ask,
    "create": create,
    "depths": depths,
    "halt": halt,
    "prepare": prepare,
    "send": send,
    "set": set_attribute,
}
COMMANDS[sys.argv[1]](*sys.argv[2:])
