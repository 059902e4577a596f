//! NVIDIA's device plugin, strategy by strategy.

use super::Becomes::{Given, Refused, Untouched};
use super::{ANNOTATIONS, CRIO, CRIO_PAUSE, Made, OPEN, PAUSE, POD, SAFE, check};

#[test]
fn nvidias_plugin_is_understood_in_each_of_its_strategies() {
    const ENV: &[&str] = &["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=GPU-a1000003-0000-4000-8000-000000000003"];
    const IMAGE: &[&str] = &["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_DRIVER_CAPABILITIES=compute,utility"];
    const MOUNT: (&str, &str) =
        ("/dev/null", "/var/run/nvidia-container-devices/GPU-a1000003-0000-4000-8000-000000000003");
    const MOUNT0: (&str, &str) =
        ("/dev/null", "/var/run/nvidia-container-devices/GPU-a1000000-0000-4000-8000-000000000000");
    const CDI: (&str, &str) = (
        "cdi.k8s.io/nvidia-device-plugin_8e7d5b1c",
        "k8s.device-plugin.nvidia.com/gpu=GPU-a1000003-0000-4000-8000-000000000003",
    );
    const SPECS: &[(&str, u32, u32)] = &[
        ("/dev/nvidiactl", 195, 255),
        ("/dev/nvidia-uvm", 511, 0),
        ("/dev/nvidia-uvm-tools", 511, 1),
        ("/dev/nvidia3", 195, 3),
    ];
    const FOURTH: &[&str] =
        &["dri/card4", "dri/renderD131", "nvidia-modeset", "nvidia-uvm", "nvidia-uvm-tools", "nvidia3", "nvidiactl"];
    const BOTH: &[&str] = &[
        "dri/card1",
        "dri/card4",
        "dri/renderD128",
        "dri/renderD131",
        "nvidia-modeset",
        "nvidia-uvm",
        "nvidia-uvm-tools",
        "nvidia0",
        "nvidia3",
        "nvidiactl",
    ];
    // The image's classes leave its graphics out.
    const FIRST_OF_IMAGE: &[&str] = &["nvidia-uvm", "nvidia-uvm-tools", "nvidia0", "nvidiactl"];
    const FOURTH_OF_IMAGE: &[&str] = &["nvidia-uvm", "nvidia-uvm-tools", "nvidia3", "nvidiactl"];
    const NOT_LISTED: &str = "/gpu-runc.toml, and policy.pods.namespaces does not list \"team-a\"";
    check(
        "nvidia-h100-8",
        &[
            ("envvar, one tenant", OPEN, Made { env: ENV, ..POD }, Given(FOURTH)),
            ("envvar by index", OPEN, Made { env: &["NVIDIA_VISIBLE_DEVICES=0,3"], ..POD }, Given(BOTH)),
            ("envvar, many tenants", SAFE, Made { env: ENV, ..POD }, Refused(NOT_LISTED)),
            ("envvar with pass-device-specs", OPEN, Made { env: ENV, nodes: SPECS, ..POD }, Given(FOURTH)),
            (
                "volume-mounts",
                SAFE,
                Made { env: &["NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"], mounts: &[MOUNT], ..POD },
                Given(FOURTH),
            ),
            ("volume-mounts of two", SAFE, Made { mounts: &[MOUNT, MOUNT0], ..POD }, Given(BOTH)),
            (
                "volume-mounts, and an image or an author that wants more",
                SAFE,
                Made { env: IMAGE, mounts: &[MOUNT], ..POD },
                Given(FOURTH_OF_IMAGE),
            ),
            (
                "the same where variables count",
                OPEN,
                Made { env: IMAGE, mounts: &[MOUNT], ..POD },
                Given(FOURTH_OF_IMAGE),
            ),
            (
                "volume-mounts with pass-device-specs",
                SAFE,
                Made { mounts: &[MOUNT], nodes: SPECS, ..POD },
                Given(FOURTH),
            ),
            (
                "the plugin's word for its mounts without one of them",
                SAFE,
                Made { env: &["NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"], ..POD },
                Untouched("refused environment variable"),
            ),
            (
                "the same where variables count",
                OPEN,
                Made { env: &["NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"], ..POD },
                Refused("no mount in that folder asks for a device"),
            ),
            (
                "mounts of an IMEX channel",
                SAFE,
                Made { mounts: &[MOUNT, ("/dev/null", "/var/run/nvidia-container-devices/imex/0")], ..POD },
                Refused("policy.management is \"privileged\""),
            ),
            (
                "cdi-annotations, on an engine without CDI",
                ANNOTATIONS,
                Made { annotations: &[CDI], env: IMAGE, ..POD },
                Given(FOURTH_OF_IMAGE),
            ),
            (
                "cdi-annotations, on an engine that says so and has injected",
                SAFE,
                Made { by: CRIO, annotations: &[CDI], env: IMAGE, nodes: SPECS, ..POD },
                Untouched("refused annotation \"cdi.k8s.io/"),
            ),
            (
                "cdi-cri, whose file blanks the image's variable",
                SAFE,
                Made { env: &["NVIDIA_VISIBLE_DEVICES=void"], nodes: SPECS, ..POD },
                Untouched(""),
            ),
            (
                "cdi-cri, whose file does not",
                SAFE,
                Made { env: IMAGE, nodes: SPECS, ..POD },
                Untouched("refused environment variable \"NVIDIA_VISIBLE_DEVICES=all\""),
            ),
            ("DRA, whose claim the engine has injected", OPEN, Made { nodes: SPECS, ..POD }, Untouched("")),
            (
                "an init container, as the plugin mounts for it too",
                SAFE,
                Made { mounts: &[MOUNT], annotations: &[("io.kubernetes.cri.container-name", "init")], ..POD },
                Given(FOURTH),
            ),
            (
                "an ephemeral container, which no plugin knows of",
                SAFE,
                Made { env: IMAGE, annotations: &[("io.kubernetes.cri.container-name", "debugger-x7")], ..POD },
                Untouched("refused environment variable \"NVIDIA_VISIBLE_DEVICES=all\""),
            ),
            (
                "a pause container",
                OPEN,
                Made {
                    by: PAUSE,
                    env: IMAGE,
                    annotations: &[CDI, ("gpu-runc/gpus", "all")],
                    mounts: &[MOUNT],
                    nodes: &[],
                },
                Untouched(""),
            ),
            (
                "CRI-O's pause container",
                OPEN,
                Made { by: CRIO_PAUSE, env: IMAGE, annotations: &[CDI], ..POD },
                Untouched(""),
            ),
            (
                "our annotation, one tenant",
                OPEN,
                Made { annotations: &[("gpu-runc/gpus", "\"device=0,3\"")], ..POD },
                Given(BOTH),
            ),
            (
                "our annotation in a namespace that is listed",
                "[policy.pods]\nnamespaces = [\"ml\", \"team-a\"]\n",
                Made { by: CRIO, annotations: &[("gpu-runc/gpus", "1")], env: IMAGE, ..POD },
                Given(FIRST_OF_IMAGE),
            ),
        ],
    );
}
