//! The error contract: one record in the engine's log, one line on stderr, exit status 1, and the bundle as it was.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

const ASKS: &str = r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=9"]}}"#;

fn bundle() -> tempfile::TempDir {
    let bundle = tempfile::tempdir().unwrap();
    fs::write(bundle.path().join("config.json"), ASKS).unwrap();
    fs::write(bundle.path().join("gpu-runc.toml"), "runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = [\"/absent\"]\n")
        .unwrap();
    bundle
}

/// Describes the GPU that the container asks for. The spec directory.
fn described(bundle: &Path) -> PathBuf {
    let cdi = bundle.join("cdi");
    fs::create_dir(&cdi).unwrap();
    let spec =
        r#"{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"9","containerEdits":{"env":["A=b"]}}]}"#;
    fs::write(cdi.join("n.json"), spec).unwrap();
    cdi
}

fn gpu_runc(bundle: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-runc"));
    command.env("GPU_RUNC_CONFIG", bundle.join("gpu-runc.toml")).current_dir(bundle).args(args).output().unwrap()
}

#[test]
fn the_engines_log_gets_one_record_in_its_own_format() {
    for (args, log, is_json) in [
        (["--log", "log", "--log-format", "json", "create", "c"].as_slice(), "log", true),
        (&["--log=log", "--log-format=json", "create", "c"], "log", true),
        (&["--log", "log", "create", "c"], "log", false),
        (&["--log", "log", "--log-format", "text", "create", "c"], "log", false),
    ] {
        let bundle = bundle();
        fs::write(bundle.path().join(log), "before\n").unwrap();
        let output = gpu_runc(bundle.path(), args);
        let stderr = String::from_utf8(output.stderr).unwrap();
        let text = fs::read_to_string(bundle.path().join(log)).unwrap();
        let line = text.strip_prefix("before\n").expect("the log is appended to");
        assert_eq!((output.status.code(), line.lines().count(), stderr.lines().count()), (Some(1), 1, 1), "{args:?}");
        let message = stderr.trim_end();
        assert!(
            message.starts_with("CDI device injection failed: unresolvable CDI devices nvidia.com/gpu=9 ("),
            "{message}"
        );
        if is_json {
            let record: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!((record["level"].as_str(), record["msg"].as_str()), (Some("error"), Some(message)));
            let time = record["time"].as_str().unwrap();
            assert_eq!((time.len(), time.as_bytes()[19]), (20, b'Z'), "{time}");
        } else {
            assert!(line.starts_with("time=\"") && line.contains("level=error msg=\"CDI device"), "{line}");
        }
        assert_eq!(fs::read_to_string(bundle.path().join("config.json")).unwrap(), ASKS);
    }
}

#[test]
fn an_error_avoids_the_words_that_engines_turn_into_other_exit_codes() {
    let bundle = bundle();
    for config in [
        "runtimes = [\"/absent/runc\"]",
        "runtimes = [\"/etc/passwd\"]",
        "runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = [\"/etc/passwd\"]",
        "runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = [\"/absent\"]",
        "runtimes = [\"/bin\"]",
        "nonsense",
    ] {
        fs::write(bundle.path().join("gpu-runc.toml"), config).unwrap();
        let output = gpu_runc(bundle.path(), &["create", "c"]);
        let said = String::from_utf8(output.stderr).unwrap().to_lowercase();
        assert_eq!(output.status.code(), Some(1), "{config}: {said}");
        for phrase in [
            "no such file",
            "permission denied",
            "not permitted",
            "executable file not found",
            "not a directory",
            "is a directory",
            "does not exist",
        ] {
            assert!(!said.contains(phrase), "{config}: {said}");
        }
    }
}

#[test]
fn logs_that_cannot_be_written_cost_nothing() {
    let bundle = bundle();
    let cdi = described(bundle.path());
    let fifo = bundle.path().join("fifo");
    nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
    for (log, file) in
        [("/absent/log", "/absent/file"), ("/proc/version", "/proc/version"), ("fifo", fifo.to_str().unwrap())]
    {
        fs::write(bundle.path().join("config.json"), ASKS).unwrap();
        let config = format!("runtimes = [\"/bin/true\"]\n[log]\nfile = {file:?}\n[cdi]\nspec-dirs = [{cdi:?}]\n");
        fs::write(bundle.path().join("gpu-runc.toml"), config).unwrap();
        let good = gpu_runc(bundle.path(), &["--log", log, "create", "c"]);
        assert_eq!((good.status.code(), good.stderr.len()), (Some(0), 0), "{log}: {good:?}");
        fs::write(bundle.path().join("config.json"), "{").unwrap();
        let bad = gpu_runc(bundle.path(), &["--log", log, "create", "c"]);
        assert_eq!((bad.status.code(), bad.stderr.is_empty()), (Some(1), false), "{log}");
    }
}

#[test]
fn a_grant_is_one_line_of_our_own_log() {
    let bundle = bundle();
    let (cdi, log) = (described(bundle.path()), bundle.path().join("gpu-runc.log"));
    let config =
        format!("runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\nfile = {log:?}\n[cdi]\nspec-dirs = [{cdi:?}]\n");
    fs::write(bundle.path().join("gpu-runc.toml"), config).unwrap();
    assert!(gpu_runc(bundle.path(), &["create", "web"]).status.success());
    let text = fs::read_to_string(&log).unwrap();
    let expected = format!(
        "grant container=web devices=nvidia.com/gpu=9 files={} asked by environment variable \"NVIDIA_VISIBLE_DEVICES=9\"\n",
        cdi.join("n.json").display()
    );
    assert!(text.ends_with(&expected) && text.lines().count() == 1, "{text}");
    assert_eq!(fs::metadata(&log).unwrap().mode() & 0o777, 0o640);
    fs::write(bundle.path().join("config.json"), ASKS).unwrap();
    assert!(gpu_runc(bundle.path(), &["create", "we\u{1b}b\n"]).status.success());
    let text = fs::read_to_string(&log).unwrap();
    assert!(text.contains("grant container=we\\u{1b}b\\n devices") && text.lines().count() == 2, "{text}");
}

#[test]
fn replacing_keeps_owner_and_mode_and_leaves_nothing_behind() {
    let bundle = bundle();
    let config_json = bundle.path().join("config.json");
    let cdi = described(bundle.path());
    fs::write(
        bundle.path().join("gpu-runc.toml"),
        format!("runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = [{cdi:?}]\n"),
    )
    .unwrap();
    fs::set_permissions(&config_json, fs::Permissions::from_mode(0o640)).unwrap();
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(&config_json, Some(0), Some(990)).unwrap();
    }
    let before = fs::metadata(&config_json).unwrap();
    assert!(gpu_runc(bundle.path(), &["create", "c"]).status.success());
    let after = fs::metadata(&config_json).unwrap();
    assert_ne!(before.ino(), after.ino(), "a new file took its place");
    assert_eq!((before.mode(), before.uid(), before.gid()), (after.mode(), after.uid(), after.gid()));
    let mut left: Vec<_> = fs::read_dir(bundle.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    left.sort();
    assert_eq!(left, ["cdi", "config.json", "gpu-runc.toml"]);

    // A configuration that is a link to another place stays a link.
    let elsewhere = bundle.path().join("elsewhere.json");
    fs::write(&elsewhere, ASKS).unwrap();
    fs::remove_file(&config_json).unwrap();
    std::os::unix::fs::symlink(&elsewhere, &config_json).unwrap();
    assert!(gpu_runc(bundle.path(), &["create", "c"]).status.success());
    assert!(fs::symlink_metadata(&config_json).unwrap().is_symlink());
    assert!(fs::read_to_string(&elsewhere).unwrap().contains("A=b"));
}

#[test]
fn the_configuration_that_crun_is_told_to_read_is_the_one_that_is_edited() {
    let bundle = bundle();
    let (cdi, crun) = (described(bundle.path()), bundle.path().join("crun"));
    std::os::unix::fs::symlink("/bin/true", &crun).unwrap();
    fs::write(
        bundle.path().join("gpu-runc.toml"),
        format!("runtimes = [{crun:?}]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{cdi:?}]\n"),
    )
    .unwrap();
    let other = bundle.path().join("other.json");
    for args in [["run", "--config", "other.json", "c"].as_slice(), &["create", "-fother.json", "c"]] {
        fs::write(&other, ASKS).unwrap();
        assert!(gpu_runc(bundle.path(), args).status.success(), "{args:?}");
        assert!(fs::read_to_string(&other).unwrap().contains("A=b"), "{args:?}");
        assert_eq!(fs::read_to_string(bundle.path().join("config.json")).unwrap(), ASKS, "{args:?}");
    }
    // crun is in the bundle by the time that it opens the file of its default name, which no other word names.
    let cwd = tempfile::tempdir().unwrap();
    fs::write(cwd.path().join("config.json"), ASKS).unwrap();
    let edits = |file: &str| {
        fs::write(bundle.path().join("config.json"), ASKS).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_gpu-runc"));
        command.args(["run", "--bundle"]).arg(bundle.path()).args(["-f", file, "c"]).current_dir(cwd.path());
        assert!(command.env("GPU_RUNC_CONFIG", bundle.path().join("gpu-runc.toml")).status().unwrap().success());
        [bundle.path(), cwd.path()].map(|folder| fs::read_to_string(folder.join("config.json")).unwrap() != ASKS)
    };
    assert_eq!(edits("config.json"), [true, false]);
    assert_eq!(edits("./config.json"), [false, true]);
}

#[test]
fn what_is_no_configuration_is_said_to_be_none() {
    let bundle = bundle();
    let config_json = bundle.path().join("config.json");
    let said = |bundle: &Path| String::from_utf8(gpu_runc(bundle, &["create", "c"]).stderr).unwrap();
    fs::remove_file(&config_json).unwrap();
    assert_eq!(said(bundle.path()), "", "an absent one is for the low-level runtime to miss");
    fs::create_dir(&config_json).unwrap();
    assert!(said(bundle.path()).contains("config.json: not a regular file"));
    fs::remove_dir(&config_json).unwrap();
    let socket = UnixListener::bind(&config_json).unwrap();
    assert!(said(bundle.path()).contains("config.json: not a regular file"), "{}", said(bundle.path()));
    drop(socket);
    fs::remove_file(&config_json).unwrap();
    fs::write(&config_json, b"{\"process\":{\"env\":[\"NVIDIA_VISIBLE_DEVICES=0\",\"\xff\"]}}").unwrap();
    fs::create_dir(bundle.path().join("cdi")).unwrap();
    let spec =
        r#"{"cdiVersion":"0.5.0","kind":"nvidia.com/gpu","devices":[{"name":"0","containerEdits":{"env":["A=b"]}}]}"#;
    fs::write(bundle.path().join("cdi/n.json"), spec).unwrap();
    let config = format!("runtimes = [\"/bin/true\"]\n[cdi]\nspec-dirs = [{:?}]\n", bundle.path().join("cdi"));
    fs::write(bundle.path().join("gpu-runc.toml"), config).unwrap();
    assert!(said(bundle.path()).contains("config.json: cannot be edited safely: it is not valid UTF-8"));
    let mut bytes = Vec::new();
    fs::File::open(&config_json).unwrap().read_to_end(&mut bytes).unwrap();
    assert!(bytes.contains(&0xff), "and it is as it was");
}

#[test]
fn a_configuration_that_is_a_pipe_is_left_whole_to_the_low_level_runtime() {
    let bundle = bundle();
    let config_json = bundle.path().join("config.json");
    fs::remove_file(&config_json).unwrap();
    nix::unistd::mkfifo(&config_json, nix::sys::stat::Mode::S_IRWXU).unwrap();
    let runtime = bundle.path().join("reads");
    fs::write(&runtime, "#!/bin/sh\nexec timeout 20 cat config.json\n").unwrap();
    fs::set_permissions(&runtime, fs::Permissions::from_mode(0o755)).unwrap();
    let log = bundle.path().join("log");
    let config = format!("runtimes = [{runtime:?}]\n[log]\nsyslog = false\nfile = {log:?}\n");
    fs::write(bundle.path().join("gpu-runc.toml"), config).unwrap();
    let pipe = config_json.clone();
    // Waits for a reader, and dies of SIGPIPE if that one goes without reading.
    let writer = std::thread::spawn(move || fs::write(pipe, ASKS));
    let output = gpu_runc(bundle.path(), &["create", "c"]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), ASKS, "{output:?}");
    writer.join().unwrap().unwrap();
    assert!(fs::read_to_string(log).unwrap().contains("config.json is a pipe"));
}

#[test]
fn a_configuration_that_others_could_have_written_stops_only_who_asks() {
    let bundle = bundle();
    let config = bundle.path().join("gpu-runc.toml");
    fs::write(&config, "runtimes = [\"/bin/true\"]\n").unwrap();
    fs::set_permissions(&config, fs::Permissions::from_mode(0o666)).unwrap();
    let output = gpu_runc(bundle.path(), &["create", "c"]);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        !output.status.success()
            && stderr.contains("gpu-runc.toml: not believed: others than its owner may write to it"),
        "{stderr}"
    );
    assert!(stderr.contains("chmod go-w"), "{stderr}");
    fs::write(bundle.path().join("config.json"), r#"{"process":{"env":[]}}"#).unwrap();
    let output = gpu_runc(bundle.path(), &["create", "c"]);
    // The runtime that the defaults lead to has a word of its own about such a document.
    assert!(!String::from_utf8(output.stderr).unwrap().contains("believed"));
}

#[test]
fn a_message_about_the_configuration_names_the_file_that_is_read() {
    let bundle = bundle();
    let file = bundle.path().join("gpu-runc.toml");
    for (config, document, message) in [
        ("runtimes = [\"/absent/runc\"]\n", "{}", "install one, or name it under \"runtimes\" in FILE\n"),
        (
            "runtimes = [\"/bin/true\"]\n[policy]\nenv = \"privileged\"\nrefused = \"error\"\n",
            ASKS,
            "policy.env is \"privileged\" in FILE and the container lacks CAP_SYS_ADMIN on the host\n",
        ),
        (
            "runtimes = [\"/bin/true\"]\n[policy]\nrefused = \"error\"\n",
            r#"{"process":{"env":["NVIDIA_IMEX_CHANNELS=0"]}}"#,
            "policy.management is \"privileged\" in FILE and the container lacks CAP_SYS_ADMIN on the host\n",
        ),
        (
            "runtimes = [\"/bin/true\"]\n[policy]\nannotations = false\nrefused = \"error\"\n",
            r#"{"annotations":{"gpu-runc/gpus":"all"}}"#,
            "policy.annotations is false in FILE\n",
        ),
    ] {
        fs::write(&file, config).unwrap();
        fs::write(bundle.path().join("config.json"), document).unwrap();
        let said = String::from_utf8(gpu_runc(bundle.path(), &["create", "c"]).stderr).unwrap();
        let message = message.replace("FILE", &file.display().to_string());
        assert!(said.ends_with(&message), "{config}: {said}");
    }
}
