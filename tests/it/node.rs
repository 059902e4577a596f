//! `gpu-ctk node` on a machine's root that is a folder, killed at every step; and with a real containerd.

mod daemon;
pub(crate) mod host;

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

use host::{CONFIG, Host, said};

use crate::scratch::{program_on_path, skip};

const LABEL: &str = "etc/kubernetes/node-feature-discovery/features.d/gpu-runc";
const DROP_IN: &str = "etc/containerd/conf.d/99-gpu-runc.toml";
/// What changes files or starts programs; each counts for itself.
const CALLS: [&str; 10] =
    ["mkdir", "symlink", "rename", "unlink", "unlinkat", "rmdir", "fchmod", "fsync", "write", "vfork,clone,clone3"];

#[test]
fn an_installation_is_whole_and_a_second_run_does_nothing() {
    let Some(host) = Host::new("node::install") else { return };
    let first = host.node("install --source a");
    assert_eq!(first.code, Some(0), "{first:?}");
    let program = fs::read_link(host.path("opt/gpu-runc/current")).unwrap();
    assert_eq!(host.read(&format!("opt/gpu-runc/{}/gpu-runc", program.display())), "#!/bin/sh\n# a\n");
    for (name, mode) in [("gpu-runc", 0o711), ("gpu-ctk", 0o755)] {
        let path = host.path(&format!("opt/gpu-runc/{}/{name}", program.display()));
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o777, mode, "{name}");
    }
    assert!(host.read(DROP_IN).contains("BinaryName = \"/opt/gpu-runc/current/gpu-runc\""), "{}", host.read(DROP_IN));
    assert!(host.read("var/containerd/config.toml").starts_with(CONFIG.split('\n').next().unwrap()));
    assert!(host.path("etc/containerd/config.toml").is_symlink(), "the link is followed inside the root, and stays");
    assert_eq!(host.read("systemctl.log"), "restart containerd 1\n");
    assert!(host.read(LABEL).contains("\nfeature.node.kubernetes.io/gpu-runc.ready=true\n"));
    let before = host.snapshot();

    let second = host.node("install --source a");
    assert_eq!((second.code, second.out.lines().count()), (Some(0), 1), "{second:?}");
    assert_eq!((host.snapshot(), host.read("systemctl.log").lines().count()), (before, 1));

    let status = host.node("status --json");
    let report: serde_json::Value = serde_json::from_str(&status.out).unwrap();
    assert_eq!((status.code, &report["ready"], &report["loaded"]), (Some(0), &true.into(), &true.into()), "{status:?}");
    assert_eq!(host.node("install --source a --pod-annotations").code, Some(0));
    assert!(host.read(DROP_IN).contains("pod_annotations = [\"gpu-runc/*\"]"), "{}", host.read(DROP_IN));
    fs::remove_file(host.path(DROP_IN)).unwrap();
    let status = host.node("status");
    assert!(status.code == Some(1) && status.out.contains("registered  no\n"), "{status:?}");
}

#[test]
fn an_upgrade_switches_one_link_keeps_one_build_and_restarts_nothing() {
    let Some(host) = Host::new("node::upgrade") else { return };
    let link = |name: &str| fs::read_link(host.path("opt/gpu-runc").join(name)).ok();
    let builds = || fs::read_dir(host.path("opt/gpu-runc")).unwrap().count() - 2;
    host.node("install --source a");
    let a = link("current");
    host.node("install --source b");
    let b = link("current");
    assert_eq!((link("previous"), a == b, builds()), (a.clone(), false, 2));
    let bundle = "run/containerd/io.containerd.runtime.v2.task/k8s.io/abc/config.json";
    let hook = format!("{{\"path\": \"/opt/gpu-runc/{}/gpu-runc\"}}", a.unwrap().display());
    host.scratch.write(&format!("host/{bundle}"), &hook);
    host.node("install --source c");
    assert_eq!((link("previous"), builds()), (b.clone(), 3), "the first is named by a container that is being made");
    fs::remove_file(host.path(bundle)).unwrap();
    host.node("install --source b");
    assert_eq!((link("current"), builds()), (b, 2), "a build that was used before comes back");
    assert_eq!(host.read("systemctl.log").lines().count(), 1);
}

#[test]
fn an_engine_that_is_not_well_afterwards_has_its_files_back() {
    let Some(host) = Host::new("node::rollback") else { return };
    host.scratch.write("host/refuse", "");
    let refused = host.node("install --source a");
    assert_eq!(refused.code, Some(1));
    let message =
        "config.toml: containerd refuses it: containerd: what is this?; the engine's files are as they were\n";
    assert!(refused.err.ends_with(message), "{refused:?}");
    assert_eq!(
        (host.read("systemctl.log"), host.path(DROP_IN).exists()),
        (String::new(), false),
        "nothing was restarted"
    );

    fs::remove_file(host.path("refuse")).unwrap();
    host.scratch.write("host/deaf", "");
    let deaf = host.node("install --source a --wait 1");
    let message = "containerd answers, but has no runtime gpu-runc; the engine has its files back and is well again\n";
    assert!(deaf.code == Some(1) && deaf.err.ends_with(message), "{deaf:?}");
    assert_eq!(host.read("systemctl.log"), "restart containerd 1\nrestart containerd 1\n");
    assert_eq!(host.read("var/containerd/config.toml"), CONFIG);
    assert!(!host.path(DROP_IN).exists() && !host.path(LABEL).exists());
    assert!(!host.path("opt/gpu-runc/unfinished.json").exists());
}

#[test]
fn other_engines_are_told_and_restarted_in_their_own_way() {
    let Some(host) = Host::new("node::engines") else { return };
    let folder = "var/lib/rancher/k3s/agent/etc/containerd";
    host.scratch.write(
        &format!("host/{folder}/config.toml"),
        &format!("version = 3\nimports = [\"/{folder}/config-v3.toml.d/*.toml\"]\n"),
    );
    host.listen("run/k3s/containerd/containerd.sock");
    host.listen("run/crio/crio.sock");
    let both = host.node("install --source a");
    assert!(both.code == Some(1) && both.err.contains("this host has k3s, crio, containerd; say which"), "{both:?}");
    for (engine, drop_in, applied) in [
        ("k3s", format!("{folder}/config-v3.toml.d/99-gpu-runc.toml"), "try-restart k3s-agent 1"),
        ("crio", "etc/crio/crio.conf.d/99-gpu-runc.conf".to_owned(), "restart crio 1"),
    ] {
        let signalled = host.node(&format!("install --source a --engine {engine} --restart signal"));
        assert!(signalled.code == Some(1) && signalled.err.contains("has none for it; use systemd"), "{signalled:?}");
        let installed = host.node(&format!("install --source a --engine {engine}"));
        assert_eq!(installed.code, Some(0), "{installed:?}");
        assert!(host.read(&drop_in).contains("/opt/gpu-runc/current/gpu-runc"));
        let status = host.node(&format!("status --engine {engine}"));
        assert!(status.code == Some(0) && status.out.contains("loaded      yes\n"), "{status:?}");
        let gone = host.node(&format!("uninstall --engine {engine}"));
        assert_eq!((gone.code, host.path(&drop_in).exists()), (Some(0), false), "{gone:?}");
        assert_eq!(host.read("systemctl.log"), format!("{applied}\n{applied}\n"));
        fs::remove_file(host.path("systemctl.log")).unwrap();
    }
}

#[test]
fn it_is_not_taken_away_from_a_container_that_uses_it() {
    let Some(host) = Host::new("node::uninstall") else { return };
    let before = host.snapshot();
    assert_eq!(host.node("status --gone").code, Some(0));
    host.node("install --source a");
    assert_eq!(host.node("status --gone").code, Some(1));
    let bundle = host.path("run/containerd/io.containerd.runtime.v2.task/k8s.io/abc");
    fs::create_dir_all(&bundle).unwrap();
    fs::write(bundle.join("runtime"), "/opt/gpu-runc/current/gpu-runc").unwrap();
    fs::create_dir_all(host.path("proc/77")).unwrap();
    fs::write(host.path("proc/77/cmdline"), "conmon\0-r\0/opt/gpu-runc/current/gpu-runc\0").unwrap();
    let held = host.node("uninstall --wait-for-containers 1");
    assert!(
        held.code == Some(1) && held.err.contains("still in use by container k8s.io/abc, process 77; "),
        "{held:?}"
    );
    assert!(host.path("opt/gpu-runc/current/gpu-runc").exists() && host.path(DROP_IN).exists());
    assert!(!host.path(LABEL).exists(), "no new pod is sent here while the old ones end");
    fs::remove_dir_all(&bundle).unwrap();
    fs::remove_dir_all(host.path("proc/77")).unwrap();
    let gone = host.node("uninstall");
    assert_eq!((gone.code, host.snapshot()), (Some(0), before), "{gone:?}");
    assert_eq!(host.node("status --gone").code, Some(0));
    let again = host.node("uninstall");
    assert_eq!((again.code, again.out.as_str()), (Some(0), "nothing of it is left\n"), "{again:?}");
    assert!(!host.path("run/gpu-runc-node.lock").exists(), "the lock is no longer needed");
    let note = "features.d is empty and stays: Node Feature Discovery may have it mounted\n";
    assert!(gone.err.ends_with(note) && again.err.ends_with(note), "{gone:?} {again:?}");
}

#[test]
fn that_nothing_is_left_can_be_told_where_no_engine_runs() {
    let Some(host) = Host::new("node::stopped") else { return };
    host.node("install --source a");
    fs::remove_file(host.path("run/containerd/containerd.sock")).unwrap();
    for args in ["status --gone", "uninstall"] {
        let left = host.node(args);
        assert!(
            left.code == Some(1)
                && left.err.ends_with("no engine runs here that runs pods; start it, or name it by --engine\n"),
            "{left:?}"
        );
    }
    host.reset();
    let ours = "# Written by gpu-ctk runtime configure; --unconfigure removes it.\n";
    for place in ["opt/gpu-runc/current", LABEL, "etc/crio/crio.conf.d/99-gpu-runc.conf", DROP_IN] {
        host.scratch.write(&format!("host/{place}"), ours);
        for args in ["status --gone", "uninstall"] {
            assert_eq!(host.node(args).code, Some(1), "{args} with {place}");
        }
        fs::remove_file(host.path(place)).unwrap();
        let _ = fs::remove_dir(host.path("opt/gpu-runc"));
    }
    let (status, gone) = (host.node("status --gone"), host.node("uninstall"));
    assert!(status.code == Some(0) && status.out.contains("engine      none\n"), "{status:?}");
    assert_eq!((gone.code, gone.out.as_str()), (Some(0), "nothing of it is left\n"), "{gone:?}");
    assert!(!host.path("run/gpu-runc-node.lock").exists());
    assert_eq!(host.node("status").code, Some(1));
    let installed = host.node("install --source a");
    assert!(installed.code == Some(1) && installed.err.contains("no engine runs here"), "{installed:?}");
}

#[test]
fn a_process_that_may_not_be_looked_at_stops_nothing_and_is_told() {
    let Some(host) = Host::new("node::unseen") else { return };
    let Some(strace) = program_on_path("strace") else {
        return skip("node::unseen", "strace not on PATH (apt-get install strace)");
    };
    host.node("install --source a");
    fs::create_dir_all(host.path("proc/77")).unwrap();
    fs::write(host.path("proc/77/cmdline"), "init\0").unwrap();
    let denied = |calls: &str, file: &str, args: &str| {
        let (inject, file) = (format!("inject={calls}:error=EACCES"), format!("/proc/77/{file}"));
        let before = [strace.to_str().unwrap(), "-f", "-o", "/dev/null", "-P", &file, "-e", &inject];
        said(&host.command(&before, args).output().unwrap())
    };
    let program = |args: &str| denied("readlink,readlinkat", "exe", args);
    let status = program("status");
    let line = "in use by   0, as far as the arguments of process 77 tell\n";
    assert!(status.code == Some(0) && status.out.ends_with(line), "{status:?}");
    let nothing = denied("open,openat", "cmdline", "uninstall --wait-for-containers 0");
    let message = "still in use by process 77, which may not be looked at; ";
    assert!(nothing.code == Some(1) && nothing.err.contains(message), "{nothing:?}");
    let gone = program("uninstall");
    assert!(
        gone.code == Some(0) && gone.err.contains("gpu-ctk: process 77: its program may not be looked at"),
        "{gone:?}"
    );
    let status = program("status --gone");
    assert!(status.code == Some(0) && status.out.ends_with(line), "{status:?}");
    fs::remove_dir_all(host.path("proc/77")).unwrap();
}

#[test]
fn a_prefix_that_others_could_replace_is_refused() {
    let Some(host) = Host::new("node::prefix") else { return };
    let before = host.snapshot();
    let chown = |path: &str, uid: u32| std::os::unix::fs::chown(host.path(path), Some(uid), Some(uid)).unwrap();
    fs::create_dir_all(host.path("home/ann/opt")).unwrap();
    chown("home/ann", 1000);
    fs::create_dir_all(host.path("open/opt")).unwrap();
    fs::set_permissions(host.path("open"), fs::Permissions::from_mode(0o777)).unwrap();
    std::os::unix::fs::symlink("/home/ann/opt", host.path("link")).unwrap();
    for (prefix, part) in [
        ("/home/ann", "below /home/ann as root, and it belongs to user 1000"),
        ("/home/ann/opt", "below /home/ann as root, and it belongs to user 1000"),
        ("/home/ann/opt/absent/far", "below /home/ann as root, and it belongs to user 1000"),
        ("/link", "below /home/ann as root, and it belongs to user 1000"),
        ("/open/opt", "below /open as root, and others than its owner may write to it"),
    ] {
        let refused = host.node(&format!("install --source a --prefix {prefix}"));
        assert!(refused.code == Some(1) && refused.err.contains(part), "{prefix}: {refused:?}");
        assert!(
            refused.err.contains("or choose another") && !host.path("home/ann/opt/gpu-runc").exists(),
            "{refused:?}"
        );
    }
    assert_eq!(host.snapshot(), before);
    // In a sticky directory nobody can replace what is root's.
    fs::set_permissions(host.path("open"), fs::Permissions::from_mode(0o1777)).unwrap();
    let placed = host.node("install --source a --prefix /open/opt --restart none --wait 0");
    assert!(placed.code == Some(0) && host.path("open/opt/gpu-runc/current/gpu-runc").exists(), "{placed:?}");
}

#[test]
fn two_installers_do_not_meet() {
    let Some(host) = Host::new("node::lock") else { return };
    let lock = fs::File::create(host.path("run/gpu-runc-node.lock")).unwrap();
    lock.lock().unwrap();
    let second = host.node("install --source a --wait 0");
    assert!(second.code == Some(1) && second.err.contains("another gpu-ctk node is at work"), "{second:?}");
    drop(lock);
    assert_eq!(host.node("install --source a --wait 0 --restart none").code, Some(0));
    assert_eq!(host.read("systemctl.log"), "", "a person restarts it");
    host.node("install --source a");
    assert_eq!(host.read("systemctl.log"), "restart containerd 1\n", "it has not read what is there");
}

#[test]
fn a_lock_that_was_removed_by_who_held_it_keeps_nobody_away() {
    let Some(host) = Host::new("node::relock") else { return };
    let lock = host.path("run/gpu-runc-node.lock");
    let held = fs::File::create(&lock).unwrap();
    held.lock().unwrap();
    let waiting =
        host.command(&[], "install --source a").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    // It has the old file open by now, or meets none: both ways it has to hold the one that is there.
    std::thread::sleep(std::time::Duration::from_millis(500));
    fs::remove_file(&lock).unwrap();
    let third = fs::File::create(&lock).unwrap();
    third.lock().unwrap();
    drop(held);
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(!host.path("opt/gpu-runc").exists(), "two are at work");
    drop(third);
    assert_eq!(said(&waiting.wait_with_output().unwrap()).code, Some(0));
}

#[test]
fn a_run_that_stays_ends_well_when_it_is_told_to() {
    let Some(host) = Host::new("node::stay") else { return };
    // One that fails stays too, and would not say that it is installed.
    let patiently = ["timeout", "60"];
    let mut child = host.command(&patiently, "install --source a --stay").stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    lines.take_while(|line| !line.contains(": installed as ")).for_each(drop);
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// Runs `args` from the state that `prepare` makes, killed before the n-th of each call for every n, and then once more to its end.
/// `code` is how a run ends that nobody kills.
fn killed_everywhere(host: &Host, prepare: &dyn Fn(), args: &str, code: i32) {
    let strace = program_on_path("strace").unwrap();
    prepare();
    assert_eq!(host.node(args).code, Some(code));
    let (expected, loaded) = (host.snapshot(), host.read("loaded"));
    let mut kills = 0;
    for call in CALLS {
        for count in 1.. {
            prepare();
            let inject = format!("inject={call}:signal=KILL:when={count}");
            let traced = ["-o", "/dev/null", "-e", &inject];
            let killed =
                said(&host.command(&[&[strace.to_str().unwrap()], &traced[..]].concat(), args).output().unwrap());
            if killed.code.is_some() {
                break;
            }
            kills += 1;
            let again = host.node(args);
            let place = format!("{args}: killed before {call} {count}, after\n{}then\n{}", killed.out, again.out);
            assert_eq!(again.code, Some(code), "{place}{}", again.err);
            assert_eq!(host.snapshot(), expected, "{place}");
            assert_eq!(host.read("loaded"), loaded, "the engine has not read its files; {place}");
        }
    }
    println!("{args}: killed in {kills} places");
    assert!(kills > 20, "{args}: only {kills} places to be killed at");
}

#[test]
fn killed_anywhere_and_started_again_it_ends_the_same() {
    let Some(host) = Host::new("node::killed") else { return };
    if program_on_path("strace").is_none() {
        return skip("node::killed", "strace not on PATH (apt-get install strace)");
    }
    killed_everywhere(&host, &|| host.reset(), "install --source a", 0);
    let installed = |build: &str| {
        host.reset();
        assert_eq!(host.node(&format!("install --source {build}")).code, Some(0));
    };
    let upgraded = || {
        installed("a");
        host.node("install --source b");
    };
    killed_everywhere(&host, &upgraded, "install --source c", 0);
    killed_everywhere(&host, &|| installed("a"), "uninstall", 0);
    let deaf = || {
        host.reset();
        host.scratch.write("host/deaf", "");
    };
    killed_everywhere(&host, &deaf, "install --source a --wait 0", 1);
}
