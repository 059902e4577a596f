//! Other projects' data, read in place: real topologies, file lists and driver roots, below the folder that
//! `GPU_RUNC_FIXTURES` names. Nothing of it is part of this project; without the folder these tests say that they are skipped.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use gpu_runc::cdi::{self, Spec};
use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::Value;
use tempfile::TempDir;

use crate::hosts::{configure, create, ctk, paths, put};
use crate::scratch::skip;

/// The folder `name` of the fixtures.
pub(crate) fn fixtures(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("GPU_RUNC_FIXTURES").map(|folder| Path::new(&folder).join(name));
    let found = folder.filter(|folder| folder.exists());
    if found.is_none() {
        skip(&format!("fixtures of {name}"), "(optional) GPU_RUNC_FIXTURES names no folder that has them");
    }
    found
}

/// Copies what is there to read; empty files and broken links too.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => copy(&from, &to),
            kind if kind.is_symlink() => symlink(fs::read_link(&from).unwrap(), &to).unwrap(),
            // A link that was kept as a file with its target.
            _ if fs::read(&from).unwrap() == b"libcuda.so.999.88.77" => symlink("libcuda.so.999.88.77", &to).unwrap(),
            _ => drop(fs::copy(&from, &to).unwrap()),
        }
    }
}

fn node(root: &Path, path: &str, major: u64, minor: u64) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let _ = fs::remove_file(&path);
    mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(major, minor)).expect("run this as root");
}

fn scratch() -> TempDir {
    let scratch = tempfile::tempdir().unwrap();
    configure(scratch.path(), "");
    scratch
}

fn generated(root: &Path, args: &[&str]) -> Result<Spec, String> {
    let output = ctk(root, &[&["cdi", "generate", "--output", "-"], args].concat());
    match output.status.success() {
        true => Ok(cdi::parse(&String::from_utf8(output.stdout).unwrap()).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

fn names(spec: &Spec, keep: fn(&str) -> bool) -> Vec<&str> {
    spec.devices.iter().map(|device| device.name.as_str()).filter(|name| keep(name)).collect()
}

fn is_index(name: &str) -> bool {
    name.bytes().all(|byte| byte.is_ascii_digit())
}

/// A machine with the topology of a fixture, and the parts of sysfs and `/dev` that belong to it, as the kernel would make them.
fn machine_of_topology(folder: &Path) -> TempDir {
    let host = scratch();
    let root = host.path();
    copy(folder, root);
    node(root, "dev/kfd", 234, 0);
    let nodes = root.join("sys/class/kfd/kfd/topology/nodes");
    for entry in fs::read_dir(nodes).unwrap().map(Result::unwrap) {
        let text = fs::read_to_string(entry.path().join("properties")).unwrap();
        let field = |name: &str| -> u64 {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
            line.map_or(0, |value| value.parse().unwrap_or_default())
        };
        if field("simd_count") == 0 {
            continue;
        }
        let (minor, location) = (field("drm_render_minor"), field("location_id"));
        let address = format!("{:04x}:{:02x}:{:02x}.0", field("domain"), location >> 8 & 0xff, location >> 3 & 0x1f);
        let device = match location & 7 {
            0 => format!("sys/bus/pci/devices/{address}"),
            part => format!("sys/devices/platform/amdgpu_xcp_{minor}_{part}"),
        };
        for name in [format!("card{}", minor - 128), format!("renderD{minor}")] {
            put(root, &format!("{device}/drm/{name}/dev"), "226:0\n");
        }
        put(root, &format!("{device}/vendor"), "0x1002\n");
        fs::create_dir_all(root.join(format!("sys/class/drm/renderD{minor}"))).unwrap();
        symlink(format!("../../../../{device}"), root.join(format!("sys/class/drm/renderD{minor}/device"))).unwrap();
        node(root, &format!("dev/dri/card{}", minor - 128), 226, minor - 128);
        node(root, &format!("dev/dri/renderD{minor}"), 226, minor);
    }
    host
}

#[test]
fn real_topologies_come_to_as_many_devices_as_the_machines_had() {
    for (name, gpus, first, ids) in [
        ("amd/mi210-8gpu", 8, "0000:03:00.0", 8),
        // Two nodes at one address, as partitions are, but with ids of their own.
        ("amd/mi25-oldkernel-1gpu", 2, "0000:19:00.0", 2),
        ("amd/mi300x-cpx-8gpu-64part", 63, "0000:05:00.0", 8),
    ] {
        let Some(folder) = fixtures(name) else { return };
        let host = machine_of_topology(&folder);
        let spec = generated(host.path(), &[]).unwrap();
        assert_eq!(names(&spec, is_index).len(), gpus, "{name}");
        assert!(first.is_empty() || names(&spec, |_| true).contains(&first), "{name}");
        if ids > 0 {
            assert_eq!(names(&spec, |name| name.starts_with("0x")).len(), ids, "{name}");
        }
        let nodes_of = |name: &str| {
            let device = spec.devices.iter().find(|device| device.name == name).unwrap();
            device.container_edits.device_nodes.iter().map(|node| node.path.clone()).collect::<Vec<_>>()
        };
        // A card and a render node, and those of the other where one folder of sysfs has both.
        assert_eq!(nodes_of("0").len(), if name.contains("mi25") { 4 } else { 2 }, "{name}");
        let hip = names(&spec, |name| name.starts_with("hip-"));
        assert_eq!(hip.len(), gpus, "{name}");
        if name == "amd/mi210-8gpu" {
            // KFD counts the bus 63 first, PCI the bus 03.
            assert_eq!(nodes_of("hip-0"), nodes_of("0000:63:00.0"));
            assert_eq!(nodes_of("0"), nodes_of("0000:03:00.0"));
        }
    }
}

#[test]
fn a_real_desktops_attributes_are_read() {
    let Some(folder) = fixtures("drm-procfs-vega10-and-i915") else { return };
    let host = scratch();
    let root = host.path();
    copy(&folder, root);
    // The archive has /sys/class/drm only; on a machine the function's folder is the same.
    for (card, render, driver) in [("card0", "renderD128", "amdgpu"), ("card1", "renderD129", "i915")] {
        let from = folder.join("sys/class/drm").join(card).join("device");
        let uevent = fs::read_to_string(from.join("uevent")).unwrap();
        let address = uevent.lines().find_map(|line| line.strip_prefix("PCI_SLOT_NAME=")).unwrap_or("0000:00:02.0");
        let function = format!("sys/bus/pci/devices/{address}");
        for file in fs::read_dir(&from).unwrap().map(Result::unwrap).filter(|file| file.file_type().unwrap().is_file())
        {
            put(
                root,
                &format!("{function}/{}", file.file_name().display()),
                &fs::read_to_string(file.path()).unwrap_or_default(),
            );
        }
        if card == "card1" {
            put(root, &format!("{function}/vendor"), "0x8086\n");
        }
        for name in [card, render] {
            put(root, &format!("{function}/drm/{name}/dev"), "226:0\n");
            node(root, &format!("dev/dri/{name}"), 226, if name == card { 0 } else { 128 });
        }
        fs::create_dir_all(root.join("sys/bus/pci/drivers").join(driver)).unwrap();
        symlink(format!("../../devices/{address}"), root.join("sys/bus/pci/drivers").join(driver).join(address))
            .unwrap();
    }
    let amd = generated(root, &["--vendor", "amd"]).unwrap();
    assert_eq!(names(&amd, |name| name.starts_with("0x")), ["0x123456789abcdef"]);
    assert_eq!(names(&amd, |name| name.contains(':')), ["0000:09:00.0"]);
    let intel = generated(root, &["--vendor", "intel"]).unwrap();
    assert_eq!(names(&intel, is_index), ["0"]);
}

#[test]
fn the_faked_cards_of_intels_own_project_are_named_as_there() {
    let Some(file) = fixtures("intel/gpu-template.json") else { return };
    let template: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
    let host = scratch();
    for (_, card) in template.as_object().unwrap().iter().filter(|(_, card)| card.is_object()) {
        let text = |member: &str| card[member].as_str().unwrap().to_owned();
        let (address, function) = (text("pciaddress"), format!("sys/bus/pci/devices/{}", text("pciaddress")));
        put(host.path(), &format!("{function}/vendor"), "0x8086\n");
        put(host.path(), &format!("{function}/device"), &text("model"));
        for (name, minor) in [(text("cardname"), 0), (text("renderdname"), 128)] {
            put(host.path(), &format!("{function}/drm/{name}/dev"), "226:0\n");
            node(host.path(), &format!("dev/dri/{name}"), 226, minor);
        }
        put(host.path(), &format!("{function}/{}/dev", text("mei_path")), "242:0\n");
        node(host.path(), &format!("dev/{}", text("meiname")), 242, 0);
        let driver = host.path().join("sys/bus/pci/drivers").join(text("driver"));
        fs::create_dir_all(&driver).unwrap();
        symlink(format!("../../devices/{address}"), driver.join(&address)).unwrap();
    }
    let spec = generated(host.path(), &["--vendor", "intel"]).unwrap();
    assert_eq!(names(&spec, |name| name.contains("0x")), ["0000-03-00-0-0x56c0", "0000-04-00-1-0xe20b"]);
    assert_eq!(names(&spec, |name| name.starts_with("card")), ["card0", "card1"]);
    let mei = generated(host.path(), &["--vendor", "intel-gpu-mei"]).unwrap();
    assert_eq!(names(&mei, |name| name.starts_with("mei")), ["mei0", "mei1"]);
}

#[test]
fn every_list_of_ascends_products_is_mounted_as_far_as_the_machine_has_it() {
    let Some(folder) = fixtures("ascend") else { return };
    for list in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let text = fs::read_to_string(&list).unwrap();
        let host = scratch();
        node(host.path(), "dev/davinci0", 236, 0);
        put(host.path(), "sys/bus/pci/devices/0000:c1:00.0/vendor", "0x19e5\n");
        put(host.path(), "etc/ascend-docker-runtime.d/base.list", &text);
        let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| line.starts_with('/')).collect();
        for line in &lines {
            put(host.path(), &line.trim_matches('/').replace('*', "-some"), "");
        }
        let container = create(host.path(), &["ASCEND_VISIBLE_DEVICES=0"]).unwrap();
        let mounted: BTreeSet<&str> = paths(&container, "/mounts", "destination").into_iter().collect();
        let expected: BTreeSet<String> =
            lines.iter().map(|line| line.trim_end_matches('/').replace('*', "-some")).collect();
        assert_eq!(mounted, expected.iter().map(String::as_str).collect(), "{}", list.display());
    }
}

/// A machine whose driver's root is a fixture of NVIDIA's toolkit: version 999.88.77, one GPU.
fn machine_of_root(name: &str) -> Option<TempDir> {
    let folder = fixtures("nvidia/lookup")?.join(name);
    let host = scratch();
    copy(&folder, &host.path().join("driver"));
    let information =
        "Model: \t\t NVIDIA L4\nGPU UUID: \t GPU-d1000000-0000-4000-8000-000000000000\nDevice Minor: \t 0\n";
    put(host.path(), "proc/driver/nvidia/gpus/0000:07:00.0/information", information);
    put(host.path(), "proc/driver/nvidia/version", "NVRM version: NVIDIA UNIX x86_64 Kernel Module  999.88.77  x\n");
    put(host.path(), "proc/devices", "Character devices:\n195 nvidia\n");
    for file in ["dev/nvidia0", "dev/nvidiactl"] {
        node(&host.path().join("driver"), file, 195, if file.ends_with("ctl") { 255 } else { 0 });
    }
    Some(host)
}

#[test]
fn the_driver_roots_of_nvidias_toolkit_are_described_as_there() {
    const LIB: &str = "/lib/x86_64-linux-gnu";
    let cuda =
        |folder: &str| ["libcuda.so", "libcuda.so.1", "libcuda.so.999.88.77"].map(|name| format!("{folder}/{name}"));
    for (name, expected) in [
        // NVIDIA's own expectation has the two libraries by their full names, and hooks that make the links: here the links are
        // mounts. Its vdpau library goes with those of the driver.
        ("rootfs-1", [&cuda(LIB)[..], &[format!("{LIB}/vdpau/libvdpau_nvidia.so.999.88.77")]].concat()),
        ("rootfs-2", cuda("/var/lib/nvidia/lib64").to_vec()),
        ("rootfs-no-cache-lib64", cuda("/usr/lib64").to_vec()),
    ] {
        let Some(host) = machine_of_root(name) else { return };
        let spec =
            generated(host.path(), &["--driver-root", "/driver"]).unwrap_or_else(|error| panic!("{name}: {error}"));
        let mounts: Vec<&str> = spec.container_edits.mounts.iter().map(|mount| mount.container_path.as_str()).collect();
        assert_eq!(mounts, expected, "{name}");
        for mount in &spec.container_edits.mounts {
            assert!(mount.host_path.starts_with("/driver/"), "{name}: {}", mount.host_path);
            assert_eq!(mount.options, ["ro", "nosuid", "nodev", "rbind", "rprivate"]);
        }
        let gpu = spec.devices.iter().find(|device| device.name == "0").unwrap();
        let [node] = gpu.container_edits.device_nodes.as_slice() else { panic!("{name}: {gpu:?}") };
        assert_eq!((node.path.as_str(), node.on_host()), ("/dev/nvidia0", "/driver/dev/nvidia0"));
        let control: Vec<&str> = spec.container_edits.device_nodes.iter().map(|node| node.path.as_str()).collect();
        // The toolkit leaves out what has no node; the driver's number is known here, so modeset can be promised.
        assert_eq!(control, ["/dev/nvidia-modeset", "/dev/nvidiactl"], "{name}");
        assert!(spec.container_edits.env.contains(&"NVIDIA_VISIBLE_DEVICES=void".to_owned()));
        assert!(spec.container_edits.hooks.is_empty(), "nothing of ours runs in the container");
    }
    let Some(split) = machine_of_root("rootfs-split") else { return };
    node(split.path(), "driver/dev-root/dev/nvidia0", 195, 0);
    let roots = ["--driver-root", "/driver/driver-root", "--dev-root", "/driver/dev-root"];
    let spec = generated(split.path(), &roots).unwrap();
    let gpu = spec.devices.iter().find(|device| device.name == "0").unwrap();
    assert_eq!(gpu.container_edits.device_nodes[0].on_host(), "/driver/dev-root/dev/nvidia0");
    let Some(empty) = machine_of_root("rootfs-drm") else { return };
    let error = generated(empty.path(), &["--driver-root", "/driver"]).unwrap_err();
    assert!(
        error.contains("libcuda.so.999.88.77 or libnvidia-ml.so.999.88.77 is in no library folder below /driver"),
        "{error}"
    );
}

#[test]
fn the_lists_of_integrated_gpus_are_followed() {
    for name in ["csv-mode", "rootfs-orin"] {
        let Some(folder) = fixtures("nvidia/lookup").map(|folder| folder.join(name)) else { return };
        let host = scratch();
        copy(&folder, host.path());
        put(host.path(), "sys/devices/soc0/family", "Tegra\n");
        let lists = host.path().join("etc/nvidia-container-runtime/host-files-for-container.d");
        let lines: String =
            ["devices.csv", "drivers.csv"].map(|list| fs::read_to_string(lists.join(list)).unwrap()).concat();
        for (minor, path) in lines.lines().filter_map(|line| line.strip_prefix("dev, /")).enumerate() {
            node(host.path(), &path.trim().replace('*', "0"), 500, minor as u64);
        }
        for path in lines.lines().filter_map(|line| line.strip_prefix("lib, /")) {
            put(host.path(), path.trim(), "");
        }
        let spec = generated(host.path(), &["--vendor", "nvidia"]).unwrap();
        let gpu = spec.devices.iter().find(|device| device.name == "0").unwrap();
        let listed =
            lines.lines().filter(|line| line.starts_with("dev, ")).map(str::trim).collect::<BTreeSet<_>>().len();
        assert_eq!(gpu.container_edits.device_nodes.len(), listed, "{name}");
        let libraries =
            lines.lines().filter(|line| line.starts_with("lib, ")).map(str::trim).collect::<BTreeSet<_>>().len();
        assert!(gpu.container_edits.mounts.len() >= libraries, "{name}");
    }
}

#[test]
fn machines_that_another_project_has_looked_at_have_the_same_devices_here() {
    for (sample, vendor, pci, driver) in [
        ("detect_output_amd_mi300x", "amd", 0x1002, "amdgpu"),
        ("detect_output_amd_mi308x", "amd", 0x1002, "amdgpu"),
        ("detect_output_amd_rx7800xt", "amd", 0x1002, "amdgpu"),
        ("detect_output_hygon_k100ai", "hygon", 0x1d94, "hycu"),
        ("detect_output_metax_c500", "metax", 0x9999, "METAX"),
    ] {
        let Some(file) = fixtures(&format!("others/gpustack-detect-samples/{sample}.json")) else { return };
        let seen: Value = serde_json::from_slice(&fs::read(file).unwrap()).unwrap();
        let host = scratch();
        let root = host.path();
        node(root, "dev/kfd", 234, 0);
        for (place, gpu) in seen.as_array().unwrap().iter().enumerate() {
            let number = |member: &str| gpu["appendix"][member].as_u64().unwrap();
            let (address, card, render) =
                (gpu["appendix"]["bdf"].as_str().unwrap(), number("card_id"), number("renderd_id"));
            let function = format!("sys/bus/pci/devices/{address}");
            put(root, &format!("{function}/vendor"), &format!("{pci:#x}\n"));
            for (name, minor) in [(format!("card{card}"), card), (format!("renderD{render}"), render)] {
                put(root, &format!("{function}/drm/{name}/dev"), "226:0\n");
                node(root, &format!("dev/dri/{name}"), 226, minor);
            }
            fs::create_dir_all(root.join("sys/bus/pci/drivers").join(driver)).unwrap();
            symlink(format!("../../devices/{address}"), root.join("sys/bus/pci/drivers").join(driver).join(address))
                .unwrap();
            if vendor != "metax" {
                let id = u64::from_str_radix(gpu["uuid"].as_str().unwrap().trim_start_matches("GPU-"), 16).unwrap();
                let bus = u64::from_str_radix(&address[5..7], 16).unwrap();
                let properties = format!(
                    "simd_count 64\nvendor_id {pci}\nlocation_id {}\ndomain 0\ndrm_render_minor {render}\nunique_id {id}\n",
                    bus << 8
                );
                put(root, &format!("sys/class/kfd/kfd/topology/nodes/{}/properties", place + 1), &properties);
                fs::create_dir_all(root.join(format!("sys/class/drm/renderD{render}"))).unwrap();
                symlink(format!("../../../../{function}"), root.join(format!("sys/class/drm/renderD{render}/device")))
                    .unwrap();
            }
        }
        for gpu in seen.as_array().unwrap() {
            let expected = [
                format!("/dev/dri/card{}", gpu["appendix"]["card_id"]),
                format!("/dev/dri/renderD{}", gpu["appendix"]["renderd_id"]),
            ];
            let ids = [
                gpu["index"].to_string(),
                gpu["appendix"]["bdf"].as_str().unwrap().to_owned(),
                gpu["uuid"].as_str().unwrap().to_owned(),
            ];
            for id in ids.iter().filter(|id| vendor != "metax" || !id.starts_with("GPU-")) {
                let asked = format!("driver={vendor},device={id}");
                let config = serde_json::json!({"ociVersion": "1.2.0", "linux": {}, "process": {"env": [], "user": {"uid": 0, "gid": 0}},
                                                "annotations": {"gpu-runc/gpus": asked}});
                let container =
                    crate::hosts::start(root, &config).unwrap_or_else(|error| panic!("{sample} {id}: {error}"));
                let mut nodes = paths(&container, "/linux/devices", "path");
                nodes.retain(|node| node.starts_with("/dev/dri/") && !node.contains("by-path"));
                assert_eq!(nodes, expected, "{sample} {id}");
            }
        }
    }
}

#[test]
fn the_reports_of_real_machines_are_read_whole() {
    let Some(folder) = fixtures("k8s-test-infra/tests/e2e/go/assertions/nvidiasmi/testdata/hardware") else { return };
    let vendor = gpu_runc::vendor::Vendors::known().by_name("nvidia").unwrap();
    let identify = vendor.identify.unwrap();
    let reports = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let reports: Vec<_> = reports.filter(|path| path.extension().is_some_and(|suffix| suffix == "xml")).collect();
    assert!(reports.len() >= 7, "{reports:?}");
    for path in reports {
        let report = fs::read_to_string(&path).unwrap();
        let uuids: Vec<&str> = report.split("<uuid>").skip(1).map(|rest| rest.split('<').next().unwrap()).collect();
        assert!(!uuids.is_empty(), "{}", path.display());
        let list = |part: &str| -> String {
            uuids
                .iter()
                .enumerate()
                .map(|(gpu, uuid)| format!("GPU {gpu}: x (UUID: {uuid})\n{}", part.replace('#', &gpu.to_string())))
                .collect()
        };
        assert_eq!((identify.parts)(&[list(""), report.clone()]), [], "{}: no machine is split", path.display());
        // The same machine with each GPU split.
        let part = "<mig_device><index>0</index><gpu_instance_id>2</gpu_instance_id><compute_instance_id>1</compute_instance_id>\
                    </mig_device></mig_devices>";
        let split = report.replace("</mig_devices>", part);
        let parts = (identify.parts)(&[list("  MIG 1g.5gb     Device  0: (UUID: MIG-#)\n"), split]);
        let found: Vec<(&str, (u32, u32), String)> =
            parts.iter().map(|part| (part.whole.as_str(), part.instance, part.name.clone())).collect();
        let expected: Vec<_> =
            uuids.iter().enumerate().map(|(gpu, uuid)| (*uuid, (2, 1), format!("MIG-{gpu}"))).collect();
        assert_eq!(found, expected, "{}", path.display());
    }
}
