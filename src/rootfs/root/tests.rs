//! Roots that are attacked, and what is reached in them.

use std::fs;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, symlink};

use super::super::folder::Over;
use super::*;

const FOR_ALL: Mode = Mode::from_bits_truncate(0o644);

fn attacked() -> (tempfile::TempDir, ContainerRoot) {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir_all(scratch.path().join("root/etc")).unwrap();
    fs::create_dir(scratch.path().join("outside")).unwrap();
    fs::write(scratch.path().join("outside/secret"), "s").unwrap();
    let root = ContainerRoot::open(&scratch.path().join("root"), "c").unwrap();
    (scratch, root)
}

#[test]
fn files_are_put_in_place_with_their_folders() {
    let (scratch, root) = attacked();
    let at = |path: &str| scratch.path().join("root").join(path);
    root.put(Path::new("/a/b/c.conf"), b"1", FOR_ALL).unwrap();
    root.put(Path::new("/a/b/c.conf"), b"2", FOR_ALL).unwrap();
    assert_eq!(fs::read(at("a/b/c.conf")).unwrap(), b"2");
    assert_eq!(fs::metadata(at("a/b/c.conf")).unwrap().mode() & 0o777, 0o644);
    assert_eq!(root.tree.read(Path::new("/a/b/c.conf"), 1).unwrap().unwrap(), b"2");
    assert_eq!(fs::read_dir(at("a/b")).unwrap().count(), 1, "nothing is left over");
    assert!(
        root.put(Path::new("/a/b"), b"", FOR_ALL).is_err() && at("a/b/c.conf").exists(),
        "a folder is no file's place"
    );
    assert_eq!(root.tree.read(Path::new("/absent"), 1).unwrap(), None);
    assert!(root.tree.read(Path::new("/a"), 1).is_err() && root.tree.read(Path::new("/a/b/c.conf"), 0).is_err());
}

#[test]
fn nothing_but_a_plain_file_is_opened_for_reading() {
    let (scratch, root) = attacked();
    let at = |name: &str| scratch.path().join("root").join(name);
    nix::unistd::mkfifo(&at("fifo"), FOR_ALL).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
    fs::create_dir(at("folder")).unwrap();
    let mut kinds = vec!["fifo", "socket", "folder"];
    // Numbers that no driver has: an attempt to open one is another error.
    for (name, kind) in [("characters", SFlag::S_IFCHR), ("blocks", SFlag::S_IFBLK)] {
        let made = nix::sys::stat::mknod(&at(name), kind, FOR_ALL, nix::sys::stat::makedev(240, 0xfffff));
        kinds.extend(made.is_ok().then_some(name));
    }
    // Whoever opens the fifo for writing waits for a reader, be it there for a moment only.
    let (waits, is_over) = (std::sync::Barrier::new(2), std::sync::atomic::AtomicBool::new(false));
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            waits.wait();
            let _fifo = fs::OpenOptions::new().write(true).open(at("fifo")).unwrap();
            is_over.load(std::sync::atomic::Ordering::SeqCst)
        });
        waits.wait();
        std::thread::sleep(std::time::Duration::from_millis(200));
        for name in kinds {
            let path = Path::new("/").join(name);
            for error in [root.tree.read(&path, 9).map(drop), root.tree.pieces(&path).map(drop)].map(Result::unwrap_err)
            {
                let expected = format!("cannot read {}: it is no plain file", crate::error::Escaped::path(&at(name)));
                assert_eq!(error.to_string(), expected);
            }
        }
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        let _reader = fs::OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(at("fifo")).unwrap();
        assert!(writer.join().unwrap(), "the fifo was opened");
    });
}

#[test]
fn what_is_said_to_be_empty_is_not_opened() {
    let root = ContainerRoot::open(Path::new("/proc"), "c").unwrap();
    // Of procfs is every file: a reader of this one would take the kernel's messages from the system's log.
    assert_eq!(root.tree.read(Path::new("/kmsg"), 9).unwrap(), Some(Vec::new()));
    assert!(root.tree.pieces(Path::new("/kmsg")).unwrap().is_none());
}

#[test]
fn what_is_not_there_is_an_answer_and_what_is_no_file_keeps_its_mode() {
    let (scratch, root) = attacked();
    let fifo = scratch.path().join("root/etc/fifo");
    nix::unistd::mkfifo(&fifo, Mode::from_bits_truncate(0o600)).unwrap();
    for (path, is_place) in [("/absent", false), ("/etc/fifo/below", false), ("/etc/fifo", true), ("/etc", true)] {
        assert_eq!(root.tree.place(Path::new(path)).unwrap().is_some(), is_place, "{path}");
    }
    for (path, count) in [("/absent", None), ("/etc/fifo", None), ("/etc", Some(1))] {
        let names = root.tree.names(Path::new(path), 9, |_| true).unwrap();
        assert_eq!(names.map(|names| names.iter().count()), count, "{path}");
    }
    let error = root.set_mode(Path::new("/etc/fifo"), FOR_ALL).unwrap_err().to_string();
    assert!(error.contains("set the mode of") && error.contains("root/etc/fifo: "), "{error}");
    assert_eq!(fs::metadata(&fifo).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn no_link_and_no_path_leads_outside() {
    let (scratch, root) = attacked();
    let (inside, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
    symlink(&outside, inside.join("absolute")).unwrap();
    symlink("../../outside", inside.join("relative")).unwrap();
    symlink("/proc/self/root", inside.join("magic")).unwrap();
    symlink("loop", inside.join("loop")).unwrap();
    symlink(outside.join("secret"), inside.join("etc/ld.so.cache")).unwrap();
    for folder in ["absolute", "relative", "magic", "../outside", "etc/../../outside", "loop"] {
        let path = Path::new("/").join(folder).join("made");
        let _ = root.put(&path, b"x", FOR_ALL);
        let _ = root
            .tree
            .read(&Path::new("/").join(folder).join("secret"), 9)
            .map(|seen| assert_eq!(seen, None, "{folder}"));
    }
    assert_eq!(root.tree.read(Path::new("/etc/ld.so.cache"), 9).unwrap(), None, "its target is not inside");
    root.put(Path::new("/etc/ld.so.cache"), b"new", FOR_ALL).unwrap();
    assert_eq!(fs::read(outside.join("secret")).unwrap(), b"s", "the link was replaced, not followed");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert!(ContainerRoot::open(Path::new("/"), "c").is_err(), "the machine itself is no container's root");
}

#[test]
fn a_folder_that_becomes_a_link_meanwhile_leads_nowhere() {
    let (scratch, root) = attacked();
    let (inside, outside) = (scratch.path().join("root"), scratch.path().join("outside"));
    fs::create_dir(inside.join("real")).unwrap();
    symlink(&outside, inside.join("link")).unwrap();
    fs::create_dir(inside.join("swapped")).unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                for other in ["link", "real"] {
                    let _ = fs::rename(inside.join("swapped"), inside.join("aside"));
                    let _ = fs::rename(inside.join(other), inside.join("swapped"));
                    let _ = fs::rename(inside.join("swapped"), inside.join(other));
                    let _ = fs::rename(inside.join("aside"), inside.join("swapped"));
                }
            }
        });
        let mut done = [0; 3];
        for round in 0..10_000 {
            let put = root.put(Path::new("/swapped/deep/made"), b"x", FOR_ALL).is_ok();
            let linked = root.folder(Path::new("/swapped/deep"));
            let link = |folder: Folder<'_>| folder.link("link", &round.to_string(), Over::Files).is_ok();
            let linked = linked.is_ok_and(link);
            let is_set = root.set_mode(Path::new("/swapped/deep/made"), Mode::from_bits_truncate(0o600)).is_ok();
            done.iter_mut().zip([put, linked, is_set]).for_each(|(count, done)| *count += usize::from(done));
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(done.iter().all(|count| *count > 100), "the folder was hardly ever there: {done:?}");
    });
    let left: Vec<_> = fs::read_dir(&outside).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["secret"]);
    assert_ne!(fs::metadata(outside.join("secret")).unwrap().mode() & 0o777, 0o600);
}

#[test]
fn what_was_put_in_the_place_of_what_was_made_is_not_given_away() {
    if !geteuid().is_root() {
        return eprintln!("SKIP what is given away: needs root");
    }
    let (scratch, root) = attacked();
    let inside = scratch.path().join("root");
    for path in ["root", "root/etc"] {
        std::os::unix::fs::chown(scratch.path().join(path), Some(4242), Some(4242)).unwrap();
    }
    drop(root);
    let root = ContainerRoot::open(&inside, "c").unwrap();
    // Of root, as what this process makes.
    let victim = inside.join("victim");
    fs::write(&victim, "v").unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (new, other) = (inside.join("etc").join(root.unfinished()), inside.join("other"));
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                // Only where something is that can be given away: what is renamed over it is the file itself.
                if new.is_symlink() {
                    let _ = fs::hard_link(&victim, &other);
                    let _ = fs::rename(&other, &new);
                }
            }
        });
        let folder = root.folder(Path::new("/etc")).unwrap();
        let made = (0..20_000).filter(|round| folder.link("link", &round.to_string(), Over::Files).is_ok()).count();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(made > 100, "{made}");
    });
    let (file, link) = (fs::metadata(&victim).unwrap(), fs::symlink_metadata(inside.join("etc/link")).unwrap());
    assert_eq!((file.uid(), file.gid()), (0, 0), "the file was given to the container");
    assert!([0, 4242].contains(&link.uid()));
    root.put(Path::new("/new/deep/file"), b"", FOR_ALL).unwrap();
    for made in ["new", "new/deep", "new/deep/file"] {
        assert_eq!(fs::metadata(inside.join(made)).unwrap().uid(), 4242, "{made}");
    }
}
