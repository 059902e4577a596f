//! Programs of peers that look at the machine's own root only: put into a fake host, and run with that as their root.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use nix::sys::stat::{Mode, SFlag, makedev, mknod};

use crate::hosts;

/// Puts `program` into `root`, with the libraries that it needs, a few of the programs that busybox has, and a low-level runtime
/// that does nothing.
pub(crate) fn put(root: &Path, program: &Path, busybox: &Path) {
    for folder in ["bin", "dev", "etc", "var/log"] {
        fs::create_dir_all(root.join(folder)).unwrap();
    }
    let libraries = Command::new("ldd").arg(program).output().unwrap();
    let libraries = String::from_utf8(libraries.stdout).unwrap();
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        let to = root.join(library.trim_start_matches('/'));
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::copy(library, to).unwrap();
    }
    fs::copy(program, root.join("bin").join(program.file_name().unwrap())).unwrap();
    fs::copy(busybox, root.join("bin/sh")).unwrap();
    symlink("sh", root.join("bin/stat")).unwrap();
    hosts::put(root, "bin/runc", "#!/bin/sh\n");
    fs::set_permissions(root.join("bin/runc"), fs::Permissions::from_mode(0o755)).unwrap();
    hosts::put(root, "etc/passwd", "root:x:0:0:root:/root:/bin/sh\n");
    let null = root.join("dev/null");
    if !null.exists() {
        mknod(&null, SFlag::S_IFCHR, Mode::from_bits_truncate(0o666), makedev(1, 3)).unwrap();
    }
}

/// A command in `root`, program first.
pub(crate) fn command(root: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("chroot");
    command.arg(root).args(args).env("PATH", "/bin:/usr/sbin:/sbin:/usr/bin");
    command
}
