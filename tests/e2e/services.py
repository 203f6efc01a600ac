"""Sets up what services of ECS need from a generated template, in an account of AWS. The account is the emulator's, named by the environment.

    services.py create NAME TEMPLATE       has CloudFormation make all but the services, which would run containers, and their scaling, which
                                           the emulator does not know
    services.py take_on NAME ROLE          takes on a role of the stack, as ECS does for a task; its credentials as JSON
    services.py refused CALLS KEY          the calls of that key that were refused, as JSON; CALLS is what the emulator has noted
"""

import json
import pathlib
import sys

from aws_account import client
from stack import make_stack

# What runs containers, and what the emulator has no provider for.
LEFT_OUT = ("AWS::ECS::Service", "AWS::ApplicationAutoScaling::")


def create(name, template):
    template = json.loads(pathlib.Path(template).read_text())
    kept = {key: one for key, one in template["Resources"].items() if not one["Type"].startswith(LEFT_OUT)}
    outputs = {key: one for key, one in template["Outputs"].items() if not key.endswith("Service")}
    text = json.dumps({**template, "Resources": kept, "Outputs": outputs})
    client("s3").put_object(Bucket=f"{name}-code", Key="stack.json", Body=text.encode())
    make_stack(name, {"Image": "none", "Subnets": "subnet-0", "SecurityGroups": "sg-0"})


def take_on(name, role):
    formation, iam = client("cloudformation"), client("iam")
    found = formation.describe_stack_resource(StackName=name, LogicalResourceId=role)
    role = iam.get_role(RoleName=found["StackResourceDetail"]["PhysicalResourceId"])["Role"]
    # ECS alone may take it on: here this account does so in its place.
    trust = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}
    document = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
    iam.update_assume_role_policy(RoleName=role["RoleName"], PolicyDocument=document)
    told = client("sts").assume_role(RoleArn=role["Arn"], RoleSessionName="task")["Credentials"]
    names = {"AWS_ACCESS_KEY_ID": "AccessKeyId", "AWS_SECRET_ACCESS_KEY": "SecretAccessKey", "AWS_SESSION_TOKEN": "SessionToken"}
    print(json.dumps({name: told[key] for name, key in names.items()}))


def refused(calls, key):
    made = [json.loads(line) for line in pathlib.Path(calls).read_text().splitlines()]
    print(json.dumps(sorted({(action, on) for who, action, on, allowed in made if who == key and not allowed})))


if __name__ == "__main__":
    {"create": create, "take_on": take_on, "refused": refused}[sys.argv[1]](*sys.argv[2:])
