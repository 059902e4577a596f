//! Whether a CDI file, or our configuration, may be believed: they name programs that run as root on the host, so nobody but root may
//! have written them.
//!
//! Pure but for [`Reader::current`]. The Go library of CDI checks nothing of this.

use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::stat::FileStat;
use rustix::fs::{fgetxattr, getxattr};
use rustix::io::Errno;

use crate::error::Escaped;

mod acl;

/// Who reads, as far as it decides whom to trust.
#[derive(Debug, Clone, Copy)]
pub struct Reader {
    uid: u32,
}

/// Owner, group and mode of a file or directory.
#[derive(Debug, Clone, Copy)]
struct Writers {
    uid: u32,
    gid: u32,
    mode: u32,
}

/// What the kernel shows for an owner that a user namespace does not map: there, the host's root is among them.
const UNMAPPED: u32 = 65534;
/// The map of the initial user namespace, in which nobody is unmapped.
const EVERYBODY: [&str; 3] = ["0", "0", "4294967295"];

impl Reader {
    /// This process.
    pub fn current() -> Self {
        Reader { uid: nix::unistd::geteuid().as_raw() }
    }

    /// Why a file or directory that others could have written is not trusted, and what to do about it. `file` is open, was found at
    /// `path`, and has this `stat`.
    ///
    /// The kernel shows the mask of a POSIX ACL as the mode's bits for the group, so a user whom an ACL lets write is one of a file that
    /// its group may write. Such a file is trusted only if the group is root's, so only then the ACL is read.
    pub fn distrusts(self, path: &Path, stat: &FileStat, file: impl AsFd) -> Option<String> {
        self.distrusts_owner(path, (stat.st_uid, stat.st_gid, stat.st_mode), file)
    }

    /// As [`Reader::distrusts`], of something whose owner, group and mode are known.
    pub fn distrusts_owner(self, path: &Path, (uid, gid, mode): (u32, u32, u32), file: impl AsFd) -> Option<String> {
        self.judge(path, Writers { uid, gid, mode }, |list| fgetxattr(file, acl::NAME, list))
    }

    fn judge(
        self,
        path: &Path,
        mut writers: Writers,
        read_acl: impl FnOnce(&mut [u8]) -> rustix::io::Result<usize>,
    ) -> Option<String> {
        if [writers.uid, writers.gid].contains(&UNMAPPED) && is_in_user_namespace() {
            writers = writers.with_unmapped_as_root();
        }
        let fault = self.fault(path, writers);
        if fault.is_some() || writers.mode & 0o020 == 0 {
            return fault;
        }
        let mut list = [0; acl::LARGEST];
        let writer = match read_acl(&mut list) {
            Ok(length) => acl::other_writer(list.get(..length).unwrap_or_default(), self.uid)?,
            // There is none, or the file system has none.
            Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS) => return None,
            Err(_) => "which cannot be read".to_owned(),
        };
        Some(format!("others than its owner may write to it (ACL, {writer}): setfacl -b {}", Escaped::path(path)))
    }

    /// Why the folder at `path` of a file that was judged itself makes it not to be believed: who may put another in its place. In a
    /// sticky folder that is the folder's owner alone. Unlike [`Reader::distrusts`], which is for folders whose files all count.
    pub fn distrusts_folder(self, path: &Path, stat: &FileStat) -> Option<String> {
        let mut stat = *stat;
        if stat.st_mode & 0o1000 != 0 {
            stat.st_mode &= !0o022;
        }
        let writers = Writers { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode };
        self.judge(path, writers, |list| getxattr(path, acl::NAME, list))
    }

    /// Whether a file is root's, or this process's user's. An owner that the user namespace does not map is neither: among these are
    /// the host's other users.
    pub fn owns(self, stat: &FileStat) -> bool {
        stat.st_uid == 0 || stat.st_uid == self.uid
    }

    /// Whether what root has in a directory that all can write stays there: it is sticky, and root's. Who else owns a sticky directory
    /// can rename and remove everything in it.
    pub fn trusts_sticky(self, stat: &FileStat) -> bool {
        let is_roots = self.owns(stat) || (stat.st_uid == UNMAPPED && is_in_user_namespace());
        is_roots && stat.st_mode & 0o1000 != 0
    }

    /// Why others can replace or change what is in a directory that all can write, although that is sticky.
    pub fn exposes(self, stat: &FileStat) -> Option<String> {
        let kind = stat.st_mode & libc::S_IFMT;
        let is_open = stat.st_mode & 0o002 != 0 || (stat.st_mode & 0o020 != 0 && stat.st_gid != 0);
        // Everybody can write into a socket or a pipe; that is what they are for.
        let is_closed = match kind {
            libc::S_IFSOCK | libc::S_IFIFO => true,
            libc::S_IFDIR => !is_open || stat.st_mode & 0o1000 != 0,
            _ => !is_open,
        };
        match kind {
            libc::S_IFLNK => Some("is a link".to_owned()),
            _ if !self.owns(stat) => Some(format!("belongs to user {}", stat.st_uid)),
            _ if !is_closed => Some(format!("can be written by others (mode {:04o})", stat.st_mode & 0o7777)),
            _ => None,
        }
    }

    fn fault(self, path: &Path, writers: Writers) -> Option<String> {
        let Writers { uid, gid, mode } = writers;
        let path = Escaped::path(path);
        if uid != 0 && uid != self.uid {
            let expected = if self.uid == 0 { "root".to_owned() } else { format!("root or user {}", self.uid) };
            return Some(format!("it belongs to user {uid}, expected {expected}: chown root {path}"));
        }
        if mode & 0o002 != 0 || (mode & 0o020 != 0 && gid != 0) {
            let bits = mode & 0o7777;
            return Some(format!(
                "others than its owner may write to it (mode {bits:04o}, group {gid}): chmod go-w {path}"
            ));
        }
        None
    }
}

impl Writers {
    fn with_unmapped_as_root(self) -> Self {
        let mapped = |id| if id == UNMAPPED { 0 } else { id };
        Writers { uid: mapped(self.uid), gid: mapped(self.gid), mode: self.mode }
    }
}

/// Only asked where an owner looks unmapped: elsewhere it would be one file more to read on every start. A map that cannot be
/// read counts as the initial one, which trusts less.
#[expect(clippy::disallowed_methods, reason = "the process's own user namespace, not the host")]
fn is_in_user_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !map.split_whitespace().eq(EVERYBODY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_root_or_the_reader_alone_can_write_is_believed() {
        const ROOT: u32 = 0;
        const ANN: u32 = 1000;
        const BOB: u32 = 1001;
        for (what, reader, (uid, gid, mode), fault) in [
            ("root reads root's file", ROOT, (0, 0, 0o100_644), None),
            ("root reads a file of root's group", ROOT, (0, 0, 0o100_664), None),
            ("root reads root's directory", ROOT, (0, 0, 0o40_755), None),
            (
                "root reads a file that a group may write",
                ROOT,
                (0, 44, 0o100_664),
                Some("(mode 0664, group 44): chmod go-w /e"),
            ),
            ("root reads a file of a group that may not write", ROOT, (0, 44, 0o100_640), None),
            (
                "root reads a file that all may write",
                ROOT,
                (0, 0, 0o100_646),
                Some("(mode 0646, group 0): chmod go-w /e"),
            ),
            ("a sticky directory is no better", ROOT, (0, 0, 0o41_777), Some("(mode 1777, group 0): chmod go-w /e")),
            (
                "root reads a user's file",
                ROOT,
                (ANN, 0, 0o100_600),
                Some("belongs to user 1000, expected root: chown root /e"),
            ),
            ("root reads nobody's file", ROOT, (UNMAPPED, 0, 0o100_644), Some("belongs to user 65534")),
            ("a user reads root's file", ANN, (0, 0, 0o100_644), None),
            ("a user reads her own file", ANN, (ANN, ANN, 0o100_600), None),
            (
                "a user reads her own file that all may write",
                ANN,
                (ANN, ANN, 0o100_666),
                Some("(mode 0666, group 1000)"),
            ),
            (
                "a user reads another's file",
                ANN,
                (BOB, 0, 0o100_644),
                Some("belongs to user 1001, expected root or user 1000"),
            ),
        ] {
            let told = Reader { uid: reader }.fault(Path::new("/e"), Writers { uid, gid, mode });
            match (told, fault) {
                (None, None) => {}
                (Some(told), Some(fault)) => assert!(told.contains(fault), "{what}: {told}"),
                (told, _) => panic!("{what}: {told:?}"),
            }
        }
    }

    #[test]
    fn in_a_user_namespace_the_unmapped_owner_is_the_hosts_root() {
        let writers = Writers { uid: UNMAPPED, gid: UNMAPPED, mode: 0o100_664 }.with_unmapped_as_root();
        assert_eq!(Reader { uid: 0 }.fault(Path::new("/e"), writers), None);
        let writers = Writers { uid: UNMAPPED, gid: 7, mode: 0o100_664 }.with_unmapped_as_root();
        assert!(Reader { uid: 0 }.fault(Path::new("/e"), writers).is_some());
    }
}
