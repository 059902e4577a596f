//! The files of an installation: read as they are, replaced whole.
//!
//! Knows no layout and no engine.

#![allow(clippy::disallowed_methods, reason = "the folder of the installation, and the machine's processes")]

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::sys::stat::FileStat;

use crate::error::{Error, Escaped, Result};

/// `None` where there is nothing.
fn some<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(cause) => Err(cause),
    }
}

/// What a file holds.
pub(super) fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    some(fs::read(path)).map_err(|cause| Error::io("read", path, cause))
}

/// What a plain file holds, if it is one. `None` for a link, a FIFO or whatever else a reader could wait for, and for a file that
/// is larger than any bundle has.
pub(super) fn read_plain(path: &Path) -> Result<Option<Vec<u8>>> {
    const LARGEST: u64 = 16 << 20;
    let read = || -> io::Result<Option<Vec<u8>>> {
        let flags = libc::O_NONBLOCK | libc::O_NOFOLLOW | libc::O_NOCTTY;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Err(cause) if [Some(libc::ELOOP), Some(libc::ENXIO)].contains(&cause.raw_os_error()) => return Ok(None),
            file => file?,
        };
        let found = file.metadata()?;
        if !found.is_file() || found.len() > LARGEST {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes)?;
        Ok(Some(bytes))
    };
    some(read()).map(Option::flatten).map_err(|cause| Error::io("read", path, cause))
}

/// The same of a file of a process, which may end meanwhile.
pub(super) fn read_of_process(path: &Path) -> Result<Vec<u8>> {
    match fs::read(path) {
        Err(cause) if cause.raw_os_error() == Some(libc::ESRCH) => Ok(Vec::new()),
        read => Ok(some(read).map_err(|cause| Error::io("read", path, cause))?.unwrap_or_default()),
    }
}

/// Where a link leads.
pub(super) fn link(path: &Path) -> Result<Option<String>> {
    let target = some(fs::read_link(path)).map_err(|cause| Error::io("read the link", path, cause))?;
    Ok(target.map(|target| target.to_string_lossy().into_owned()))
}

/// The names in a folder, sorted.
pub(super) fn names(folder: &Path) -> Result<Option<Vec<String>>> {
    let list = || -> io::Result<Option<Vec<String>>> {
        let Some(entries) = some(fs::read_dir(folder))? else { return Ok(None) };
        let mut names = Vec::new();
        for entry in entries {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(Some(names))
    };
    list().map_err(|cause| Error::io("list", folder, cause))
}

/// Whether there is anything at `path`.
pub(super) fn is_there(path: &Path) -> Result<bool> {
    Ok(some(fs::symlink_metadata(path)).map_err(|cause| Error::io("look at", path, cause))?.is_some())
}

/// What `path` is, links followed.
pub(super) fn stat(path: &Path) -> Result<Option<FileStat>> {
    some(nix::sys::stat::stat(path).map_err(io::Error::from)).map_err(|cause| Error::io("look at", path, cause))
}

/// Where `path` is once links are followed; itself if there is nothing.
pub(super) fn real(path: &Path) -> Result<PathBuf> {
    let real = some(fs::canonicalize(path)).map_err(|cause| Error::io("look at", path, cause))?;
    Ok(real.unwrap_or_else(|| path.to_owned()))
}

/// A name that no reader of the folder takes for its own, and that the next try finds again after a kill.
fn fresh(path: &Path) -> PathBuf {
    path.with_file_name(format!(".{}.new", path.file_name().unwrap_or_default().to_string_lossy()))
}

/// Makes the file hold `bytes`, whole or not at all. Its folder is made where it is not there.
pub(super) fn write(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let (folder, fresh) = (path.parent().unwrap_or(Path::new("/")), fresh(path));
    let write = || -> io::Result<()> {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
        some(fs::remove_file(&fresh))?;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
        file.write_all(bytes)?;
        file.set_permissions(fs::Permissions::from_mode(mode))?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    };
    write().map_err(|cause| Error::io("write", path, cause))
}

/// Makes the link at `path` lead to `target`. Whoever follows it meets the old one or the new one.
pub(super) fn point(path: &Path, target: &str) -> Result<()> {
    let (folder, fresh) = (path.parent().unwrap_or(Path::new("/")), fresh(path));
    let point = || -> io::Result<()> {
        some(fs::remove_file(&fresh))?;
        symlink(target, &fresh)?;
        fs::rename(&fresh, path)?;
        File::open(folder)?.sync_all()
    };
    point().map_err(|cause| Error::io("write the link", path, cause))
}

/// Removes a file, a link, or a folder with all that is in it. Nothing there is nothing to do.
pub(super) fn remove(path: &Path) -> Result<()> {
    let remove = || match some(fs::symlink_metadata(path))? {
        None => Ok(()),
        Some(found) if found.is_dir() => fs::remove_dir_all(path),
        Some(_) => fs::remove_file(path),
    };
    remove().map_err(|cause| Error::io("remove", path, cause))
}

/// Holds `path` against others until the file that is returned is closed, by our death too. Waits for at most `patience`.
pub(super) fn lock(path: &Path, patience: Duration) -> Result<File> {
    let failed = |cause| Error::io("lock", path, cause);
    let open = || OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(failed);
    // Who held it before may have removed it: then it keeps nobody else away.
    let is_it = |file: &File| -> io::Result<bool> {
        let (ours, there) = (file.metadata()?, some(fs::metadata(path))?);
        Ok(there.is_some_and(|there| (there.dev(), there.ino()) == (ours.dev(), ours.ino())))
    };
    let mut file = open()?;
    let end = Instant::now() + patience;
    loop {
        match file.try_lock() {
            Ok(()) if is_it(&file).map_err(failed)? => return Ok(file),
            Ok(()) => file = open()?,
            Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            Err(TryLockError::WouldBlock) if Instant::now() < end => sleep(Duration::from_millis(100)),
            Err(TryLockError::WouldBlock) => {
                let message = "another gpu-ctk node is at work on this machine, and is not done yet; try again later";
                return Err(Error::Usage(format!("{message} ({})", Escaped::path(path))));
            }
        }
    }
}
