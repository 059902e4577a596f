//! What the low-level runtime is handed after a grant: its working folder, its signals, its capabilities and its descriptors are those
//! that the engine gave.

use std::fs;
use std::process::{Command, Stdio};

use super::scene::{Scene, config_json, has_gpu};
use crate::scratch::skip;

/// Writes down what it is and what it holds. Its own state is read without a child: a shell blocks signals while it makes one.
const RECORDER: &str = r#"#!/bin/sh
{
    while read -r name value; do
        case $name in Umask:|PPid:|Groups:|NoNewPrivs:|Seccomp:|SigBlk:|SigIgn:|Cap*) echo "$name $value" ;; esac
    done < /proc/$$/status
    tr '\0' '\n' < /proc/$$/environ
    for fd in /proc/$$/fd/*; do printf '%s ' "${fd##*/}"; readlink "$fd" || echo; done
    pwd
} > "$RECORD"
"#;

/// What `command` hands to the runtime, called by an engine that left a folder open, as CVE-2024-21626 needs.
fn handed_by(scene: &Scene, mut command: Command) -> String {
    let words: Vec<_> = [command.get_program()].into_iter().chain(command.get_args()).map(|w| w.to_owned()).collect();
    let record = scene.scratch.path("record");
    command = Command::new("/bin/sh");
    command.args(["-c", "umask 027; trap '' USR1; exec \"$@\" 3</ 7</dev/zero", "sh"]).args(words);
    command.env_clear().env("PATH", "/usr/bin:/bin");
    command.env("GPU_RUNC_CONFIG", scene.scratch.path("gpu-runc.toml")).env("RECORD", &record);
    command.current_dir(scene.scratch.path("")).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    assert!(command.status().unwrap().success());
    fs::read_to_string(record).unwrap()
}

#[test]
fn nothing_that_a_grant_opened_is_handed_on() {
    let test = "nothing_that_a_grant_opened_is_handed_on";
    let machine = Scene::of_machine();
    if machine.is_none() {
        skip(&format!("{test}, from a machine without CDI files"), "needs CAP_MKNOD");
    }
    let logged = Scene::new(None).with_system_log();
    if logged.is_none() {
        skip(&format!("{test}, with a system log"), "needs root, for a /dev of its own");
    }
    for scene in [Some(Scene::new(None)), machine, logged].into_iter().flatten() {
        let recorder = scene.scratch.program("recorder", RECORDER);
        let rest = scene.scratch.read("gpu-runc.toml");
        let rest: String =
            rest.lines().filter(|line| !line.starts_with("runtimes")).map(|l| format!("{l}\n")).collect();
        scene.scratch.write("gpu-runc.toml", &format!("runtimes = [{recorder:?}]\n{rest}"));
        let bundle = scene.bundle("handed");
        let through = handed_by(&scene, scene.create(&[], &bundle));
        assert!(has_gpu(&config_json(&bundle)), "{}", config_json(&bundle));
        assert!(bundle.join("rootfs/etc/ld.so.conf.d").is_dir(), "the root was prepared");
        assert!(scene.has_told_grant_of(&bundle), "a log was opened");
        let direct = handed_by(&scene, scene.command(&[], &recorder));
        assert_eq!(through, direct);
        let held = |fd: &str| through.lines().any(|line| line.starts_with(&format!("{fd} ")));
        assert!(held("3") && held("7"), "{through}");
    }
}
