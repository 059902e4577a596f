//! The made-up host: device nodes of harmless kinds under GPUs' names, a driver library, and the CDI file that describes them.

use std::fs;

use serde_json::json;

use crate::scratch::{Scratch, program_on_path};

/// What the made-up driver library holds.
pub(crate) const LIBRARY: &str = "the driver's library\n";
/// A device that containers may open without being given it: its reading shows that a node works, not that a rule is there.
const ZERO: (u64, u64) = (1, 5);
/// A device that containers may not open unless a rule of ours allows it. Only ever opened for writing, and never written to.
pub(crate) const KMSG: (u64, u64) = (1, 11);

/// Makes the host's files in `scratch`, and the root file system that containers get.
pub(crate) fn make(scratch: &Scratch) {
    let busybox = program_on_path("busybox").unwrap();
    scratch.device_node("host/dev/nvidia0", ZERO, 0o666);
    scratch.device_node("host/dev/nvidia1", ZERO, 0o666);
    scratch.device_node("host/dev/nvidiactl", KMSG, 0o640);
    scratch.write("host/lib/libcuda.so.1", LIBRARY);
    scratch.write("hooks/README", "Hooks leave their marks here.\n");
    fs::copy(scratch.rootfs("rootfs", &busybox).join("bin/busybox"), scratch.path("host/sh")).unwrap();
    // Engines whose `--gpus` only looks for these programs then leave a hook for gpu-runc to replace. They must never run.
    for program in ["nvidia-container-runtime-hook", "nvidia-container-cli"] {
        let mark = scratch.text(&format!("hooks/{program}"));
        scratch.program(&format!("bin/{program}"), &format!("#!/bin/sh\ntouch {mark}\nexit 1\n"));
    }
}

/// Describes the host's two GPUs in the one CDI file that there is.
pub(crate) fn describe(scratch: &Scratch) {
    // The directory stays: engines watch it.
    for spec in fs::read_dir(scratch.path("cdi")).into_iter().flatten() {
        fs::remove_file(spec.unwrap().path()).unwrap();
    }
    // A hook that does not read all of its stdin fails under crun now and then, with a broken pipe.
    let hook = |name: &str| {
        let script = format!("while read -r state; do :; done; : > {}", scratch.text(&format!("hooks/{name}")));
        json!({ "hookName": name, "path": scratch.text("host/sh"), "args": ["sh", "-c", script] })
    };
    let node =
        |name: &str| json!({ "path": format!("/dev/{name}"), "hostPath": scratch.text(&format!("host/dev/{name}")) });
    let (first, mut second) = (node("nvidia0"), node("nvidia1"));
    second["fileMode"] = json!(0o600);
    second["gid"] = json!(44);
    let document = json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": [
            { "name": "0", "containerEdits": { "deviceNodes": [first] } },
            { "name": "1", "containerEdits": { "deviceNodes": [second] } },
            { "name": "all", "containerEdits": { "deviceNodes": [first, second] } },
        ],
        "containerEdits": {
            "env": ["GPU_DRIVER=made-up"],
            "deviceNodes": [node("nvidiactl")],
            "mounts": [{
                "hostPath": scratch.text("host/lib/libcuda.so.1"),
                "containerPath": "/usr/lib/libcuda.so.1",
                "options": ["ro", "nosuid", "nodev", "bind"],
            }],
            "hooks": [hook("createContainer"), hook("poststop")],
        },
    });
    scratch.write("cdi/nvidia.json", &document.to_string());
}
