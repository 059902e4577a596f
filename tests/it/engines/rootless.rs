//! nerdctl of a user who is not root: containerd inside rootlesskit's user namespace, with the network of slirp4netns.

use super::engine::{GPU_RUNC, IMAGE};
use super::host;
use super::place::Place;
use super::session::{Outcome, Session, wait_until};
use crate::scratch::skip;

const USER: u32 = 4711;
const HOME: &str = "/run/user/4711/home";
const NEEDS: &[(&str, &str)] = &[
    ("nerdctl", "hack/engines nerdctl"),
    ("rootlesskit", "hack/engines rootlesskit"),
    ("containerd", "apt-get install containerd"),
    ("ctr", "apt-get install containerd"),
    ("containerd-shim-runc-v2", "apt-get install containerd"),
    ("runc", "apt-get install runc"),
    ("busybox", "apt-get install busybox-static"),
    ("slirp4netns", "apt-get install slirp4netns"),
    ("newuidmap", "apt-get install uidmap"),
];

/// What root prepares: the user and her ids, programs where she can reach them, and a /dev.
const PREPARE: &str = r#"
set -e
umask 022
scratch=$1
shift
echo "rootless:x:4711:4711::$HOME:/bin/sh" >>/etc/passwd
echo 'rootless:x:4711:' >>/etc/group
for ids in /etc/subuid /etc/subgid; do echo rootless:100000:65536 >>$ids; done
chmod 755 "$scratch"
mkdir -p /run/engines
for program; do
    touch "/run/engines/${program##*/}"
    mount --bind "$(realpath "$program")" "/run/engines/${program##*/}"
done
# Without root runc mounts the host's node of the container's name, so that the made-up ones are in a /dev of this session.
mkdir -p /run/dev && mount -t tmpfs -o mode=755 tmpfs /run/dev
for name in null zero full random urandom tty; do touch /run/dev/$name && mount --bind /dev/$name /run/dev/$name; done
for name in pts shm; do mkdir /run/dev/$name; done
mount --rbind /dev/pts /run/dev/pts && mount -t tmpfs -o mode=1777 tmpfs /run/dev/shm
ln -s pts/ptmx /run/dev/ptmx && ln -s /proc/self/fd /run/dev/fd
mkdir /run/dev/net && mknod -m 666 /run/dev/net/tun c 10 200
cp -a "$scratch"/host/dev/nvidia* /run/dev/
mount --rbind /run/dev /dev
mkdir -p "$HOME" && chmod 700 /run/user/4711
cat >"$HOME/containerd.toml" <<TOML
version = 2
root = "$HOME/containerd"
state = "/run/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
address = "/run/containerd/containerd.sock"
TOML
chown -R 4711:4711 /run/user/4711
touch "$scratch/gpu-runc.log" && chmod 666 "$scratch/gpu-runc.log"
chmod 777 "$scratch/hooks"
"#;

/// What containerd-rootless.sh of nerdctl does.
const DAEMON: &str = r#"exec rootlesskit --state-dir=/run/user/4711/containerd-rootless --net=slirp4netns --mtu=65520 \
    --disable-host-loopback --port-driver=builtin --copy-up=/etc --copy-up=/run --copy-up=/var/lib --propagation=rslave \
    sh -c 'rm -rf /run/containerd; mkdir -p /run/user/4711/containerd /run/containerd
           mount --bind /run/user/4711/containerd /run/containerd
           exec containerd --config "$HOME/containerd.toml"' >"$HOME/daemon.log" 2>&1"#;

#[test]
fn rootless_nerdctl_gives_containers_their_gpus() {
    let test = "engines::nerdctl, rootless";
    let places = Place::all("nerdctl");
    let has_all = |place: &&Place| NEEDS.iter().all(|(program, _)| place.program(program).is_some());
    let Some(place) = places.iter().find(has_all) else {
        let place = places.last().unwrap();
        let (program, package) = NEEDS.iter().find(|(program, _)| place.program(program).is_none()).unwrap();
        return skip(test, &format!("{program} not on PATH ({package})"));
    };
    let session = Some(()).filter(|()| nix::unistd::geteuid().is_root()).and_then(|()| Session::new(place));
    let Some(session) = session else { return skip(test, "needs root, to become another user, and mounts of its own") };
    prepare(&session, place);
    session.spawn(&as_user(DAEMON));
    let answers = wait_until(|| Some(nerdctl(&session, "info")).filter(|outcome| outcome.code == 0));
    assert!(answers.is_some(), "{:?}\n{}", nerdctl(&session, "info"), daemon_log(&session));
    // --local: the daemon unpacks for no snapshotter but its default one.
    let loaded = session.run(&as_user(&format!(
        "nsenter -t $(cat $XDG_RUNTIME_DIR/containerd-rootless/child_pid) -U -m --preserve-credentials \
         ctr --namespace default images import --local --snapshotter native {}",
        session.scratch.text("image.tar")
    )));
    assert_eq!(loaded.code, 0, "{loaded:?}");
    scenarios(&session);
}

fn prepare(session: &Session, place: &Place) {
    let scratch = &session.scratch;
    host::make(scratch);
    host::describe(scratch);
    scratch.image(IMAGE, &scratch.path("rootfs"));
    let programs = NEEDS.iter().filter(|(program, _)| !["newuidmap", "slirp4netns", "busybox"].contains(program));
    let programs = programs.map(|(program, _)| place.program(program).unwrap().display().to_string());
    let head = ["env", &format!("HOME={HOME}"), "sh", "-c", PREPARE, "prepare", &scratch.text("")];
    let head = head.map(|word| word.trim_end_matches('/').to_owned());
    let prepared = session.run(&head.into_iter().chain(programs).chain([GPU_RUNC.to_owned()]).collect::<Vec<_>>());
    assert_eq!(prepared.code, 0, "{prepared:?}");
    let [log, cdi] = ["gpu-runc.log", "cdi"].map(|name| scratch.text(name));
    let text = format!(
        "runtimes = [\"/run/engines/runc\"]\n[log]\nsyslog = false\nfile = {log:?}\n[cdi]\nspec-dirs = [{cdi:?}]\n\
         [inject]\ngenerate = \"never\"\n"
    );
    scratch.write("gpu-runc/config.toml", &text);
}

/// A script of the user's.
fn as_user(script: &str) -> Vec<String> {
    let user = USER.to_string();
    let head = ["setpriv", "--reuid", &user, "--regid", &user, "--clear-groups", "env", "-i", "-C", HOME];
    let path = "PATH=/run/engines:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin";
    let run = "XDG_RUNTIME_DIR=/run/user/4711";
    let tail = [&format!("HOME={HOME}"), run, path, "sh", "-c", script];
    head.into_iter().chain(tail).map(str::to_owned).collect()
}

fn nerdctl(session: &Session, words: &str) -> Outcome {
    session.run(&as_user(&format!("nerdctl --snapshotter native --cgroup-manager none {words}")))
}

fn daemon_log(session: &Session) -> String {
    std::fs::read_to_string(session.outside(&format!("{HOME}/daemon.log"))).unwrap_or_default()
}

fn scenarios(session: &Session) {
    let run = |options: &str, script: &str| {
        let head = format!("run --rm --network none {options} {IMAGE} sh -c '{script}'");
        nerdctl(session, &head)
    };
    let ours = "--runtime /run/engines/gpu-runc";
    let cdi = session.scratch.text("cdi");
    let see = "cd /dev; echo nvidia*; id -u; head -c 1 /dev/zero | wc -c";
    let mut failed = Vec::new();
    for (options, expected) in [
        (String::new(), "nvidia*"),
        (ours.to_owned(), "nvidia*"),
        (format!("{ours} -e NVIDIA_VISIBLE_DEVICES=0"), "nvidia0 nvidiactl"),
        (format!("{ours} -e GPU_VISIBLE_DEVICES=nvidia.com/gpu=1"), "nvidia1 nvidiactl"),
        (format!("{ours} --annotation gpu-runc/gpus=all"), "nvidia0 nvidia1 nvidiactl"),
    ] {
        let seen = run(&options, see);
        if (seen.code, seen.stdout.as_str()) != (0, &format!("{expected}\n0\n1\n")) {
            failed.push(format!("{options}: {seen:?}"));
        }
    }
    // Its own CDI, beside an annotation of ours.
    let own = nerdctl(
        session,
        &format!(
            "--cdi-spec-dirs {cdi} run --rm --network none {ours} --gpus device=1 --annotation gpu-runc/gpus=device=1 {IMAGE} \
             sh -c 'cd /dev; echo nvidia*; grep -c libcuda /proc/mounts; head -c 1 nvidia1 | wc -c'"
        ),
    );
    if (own.code, own.stdout.as_str()) != (0, "nvidia1 nvidiactl\n1\n1\n") {
        failed.push(format!("--gpus: {own:?}"));
    }
    let refused = run(&format!("{ours} -e NVIDIA_VISIBLE_DEVICES=9"), "true");
    if refused.code != 1 || !refused.stderr.contains("unresolvable CDI devices nvidia.com/gpu=9") {
        failed.push(format!("{refused:?}"));
    }
    assert!(failed.is_empty(), "{failed:#?}\n{}\n{}", daemon_log(session), session.scratch.read("gpu-runc.log"));
}
