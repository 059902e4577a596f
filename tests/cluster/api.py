"""A client of the API server and of the kubelet: documents in, documents out.

Knows nothing of what is being checked. An answer that is not a success is a Refusal with the server's own sentence.
"""

import json
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request

SERVER = "https://127.0.0.1:6443"
KUBELET = "https://10.0.0.1:10250"
CERTIFICATE = "/run/cluster/pki/crt"
TOKEN = "secret"
PATIENCE = 90


class Refusal(Exception):
    pass


opener = urllib.request.build_opener(
    urllib.request.ProxyHandler({}),
    urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=CERTIFICATE)),
)


def call(method, url, body=None, kind="application/json"):
    """The answer as text."""
    request = urllib.request.Request(url, method=method, headers={"Authorization": f"Bearer {TOKEN}"})
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", kind)
    try:
        with opener.open(request, timeout=60) as answer:
            return answer.read().decode()
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        try:
            text = json.loads(text)["message"]
        except ValueError:
            pass
        raise Refusal(text) from None


def group(version):
    return f"{SERVER}/api/{version}" if "/" not in version else f"{SERVER}/apis/{version}"


def folder(document, namespace):
    """Where documents of this kind are; the server says what it calls them."""
    kinds = json.loads(call("GET", group(document["apiVersion"])))["resources"]
    resource = next(one for one in kinds if one["kind"] == document["kind"] and "/" not in one["name"])
    within = f"/namespaces/{document['metadata'].get('namespace', namespace)}" if resource["namespaced"] else ""
    return f"{group(document['apiVersion'])}{within}/{resource['name']}"


def create(document, namespace, **query):
    query = urllib.parse.urlencode({"fieldValidation": "Strict", **query})
    return json.loads(call("POST", f"{folder(document, namespace)}?{query}", document))


def patch(url, part):
    """Merges a part into what is there."""
    return call("PATCH", url, part, "application/merge-patch+json")


def create_claim(template, name, pod):
    """The claim of a pod that a template is for. Where it is."""
    owner = {"apiVersion": "v1", "kind": "Pod", "name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
    metadata = {"name": name, "ownerReferences": [{**owner, "controller": True}]}
    document = {"apiVersion": template["apiVersion"], "kind": "ResourceClaim", "metadata": metadata, **template["spec"]}
    create(document, pod["metadata"]["namespace"])
    return f"{folder(document, pod['metadata']['namespace'])}/{name}"


def bind(namespace, name, node):
    """Sends a pod to a node, as the scheduler does."""
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
    call("POST", pod_url(namespace, name, "/binding"), binding)


def pod_url(namespace, name, rest=""):
    return f"{group('v1')}/namespaces/{namespace}/pods/{name}{rest}"


def pod(namespace, name):
    return json.loads(call("GET", pod_url(namespace, name)))


def delete_pod(namespace, name):
    """Deletes it, and waits until it is gone: its containers are by then."""
    call("DELETE", pod_url(namespace, name))

    def is_gone():
        try:
            pod(namespace, name)
        except Refusal:
            return True

    until(f"pod {name} is gone", is_gone)


def events(namespace, name):
    """What the pod's events say."""
    selector = urllib.parse.urlencode({"fieldSelector": f"involvedObject.name={name}"})
    found = json.loads(call("GET", f"{group('v1')}/namespaces/{namespace}/events?{selector}"))
    return [event["message"] for event in found["items"]]


def log(namespace, name, container):
    return call("GET", pod_url(namespace, name, f"/log?container={container}"))


def execute(namespace, name, container, *command):
    """Runs a command in a container, by the kubelet. Its words hold no blanks."""
    query = urllib.parse.urlencode({"cmd": " ".join(command)})
    return call("POST", f"{KUBELET}/run/{namespace}/{name}/{container}?{query}")


def until(what, ask):
    """Asks again until the answer is one."""
    end = time.monotonic() + PATIENCE
    while True:
        answer = ask()
        if answer:
            return answer
        if time.monotonic() > end:
            raise TimeoutError(f"in {PATIENCE} s it did not come to be that {what}")
        time.sleep(0.1)
