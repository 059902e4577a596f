//! NVIDIA's row, and nothing else.
//!
//! The lists of files are those of the driver's installer (README, "Installed components") and of NVIDIA's container toolkit.

use std::borrow::Cow;

use super::recipe::{Access, Driver, Files, Find, Hardware, Identify, Libraries, Number, Recipe, Shared};
use super::upkeep::{Persistence, Toolkit, Upkeep};
use super::{Classes, LegacyHooks, NoneMeans, PLAIN, Requirements, Swarm, Variable, Vendor};

mod companions;
mod cuda;
mod hooks;
mod mig;
mod procfs;
mod smi;
mod tegra;
mod wsl;

pub(super) use companions::{
    GDRCOPY, GDS, IMEX, MANAGEMENT, MIG_CONFIG, MIG_MONITOR, MOFED, NVSWITCH, NVSWITCH_CONTROL,
};

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
    docker: &["nvidia-cdi-hook", "nvidia-container-runtime-hook"],
    canonical: address_in_short,
    classes: Some(&Classes {
        variable: "NVIDIA_DRIVER_CAPABILITIES",
        known: &["compute", "compat32", "graphics", "utility", "video", "display", "ngx"],
        // What NVIDIA's toolkit mounts since it describes devices itself.
        default: &["compute", "graphics", "utility", "video", "display", "ngx"],
        none: None,
    }),
    requirements: Some(&Requirements {
        prefix: "NVIDIA_REQUIRE_",
        except: "NVIDIA_REQUIRE_JETPACK",
        off: "NVIDIA_DISABLE_REQUIRE",
        legacy: ("CUDA_VERSION", "cuda", "NVIDIA_REQUIRE_CUDA"),
        properties: cuda::properties,
    }),
    identify: Some(&Identify {
        prefix: "MIG-",
        programs: &["/usr/bin/nvidia-smi", "/run/nvidia/driver/usr/bin/nvidia-smi"],
        questions: &[&["-L"], &["-q", "-x"]],
        parts: smi::parts,
    }),
    hooks: Some(&hooks::HOOKS),
    recipes: &[&RECIPE, &INTEGRATED, &WINDOWS],
    upkeep: Upkeep {
        hardware: Some(&Hardware::of(0x10de)),
        drivers: &["nvidia"],
        make_nodes: "nvidia-modprobe -u && nvidia-smi -L",
        toolkit: Some(Toolkit {
            program: "nvidia-ctk",
            args: &["--version"],
            lowest: &[1, 18, 0],
            why: "older ones know less of today's drivers, and before 1.17.8 an image can make their hooks run its code on the \
                  host (CVE-2025-23266)",
        }),
        persistence: Some(Persistence {
            sockets: &[
                "/run/nvidia-persistenced/socket",
                "/var/run/nvidia-persistenced/socket",
                "/run/nvidia/driver/run/nvidia-persistenced/socket",
            ],
            program: "nvidia-smi",
            args: &["--query-gpu=persistence_mode", "--format=csv,noheader"],
            on: "Enabled",
            start: "systemctl enable --now nvidia-persistenced",
        }),
    },
    ..PLAIN
};

/// NVML writes the domain of a PCI address with eight digits and all of it in capitals.
fn address_in_short(id: &str) -> Cow<'_, str> {
    let is_hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
    match id.split_once(':') {
        Some((domain, rest)) if domain.len() == 8 && is_hex(domain) && rest.split([':', '.']).all(is_hex) => {
            let domain = u32::from_str_radix(domain, 16).unwrap_or_default();
            Cow::Owned(format!("{domain:04x}:{}", rest.to_ascii_lowercase()))
        }
        _ => Cow::Borrowed(id),
    }
}

static RECIPE: Recipe = Recipe {
    shared: &[
        shared("/dev/nvidiactl", GPU, 255),
        Shared { classes: SHOWS, required_by: Some(&[]), ..shared("/dev/nvidia-modeset", GPU, 254) },
        Shared { required_by: Some(COMPUTES), ..shared("/dev/nvidia-uvm", &["nvidia-uvm"], 0) },
        // For profilers and debuggers.
        Shared { required_by: Some(&[]), ..shared("/dev/nvidia-uvm-tools", &["nvidia-uvm"], 1) },
    ],
    rules: Some(procfs::node_rules),
    // What sees this variable in the container must not look for devices again.
    env: &["NVIDIA_VISIBLE_DEVICES=void"],
    driver: Some(&DRIVER),
    ..Recipe::new(Find::Custom(procfs::devices))
};

/// The lists of an integrated GPU name its files and nodes.
static INTEGRATED: Recipe = Recipe { env: RECIPE.env, ..Recipe::new(Find::Custom(tegra::devices)) };

static WINDOWS: Recipe = Recipe { env: RECIPE.env, ..Recipe::new(Find::Custom(wsl::devices)) };

/// What `/proc/devices` calls the driver of GPUs: newer ones, older ones.
const GPU: &[&str] = &["nvidia", "nvidia-frontend"];

const fn shared(path: &'static str, drivers: &'static [&'static str], minor: i64) -> Shared {
    Shared { number: Some(Number { drivers, minor, mode: 0o666 }), ..Shared::at(path) }
}

/// The classes that draw, and with them the nodes of DRI.
const SHOWS: &[&str] = &["graphics", "display"];
const COMPUTES: &[&str] = &["compute"];
const UTILITY: &[&str] = &["utility"];

const DRIVER: Driver = Driver {
    version: Some(procfs::driver_version),
    roots: &["/run/nvidia/driver"],
    libraries: Some(&LIBRARIES),
    files: &[
        Files { names: &["nvidia-smi", "nvidia-debugdump", "nvidia-persistenced"], classes: UTILITY, ..PROGRAMS },
        Files {
            names: &["nvidia-cuda-mps-control", "nvidia-cuda-mps-server", "nvidia-imex", "nvidia-imex-ctl"],
            classes: COMPUTES,
            ..PROGRAMS
        },
        Files { names: &["nvidia-xconfig"], classes: SHOWS, ..PROGRAMS },
        Files {
            search: &[
                "{firmware}",
                "/lib/firmware/updates/{release}",
                "/lib/firmware/updates",
                "/lib/firmware/{release}",
                "/lib/firmware",
            ],
            names: &["nvidia/{version}/gsp*.bin"],
            ..FILES
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
            classes: SHOWS,
            ..FILES
        },
        Files {
            search: CONFIGURATION,
            at: Some("/etc"),
            names: &["OpenCL/vendors/nvidia.icd"],
            classes: COMPUTES,
            ..FILES
        },
        Files {
            // The last one is where GKE has them.
            search: &["/etc", "/usr/local/share", "/usr/share", "/"],
            at: Some("/etc"),
            names: &[
                "vulkan/icd.d/nvidia_icd.json",
                "vulkan/icd.d/nvidia_icd.x86_64.json",
                "vulkan/icd.d/nvidia_icd.aarch64.json",
                "vulkan/icd.d/nvidia_layers.json",
                "vulkan/implicit_layer.d/nvidia_layers.json",
            ],
            classes: SHOWS,
            ..FILES
        },
        Files {
            search: &[
                "{libraries}/nvidia/xorg",
                "{libraries}/xorg/modules/drivers",
                "{libraries}/xorg/modules/extensions",
                "{libraries}/xorg/modules/updates/drivers",
                "{libraries}/xorg/modules/updates/extensions",
                "/usr/lib/xorg/modules/drivers",
                "/usr/lib/xorg/modules/extensions",
                "/usr/X11R6/lib64/modules/drivers",
                "/usr/X11R6/lib/modules/drivers",
            ],
            names: &["nvidia_drv.so", "libglxserver_nvidia.so.{version}", "libglxserver_nvidia.so"],
            classes: &["display"],
            ..FILES
        },
        Files {
            search: &["/run", "/var/run"],
            names: &["nvidia-persistenced/socket", "nvidia-fabricmanager/socket"],
            access: Access::Talk,
            ..FILES
        },
        Files {
            search: &["/tmp"],
            names: &["nvidia-mps"],
            access: Access::Daemon("control"),
            classes: COMPUTES,
            ..FILES
        },
    ],
    lists: None,
    hooks: hooks::OF_DRIVER,
};

const FILES: Files = Files { search: &[], at: None, names: &[], access: Access::Read, classes: &[] };
const PROGRAMS: Files = Files { search: &["/usr/bin", "/usr/sbin", "/usr/local/bin"], ..FILES };
const CONFIGURATION: &[&str] = &["/etc", "/usr/local/share", "/usr/share"];

static LIBRARIES: Libraries = Libraries {
    marks: &["libcuda.so.{version}", "libnvidia-ml.so.{version}"],
    inside: &["nvidia/current"],
    subfolders: &["vdpau"],
    names: &[
        "lib*.so.{version}",
        // These have versions of their own.
        "libnvidia-nvvm70.so.*",
        "libnvidia-egl-gbm.so.*.*",
        "libnvidia-egl-wayland.so.*.*",
        "libnvidia-egl-wayland2.so.*.*",
        "libnvidia-egl-xcb.so.*.*",
        "libnvidia-egl-xlib.so.*.*",
    ],
    classes: &[
        (
            "compute",
            &[
                "libcuda",
                "libcudadebugger",
                "libnvidia-opencl",
                "libnvidia-ptxjitcompiler",
                "libnvidia-fatbinaryloader",
                "libnvidia-compiler",
                "libnvidia-nvvm",
                "libnvidia-nvvm70",
                "libnvidia-pkcs11",
                "libnvidia-pkcs11-openssl3",
                "libnvidia-sandboxutils",
            ],
        ),
        ("utility", &["libnvidia-ml", "libnvidia-cfg", "libnvidia-nscq"]),
        (
            "video",
            // Decoding and encoding go through CUDA.
            &["libnvcuvid", "libnvidia-encode", "libnvidia-opticalflow", "libvdpau_nvidia", "libcuda"],
        ),
        ("ngx", &["libnvidia-ngx"]),
        ("graphics", DRAWS),
        ("display", DRAWS),
    ],
    narrow: Some("compat32"),
    links: &[
        ("libcuda", "libcuda.so"),
        ("libnvidia-opticalflow", "libnvidia-opticalflow.so"),
        ("libGLX_nvidia", "libGLX_indirect.so.0"),
        ("libnvidia-allocator", "gbm/nvidia-drm_gbm.so"),
        ("libnvidia-vulkan-producer", "libnvidia-vulkan-producer.so"),
    ],
};

/// Libraries that only drawing needs. What other classes need too (`libnvidia-allocator`, `libnvidia-gpucomp`) is not here, and
/// goes with all.
const DRAWS: &[&str] = &[
    "libEGL_nvidia",
    "libGLX_nvidia",
    "libGLESv1_CM_nvidia",
    "libGLESv2_nvidia",
    "libnvidia-eglcore",
    "libnvidia-glcore",
    "libnvidia-glsi",
    "libnvidia-glvkspirv",
    "libnvidia-tls",
    "libnvidia-fbc",
    "libnvidia-ifr",
    "libnvidia-rtcore",
    "libnvidia-cbl",
    "libnvidia-present",
    "libnvidia-vulkan-producer",
    "libnvidia-vksc-core",
    "libnvidia-gtk2",
    "libnvidia-gtk3",
    "libnvidia-wayland-client",
    "libnvidia-egl-gbm",
    "libnvidia-egl-wayland",
    "libnvidia-egl-wayland2",
    "libnvidia-egl-xcb",
    "libnvidia-egl-xlib",
    "libnvoptix",
];
