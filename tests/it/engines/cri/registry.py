"""A registry that has one image under every name: critest pulls what it starts.

Usage: registry.py DIRECTORY PORT, where the directory has config.json and layer.tar.
"""

import hashlib
import http.server
import json
import os
import sys

DOCKER = "application/vnd.docker"


def blob(name):
    with open(os.path.join(sys.argv[1], name), "rb") as file:
        return file.read()


def described(media_type, content):
    return {"mediaType": f"{DOCKER}.{media_type}", "size": len(content), "digest": digest(content)}


def digest(content):
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


CONFIG, LAYER = blob("config.json"), blob("layer.tar")
MANIFEST = json.dumps(
    {
        "schemaVersion": 2,
        "mediaType": f"{DOCKER}.distribution.manifest.v2+json",
        "config": described("container.image.v1+json", CONFIG),
        "layers": [described("image.rootfs.diff.tar", LAYER)],
    }
).encode()
BLOBS = {digest(content): content for content in (CONFIG, LAYER, MANIFEST)}


class Registry(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        kind, _, reference = self.path.rpartition("/")
        is_manifest = kind.endswith("/manifests") and not reference.startswith("sha256:")
        content = MANIFEST if is_manifest else BLOBS.get(reference, b"{}" if self.path == "/v2/" else None)
        self.send_response(404 if content is None else 200)
        if content is not None:
            is_manifest = content == MANIFEST
            media_type = f"{DOCKER}.distribution.manifest.v2+json" if is_manifest else "application/octet-stream"
            self.send_header("Content-Type", media_type)
            self.send_header("Docker-Content-Digest", digest(content))
        self.send_header("Content-Length", str(len(content or b"")))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content or b"")

    do_HEAD = do_GET


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Registry).serve_forever()
