//! How a start grows with what is installed and with what is asked: in system calls, memory, bytes written and the kernel's count of
//! processor time, none of which depends on what else the machine does. How long it takes is measured by hack/bench.
//!
//! strace holds the low-level runtime's start up for as long as it takes to look at the process.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gpu_runc::cdi::Spec;
use gpu_runc::cdi::write::to_yaml;
use serde_json::{Value, json};

use crate::faults::scene::gpu_runc;
use crate::faults::strace;
use crate::scratch::{Scratch, skip};

/// What is read of a CDI file at once, in bytes.
const PIECE: usize = 64 << 10;

/// What a create has cost when it becomes the low-level runtime.
#[derive(Debug)]
struct Cost {
    /// How often each system call was made.
    calls: BTreeMap<String, usize>,
    /// The most that was resident, in KiB.
    resident: usize,
    /// The most that was mapped, in KiB: to the page the same in every run.
    mapped: usize,
    /// Nanoseconds on a processor, where the kernel counts them.
    on_processor: Option<usize>,
    /// How much longer config.json became.
    written: usize,
    /// Bytes of all CDI files.
    installed: usize,
}

impl Cost {
    fn all_calls(&self) -> usize {
        self.calls.values().sum()
    }

    fn pieces_read(&self) -> usize {
        self.calls.get("pread64").copied().unwrap_or_default()
    }

    /// Calls that neither read CDI files nor ask for memory.
    fn other_calls(&self) -> Vec<(&str, usize)> {
        const THESE: [&str; 5] = ["pread64", "brk", "mmap", "mremap", "munmap"];
        self.calls
            .iter()
            .map(|(name, count)| (name.as_str(), *count))
            .filter(|(name, _)| !THESE.contains(name))
            .collect()
    }
}

/// MIG devices as NVIDIA's toolkit describes them: the node of the GPU and two of their own.
fn description(devices: Range<usize>) -> Value {
    let node = |path: String| json!({"path": path, "hostPath": "/dev/null", "type": "c", "major": 1, "minor": 3});
    let device = |i: usize| {
        let own = [0, 1].map(|cap| format!("/dev/nvidia-caps/nvidia-cap{}", 1000 + 2 * i + cap));
        let nodes: Vec<Value> = std::iter::once(format!("/dev/nvidia{}", i / 7)).chain(own).map(node).collect();
        json!({"name": i.to_string(), "containerEdits": {"deviceNodes": nodes}})
    };
    json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": devices.map(device).collect::<Vec<_>>()})
}

/// What a create costs that asks for the first so many of these devices, in so many files.
fn cost(asked: usize, devices: usize, files: usize, is_yaml: bool) -> Cost {
    let scratch = Scratch::in_memory();
    let each = devices / files;
    let mut installed = 0;
    for file in 0..files {
        let document = description(file * each..(file + 1) * each);
        let (suffix, text) = match is_yaml {
            false => ("json", document.to_string()),
            true => ("yaml", to_yaml(&serde_json::from_value::<Spec>(document).unwrap())),
        };
        installed += text.len();
        scratch.write(&format!("cdi/{file:03}.{suffix}"), &text);
    }
    let cdi = scratch.text("cdi");
    // A root of its own: the records below /run are locked by whoever decides.
    fs::create_dir_all(scratch.path("host/run")).unwrap();
    let root = scratch.text("host");
    let config = format!(
        "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{cdi:?}]\n[inject]\ngenerate = \"never\"\n\
         [host]\nroot = {root:?}\n"
    );
    scratch.write("gpu-runc.toml", &config);
    let list: Vec<String> = (0..asked).map(|number| number.to_string()).collect();
    let before = format!(r#"{{"process":{{"env":["NVIDIA_VISIBLE_DEVICES={}"]}}}}"#, list.join(","));
    scratch.write("config.json", &before);
    let cost = held(&scratch);
    let after = scratch.read("config.json");
    // Each GPU has seven devices of three nodes, of which all seven share one.
    assert_eq!(after.matches("\"path\"").count(), 2 * asked + asked.div_ceil(7), "{after}");
    Cost { written: after.len() - before.len(), installed, ..cost }
}

/// What is known of a create just before it becomes the low-level runtime.
fn held(scratch: &Scratch) -> Cost {
    let trace = scratch.text("trace");
    let hold = ["-f", "-o", &trace, "-e", "inject=execve:delay_enter=60000000:when=1"];
    let mut command = Command::new("strace");
    command.args(hold).arg(gpu_runc()).args(["create", "--bundle"]).arg(scratch.path("")).arg("c");
    // What the loader of a build with one would search first.
    command
        .env_remove("LD_LIBRARY_PATH")
        .env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml"))
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut tracer = command.spawn().unwrap();
    let start = Instant::now();
    let text = loop {
        let text = fs::read_to_string(&trace).unwrap_or_default();
        // The line of a call that is held up has no end.
        if text.rsplit('\n').next().is_some_and(|line| line.contains("execve(\"/bin/true\"")) {
            break text;
        }
        assert!(start.elapsed() < Duration::from_secs(60) && tracer.try_wait().unwrap().is_none(), "{text}");
        std::thread::sleep(Duration::from_millis(5));
    };
    let process = Path::new("/proc").join(text.split(' ').next().unwrap());
    let status = fs::read_to_string(process.join("status")).unwrap();
    let times = fs::read_to_string(process.join("schedstat")).unwrap_or_default();
    // Without its tracer the program goes on.
    tracer.kill().unwrap();
    tracer.wait().unwrap();
    let kib = |name: &str| -> usize {
        let value = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        value.trim().trim_end_matches(" kB").parse().unwrap()
    };
    let mut calls = BTreeMap::new();
    for (name, _) in text.lines().filter_map(|line| line.split_once(' ')?.1.trim_start().split_once('(')) {
        *calls.entry(name.to_owned()).or_default() += 1;
    }
    Cost {
        calls,
        resident: kib("VmHWM:"),
        mapped: kib("VmPeak:"),
        on_processor: times.split(' ').next().and_then(|time| time.parse().ok()).filter(|time| *time > 0),
        written: 0,
        installed: 0,
    }
}

/// Whether processes can be held up.
fn is_possible(test: &str) -> bool {
    let is_possible = strace::is_usable();
    if !is_possible {
        skip(test, "needs strace, and to be allowed to trace");
    }
    is_possible
}

#[test]
fn ten_thousand_devices_cost_one_that_asks_for_one_their_reading_and_nothing_else() {
    /// A device that lies across the end of a piece is read again.
    const LONGEST_DEVICE: usize = 1 << 10;
    const DEVICES: usize = 10_000;
    if !is_possible("growth: what is installed") {
        return;
    }
    for (is_yaml, files) in [(false, 1), (true, 1), (false, 100), (true, 100)] {
        let what = format!("{files} files, YAML: {is_yaml}");
        let [few, many] = [10 * files, DEVICES].map(|devices| cost(1, devices, files, is_yaml));
        let pieces = files + many.installed / (PIECE - LONGEST_DEVICE);
        assert!(many.installed > 40 * PIECE, "{what}: {many:?}");
        assert_eq!(many.other_calls(), few.other_calls(), "{what}");
        assert!(many.pieces_read() <= few.pieces_read() + pieces, "{what}: {pieces} pieces; {few:?}; {many:?}");
        assert!(many.all_calls() <= few.all_calls() + pieces + 4, "{what}: {few:?}; {many:?}");
        assert!(many.resident * 5 <= few.resident * 6, "{what}: {few:?}; {many:?}");
        assert!(many.mapped <= few.mapped + 4 * PIECE / 1024, "{what}: {few:?}; {many:?}");
        if files > 1 {
            // Open, look, read, and close, and what Rust does besides.
            let one = cost(1, 10, 1, is_yaml);
            assert!(few.all_calls() <= one.all_calls() + 5 * files, "{what}: {one:?}; {few:?}");
            assert!(few.mapped <= one.mapped + 4 * PIECE / 1024, "{what}: {one:?}; {few:?}");
        }
    }
}

#[test]
fn twice_the_devices_cost_twice_as_much() {
    if !is_possible("growth: what is asked") {
        return;
    }
    for is_yaml in [false, true] {
        // The least of three: caches are colder where others work too.
        let costs = [1, 56, 112, 224, 448, 896].map(|asked| {
            let costs = [(); 3].map(|()| cost(asked, 1000, 1, is_yaml));
            costs.into_iter().min_by_key(|cost| cost.on_processor).unwrap()
        });
        let [one, costs @ ..] = costs;
        let added = |value: fn(&Cost) -> usize| costs.each_ref().map(|cost| value(cost) - value(&one));
        for (what, added) in [
            ("system calls", added(Cost::all_calls)),
            ("bytes written", added(|cost| cost.written)),
            ("KiB mapped", added(|cost| cost.mapped)),
        ] {
            println!("{what}: {added:?}");
            // What is quadratic is four times as much. Memory comes in blocks.
            assert!(added.windows(2).all(|pair| pair[1] < 3 * pair[0]), "{what}, YAML: {is_yaml}: {added:?}");
        }
        let times = added(|cost| cost.on_processor.unwrap_or_default());
        println!("nanoseconds: {times:?}");
        // Four times the devices; what is quadratic is sixteen times as much.
        assert!(times[4] <= 8 * times[2], "nanoseconds, YAML: {is_yaml}: {times:?}");
    }
}
