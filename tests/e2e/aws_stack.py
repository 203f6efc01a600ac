"""Makes a stack of a template in an account of AWS, and tells what is there. The account is the emulator's, named by the environment.

    aws_stack.py create NAME TEMPLATE BUCKET   a bucket with a bundle in it, and the stack NAME with it; prints all that the stack is, as JSON
"""

import io
import json
import os
import pathlib
import sys
import time
import zipfile

import botocore.session

session = botocore.session.get_session()


def client(service):
    return session.create_client(
        service, endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name=os.environ["AWS_REGION"]
    )


def create(name, template, bucket):
    bundle = io.BytesIO()
    with zipfile.ZipFile(bundle, "w") as archive:
        archive.writestr("bootstrap", "#!/bin/sh\nexit 1\n")
    s3, formation = client("s3"), client("cloudformation")
    s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=bucket, Key="bundle.zip", Body=bundle.getvalue())
    s3.put_object(Bucket=bucket, Key="template.json", Body=pathlib.Path(template).read_bytes())
    given = {"CodeBucket": bucket, "CodeKey": "bundle.zip"}
    formation.create_stack(
        StackName=name,
        # As text it would be too long.
        TemplateURL=f"{os.environ['AWS_ENDPOINT_URL']}/{bucket}/template.json",
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    while True:
        stack = formation.describe_stacks(StackName=name)["Stacks"][0]
        if not stack["StackStatus"].endswith("IN_PROGRESS"):
            break
        time.sleep(0.2)
    if stack["StackStatus"] != "CREATE_COMPLETE":
        events = formation.describe_stack_events(StackName=name)["StackEvents"]
        sys.exit("\n".join(f"{one['LogicalResourceId']}: {one.get('ResourceStatusReason')}" for one in events))
    print(json.dumps(told(name, {one["OutputKey"]: one["OutputValue"] for one in stack["Outputs"]}), default=str))


def told(name, outputs):
    s3, sqs, functions = client("s3"), client("sqs"), client("lambda")
    queues = {}
    for key in [key for key in outputs if key.endswith("Queue")]:
        queues[key] = sqs.get_queue_attributes(QueueUrl=outputs[key], AttributeNames=["All"])["Attributes"]
    buckets = {}
    for bucket in {outputs[key] for key in outputs if key.endswith("Bucket")}:
        told = s3.get_bucket_notification_configuration(Bucket=bucket).get("QueueConfigurations", [])
        versioning = s3.get_bucket_versioning(Bucket=bucket).get("Status")
        buckets[bucket] = {"notifications": told, "versioning": versioning}
    by_role = {}
    for key in [key for key in outputs if key.endswith("Function")]:
        function = functions.get_function_configuration(FunctionName=outputs[key])
        role = function["Role"].split("/")[-1]
        iam = client("iam")
        policies = iam.list_role_policies(RoleName=role)["PolicyNames"]
        by_role[key] = {
            "environment": function["Environment"]["Variables"],
            "timeout": function["Timeout"],
            "mappings": functions.list_event_source_mappings(FunctionName=outputs[key])["EventSourceMappings"],
            "policies": [iam.get_role_policy(RoleName=role, PolicyName=one)["PolicyDocument"] for one in policies],
        }
    scheduler, glue = client("scheduler"), client("glue")
    names = [one["Name"] for one in scheduler.list_schedules()["Schedules"] if one["Name"].startswith(f"{name}-")]
    schedules = [scheduler.get_schedule(Name=one) for one in names]
    tables = glue.get_tables(DatabaseName=outputs["Database"])["TableList"]
    alarms = client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {
        "outputs": outputs,
        "queues": queues,
        "buckets": buckets,
        "functions": by_role,
        "schedules": [
            {"expression": one["ScheduleExpression"], "target": one["Target"]} for one in schedules
        ],
        "tables": {one["Name"]: one["StorageDescriptor"]["Location"] for one in tables},
        "alarms": len([one for one in alarms if f"{name}-" in one["AlarmDescription"]]),
    }


COMMANDS = {"create": create}
COMMANDS[sys.argv[1]](*sys.argv[2:])
