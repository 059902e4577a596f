//! NVIDIA's hooks beside ours of the same names, on roots that are alike: the same links, modes, answers of the linker's cache, and
//! whether they succeed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;

use super::peer;
use crate::scratch::{Scratch, program_on_path, skip, succeed};

const PROGRAM: &str = "nvidia-cdi-hook";
const LINKER: &str = "/lib64/ld-linux-x86-64.so.2";

/// A bundle of a small root with some of all that links are made over.
fn bundle() -> Scratch {
    let scratch = Scratch::new();
    let root = scratch.path("bundle/rootfs");
    for folder in ["usr/lib/folder", "etc", "opt/real", "proc", "dev/dri"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    scratch.write("bundle/config.json", r#"{"ociVersion":"1.0.2","root":{"path":"rootfs"}}"#);
    scratch.write("bundle/rootfs/usr/lib/file", "of the image");
    symlink("old", root.join("usr/lib/link")).unwrap();
    symlink("t", root.join("usr/lib/same")).unwrap();
    symlink("/opt/real", root.join("usr/lib/elsewhere")).unwrap();
    symlink("../../../../..", root.join("usr/lib/climbs")).unwrap();
    symlink("loop", root.join("usr/lib/loop")).unwrap();
    scratch
}

/// Runs the hook; whether it succeeds, and what it says.
fn run(scratch: &Scratch, program: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new(program);
    told(scratch, command.args(args))
}

/// The same where the low-level runtime runs it: in a mount namespace, with the container's root mounted.
fn run_in_namespace(scratch: &Scratch, program: &Path, args: &[&str]) -> (bool, String) {
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "sh",
        "-c",
        "mount --bind rootfs rootfs && exec \"$@\"",
        "sh",
    ]);
    told(scratch, command.arg(program).args(args))
}

/// Runs `command` and tells it of the container.
fn told(scratch: &Scratch, command: &mut Command) -> (bool, String) {
    command.current_dir(scratch.path("bundle"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let state =
        json!({"ociVersion": "1.0.2", "id": "c", "status": "creating", "pid": 1, "bundle": scratch.path("bundle")});
    let _ = child.stdin.take().unwrap().write_all(state.to_string().as_bytes());
    let output = child.wait_with_output().unwrap();
    (output.status.success(), String::from_utf8_lossy(&output.stderr).trim().to_owned())
}

/// gpu-runc by the name of the peer.
fn ours(scratch: &Scratch) -> std::path::PathBuf {
    let link = scratch.path(PROGRAM);
    let _ = symlink(env!("CARGO_BIN_EXE_gpu-runc"), &link);
    link
}

/// Everything below `folder`: place, and target, or mode and text.
fn tree(folder: &Path, place: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let place = format!("{place}/{}", entry.file_name().to_str().unwrap());
        let metadata = fs::symlink_metadata(entry.path()).unwrap();
        if metadata.is_symlink() {
            found.insert(format!("{place} -> {}", fs::read_link(entry.path()).unwrap().display()));
            continue;
        }
        let text = if metadata.is_file() { fs::read_to_string(entry.path()).unwrap() } else { String::new() };
        found.insert(format!("{place} {:o} {text}", metadata.permissions().mode() & 0o7777).trim_end().to_owned());
        if metadata.is_dir() {
            tree(&entry.path(), &place, found);
        }
    }
}

fn root_of(scratch: &Scratch) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    tree(&scratch.path("bundle/rootfs"), "", &mut found);
    found
}

/// A hook that the two do differently on purpose: what only ours leaves in the root, and what only theirs.
struct Intended {
    hook: &'static str,
    why: &'static str,
    ours: &'static [&'static str],
    theirs: &'static [&'static str],
}

const INTENDED: &[Intended] = &[
    Intended {
        hook: "chmod --mode 711 --path /usr/lib/elsewhere",
        why: "a link leads to a place in the container; the peer follows it on the machine, and finds nothing there",
        ours: &["/opt/real 711"],
        theirs: &["/opt/real 755"],
    },
    Intended {
        hook: "chmod --path /opt/real --mode 1777",
        why: "the mode that is asked for is given whole",
        ours: &["/opt/real 1777"],
        theirs: &["/opt/real 777"],
    },
    Intended {
        hook: "update-application-profile",
        why: "folders of /etc that only root may write, as the others are; a container may add its own profiles",
        ours: &["/etc/nvidia 755", "/etc/nvidia/nvidia-application-profiles-rc.d 755"],
        theirs: &["/etc/nvidia 555", "/etc/nvidia/nvidia-application-profiles-rc.d 555"],
    },
];

/// Device nodes of GPUs in the container, some beyond what a mask of 64 bits can say.
fn add_nodes(scratch: &Scratch, numbers: &[u64]) {
    for number in numbers {
        scratch.device_node(&format!("bundle/rootfs/dev/nvidia{number}"), (195, *number), 0o666);
    }
    if !numbers.is_empty() {
        scratch.device_node("bundle/rootfs/dev/nvidiactl", (195, 255), 0o666);
    }
}

#[test]
fn links_and_modes_are_made_as_nvidias_hooks_make_them() {
    let Some(theirs) = peer(PROGRAM, "NVIDIA's hooks beside ours") else { return };
    let mut failures = Vec::new();
    let mut used = BTreeSet::new();
    let cases: &[&[&str]] = &[
        &["create-symlinks", "--link", "t::/usr/lib/new"],
        &["create-symlinks", "--link", "../t::/usr/lib/deep/er/new", "--link", "/absolute::/opt/a"],
        &["create-symlinks", "--link", "t::/usr/lib/new", "--link", "t::/usr/lib/new"],
        &["create-symlinks", "--link", "t::/usr/lib/same"],
        &["create-symlinks", "--link", "t::/usr/lib/link"],
        &["create-symlinks", "--link", "t::/usr/lib/file"],
        &["create-symlinks", "--link", "t::/usr/lib/folder"],
        &["create-symlinks", "--link", "t::/usr/lib/elsewhere/x"],
        &["create-symlinks", "--link", "t::/usr/lib/climbs/x"],
        &["create-symlinks", "--link", "t::/usr/lib/../lib/./x"],
        &["create-symlinks", "--link", "t::/usr/lib/loop/x"],
        &["create-symlinks", "--link", "t::/usr/lib/file/x"],
        &["create-symlinks", "--link", "../card1::/dev/dri/by-path/pci-0000:01:00.0-card"],
        &["create-symlinks", "--link", "a"],
        &["create-symlinks"],
        &["chmod", "--mode", "700", "--path", "/opt/real"],
        &["chmod", "--mode", "755", "--path", "/dev/dri", "--path", "/usr/lib/folder"],
        &["chmod", "--mode", "711", "--path", "/usr/lib/elsewhere"],
        &["chmod", "--mode", "700", "--path", "/absent"],
        &["chmod", "--mode", "9", "--path", "/opt/real"],
        &["chmod", "--path", "/opt/real"],
        &["chmod", "--path", "/opt/real", "--mode", "1777"],
        &["chmod"],
        &["chmod", "--mode", "700", "--path", "/absent", "--path", "/opt/real"],
        &["chmod", "--mode", "700"],
        &["update-application-profile"],
        &["disable-device-node-modification"],
    ];
    let of_root: &[u64] = if nix::unistd::geteuid().is_root() { &[0, 3, 63, 64] } else { &[] };
    for (numbers, args) in [&[], of_root].iter().flat_map(|numbers| cases.iter().map(move |args| (numbers, args))) {
        let (our, their) = (bundle(), bundle());
        add_nodes(&our, numbers);
        add_nodes(&their, numbers);
        let (our_outcome, their_outcome) = (run(&our, &ours(&our), args), run(&their, &theirs, args));
        let (our_root, their_root) = (root_of(&our), root_of(&their));
        let only = |a: &BTreeSet<String>, b: &BTreeSet<String>| a.difference(b).cloned().collect::<Vec<_>>();
        let (only_ours, only_theirs) = (only(&our_root, &their_root), only(&their_root, &our_root));
        let is_like = our_outcome.0 == their_outcome.0;
        if is_like && our_root == their_root {
            continue;
        }
        let hook = args.join(" ");
        let is_it = |entry: &&Intended| entry.hook == hook && entry.ours == only_ours && entry.theirs == only_theirs;
        match INTENDED.iter().find(is_it).filter(|_| is_like) {
            Some(entry) => {
                println!("{hook}: {}", entry.why);
                used.insert(entry.hook);
            }
            None => failures.push(format!(
                "{hook} with {numbers:?}\n    ours   {our_outcome:?} {only_ours:?}\n    theirs {their_outcome:?} {only_theirs:?}"
            )),
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    let unused: Vec<_> = INTENDED.iter().map(|entry| entry.hook).filter(|hook| !used.contains(hook)).collect();
    assert!(unused.is_empty() || of_root.is_empty(), "no case needs {unused:?}: these are no differences");
}

/// What the cache of the root answers to names. The linker itself is not asked for by its name.
fn answers(scratch: &Scratch, ldconfig: &Path) -> BTreeMap<String, String> {
    let cache = scratch.path("bundle/rootfs/etc/ld.so.cache");
    let listed = succeed(Command::new(ldconfig).arg("-p").arg("-C").arg(cache));
    let mut answers = BTreeMap::new();
    for (name, path) in listed.lines().filter_map(|line| line.split_once(" => ")) {
        let name = name.split_whitespace().next().unwrap().to_owned();
        if !name.starts_with("ld-linux") {
            // The first of several is the one that counts.
            answers.entry(name).or_insert_with(|| path.to_owned());
        }
    }
    answers
}

/// The root of an image with a cache of its own libraries, newer CUDA among them, to which the driver's folder came later.
fn with_libraries(ldconfig: &Path) -> Scratch {
    let scratch = bundle();
    let root = scratch.path("bundle/rootfs");
    for folder in ["lib64", "sbin", "usr/local/cuda/compat", "opt/driver/lib"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let add = |folder: &str, file: &str, soname: &str| {
        let source = scratch.write("source.c", "int nothing;\n");
        let mut cc = Command::new("cc");
        cc.args(["-shared", "-nostdlib", &format!("-Wl,-soname,{soname}"), "-o"]).arg(root.join(folder).join(file));
        succeed(cc.arg(source));
        symlink(file, root.join(folder).join(soname)).unwrap();
    };
    fs::copy(LINKER, root.join(LINKER.trim_start_matches('/'))).unwrap();
    fs::copy(ldconfig, root.join("sbin/ldconfig")).unwrap();
    scratch.write("bundle/rootfs/etc/ld.so.conf", "include /etc/ld.so.conf.d/*.conf\n");
    add("usr/lib", "libof-the-image.so.1.2", "libof-the-image.so.1");
    add("usr/lib", "libnvidia-ml.so.1.0", "libnvidia-ml.so.1");
    succeed(Command::new(ldconfig).arg("-r").arg(&root));
    add("usr/local/cuda/compat", "libcuda.so.570.10.01", "libcuda.so.1");
    add("opt/driver/lib", "libcuda.so.550.54.15", "libcuda.so.1");
    add("opt/driver/lib", "libnvidia-ml.so.550.54.15", "libnvidia-ml.so.1");
    scratch
}

#[test]
fn the_linkers_cache_answers_as_after_nvidias_hooks() {
    let test = "the linker's cache after NVIDIA's hooks and ours";
    let Some(theirs) = peer(PROGRAM, test) else { return };
    if !cfg!(target_arch = "x86_64") {
        return skip(test, "(optional) is written for the linker of x86-64");
    }
    let programs = [program_on_path("ldconfig"), program_on_path("cc"), program_on_path("unshare")];
    let ([Some(ldconfig), Some(_), Some(_)], true) = (programs, Path::new(LINKER).exists()) else {
        return skip(test, "needs cc, ldconfig, unshare and the linker of glibc");
    };
    if !nix::unistd::geteuid().is_root() {
        return skip(test, "needs root");
    }
    const DRIVER: &[&str] = &["update-ldcache", "--folder", "/opt/driver/lib"];
    let compat = |version: &'static str| ["enable-cuda-compat", "--host-driver-version", version];
    for (hooks, cuda) in [
        (&[&["update-ldcache", "--folder", "/absent"][..]][..], None),
        (&[DRIVER], Some("/opt/driver/lib/libcuda.so.1")),
        (&[&compat("550.54.15"), DRIVER], Some("/usr/local/cuda/compat/libcuda.so.1")),
        (&[&compat("570.10.01"), DRIVER], Some("/opt/driver/lib/libcuda.so.1")),
        (&[&compat("580.1.1"), DRIVER], Some("/opt/driver/lib/libcuda.so.1")),
    ] {
        let (our, their) = (with_libraries(&ldconfig), with_libraries(&ldconfig));
        for args in hooks {
            let our_outcome = run_in_namespace(&our, &ours(&our), args);
            let their_outcome = run_in_namespace(&their, &theirs, args);
            let both = our_outcome.0 && their_outcome.0;
            assert!(both, "{args:?}\n    ours   {our_outcome:?}\n    theirs {their_outcome:?}");
        }
        for when in ["after the hooks", "after ldconfig in the container"] {
            let (our_answers, their_answers) = (answers(&our, &ldconfig), answers(&their, &ldconfig));
            assert_eq!(our_answers, their_answers, "{when}: {hooks:?}");
            assert_eq!(our_answers.get("libcuda.so.1").map(String::as_str), cuda, "{when}: {hooks:?}");
            for scratch in [&our, &their] {
                succeed(Command::new(&ldconfig).arg("-r").arg(scratch.path("bundle/rootfs")));
            }
        }
    }
}
