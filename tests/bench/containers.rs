//! Whole containers: what a GPU costs a `runc run`, done by gpu-runc, by the vendor's hooks, and written into the spec as mounts.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gpu_runc::ldcache::{Cache, Library, native_flags};
use serde_json::{Value, json};

use crate::installed::on_path;

/// Rounds; in each, every way is measured once.
const ROUNDS: usize = 100;
const FOLDER: &str = "/usr/lib/x86_64-linux-gnu";
/// Libraries of the driver, each mounted under two names by files that know no links.
const LIBRARIES: usize = 30;

/// A way to give a container the driver.
struct Way {
    name: &'static str,
    program: PathBuf,
    /// What is written into the spec itself.
    mounts: Vec<Value>,
    asks: bool,
    config: &'static str,
    cdi: Option<Value>,
}

/// Prints a row for each way; nothing where there is no runc or no root. `gpu_runc` is our program, `hook` an installed
/// `nvidia-cdi-hook`, if any. Returns the rows.
pub(crate) fn measure(scratch: &Path, gpu_runc: &Path, hook: Option<&Path>) -> Vec<Value> {
    let (Some(runc), Some(busybox), true) = (on_path("runc"), on_path("busybox"), nix::unistd::geteuid().is_root())
    else {
        println!("whole containers: left out, they need root, runc and busybox");
        return Vec::new();
    };
    let scratch = scratch.join("containers");
    for library in 0..LIBRARIES {
        fs::create_dir_all(scratch.join("driver")).expect("a driver");
        fs::write(scratch.join("driver").join(own(library)), "").expect("a library");
    }
    let own_hook = scratch.join("nvidia-cdi-hook");
    symlink(gpu_runc, &own_hook).expect("a name for the hook");
    let mounts = |names: fn(usize) -> Vec<String>| -> Vec<(String, String)> {
        (0..LIBRARIES).flat_map(|library| names(library).into_iter().map(move |name| (own(library), name))).collect()
    };
    let both: fn(usize) -> Vec<String> = |library| vec![own(library), linked(library)];
    let entry = |(file, name): &(String, String), from: &str, to: &str| json!({from: scratch.join("driver").join(file), to: format!("{FOLDER}/{name}"), "options": ["ro", "nosuid", "nodev", "rbind", "rprivate"]});
    let as_file = |hooks: Vec<Value>, names: fn(usize) -> Vec<String>| {
        let mounts: Vec<Value> = mounts(names).iter().map(|mount| entry(mount, "hostPath", "containerPath")).collect();
        let device = |i: usize| json!({"name": i.to_string(), "containerEdits": {"deviceNodes": [{"path": format!("/dev/nvidia{i}"), "hostPath": "/dev/null"}]}});
        json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": (0..8).map(device).collect::<Vec<_>>(),
               "containerEdits": {"mounts": mounts, "hooks": hooks}})
    };
    let hooks = |program: &Path| {
        let hook = |args: &[String]| json!({"hookName": "createContainer", "path": program, "args": args, "env": ["NVIDIA_CTK_DEBUG=false"]});
        let words = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        let links = (0..LIBRARIES).flat_map(|i| ["--link".to_owned(), format!("{}::{FOLDER}/{}", own(i), linked(i))]);
        vec![
            hook(&[words(&["nvidia-cdi-hook", "create-symlinks"]), links.collect()].concat()),
            hook(&words(&["nvidia-cdi-hook", "enable-cuda-compat", "--host-driver-version=550.54.15"])),
            hook(&words(&["nvidia-cdi-hook", "update-ldcache", "--folder", FOLDER])),
            hook(&words(&["nvidia-cdi-hook", "update-application-profile"])),
        ]
    };
    let only_own: fn(usize) -> Vec<String> = |library| vec![own(library)];
    let in_spec = |names| mounts(names).iter().map(|mount| entry(mount, "source", "destination")).collect();
    let way = |name| Way { name, program: runc.clone(), mounts: Vec::new(), asks: false, config: "", cdi: None };
    let ours = |name, cdi| Way { program: gpu_runc.to_owned(), asks: true, cdi: Some(cdi), ..way(name) };
    const KEEP: &str = "[inject]\nhooks = \"keep\"\n";
    let mut ways = vec![
        way("runc, no GPU"),
        Way { mounts: in_spec(only_own), ..way("runc, 30 mounts in the spec") },
        Way { mounts: in_spec(both), ..way("runc, 60 mounts in the spec") },
        ours("gpu-runc, 8 GPUs and 60 mounts in a CDI file", as_file(Vec::new(), both)),
        ours("gpu-runc, 8 GPUs, 30 mounts and 4 hooks in a CDI file", as_file(hooks(&own_hook), only_own)),
        Way {
            config: KEEP,
            ..ours("the same, hooks run by runc (gpu-runc as nvidia-cdi-hook)", as_file(hooks(&own_hook), only_own))
        },
    ];
    if let Some(hook) = hook {
        ways.push(Way {
            config: KEEP,
            ..ours("the same, hooks run by runc (the installed nvidia-cdi-hook)", as_file(hooks(hook), only_own))
        });
    }
    let mut times: Vec<Vec<f64>> = ways.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
    for round in 0..ROUNDS + 5 {
        for (way, times) in ways.iter().zip(&mut times) {
            let took = run(&scratch, way, &runc, &busybox);
            // The first rounds warm up.
            if round >= 5 {
                times.push(took);
            }
        }
    }
    println!("{:<64} {:>12} {:>12} {:>12}", "runc run of a whole container", "median", "added", "quickest 10%");
    let quantiles: Vec<(f64, f64)> = times.into_iter().map(quantiles).collect();
    let (plain, plain_low) = quantiles[0];
    let row = |(way, (median, low)): (&Way, &(f64, f64))| {
        let (added, added_low) = (median - plain, low - plain_low);
        println!("    {:<60} {median:>9.2} ms {added:>9.2} ms {added_low:>9.2} ms", way.name);
        json!({"case": way.name, "total_ms": median, "added_ms": added, "added_quickest_ms": added_low})
    };
    ways.iter().zip(&quantiles).map(row).collect()
}

/// Those of the rows of [`measure`] that say what the driver's set-up costs, as rows of a chart.
pub(crate) fn as_rows(measured: &[Value]) -> Vec<Value> {
    let programs = [
        ("runc, 30 mounts in the spec", "the mounts alone"),
        ("gpu-runc, 8 GPUs, 30 mounts and 4 hooks in a CDI file", "gpu-runc"),
        ("the same, hooks run by runc (the installed nvidia-cdi-hook)", "hooks run: nvidia-cdi-hook"),
    ];
    let row = |(way, program): (&str, &str)| {
        let found = measured.iter().find(|row| row["case"] == way)?;
        Some(json!({"case": "runc run, 8 GPUs and 30 libraries", "program": program, "added_ms": found["added_ms"]}))
    };
    programs.into_iter().filter_map(row).collect()
}

/// Makes a fresh bundle and runs it; in milliseconds.
fn run(scratch: &Path, way: &Way, runc: &Path, busybox: &Path) -> f64 {
    let (bundle, cdi) = (scratch.join("bundle"), scratch.join("cdi"));
    let root = bundle.join("rootfs");
    for folder in ["bin", "proc", "dev", "sys", "etc", "lib64", &FOLDER[1..]] {
        fs::create_dir_all(root.join(folder)).expect("a root");
    }
    fs::hard_link(busybox, root.join("bin/true"))
        .or_else(|_| fs::copy(busybox, root.join("bin/true")).map(drop))
        .expect("a program");
    fs::write(root.join("lib64/ld-linux-x86-64.so.2"), "").expect("a linker");
    let mut cache = Cache::default();
    let library = |number: usize| {
        let name = format!("libof-the-image-{number:03}.so.1");
        Library::new(native_flags(true), name.clone(), format!("{FOLDER}/{name}"))
    };
    cache.merge((0..500).map(library).collect());
    fs::write(root.join("etc/ld.so.cache"), cache.to_bytes()).expect("an image's cache");
    let _ = fs::remove_dir_all(&cdi);
    fs::create_dir_all(&cdi).expect("a spec directory");
    if let Some(spec) = &way.cdi {
        fs::write(cdi.join("nvidia.json"), spec.to_string()).expect("a CDI file");
    }
    let config = format!("runtimes = [{runc:?}]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{cdi:?}]\n{}", way.config);
    fs::write(bundle.join("gpu-runc.toml"), config).expect("our configuration");
    let env: &[&str] = if way.asks { &["PATH=/bin", "NVIDIA_VISIBLE_DEVICES=0,1,2,3,4,5,6,7"] } else { &["PATH=/bin"] };
    let own = [
        json!({"destination": "/proc", "type": "proc", "source": "proc"}),
        json!({"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}),
    ];
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({"type": kind}));
    let spec = json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["/bin/true"], "cwd": "/", "env": env},
        "root": {"path": "rootfs"}, "mounts": ([&own[..], &way.mounts].concat()),
        "linux": {"namespaces": namespaces, "resources": {"devices": [{"allow": false, "access": "rwm"}]}},
    });
    fs::write(bundle.join("config.json"), spec.to_string()).expect("config.json");
    let mut command = Command::new(&way.program);
    command.env("GPU_RUNC_CONFIG", bundle.join("gpu-runc.toml")).current_dir(&bundle).stdin(Stdio::null());
    command.arg("--root").arg(scratch.join("state")).args(["run", &format!("bench-{}", std::process::id())]);
    // The kernel takes the namespaces of the container before apart after it has ended.
    std::thread::sleep(Duration::from_millis(40));
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let took = start.elapsed().as_secs_f64() * 1e3;
    assert!(status.success(), "{} failed", way.name);
    fs::remove_dir_all(&bundle).expect("the bundle goes");
    took
}

fn own(library: usize) -> String {
    format!("libnvidia-some-library-{library:02}.so.550.54.15")
}

fn linked(library: usize) -> String {
    format!("libnvidia-some-library-{library:02}.so.1")
}

/// The median, and what a tenth is quicker than: a whole container is in the hands of everything else on the machine.
fn quantiles(mut times: Vec<f64>) -> (f64, f64) {
    times.sort_by(f64::total_cmp);
    (times[times.len() / 2], times[times.len() / 10])
}
