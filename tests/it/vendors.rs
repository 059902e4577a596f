//! Vendors: what containers get of each vendor's devices on machines that have a driver and nothing else.

use std::collections::BTreeSet;
use std::fs;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts::{self, configure, create, paths, start};

fn machine(names: &[&str], more: &str) -> Option<TempDir> {
    let host = hosts::make(names)?;
    configure(host.path(), more);
    Some(host)
}

/// The nodes of a container, without the `/dev/` that all have, but for those that only name a place.
fn nodes(container: &Value) -> String {
    let nodes = paths(container, "/linux/devices", "path");
    let mut nodes: Vec<_> = nodes.iter().map(|path| path.trim_start_matches("/dev/")).collect();
    nodes.retain(|node| !node.contains("by-path"));
    nodes.sort_unstable();
    nodes.join(" ")
}

fn places(container: &Value) -> Vec<&str> {
    paths(container, "/mounts", "destination")
}

fn privileged(env: &[&str]) -> Value {
    json!({"ociVersion": "1.2.0", "linux": {}, "process": {"env": env, "user": {"uid": 0, "gid": 0},
           "capabilities": {"bounding": ["CAP_SYS_ADMIN"]}}})
}

#[test]
fn each_vendor_is_asked_in_its_own_words() {
    const ACCEL0: &str = "accel/accel0 accel/accel_controlD0 infiniband/uverbs0";
    for (host, env, expected) in [
        ("habana-gaudi2-3", "HABANA_VISIBLE_DEVICES=0", ACCEL0),
        (
            "habana-gaudi2-3",
            "HABANA_VISIBLE_DEVICES=0,2",
            "accel/accel0 accel/accel2 accel/accel_controlD0 accel/accel_controlD2 infiniband/uverbs0 infiniband/uverbs2",
        ),
        ("habana-gaudi2-3", "HABANA_VISIBLE_MODULES=5", ACCEL0),
        ("habana-gaudi2-3", "HABANA_VISIBLE_PCI_BUS_IDS=0000:33:00.0", ACCEL0),
        (
            "ascend-910b-2",
            "ASCEND_VISIBLE_DEVICES=Ascend910-1",
            "davinci1 davinci_manager devmm_svm dvpp_cmdlist hisi_hdc",
        ),
        (
            "ascend-910b-2",
            "ASCEND_VISIBLE_DEVICES=npu-0,1-1",
            "davinci0 davinci1 davinci_manager devmm_svm dvpp_cmdlist hisi_hdc",
        ),
        (
            "ascend-910b-2",
            "ASCEND_VISIBLE_DEVICES=0-1",
            "davinci0 davinci1 davinci_manager devmm_svm dvpp_cmdlist hisi_hdc",
        ),
        ("intel-igpu-arc-npu-3", "GPU_VISIBLE_DEVICES=intel.com/gpu=gpu1", "dri/card0 dri/renderD129"),
        ("intel-igpu-arc-npu-3", "GPU_VISIBLE_DEVICES=intel.com/gpu=card1", "dri/card1 dri/renderD128"),
        ("intel-igpu-arc-npu-3", "GPU_VISIBLE_DEVICES=intel.com/gpu=0000-03-00-0-0x56a0", "dri/card0 dri/renderD129"),
        ("intel-igpu-arc-npu-3", "GPU_VISIBLE_DEVICES=all", "dri/card0 dri/card1 dri/renderD128 dri/renderD129"),
        ("intel-igpu-arc-npu-3", "GPU_VISIBLE_DEVICES=intel.com/npu=0", "accel/accel0"),
        ("intel-flex-sriov-2", "GPU_VISIBLE_DEVICES=0", "dri/card1 dri/renderD129"),
        ("amd-radeon-without-kfd-2", "AMD_VISIBLE_DEVICES=0x00AB12CD34EF5678", "dri/card1 dri/renderD129"),
        ("amd-apu-and-vmd-2", "AMD_VISIBLE_DEVICES=10000:01:00.0", "dri/card1 dri/renderD128 kfd"),
        ("amd-mi300x-8", "AMD_VISIBLE_DEVICES=hip-1", "dri/card9 dri/renderD136 kfd"),
        ("amd-mi300x-cpx-4", "AMD_VISIBLE_DEVICES=1:0", "dri/card2 dri/renderD130 kfd"),
        ("hygon-k100-2", "HCU_VISIBLE_DEVICES=1", "dri/card1 dri/renderD129 kfd mkfd"),
        ("hygon-k100-2", "NVIDIA_VISIBLE_DEVICES=0", "dri/card0 dri/renderD128 kfd mkfd"),
        (
            "nvidia-l40s-companions-1",
            "NVIDIA_VISIBLE_DEVICES=00000000:31:00.0",
            "dri/card1 dri/renderD129 nvidia-modeset nvidia-uvm nvidia-uvm-tools nvidia0 nvidiactl",
        ),
        ("long-tail-16", "BR_PHY_CARDS=0", "biren/card_0"),
        ("long-tail-16", "AWS_NEURON_VISIBLE_DEVICES=ALL", "neuron0 neuron1"),
        ("long-tail-16", "CXPU_VISIBLE_DEVICES=1", "xpu1 xpuctrl"),
        ("long-tail-16", "GPU_VISIBLE_DEVICES=tpu.google.com/tpu=1", "vfio/8 vfio/vfio"),
        ("long-tail-16", "GPU_VISIBLE_DEVICES=qualcomm.com/qaic=all", "accel/accel0"),
        (
            "long-tail-16",
            "GPU_VISIBLE_DEVICES=furiosa.ai/npu=npu0",
            "rngd/npu0bar0 rngd/npu0bar2 rngd/npu0ch0 rngd/npu0ch0r rngd/npu0dmar rngd/npu0mgmt rngd/npu0pe0 rngd/npu0pe1",
        ),
    ] {
        let Some(host_of) = machine(&[host], "") else { return };
        let container = create(host_of.path(), &[env]).unwrap_or_else(|error| panic!("{host} {env}: {error}"));
        assert_eq!(nodes(&container), expected, "{host} {env}");
    }
}

#[test]
fn vendors_are_told_apart_by_their_hardware() {
    let Some(host) = machine(&["hygon-k100-2"], "") else { return };
    let error = create(host.path(), &["AMD_VISIBLE_DEVICES=0"]).unwrap_err();
    assert!(error.contains("unresolvable CDI devices amd.com/gpu=0"), "a folder called amdgpu is not AMD's: {error}");
    let Some(host) = machine(&["long-tail-16"], "") else { return };
    for kind in ["intel.com/npu", "intel.com/gaudi"] {
        let error = create(host.path(), &[&format!("GPU_VISIBLE_DEVICES={kind}=0")]).unwrap_err();
        assert!(error.contains(&format!("unresolvable CDI devices {kind}=0")), "accel0 is another's: {error}");
    }
    fs::remove_dir_all(host.path().join("sys/bus/pci/devices/0000:10:00.0")).unwrap();
    let error = create(host.path(), &["IX_VISIBLE_DEVICES=0"]).unwrap_err();
    assert!(error.contains("unresolvable CDI devices iluvatar.com/gpu=0"), "a node without its hardware: {error}");
}

#[test]
fn two_vendors_share_the_topology_of_one_driver() {
    let Some(host) = machine(&["hygon-k100-2"], "") else { return };
    let [topology, function] = ["class/kfd/kfd/topology/nodes/0/properties", "bus/pci/devices/0000:03:00.0/vendor"]
        .map(|file| host.path().join("sys").join(file));
    let amd = fs::read_to_string(&topology).unwrap().replace("vendor_id 7572", "vendor_id 4098");
    fs::write(topology, amd).unwrap();
    fs::write(function, "0x1002\n").unwrap();
    for (env, expected) in [
        ("AMD_VISIBLE_DEVICES=all", "dri/card0 dri/renderD128 kfd"),
        ("AMD_VISIBLE_DEVICES=hip-0", "dri/card0 dri/renderD128 kfd"),
        ("HCU_VISIBLE_DEVICES=all", "dri/card1 dri/renderD129 kfd mkfd"),
        ("HCU_VISIBLE_DEVICES=0", "dri/card1 dri/renderD129 kfd mkfd"),
    ] {
        assert_eq!(nodes(&create(host.path(), &[env]).unwrap()), expected, "{env}");
    }
}

#[test]
fn an_id_gives_no_more_than_what_has_it() {
    let Some(host) = machine(&["amd-mi300x-cpx-4"], "") else { return };
    let two = "dri/card0 dri/card1 dri/renderD128 dri/renderD129 kfd";
    let whole = ["AMD_VISIBLE_DEVICES=0x9a00000000000001"];
    assert_eq!(nodes(&create(host.path(), &whole).unwrap()), two, "partitions share an id");
    let topology = host.path().join("sys/class/kfd/kfd/topology/nodes");
    for node in fs::read_dir(topology).unwrap().map(|node| node.unwrap().path().join("properties")) {
        let text = fs::read_to_string(&node).unwrap();
        if text.contains("drm_render_minor 129") {
            let own = text.lines().map(|line| if line.starts_with("unique_id ") { "unique_id 291" } else { line });
            fs::write(node, own.collect::<Vec<_>>().join("\n")).unwrap();
        }
    }
    assert_eq!(nodes(&create(host.path(), &whole).unwrap()), "dri/card0 dri/renderD128 kfd");
    assert_eq!(nodes(&create(host.path(), &["AMD_VISIBLE_DEVICES=0x123"]).unwrap()), "dri/card1 dri/renderD129 kfd");
}

#[test]
fn a_machine_of_several_vendors_gives_what_is_asked_of_each() {
    let Some(host) = machine(&["nvidia-l40s-companions-1", "intel-flex-sriov-2"], "") else { return };
    let both =
        create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0", "GPU_VISIBLE_DEVICES=intel.com/gpu=0000:00:02.0"]).unwrap();
    let both = nodes(&both);
    assert!(both.contains("nvidia0") && both.contains("dri/card0") && both.contains("dri/renderD128"), "{both}");
    let all = nodes(&create(host.path(), &["GPU_VISIBLE_DEVICES=all"]).unwrap());
    assert!(all.contains("nvidia0") && !all.contains("dri/card0"), "who names no vendor gets the first one's: {all}");
    let any = create(host.path(), &["GPU_VISIBLE_DEVICES=0"]).unwrap();
    assert!(nodes(&any).contains("nvidia0") && !nodes(&any).contains("dri/card0 "), "{}", nodes(&any));
}

#[test]
fn a_container_gets_the_files_of_the_classes_that_it_names() {
    let Some(host) = machine(&["nvidia-l40s-companions-1"], "") else { return };
    for (classes, libraries, has_nodes, has_mps) in [
        ("compute,utility", "libcuda libnvidia-ml", false, true),
        ("utility", "libnvidia-ml", false, false),
        ("graphics", "libGLX_indirect libGLX_nvidia libnvidia-glcore", true, false),
        ("video", "libcuda libnvcuvid", false, false),
        ("all", "libGLX_indirect libGLX_nvidia libcuda libnvcuvid libnvidia-glcore libnvidia-ml", true, true),
        ("", "libGLX_indirect libGLX_nvidia libcuda libnvcuvid libnvidia-glcore libnvidia-ml", true, true),
    ] {
        let env = ["NVIDIA_VISIBLE_DEVICES=0,0", &format!("NVIDIA_DRIVER_CAPABILITIES={classes}")];
        let container = create(host.path(), &env).unwrap();
        let of = |folder: &str| -> BTreeSet<&str> {
            let names =
                places(&container).into_iter().filter_map(|place| place.strip_prefix(folder)?.strip_prefix('/'));
            names.filter(|name| name.starts_with("lib")).filter_map(|name| Some(name.split_once(".so")?.0)).collect()
        };
        assert_eq!(of("/usr/lib64").into_iter().collect::<Vec<_>>().join(" "), libraries, "{classes}");
        assert_eq!(of("/usr/lib").is_empty(), classes != "all", "32-bit libraries only with compat32: {classes}");
        assert_eq!(nodes(&container).contains("dri/renderD129"), has_nodes, "{classes}");
        assert_eq!(places(&container).contains(&"/tmp/nvidia-mps"), has_mps, "{classes}");
        assert_eq!(nodes(&container).matches("nvidia0").count(), 1, "the second of two equal ids does not count");
    }
    let error =
        create(host.path(), &["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_DRIVER_CAPABILITIES=compute,magic"]).unwrap_err();
    assert!(error.contains("unsupported capabilities found in \"magic\" (allowed \"all,compute,"), "{error}");

    let Some(npu) = machine(&["ascend-310b-lists-1"], "") else { return };
    for (choice, expected) in [
        ("A=b", Ok("/etc/hdcBasic.cfg /usr/local/sbin/npu-smi /usr/local/Ascend/driver/lib64")),
        (
            "ASCEND_RUNTIME_MOUNTS=base,ub",
            Ok(
                "/etc/hdcBasic.cfg /usr/lib64/libummu_a.so /usr/lib64/libummu_b.so /usr/local/sbin/npu-smi /usr/local/Ascend/driver/lib64",
            ),
        ),
        ("ASCEND_RUNTIME_MOUNTS=ub", Ok("/usr/lib64/libummu_a.so /usr/lib64/libummu_b.so")),
        ("ASCEND_RUNTIME_OPTIONS=NODRV", Ok("")),
        (
            "ASCEND_RUNTIME_MOUNTS=none-such",
            Err("there is no list of files \"/etc/ascend-docker-runtime.d/none-such.list\""),
        ),
        ("ASCEND_RUNTIME_MOUNTS=../secret", Err("\"../secret\" is no name of a list of files")),
    ] {
        match (create(npu.path(), &["ASCEND_VISIBLE_DEVICES=0", choice]), expected) {
            (Ok(container), Ok(expected)) => assert_eq!(places(&container).join(" "), expected, "{choice}"),
            (Err(error), Err(expected)) => assert!(error.contains(expected), "{choice}: {error}"),
            (outcome, _) => panic!("{choice}: {outcome:?}"),
        }
    }
    let linked = create(npu.path(), &["ASCEND_VISIBLE_DEVICES=0"]).unwrap();
    let manager =
        linked["linux"]["devices"].as_array().unwrap().iter().find(|node| node["path"] == "/dev/davinci_manager");
    assert_eq!(manager.unwrap()["major"], 238, "the one for containers, in the other's place");
}

#[test]
fn only_a_container_that_could_make_other_nodes_gets_the_hook_against_it() {
    let able = |env: &str| {
        json!({"ociVersion": "1.2.0", "linux": {}, "process": {"env": [env], "user": {"uid": 0, "gid": 0},
               "capabilities": {"bounding": ["CAP_CHOWN", "CAP_MKNOD"]}}})
    };
    let unable = |env: &str| json!({"ociVersion": "1.2.0", "process": {"env": [env]}, "linux": {}});
    let (one, all) = ("NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=all");
    for (host, config, container, expected) in [
        ("nvidia-h100-8", "", able(one), 1),
        ("nvidia-h100-8", "", able("NVIDIA_VISIBLE_DEVICES=none"), 1),
        ("nvidia-h100-8", "[inject]\nhooks = \"keep\"\n", able(one), 1),
        ("nvidia-h100-8", "", able(all), 0),
        ("nvidia-h100-8", "", unable(one), 0),
        ("nvidia-h100-8", "[inject]\nparams = false\n", able(one), 0),
        // Its driver does not make nodes.
        ("nvidia-l40s-companions-1", "", able("NVIDIA_VISIBLE_DEVICES=none"), 0),
        ("amd-mi300x-8", "", able("AMD_VISIBLE_DEVICES=0"), 0),
    ] {
        let Some(machine) = machine(&[host], config) else { return };
        let started = start(machine.path(), &container).unwrap();
        let hooks = started.pointer("/hooks/createContainer").and_then(Value::as_array).cloned().unwrap_or_default();
        assert_eq!(hooks.len(), expected, "{host} {config} {container}");
        if let [hook] = hooks.as_slice() {
            assert_eq!(hook["path"], env!("CARGO_BIN_EXE_gpu-runc"));
            assert_eq!(hook["args"], json!(["nvidia-cdi-hook", "params"]));
            assert_eq!(hook["timeout"], 10);
            assert_eq!(hook["env"].as_array().map(Vec::len), Some(1), "no environment but its own");
        }
        assert_eq!(started["hooks"].as_object().map_or(0, serde_json::Map::len), expected);
    }
}

#[test]
fn companions_are_switched_on_and_managers_need_privilege() {
    let Some(host) = machine(&["nvidia-l40s-companions-1"], "") else { return };
    let gpu = "NVIDIA_VISIBLE_DEVICES=0";
    let without = nodes(&create(host.path(), &[gpu]).unwrap());
    let added = |container: &Value| {
        let nodes = nodes(container);
        let added: Vec<_> = nodes.split(' ').filter(|node| !without.split(' ').any(|known| known == *node)).collect();
        added.join(" ")
    };
    for (env, expected) in [
        ("NVIDIA_GDS=enabled", "nvidia-fs0 nvidia-fs1"),
        ("NVIDIA_GDS=yes", ""),
        ("NVIDIA_MOFED=enabled", "infiniband/rdma_cm infiniband/uverbs0"),
        ("NVIDIA_GDRCOPY=enabled", "gdrdrv"),
        ("NVIDIA_NVSWITCH=enabled", "nvidia-nvswitch0"),
    ] {
        assert_eq!(added(&create(host.path(), &[gpu, env]).unwrap()), expected, "{env}");
        for without in [&[][..], &["NVIDIA_VISIBLE_DEVICES=void"], &["NVIDIA_VISIBLE_DEVICES=none"]] {
            let started = start(host.path(), &privileged(&[without, &[env]].concat())).unwrap();
            assert_eq!(
                nodes(&started).split(' ').filter(|node| expected.contains(node) && !node.is_empty()).count(),
                0,
                "{env}"
            );
        }
    }
    let switches = start(host.path(), &privileged(&[gpu, "NVIDIA_NVSWITCH=enabled"])).unwrap();
    assert_eq!(added(&switches), "nvidia-nvswitch0 nvidia-nvswitchctl");
    let gds = create(host.path(), &[gpu, "NVIDIA_GDS=enabled"]).unwrap();
    assert!(places(&gds).contains(&"/run/udev") && places(&gds).contains(&"/etc/cufile.json"));
    for (env, expected) in [
        ("NVIDIA_IMEX_CHANNELS=3", "nvidia-caps-imex-channels/channel3"),
        ("NVIDIA_IMEX_CHANNELS=channel0,3", "nvidia-caps-imex-channels/channel0 nvidia-caps-imex-channels/channel3"),
        ("NVIDIA_IMEX_CHANNELS=none", ""),
        ("NVIDIA_MIG_CONFIG_DEVICES=all", "nvidia-caps/nvidia-cap1"),
        ("NVIDIA_MIG_MONITOR_DEVICES=0", "nvidia-caps/nvidia-cap2"),
        (
            "GPU_VISIBLE_DEVICES=management.nvidia.com/gpu=all",
            "nvidia-caps-imex-channels/channel0 nvidia-caps-imex-channels/channel3 nvidia-caps/nvidia-cap1 nvidia-caps/nvidia-cap2",
        ),
    ] {
        assert_eq!(added(&start(host.path(), &privileged(&[gpu, env])).unwrap()), expected, "{env}");
        assert_eq!(added(&create(host.path(), &[gpu, env]).unwrap()), "", "{env} without privilege");
    }
    let error = start(host.path(), &privileged(&[gpu, "NVIDIA_IMEX_CHANNELS=7"])).unwrap_err();
    assert!(error.contains("unresolvable CDI devices nvidia.com/imex-channel=7"), "{error}");

    let Some(plain) = machine(&["nvidia-h100-8"], "") else { return };
    create(plain.path(), &[gpu, "NVIDIA_GDS=enabled"]).unwrap();
    let told = hosts::ctk(plain.path(), &["explain", "--env", gpu, "--env", "NVIDIA_GDS=enabled"]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(told.contains("asks for nvidia.com/gds=all, which this host has not"), "{told}");
}

#[test]
fn a_vendor_of_the_configuration_is_one_like_any_other() {
    let row = r#"
        [[vendor]]
        name = "acme"
        kind = "acme.example/npu"
        devices = "/dev/rbln*"
        nodes = ["/dev/itrctl", "/dev/absent"]
        env = ["ACME=1"]
        mounts = ["/opt/mxdriver", "/opt/absent"]
        visible = "ACME_VISIBLE_DEVICES"
    "#;
    let Some(host) = machine(&["long-tail-16"], row) else { return };
    let annotated = json!({"ociVersion": "1.2.0", "linux": {}, "process": {"env": [], "user": {"uid": 0, "gid": 0}},
                           "annotations": {"gpu-runc/gpus": "driver=acme,count=1"}});
    for container in [
        create(host.path(), &["ACME_VISIBLE_DEVICES=0"]),
        create(host.path(), &["ACME_VISIBLE_DEVICES=all"]),
        create(host.path(), &["GPU_VISIBLE_DEVICES=acme.example/npu=rbln0"]),
        start(host.path(), &annotated),
    ] {
        let container = container.unwrap();
        assert_eq!(nodes(&container), "itrctl rbln0");
        assert_eq!(places(&container), ["/opt/mxdriver"]);
        assert!(container["process"]["env"].as_array().unwrap().contains(&json!("ACME=1")));
    }
    let error = create(host.path(), &["ACME_VISIBLE_DEVICES=1"]).unwrap_err();
    assert!(error.contains("unresolvable CDI devices acme.example/npu=1"), "{error}");

    configure(host.path(), &row.replace("acme.example/npu", "amd.com/gpu"));
    let error = create(host.path(), &["AMD_VISIBLE_DEVICES=0"]).unwrap_err();
    assert!(error.contains("vendor \"acme\": kind amd.com/gpu is another vendor's"), "{error}");
    create(host.path(), &["PATH=/bin"]).expect("who asks for nothing is not kept from starting");
}

#[test]
fn every_row_with_a_recipe_has_a_machine_that_shows_it() {
    let described = fs::read_dir(hosts::folder())
        .unwrap()
        .filter_map(|host| fs::read_to_string(host.unwrap().path().join("expected.yaml")).ok());
    let described: String = described.collect();
    for vendor in gpu_runc::vendor::Vendors::known().accelerators() {
        let has_recipe = !vendor.recipes.is_empty();
        let is_shown = described.contains(&format!("kind: {}\n", vendor.kinds[0]));
        assert_eq!(has_recipe, is_shown, "{}", vendor.name);
    }
}

fn requesting(gpus: &str) -> Value {
    json!({"ociVersion": "1.2.0", "process": {"user": {"uid": 0, "gid": 0}}, "linux": {}, "annotations": {"gpu-runc/gpus": gpus}})
}

#[test]
fn a_count_counts_devices_whatever_their_names() {
    const NPU: &str = "[[vendor]]\nname = \"acme\"\nkind = \"acme.com/npu\"\ndevices = \"/dev/npu*\"\n";
    for (host, more, gpus, expected) in [
        (
            "nvidia-a100-mig-2",
            "",
            "5",
            "nvidia-caps/nvidia-cap12 nvidia-caps/nvidia-cap13 nvidia-caps/nvidia-cap21 nvidia-caps/nvidia-cap22 nvidia-caps/nvidia-cap23 nvidia-caps/nvidia-cap93 nvidia-caps/nvidia-cap94 nvidia0 nvidia1",
        ),
        ("nvidia-a100-mig-2", "", "6", "unresolvable CDI devices nvidia.com/gpu=5"),
        ("none", NPU, "driver=acme,count=2", "npu0 npu2"),
        ("none", NPU, "driver=acme,count=4", "unresolvable CDI devices acme.com/npu=3"),
        ("amd-mi300x-cpx-4", "", "1", "dri/card0 dri/card1 dri/renderD128 dri/renderD129 kfd"),
    ] {
        let Some(machine) = machine(&[host], more) else { return };
        for device in [0, 2, 3].into_iter().filter(|_| !more.is_empty()) {
            let path = machine.path().join(format!("dev/npu{device}"));
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            mknod(&path, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(240, device)).unwrap();
        }
        match start(machine.path(), &requesting(gpus)) {
            Ok(container) => {
                let found = nodes(&container);
                let found: Vec<_> = found
                    .split(' ')
                    .filter(|node| !["nvidiactl", "nvidia-uvm", "nvidia-uvm-tools", "nvidia-modeset"].contains(node))
                    .collect();
                assert_eq!(found.join(" "), expected, "{host} {gpus}");
            }
            Err(error) => assert!(error.contains(expected), "{host} {gpus}: {error}"),
        }
    }
}
