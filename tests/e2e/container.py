"""Becomes a container as ECS runs it on Fargate: the image from the Dockerfile's own last steps, the rest from a template's task definition.

    unshare --mount python container.py DOCKERFILE PROGRAM PIPELINE ROOT TEMPLATE TASK [--no-volumes] [NAME=VALUE]...

PROGRAM and PIPELINE (a folder) stand for what the build stage makes. ROOT is an empty folder. TASK is a task definition of the TEMPLATE, whose
parameters have their defaults. NAME=VALUE are more of the environment, as ECS adds credentials. With --no-volumes the image names no `VOLUME`.

What is as on Fargate: the user, no capability, a root that can only be read, `/dev` and `/proc`, and volumes, which belong to root and are for
root alone (0755) unless the image names their place as a `VOLUME`: then they have owner, mode and content of the folder in the image.
What is not: the network is that of this machine, and memory and processors are not bounded. Has to be root, in a mount namespace of its own.
"""

import ctypes
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
MS_RDONLY, MS_REMOUNT, MS_NOSUID, MS_BIND, MS_REC, MS_PRIVATE = 1, 32, 2, 4096, 16384, 1 << 18
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
LAST_CAPABILITY = 40
NOBODY_LOGS_IN = "/sbin/nologin"
# What CloudFormation fills in, in the emulator's account.
HERE = {"Region": "us-east-1", "AccountId": "000000000000", "Partition": "aws", "URLSuffix": "amazonaws.com"}
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def mount(source, target, flags, kind=None):
    texts = [None if text is None else str(text).encode() for text in (source, target, kind)]
    if LIBC.mount(texts[0], texts[1], texts[2], flags, None):
        sys.exit(f"cannot mount {source} at {target}: {os.strerror(ctypes.get_errno())}")


class Image:
    """The root of an image, and what it says of how it runs."""

    def __init__(self, root, made):
        self.root, self.made = root, made
        self.workdir, self.user, self.env, self.volumes = "/", "0:0", {"PATH": PATH}, []
        self.entrypoint, self.command, self.bound = [], [], []

    def base(self, program):
        """What `distroless/cc` has, as far as a program sees it: the C library, names, certificates."""
        for folder in ("dev", "proc", "etc", "tmp", "home/nonroot"):
            self.inside(folder).mkdir(parents=True)
        self.inside("tmp").chmod(0o1777)
        os.chown(self.inside("home/nonroot"), 65532, 65532)
        home = pathlib.PurePosixPath("/", "home", "nonroot")
        users = [f"root:x:0:0::/root:{NOBODY_LOGS_IN}", f"nonroot:x:65532:65532::{home}:{NOBODY_LOGS_IN}"]
        self.inside("etc/passwd").write_text("\n".join(users) + "\n")
        for file in ("etc/hosts", "etc/resolv.conf", "etc/nsswitch.conf", "etc/ssl/certs/ca-certificates.crt"):
            if pathlib.Path("/", file).is_file():
                self.inside(file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(pathlib.Path("/", file), self.inside(file))
        told = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+) \(0x", told):
            self.inside(library).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(library, self.inside(library))

    def inside(self, path):
        return self.root / str(path).lstrip("/")

    def step(self, word, rest):
        match word:
            case "COPY":
                self.copy(shlex.split(rest))
            case "WORKDIR":
                self.workdir = rest
                self.inside(rest).mkdir(parents=True, exist_ok=True)
            case "USER":
                self.user = rest
            case "ENV":
                self.env.update(pair.split("=", 1) for pair in shlex.split(rest))
            case "VOLUME":
                self.volumes += json.loads(rest)
            case "ENTRYPOINT":
                self.entrypoint = json.loads(rest)
            case "CMD":
                self.command = json.loads(rest)
            case "STOPSIGNAL" | "EXPOSE" | "HEALTHCHECK" | "FROM":
                pass
            case _:
                sys.exit(f"the Dockerfile has a step that is not known here: {word} {rest}")

    def copy(self, words):
        options = dict(word.removeprefix("--").split("=", 1) for word in words if word.startswith("--"))
        source, target = [word for word in words if not word.startswith("--")]
        if source not in self.made:
            sys.exit(f"the Dockerfile copies {source}, which is not known here")
        source = self.made[source]
        target = self.inside(pathlib.PurePosixPath(self.workdir, target))
        if source is None:
            target.mkdir(parents=True)
        elif source.is_dir():
            shutil.copytree(source, target, dirs_exist_ok=True)
        else:
            # As large as it is: shown there, not copied.
            target.parent.mkdir(parents=True, exist_ok=True)
            target.touch()
            self.bound.append((source, target))
        if "chown" in options:
            user, group = map(int, options["chown"].split(":"))
            for path in (target, *target.rglob("*")):
                os.chown(path, user, group)


def steps(dockerfile):
    """The steps of the stage `program` and of the last one, which is made from it."""
    text = re.sub(r"\\\n", " ", re.sub(r"(?m)^#.*\n", "", dockerfile.read_text()))
    lines = [line.split(None, 1) for line in text.splitlines() if line.strip()]
    start = next(at for at, (word, rest) in enumerate(lines) if word == "FROM" and rest.endswith(" AS program"))
    return lines[start:]


def resolved(template, value):
    """A value of a template, with the defaults of its parameters: none of those that may be left out is given."""
    nothing = {"Ref": "AWS::NoValue"}
    if isinstance(value, list):
        return [resolved(template, one) for one in value if resolved(template, one) != nothing]
    if not isinstance(value, dict) or value == nothing:
        return value
    if "Ref" in value:
        return template["Parameters"].get(value["Ref"], {}).get("Default", value["Ref"])
    if "Fn::Sub" in value:
        return re.sub(r"\$\{AWS::(\w+)\}", lambda found: HERE[found[1]], value["Fn::Sub"])
    if "Fn::If" in value:
        return resolved(template, value["Fn::If"][2])
    return {name: resolved(template, one) for name, one in value.items()}


def set_up(image, task, volumes):
    """Mounts what the container sees: nothing of it can be written to but its volumes and `/dev`."""
    root = image.root
    mount(None, "/", MS_REC | MS_PRIVATE)
    mount(root, root, MS_BIND)
    for source, target in image.bound:
        mount(source, target, MS_BIND)
        target.parent.chmod(0o755)
    container = task["ContainerDefinitions"][0]
    for point in container["MountPoints"]:
        there = image.inside(point["ContainerPath"])
        volume = volumes / point["SourceVolume"]
        volume.mkdir(parents=True)
        volume.chmod(0o755)
        if point["ContainerPath"] in image.volumes:
            shutil.copytree(there, volume, dirs_exist_ok=True)
            shutil.copymode(there, volume)
            os.chown(volume, there.stat().st_uid, there.stat().st_gid)
        there.mkdir(parents=True, exist_ok=True)
        point["volume"], point["there"] = volume, there
    devices = ["null", "zero", "full", "random", "urandom"]
    for device in devices:
        image.inside(f"dev/{device}").touch()
    image.inside("dev/shm").mkdir()
    if container["ReadonlyRootFilesystem"]:
        mount(None, root, MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID)
    for point in container["MountPoints"]:
        mount(point["volume"], point["there"], MS_BIND)
    for device in devices:
        mount(f"/dev/{device}", image.inside(f"dev/{device}"), MS_BIND)
    mount("tmpfs", image.inside("dev/shm"), MS_NOSUID, "tmpfs")
    mount("/proc", image.inside("proc"), MS_BIND | MS_REC)


def become(image, container, more):
    environment = {**image.env, **{one["Name"]: str(one["Value"]) for one in container["Environment"]}, **more}
    user, group = (int(part) for part in (image.user.split(":") * 2)[:2])
    if container.get("User"):
        user = int(container["User"])
    os.chroot(image.root)
    os.chdir(image.workdir)
    for capability in range(LAST_CAPABILITY + 1):
        LIBC.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    LIBC.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    words = [*image.entrypoint, *(container.get("Command") or image.command)]
    os.execvpe(words[0], words, environment)


def main(dockerfile, program, pipeline, root, template, task, *more):
    root = pathlib.Path(root)
    made = {"/usr/local/bin/sluicebox": pathlib.Path(program), "/pipeline": pathlib.Path(pipeline), "/scratch": None}
    image = Image(root / "root", made)
    image.base(program)
    for word, rest in steps(pathlib.Path(dockerfile)):
        image.step(word, rest)
    if "--no-volumes" in more:
        image.volumes = []
    template = json.loads(pathlib.Path(template).read_text())
    task = resolved(template, template["Resources"][task]["Properties"])
    set_up(image, task, root / "volumes")
    become(image, task["ContainerDefinitions"][0], dict(pair.split("=", 1) for pair in more if "=" in pair))


main(*sys.argv[1:])
