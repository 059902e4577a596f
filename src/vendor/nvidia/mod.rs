//! NVIDIA's row, and nothing else.
//!
//! The lists of files are those of the driver's installer (README, "Installed components") and of NVIDIA's container toolkit.

use super::recipe::{Access, Driver, Files, Number, Recipe, Shared};
use super::{LegacyHooks, NoneMeans, PLAIN, Swarm, Variable, Vendor};

mod mig;
mod procfs;

pub(super) static NVIDIA: Vendor = Vendor {
    name: "nvidia",
    kinds: &["nvidia.com/gpu", "k8s.device-plugin.nvidia.com/gpu", "runtime.nvidia.com/gpu"],
    visible: &[Variable::ids("NVIDIA_VISIBLE_DEVICES")],
    none: NoneMeans::DriverOnly,
    swarm: Swarm { words: &["NVIDIA"], ids: &["GPU-", "MIG-"] },
    device_mounts: Some("/var/run/nvidia-container-devices"),
    legacy: Some(LegacyHooks {
        programs: &["nvidia-container-runtime-hook", "nvidia-container-toolkit"],
        cli: "nvidia-container-cli",
    }),
    recipe: Some(&RECIPE),
    ..PLAIN
};

static RECIPE: Recipe = Recipe {
    find: procfs::devices,
    shared: &[
        shared("/dev/nvidiactl", GPU, 255),
        shared("/dev/nvidia-modeset", GPU, 254),
        shared("/dev/nvidia-uvm", &["nvidia-uvm"], 0),
        shared("/dev/nvidia-uvm-tools", &["nvidia-uvm"], 1),
    ],
    // What sees this variable in the container must not look for devices again.
    env: &["NVIDIA_VISIBLE_DEVICES=void"],
    joins_groups: false,
    driver: Some(&DRIVER),
};

/// What `/proc/devices` calls the driver of GPUs: newer ones, older ones.
const GPU: &[&str] = &["nvidia", "nvidia-frontend"];

const fn shared(path: &'static str, drivers: &'static [&'static str], minor: i64) -> Shared {
    Shared { path, number: Some(Number { drivers, minor, mode: 0o666 }) }
}

static DRIVER: Driver = Driver {
    version: procfs::driver_version,
    roots: &["/run/nvidia/driver"],
    marks: &["libcuda.so.{version}", "libnvidia-ml.so.{version}"],
    inside: &["nvidia/current"],
    subfolders: &["vdpau"],
    libraries: &[
        "lib*.so.{version}",
        // These have versions of their own.
        "libnvidia-nvvm70.so.*",
        "libnvidia-egl-gbm.so.*.*",
        "libnvidia-egl-wayland.so.*.*",
        "libnvidia-egl-wayland2.so.*.*",
        "libnvidia-egl-xcb.so.*.*",
        "libnvidia-egl-xlib.so.*.*",
    ],
    files: &[
        Files {
            search: &["/usr/bin", "/usr/sbin", "/usr/local/bin", "/bin"],
            at: None,
            names: &[
                "nvidia-smi",
                "nvidia-debugdump",
                "nvidia-persistenced",
                "nvidia-cuda-mps-control",
                "nvidia-cuda-mps-server",
                "nvidia-imex",
                "nvidia-imex-ctl",
                "nvidia-xconfig",
            ],
            access: Access::Read,
        },
        Files {
            search: &[
                "{firmware}",
                "/lib/firmware/updates/{release}",
                "/lib/firmware/updates",
                "/lib/firmware/{release}",
                "/lib/firmware",
            ],
            at: None,
            names: &["nvidia/{version}/gsp*.bin"],
            access: Access::Read,
        },
        Files {
            search: CONFIGURATION,
            at: Some("/usr/share"),
            names: &[
                "glvnd/egl_vendor.d/10_nvidia.json",
                "egl/egl_external_platform.d/15_nvidia_gbm.json",
                "egl/egl_external_platform.d/10_nvidia_wayland.json",
                "egl/egl_external_platform.d/09_nvidia_wayland2.json",
                "egl/egl_external_platform.d/20_nvidia_xcb.json",
                "egl/egl_external_platform.d/20_nvidia_xlib.json",
                "nvidia/nvoptix.bin",
                "X11/xorg.conf.d/10-nvidia.conf",
                "X11/xorg.conf.d/nvidia-drm-outputclass.conf",
            ],
            access: Access::Read,
        },
        Files {
            search: CONFIGURATION,
            at: Some("/etc"),
            names: &[
                "OpenCL/vendors/nvidia.icd",
                "vulkan/icd.d/nvidia_icd.json",
                "vulkan/icd.d/nvidia_icd.x86_64.json",
                "vulkan/icd.d/nvidia_icd.aarch64.json",
                "vulkan/icd.d/nvidia_layers.json",
                "vulkan/implicit_layer.d/nvidia_layers.json",
            ],
            access: Access::Read,
        },
        Files {
            search: &["/run"],
            at: None,
            names: &["nvidia-persistenced/socket", "nvidia-fabricmanager/socket"],
            access: Access::Talk,
        },
        Files { search: &["/tmp"], at: None, names: &["nvidia-mps"], access: Access::Talk },
    ],
};

const CONFIGURATION: &[&str] = &["/etc", "/usr/local/share", "/usr/share"];
