//! Where distributions, installers and operators put NVIDIA's driver: each layout is found without any configuration.
//!
//! A row is a host: files, links, and the mounts that a container gets from them. Sources: src/vendor/nvidia/layouts.rs.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts::{configure, put, start};
use crate::scratch::skip;

const VERSION: &str = "550.163.01";

struct Layout {
    name: &'static str,
    /// Files, `V` for the version.
    files: &'static [&'static str],
    /// Links: their text and their path.
    links: &'static [(&'static str, &'static str)],
    /// Places in the container and the files of the host there.
    mounts: &'static [(&'static str, &'static str)],
}

const LAYOUTS: &[Layout] = &[
    Layout {
        name: "Ubuntu",
        files: &["usr/lib/x86_64-linux-gnu/libcuda.so.V", "usr/lib/i386-linux-gnu/libcuda.so.V", "usr/bin/nvidia-smi"],
        links: &[("libcuda.so.V", "usr/lib/x86_64-linux-gnu/libcuda.so.1")],
        mounts: &[
            ("/usr/lib/x86_64-linux-gnu/libcuda.so.1", "usr/lib/x86_64-linux-gnu/libcuda.so.V"),
            ("/usr/lib/i386-linux-gnu/libcuda.so.V", "usr/lib/i386-linux-gnu/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "usr/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Fedora, RHEL, openSUSE",
        files: &["usr/lib64/libcuda.so.V", "usr/lib/libcuda.so.V", "usr/bin/nvidia-smi"],
        links: &[("usr/lib64", "lib64"), ("usr/lib", "lib")],
        mounts: &[
            ("/usr/lib64/libcuda.so.V", "usr/lib64/libcuda.so.V"),
            ("/usr/lib/libcuda.so.V", "usr/lib/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "usr/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Arch",
        files: &["usr/lib/libcuda.so.V", "usr/lib32/libcuda.so.V", "usr/bin/nvidia-smi"],
        links: &[("usr/lib", "lib64"), ("usr/lib", "lib"), ("lib", "usr/lib64")],
        mounts: &[
            ("/usr/lib64/libcuda.so.V", "usr/lib/libcuda.so.V"),
            ("/usr/lib32/libcuda.so.V", "usr/lib32/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "usr/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Arch without lib64",
        files: &["usr/lib/libcuda.so.V", "usr/lib32/libcuda.so.V"],
        links: &[],
        mounts: &[
            ("/usr/lib/libcuda.so.V", "usr/lib/libcuda.so.V"),
            ("/usr/lib32/libcuda.so.V", "usr/lib32/libcuda.so.V"),
        ],
    },
    Layout {
        name: "Debian",
        files: &[
            "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.V",
            "usr/lib/x86_64-linux-gnu/nvidia/current/libnvcuvid.so.V",
            "usr/lib/x86_64-linux-gnu/nvidia/current/libvdpau_nvidia.so.V",
            "usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-allocator.so.V",
            "usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.V",
            "usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.1",
            "usr/lib/i386-linux-gnu/nvidia/current/libcuda.so.V",
            "usr/lib/i386-linux-gnu/libnvidia-glsi.so.V",
            "usr/lib/nvidia/current/nvidia-smi",
            "usr/bin/nvidia-modprobe",
        ],
        links: &[
            ("/etc/alternatives/nvidia--libcuda.so.1-x86_64", "usr/lib/x86_64-linux-gnu/libcuda.so.1"),
            ("/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1", "etc/alternatives/nvidia--libcuda.so.1-x86_64"),
            ("libcuda.so.V", "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1"),
            ("libnvcuvid.so.1", "usr/lib/x86_64-linux-gnu/nvidia/current/libnvcuvid.so"),
            ("libnvcuvid.so.V", "usr/lib/x86_64-linux-gnu/nvidia/current/libnvcuvid.so.1"),
            ("/etc/alternatives/nvidia--libcuda.so.1-i386", "usr/lib/i386-linux-gnu/libcuda.so.1"),
            ("/usr/lib/i386-linux-gnu/nvidia/current/libcuda.so.V", "etc/alternatives/nvidia--libcuda.so.1-i386"),
            ("/etc/alternatives/nvidia--nvidia-smi", "usr/bin/nvidia-smi"),
            ("/usr/lib/nvidia/current/nvidia-smi", "etc/alternatives/nvidia--nvidia-smi"),
        ],
        mounts: &[
            (
                "/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.1",
                "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.V",
            ),
            (
                "/usr/lib/x86_64-linux-gnu/nvidia/current/libnvcuvid.so",
                "usr/lib/x86_64-linux-gnu/nvidia/current/libnvcuvid.so.V",
            ),
            ("/usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.V", "usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.V"),
            (
                "/usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.1",
                "usr/lib/x86_64-linux-gnu/libnvidia-egl-gbm.so.1.1.1",
            ),
            (
                "/usr/lib/x86_64-linux-gnu/gbm/nvidia-drm_gbm.so",
                "usr/lib/x86_64-linux-gnu/nvidia/current/libnvidia-allocator.so.V",
            ),
            (
                "/usr/lib/x86_64-linux-gnu/vdpau/libvdpau_nvidia.so.1",
                "usr/lib/x86_64-linux-gnu/nvidia/current/libvdpau_nvidia.so.V",
            ),
            (
                "/usr/lib/i386-linux-gnu/nvidia/current/libcuda.so.V",
                "usr/lib/i386-linux-gnu/nvidia/current/libcuda.so.V",
            ),
            ("/usr/lib/i386-linux-gnu/libnvidia-glsi.so.V", "usr/lib/i386-linux-gnu/libnvidia-glsi.so.V"),
            ("/usr/bin/nvidia-smi", "usr/lib/nvidia/current/nvidia-smi"),
        ],
    },
    Layout {
        name: "Debian, another driver selected than the loaded one",
        files: &[
            "usr/lib/x86_64-linux-gnu/nvidia/tesla-470/libcuda.so.470.256.02",
            "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.V",
            "usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.V",
            "usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.470.256.02",
        ],
        links: &[(
            "/usr/lib/x86_64-linux-gnu/nvidia/tesla-470/libcuda.so.470.256.02",
            "usr/lib/x86_64-linux-gnu/libcuda.so.1",
        )],
        mounts: &[
            (
                "/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.V",
                "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.V",
            ),
            ("/usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.V", "usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.V"),
        ],
    },
    Layout {
        name: "gpu-operator's driver container",
        files: &[
            "run/nvidia/driver/usr/lib/x86_64-linux-gnu/libcuda.so.V",
            "run/nvidia/driver/usr/bin/nvidia-smi",
            "run/nvidia/driver/usr/local/sbin/nvidia-imex",
        ],
        links: &[("/usr/lib/x86_64-linux-gnu", "run/nvidia/driver/lib64")],
        mounts: &[
            ("/usr/lib/x86_64-linux-gnu/libcuda.so.V", "run/nvidia/driver/usr/lib/x86_64-linux-gnu/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "run/nvidia/driver/usr/bin/nvidia-smi"),
            ("/usr/local/sbin/nvidia-imex", "run/nvidia/driver/usr/local/sbin/nvidia-imex"),
        ],
    },
    Layout {
        name: "GKE",
        files: &[
            "home/kubernetes/bin/nvidia/lib64/libcuda.so.V",
            "home/kubernetes/bin/nvidia/bin/nvidia-smi",
            "home/kubernetes/bin/nvidia/vulkan/icd.d/nvidia_icd.json",
            "home/kubernetes/bin/nvidia/firmware/nvidia/V/gsp_ga10x.bin",
            "sys/module/firmware_class/parameters/path=/home/kubernetes/bin/nvidia/firmware",
        ],
        links: &[("libcuda.so.V", "home/kubernetes/bin/nvidia/lib64/libcuda.so.1")],
        mounts: &[
            ("/lib64/libcuda.so.1", "home/kubernetes/bin/nvidia/lib64/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "home/kubernetes/bin/nvidia/bin/nvidia-smi"),
            ("/etc/vulkan/icd.d/nvidia_icd.json", "home/kubernetes/bin/nvidia/vulkan/icd.d/nvidia_icd.json"),
            ("/firmware/nvidia/V/gsp_ga10x.bin", "home/kubernetes/bin/nvidia/firmware/nvidia/V/gsp_ga10x.bin"),
        ],
    },
    Layout {
        name: "Container-Optimized OS",
        files: &["var/lib/nvidia/lib64/libcuda.so.V", "var/lib/nvidia/bin/nvidia-smi"],
        links: &[],
        mounts: &[
            ("/lib64/libcuda.so.V", "var/lib/nvidia/lib64/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "var/lib/nvidia/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "cloud images",
        files: &["usr/local/nvidia/lib64/libcuda.so.V", "usr/local/nvidia/bin/nvidia-smi"],
        links: &[],
        mounts: &[
            ("/usr/local/nvidia/lib64/libcuda.so.V", "usr/local/nvidia/lib64/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "usr/local/nvidia/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Flatcar before the system extension",
        files: &["opt/nvidia/550/usr/lib64/libcuda.so.V", "opt/bin/nvidia-smi"],
        links: &[("550", "opt/nvidia/current"), ("/opt/bin/nvidia-smi", "opt/nvidia/550/usr/bin/nvidia-smi")],
        mounts: &[
            ("/opt/nvidia/current/usr/lib64/libcuda.so.V", "opt/nvidia/550/usr/lib64/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "opt/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Bottlerocket",
        files: &[
            "x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia/tesla/libcuda.so.V",
            "x86_64-bottlerocket-linux-gnu/sys-root/usr/libexec/nvidia/tesla/bin/nvidia-smi",
        ],
        links: &[("x86_64-bottlerocket-linux-gnu/sys-root/usr", "usr")],
        mounts: &[
            (
                "/usr/lib/nvidia/tesla/libcuda.so.V",
                "x86_64-bottlerocket-linux-gnu/sys-root/usr/lib/nvidia/tesla/libcuda.so.V",
            ),
            ("/usr/bin/nvidia-smi", "x86_64-bottlerocket-linux-gnu/sys-root/usr/libexec/nvidia/tesla/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Talos",
        files: &["usr/local/lib/libcuda.so.V", "usr/local/bin/nvidia-smi"],
        links: &[],
        mounts: &[
            ("/usr/local/lib/libcuda.so.V", "usr/local/lib/libcuda.so.V"),
            ("/usr/local/bin/nvidia-smi", "usr/local/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "Talos, older",
        files: &["usr/local/glibc/usr/lib/libcuda.so.V", "usr/local/bin/nvidia-smi"],
        links: &[],
        mounts: &[
            ("/usr/local/glibc/usr/lib/libcuda.so.V", "usr/local/glibc/usr/lib/libcuda.so.V"),
            ("/usr/local/bin/nvidia-smi", "usr/local/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "NixOS",
        files: &[
            "nix/store/a-nvidia-x11/lib/libcuda.so.V",
            "nix/store/b-nvidia-x11-bin/bin/nvidia-smi",
            "nix/store/a-nvidia-x11/share/vulkan/icd.d/nvidia_icd.x86_64.json",
            "nix/store/c-nvidia-x11-lib32/lib/libcuda.so.V",
        ],
        links: &[
            ("/nix/store/d-graphics-drivers", "run/opengl-driver"),
            ("/nix/store/c-nvidia-x11-lib32", "run/opengl-driver-32"),
            ("/nix/store/a-nvidia-x11/lib/libcuda.so.V", "nix/store/d-graphics-drivers/lib/libcuda.so.V"),
            ("/nix/store/a-nvidia-x11/lib/libcuda.so.V", "nix/store/d-graphics-drivers/lib/libcuda.so.1"),
            ("/nix/store/a-nvidia-x11/share", "nix/store/d-graphics-drivers/share"),
            ("/nix/store/b-nvidia-x11-bin/bin/nvidia-smi", "run/current-system/sw/bin/nvidia-smi"),
        ],
        mounts: &[
            ("/run/opengl-driver/lib/libcuda.so.1", "nix/store/a-nvidia-x11/lib/libcuda.so.V"),
            ("/run/opengl-driver-32/lib/libcuda.so.V", "nix/store/c-nvidia-x11-lib32/lib/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "nix/store/b-nvidia-x11-bin/bin/nvidia-smi"),
            (
                "/etc/vulkan/icd.d/nvidia_icd.x86_64.json",
                "nix/store/a-nvidia-x11/share/vulkan/icd.d/nvidia_icd.x86_64.json",
            ),
        ],
    },
    Layout {
        name: "an engine that is a snap",
        files: &[
            "var/lib/snapd/hostfs/usr/lib/x86_64-linux-gnu/libcuda.so.V",
            "var/lib/snapd/hostfs/usr/bin/nvidia-smi",
        ],
        links: &[],
        mounts: &[
            ("/usr/lib/x86_64-linux-gnu/libcuda.so.V", "var/lib/snapd/hostfs/usr/lib/x86_64-linux-gnu/libcuda.so.V"),
            ("/usr/bin/nvidia-smi", "var/lib/snapd/hostfs/usr/bin/nvidia-smi"),
        ],
    },
    Layout {
        name: "snapd",
        files: &["var/lib/snapd/lib/gl/libcuda.so.V", "var/lib/snapd/lib/vulkan/icd.d/nvidia_icd.json"],
        links: &[],
        mounts: &[
            ("/var/lib/snapd/lib/gl/libcuda.so.V", "var/lib/snapd/lib/gl/libcuda.so.V"),
            ("/etc/vulkan/icd.d/nvidia_icd.json", "var/lib/snapd/lib/vulkan/icd.d/nvidia_icd.json"),
        ],
    },
];

fn text(template: &str) -> String {
    let template = template.replace(".V", &format!(".{VERSION}")).replace("/V/", &format!("/{VERSION}/"));
    template.replace("x86_64", std::env::consts::ARCH)
}

/// A host with one GPU whose driver is loaded, and no file of the driver.
pub(crate) fn loaded(version: &str) -> TempDir {
    let host = tempfile::tempdir().unwrap();
    load(host.path(), version);
    host
}

/// Gives `host` the kernel side of one GPU.
pub(crate) fn load(host: &Path, version: &str) {
    let module = format!("NVRM version: NVIDIA UNIX x86_64 Kernel Module  {version}  Release Build\n");
    put(host, "proc/driver/nvidia/version", &module);
    let information =
        "Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-c1000000-0000-4000-8000-000000000000\nDevice Minor: \t 0\n";
    put(host, "proc/driver/nvidia/gpus/0000:31:00.0/information", information);
    put(host, "proc/devices", "Character devices:\n195 nvidia\n511 nvidia-uvm\n");
    configure(host, "");
}

fn add(host: &Path, files: &[&str], links: &[(&str, &str)]) {
    for (target, path) in links {
        let path = host.join(text(path));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        symlink(text(target), path).unwrap();
    }
    for file in files {
        let (path, content) = file.split_once('=').unwrap_or((file, ""));
        // A file of a layout may be below one of its links.
        put(host, &text(path), content);
    }
}

/// What a container of this host mounts: place and source, the source without the host's root.
fn mounted(host: &Path) -> Result<Vec<(String, String)>, String> {
    let env = ["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=all"];
    let config = json!({"ociVersion": "1.2.0", "process": {"env": env, "user": {"uid": 0, "gid": 0}}, "linux": {}});
    let container = start(host, &config)?;
    let mounts = container["mounts"].as_array().unwrap().iter();
    let pair = |mount: &Value| {
        let member = |name: &str| mount[name].as_str().unwrap().to_owned();
        let source = fs::canonicalize(member("source")).unwrap();
        (member("destination"), source.strip_prefix(host).unwrap().to_str().unwrap().to_owned())
    };
    Ok(mounts.map(pair).collect())
}

#[test]
fn every_layout_is_found_without_configuration() {
    for Layout { name, files, links, mounts } in LAYOUTS {
        let host = loaded(VERSION);
        add(host.path(), files, links);
        let mounted = mounted(host.path()).unwrap_or_else(|error| panic!("{name}: {error}"));
        for (place, source) in *mounts {
            let expected = (text(place), text(source));
            assert!(mounted.contains(&expected), "{name}: {expected:?} is not in {mounted:#?}");
        }
        // One library is in the container once, unless the host has it twice.
        let twice = mounted.iter().filter(|(place, _)| place.ends_with(&text("/libcuda.so.V"))).count();
        assert_eq!(twice, files.iter().filter(|file| file.ends_with("libcuda.so.V")).count(), "{name}: {mounted:#?}");
        let strange = mounted.iter().find(|(_, source)| source.contains("470") || source.contains("modprobe"));
        assert_eq!(strange, None, "{name}");
    }
}

#[test]
fn a_driver_that_is_not_whole_stops_no_container_that_can_do_without() {
    let lib = "usr/lib/x86_64-linux-gnu";
    let host = loaded(VERSION);
    add(
        host.path(),
        &["usr/lib/x86_64-linux-gnu/libcuda.so.V"],
        &[
            ("libEGL_nvidia.so.V", &format!("{lib}/libEGL_nvidia.so.V")),
            ("/etc/alternatives/none", &format!("{lib}/libGLX_nvidia.so.V")),
            ("10_nvidia.json", "usr/share/glvnd/egl_vendor.d/10_nvidia.json"),
        ],
    );
    let log = host.path().join("gpu-runc.log");
    configure(host.path(), "");
    let text_of = fs::read_to_string(host.path().join("gpu-runc.toml")).unwrap();
    let with_log = text_of.replace("syslog = false", &format!("syslog = false\nfile = {log:?}"));
    fs::write(host.path().join("gpu-runc.toml"), with_log).unwrap();
    let mounted = mounted(host.path()).unwrap();
    assert!(mounted.iter().all(|(place, _)| !place.contains("libEGL") && !place.contains("libGLX")), "{mounted:#?}");
    assert!(mounted.iter().any(|(place, _)| *place == text("/usr/lib/x86_64-linux-gnu/libcuda.so.V")), "{mounted:#?}");
    let log = fs::read_to_string(log).unwrap();
    for name in ["libEGL_nvidia.so.V", "libGLX_nvidia.so.V", "10_nvidia.json"] {
        let line = log.lines().find(|line| line.contains(&text(name)));
        assert!(line.is_some_and(|line| line.contains("install the driver again")), "{name}: {log}");
    }
}

#[test]
fn a_driver_that_was_updated_under_the_loaded_one_is_named() {
    let host = loaded(VERSION);
    let newer = "usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.555.58.02";
    add(
        host.path(),
        &[newer],
        &[("/usr/lib/x86_64-linux-gnu/nvidia/current/libcuda.so.555.58.02", "usr/lib/x86_64-linux-gnu/libcuda.so.1")],
    );
    let error = mounted(host.path()).unwrap_err();
    for part in
        ["version 550.163.01 of the nvidia driver is loaded", &text(&format!("but /{newer} is")), "restart the host"]
    {
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_layout_in_a_directory_of_another_user_is_not_used() {
    if !nix::unistd::geteuid().is_root() {
        return skip("a layout of another user", "needs root");
    }
    for directory in ["home/kubernetes", "home/kubernetes/bin", "home/kubernetes/bin/nvidia"] {
        let host = loaded(VERSION);
        add(host.path(), &["home/kubernetes/bin/nvidia/lib64/libcuda.so.V"], &[]);
        assert!(mounted(host.path()).is_ok(), "{directory}");
        std::os::unix::fs::chown(host.path().join(directory), Some(1000), None).unwrap();
        let error = mounted(host.path()).unwrap_err();
        assert!(error.contains("is in no library folder below /"), "{directory}: {error}");
    }
}

#[test]
fn a_user_is_not_stopped_by_directories_of_layouts_that_are_kept_from_them() {
    use std::os::unix::fs::PermissionsExt;
    if nix::unistd::geteuid().is_root() {
        let host = loaded(VERSION);
        add(
            host.path(),
            &["home/kubernetes/bin/nvidia/lib64/x", "usr/local/nvidia/lib64/x", "run/opengl-driver/lib/libcuda.so.V"],
            &[],
        );
        for closed in ["home/kubernetes", "usr/local/nvidia"] {
            fs::set_permissions(host.path().join(closed), fs::Permissions::from_mode(0o700)).unwrap();
        }
        fs::set_permissions(host.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_gpu-ctk"));
        command.env("GPU_RUNC_CONFIG", host.path().join("gpu-runc.toml")).current_dir("/");
        std::os::unix::process::CommandExt::uid(&mut command, 1000);
        let Ok(output) = command.args(["cdi", "generate", "--dry-run", "--format", "yaml"]).output() else {
            return skip("layouts kept from a user", "another user cannot start the program (optional)");
        };
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains("/run/opengl-driver/lib/libcuda.so"), "{}", String::from_utf8_lossy(&output.stderr));
    } else {
        skip("layouts kept from a user", "needs root, to become another");
    }
}
