"""What must hold on the cluster that hack/cluster has made, in this order: each check builds on those before it.

One line a check: PASS, FAIL, SKIP, or XFAIL for a failure that is expected. Exit status 1 if any failed.
"""

import glob
import json
import os
import re
import subprocess
import sys
import threading

import api
import driver
import pods
from plugin import Plugin
from pods import INSTALLER, OWN, TEAM, pod

CONFIG = "/etc/containerd/config.toml"
OWN_CONFIG = "/etc/gpu-runc/config.toml"
SEE = "ls /dev | grep nvidia | xargs"
STAY = f"{SEE}; exec sleep 86400"
FIRST = '"device=0"'


# Checks that fail until something is fixed, by name, with the reason. One that passes must be taken out of here.
EXPECTED_FAILURES = {}


class Skip(Exception):
    """Why a check does not apply."""


def expect(seen, wished):
    assert seen == wished, f"expected {wished!r}, got {seen!r}"


def refusal(document, namespace):
    """What the server says of a document that it does not take."""
    try:
        api.create(document, namespace, dryRun="All")
    except api.Refusal as said:
        return str(said)
    raise AssertionError("the server took it")


def start(document, wished=("Running", "Succeeded")):
    """Creates a pod of the team, and waits until it is in one of these phases. The error is what its events say."""
    name = document["metadata"]["name"]
    api.create(document, TEAM)
    phase = lambda: api.pod(TEAM, name)["status"].get("phase")
    found = api.until(f"{name} starts or fails", lambda: {*wished, "Failed"} & {phase()})
    assert "Failed" not in found, f"{name} failed: {api.events(TEAM, name)}"


def seen(name, container="main"):
    """What a container prints first."""

    def log():
        try:
            return api.log(TEAM, name, container)
        except api.Refusal:
            return ""  # it is not there yet

    return api.until(f"{container} of {name} says something", log).partition("\n")[0]


def devices(name):
    """The device nodes that the low-level runtime was told of."""
    def container():
        """The kubelet reports the id some time after the container has said something."""
        statuses = api.pod(TEAM, name)["status"].get("containerStatuses") or [{}]
        return statuses[0].get("containerID")

    main = api.until(f"{name} has a container", container).removeprefix("containerd://")
    with open(f"/run/containerd/io.containerd.runtime.v2.task/k8s.io/{main}/config.json", encoding="utf-8") as file:
        return sorted(node["path"] for node in json.load(file)["linux"].get("devices", []))


def node():
    return json.loads(api.call("GET", f"{api.group('v1')}/nodes/node"))["status"]


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def containerd():
    """The first number of its version."""
    return int(re.search(r"v?(\d+)\.\d+\.\d+", run("containerd", "--version"))[1])


def config():
    with open(CONFIG, encoding="utf-8") as file:
        return file.read()


def programs():
    """The executables of all processes. Those that end meanwhile, and the kernel's own, have none."""
    found = []
    for path in glob.glob("/proc/[0-9]*/exe"):
        try:
            found.append(os.readlink(path))
        except (FileNotFoundError, ProcessLookupError):
            pass
    return found


def traces(cgroup):
    """What there is of pods: containers, shims, mounts, cgroups."""
    with open("/proc/self/mounts", encoding="utf-8") as file:
        mounts = [line.split()[1] for line in file]
    of_pods = ("/run/containerd/io.", "/run/netns/", "/var/lib/kubelet/pods/")
    return {
        "containers": run("ctr", "-n", "k8s.io", "containers", "list", "-q").split(),
        "shims": [program for program in programs() if program.endswith("/containerd-shim-runc-v2")],
        "mounts": [path for path in mounts if path.startswith(of_pods)],
        "cgroups": glob.glob(f"/sys/fs/cgroup/**/{cgroup}/kubepods/**/pod*", recursive=True),
    }


def manifests():
    for name in ["namespace", "serviceaccount", "runtimeclass"]:
        api.create(pods.manifest(name), OWN)
    for name, level in [(TEAM, "restricted"), ("examples", "baseline")]:
        api.create(pods.namespace(name, level), None)
        api.create(pods.account(name), name)
    for name in ["daemonset", "uninstall"]:
        api.create(pods.manifest(name), OWN, dryRun="All")
    for path in sorted(glob.glob("*.yaml", root_dir=f"{pods.PACKAGING}/examples")):
        for document in pods.documents(f"examples/{path}"):
            api.create(document, "examples", dryRun="All")
    wrong = pods.manifest("daemonset")
    wrong["spec"]["template"]["spec"]["runtimeClass"] = "gpu-runc"
    assert 'unknown field "spec.template.spec.runtimeClass"' in refusal(wrong, OWN)


def security():
    document = pods.installer("daemonset", "a")
    api.create(document, OWN, dryRun="All")
    document["metadata"]["namespace"] = "examples"
    document["spec"]["serviceAccountName"] = "default"
    assert 'violates PodSecurity "baseline:latest"' in refusal(document, "examples")


def install(daemonset="daemonset", build="a"):
    api.create(pods.installer(daemonset, build), OWN)

    def is_ready():
        conditions = api.pod(OWN, INSTALLER)["status"].get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    try:
        api.until("the installer is ready", is_ready)
    except TimeoutError as error:
        raise AssertionError(f"{error}: {api.log(OWN, INSTALLER, 'node')} {api.events(OWN, INSTALLER)}") from None


def handler():
    if containerd() < 2:
        raise Skip("containerd 1.x does not say which handlers it has")
    names = lambda: [one["name"] for one in node().get("runtimeHandlers", [])]
    api.until("the node has the handler", lambda: "gpu-runc" in names())


def annotation():
    start(pod("annotation", STAY, gpus=FIRST))
    expect(seen("annotation"), "nvidia0 nvidiactl")
    # nvidiactl is of a kind that no container may open unless a rule says so.
    script = "head -c 3 /dev/nvidia1 | wc -c; : >/dev/nvidiactl; echo $GPU_DRIVER"
    start(pod("used", script, gpus='"device=1"'), ["Succeeded"])
    expect(api.log(TEAM, "used", "main"), "3\nmade-up\n")


def plain():
    start(pod("plain", f"echo sees; {SEE}", gpus=FIRST, runtime_class=None), ["Succeeded"])
    expect(api.log(TEAM, "plain", "main"), "sees\n\n")


def event(document, *words):
    """Creates a pod of the team that cannot start, and waits for an event that has these words."""
    name = document["metadata"]["name"]
    api.create(document, TEAM)
    fits = lambda message: all(one in message for one in words)
    print(f"     {api.until(f'an event of {name} says why', lambda: [*filter(fits, api.events(TEAM, name))])[0]}")


def absent():
    words = "OCI runtime create failed: CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=9"
    event(pod("absent", STAY, gpus='"device=9"'), words, "asked for by annotation", "this host has nvidia.com/gpu=0, 1")


def refused():
    with open(OWN_CONFIG, encoding="utf-8") as file:
        before = file.read()
    try:
        with open(OWN_CONFIG, "w", encoding="utf-8") as file:
            file.write(f"{before}[policy.pods]\nnamespaces = []\n")
        words = 'OCI runtime create failed: annotation "gpu-runc/gpus=\\"device=0\\"" may not ask for GPUs'
        event(pod("refused", STAY, gpus=FIRST), words, f'policy.pods.namespaces does not list "{TEAM}"')
    finally:
        with open(OWN_CONFIG, "w", encoding="utf-8") as file:
            file.write(before)


def execute():
    names = api.execute(TEAM, "annotation", "main", "ls", "/dev").split()
    expect([name for name in names if name.startswith("nvidia")], ["nvidia0", "nvidiactl"])


def all_kinds():
    start(pod("kinds", STAY, gpus=FIRST, init=[pods.container("before", SEE)]))
    expect(seen("kinds", "before"), "nvidia0 nvidiactl")
    ephemeral = pods.container("debug", STAY)
    del ephemeral["resources"]  # it may have none
    url = api.pod_url(TEAM, "kinds", "/ephemeralcontainers")
    api.patch(url, {"spec": {"ephemeralContainers": [ephemeral]}})
    expect(seen("kinds", "debug"), "nvidia0 nvidiactl")


def device_plugin(way):
    def check():
        if way == "cdi" and containerd() < 2:
            raise Skip("containerd 1.x does nothing with them unless it is told to")
        plugin = Plugin(way)
        api.until("the kubelet tells of the devices", lambda: node()["allocatable"].get(plugin.resource) == "2")
        for name in [f"by-{way}-1", f"by-{way}-2"]:
            start(pod(name, STAY, limits={plugin.resource: 1}))
            given = f"nvidia{plugin.granted[-1]}"
            expect(seen(name), f"{given} nvidiactl")
            expect(devices(name), [f"/dev/{given}", "/dev/nvidiactl"])
        expect(sorted(plugin.granted), ["0", "1"])
        plugin.stop()

    return check


def beside_cdi():
    """containerd injects what the plugin names; what the annotation asks for is added, and nothing comes twice."""
    api.delete_pod(TEAM, "by-cdi-1")  # two pods have the two devices
    plugin = Plugin("cdi")
    api.until("the kubelet tells of the devices", lambda: node()["allocatable"].get(plugin.resource) == "2")
    start(pod("beside-cdi", STAY, gpus="all", limits={plugin.resource: 1}))
    expect(seen("beside-cdi"), "nvidia0 nvidia1 nvidiactl")
    expect(devices("beside-cdi"), ["/dev/nvidia0", "/dev/nvidia1", "/dev/nvidiactl"])
    api.delete_pod(TEAM, "beside-cdi")
    plugin.stop()


def user_namespace():
    document = pod("user-namespace", STAY, gpus=FIRST)
    document["spec"]["hostUsers"] = False
    start(document)
    expect(seen("user-namespace"), "nvidia0 nvidiactl")
    api.delete_pod(TEAM, "user-namespace")


def plain_user_namespace():
    """The same without gpu-runc: whether this machine can have such pods."""
    document = pod("plain-user-namespace", "grep -c ' 0 *0 ' /proc/self/uid_map; exec sleep 86400", runtime_class=None)
    document["spec"]["hostUsers"] = False
    start(document)
    expect(seen("plain-user-namespace"), "0")
    api.delete_pod(TEAM, "plain-user-namespace")


def claim():
    """The example, with what a controller and the scheduler do for it done by hand."""
    if containerd() < 2:
        raise Skip("containerd 1.x does nothing with them unless it is told to")
    served = driver.Driver()
    template, example = pods.documents("examples/dra.yaml")
    document = pod("dra", STAY)
    del document["spec"]["nodeName"]
    document["spec"]["resourceClaims"] = example["spec"]["resourceClaims"]
    document["spec"]["containers"][0]["resources"] = example["spec"]["containers"][0]["resources"]
    made = api.create(document, TEAM)
    url = api.create_claim(template, "dra-gpu", made)
    device = {"request": "gpu", "driver": driver.NAME, "pool": "node", "device": "gpu-0"}
    consumer = {"resource": "pods", "name": "dra", "uid": made["metadata"]["uid"]}
    allocation = {"devices": {"results": [device]}}
    api.patch(f"{url}/status", {"status": {"allocation": allocation, "reservedFor": [consumer]}})
    claimed = {"name": example["spec"]["resourceClaims"][0]["name"], "resourceClaimName": "dra-gpu"}
    api.patch(api.pod_url(TEAM, "dra", "/status"), {"status": {"resourceClaimStatuses": [claimed]}})
    assert served.registered.wait(api.PATIENCE), "the kubelet does not know the driver"
    api.bind(TEAM, "dra", "node")
    expect(seen("dra"), "nvidia0")
    expect(devices("dra"), ["/dev/nvidia0"])
    api.delete_pod(TEAM, "dra")
    api.until("the claim is given back", lambda: not served.prepared)
    served.stop()


def upgrade():
    is_over, failed, count = threading.Event(), [], [0, 0]

    def churn(worker):
        while not is_over.is_set():
            name = f"churn-{worker}-{count[worker]}"
            try:
                start(pod(name, "test -c /dev/nvidia0 && test -c /dev/nvidia1", gpus="all"), ["Succeeded"])
                api.delete_pod(TEAM, name)
            except Exception as error:
                failed.append(f"{name}: {error}")
            count[worker] += 1

    workers = [threading.Thread(target=churn, args=[worker]) for worker in range(len(count))]
    for worker in workers:
        worker.start()
    try:
        current = os.readlink("/opt/gpu-runc/current")
        for build in ["b", "a", "b"]:
            api.delete_pod(OWN, INSTALLER)
            install(build=build)
            before, current = current, os.readlink("/opt/gpu-runc/current")
            assert before != current, current
    finally:
        is_over.set()
        for worker in workers:
            worker.join()
    assert not failed, failed
    assert sum(count) > 5, f"only {sum(count)} pods meanwhile"
    print(f"     3 upgrades, {sum(count)} pods meanwhile")


def leftovers(cgroup):
    def check():
        for document in json.loads(api.call("GET", api.pod_url(TEAM, "")))["items"]:
            api.delete_pod(TEAM, document["metadata"]["name"])
        api.delete_pod(OWN, INSTALLER)
        try:
            api.until("nothing is left", lambda: not any(traces(cgroup).values()))
        except TimeoutError as error:
            raise AssertionError(f"{error}: {traces(cgroup)}") from None

    return check


def uninstall(before):
    def check():
        install("uninstall", "b")
        expect(config(), before)
        assert not os.path.exists("/opt/gpu-runc"), os.listdir("/opt/gpu-runc")
        api.delete_pod(OWN, INSTALLER)

    return check


def main(cgroup):
    checks = [
        ("the API server takes every manifest and every example", manifests),
        ("the installer's pod is taken in its own namespace alone", security),
        ("the installer's pod registers gpu-runc, and is ready", install),
        ("the node says that it has the handler", handler),
        ("a pod gets the device that its annotation names, and can use it", annotation),
        ("a pod without the class gets none", plain),
        ("what cannot be given is one sentence of the pod's events", absent),
        ("what the policy refuses is one too", refused),
        ("what runs by the kubelet's exec sees it too", execute),
        ("init and ephemeral containers are given what their pod asks for", all_kinds),
        ("a device plugin's variable gives exactly its device", device_plugin("variable")),
        ("a device plugin's mounts give exactly its device", device_plugin("mounts")),
        ("a device plugin's CDI names give exactly its device", device_plugin("cdi")),
        ("a device plugin's CDI names and an annotation give each device once", beside_cdi),
        ("a claim gives its device, and nothing twice", claim),
        ("a pod with hostUsers: false runs without gpu-runc", plain_user_namespace),
        ("a pod with hostUsers: false gets its device", user_namespace),
        ("no pod fails while the installer is upgraded", upgrade),
        ("pods that are gone leave no container, shim, mount or cgroup", leftovers(cgroup)),
        ("the installer's pod takes all of it away", uninstall(config())),
    ]
    failed = 0
    for name, check in checks:
        expected = EXPECTED_FAILURES.get(name)
        try:
            check()
        except Skip as why:
            skip(name, why)
        except Exception as error:
            if expected:
                print(f"XFAIL {name}: {expected}: {error!r}", flush=True)
                continue
            failed += 1
            print(f"FAIL {name}: {error!r}", flush=True)
            if check is install:
                break
        else:
            failed += bool(expected)
            print(f"FAIL {name}: it passes, take it out of EXPECTED_FAILURES" if expected else f"PASS {name}", flush=True)
    return 1 if failed else 0


def skip(name, why):
    line = f"SKIP cluster: {name}: {why} (optional)"
    print(line, flush=True)
    with open(os.environ.get("GPU_RUNC_SKIPS", os.devnull), "a", encoding="utf-8") as file:
        print(line, file=file)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
