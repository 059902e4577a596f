"""The documents of what is created: the team's pods, and the installer's as the DaemonSet's controller makes them.

Only documents; nothing is created here.
"""

import yaml

PACKAGING = "packaging/kubernetes"
TEAM = "team"
OWN = "gpu-runc"
INSTALLER = "gpu-runc-node"


def documents(path):
    with open(f"{PACKAGING}/{path}", encoding="utf-8") as file:
        return [document for document in yaml.safe_load_all(file) if document]


def manifest(name):
    return documents(f"manifests/{name}.yaml")[0]


def namespace(name, level):
    """One whose pods may do what this level of Pod Security lets them."""
    metadata = {"name": name, "labels": {"pod-security.kubernetes.io/enforce": level}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def account(namespace):
    """The account that a controller makes in each namespace."""
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": namespace}}


def container(name, script, limits=None):
    return {
        "name": name,
        "image": "busybox:1",
        "imagePullPolicy": "Never",
        "command": ["/bin/sh", "-c", script],
        "resources": {"limits": limits or {}},
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
    }


def pod(name, script, gpus=None, limits=None, runtime_class="gpu-runc", init=()):
    """A pod that is as restricted as Pod Security knows, with one container, main."""
    spec = {
        "nodeName": "node",  # nothing here chooses one
        "runtimeClassName": runtime_class,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "automountServiceAccountToken": False,
        "securityContext": {"runAsNonRoot": True, "runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": list(init),
        "containers": [container("main", script, limits)],
    }
    annotations = {"gpu-runc/gpus": gpus} if gpus else {}
    metadata = {"name": name, "namespace": TEAM, "annotations": annotations}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def installer(daemonset, build):
    """The pod of a DaemonSet for a node without systemd: the chart's restart: signal, hostPID and podAnnotations."""
    template = manifest(daemonset)["spec"]["template"]
    metadata = {"name": INSTALLER, "namespace": OWN, **template["metadata"]}
    main = template["spec"]["containers"][0]
    main["image"] = f"localhost/gpu-runc:{build}"
    main["args"] = [arg.replace("--restart=systemd", "--restart=signal") for arg in main["args"]]
    # Both probes have the same words: YAML's anchor makes them one list.
    for words in [main["args"], main["readinessProbe"]["exec"]["command"]]:
        words.append("--pod-annotations")
    spec = {**template["spec"], "nodeName": "node", "hostPID": True}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
