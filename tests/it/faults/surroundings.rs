//! Surroundings in which little is as it should be: no log, no environment, no descriptors, hardly any memory, no runtime; and files
//! that change while they are read. One table each.

use std::fs;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gpu_runc::ldcache::{Cache, Library, native_flags};
use nix::sys::stat::Mode;
use nix::unistd::mkfifo;

use super::scene::{CONFIG_JSON, Scene, config_json, gpu_runc, has_gpu, is_another_build, said};
use super::strace::{self, Call, Fault};
use crate::scratch::{program_on_path, skip};

/// What is to come of it.
enum End {
    /// The container starts, with its GPU.
    Starts,
    /// It does not, for this reason, told in the engine's log.
    Says(&'static str),
    /// The process ends somehow, with nothing half done.
    Ends,
}

struct Row {
    what: &'static str,
    /// Done before, to the scene.
    given: fn(&Scene),
    /// A script that runs the call, `"$@"`.
    script: &'static str,
    end: End,
}

const ROWS: &[Row] = &[
    Row { what: "the log's folder is not there", given: with_log_nowhere, script: PLAINLY, end: End::Starts },
    Row { what: "no PATH", given: by_name, script: "unset PATH; exec \"$@\"", end: End::Starts },
    Row {
        what: "nothing in PATH but relative folders",
        given: by_name,
        script: "PATH=.:bin; exec \"$@\"",
        end: End::Starts,
    },
    Row { what: "no stdin, stdout, stderr", given: as_it_is, script: "exec \"$@\" <&- >&- 2>&-", end: End::Starts },
    Row {
        what: "no stdin, stdout, stderr, and something to say",
        given: without_cdi,
        script: "exec \"$@\" <&- >&- 2>&-",
        end: End::Says(UNRESOLVABLE),
    },
    Row { what: "a full stderr", given: without_cdi, script: "exec \"$@\" 2>/dev/full", end: End::Says(UNRESOLVABLE) },
    Row {
        what: "a stderr that nobody reads any more",
        given: without_cdi,
        script: "exec \"$@\" 2>&1 | true",
        end: End::Says(UNRESOLVABLE),
    },
    // The kernel alone lays out more than 4 KiB for arguments and environment, and a path
    // that is handed to it takes another 4.
    Row { what: "a stack of 4 KiB", given: as_it_is, script: "exec prlimit --stack=4096 \"$@\"", end: End::Ends },
    Row { what: "a stack of 128 KiB", given: as_it_is, script: "exec prlimit --stack=131072 \"$@\"", end: End::Starts },
    Row { what: "1 MiB of addresses", given: as_it_is, script: "exec prlimit --as=1048576 \"$@\"", end: End::Ends },
    Row { what: "32 MiB of addresses", given: as_it_is, script: "exec prlimit --as=33554432 \"$@\"", end: End::Starts },
    Row { what: "no file may be opened", given: as_it_is, script: "exec prlimit --nofile=3 \"$@\"", end: End::Ends },
    Row {
        what: "one file at a time",
        given: as_it_is,
        script: "exec prlimit --nofile=4 \"$@\"",
        end: End::Says("cdi/nvidia.json: failed to load CDI Spec: cannot open it"),
    },
    Row { what: "four files at a time", given: as_it_is, script: "exec prlimit --nofile=7 \"$@\"", end: End::Starts },
    Row {
        what: "files of at most 100 bytes",
        given: as_it_is,
        script: "exec prlimit --fsize=100 \"$@\"",
        end: End::Ends,
    },
    Row { what: "no low-level runtime", given: |_| {}, script: PLAINLY, end: End::Says("no low-level runtime found") },
    Row {
        what: "a runtime that is a folder",
        given: |scene| fs::create_dir(runtime(scene)).unwrap(),
        script: PLAINLY,
        end: End::Says("is no executable file"),
    },
    Row {
        what: "a runtime that is a text",
        given: |scene| fs::write(runtime(scene), "text").unwrap(),
        script: PLAINLY,
        end: End::Says("is no executable file"),
    },
    // glibc gives it to a shell, which does not know it either; the release build says so itself.
    Row {
        what: "a runtime of a format that nobody knows",
        given: |scene| drop(scene.scratch.program("runtime", "text")),
        script: PLAINLY,
        end: End::Ends,
    },
    Row {
        what: "a runtime that is a link to gpu-runc",
        given: |scene| symlink(gpu_runc(), runtime(scene)).unwrap(),
        script: PLAINLY,
        end: End::Says("is gpu-runc itself"),
    },
    Row {
        what: "a runtime that is a copy of gpu-runc",
        given: |scene| assert!(fs::copy(gpu_runc(), runtime(scene)).unwrap() > 0),
        script: PLAINLY,
        end: End::Says("is gpu-runc itself"),
    },
];

/// What the build that is released does with less than the one that tests use. On the stack the kernel puts arguments and
/// environment too, below a gap of up to 8 KiB that is another each time: nine in ten would do with 32 KiB.
const ROWS_OF_RELEASE: &[Row] = &[Row {
    what: "a stack of 40 KiB",
    given: as_it_is,
    script: "exec env -i GPU_RUNC_CONFIG=\"$GPU_RUNC_CONFIG\" prlimit --stack=40960 \"$@\"",
    end: End::Starts,
}];

const PLAINLY: &str = "exec \"$@\"";
const UNRESOLVABLE: &str = "CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=0";

fn runtime(scene: &Scene) -> PathBuf {
    scene.scratch.path("runtime")
}

fn as_it_is(scene: &Scene) {
    fs::copy("/bin/true", runtime(scene)).unwrap();
}

fn by_name(scene: &Scene) {
    as_it_is(scene);
    scene.configure_runtime("true", "[log]\nsyslog = false\n");
}

fn with_log_nowhere(scene: &Scene) {
    as_it_is(scene);
    scene.configure_runtime("/bin/true", "[log]\nsyslog = false\nfile = \"/absent/log\"\n");
}

fn without_cdi(scene: &Scene) {
    as_it_is(scene);
    fs::remove_file(scene.scratch.path("cdi/nvidia.json")).unwrap();
}

#[test]
fn poor_surroundings_are_got_over_or_told_and_leave_nothing_half_done() {
    let of_release = if is_another_build() { ROWS_OF_RELEASE } else { &[] };
    for Row { what, given, script, end } in ROWS.iter().chain(of_release) {
        let scene = Scene::new(None);
        let runtime = scene.scratch.text("runtime");
        scene.configure_runtime(&runtime, "[log]\nsyslog = false\n");
        given(&scene);
        let bundle = scene.bundle("bundle");
        let output = scene.create(&["/bin/sh", "-c", script, "sh"], &bundle).output().unwrap();
        let log = scene.scratch.read("bundle.log");
        let there = config_json(&bundle);
        let is_as_expected = match end {
            End::Starts => output.status.success() && has_gpu(&there) && log.is_empty(),
            // The last program of a pipe has the say on its status.
            End::Says(reason) => {
                (output.status.code() == Some(1) || script.contains('|'))
                    && log.contains(reason)
                    && log.lines().count() == 1
            }
            End::Ends => !output.status.success(),
        };
        assert!(is_as_expected, "{what}: {}, {log:?}, {there}", said(&output));
        assert!(there == CONFIG_JSON || has_gpu(&there), "{what}: {there}");
        if !matches!(end, End::Says(_)) {
            scene.configure("");
            scene.once_more(&bundle).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        }
    }
}

/// It cannot be told from a script that calls runc.
#[test]
fn a_runtime_that_is_a_script_that_calls_gpu_runc_goes_round_until_it_is_ended_and_adds_nothing() {
    const ROUNDS: usize = 5;
    let scene = Scene::new(None);
    let (bundle, calm) = (scene.bundle("bundle"), scene.bundle("calm"));
    assert!(scene.create(&[], &calm).status().unwrap().success());
    let script = "#!/bin/sh\ncksum < bundle/config.json >> rounds\nexec \"$GPU_RUNC\" \"$@\"\n";
    let (script, log) = (scene.scratch.program("runtime", script), scene.scratch.text("gpu-runc.log"));
    scene.configure_runtime(script.to_str().unwrap(), &format!("[log]\nsyslog = false\nfile = {log:?}\n"));
    let rounds = || scene.scratch.read("rounds");
    let start = Instant::now();
    let mut child = scene.create(&[], &bundle).env("GPU_RUNC", gpu_runc()).spawn().unwrap();
    while rounds().lines().count() < ROUNDS && start.elapsed() < Duration::from_secs(60) {
        sleep(Duration::from_millis(5));
    }
    let has_ended = child.try_wait().unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    let rounds = rounds();
    assert!(rounds.lines().count() >= ROUNDS && has_ended.is_none(), "{rounds}, {has_ended:?}");
    assert!(rounds.lines().all(|round| Some(round) == rounds.lines().next()), "config.json changes: {rounds}");
    assert_eq!(config_json(&bundle), config_json(&calm));
    let log = scene.scratch.read("gpu-runc.log");
    let grants = log.matches(&format!("gpu-runc[{}]: grant container=bundle ", child.id())).count();
    assert!(grants >= ROUNDS && !log.contains(" WARN "), "all in one process, each with its grant: {log}");
    scene.configure("");
    scene.once_more(&bundle).unwrap();
}

/// What is to be found at the place of the system log.
struct Place {
    what: &'static str,
    /// Puts it there; what it returns stays as long as the call.
    given: fn(&Path) -> Option<OwnedFd>,
}

const PLACES: &[Place] = &[
    Place { what: "nothing", given: |_| None },
    Place {
        what: "a socket at which nobody listens any more",
        given: |log| {
            drop(UnixDatagram::bind(log).unwrap());
            None
        },
    },
    Place {
        what: "a socket that nobody reads and that is full",
        given: |log| {
            let (full, sender) = (UnixDatagram::bind(log).unwrap(), UnixDatagram::unbound().unwrap());
            sender.set_nonblocking(true).unwrap();
            while sender.send_to(b"<30>full", log).is_ok() {}
            Some(full.into())
        },
    },
    Place { what: "a stream", given: |log| Some(UnixListener::bind(log).unwrap().into()) },
    Place {
        what: "a file",
        given: |log| {
            fs::write(log, "").unwrap();
            None
        },
    },
    Place {
        what: "a pipe that nobody reads",
        given: |log| {
            mkfifo(log, Mode::S_IRWXU).unwrap();
            None
        },
    },
];

#[test]
fn a_system_log_that_is_absent_or_full_is_not_waited_for() {
    for Place { what, given } in PLACES {
        let scene = Scene::new(None);
        let log = scene.scratch.path("log");
        let held = given(&log);
        let log = (*what != "nothing").then_some(log.as_path());
        let Some(scene) = scene.with_dev(log) else {
            return skip("faults: system logs", "needs root, for a /dev of its own");
        };
        let bundle = scene.bundle("bundle");
        let output = scene.create(&["timeout", "-s", "KILL", "20"], &bundle).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{what}: {}", said(&output));
        assert!(has_gpu(&config_json(&bundle)) && scene.has_told_grant_of(&bundle), "{what}");
        drop(held);
    }
}

#[test]
fn no_environment_at_all_is_enough() {
    let test = "faults: no environment";
    if !nix::unistd::geteuid().is_root() || program_on_path("unshare").is_none() {
        return skip(test, "needs root and unshare, for an /etc of its own");
    }
    let scene = Scene::new(None);
    let bundle = scene.bundle("bundle");
    let script = "set -e
        mount -t tmpfs none /run && mkdir /run/etc /run/work
        mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/work none /etc
        mkdir -p /etc/gpu-runc && cp \"$GPU_RUNC_CONFIG\" /etc/gpu-runc/config.toml
        exec env -i \"$@\"";
    let prefix = ["unshare", "--mount", "--propagation", "private", "/bin/sh", "-c", script, "sh"];
    let output = scene.create(&prefix, &bundle).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty() && has_gpu(&config_json(&bundle)), "{}", said(&output));
}

/// A file that changes while it is read.
struct Change {
    what: &'static str,
    /// The call that takes its time, by its name and the end of a path in it, and whether before or after what it does.
    call: (&'static str, &'static str),
    delay: &'static str,
    /// Done meanwhile, to the scene and the bundle.
    change: fn(&Scene, &Path),
    end: End,
    /// Where the container starts: what our log says of the image's cache, which then stays as it is. Else the driver's libraries
    /// are in it.
    warning: Option<&'static str>,
}

const BEFORE: &str = "delay_enter=1200000";
const AFTER: &str = "delay_exit=1200000";
const ANOTHER: &str = r#"{"ociVersion":"1.2.0","process":{"env":["OF_ANOTHER=1"]}}"#;
const CHANGES: &[Change] = &[
    Change {
        what: "config.json is replaced after it was read",
        call: ("read", "config.json>"),
        delay: AFTER,
        change: |_, bundle| {
            fs::write(bundle.join("new"), ANOTHER).unwrap();
            fs::rename(bundle.join("new"), bundle.join("config.json")).unwrap();
        },
        end: End::Says("somebody else wrote it at the same time"),
        warning: None,
    },
    Change {
        what: "config.json is written anew in its place after it was read",
        call: ("read", "config.json>"),
        delay: AFTER,
        change: |_, bundle| fs::write(bundle.join("config.json"), ANOTHER).unwrap(),
        end: End::Says("config.json"),
        warning: None,
    },
    Change {
        what: "config.json is emptied before it is read",
        call: ("open", "config.json>"),
        delay: AFTER,
        change: |_, bundle| fs::write(bundle.join("config.json"), "").unwrap(),
        end: End::Says("config.json"),
        warning: None,
    },
    Change {
        what: "a CDI file is replaced before it is read",
        call: ("stat", "cdi/nvidia.json>"),
        delay: AFTER,
        change: |scene, _| {
            fs::write(scene.scratch.path("cdi/new"), "nonsense").unwrap();
            fs::rename(scene.scratch.path("cdi/new"), scene.scratch.path("cdi/nvidia.json")).unwrap();
        },
        end: End::Starts,
        warning: None,
    },
    Change {
        what: "a CDI file is emptied before it is read",
        call: ("stat", "cdi/nvidia.json>"),
        delay: AFTER,
        change: |scene, _| fs::write(scene.scratch.path("cdi/nvidia.json"), "").unwrap(),
        end: End::Says("cdi/nvidia.json: failed to load CDI Spec: "),
        warning: None,
    },
    Change {
        what: "a CDI file is gone before it is opened",
        call: ("openat", "nvidia.json"),
        delay: BEFORE,
        change: |scene, _| fs::remove_file(scene.scratch.path("cdi/nvidia.json")).unwrap(),
        end: End::Says(UNRESOLVABLE),
        warning: None,
    },
    Change {
        what: "a library is gone before its mount is looked at",
        call: ("openat2", "\"libcuda.so.9.9\""),
        delay: BEFORE,
        change: |scene, _| fs::remove_file(scene.scratch.path("driver/libcuda.so.9.9")).unwrap(),
        end: End::Says("nvidia.json is out of date and not used"),
        warning: None,
    },
    Change {
        what: "an image's cache is cut short before it is read",
        call: ("stat", "etc/ld.so.cache>"),
        delay: AFTER,
        change: |_, bundle| {
            fs::File::options().write(true).open(bundle.join("rootfs/etc/ld.so.cache")).unwrap().set_len(60).unwrap();
        },
        end: End::Starts,
        warning: Some("ld.so.cache is of no known format"),
    },
    Change {
        what: "an image's cache grows before it is read",
        call: ("stat", "etc/ld.so.cache>"),
        delay: AFTER,
        change: |_, bundle| fs::write(bundle.join("rootfs/etc/ld.so.cache"), vec![b'x'; 20 << 20]).unwrap(),
        end: End::Starts,
        warning: Some("ld.so.cache: File too large"),
    },
    Change {
        what: "an image's cache is replaced by another before it is read",
        call: ("stat", "etc/ld.so.cache>"),
        delay: AFTER,
        change: |_, bundle| {
            let mut cache = Cache::default();
            cache.merge(vec![Library::new(native_flags(true), "libother.so.6", "/lib/libother.so.6")]);
            fs::write(bundle.join("new"), cache.to_bytes()).unwrap();
            fs::rename(bundle.join("new"), bundle.join("rootfs/etc/ld.so.cache")).unwrap();
        },
        end: End::Starts,
        warning: None,
    },
    Change {
        what: "the root is gone before it is opened",
        call: ("open", "/rootfs\", "),
        delay: BEFORE,
        change: |_, bundle| fs::rename(bundle.join("rootfs"), bundle.join("elsewhere")).unwrap(),
        end: End::Starts,
        warning: Some("open the container's root"),
    },
    Change {
        what: "gpu-runc's own configuration is replaced by another before it is read",
        call: ("stat", "gpu-runc.toml>"),
        delay: AFTER,
        change: |scene, _| {
            scene.scratch.write("new", "nonsense");
            fs::rename(scene.scratch.path("new"), scene.scratch.path("gpu-runc.toml")).unwrap();
        },
        end: End::Starts,
        warning: None,
    },
    Change {
        what: "gpu-runc's own configuration is written anew and not yet whole when it is read",
        call: ("stat", "gpu-runc.toml>"),
        delay: AFTER,
        change: |scene, _| drop(scene.scratch.write("gpu-runc.toml", "runtimes = [\"/bin/true\"]\n[cdi]\nspec-di")),
        end: End::Says("gpu-runc.toml:3: "),
        warning: None,
    },
];

#[test]
fn a_file_that_changes_while_it_is_read_is_read_whole_or_not_believed() {
    if !strace::is_usable() {
        return skip("faults: files that change", "needs strace, and to be allowed to trace");
    }
    // All at once: each waits for the most of its time.
    std::thread::scope(|scope| {
        for change in CHANGES {
            scope.spawn(|| meet(change));
        }
    });
}

fn meet(Change { what, call, delay, change, end, warning }: &Change) {
    let scene = Scene::new(None);
    let calm = super::undisturbed(&scene);
    let is_it = |other: &&Call| other.name.contains(call.0) && other.text.contains(call.1) && other.is_own;
    let found = calm.calls.iter().find(is_it).unwrap_or_else(|| panic!("{what}: there is no such call"));
    let fault = Fault::once(found, delay);
    let prefix = fault.prefix();
    let prefix: Vec<&str> = prefix.iter().map(String::as_str).collect();
    let bundle = scene.bundle("bundle");
    let mut child = scene.create(&prefix, &bundle).stderr(std::process::Stdio::null()).spawn().unwrap();
    sleep(Duration::from_millis(600));
    change(&scene, &bundle);
    let image = cache(&bundle);
    let has_started = child.wait().unwrap().success();
    let (there, log) = (config_json(&bundle), scene.scratch.read("bundle.log"));
    match end {
        End::Starts => {
            assert!(has_started && has_gpu(&there), "{what}: {there}, {log}");
            let (now, log) = (cache(&bundle), scene.scratch.read("gpu-runc.log"));
            let warnings: Vec<&str> =
                log.lines().filter(|line| line.contains(" WARN ") && line.contains(" container=bundle ")).collect();
            match warning {
                Some(words) => {
                    assert!(warnings.len() == 1 && warnings[0].contains(words), "{what}: {warnings:?}");
                    assert!(now == image, "{what}: the image's cache has changed");
                }
                None => {
                    assert!(warnings.is_empty(), "{what}: {warnings:?}");
                    let expected = ["libnvidia-ml.so.9.9", "libcuda.so.1", "libcuda.so", "libc.so.6"];
                    assert_eq!(names_in(&now), expected, "{what}");
                }
            }
        }
        End::Says(reason) => {
            assert!(!has_started && log.contains(reason), "{what}: {log}");
            assert!([CONFIG_JSON, ANOTHER, ""].contains(&there.as_str()), "{what}: {there}");
        }
        End::Ends => unreachable!("no file is so bad"),
    }
}

/// The bytes of the image's cache, wherever its root is now.
fn cache(bundle: &Path) -> Vec<u8> {
    let mut roots = ["rootfs", "elsewhere"].iter().map(|root| bundle.join(root).join("etc/ld.so.cache"));
    fs::read(roots.find(|cache| cache.is_file()).unwrap()).unwrap()
}

/// What programs would find by the cache, in the order in which it is looked for.
fn names_in(cache: &[u8]) -> Vec<String> {
    let cache = Cache::parse(cache).expect("the linker reads it");
    cache.libraries.iter().map(|library| library.name.to_string()).collect()
}
