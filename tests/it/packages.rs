//! Debian's own packages of NVIDIA's driver, whole: `hack/driver-roots` installs them, `GPU_RUNC_DRIVER_ROOTS` names the
//! directory. Every file of the packages is in the container or has a reason here, and every library loads there.

mod container;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::scratch::skip;

use container::{Container, Image};

const ROOTS: &[&str] = &["trixie", "bookworm", "tesla-470"];

/// Files of the packages that no container gets, by a part of their path, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("/usr/share/doc/", "documentation"),
    ("/usr/share/man/", "documentation"),
    (".1.gz", "documentation"),
    ("/usr/share/lintian/", "Debian's own"),
    ("/usr/share/bug/", "Debian's own"),
    ("/usr/share/reportbug", "Debian's own"),
    ("/usr/lib/nvidia/", "Debian's alternatives and their helpers; the programs among them are in /usr/bin too"),
    ("/usr/lib/systemd/", "the host's services"),
    ("/lib/systemd/", "the host's services"),
    ("/etc/init.d/", "the host's services"),
    ("/etc/default/", "the host's services"),
    ("/usr/lib/udev/", "the host's devices"),
    ("/lib/udev/", "the host's devices"),
    ("/etc/modprobe.d/", "the host's kernel modules"),
    ("/etc/modules-load.d/", "the host's kernel modules"),
    ("/usr/lib/modprobe.d/", "the host's kernel modules"),
    ("/etc/nvidia/", "the host's kernel modules, and files that are found under their other names"),
    ("/usr/bin/nvidia-modprobe", "sets up devices of the host"),
    ("/usr/bin/nvidia-bug-report.sh", "of the host"),
    ("/usr/sbin/nvidia-bug-report.sh", "of the host"),
    ("/usr/bin/nvidia-powerd", "a service of the host"),
    ("/usr/bin/nvidia-sleep.sh", "a service of the host"),
    ("/usr/bin/nvidia-ngx-updater", "updates files of the host; NVIDIA's toolkit leaves it out too"),
    ("/usr/bin/nvidia-detect", "Debian's own"),
    ("/usr/bin/nvidia-pcc", "configures GPUs of the host; NVIDIA's toolkit leaves it out too"),
    ("/usr/share/dbus-1/", "a service of the host"),
    ("/usr/share/initramfs-tools/", "the host's initial file system"),
    ("/usr/share/nvidia/nvidia-application-profiles", "NVIDIA's toolkit leaves them out too; the image has its own"),
    ("/usr/share/nvidia/rim/", "reference measurements for attestation of the host"),
    ("/usr/share/glx-alternative", "Debian's alternatives"),
    ("/usr/share/nvidia-legacy-check/", "Debian's own"),
    ("/usr/share/nvidia-kernel-common/", "the host's kernel modules"),
    ("/usr/share/update-glx/", "Debian's alternatives"),
    ("wine/", "for Wine, which looks for them itself"),
    ("libnvidia-api.so.1", "behind a flag in NVIDIA's toolkit"),
];

/// 470's lacks symbols of `libnvidia-egl-wayland.so.1`, which loads it: alone it does not load on the host either.
const LOADED_BY_ANOTHER: &str = "libnvidia-vulkan-producer.so";

/// The roots that were made, each with the fake host and the image that are made of it.
fn images(test: &str) -> Vec<Image> {
    let directory = std::env::var_os("GPU_RUNC_DRIVER_ROOTS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/driver-roots"), PathBuf::from);
    if !cfg!(target_arch = "x86_64") {
        skip(test, "the roots are for x86 (optional)");
        return Vec::new();
    }
    let made = |name: &&&str| {
        let is_made = directory.join(name).is_dir();
        if !is_made {
            skip(test, &format!("{name} was not made by hack/driver-roots (optional)"));
        }
        is_made
    };
    ROOTS.iter().filter(made).filter_map(|name| Image::of(test, &directory.join(name))).collect()
}

#[test]
fn every_file_of_the_packages_is_injected_or_has_a_reason() {
    for image in images("files of Debian's driver packages") {
        let mounts = image.mounts();
        let sources: BTreeSet<PathBuf> = mounts.iter().filter_map(|(_, source)| image.real(source)).collect();
        let mut lost = BTreeSet::new();
        for file in image.files_of_packages() {
            let path = file.to_str().unwrap();
            let is_left_out = LEFT_OUT.iter().any(|(part, _)| path.contains(part));
            // A link whose target is not a file of the driver is Debian's business.
            let Some(real) = image.real(&file).filter(|_| !is_left_out) else { continue };
            if !sources.contains(&real) {
                lost.insert(file);
            }
        }
        assert_eq!(lost, BTreeSet::new(), "{}: files that no container gets", image.name);
        assert!(sources.len() > 40, "{}: {sources:?}", image.name);
        assert!(mounts.iter().all(|(place, _)| !place.contains("nvidia-modprobe")), "{}", image.name);
    }
}

#[test]
fn every_library_loads_in_a_container_and_asks_for_the_hardware() {
    for image in images("libraries of Debian's driver packages") {
        let Some(container) = Container::new(&image) else { return };
        for (bits, folder, loader) in
            [(64, "x86_64-linux-gnu", "lib64/ld-linux-x86-64.so.2"), (32, "i386-linux-gnu", "lib/ld-linux.so.2")]
        {
            let names: Vec<String> = image.libraries(folder);
            assert!(names.len() > 10, "{}: {bits}: {names:?}", image.name);
            let program = container.compile(include_str!("packages/loads.c"), "loads", bits, folder, loader);
            let output = container.run(&program, &names, &[]);
            let is_failure = |line: &&str| line.starts_with("FAILED") && !line.contains(LOADED_BY_ANOTHER);
            let failed: Vec<&str> = output.lines().filter(is_failure).collect();
            assert!(failed.is_empty(), "{}: {bits}: {failed:#?}", image.name);
            for answer in ["cuInit = 100", "nvmlInit_v2 = 9"] {
                assert!(output.contains(answer), "{}: {bits}: {answer}: {output}", image.name);
            }
        }
        let output = container.run("/usr/bin/nvidia-smi", &[], &[]);
        assert!(output.contains("NVIDIA driver"), "{}: {output}", image.name);
    }
}

#[test]
fn the_loaders_of_an_image_find_the_drivers_modules() {
    let lib = "x86_64-linux-gnu";
    for image in images("modules of Debian's driver packages") {
        let Some(container) = Container::new(&image) else { return };
        let source = include_str!("packages/loaders.c");
        let program = container.compile(source, "loaders", 64, lib, "lib64/ld-linux-x86-64.so.2");
        let gbm = format!("/usr/lib/{lib}/gbm/nvidia-drm_gbm.so");
        let vdpau = format!("/usr/lib/{lib}/vdpau/libvdpau_nvidia.so.1");
        for (what, module) in
            [("vulkan", "libGLX_nvidia.so.0"), ("egl", "libEGL_nvidia.so.0"), ("gbm", &gbm), ("vdpau", &vdpau)]
        {
            // The driver has a backend of GBM since 495.
            if what == "gbm" && image.name == "tesla-470" {
                continue;
            }
            let output = container.run(&program, &[what.to_owned()], &["LD_DEBUG=files"]);
            let loads =
                |line: &&str| line.contains("calling init:") && line.contains(module.rsplit('/').next().unwrap());
            assert!(output.lines().any(|line| loads(&line)), "{}: {what}: {module}: {output}", image.name);
        }
    }
}

#[test]
fn the_doctor_passes_whole_packages_and_names_what_half_of_them_lacks() {
    for image in images("the doctor on Debian's driver packages") {
        let (level, what) = image.diagnosis();
        assert_eq!(level, "PASS", "{}: {what}", image.name);
        image.remove("/usr/lib/x86_64-linux-gnu/libnvidia-glsi.so.*");
        image.remove("/usr/lib/x86_64-linux-gnu/libnvidia-rtcore.so.*");
        let (level, what) = image.diagnosis();
        assert_eq!(level, "WARN", "{}: {what}", image.name);
        for part in ["graphics, display: libnvidia-glsi.so.", "(libEGL_nvidia.so.", "libnvidia-rtcore.so."] {
            assert!(what.contains(part), "{}: {part}: {what}", image.name);
        }
        assert!(!what.contains("compute"), "{}: {what}", image.name);
    }
}
