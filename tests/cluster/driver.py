"""A driver of dynamic resource allocation: writes a CDI file for each claim and names its device, as NVIDIA's does.

Field numbers are those of the kubelet's dra/v1 and pluginregistration/v1 api.proto.
"""

import json
import os
import threading

from wire import answers, entry, field, fields, serve

NAME = "gpu.nvidia.com"
FOLDER = f"/var/lib/kubelet/plugins/{NAME}"
CDI = "/run/cdi"


def describe(claim):
    """Writes the CDI file of a claim: the first GPU. What its device is called."""
    node = {"path": "/dev/nvidia0", "hostPath": "/run/cluster/dev/nvidia0"}
    device = {"name": f"{claim}-gpu-0", "containerEdits": {"deviceNodes": [node]}}
    os.makedirs(CDI, exist_ok=True)
    with open(f"{CDI}/k8s.{NAME}-claim_{claim}.json", "w", encoding="utf-8") as file:
        json.dump({"cdiVersion": "0.5.0", "kind": f"k8s.{NAME}/claim", "devices": [device]}, file)
    return f"k8s.{NAME}/claim={device['name']}"


def claims(request):
    return [dict(fields(claim))[2].decode() for _, claim in fields(request)]


class Driver:
    """Serves until it is stopped. `prepared` has the claims that the kubelet asked for."""

    def __init__(self):
        self.prepared = []
        self.registered = threading.Event()
        os.makedirs(FOLDER, exist_ok=True)
        info = field(1, "DRAPlugin") + field(2, NAME) + field(3, f"{FOLDER}/dra.sock") + field(4, "v1.DRAPlugin")
        registration = {
            "GetInfo": answers(lambda request: info),
            "NotifyRegistrationStatus": answers(self.notify),
        }
        plugin = {"NodePrepareResources": answers(self.prepare), "NodeUnprepareResources": answers(self.unprepare)}
        self.servers = [
            serve(f"{FOLDER}/dra.sock", "k8s.io.kubelet.pkg.apis.dra.v1.DRAPlugin", plugin),
            serve(f"/var/lib/kubelet/plugins_registry/{NAME}.sock", "pluginregistration.Registration", registration),
        ]

    def notify(self, _):
        self.registered.set()
        return b""

    def prepare(self, request):
        answer = b""
        for claim in claims(request):
            self.prepared.append(claim)
            device = field(1, "gpu") + field(2, "node") + field(3, "gpu-0") + field(4, describe(claim))
            answer += entry(1, claim, field(1, device))
        return answer

    def unprepare(self, request):
        for claim in claims(request):
            os.remove(f"{CDI}/k8s.{NAME}-claim_{claim}.json")
            self.prepared.remove(claim)
        return b"".join(entry(1, claim, b"") for claim in claims(request))

    def stop(self):
        for server in self.servers:
            server.stop(None).wait()
