//! How time and memory grow: with what is installed, with what is asked, with the size of config.json. A table, and curves.
//!
//! Each point is the difference to the do-nothing runtime, the two called in turn, on files in memory.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::curves::{Panel, Series, svg};
use crate::installed::{Installed, machine, today};
use crate::measure::timed;

/// Pairs per point.
const PAIRS: usize = 31;

/// What is there when gpu-runc is called.
struct Point {
    files: usize,
    devices: usize,
    is_yaml: bool,
    /// What the container asks for.
    asked: String,
    /// The least size of its config.json.
    config_bytes: usize,
}

struct Cost {
    /// A tenth is quicker: where other work disturbs the machine, it disturbs the median of long calls too.
    ms: f64,
    kb: f64,
}

struct Bench {
    folder: PathBuf,
    gpu_runc: PathBuf,
    stand_in: PathBuf,
}

/// Measures all points below `scratch`, prints them, and writes the curves to `picture`.
pub(crate) fn measure(scratch: &Path, gpu_runc: &Path, stand_in: &Path, picture: &Path) {
    let bench = Bench { folder: scratch.join("scale"), gpu_runc: gpu_runc.to_owned(), stand_in: stand_in.to_owned() };
    println!("{}, {}, {PAIRS} pairs a point", today(), machine());
    Installed::look_at(gpu_runc).print();
    println!("{:<58} {:>12} {:>12} {:>10}", "added by", "median", "10%", "memory");
    let (mut times, mut sizes) = (Vec::new(), Vec::new());
    for is_yaml in [false, true] {
        for files in [1, 10, 100] {
            let name = format!("{files} {}", if is_yaml { "YAML" } else { "JSON" });
            let installed = [1, 10, 100, 1000, 10_000].into_iter().filter(|devices| *devices >= files);
            let costs: Vec<(f64, Cost)> = installed
                .map(|devices| {
                    let point = Point { files, devices, is_yaml, asked: (devices / 2).to_string(), config_bytes: 0 };
                    (devices as f64, bench.cost(&format!("1 of {devices} devices, files: {name}"), &point))
                })
                .collect();
            times.push(series(&name, &costs, |cost| cost.ms));
            sizes.push(series(&name, &costs, |cost| cost.kb));
        }
    }
    let config: Vec<(f64, Cost)> = [2_000, 20_000, 200_000, 1_000_000, 10_000_000]
        .into_iter()
        .map(|config_bytes| {
            let point = Point { files: 1, devices: 8, is_yaml: false, asked: "0".to_owned(), config_bytes };
            (config_bytes as f64, bench.cost(&format!("config.json of {config_bytes} bytes"), &point))
        })
        .collect();
    let asked: Vec<(f64, Cost)> = [1, 7, 14, 28, 56, 84, 112]
        .into_iter()
        .map(|count| (count, (0..count).map(|i| i.to_string()).collect::<Vec<_>>().join(",")))
        .chain([(112, "all".to_owned())])
        .map(|(count, asked)| {
            let of = if asked == "all" { "all".to_owned() } else { count.to_string() };
            let point = Point { files: 1, devices: 112, is_yaml: false, asked, config_bytes: 0 };
            (f64::from(count), bench.cost(&format!("{of} of 16 GPUs x 7 MIG devices"), &point))
        })
        .collect();
    let panel = |title: &str, across, upwards, is_logarithmic, series| Panel {
        title: title.to_owned(),
        across,
        upwards,
        is_logarithmic,
        series,
    };
    const INSTALLED: &str = "devices in the CDI files";
    let panels = [
        panel("One device asked for: time", INSTALLED, "ms added", true, times),
        panel("One device asked for: memory", INSTALLED, "kB resident", true, sizes),
        panel(
            "By what is asked",
            "MIG devices asked for, of 112",
            "ms added",
            false,
            vec![series("time", &asked, |cost| cost.ms)],
        ),
        panel("By the size of config.json", "bytes", "ms added", true, vec![series("time", &config, |cost| cost.ms)]),
    ];
    fs::write(picture, svg(&panels)).expect("the picture");
    println!("curves: {}", picture.display());
}

fn series(name: &str, costs: &[(f64, Cost)], value: fn(&Cost) -> f64) -> Series {
    Series { name: name.to_owned(), points: costs.iter().map(|(x, cost)| (*x, value(cost))).collect() }
}

impl Bench {
    /// What gpu-runc costs at `point`, printed under `name`.
    fn cost(&self, name: &str, point: &Point) -> Cost {
        self.prepare(point);
        let pristine = fs::read(self.folder.join("pristine.json")).expect("config.json");
        let reset = || fs::write(self.folder.join("config.json"), &pristine).expect("config.json");
        let (mut alone, mut wrapped) = (Vec::new(), Vec::new());
        for _ in 0..PAIRS {
            alone.push(timed(&mut self.call(&[], &self.stand_in)));
            reset();
            wrapped.push(timed(&mut self.call(&[], &self.gpu_runc)));
        }
        alone.sort();
        wrapped.sort();
        let added = |at: usize| (wrapped[at].as_secs_f64() - alone[at].as_secs_f64()) * 1e3;
        let edited = fs::metadata(self.folder.join("config.json")).expect("config.json").len();
        assert!(edited > pristine.len() as u64, "{name}: the container has its devices");
        reset();
        let cost = Cost { ms: added(PAIRS / 10), kb: self.peak_kb().unwrap_or_default() };
        println!("    {name:<54} {:>9.3} ms {:>9.3} ms {:>7} kB", added(PAIRS / 2), cost.ms, cost.kb);
        fs::remove_dir_all(&self.folder).expect("the point's files");
        cost
    }

    fn prepare(&self, point: &Point) {
        let cdi = self.folder.join("cdi");
        fs::create_dir_all(&cdi).expect("a spec directory");
        let each = point.devices / point.files;
        for file in 0..point.files {
            let document = description(file * each..(file + 1) * each);
            let (name, text) = match point.is_yaml {
                false => (format!("{file:03}.json"), document.to_string()),
                true => {
                    let spec: gpu_runc::cdi::Spec = serde_json::from_value(document).expect("a spec");
                    (format!("{file:03}.yaml"), gpu_runc::cdi::write::to_yaml(&spec))
                }
            };
            fs::write(cdi.join(name), text).expect("a CDI file");
        }
        let config = format!(
            "runtimes = [{:?}]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{cdi:?}]\n[inject]\ngenerate = \"never\"\n",
            self.stand_in
        );
        fs::write(self.folder.join("gpu-runc.toml"), config).expect("our configuration");
        // Docker's seccomp profile is most of a usual config.json.
        let calls: Vec<String> = (0..point.config_bytes / 14).map(|i| format!("call_{i:06}")).collect();
        let config = json!({
            "ociVersion": "1.0.2",
            "process": {"user": {"uid": 0, "gid": 0}, "args": ["sleep", "1"], "cwd": "/",
                        "env": ["PATH=/bin", format!("NVIDIA_VISIBLE_DEVICES={}", point.asked)]},
            "root": {"path": "rootfs"},
            "linux": {"seccomp": {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{"names": calls, "action": "SCMP_ACT_ALLOW"}]}},
        });
        fs::write(self.folder.join("pristine.json"), config.to_string()).expect("config.json");
    }

    fn call(&self, prefix: &[&str], program: &Path) -> Command {
        let mut words = prefix.iter().map(PathBuf::from).chain([program.to_owned()]);
        let mut command = Command::new(words.next().expect("a program"));
        command.args(words).args(["create", "--bundle"]).arg(&self.folder).arg("c");
        command.env("GPU_RUNC_CONFIG", self.folder.join("gpu-runc.toml")).stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    /// The largest resident size before the low-level runtime is started, which strace holds up meanwhile.
    fn peak_kb(&self) -> Option<f64> {
        let trace = self.folder.join("trace");
        let hold = [
            "strace",
            "-f",
            "-o",
            trace.to_str()?,
            "-e",
            "trace=execve",
            "-e",
            "inject=execve:when=1:delay_enter=600000",
        ];
        let mut tracer = self.call(&hold, &self.gpu_runc).stderr(Stdio::null()).spawn().ok()?;
        std::thread::sleep(Duration::from_millis(400));
        let pid = fs::read_to_string(&trace).ok().and_then(|text| Some(text.split_whitespace().next()?.to_owned()));
        let status = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
        tracer.wait().ok()?;
        status?.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches(" kB").parse().ok())
    }
}

/// MIG devices as NVIDIA's toolkit describes them: the node of the GPU and two of their own.
fn description(devices: std::ops::Range<usize>) -> Value {
    let node = |path: String| json!({"path": path, "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 438, "permissions": "rw"});
    let device = |i: usize| {
        let own = [0, 1].map(|cap| format!("/dev/nvidia-caps/nvidia-cap{}", 1000 + 2 * i + cap));
        let nodes: Vec<Value> = std::iter::once(format!("/dev/nvidia{}", i / 7)).chain(own).map(node).collect();
        json!({"name": i.to_string(), "containerEdits": {"deviceNodes": nodes}})
    };
    json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices.map(device).collect::<Vec<_>>()})
}
