"""A device plugin of two devices, 0 and 1: tells the kubelet of them, and answers in one way what a container gets.

Field numbers are those of the device plugin's api.proto, version v1beta1.
"""

import threading

from wire import answers, call, entry, field, fields, serve, streams

FOLDER = "/var/lib/kubelet/device-plugins"
DEVICES = ["0", "1"]
# What Allocate answers for a container that gets a device, by the way in which a plugin says it.
WAYS = {
    "variable": lambda device: entry(1, "NVIDIA_VISIBLE_DEVICES", device),
    "mounts": lambda device: field(2, field(1, f"/var/run/nvidia-container-devices/{device}") + field(2, "/dev/null")),
    "cdi": lambda device: field(5, field(1, f"nvidia.com/gpu={device}")),
}


class Plugin:
    """Serves until it is stopped. `granted` has the devices that were given to containers, in their order."""

    def __init__(self, way):
        self.way = way
        self.resource = f"example.com/gpu-by-{way}"
        self.granted = []
        self.is_over = threading.Event()
        methods = {
            "GetDevicePluginOptions": answers(lambda request: b""),
            "ListAndWatch": streams(self.list_and_watch),
            "Allocate": answers(self.allocate),
        }
        self.server = serve(f"{FOLDER}/{way}.sock", "v1beta1.DevicePlugin", methods)
        message = field(1, "v1beta1") + field(2, f"{way}.sock") + field(3, self.resource)
        call(f"{FOLDER}/kubelet.sock", "/v1beta1.Registration/Register", message)

    def list_and_watch(self):
        yield b"".join(field(1, field(1, device) + field(2, "Healthy")) for device in DEVICES)
        self.is_over.wait()

    def allocate(self, request):
        """The kubelet asks for one container at a time, and no container here wants two devices."""
        ((_, container),) = fields(request)
        ((_, device),) = fields(container)
        self.granted.append(device.decode())
        return field(1, WAYS[self.way](device.decode()))

    def stop(self):
        self.is_over.set()
        self.server.stop(None).wait()
