//! What the low-level runtime sees: the same process, arguments, environment and descriptors as if it had been called directly.

mod real;

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::engines::place::Place;
use crate::engines::session::Session;
use crate::scratch::{Scratch, skip};

/// A runtime that writes down how it was called and exits with status 3.
const RECORDER: &str = r#"#!/bin/sh
{
    tr '\0' '\n' < /proc/$$/cmdline
    tr '\0' '\n' < /proc/$$/environ
    grep -E '^(SigIgn|Umask|PPid|NoNewPrivs|CapEff):' /proc/$$/status
    for fd in 0 1 2 7; do readlink /proc/$$/fd/$fd; done
    pwd
    cat
    echo pid $$
} > "$RECORD"
exit 3
"#;

struct Setting {
    scratch: tempfile::TempDir,
    recorder: PathBuf,
    config: PathBuf,
}

impl Setting {
    fn new(name: &str) -> Self {
        let scratch = tempfile::tempdir().unwrap();
        let recorder = scratch.path().join(name);
        fs::write(&recorder, RECORDER).unwrap();
        fs::set_permissions(&recorder, fs::Permissions::from_mode(0o755)).unwrap();
        let config = scratch.path().join("config.toml");
        fs::write(&config, format!("runtimes = [{recorder:?}]\n[log]\nsyslog = false\n")).unwrap();
        Setting { scratch, recorder, config }
    }

    /// What the runtime records when `program` is called with `args`.
    fn record(&self, program: &Path, args: &[OsString]) -> Vec<u8> {
        let record = self.scratch.path().join("record");
        let input = self.scratch.path().join("input");
        fs::write(&input, "on stdin\n").unwrap();
        let mut command = Command::new("/bin/sh");
        // The shell hands descriptor 7 on and ignores SIGPIPE's neighbour, as an engine might.
        command
            .args(["-c", "umask 027; trap '' USR1; exec \"$@\" 7</dev/zero"])
            .arg(self.recorder.as_os_str())
            .arg(program)
            .args(args)
            .env_clear()
            .envs([("RECORD", record.as_os_str()), ("GPU_RUNC_CONFIG", self.config.as_os_str())])
            .env("PATH", "/usr/bin:/bin")
            .env("ODD", OsStr::from_bytes(b"\xff="))
            .current_dir(self.scratch.path())
            .stdin(fs::File::open(&input).unwrap())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let child = command.spawn().unwrap();
        let pid = format!("pid {}\n", child.id());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(3), "the runtime's exit code comes through: {output:?}");
        assert!(output.stdout.is_empty() && output.stderr.is_empty(), "{output:?}");
        let mut record = fs::read(record).unwrap();
        assert!(record.ends_with(pid.as_bytes()), "the pid stays");
        record.truncate(record.len() - pid.len());
        // Pipes are numbered anew for each call.
        String::from_utf8_lossy(&record)
            .replace('\u{fffd}', "?")
            .lines()
            .filter(|line| !line.starts_with("pipe:"))
            .collect::<Vec<_>>()
            .join("\n")
            .into_bytes()
    }
}

/// The calls of the engines: containerd's shim, podman, CRI-O, buildkit, and people.
const CALLS: &[&str] = &[
    "",
    "--version",
    "-v",
    "--help",
    "features",
    "no-such-verb --and flags",
    "--root /r --log /l/log.json --log-format json --systemd-cgroup create --bundle B --pid-file B/init.pid --console-socket S ID",
    "--root /r --log /l/log.json --log-format json create --bundle B --pid-file B/init.pid --no-pivot --no-new-keyring ID",
    "--root /r start ID",
    "--root /r exec --process /tmp/runc-process1 --console-socket S --detach --pid-file B/E.pid ID",
    "--root /r kill --all ID 9",
    "--root /r kill ID 15",
    "--root /r delete ID",
    "--root /r delete --force ID",
    "--root /r ps --format json ID",
    "--root /r pause ID",
    "--root /r resume ID",
    "--root /r update --resources=- ID",
    "--root /r checkpoint --image-path P --work-path W --leave-running ID",
    "--root /r restore --image-path P --work-path W --detach --pid-file F -no-subreaper --bundle B ID",
    "--root /r state ID",
    "--root /r list --format=json",
    "--root /r events --stats ID",
    "spec",
    "--systemd-cgroup --log-format=json --log /l create --bundle B --pid-file P --preserve-fds 4 ID",
    "--root=/run/crio --systemd-cgroup create --bundle B --pid-file F ID",
    "--root R --systemd-cgroup kill ID KILL",
    "--root=R exec -d --console-socket=S --tty --pid-file=F ID cmd --flag",
    "--log /l --log-format json run --bundle B --no-pivot --keep ID",
    "run -b B ID",
    "run -d ID",
    "create create",
    "delete create",
    "--root create create create",
    "state version",
    "run -- ID",
    "create",
];

fn words(line: &str) -> Vec<OsString> {
    line.split_whitespace().map(OsString::from).collect()
}

#[test]
fn every_call_reaches_the_runtime_as_it_was_made() {
    let ours = Path::new(env!("CARGO_BIN_EXE_gpu-runc"));
    for name in ["runc", "crun", "youki"] {
        let setting = Setting::new(name);
        for call in CALLS {
            let args = words(call);
            let (direct, through) = (setting.record(&setting.recorder, &args), setting.record(ours, &args));
            assert_eq!(String::from_utf8_lossy(&direct), String::from_utf8_lossy(&through), "{name} {call}");
        }
    }
}

#[test]
fn arguments_that_are_no_text_pass_byte_for_byte() {
    let setting = Setting::new("runc");
    for bytes in [b"\xff\xfe".as_slice(), b"a\nb", b"", b" ", b"--bundle=\xf0\x28\x8c\x28"] {
        for verb in ["create", "state", "run"] {
            let args = [verb.into(), OsStr::from_bytes(bytes).to_owned(), "--".into()];
            let ours = Path::new(env!("CARGO_BIN_EXE_gpu-runc"));
            assert_eq!(setting.record(&setting.recorder, &args), setting.record(ours, &args), "{verb} {bytes:?}");
        }
    }
}

#[test]
fn a_broken_configuration_stops_only_those_who_ask_for_a_gpu() {
    let scratch = tempfile::tempdir().unwrap();
    let (bin, config) = (scratch.path().join("bin"), scratch.path().join("config.toml"));
    fs::create_dir(&bin).unwrap();
    fs::write(bin.join("runc"), "#!/bin/sh\nexit 3\n").unwrap();
    fs::set_permissions(bin.join("runc"), fs::Permissions::from_mode(0o755)).unwrap();
    let call = |verb: &str, env: &str| {
        fs::write(scratch.path().join("config.json"), format!(r#"{{"process":{{"env":["{env}"]}}}}"#)).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-runc"));
        command.args([verb, "c"]).env("PATH", &bin).env("GPU_RUNC_CONFIG", &config).current_dir(scratch.path());
        command.output().unwrap()
    };
    for (text, told) in [
        (None, "config.toml: not found, though GPU_RUNC_CONFIG names it"),
        (Some("runtimes = ["), "config.toml:1: "),
        (Some("runtimes = [\"./runc\"]"), "config.toml:1: runtimes holds \"./runc\""),
    ] {
        if let Some(text) = text {
            fs::write(&config, text).unwrap();
        }
        for verb in ["state", "kill", "delete", "exec", "create", "run"] {
            assert_eq!(call(verb, "A=b").status.code(), Some(3), "{verb}");
        }
        let refused = call("create", "NVIDIA_VISIBLE_DEVICES=all");
        assert_eq!(refused.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&refused.stderr).contains(told), "{refused:?}");
    }
}

#[test]
fn the_runtime_is_found_without_an_environment_and_never_is_ourselves() {
    let scratch = tempfile::tempdir().unwrap();
    let ours = Path::new(env!("CARGO_BIN_EXE_gpu-runc"));
    let folder = |name: &str| {
        let folder = scratch.path().join(name);
        fs::create_dir(&folder).unwrap();
        folder
    };
    let (link, copy, real) = (folder("link"), folder("copy"), folder("real"));
    std::os::unix::fs::symlink(ours, link.join("fake-runc")).unwrap();
    fs::copy(ours, copy.join("fake-runc")).unwrap();
    let config = scratch.path().join("config.toml");
    fs::write(&config, "runtimes = [\"fake-runc\"]\n[log]\nsyslog = false\n").unwrap();
    let path = std::env::join_paths([&link, &copy, &real]).unwrap();
    let call = |path: &OsStr| {
        Command::new(ours)
            .arg("state")
            .arg("c")
            .env_clear()
            .env("PATH", path)
            .env("GPU_RUNC_CONFIG", &config)
            .output()
            .unwrap()
    };
    let alone = call(&path);
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert_eq!(alone.status.code(), Some(1));
    assert!(said.contains("no low-level runtime found") && said.contains("gpu-runc itself"), "{said}");
    fs::write(real.join("fake-runc"), "#!/bin/sh\nexit 4\n").unwrap();
    fs::set_permissions(real.join("fake-runc"), fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(call(&path).status.code(), Some(4), "both of ours are passed over");

    // A relative folder in PATH is the bundle's business, not ours.
    let mut relative = Command::new(ours);
    relative.args(["state", "c"]).env("PATH", ".:").env("GPU_RUNC_CONFIG", &config).current_dir(&real);
    assert_eq!(relative.output().unwrap().status.code(), Some(1));

    let mut bare = Command::new(ours);
    bare.env_clear().env("GPU_RUNC_CONFIG", "/absent").arg0("").args(["--version"]);
    let output = bare.output().unwrap();
    let found = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/usr/libexec/crio"]
        .iter()
        .any(|folder| Path::new(folder).join("runc").exists());
    assert_eq!(output.status.success(), found, "runc is found in the usual folders without PATH: {output:?}");
}

#[test]
fn a_runtime_that_cannot_be_executed_is_passed_over_and_named() {
    let scratch = Scratch::new();
    let file = scratch.write("file/fake-runc", "#!/bin/sh\nexit 4\n");
    fs::create_dir_all(scratch.path("folder/fake-runc")).unwrap();
    let config = scratch.write("config.toml", "runtimes = [\"fake-runc\"]\n[log]\nsyslog = false\n");
    let path = std::env::join_paths(["file", "folder", "real"].map(|name| scratch.path(name))).unwrap();
    let call = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-runc"));
        command.args(["state", "c"]).env_clear().env("PATH", &path).env("GPU_RUNC_CONFIG", &config).output().unwrap()
    };
    let alone = call();
    let said = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert_eq!(alone.status.code(), Some(1));
    for place in [file.as_path(), &scratch.path("folder/fake-runc")] {
        assert!(said.contains(&format!("{} is no executable file", place.display())), "{said}");
    }
    scratch.program("real/fake-runc", "#!/bin/sh\nexit 4\n");
    assert_eq!(call().status.code(), Some(4), "the next place on PATH has one");
}

#[test]
fn the_runtimes_of_cri_os_packages_are_found_where_they_are() {
    let session = Some(()).filter(|()| nix::unistd::geteuid().is_root()).and_then(|()| Session::new(&Place::default()));
    let Some(session) = session else {
        return skip("passthrough::cri-o", "needs root, and mounts of its own");
    };
    session.scratch.write("gpu-runc/config.toml", "runtimes = [\"no-such-runtime\", \"cri-os-own\"]\n");
    let program = "#!/bin/sh\necho $0 $*\n";
    let program = session.scratch.program("cri-os-own", program).display().to_string();
    let script = format!(
        "mount -t tmpfs tmpfs /usr/libexec && mkdir /usr/libexec/crio && cp {program} /usr/libexec/crio/ && {} state c",
        env!("CARGO_BIN_EXE_gpu-runc")
    );
    let outcome = session.run(&["sh", "-c", &script].map(str::to_owned));
    assert_eq!((outcome.code, outcome.stdout.as_str()), (0, "/usr/libexec/crio/cri-os-own state c\n"), "{outcome:?}");
}
