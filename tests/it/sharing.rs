//! Sharing a machine's GPUs, with the real runc and crun: many at once, killed at any step, deleted and started again.
//!
//! The machine is a fake one of eight GPUs; the containers, their processes and their states are real.

use std::fs::{self, File};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::hosts;
use crate::scratch::{program_on_path, skip, succeed};

const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
const ONE_OF_MY_OWN: &str = "count=1,options=lease=exclusive";

/// A machine of eight GPUs on which a low-level runtime keeps its states where it usually does.
struct Machine {
    root: TempDir,
    runtime: PathBuf,
    started: Vec<String>,
}

impl Machine {
    fn new(test: &str, runtime: &str) -> Option<Self> {
        let Some(program) = program_on_path(runtime) else {
            skip(&format!("sharing::{test}"), &format!("{runtime} not on PATH (apt-get install {runtime})"));
            return None;
        };
        let Some(busybox) = program_on_path("busybox") else {
            skip(&format!("sharing::{test}"), "busybox not on PATH (apt-get install busybox-static)");
            return None;
        };
        let root = hosts::make(&["nvidia-h100-8"])?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let machine = Machine { root, runtime: program, started: Vec::new() };
        machine.configure(&machine.runtime, "");
        fs::create_dir_all(machine.path("rootfs/bin")).unwrap();
        fs::copy(busybox, machine.path("rootfs/bin/busybox")).unwrap();
        Some(machine)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn configure(&self, runtime: &Path, more: &str) {
        hosts::configure(self.root.path(), more);
        let file = self.path("gpu-runc.toml");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replace("/bin/true", runtime.to_str().unwrap())).unwrap();
    }

    /// The states of the runtime, where it keeps them by itself on this machine.
    fn states(&self) -> PathBuf {
        self.path("run").join(self.runtime.file_name().unwrap())
    }

    fn bundle(&self, id: &str, gpus: &str) -> PathBuf {
        let bundle = self.path("bundles").join(id);
        fs::create_dir_all(&bundle).unwrap();
        let namespaces = ["pid", "mount", "ipc", "uts"].map(|kind| json!({"type": kind}));
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {"args": ["/bin/busybox", "sleep", "1000"], "cwd": "/", "env": ["PATH=/bin"], "user": {"uid": 0, "gid": 0}},
            "root": {"path": self.path("rootfs").with_file_name(format!("rootfs-{id}"))},
            "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"},
                       {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755"]}],
            "linux": {"namespaces": namespaces, "cgroupsPath": format!("/gpu-runc-sharing-{}-{id}", self.root.path().file_name().unwrap().display())},
        });
        let rootfs = self.path(&format!("rootfs-{id}"));
        fs::create_dir_all(rootfs.join("bin")).unwrap();
        let _ = fs::hard_link(self.path("rootfs/bin/busybox"), rootfs.join("bin/busybox"));
        if !gpus.is_empty() {
            config["annotations"] = json!({"gpu-runc/gpus": gpus});
        }
        fs::write(bundle.join("config.json"), config.to_string()).unwrap();
        bundle
    }

    fn call(&self, program: &str) -> Command {
        // crun refuses a machine with both versions of cgroups.
        let has_both = self.runtime.ends_with("crun") && Path::new("/sys/fs/cgroup/unified").exists();
        let mut command = Command::new(if has_both { "unshare" } else { program });
        if has_both {
            command.args(["--mount", "sh", "-c", "umount -l /sys/fs/cgroup/unified && exec \"$@\"", "sh", program]);
        }
        command.env("GPU_RUNC_CONFIG", self.path("gpu-runc.toml")).stdin(Stdio::null());
        command.arg("--root").arg(self.states());
        command
    }

    /// Starts `create` of a container. What it says is in a file: the container keeps its descriptors.
    fn spawn(&mut self, id: &str, gpus: &str) -> Child {
        let bundle = self.bundle(id, gpus);
        self.started.push(id.to_owned());
        let said = || Stdio::from(File::create(bundle.join("said")).unwrap());
        self.call(GPU_RUNC)
            .args(["create", "--bundle"])
            .arg(&bundle)
            .arg(id)
            .stdout(said())
            .stderr(said())
            .spawn()
            .unwrap()
    }

    /// Creates a container; the error is what was said.
    fn create(&mut self, id: &str, gpus: &str) -> Result<(), String> {
        match self.spawn(id, gpus).wait().unwrap().success() {
            true => Ok(()),
            false => Err(self.said(id)),
        }
    }

    fn said(&self, id: &str) -> String {
        fs::read_to_string(self.path("bundles").join(id).join("said")).unwrap()
    }

    /// The GPUs that a container got, by the minors of their nodes.
    fn gpus(&self, id: &str) -> Vec<i64> {
        let text = fs::read_to_string(self.path("bundles").join(id).join("config.json")).unwrap();
        let config: Value = serde_json::from_str(&text).unwrap();
        // A user who cannot make device nodes gets the host's by bind mounts.
        let entries = |list: &Value, key: &str| -> Vec<i64> {
            let paths = list.as_array().into_iter().flatten().filter_map(|entry| entry[key].as_str());
            paths.filter_map(|path| path.strip_prefix("/dev/nvidia")?.parse().ok()).collect()
        };
        let mut gpus = entries(&config["linux"]["devices"], "path");
        gpus.extend(entries(&config["mounts"], "destination"));
        gpus.sort_unstable();
        gpus
    }

    fn delete(&self, id: &str) {
        let _ = self.call(self.runtime.to_str().unwrap()).args(["delete", "--force", id]).output();
    }

    /// Kills a container's init without telling the runtime.
    fn kill_init(&self, id: &str) {
        let state = succeed(self.call(self.runtime.to_str().unwrap()).args(["state", id]));
        let pid = serde_json::from_str::<Value>(&state).unwrap()["pid"].as_i64().unwrap();
        succeed(Command::new("kill").args(["-9", &pid.to_string()]));
        let stat = PathBuf::from(format!("/proc/{pid}/stat"));
        let deadline = Instant::now() + Duration::from_secs(20);
        // A zombie is dead too.
        while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z")) {
            assert!(Instant::now() < deadline, "init of {id} does not die");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn ctk(&self, args: &[&str]) -> Output {
        hosts::ctk(self.root.path(), args)
    }

    /// For each GPU the ids and leases of its holders.
    fn ps(&self) -> Vec<Vec<(String, String)>> {
        let output = self.ctk(&["ps", "--json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let gpus: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let holders = |gpu: &Value| {
            let rows = gpu["holders"].as_array().unwrap();
            rows.iter().map(|row| (text(&row["id"]), text(&row["lease"]))).collect()
        };
        gpus.iter().map(holders).collect()
    }

    fn table(&self) -> PathBuf {
        self.path("run/gpu-runc/holders/table")
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for id in &self.started {
            self.delete(id);
        }
    }
}

#[test]
fn of_sixty_four_that_ask_for_one_of_eight_exactly_eight_start() {
    let Some(mut machine) = Machine::new("of_sixty_four_that_ask_for_one_of_eight_exactly_eight_start", "runc") else {
        return;
    };
    let ids: Vec<String> = (0..64).map(|number| format!("c{number}")).collect();
    let children: Vec<Child> = ids.iter().map(|id| machine.spawn(id, ONE_OF_MY_OWN)).collect();
    let mut got = Vec::new();
    for (id, mut child) in ids.iter().zip(children) {
        if child.wait().unwrap().success() {
            got.extend(machine.gpus(id));
            continue;
        }
        let said = machine.said(id);
        assert!(
            said.contains(
                "1 GPU requested exclusively, 0 free; nvidia.com/gpu=0 is leased exclusively by runc container c"
            ),
            "{id}: {said}"
        );
    }
    got.sort_unstable();
    assert_eq!(got, [0, 1, 2, 3, 4, 5, 6, 7]);
    let ps = machine.ps();
    assert!(ps.iter().all(|holders| matches!(holders.as_slice(), [(_, lease)] if lease == "exclusive")), "{ps:?}");
    // By name, and all of them.
    let said = machine.create("named", "device=3").unwrap_err();
    assert!(said.contains("nvidia.com/gpu=3 is leased exclusively by runc container c"), "{said}");
    let said = machine.create("everything", "all").unwrap_err();
    assert!(said.contains("nvidia.com/gpu=0 is leased exclusively by runc container c"), "{said}");
    let said = machine.create("shared", "1").unwrap_err();
    assert!(said.contains("1 GPU requested, 0 available; nvidia.com/gpu=0 is leased exclusively by"), "{said}");
    // One is deleted, one dies.
    let holder = |gpu: usize| machine.ps()[gpu][0].0.clone();
    let (deleted, died) = (holder(5), holder(2));
    machine.delete(&deleted);
    machine.kill_init(&died);
    assert_eq!(machine.create("next", ONE_OF_MY_OWN), Ok(()));
    assert_eq!(machine.create("after-next", ONE_OF_MY_OWN), Ok(()));
    assert_eq!((machine.gpus("next"), machine.gpus("after-next")), (vec![2], vec![6]));
    assert!(machine.create("too-many", ONE_OF_MY_OWN).is_err());
}

#[test]
fn a_count_takes_what_fewest_hold_with_runc() {
    counts("runc");
}

#[test]
fn a_count_takes_what_fewest_hold_with_crun() {
    counts("crun");
}

fn counts(runtime: &str) {
    let Some(mut machine) = Machine::new("counts", runtime) else { return };
    for (id, expected) in [("a", 0), ("b", 1), ("c", 2)] {
        assert_eq!(machine.create(id, "1"), Ok(()));
        assert_eq!(machine.gpus(id), [expected], "{id}");
    }
    machine.delete("b");
    assert_eq!(machine.create("d", "1"), Ok(()));
    assert_eq!(machine.gpus("d"), [1], "what was deleted is free again");
    assert_eq!(machine.create("own", "count=2,options=lease=exclusive"), Ok(()));
    assert!(machine.gpus("own").iter().all(|gpu| *gpu > 2), "{:?}", machine.gpus("own"));
    assert_eq!(machine.create("many", "6"), Ok(()), "two are leased, six are not");
    assert!(machine.create("more", "7").unwrap_err().contains("7 GPUs requested, 6 available; "));
    // The same id again, while the container exists: the runtime refuses, and nothing changes.
    assert!(machine.create("own", "1").is_err());
    let ps = machine.ps();
    assert_eq!(ps.iter().flatten().filter(|(id, lease)| id == "own" && lease == "exclusive").count(), 2, "{ps:?}");
    // Deleted and started again.
    machine.delete("own");
    assert_eq!(machine.create("own", "1"), Ok(()));
    let ps = machine.ps();
    assert_eq!(ps.iter().flatten().filter(|(id, _)| id == "own").count(), 1, "{ps:?}");
    assert!(ps.iter().flatten().all(|(_, lease)| lease == "shared"), "{ps:?}");
}

#[test]
fn an_emptied_run_leaves_what_the_runtimes_states_say() {
    let Some(mut machine) = Machine::new("an_emptied_run_leaves_what_the_runtimes_states_say", "runc") else { return };
    assert_eq!(machine.create("a", "\"device=0,1\""), Ok(()));
    fs::remove_dir_all(machine.path("run/gpu-runc")).unwrap();
    assert_eq!(machine.create("b", "1"), Ok(()));
    assert_eq!(machine.gpus("b"), [2], "the states of runc know who has which node");
    assert!(
        machine
            .create("c", "device=1,options=lease=exclusive")
            .unwrap_err()
            .contains("nvidia.com/gpu=1 is requested exclusively, but it is held by runc container a")
    );
    // A container that got its nodes without gpu-runc.
    let text = fs::read_to_string(machine.path("bundles/a/config.json")).unwrap();
    machine.delete("a");
    let bundle = machine.bundle("plain", "");
    fs::write(
        bundle.join("config.json"),
        text.replace("/gpu-runc-sharing", "/gpu-runc-sharing-plain").replace("rootfs-a", "rootfs-plain"),
    )
    .unwrap();
    machine.started.push("plain".to_owned());
    let runc = machine.runtime.to_str().unwrap().to_owned();
    assert!(
        machine
            .call(&runc)
            .args(["create", "--bundle"])
            .arg(&bundle)
            .arg("plain")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap()
            .success()
    );
    assert_eq!(machine.create("d", "2"), Ok(()));
    assert_eq!(machine.gpus("d"), [3, 7], "the GPUs 3 and 4, of which the minors are these");
}

#[test]
fn a_start_that_is_killed_at_any_step_leaks_nothing() {
    let test = "sharing::a_start_that_is_killed_at_any_step_leaks_nothing";
    if program_on_path("strace").is_none() {
        return skip(test, "strace not on PATH (apt-get install strace)");
    }
    let Some(mut machine) = Machine::new(test, "runc") else { return };
    machine.configure(Path::new("/bin/true"), "");
    let all = "count=8,options=lease=exclusive";
    let create = |machine: &mut Machine, inject: Option<usize>| {
        let bundle = machine.bundle("c", all);
        let inject = inject.map(|at| format!("inject=all:signal=SIGKILL:when={at}"));
        let mut command = Command::new("strace");
        command.args(["-o", "/dev/null"]).args(inject.iter().flat_map(|inject| ["-e", inject.as_str()]));
        command.arg(GPU_RUNC).args(["create", "--bundle"]).arg(&bundle).arg("c");
        command.env("GPU_RUNC_CONFIG", machine.path("gpu-runc.toml")).output().unwrap()
    };
    if !create(&mut machine, None).status.success() {
        return skip(test, "strace cannot trace here");
    }
    let mut killed = 0;
    for at in (1..).step_by(5) {
        let is_over = create(&mut machine, Some(at)).status.success();
        killed += usize::from(!is_over);
        let output = create(&mut machine, None);
        assert!(output.status.success(), "killed at call {at}: {}", String::from_utf8_lossy(&output.stderr));
        if is_over {
            break;
        }
    }
    assert!(killed > 10, "{killed}");
    assert!(machine.ps().iter().all(Vec::is_empty));
    assert!(!machine.table().with_file_name("table.new").exists());
}

#[test]
fn a_user_has_records_of_their_own_and_keeps_off_the_systems_leases() {
    let test = "sharing::a_user_has_records_of_their_own_and_keeps_off_the_systems_leases";
    let Some(mut machine) = Machine::new(test, "runc") else { return };
    let Some(setpriv) = program_on_path("setpriv") else {
        return skip(test, "setpriv not on PATH (apt-get install util-linux)");
    };
    assert_eq!(machine.create("roots", "device=0,options=lease=exclusive"), Ok(()));
    machine.configure(Path::new("/bin/true"), "");
    let runtime_dir = machine.path("user");
    fs::create_dir_all(&runtime_dir).unwrap();
    succeed(Command::new("chown").arg("65534:65534").arg(&runtime_dir));
    let bundle = machine.bundle("theirs", "1");
    for path in [&bundle, &bundle.join("config.json")] {
        succeed(Command::new("chown").arg("65534:65534").arg(path));
    }
    // The states of root's containers are root's alone; the records are not.
    let output = Command::new(setpriv)
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--", GPU_RUNC, "create", "--bundle"])
        .arg(&bundle)
        .arg("theirs")
        .env("GPU_RUNC_CONFIG", machine.path("gpu-runc.toml"))
        .env("XDG_RUNTIME_DIR", &runtime_dir)
        .output()
        .unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("access denied") {
        return skip(test, "(optional) the build is in a directory that other users cannot enter");
    }
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(machine.gpus("theirs"), [1]);
    let own = fs::read_to_string(runtime_dir.join("gpu-runc/holders/table")).unwrap();
    assert!(own.starts_with("grant\t") && own.contains("\ttheirs\t"), "{own}");
}

#[test]
fn explain_ps_list_and_doctor_say_who_holds_what() {
    let Some(mut machine) = Machine::new("explain_ps_list_and_doctor_say_who_holds_what", "runc") else { return };
    assert_eq!(machine.create("web", "count=1,options=lease=exclusive"), Ok(()));
    assert_eq!(machine.create("shared", "1"), Ok(()));
    let said = |args: &[&str]| String::from_utf8(machine.ctk(args).stdout).unwrap();
    let explained = said(&["explain", "--annotation", "gpu-runc/gpus=2"]);
    for line in [
        "  nvidia.com/gpu=0 not chosen: held by runc container web, leased exclusively\n",
        "  nvidia.com/gpu=1 not chosen: held by runc container shared\n",
        "  nvidia.com/gpu=2 chosen: no container holds it\n",
    ] {
        assert!(explained.contains(line), "{explained}");
    }
    let table = said(&["ps"]);
    let row = |id: &str| table.lines().find(|line| line.contains(id)).unwrap_or_default().to_owned();
    assert!(row("web").contains("exclusive") && row("web").contains("gpu-runc/gpus=count=1"), "{table}");
    // Another test's gpu-runc can have a node of the same number open just then.
    let is_unheld = |line: &&str| line.contains(" free ") || line.contains("(no container)");
    assert_eq!(table.lines().filter(is_unheld).count(), 6, "{table}");
    assert_eq!(said(&["ps", "web"]).lines().count(), 2);
    assert!(said(&["ps", "--prometheus"]).contains("engine=\"runc\",lease=\"exclusive\",part=\"0\"} 1\n"));
    assert!(said(&["list"]).lines().next().unwrap().contains("HOLDERS"));
    let listed: Vec<Value> = serde_json::from_str(&said(&["list", "--json"])).unwrap();
    let holders: Vec<_> = listed.iter().map(|gpu| gpu["holders"].as_u64().unwrap()).collect();
    assert_eq!(holders, [1, 1, 0, 0, 0, 0, 0, 0]);
    assert!(said(&["doctor"]).contains("2 containers with GPUs, 0 stale records"), "{}", said(&["doctor"]));
}

#[test]
fn limits_and_models_that_this_machine_does_not_have_are_errors() {
    let Some(mut machine) = Machine::new("limits_and_models", "runc") else { return };
    machine.configure(Path::new("/bin/true"), "");
    for (gpus, error) in [
        (
            "count=1,options=memory=8g",
            "option memory cannot be enforced: the kernel has no /sys/fs/cgroup/dmem.capacity",
        ),
        ("count=1,options=model=B200", "no device of nvidia.com/gpu is a model \"B200\"; its models are NVIDIA H100"),
        ("count=9", "unresolvable CDI devices nvidia.com/gpu=8"),
        ("count=1,options=memroy=8g", "unknown option \"memroy\"; did you mean \"memory\"?"),
    ] {
        let said = machine.create("c", gpus).unwrap_err();
        assert!(said.contains(error), "{gpus}: {said}");
    }
    assert_eq!(machine.create("c", "count=1,\"options=model=h100,pick=idle,near=cpus\""), Ok(()));
    let image = machine.bundle("image", "");
    let config = fs::read_to_string(image.join("config.json")).unwrap();
    let greedy = config.replace("PATH=/bin", r#"GPU_VISIBLE_DEVICES=count=8,options=lease=exclusive"#);
    fs::write(image.join("config.json"), greedy).unwrap();
    let output = machine.call(GPU_RUNC).args(["create", "--bundle"]).arg(&image).arg("image").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("policy.exclusive is \"annotations\""), "an image cannot hoard: {said}");
}
