//! What whole containers ask for: precedence, policy and the sources together.

use std::borrow::Cow;

use super::*;
use crate::config::{Refused, Who};
use crate::oci::view::{HookView, MountView};
use crate::vendor::Vendors;

mod pods;

const PLUGIN: &str = "/var/run/nvidia-container-devices";

/// A container in shorthand: `NAME=value` is an environment variable, `@key=value` an annotation, `/path` a mount of `/dev/null`
/// there, `#arguments` a prestart hook.
fn view<'a>(container: &[&'a str]) -> View<'a> {
    let mut view = View::default();
    for &part in container {
        if let Some((key, value)) = part.strip_prefix('@').map(|annotation| annotation.split_once('=').unwrap()) {
            view.annotations.push((key.into(), value.into()));
        } else if let Some(arguments) = part.strip_prefix('#') {
            let args: Vec<Cow<'_, str>> = arguments.split(' ').map(Cow::from).collect();
            let (stage, index) = ("prestart".into(), view.hooks.len());
            view.hooks.push(HookView { stage, index, path: args[0].clone(), args });
        } else if part.starts_with('/') {
            view.mounts.push(MountView {
                destination: part.into(),
                source: "/dev/null".into(),
                ..MountView::default()
            });
        } else {
            view.env.push(part.into());
        }
    }
    view
}

/// A request in shorthand: `vendors[!answered]:selection` or qualified names; ` -hook N`; ` refused SOURCE`.
fn shown(request: &Request) -> String {
    let names = |vendors: &[&Vendor]| match vendors.len() {
        n if n == Vendors::known().accelerators().len() => "any".to_owned(),
        _ => vendors.iter().map(|vendor| vendor.name).collect::<Vec<_>>().join("|"),
    };
    let mut parts: Vec<String> = request
        .asks
        .iter()
        .map(|ask| match &ask.want {
            Want::Names(names) => names.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
            Want::Devices { vendors, answered, selection } => {
                let answered = if answered.is_empty() { String::new() } else { format!("!{}", names(answered)) };
                let selection = match selection {
                    Selection::All => "all".to_owned(),
                    Selection::Count(count) => format!("x{count}"),
                    Selection::Ids(ids) => ids.join(","),
                    Selection::DriverOnly => "driver".to_owned(),
                };
                format!("{}{answered}:{selection}", names(vendors))
            }
        })
        .zip(&request.asks)
        .map(|(shown, ask)| match &ask.options {
            options if *options == Options::default() => shown,
            Options { lease, pick, near, model, memory } => {
                format!("{shown} {} {pick:?} {near:?} {model:?} {memory:?}", lease.word())
            }
        })
        .collect();
    parts.extend(request.replaced_hooks.iter().map(|(_, index)| format!("-hook {index}")));
    parts.extend(request.refusals.iter().map(|refusal| format!("refused {}", refusal.source)));
    parts.join(" ")
}

fn asked(container: &[&str], policy: &Policy) -> String {
    match Request::from_spec(&view(container), policy, Vendors::known()) {
        Ok(None) => "nothing".to_owned(),
        Ok(Some(request)) => shown(&request),
        Err(error) => format!("error: {error}"),
    }
}

fn check(table: &[(&[&str], &str)], policy: &Policy) {
    for (container, expected) in table {
        assert_eq!(asked(container, policy), *expected, "{container:?}");
    }
}

const DOCKER: &str = "#/usr/bin/nvidia-container-runtime-hook prestart";
const NERDCTL: &str =
    "#containerd oci-hook -- /usr/bin/nvidia-container-cli --load-kmods configure --device=1,2 --utility";

#[test]
fn every_source_is_heard() {
    check(
        &[
            (&[], "nothing"),
            (&["PATH=/bin", "CUDA_VERSION=12.4", "ROCM_VERSION=6", "SHELLS", "=S"], "nothing"),
            (&["@gpu-runc/gpus=all"], "any:all"),
            (&["@gpu-runc/gpus=2"], "any:x2"),
            (&["@gpu-runc/gpus=\"device=0,2\""], "any:0,2"),
            (&["@gpu-runc/gpus=driver=amd,count=1"], "amd:x1"),
            (&["@gpu-runc/gpus=driver=amd,device=0x00AB"], "amd:0xab"),
            (&["@gpu-runc/gpus=driver=nvidia,device=none"], "nvidia:driver"),
            (&["@gpu-runc/gpus=device=none"], "nothing"),
            (&["@gpu-runc/gpus=0"], "nothing"),
            (&["@gpu-runc/gpus=\"device=acme.example/npu=0,1\""], "acme.example/npu=0 any:1"),
            (&["@gpu-runc/gpus=driver=cdi,device=acme.example/npu=0"], "acme.example/npu=0"),
            (
                &[r#"@gpu-runc/gpus= [{"driver": "nvidia", "count": 1}, {"driver": "amd", "device_ids": ["3"]}]"#],
                "nvidia:x1 amd:3",
            ),
            (
                &["@cdi.k8s.io/b=b.example/x=0", "@cdi.k8s.io/a=a.example/x=0,a.example/x=1"],
                "a.example/x=0,a.example/x=1 b.example/x=0",
            ),
            (&["@other.io/a=nonsense"], "nothing"),
            (
                &[r#"@gpu-runc/gpus=count=2,"options=lease=exclusive,pick=idle,near=cpus,model=H100,memory=1k""#],
                r#"any:x2 exclusive Some(Idle) Some(Cpus) Some("H100") Some(1024)"#,
            ),
            (
                &[
                    r#"@gpu-runc/gpus=[{"driver": "amd", "device_ids": ["a.example/x=0", "1"], "options": ["memory=1"]}]"#,
                ],
                "a.example/x=0 shared None None None Some(1) amd:1 shared None None None Some(1)",
            ),
            (&["@gpu-runc/gpus=count=0,options=lease=exclusive"], "nothing"),
            (&["GPU_VISIBLE_DEVICES=count=2"], "any:x2"),
            (
                &[r#"GPU_VISIBLE_DEVICES= count=1,"options=model=MI300,pick=first""#],
                r#"any:x1 shared Some(First) None Some("MI300") None"#,
            ),
            (&["GPU_VISIBLE_DEVICES=driver=amd,count=1"], "amd:x1"),
            (&["GPU_VISIBLE_DEVICES=acme.example/count=0"], "acme.example/count=0"),
            (
                &["/var/run/nvidia-container-devices/GPU-1f", "/var/run/nvidia-container-devices/0:1"],
                "nvidia:GPU-1f,0:1",
            ),
            (
                &["/var/run/nvidia-container-devices/imex/3", "/var/run/nvidia-container-devices/1"],
                "nvidia:1 refused mounts below /var/run/nvidia-container-devices/imex",
            ),
            (&["/var/run/hcu-container-devices/0"], "hygon:0"),
            (&[DOCKER, "NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=1"], "any:1 -hook 0"),
            (&[DOCKER, "NVIDIA_VISIBLE_DEVICES=0", "@io.container.manager=libpod"], "nvidia:0 -hook 0"),
            (
                &[DOCKER, "#/proc/1/exe libnetwork-setkey", DOCKER, "NVIDIA_VISIBLE_DEVICES=none"],
                "any:driver any:driver -hook 0 -hook 2",
            ),
            (&[DOCKER, "NVIDIA_VISIBLE_DEVICES=void"], "nothing"),
            (&[DOCKER], "nothing"),
            (&[NERDCTL], "nvidia:1,2 -hook 0"),
            (&["NVIDIA_VISIBLE_DEVICES=0,0"], "nvidia|hygon|t-head:0"),
            (&["NVIDIA_VISIBLE_DEVICES=none"], "nvidia|hygon|t-head:driver"),
            (
                &["NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices"],
                "error: environment variable \"NVIDIA_VISIBLE_DEVICES=/var/run/nvidia-container-devices\": no mount in that folder asks \
                 for a device, as this value promises: a device plugin that sets it makes them, and policy.mounts = false passes over \
                 them",
            ),
            (&["NVIDIA_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES="], "nothing"),
            (&["NVIDIA_VISIBLE_DEVICES=void", "AMD_VISIBLE_DEVICES=0x00AB,0-1,0XAB"], "amd:0xab,0,1"),
            (&["AMD_VISIBLE_DEVICES=none"], "nothing"),
            (&["HABANA_VISIBLE_DEVICES=all"], "habana:all"),
            (&["HABANA_VISIBLE_MODULES=0-1"], "habana:module-0,module-1"),
            (&["HABANA_VISIBLE_DEVICES=4", "HABANA_VISIBLE_MODULES=1"], "habana:4"),
            (&["HABANA_VISIBLE_PCI_BUS_IDS=0000:33:00.0"], "habana:0000:33:00.0"),
            (&["ASCEND_VISIBLE_DEVICES=Ascend910-3,npu-4,3"], "ascend:3,4"),
            (&["BR_PHY_CARDS=2", "AWS_NEURON_VISIBLE_DEVICES=ALL"], "biren:2 neuron:all"),
            (&["GPU_VISIBLE_DEVICES=0-1"], "any:0,1"),
            (&["GPU_VISIBLE_DEVICES=acme.example/npu=0"], "acme.example/npu=0"),
            (&["GPU_VISIBLE_DEVICES=none"], "nothing"),
            (
                &["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_GDS=enabled", "NVIDIA_MOFED=1", "NVIDIA_GDRCOPY="],
                "nvidia|hygon|t-head:0 nvidia-gds:all",
            ),
            (&["@gpu-runc/gpus=1", "NVIDIA_GDS=enabled"], "any:x1 nvidia-gds:all"),
        ],
        &Policy::default(),
    );
}

#[test]
fn what_manages_the_machine_is_for_privileged_containers() {
    let privileged = |container: &[&'static str]| {
        let view = View { privileged: true, ..view(container) };
        shown(&Request::from_spec(&view, &Policy::default(), Vendors::known()).unwrap().unwrap())
    };
    for (container, expected) in [
        ("NVIDIA_IMEX_CHANNELS=0,channel3", "nvidia-imex:0,3"),
        ("NVIDIA_IMEX_CHANNELS=all", "nvidia-imex:all"),
        ("/var/run/nvidia-container-devices/imex/channel7", "nvidia-imex:7"),
        ("NVIDIA_MIG_CONFIG_DEVICES=0,1", "nvidia-mig-config:all"),
        ("NVIDIA_MIG_MONITOR_DEVICES=all", "nvidia-mig-monitor:all"),
        ("@cdi.k8s.io/a=management.nvidia.com/gpu=all", "management.nvidia.com/gpu=all"),
        ("@cdi.k8s.io/a=k8s.compute-domain.nvidia.com/channel=0", "k8s.compute-domain.nvidia.com/channel=0"),
        ("GPU_VISIBLE_DEVICES=acme.example/npu-management=0", "acme.example/npu-management=0"),
    ] {
        assert_eq!(privileged(&[container]), expected);
        let asked = asked(&[container], &Policy::default());
        assert!(asked.starts_with("refused "), "{container}: {asked}");
    }
    assert_eq!(asked(&["NVIDIA_IMEX_CHANNELS=none"], &Policy::default()), "nothing", "not all channels, as elsewhere");
    let switches = ["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_NVSWITCH=enabled"];
    assert_eq!(
        asked(&switches, &Policy::default()),
        r#"nvidia|hygon|t-head:0 nvidia-nvswitch:all refused environment variable "NVIDIA_NVSWITCH=enabled""#
    );
    assert_eq!(privileged(&switches), "nvidia|hygon|t-head:0 nvidia-nvswitch:all nvidia-nvswitch-control:all");
    let always = Policy { management: Who::Always, ..Policy::default() };
    assert_eq!(asked(&["NVIDIA_IMEX_CHANNELS=0"], &always), "nvidia-imex:0");
    let error = Policy { refused: Refused::Error, ..Policy::default() };
    let message = asked(&["NVIDIA_IMEX_CHANNELS=0"], &error);
    assert!(message.contains(r#"policy.management is "privileged""#), "{message}");
}

#[test]
fn a_container_chooses_the_classes_of_a_drivers_files() {
    let classes = |container: &[&'static str]| {
        let request = Request::from_spec(&view(container), &Policy::default(), Vendors::known());
        let of =
            |request: Request| request.classes.iter().map(|(v, c)| format!("{} {}", v.name, c.join(","))).collect();
        request.map(|request| request.map_or_else(Vec::new, of)).map_err(|error| error.to_string())
    };
    let gpu = "NVIDIA_VISIBLE_DEVICES=0";
    assert_eq!(classes(&[gpu, "NVIDIA_DRIVER_CAPABILITIES=compute"]), Ok(vec!["nvidia compute".to_owned()]));
    assert_eq!(classes(&[gpu]), Ok(vec![]));
    assert_eq!(classes(&[gpu, "NVIDIA_DRIVER_CAPABILITIES="]), Ok(vec![]));
    assert_eq!(classes(&["NVIDIA_DRIVER_CAPABILITIES=nonsense"]), Ok(vec![]), "nothing is asked for");
    let error = classes(&[gpu, "NVIDIA_DRIVER_CAPABILITIES=compute,nonsense"]).unwrap_err();
    assert!(error.contains("unsupported capabilities found in \"nonsense\""), "{error}");
    let npu = "ASCEND_VISIBLE_DEVICES=0";
    assert_eq!(classes(&[npu, "ASCEND_RUNTIME_OPTIONS=VIRTUAL,NODRV"]), Ok(vec!["ascend ".to_owned()]));
    assert_eq!(classes(&[npu, "ASCEND_RUNTIME_OPTIONS=VIRTUAL"]), Ok(vec![]));
    assert_eq!(classes(&[npu, "ASCEND_RUNTIME_MOUNTS=base,ub"]), Ok(vec!["ascend base,ub".to_owned()]));
    let container = view(&[npu, "ASCEND_RUNTIME_MOUNTS=base", gpu]);
    let request = Request::from_spec(&container, &Policy::default(), Vendors::known()).unwrap().unwrap();
    for vendor in Vendors::known().iter() {
        let chosen = (vendor.name == "ascend").then(|| vec!["base".to_owned()]);
        assert_eq!(request.classes_of(vendor), chosen.as_deref(), "{}", vendor.name);
    }
}

#[test]
fn the_highest_source_speaks_for_a_vendor_and_vendors_add_up() {
    let mount = format!("{PLUGIN}/GPU-1f");
    check(
        &[
            (&["NVIDIA_VISIBLE_DEVICES=0", "AMD_VISIBLE_DEVICES=1"], "nvidia|hygon|t-head:0 amd:1"),
            (
                &["@gpu-runc/gpus=1", "NVIDIA_VISIBLE_DEVICES=all", "AMD_VISIBLE_DEVICES=1", &mount, NERDCTL],
                "any:x1 -hook 0",
            ),
            (&["@gpu-runc/gpus=0", "GPU_VISIBLE_DEVICES=acme.example/npu=0", DOCKER], "-hook 0"),
            (
                &["@gpu-runc/gpus=driver=amd", "NVIDIA_VISIBLE_DEVICES=all", "AMD_VISIBLE_DEVICES=all"],
                "amd:x1 nvidia|hygon|t-head:all",
            ),
            (&["@gpu-runc/gpus=driver=amd,count=0", "AMD_VISIBLE_DEVICES=all"], "nothing"),
            (
                &["@cdi.k8s.io/a=k8s.device-plugin.nvidia.com/gpu=GPU-1f", "NVIDIA_VISIBLE_DEVICES=all", DOCKER],
                "k8s.device-plugin.nvidia.com/gpu=GPU-1f -hook 0",
            ),
            (
                &["@cdi.k8s.io/a=acme.example/npu=0", "NVIDIA_VISIBLE_DEVICES=0"],
                "acme.example/npu=0 nvidia|hygon|t-head:0",
            ),
            (&["@cdi.k8s.io/a=amd.com/gpu=0", "@gpu-runc/gpus=1"], "any:x1 amd.com/gpu=0"),
            (
                &["@cdi.k8s.io/a=nvidia.com/gpu=0", "NVIDIA_VISIBLE_DEVICES=1,amd.com/gpu=2,nvidia.com/gpu=3"],
                "nvidia.com/gpu=0 amd.com/gpu=2",
            ),
            (&["@cdi.k8s.io/a=nvidia.com/gpu=0", "NVIDIA_VISIBLE_DEVICES=9-1"], "nvidia.com/gpu=0"),
            (&[&mount, "NVIDIA_VISIBLE_DEVICES=all", DOCKER], "nvidia:GPU-1f -hook 0"),
            (&[NERDCTL, "NVIDIA_VISIBLE_DEVICES=all"], "nvidia:1,2 -hook 0"),
            (&["HCU_VISIBLE_DEVICES=0", "HYGON_VISIBLE_DEVICES=1"], "hygon:0"),
            (&["@gpu-runc/gpus=driver=hygon", "NVIDIA_VISIBLE_DEVICES=all"], "hygon:x1 nvidia|hygon|t-head!hygon:all"),
            (&["NVIDIA_VISIBLE_DEVICES=0", "GPU_VISIBLE_DEVICES=1"], "nvidia|hygon|t-head:0 any!nvidia|hygon|t-head:1"),
            (&["NVIDIA_VISIBLE_DEVICES=void", "GPU_VISIBLE_DEVICES=1"], "any!nvidia|hygon|t-head:1"),
            (
                &["DOCKER_RESOURCE_GPU=GPU-1f", "DOCKER_RESOURCE_NVIDIA-X=0", "NVIDIA_VISIBLE_DEVICES=all"],
                "nvidia:GPU-1f,0",
            ),
            (
                &["DOCKER_RESOURCE_AMD_GPU=1", "DOCKER_RESOURCE_APPLES=3", "NVIDIA_VISIBLE_DEVICES=0"],
                "nvidia|hygon|t-head:0 amd:1",
            ),
            (&["DOCKER_RESOURCE_NVIDIA=void", "NVIDIA_VISIBLE_DEVICES=0"], "nvidia|hygon|t-head:0"),
        ],
        &Policy::default(),
    );
}

#[test]
fn no_variable_of_an_image_widens_what_another_one_or_an_annotation_gives() {
    const COMPANIONS: [&str; 4] =
        ["NVIDIA_NVSWITCH=enabled", "NVIDIA_MOFED=enabled", "NVIDIA_GDS=enabled", "NVIDIA_GDRCOPY=enabled"];
    for gpus in [
        &[][..],
        &["NVIDIA_VISIBLE_DEVICES=void"],
        &["NVIDIA_VISIBLE_DEVICES="],
        &["NVIDIA_VISIBLE_DEVICES=void", DOCKER],
        &["NVIDIA_VISIBLE_DEVICES=void", "GPU_VISIBLE_DEVICES=nvidia.com/gpu=0,nvidia.com/mofed=all"],
        &["@gpu-runc/gpus=0"],
        &["@gpu-runc/gpus=0", "AMD_VISIBLE_DEVICES=all", "NVIDIA_VISIBLE_DEVICES=all"],
        &["@gpu-runc/gpus=driver=nvidia,count=0"],
        &["GPU_VISIBLE_DEVICES=nvidia.com/mofed=all"],
        &["AMD_VISIBLE_DEVICES=nvidia.com/nvswitch=all,nvidia.com/gds=all"],
    ] {
        let container = [gpus, &COMPANIONS].concat();
        assert_eq!(asked(&container, &Policy::default()), "nothing", "{container:?}");
        let refused = Policy { env: Who::Never, refused: Refused::Error, ..Policy::default() };
        let asked = asked(&[gpus, &COMPANIONS[..1]].concat(), &refused);
        assert!(gpus.iter().any(|set| set.contains('/') || set.ends_with("all")) || asked == "nothing", "{asked}");
    }
    const MOFED: &str = "NVIDIA_MOFED=enabled";
    check(
        &[
            (&["NVIDIA_VISIBLE_DEVICES=none", MOFED], "nvidia|hygon|t-head:driver"),
            (&["AMD_VISIBLE_DEVICES=0", MOFED], "amd:0"),
            (&["@cdi.k8s.io/a=nvidia.com/gpu=0", MOFED], "nvidia.com/gpu=0 nvidia-mofed:all"),
            (&["@cdi.k8s.io/a=acme.example/npu=0", MOFED], "acme.example/npu=0"),
            (&["GPU_VISIBLE_DEVICES=all", MOFED], "any:all nvidia-mofed:all"),
            (&[&format!("{PLUGIN}/GPU-1f"), MOFED], "nvidia:GPU-1f nvidia-mofed:all"),
            (&["@cdi.k8s.io/a=nvidia.com/mofed=all"], "nvidia.com/mofed=all"),
            (&["@gpu-runc/gpus=driver=nvidia-mofed,device=all"], "nvidia-mofed:all"),
            (&["NVIDIA_VISIBLE_DEVICES=0,nvidia.com/gds=all"], "nvidia|hygon|t-head:0 nvidia.com/gds=all"),
            (&["NVIDIA_VISIBLE_DEVICES=0", "AMD_VISIBLE_DEVICES=nvidia.com/gpu=all,1"], "nvidia|hygon|t-head:0 amd:1"),
            (&["NVIDIA_VISIBLE_DEVICES=void", "AMD_VISIBLE_DEVICES=nvidia.com/gpu=all"], "nothing"),
            (&["AMD_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=amd.com/gpu=all", DOCKER], "-hook 0"),
            (&["AMD_VISIBLE_DEVICES=nvidia.com/gpu=0"], "nvidia.com/gpu=0"),
            (&["DOCKER_RESOURCE_NVIDIA=GPU-1f", "AMD_VISIBLE_DEVICES=nvidia.com/gpu=all"], "nvidia:GPU-1f"),
            (&["HCU_VISIBLE_DEVICES=0", "NVIDIA_VISIBLE_DEVICES=all"], "nvidia|hygon|t-head!hygon:all hygon:0"),
            (&["HCU_VISIBLE_DEVICES=void", "NVIDIA_VISIBLE_DEVICES=all"], "nvidia|hygon|t-head!hygon:all"),
            (&["AMD_VISIBLE_DEVICES=void", "GPU_VISIBLE_DEVICES=all"], "any!amd:all"),
            (
                &["NVIDIA_VISIBLE_DEVICES=0", "NVIDIA_MOFED=void", "GPU_VISIBLE_DEVICES=nvidia.com/mofed=all"],
                "nvidia|hygon|t-head:0",
            ),
        ],
        &Policy::default(),
    );
}

#[test]
fn what_the_policy_refuses_is_noted_and_lower_sources_still_count() {
    let never = Policy { env: Who::Never, ..Policy::default() };
    let no_annotations = Policy { annotations: false, ..Policy::default() };
    let no_mounts = Policy { mounts: false, ..Policy::default() };
    let mount = format!("{PLUGIN}/0");
    let refused_env = r#"refused environment variable "NVIDIA_VISIBLE_DEVICES=0""#;
    check(
        &[
            (&["NVIDIA_VISIBLE_DEVICES=0"], refused_env),
            (&["NVIDIA_VISIBLE_DEVICES=9-1"], r#"refused environment variable "NVIDIA_VISIBLE_DEVICES=9-1""#),
            (&["NVIDIA_VISIBLE_DEVICES=void", "GPU_VISIBLE_DEVICES="], "nothing"),
            (&["NVIDIA_VISIBLE_DEVICES=0", "@gpu-runc/gpus=1"], "any:x1"),
            (&[DOCKER, "NVIDIA_VISIBLE_DEVICES=0"], "any:0 -hook 0"),
            (
                &[DOCKER, "NVIDIA_VISIBLE_DEVICES=0", "@io.container.manager=libpod"],
                &format!(r#"-hook 0 refused hook "nvidia-container-runtime-hook" {refused_env}"#),
            ),
        ],
        &never,
    );
    check(
        &[
            (
                &["@gpu-runc/gpus=1", "NVIDIA_VISIBLE_DEVICES=0"],
                "nvidia|hygon|t-head:0 refused annotation \"gpu-runc/gpus=1\"",
            ),
            (&["@cdi.k8s.io/a=a.example/x=0"], "refused annotation \"cdi.k8s.io/a=a.example/x=0\""),
        ],
        &no_annotations,
    );
    check(
        &[(
            &[&mount, "NVIDIA_VISIBLE_DEVICES=0"],
            "nvidia|hygon|t-head:0 refused mounts below /var/run/nvidia-container-devices",
        )],
        &no_mounts,
    );
    check(
        &[
            (
                &["NVIDIA_VISIBLE_DEVICES=0"],
                r#"error: environment variable "NVIDIA_VISIBLE_DEVICES=0" may not ask for GPUs: policy.env is "never" in /etc/gpu-runc/config.toml"#,
            ),
            (&["NVIDIA_VISIBLE_DEVICES=0", &mount], "nvidia:0"),
        ],
        &Policy { refused: Refused::Error, ..never },
    );
}

#[test]
fn wishes_that_make_no_sense_are_errors_that_name_who_made_them() {
    check(
        &[
            (
                &["AMD_VISIBLE_DEVICES=3-1"],
                r#"error: environment variable "AMD_VISIBLE_DEVICES=3-1": the range "3-1" ends before it begins; write "1-3""#,
            ),
            (
                &["@gpu-runc/gpus="],
                r#"error: annotation "gpu-runc/gpus=": it is empty; expected all, a number, or devices as in device=0; 0 is for none"#,
            ),
            (
                &["@cdi.k8s.io/a=x"],
                r#"error: annotation "cdi.k8s.io/a=x": invalid CDI device name "x": unqualified device "x", missing vendor"#,
            ),
            (
                &["@gpu-runc/gpus=driver=cdi"],
                r#"error: annotation "gpu-runc/gpus=driver=cdi": driver "cdi" takes qualified names and no count: driver=cdi,device=vendor/class=name"#,
            ),
            (
                &["@gpu-runc/gpus=device="],
                r#"error: annotation "gpu-runc/gpus=device=": an id of a device is empty; leave device out for the first one, or write device=all"#,
            ),
            (
                &["/var/run/nvidia-container-devices/cdi/x"],
                r#"error: mounts below /var/run/nvidia-container-devices: the mount at "/var/run/nvidia-container-devices/cdi/x" names no CDI device: unqualified device "x", missing vendor"#,
            ),
        ],
        &Policy::default(),
    );
    assert!(asked(&["@gpu-runc/gpus=driver=nvidea"], &Policy::default()).contains(r#"did you mean "nvidia"?"#));
}

#[test]
fn a_sandbox_is_left_alone_whatever_it_says() {
    for key in ["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"] {
        let annotation = format!("@{key}=sandbox");
        assert_eq!(
            asked(&[&annotation, "NVIDIA_VISIBLE_DEVICES=9-1", "@gpu-runc/gpus="], &Policy::default()),
            "nothing"
        );
    }
}

#[test]
fn requests_by_the_thousand_are_judged_at_once_and_summed_up() {
    let annotations: Vec<String> = (0..20_000).map(|i| format!("@cdi.k8s.io/{i:05}=nvidia.com/gpu={i}")).collect();
    let annotations: Vec<&str> = annotations.iter().map(String::as_str).collect();
    let policy = Policy { annotations: false, ..Policy::default() };
    let before = std::time::Instant::now();
    let request = Request::from_spec(&view(&annotations), &policy, Vendors::known()).unwrap().unwrap();
    assert!(before.elapsed().as_secs() < 2, "took {:?}", before.elapsed());
    let told: Vec<String> = request.refusals.iter().map(ToString::to_string).collect();
    assert_eq!(told.len(), 8);
    assert!(
        told[0].starts_with("annotation \"cdi.k8s.io/00000=nvidia.com/gpu=0\": policy.annotations is "),
        "{told:?}"
    );
    assert!(
        told[7].starts_with("annotation \"cdi.k8s.io/00007=nvidia.com/gpu=7\" and 19992 more: policy."),
        "{told:?}"
    );
}

#[test]
fn huge_values_are_refused_in_no_time() {
    let items = "0,".repeat(500_000);
    let nested = "[".repeat(1_000_000);
    let swarm: Vec<String> = (0..10_000).map(|i| format!("DOCKER_RESOURCE_NVIDIA{i}=GPU-{i}")).collect();
    let swarm: Vec<&str> = swarm.iter().map(String::as_str).collect();
    let before = std::time::Instant::now();
    for container in [
        &[&*format!("NVIDIA_VISIBLE_DEVICES={items}")] as &[&str],
        &[&*format!("@gpu-runc/gpus={nested}")],
        &[&*format!("@cdi.k8s.io/a={items}")],
        &swarm,
    ] {
        let answer = asked(container, &Policy::default());
        assert!(answer.contains("longer than 64 KiB") || answer.contains("more than 1024 devices"), "{answer}");
    }
    assert!(before.elapsed().as_secs() < 5, "took {:?}", before.elapsed());
}

#[test]
fn dockers_gpus_can_be_kept_to_one_vendor() {
    let policy = Policy { docker_gpus: crate::config::DockerGpus::Nvidia, ..Policy::default() };
    check(&[(&[DOCKER, "NVIDIA_VISIBLE_DEVICES=0"], "nvidia:0 -hook 0")], &policy);
}
