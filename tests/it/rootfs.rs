//! The dynamic linker's cache as gpu-runc writes it, held against the real `ldconfig` and the real linker.

use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use gpu_runc::cdi::{ContainerEdits, DeviceNode, Mount};
use gpu_runc::ldcache::Cache;
use gpu_runc::oci::view::MountView;
use gpu_runc::rootfs::{self, Link, Work};
use gpu_runc::vendor::Vendors;
use serde_json::json;
use tempfile::TempDir;

use crate::scratch::{Scratch, program_on_path, skip, succeed};

/// A program of every Debian that needs a library beside the C library.
const PROGRAM: &str = "/usr/bin/xz";
const LIBRARY: &str = "liblzma.so.5";

/// Where the linker finds the libraries of a program of this machine.
fn needed(program: &str) -> Vec<PathBuf> {
    let output = Command::new("ldd").arg(program).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let words = text.split_whitespace().filter(|word| word.starts_with('/'));
    words.map(|word| fs::canonicalize(word).unwrap()).collect()
}

fn put(root: &Path, from: &Path, to: &str) {
    let to = root.join(to.trim_start_matches('/'));
    fs::create_dir_all(to.parent().unwrap()).unwrap();
    fs::copy(from, to).unwrap();
}

/// A container's root with the program, its C library in `folder`, and the other library only where the driver's are.
struct Container {
    root: TempDir,
    edits: ContainerEdits,
}

fn container(folder: &str) -> Option<Container> {
    let ldconfig = ["/sbin/ldconfig", "/usr/sbin/ldconfig"].iter().map(Path::new).find(|path| path.exists());
    let (Some(ldconfig), Some(_), Some(_)) = (ldconfig, program_on_path("xz"), program_on_path("chroot")) else {
        skip("the linker's cache", "needs ldconfig, chroot and xz");
        return None;
    };
    let root = tempfile::tempdir().unwrap();
    put(root.path(), Path::new(PROGRAM), PROGRAM);
    put(root.path(), ldconfig, "/sbin/ldconfig");
    let mut mounts = Vec::new();
    for file in needed(PROGRAM) {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        if name.starts_with("ld-linux") {
            put(root.path(), &file, &format!("/lib64/{name}"));
        } else if name.starts_with("liblzma") {
            // What a mount will show, and the link that goes with it.
            put(root.path(), &file, &format!("/opt/driver/lib/{name}"));
            symlink(&name, root.path().join("opt/driver/lib").join(LIBRARY)).unwrap();
            let from = file.to_str().unwrap();
            mounts = [name.as_str(), LIBRARY].map(|name| mount(from, &format!("/opt/driver/lib/{name}"))).to_vec();
        } else {
            put(root.path(), &file, &format!("{folder}/{name}"));
        }
    }
    Some(Container { root, edits: ContainerEdits { mounts, ..ContainerEdits::default() } })
}

/// What is said when nothing but the libraries of `edits` is to be prepared.
fn notes(root: &Path, edits: &ContainerEdits) -> Vec<String> {
    rootfs::prepare(root, "c", &Work::default(), edits, &[]).notes
}

/// A mount of the container's own.
fn over(place: &str) -> MountView<'_> {
    MountView { destination: place.into(), ..MountView::default() }
}

fn mount(from: &str, to: &str) -> Mount {
    Mount { host_path: from.to_owned(), container_path: to.to_owned(), ..Mount::default() }
}

impl Container {
    fn run(&self, argv: &[&str]) -> Output {
        Command::new(program_on_path("chroot").unwrap()).arg(self.root.path()).args(argv).env_clear().output().unwrap()
    }

    fn succeeds(&self, argv: &[&str]) -> String {
        let output = self.run(argv);
        assert!(output.status.success(), "{argv:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn prepare(&self) {
        assert_eq!(notes(self.root.path(), &self.edits), Vec::<String>::new());
    }

    fn cache(&self) -> Vec<u8> {
        fs::read(self.root.path().join("etc/ld.so.cache")).unwrap()
    }
}

#[test]
fn a_program_finds_a_mounted_library_in_every_layout() {
    for (folder, has_cache) in
        [("/lib/x86_64-linux-gnu", true), ("/lib64", true), ("/lib/x86_64-linux-gnu", false), ("/usr/lib64", true)]
    {
        let Some(container) = container(folder) else { return };
        if has_cache {
            fs::create_dir_all(container.root.path().join("etc")).unwrap();
            fs::write(
                container.root.path().join("etc/ld.so.conf"),
                format!("{folder}\ninclude /etc/ld.so.conf.d/*.conf\n"),
            )
            .unwrap();
            container.succeeds(&["/sbin/ldconfig"]);
        }
        assert!(!container.run(&[PROGRAM, "--version"]).status.success(), "{folder}: it finds the library without us");
        container.prepare();
        assert!(container.succeeds(&[PROGRAM, "--version"]).contains("liblzma"), "{folder}");
        let ours = container.succeeds(&["/sbin/ldconfig", "-p"]);
        assert!(ours.contains("liblzma.so.5 (libc6,x86-64) => /opt/driver/lib/liblzma.so.5"), "{folder}: {ours}");

        let before = container.cache();
        container.prepare();
        assert_eq!(container.cache(), before, "{folder}: once more changes nothing");

        // Whoever runs ldconfig in the container keeps the library, and gets the list that we wrote.
        container.succeeds(&["/sbin/ldconfig"]);
        assert!(container.succeeds(&[PROGRAM, "--version"]).contains("liblzma"), "{folder}");
        if has_cache {
            let listed =
                |text: &str| text.lines().filter(|line| line.contains("=>")).map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(listed(&ours), listed(&container.succeeds(&["/sbin/ldconfig", "-p"])), "{folder}");
        }
    }
}

#[test]
fn the_cache_of_this_machine_reads_the_same_when_it_is_written_anew() {
    let (Ok(bytes), Some(ldconfig)) = (fs::read("/etc/ld.so.cache"), program_on_path("ldconfig")) else {
        return skip("this machine's cache", "there is no ldconfig");
    };
    let cache = Cache::parse(&bytes).unwrap();
    assert!(cache.libraries.len() > 5);
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), cache.to_bytes()).unwrap();
    let listed = |path: &Path| Command::new(&ldconfig).arg("-p").arg("-C").arg(path).output().unwrap().stdout;
    let (is, was) = (listed(file.path()), listed(Path::new("/etc/ld.so.cache")));
    // The first line names the file.
    let rest = |text: &[u8]| String::from_utf8_lossy(text).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rest(&is), rest(&was));
}

#[test]
fn a_root_that_is_not_to_be_written_is_left_alone() {
    let edits = ContainerEdits { mounts: vec![mount("/bin/sh", "/opt/lib/libx.so.1")], ..ContainerEdits::default() };
    let root = tempfile::tempdir().unwrap();
    assert!(notes(root.path(), &edits).is_empty());
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0, "a static program has no linker");

    fs::create_dir_all(root.path().join("lib")).unwrap();
    fs::write(root.path().join("lib/ld-musl-x86_64.so.1"), "").unwrap();
    let said = notes(root.path(), &edits);
    assert!(said.len() == 1 && said[0].contains("C library is musl"), "{said:?}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1, "musl's linker has no cache");

    fs::create_dir_all(root.path().join("lib64")).unwrap();
    fs::write(root.path().join("lib64/ld-linux-x86-64.so.2"), "").unwrap();
    for taken in ["/etc", "/etc/ld.so.cache"] {
        let prepared = rootfs::prepare(root.path(), "c", &Work::default(), &edits, &["/proc", taken].map(over));
        assert!(prepared.files.is_empty() && prepared.notes.len() == 1, "{taken}: {prepared:?}");
        assert!(!root.path().join("etc").exists(), "{taken}: {prepared:?}");
    }
    fs::create_dir(root.path().join("etc")).unwrap();
    for content in ["glibc-ld.so.cache1.1", "ld.so-1.7.0\0"] {
        fs::write(root.path().join("etc/ld.so.cache"), content).unwrap();
        let said = notes(root.path(), &edits);
        assert!(said[0].contains("of no known format"), "{content}: {said:?}");
        assert_eq!(fs::read_to_string(root.path().join("etc/ld.so.cache")).unwrap(), content);
    }
    let cache = root.path().join("etc/ld.so.cache");
    type Attack = (&'static str, fn(&Path));
    let attacks: [Attack; 5] = [
        ("a folder", |cache| fs::create_dir(cache).unwrap()),
        ("a fifo", |cache| nix::unistd::mkfifo(cache, nix::sys::stat::Mode::S_IRWXU).unwrap()),
        ("a gigabyte of nothing", |cache| fs::File::create(cache).unwrap().set_len(1 << 30).unwrap()),
        ("a loop", |cache| symlink("ld.so.cache", cache).unwrap()),
        ("a socket's name in procfs", |cache| symlink("/proc/self/fd/0", cache).unwrap()),
    ];
    for (what, make) in attacks {
        let _ = fs::remove_file(&cache).or_else(|_| fs::remove_dir(&cache));
        make(&cache);
        let said = notes(root.path(), &edits);
        // A link to what is not inside is one to nothing, and is replaced.
        assert_eq!(said.len(), usize::from(!what.contains("procfs")), "{what}: {said:?}");
    }
    fs::remove_file(&cache).unwrap();
    assert_eq!(notes(&root.path().join("absent"), &edits).len(), 1);
    assert_eq!(notes(Path::new("/"), &edits).len(), 1, "the machine itself");
}

#[test]
fn what_is_left_of_a_cache_after_a_loss_of_power_is_mended() {
    let edits = ContainerEdits { mounts: vec![mount("/bin/sh", "/opt/lib/libx.so.1")], ..ContainerEdits::default() };
    let (root, musl) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (root, loader) in [(&root, "lib64/ld-linux-x86-64.so.2"), (&musl, "lib/ld-musl-x86_64.so.1")] {
        let loader = root.path().join(loader);
        fs::create_dir_all(loader.parent().unwrap()).unwrap();
        fs::write(loader, "").unwrap();
        fs::create_dir(root.path().join("etc")).unwrap();
    }
    let cache = root.path().join("etc/ld.so.cache");
    assert_eq!(notes(root.path(), &edits), Vec::<String>::new());
    let whole = fs::read(&cache).unwrap();
    assert!(Cache::parse(&whole).is_some_and(|cache| cache.libraries.len() == 1));
    for left in [vec![], vec![0; whole.len()], b"nonsense".to_vec()] {
        fs::write(&cache, &left).unwrap();
        assert_eq!(notes(root.path(), &edits), Vec::<String>::new());
        assert_eq!(fs::read(&cache).unwrap(), whole, "{left:?}");
    }
    fs::write(musl.path().join("etc/ld.so.cache"), "").unwrap();
    let said = notes(musl.path(), &edits);
    assert!(said.len() == 1 && said[0].contains("C library is musl"), "{said:?}");
}

#[test]
fn folders_are_open_to_all_whatever_the_umask_is() {
    for owner in [0, 4242] {
        let scratch = machine();
        let root = scratch.path("rootfs");
        if std::os::unix::fs::chown(&root, Some(owner), Some(owner)).is_err() {
            return skip("folders under another umask", "needs root");
        }
        let start = format!("umask 077 && exec {} create c", env!("CARGO_BIN_EXE_gpu-runc"));
        let mut command = Command::new("sh");
        command.args(["-c", &start]).env("GPU_RUNC_CONFIG", scratch.path("gpu-runc.toml"));
        succeed(command.current_dir(scratch.path("")));
        for folder in ["opt/new", "opt/new/deep"] {
            let made = fs::metadata(root.join(folder)).unwrap();
            assert_eq!((made.mode() & 0o7777, made.uid()), (0o755, owner), "{folder}");
        }
    }
}

/// A machine that gives a container a link in folders that are to be made.
fn machine() -> Scratch {
    let scratch = Scratch::new();
    let args = ["nvidia-cdi-hook", "create-symlinks", "--link", "to::/opt/new/deep/link"];
    let hook = json!({"hookName": "createContainer", "path": "/usr/bin/nvidia-cdi-hook", "args": args});
    let device = json!({"name": "0", "containerEdits": {"hooks": [hook]}});
    let spec = json!({"cdiVersion": "0.5.0", "kind": "nvidia.com/gpu", "devices": [device]});
    scratch.write("cdi/nvidia.json", &spec.to_string());
    let dirs = scratch.text("cdi");
    let config = format!("runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{dirs:?}]\n");
    scratch.write("gpu-runc.toml", &config);
    scratch.write("config.json", r#"{"process":{"env":["NVIDIA_VISIBLE_DEVICES=0"]},"root":{"path":"rootfs"}}"#);
    fs::create_dir_all(scratch.path("rootfs")).unwrap();
    scratch
}

#[test]
fn a_mount_that_hides_the_place_is_known_however_its_destination_is_written() {
    let node = DeviceNode { path: "/dev/nvidia0".to_owned(), ..DeviceNode::default() };
    let mounts = vec![mount("/bin/sh", "/opt/lib/libx.so.1")];
    let edits = ContainerEdits { mounts, device_nodes: vec![node], ..ContainerEdits::default() };
    let place = Link { target: "to".to_owned(), place: "/etc/new/link".to_owned() };
    let hooks = Some(Vendors::known().iter().find_map(|vendor| vendor.hooks).unwrap());
    let work = Work { links: vec![place], has_profile: true, driver: hooks, ..Work::default() };
    type Image = fn(&Path);
    let plain: Image = |root| fs::create_dir(root.join("etc")).unwrap();
    let linked: Image = |root| {
        fs::create_dir_all(root.join("data/etc")).unwrap();
        symlink("/data/etc", root.join("etc")).unwrap();
    };
    let other: Image = |root| {
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::create_dir_all(root.join("x/y")).unwrap();
        symlink("/etc", root.join("x/link")).unwrap();
        symlink("/etc/sub", root.join("x/up")).unwrap();
        fs::create_dir(root.join("etc/sub")).unwrap();
    };
    for (destination, image, is_hidden) in [
        ("/etc", plain, true),
        ("etc", plain, true),
        ("etc/", plain, true),
        ("//etc/.", plain, true),
        ("/etc/../etc2", plain, false),
        ("/et", plain, false),
        ("/x/../etc", other, true),
        ("/x/y/../../etc", other, true),
        ("/x/link", other, true),
        ("/x/link/ld.so.cache", other, true),
        ("/x/link/ld.so.conf.d", other, true),
        ("/x/up/..", other, true),
        ("/x/y", other, false),
        ("/data", linked, true),
        ("data", linked, true),
        ("/etc", linked, true),
        ("/data/other", linked, false),
        ("/", plain, false),
        ("", plain, false),
    ] {
        let root = tempfile::tempdir().unwrap();
        image(root.path());
        fs::create_dir_all(root.path().join("lib64")).unwrap();
        fs::write(root.path().join("lib64/ld-linux-x86-64.so.2"), "").unwrap();
        let prepared = rootfs::prepare(root.path(), "c", &work, &edits, &["/proc", destination].map(over));
        let is_there = |path: &str| ["etc", "data/etc"].iter().any(|etc| root.path().join(etc).join(path).exists());
        assert_eq!(!prepared.notes.is_empty(), is_hidden, "{destination}: {prepared:?}");
        assert!(prepared.files.is_empty() && prepared.left_out.is_empty(), "{destination}: {prepared:?}");
        // What is in the way of the cache alone is not in that of the others.
        let is_whole = is_hidden && !destination.contains("ld.so");
        let is_cache = is_whole || destination.contains("ld.so.cache");
        for (path, is_hidden) in [
            ("ld.so.cache", is_cache),
            ("ld.so.conf.d/00-gpu-runc.conf", is_hidden),
            ("new", is_whole),
            ("nvidia/nvidia-application-profiles-rc.d/10-container.conf", is_whole),
        ] {
            assert_eq!(is_there(path), !is_hidden, "{destination}: {path}: {prepared:?}");
        }
    }
}

#[test]
fn a_link_in_a_mount_of_the_containers_own_is_not_made() {
    let root = tempfile::tempdir().unwrap();
    let link = |place: &str| Link { target: "to".to_owned(), place: place.to_owned() };
    let work = Work { links: vec![link("/opt/own/x"), link("/srv/y")], ..Work::default() };
    let edits = ContainerEdits::default();
    let prepared = rootfs::prepare(root.path(), "c", &work, &edits, &[over("/opt/own")]);
    assert_eq!(prepared.notes, ["/opt/own/x left out: no link is made in a mount of the container's own"]);
    assert_eq!((prepared.mounts.len(), prepared.files.len()), (0, 0), "{prepared:?}");
    assert_eq!(fs::read_link(root.path().join("srv/y")).unwrap(), Path::new("to"));
    assert!(!root.path().join("opt").exists(), "what is hidden is not made");
}

#[test]
fn a_library_of_the_machine_that_cannot_be_read_is_told_and_changes_nothing() {
    let (machine, root) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let file = machine.path().join("libx.so.1");
    let _socket = std::os::unix::net::UnixListener::bind(&file).unwrap();
    let edits =
        ContainerEdits { mounts: vec![mount(file.to_str().unwrap(), "/opt/lib/libx.so.1")], ..Default::default() };
    let said = notes(root.path(), &edits);
    let expected = format!("may not find the driver's libraries: cannot open {}: ", file.display());
    assert!(said.len() == 1 && said[0].contains(&expected), "{said:?}");
    assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
}
