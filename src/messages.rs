//! What engines and low-level runtimes answer when something about GPUs is wrong: a table of messages, causes and commands.
//!
//! Data and one search over it. packaging/doc/troubleshooting.md is made from the same table (tests/it/troubleshooting.rs).

/// A message that somebody else prints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message {
    /// The parts of the message that are the same each time, in their order.
    pub says: &'static [&'static str],
    /// Who prints it.
    pub by: &'static str,
    /// Why.
    pub cause: &'static str,
    /// What to do.
    pub fix: &'static str,
}

const DOCKER_GPUS: &str = "sudo gpu-ctk runtime configure --engine docker --gpus --restart systemd";
const GENERATE: &str = "sudo gpu-ctk cdi generate";

/// The table. Of several that fit, the first one counts, so what says more stands first.
pub static MESSAGES: &[Message] = &[
    Message {
        says: &["AMD CDI spec not found"],
        by: "Docker 29",
        cause: "Docker found no program of NVIDIA's on its PATH, so it took --gpus for AMD's, of which no CDI spec is there. The machine may well \
                have NVIDIA GPUs.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["failed to discover GPU vendor from CDI", "no known GPU vendor found"],
        by: "Docker 29",
        cause: "Docker found no program that it takes --gpus with on its PATH, and no CDI spec of a vendor that it knows.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["could not select device driver", "capabilities: [[gpu"],
        by: "Docker",
        cause: "The Docker daemon found no program that it takes --gpus with on its PATH when it started.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["No help topic for 'prestart'"],
        by: "runc, for Docker",
        cause: "nvidia-container-runtime-hook is a link to an older gpu-runc, and Docker gave the container to another runtime than gpu-runc.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["Docker's --gpus works only where gpu-runc starts the container"],
        by: "gpu-runc, for Docker",
        cause: "Docker gave a container with --gpus to another runtime, because gpu-runc is not the default runtime or --runtime names another.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["nvidia-container-cli:"],
        by: "NVIDIA's toolkit, for Docker",
        cause: "NVIDIA's own hook did the work, not gpu-runc, and failed.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["nvidia-container-runtime-hook", "no such file or directory"],
        by: "runc, for Docker",
        cause: "The name by which Docker takes --gpus has gone since the daemon started, and the default runtime is not gpu-runc.",
        fix: DOCKER_GPUS,
    },
    Message {
        says: &["unknown or invalid runtime name"],
        by: "Docker",
        cause: "The daemon has not loaded the runtime: its file does not name it, or was written after the daemon started.",
        fix: "sudo gpu-ctk runtime configure --engine docker --restart systemd",
    },
    Message {
        says: &["Unknown runtime specified"],
        by: "Docker",
        cause: "The daemon has not loaded the runtime: its file does not name it, or was written after the daemon started.",
        fix: "sudo gpu-ctk runtime configure --engine docker --restart systemd",
    },
    Message {
        says: &["CDI device injection failed: unresolvable CDI devices", "requested by"],
        by: "gpu-runc",
        cause: "The container requests a device that this host does not have; the rest of the message lists what it has.",
        fix: "gpu-ctk list",
    },
    Message {
        says: &["CDI device injection failed: unresolvable CDI devices", "asked for by"],
        by: "gpu-runc",
        cause: "The container requests a device that this host does not have; the rest of the message lists what it has.",
        fix: "gpu-ctk list",
    },
    Message {
        says: &["unresolvable CDI devices"],
        by: "Docker, podman, nerdctl, containerd or CRI-O",
        cause: "The engine itself resolves CDI names, and no CDI spec in its spec directories has this one.",
        fix: GENERATE,
    },
    Message {
        says: &["CDI device injection failed"],
        by: "Docker, containerd or CRI-O",
        cause: "The engine itself could not apply a CDI spec; the rest of the message says which device or file.",
        fix: "gpu-ctk cdi validate",
    },
    Message {
        says: &["no known GPU vendor found in CDI specs"],
        by: "nerdctl, ctr or podman 6",
        cause: "The engine's own --gpus needs a CDI spec, and no spec directory has one of a vendor that the engine knows.",
        fix: GENERATE,
    },
    Message {
        says: &["detect GPU vendor failed"],
        by: "ctr",
        cause: "The engine's own --gpus needs a CDI spec, and no spec directory has one of a vendor that the engine knows.",
        fix: GENERATE,
    },
    Message {
        says: &["setting up CDI devices"],
        by: "podman",
        cause: "podman itself resolves the CDI names of --device and --gpus, and could not; the rest of the message says which.",
        fix: GENERATE,
    },
    Message {
        says: &["exec: \"nvidia-container-cli\""],
        by: "nerdctl before 2.3",
        cause: "nerdctl's own --gpus starts NVIDIA's toolkit, which is not installed.",
        fix: "nerdctl run --runtime gpu-runc -e NVIDIA_VISIBLE_DEVICES=all IMAGE",
    },
    Message {
        says: &["specifying \"capabilities\" is required for resource reservations"],
        by: "nerdctl compose",
        cause: "nerdctl takes no reservation of devices without capabilities.",
        fix: "gpu-ctk compose --whole compose.yaml -o gpu.yaml",
    },
    Message {
        says: &["Ignoring: service", "Gpus"],
        by: "nerdctl compose",
        cause: "nerdctl does not know \"gpus:\" in compose files; the service starts without GPU.",
        fix: "gpu-ctk compose compose.yaml -o gpu.yaml",
    },
    Message {
        says: &["invalid runtime name"],
        by: "nerdctl or containerd",
        cause: "containerd takes a runtime by the name of a shim, or a program on the PATH of the one who calls.",
        fix: "sudo install gpu-runc gpu-ctk /usr/local/bin/",
    },
    Message {
        says: &["no runtime for", "is configured"],
        by: "containerd, for Kubernetes",
        cause: "A RuntimeClass names a runtime that containerd on this node does not have.",
        fix: "sudo gpu-ctk runtime configure --engine containerd --restart systemd",
    },
    Message {
        says: &["failed to find runtime handler"],
        by: "CRI-O",
        cause: "A RuntimeClass names a runtime that CRI-O on this node has not loaded. A reload is not enough.",
        fix: "sudo gpu-ctk runtime configure --engine crio --restart systemd",
    },
    Message {
        says: &["default OCI runtime", "not found"],
        by: "podman",
        cause: "podman looks for a runtime by name only in its configuration files.",
        fix: "gpu-ctk runtime configure --engine podman",
    },
    Message {
        says: &["requested OCI runtime", "is not available"],
        by: "podman",
        cause: "podman looks for a runtime by name only in its configuration files.",
        fix: "gpu-ctk runtime configure --engine podman",
    },
    Message {
        says: &["does not support running containers without", "groups"],
        by: "podman",
        cause: "podman runs --cgroups=disabled only with runtimes that its configuration lists for that: crun, and gpu-runc where crun is installed.",
        fix: "gpu-ctk runtime configure --engine podman",
    },
    Message {
        says: &["only a group can open"],
        by: "gpu-runc",
        cause: "A rootless container drops the groups of its user, and the device nodes are open to a group only.",
        fix: "podman run --group-add keep-groups IMAGE",
    },
    Message {
        says: &["error creating device nodes: mount"],
        by: "runc",
        cause: "In a user namespace runc mounts the host's device node, and the host does not have it.",
        fix: "sudo gpu-ctk system create-device-nodes",
    },
    Message {
        says: &["id-mapped mounts are not supported"],
        by: "runc",
        cause: "A mount asks for mapped ids, which rootless runc and some file systems do not have.",
        fix: "gpu-ctk doctor",
    },
    Message {
        says: &["mknod", "Operation not permitted"],
        by: "crun",
        cause: "The container may not make device nodes, as in a user namespace.",
        fix: "gpu-ctk doctor",
    },
    Message {
        says: &["Failed to initialize NVML: Unknown Error"],
        by: "nvidia-smi in a container",
        cause: "The container lost its devices when systemd reloaded: its nodes have no link in /dev/char, or a vendor's hook went behind systemd.",
        fix: "sudo gpu-ctk system create-dev-char-symlinks",
    },
    Message {
        says: &["Failed to initialize NVML: Driver/library version mismatch"],
        by: "nvidia-smi",
        cause: "The driver's files were updated, and the kernel still runs the old module.",
        fix: "sudo reboot",
    },
    Message {
        says: &["couldn't communicate with the NVIDIA driver"],
        by: "nvidia-smi",
        cause: "The driver's module is not loaded.",
        fix: "sudo modprobe nvidia && gpu-ctk doctor",
    },
    Message {
        says: &["unsatisfied condition"],
        by: "gpu-runc or NVIDIA's toolkit",
        cause: "The image requires a newer driver than the host has.",
        fix: "docker run -e NVIDIA_DISABLE_REQUIRE=1 IMAGE",
    },
    Message {
        says: &["is out of date"],
        by: "gpu-runc",
        cause: "A CDI spec names a file or device node that is not there any more, as after an update of the driver.",
        fix: GENERATE,
    },
    Message {
        says: &["failed to stat CDI host device"],
        by: "Docker, podman, containerd, CRI-O or gpu-runc",
        cause: "A CDI spec names a device node that the host does not have: the driver is not loaded, or the spec is old.",
        fix: GENERATE,
    },
    Message {
        says: &["no low-level runtime found"],
        by: "gpu-runc",
        cause: "Neither runc nor crun is installed where gpu-runc looks.",
        fix: "sudo apt-get install runc",
    },
    Message {
        says: &["may not ask for GPUs"],
        by: "gpu-runc",
        cause: "The policy of this host denies the request; the message names the rule.",
        fix: "gpu-ctk config show",
    },
    Message {
        says: &["cannot be edited safely"],
        by: "gpu-runc",
        cause: "config.json has a member twice, or in another letter case, so that parsers differ about it. The engine that wrote it is at fault.",
        fix: "gpu-ctk explain --bundle DIR",
    },
];

/// The first of [`MESSAGES`] whose parts are all in `text`, in any letter case.
pub fn find(text: &str) -> Option<&'static Message> {
    let text = text.to_lowercase();
    let fits = |message: &&Message| {
        let mut rest = text.as_str();
        message.says.iter().all(|part| match rest.split_once(&part.to_lowercase()) {
            Some((_, after)) => {
                rest = after;
                true
            }
            None => false,
        })
    };
    MESSAGES.iter().find(fits)
}

/// The table as a page.
pub fn page() -> String {
    let mut text = "# Troubleshooting\n\n`gpu-ctk explain --error 'MESSAGE'` prints the row of this table that fits a message; \
                    `gpu-ctk doctor` finds what is wrong without one.\n\n| message | printed by | cause | command |\n|---|---|---|---|\n"
        .to_owned();
    for Message { says, by, cause, fix } in MESSAGES {
        text += &format!("| `{}` | {by} | {cause} | `{fix}` |\n", says.join(" … "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_as_they_are_printed_find_their_row() {
        for (text, by, fix) in [
            ("docker: Error response from daemon: AMD CDI spec not found", "Docker 29", DOCKER_GPUS),
            (
                "docker: Error response from daemon: failed to discover GPU vendor from CDI: no known GPU vendor found",
                "Docker 29",
                DOCKER_GPUS,
            ),
            (
                "docker: Error response from daemon: could not select device driver \"\" with capabilities: [[gpu]].",
                "Docker",
                DOCKER_GPUS,
            ),
            (
                "Error response from daemon: failed to create task: error during container init: error running prestart hook #0: exit status \
                 3, stderr: No help topic for 'prestart'",
                "runc, for Docker",
                DOCKER_GPUS,
            ),
            (
                "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0, nvidia.com/gpu=1",
                "Docker, podman, nerdctl, containerd or CRI-O",
                GENERATE,
            ),
            ("FATA[0000] no known GPU vendor found in CDI specs", "nerdctl, ctr or podman 6", GENERATE),
            (
                "CDI DEVICE INJECTION FAILED: unresolvable CDI devices nvidia.com/gpu=9 (asked for by environment variable",
                "gpu-runc",
                "gpu-ctk list",
            ),
        ] {
            let found = find(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!((found.by, found.fix), (by, fix), "{text}");
        }
        assert_eq!(find("no space left on device"), None);
        assert_eq!(find(""), None);
    }

    #[test]
    fn every_row_can_be_found() {
        for message in MESSAGES {
            let text = message.says.join(" something ");
            assert_eq!(find(&text), Some(message), "{text}");
            assert!(!message.says.is_empty() && message.cause.ends_with('.') && !message.fix.is_empty(), "{text}");
        }
    }
}
