//! What the low-level runtime is handed after a grant: its working folder, its signals, its capabilities and its descriptors are those
//! that the engine gave; and the files of the container's root say nothing of what the container's variables say.

use std::fs;
use std::process::{Command, Stdio};

use super::scene::{CONFIG_JSON, Scene, config_json, has_gpu, snapshot};
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

#[test]
fn what_a_variable_says_is_in_no_file_of_the_containers_root() {
    const LINE: &str = "made-up::0:0::/:/bin/sh";
    const FILES: [&str; 4] = ["passwd", "group", "hosts", "profile"];
    let document = CONFIG_JSON.replace("\"PATH=/bin\"", &format!("\"PATH=/bin\",\"HOME=/root\\n{LINE}\",\"{LINE}=1\""));
    let machine = Scene::of_machine();
    if machine.is_none() {
        skip("what_a_variable_says, from a machine without CDI files", "needs CAP_MKNOD");
    }
    for scene in [Some(Scene::new(None)), machine].into_iter().flatten() {
        let bundle = scene.bundle("bundle");
        for file in FILES {
            fs::write(bundle.join("rootfs/etc").join(file), "root:x:0:0::/root:/bin/sh\n").unwrap();
        }
        fs::write(bundle.join("config.json"), &document).unwrap();
        let before = snapshot(&bundle.join("rootfs"));
        assert!(scene.create(&[], &bundle).status().unwrap().success());
        assert!(has_gpu(&config_json(&bundle)) && config_json(&bundle).matches(LINE).count() == 2);
        let after = snapshot(&bundle.join("rootfs"));
        // What a CDI file sets for the container is no different.
        let says = |(name, there): &(&String, &String)| {
            [LINE, "GPU_DRIVER", "NVIDIA_VISIBLE_DEVICES"]
                .iter()
                .any(|word| name.contains(word) || there.contains(word))
        };
        assert_ne!(before, after, "the root was prepared");
        assert_eq!(after.iter().find(says), None);
        for file in FILES.map(|file| format!("/etc/{file}")) {
            assert!(before.contains_key(&file) && before.get(&file) == after.get(&file), "{file}");
        }
    }
}
