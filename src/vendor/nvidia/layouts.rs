//! Where distributions, installers and operators put NVIDIA's driver: one row each, in the order in which they are probed.
//!
//! A row that an ordinary host has comes first, so that such a host pays for no other. `src/host/libraries.rs` says how a row is
//! probed; where no row fits, `/etc/ld.so.cache` of the host is asked.

use crate::host::libraries::{NARROW, USUAL};
use crate::vendor::recipe::{Layout, Layouts};

pub(super) static LAYOUTS: Layouts = Layouts { known: &KNOWN, configured: &ROOT };

const fn usr_bin(directory: &'static str) -> (&'static str, &'static str) {
    (directory, "/usr/bin")
}

const PROGRAMS: &[(&str, &str)] =
    &[usr_bin("/usr/bin"), ("/usr/sbin", "/usr/sbin"), ("/usr/local/bin", "/usr/local/bin")];

/// A directory that a distribution, or a part of one, is installed below.
static ROOT: Layout = Layout {
    name: "host.driver-root",
    programs: &[
        usr_bin("/usr/bin"),
        ("/usr/sbin", "/usr/sbin"),
        ("/usr/local/bin", "/usr/local/bin"),
        ("/usr/local/sbin", "/usr/local/sbin"),
        usr_bin("/bin"),
        usr_bin("/sbin"),
    ],
    // GKE has the directory vulkan, others have share, beside the libraries.
    shared: &["/share", "/"],
    ..DISTRIBUTION
};

const DISTRIBUTION: Layout = Layout {
    name: "distribution",
    root: "/",
    libraries: &USUAL,
    narrow: &NARROW,
    // Debian: /usr/lib/x86_64-linux-gnu/nvidia/current, tesla-535, tesla-470, with the links of update-alternatives.
    versions: Some("nvidia"),
    programs: PROGRAMS,
    shared: &[],
};

const OTHER: Layout = Layout { libraries: &[], narrow: &[], versions: None, ..DISTRIBUTION };

static KNOWN: [Layout; 13] = [
    DISTRIBUTION,
    // gpu-operator, and whatever else loads the driver from a container.
    Layout { name: "driver container", root: "/run/nvidia/driver", ..ROOT },
    // Arch. Where a distribution has lib64, this is the 32-bit directory, so the libraries' own class decides.
    Layout { name: "Arch", libraries: &["/usr/lib"], narrow: &["/usr/lib32"], ..OTHER },
    // GoogleCloudPlatform/container-engine-accelerators, daemonset-preloaded.yaml.
    Layout { name: "GKE", root: "/home/kubernetes/bin/nvidia", ..ROOT },
    // cos-gpu-installer.
    Layout { name: "Container-Optimized OS", root: "/var/lib/nvidia", ..ROOT },
    // Images of cloud providers; NVIDIA's own images search this directory.
    Layout {
        name: "/usr/local/nvidia",
        libraries: &["/usr/local/nvidia/lib64", "/usr/local/nvidia/lib"],
        narrow: &["/usr/local/nvidia/lib"],
        programs: &[usr_bin("/usr/local/nvidia/bin"), usr_bin("/usr/bin"), ("/usr/sbin", "/usr/sbin")],
        shared: &["/usr/local/nvidia/share", "/usr/local/nvidia"],
        ..OTHER
    },
    // flatcar/scripts, setup-nvidia, before the driver became a system extension: /opt/nvidia/current/usr/bin/nvidia-smi is a
    // link to /opt/bin/nvidia-smi, so that its root cannot be /opt/nvidia/current.
    Layout {
        name: "Flatcar",
        libraries: &["/opt/nvidia/current/usr/lib64", "/opt/nvidia/current/lib64"],
        programs: &[
            usr_bin("/opt/bin"),
            usr_bin("/opt/nvidia/current/usr/bin"),
            usr_bin("/opt/nvidia/current/bin"),
            usr_bin("/usr/bin"),
        ],
        shared: &["/opt/nvidia/current/usr/share", "/opt/nvidia/current/share"],
        ..OTHER
    },
    // bottlerocket-kernel-kit, kmod-6.1-nvidia.
    Layout {
        name: "Bottlerocket",
        libraries: &["/usr/lib/nvidia/tesla", "/usr/lib/nvidia/grid"],
        programs: &[
            usr_bin("/usr/libexec/nvidia/tesla/bin"),
            usr_bin("/usr/libexec/nvidia/grid/bin"),
            usr_bin("/usr/bin"),
            ("/usr/sbin", "/usr/sbin"),
        ],
        ..OTHER
    },
    // siderolabs/extensions. Talos has musl itself; the extension brings a glibc, whose cache is not the host's.
    Layout { name: "Talos", libraries: &["/usr/local/lib"], ..TALOS },
    Layout { name: "Talos before 1.11", libraries: &["/usr/local/glibc/usr/lib"], ..TALOS },
    // nixpkgs. Everything is a link into /nix/store; programs built by Nix look in this very directory.
    Layout {
        name: "NixOS",
        libraries: &["/run/opengl-driver/lib"],
        narrow: &["/run/opengl-driver-32/lib"],
        programs: &[usr_bin("/run/current-system/sw/bin")],
        shared: &["/run/opengl-driver/share"],
        ..OTHER
    },
    // An engine that is a snap has the host's files here.
    Layout { name: "snapd's host", root: "/var/lib/snapd/hostfs", ..ROOT },
    Layout {
        name: "snapd",
        libraries: &["/var/lib/snapd/lib/gl"],
        narrow: &["/var/lib/snapd/lib/gl32"],
        shared: &["/var/lib/snapd/lib"],
        ..OTHER
    },
];

const TALOS: Layout = Layout {
    name: "Talos",
    programs: &[("/usr/local/bin", "/usr/local/bin"), ("/usr/local/sbin", "/usr/local/sbin"), usr_bin("/usr/bin")],
    shared: &["/usr/local/glibc/usr/share", "/usr/local/etc"],
    ..OTHER
};
