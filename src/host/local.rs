//! Opens paths of the machine without touching a file system that another program or another machine answers for: a FUSE server, an
//! NFS server or an automounter can keep whoever asks waiting without end.
//!
//! Opens for nothing but to be found (`O_PATH`); what is read there is for others.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, OFlag, OpenHow, ResolveFlag, openat2, readlinkat};

use crate::error::{Error, Result};

/// The file systems whose answers come from this kernel and its own memory or disks.
const LOCAL: [&str; 19] = [
    "bcachefs", "bfs", "btrfs", "devtmpfs", "erofs", "exfat", "ext2", "ext3", "ext4", "f2fs", "iso9660", "jfs",
    "overlay", "ramfs", "squashfs", "tmpfs", "vfat", "xfs", "zfs",
];
/// The most that is read of the list of mounts. A node with ten thousand has 2 MB.
const LARGEST: u64 = 16 << 20;
/// As many links as the kernel follows on one path.
const MOST_LINKS: usize = 40;

/// Opens what the absolute `path` leads to, links followed. `None` where there is nothing. An error where the way leads through a
/// mount of a file system that is not local.
pub fn open(path: &Path) -> Result<Option<OwnedFd>> {
    let failed = |cause: io::Error| Error::io("open", path, cause);
    let mounts = {
        let list = Path::new("/proc/self/mountinfo");
        let mut bytes = Vec::new();
        let file = File::open(list).map_err(|cause| Error::io("read", list, cause))?;
        file.take(LARGEST).read_to_end(&mut bytes).map_err(|cause| Error::io("read", list, cause))?;
        String::from_utf8_lossy(&bytes).into_owned()
    };
    let types = types(&mounts);
    let root = || step(None, "/", ResolveFlag::empty()).map_err(|cause| failed(cause.into()));
    let mut way = vec![root()?];
    let mut at = PathBuf::from("/");
    let mut todo: Vec<String> = parts(path).map_err(failed)?;
    let mut links = 0;
    while let (Some(part), Some(folder)) = (todo.pop(), way.last()) {
        if part == ".." {
            if way.len() > 1 {
                way.pop();
                at.pop();
            }
            continue;
        }
        let next = at.join(&part);
        let found = match step(Some(folder), &part, ResolveFlag::RESOLVE_NO_XDEV) {
            Err(Errno::EXDEV) => match types.get(&next).copied() {
                Some(kind) if LOCAL.contains(&kind) => step(Some(folder), &part, ResolveFlag::empty()),
                kind => {
                    let kind = kind.unwrap_or("nameless");
                    return Err(failed(io::Error::other(format!(
                        "it is on a {kind} file system, which may answer late or never"
                    ))));
                }
            },
            found => found,
        };
        let found = match found {
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            found => found.map_err(|cause| failed(cause.into()))?,
        };
        // Of what is no link there is no text.
        let Ok(target) = readlinkat(&found, "") else {
            at = next;
            way.push(found);
            continue;
        };
        links += 1;
        if links > MOST_LINKS {
            return Err(failed(Errno::ELOOP.into()));
        }
        let target = Path::new(&target);
        if target.is_absolute() {
            way.truncate(1);
            at = PathBuf::from("/");
        }
        todo.extend(parts(target).map_err(failed)?);
    }
    Ok(way.pop())
}

/// Opens one name in `folder`, a link not followed.
fn step(folder: Option<&OwnedFd>, name: &str, resolve: ResolveFlag) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let how = OpenHow::new().flags(flags).resolve(resolve | ResolveFlag::RESOLVE_NO_MAGICLINKS);
    match folder {
        Some(folder) => openat2(folder.as_fd(), name, how),
        None => openat2(AT_FDCWD, name, how),
    }
}

/// The components of `path`, the last one first.
fn parts(path: &Path) -> io::Result<Vec<String>> {
    let text = path.to_str().ok_or_else(|| io::Error::other("its name is not UTF-8"))?;
    Ok(text.split('/').filter(|part| !matches!(*part, "" | ".")).rev().map(str::to_owned).collect())
}

/// The type of the file system that is seen at each mount point of `mountinfo`: the last one mounted there.
/// Source: proc_pid_mountinfo(5).
fn types(mountinfo: &str) -> HashMap<PathBuf, &str> {
    let mount = |line: &'_ str| {
        let place = line.split(' ').nth(4)?;
        let start = line.find(" - ")? + 3;
        let length = line.get(start..)?.find(' ')?;
        Some((unescaped(place), start..start + length))
    };
    let mounts = mountinfo.lines().filter_map(|line| {
        let (place, kind) = mount(line)?;
        Some((place, line.get(kind)?))
    });
    mounts.collect()
}

/// The path that mountinfo writes as `text`: white space and backslashes are octal there.
fn unescaped(text: &str) -> PathBuf {
    let (mut path, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once('\\') {
        path.push_str(before);
        let octal = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match (octal, after.get(3..)) {
            (Some(byte), Some(after)) if byte.is_ascii() => {
                path.push(char::from(byte));
                rest = after;
            }
            _ => {
                path.push('\\');
                rest = after;
            }
        }
    }
    path.push_str(rest);
    path.into()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use nix::sys::stat::fstat;

    use super::*;

    #[test]
    fn the_last_mount_at_a_place_is_the_one_that_is_seen() {
        let text = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n\
                    40 22 0:31 / /a\\040b rw - autofs systemd-1 rw\n\
                    41 40 0:32 / /a\\040b rw shared:2 master:3 - fuse.sshfs host:/ rw\n\
                    nonsense\n";
        let types = types(text);
        assert_eq!(types.get(Path::new("/")), Some(&"ext4"));
        assert_eq!(types.get(Path::new("/a b")), Some(&"fuse.sshfs"));
        assert_eq!(types.len(), 2);
    }

    #[test]
    fn a_path_is_followed_to_where_its_links_lead() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().canonicalize().unwrap();
        fs::create_dir_all(root.join("a/b")).unwrap();
        fs::write(root.join("a/b/file"), "x").unwrap();
        symlink("a/../a/b", root.join("relative")).unwrap();
        symlink(root.join("relative"), root.join("absolute")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
        let inode = |path: &str| open(&root.join(path)).unwrap().map(|handle| fstat(handle).unwrap().st_ino);
        let file = inode("a/b/file");
        assert!(file.is_some());
        assert_eq!((inode("relative/file"), inode("absolute/file")), (file, file));
        assert_eq!((inode("absent/file"), inode("a/b/file/below")), (None, None));
        assert!(open(&root.join("loop")).is_err());
    }

    #[test]
    fn a_file_system_that_may_never_answer_is_not_entered() {
        // procfs stands for one: it is on no list of those that are entered.
        let error = open(Path::new("/proc/self/status")).unwrap_err().to_string();
        assert!(error.contains("it is on a proc file system"), "{error}");
    }
}
