//! Many containers at once and one after another: none fails, none gets half of a description, nothing is left over.
//!
//! `GPU_RUNC_LOAD` is how many are created one after another, 1000 if it is not set; `GPU_RUNC_BINARY` names another build than the
//! one that tests use. Ten thousand: `GPU_RUNC_LOAD=10000 cargo test --test it load::one_after_another -- --nocapture`. That took five
//! minutes on two cores that had much else to do, a thousand new roots, and nothing was left.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use gpu_runc::ldcache::Cache;
use rustix::process::setpriority_process;
use serde_json::{Value, json};

use crate::faults::scene::{CONFIG_JSON, Scene, config_json, has_gpu, is_left_over, snapshot};

const AT_ONCE: usize = 500;
/// Spec directories, each with a file that describes the GPU that is asked for, and with a writer. While one of five hundred lists a
/// directory the kernel lets nobody rename there, for as long as that one has to wait for a processor; not all have to at once.
const SPEC_DIRS: [&str; 4] = ["cdi", "cdi-1", "cdi-2", "cdi-3"];
/// How often in a second one of these files is replaced, at least.
const A_SECOND: f64 = 100.0;
/// Between two replacements of each.
const PAUSE: Duration = Duration::from_millis(5);

/// Writes a file as vendors' tools do: whole under another name, then renamed.
fn replace(path: &Path, text: &str) {
    let new = path.with_extension("json.tmp");
    fs::write(&new, text).unwrap();
    fs::rename(&new, path).unwrap();
}

/// One of two descriptions of the same GPU. Each says in three places which it is, and they differ in length.
fn description(scene: &Scene, version: usize) -> String {
    let driver = scene.scratch.write(&format!("driver/libcuda.so.{version}"), "");
    let device = |i: usize| json!({"name": i.to_string(), "containerEdits": {"deviceNodes": [{"path": format!("/dev/nvidia{i}"), "hostPath": "/dev/zero"}]}});
    let padding = (0..version * 50).map(|i| format!("PADDING_{i}={version}"));
    let env: Vec<String> =
        std::iter::once(format!("FIRST={version}")).chain(padding).chain([format!("LAST={version}")]).collect();
    json!({
        "cdiVersion": "0.5.0",
        "kind": "nvidia.com/gpu",
        "devices": (0..8).map(device).collect::<Vec<_>>(),
        "containerEdits": {
            "env": env,
            "mounts": [{"hostPath": driver, "containerPath": format!("/usr/lib/libcuda.so.{version}")}],
        },
    })
    .to_string()
}

/// Whether a configuration holds one of the descriptions, all of it and nothing else.
fn is_of_one_version(config_json: &str) -> bool {
    let document: Value = serde_json::from_str(config_json).unwrap();
    let env: Vec<&str> = document["process"]["env"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let value = |name: &str| env.iter().find_map(|variable| variable.strip_prefix(name)).unwrap_or_default();
    let (first, last) = (value("FIRST="), value("LAST="));
    let mount = format!("/usr/lib/libcuda.so.{first}");
    let padding = env.iter().filter(|variable| variable.starts_with("PADDING_")).count();
    has_gpu(config_json)
        && first == last
        && padding == first.parse::<usize>().unwrap() * 50
        && document["mounts"].as_array().unwrap().iter().map(|mount| &mount["destination"]).eq([&json!(mount)])
}

/// Starts a call that waits until the pipe that is its input is closed.
fn waiting(scene: &Scene, bundle: &Path, gate: &std::io::PipeReader) -> Child {
    let mut command = scene.create(&["/bin/sh", "-c", "read -r go; exec \"$@\"", "sh"], bundle);
    command.stdin(gate.try_clone().unwrap()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

#[test]
fn five_hundred_at_once_get_whole_descriptions_while_these_are_rewritten() {
    let scene = Scene::new(None);
    let (dirs, log) = (SPEC_DIRS.map(|dir| scene.scratch.text(dir)), scene.scratch.text("gpu-runc.log"));
    let config =
        format!("runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = {dirs:?}\n[log]\nsyslog = false\nfile = {log:?}\n");
    scene.scratch.write("gpu-runc.toml", &config);
    let versions = [1, 2].map(|version| description(&scene, version));
    for dir in &dirs {
        fs::create_dir_all(dir).unwrap();
        replace(&Path::new(dir).join("nvidia.json"), &versions[0]);
    }
    // Every other container is on one root with many.
    scene.bundle("shared");
    let bundles: Vec<PathBuf> = (0..AT_ONCE).map(|number| scene.bundle(&format!("bundle-{number}"))).collect();
    for bundle in bundles.iter().step_by(2) {
        fs::write(bundle.join("config.json"), CONFIG_JSON.replace("rootfs", "../shared/rootfs")).unwrap();
    }
    let (has_ended, rewritten) = (AtomicBool::new(false), AtomicUsize::new(0));
    let write = |dir: &Path| {
        // This thread goes before all else on the machine: five hundred others have work to do.
        if let Err(cause) = setpriority_process(None, -20) {
            eprintln!("CDI files are rewritten without priority: {cause}");
        }
        let other = dir.join("other.json");
        for round in 0.. {
            let start = Instant::now();
            replace(&dir.join("nvidia.json"), &versions[round % 2]);
            rewritten.fetch_add(1, Ordering::Relaxed);
            // A file of somebody else comes and goes.
            match round % 2 {
                0 => replace(&other, &versions[0].replace("nvidia.com/gpu", "acme.example/npu")),
                _ => fs::remove_file(&other).unwrap(),
            }
            if has_ended.load(Ordering::Relaxed) {
                break;
            }
            std::thread::sleep(PAUSE.saturating_sub(start.elapsed()));
        }
    };
    std::thread::scope(|scope| {
        for dir in &dirs {
            scope.spawn(|| write(Path::new(dir)));
        }
        let (gate, opener) = std::io::pipe().unwrap();
        let children: Vec<Child> = bundles.iter().map(|bundle| waiting(&scene, bundle, &gate)).collect();
        let (start, before) = (Instant::now(), rewritten.load(Ordering::Relaxed));
        drop((gate, opener));
        let outputs: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
        has_ended.store(true, Ordering::Relaxed);
        let (meanwhile, took) = (rewritten.load(Ordering::Relaxed) - before, start.elapsed());
        println!("{AT_ONCE} at once in {took:?}, the CDI files of their GPU replaced {meanwhile} times meanwhile");
        let failed: Vec<_> =
            outputs.iter().filter(|output| !output.status.success() || !output.stderr.is_empty()).collect();
        assert!(failed.is_empty(), "{} failed, the first: {:?}", failed.len(), failed.first());
        let rate = meanwhile as f64 / took.as_secs_f64();
        assert!(rate >= A_SECOND, "CDI files replaced {meanwhile} times in {took:?}: {rate:.0} a second");
    });
    for bundle in &bundles {
        let there = config_json(bundle);
        assert!(is_of_one_version(&there), "{}: {there}", bundle.display());
    }
    let log = scene.scratch.read("gpu-runc.log");
    assert!(!log.contains(" WARN ") && log.matches(" INFO ").count() == AT_ONCE, "{log}");
    let cache = fs::read(scene.scratch.path("shared/rootfs/etc/ld.so.cache")).unwrap();
    assert!(
        Cache::parse(&cache)
            .is_some_and(|cache| cache.libraries.iter().any(|library| library.name.starts_with("libcuda")))
    );
    let left: Vec<_> = snapshot(&scene.scratch.path("")).into_keys().filter(|name| is_left_over(name)).collect();
    assert_eq!(left, Vec::<String>::new());
}

#[test]
fn one_after_another_they_leave_nothing() {
    /// So many come to a root that is prepared already, as a container that is restarted does; then there is a new root.
    const A_ROOT: usize = 10;
    let number = std::env::var("GPU_RUNC_LOAD").map_or(1000, |number| number.parse().unwrap());
    let scene = Scene::new(None);
    scene.configure("level = \"off\"\n");
    let mut bundle = scene.bundle("bundle");
    let everything = || -> Vec<(String, String)> { snapshot(&scene.scratch.path("")).into_iter().collect() };
    let (there_before, fresh, start) = (elsewhere(), everything(), Instant::now());
    // One that took more memory than the first would fail.
    let prefix = ["prlimit", "--as=33554432", "--nofile=8"];
    let mut after_first = Vec::new();
    for round in 0..number {
        if round % A_ROOT == 0 {
            assert!(round == 0 || everything() == after_first, "before {round}: {:?}", everything());
            fs::remove_dir_all(bundle.join("rootfs")).unwrap();
            bundle = scene.bundle("bundle");
            assert_eq!(everything(), fresh, "before {round}");
        }
        fs::write(bundle.join("config.json"), CONFIG_JSON).unwrap();
        let output = scene.create(&prefix, &bundle).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{round}: {output:?}");
        if round == 0 {
            after_first = everything();
            let made =
                after_first.iter().filter(|entry| entry.0.starts_with("/bundle/rootfs/") && !fresh.contains(entry));
            assert!(made.count() > 5, "a root is prepared: {after_first:?}");
        }
    }
    println!("{number} one after another in {:?}", start.elapsed());
    assert_eq!(everything(), after_first);
    assert!(has_gpu(&config_json(&bundle)));
    assert_eq!(elsewhere(), there_before, "outside of the folder of this test");
    let scratch = scene.scratch.text("");
    let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path().join("cmdline"));
    let left =
        processes.filter_map(|path| fs::read_to_string(path).ok()).filter(|line| line.contains(&scratch)).count();
    assert_eq!(left, 0, "processes of this test");
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(&scratch), "{mounts}");
}

/// What is called by our name where programs leave things.
fn elsewhere() -> BTreeSet<String> {
    let folders = ["/tmp", "/var/tmp", "/run", "/dev/shm", "/var/lib", "/"].map(Path::new);
    let names = folders.into_iter().filter_map(|folder| fs::read_dir(folder).ok()).flatten().flatten();
    names.map(|entry| entry.path().display().to_string()).filter(|path| path.contains("gpu-runc")).collect()
}
