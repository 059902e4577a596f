//! Reads an engine's files and puts new ones in their place, whole or not at all.

#![allow(clippy::disallowed_methods, reason = "the engines' files, which a person asks to change")]

use std::fs::{self, DirBuilder, File as Handle, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use super::{Change, FOLDER_TOO, File, OURS};
use crate::error::{Error, Result};

/// No engine's file has this many bytes; an endless one would be read for ever, and one that was read in part be cut off.
const LARGEST: usize = 16 << 20;

/// What follows a file's name in that of a try. No engine reads a name that ends like this from a folder of drop-ins.
const TRY: &str = ".gpu-ctk-";

/// The file at `path`. An absent one is none; an unreadable one, or one that is no UTF-8 text, is an error.
pub fn read(path: &Path) -> Result<File> {
    Ok(File { path: path.to_owned(), text: text(path).map_err(|cause| Error::io("read", path, cause))? })
}

/// The files of `folder` whose names end in a dot and `suffix`, in the order of their names; none if there is no folder.
pub(super) fn read_all(folder: &Path, suffix: &str) -> Result<Vec<File>> {
    let failed = |cause| Error::io("list", folder, cause);
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(cause) => return Err(failed(cause)),
    };
    let paths: io::Result<Vec<PathBuf>> = entries.map(|entry| entry.map(|entry| entry.path())).collect();
    let mut paths = paths.map_err(failed)?;
    paths.retain(|path| path.extension().is_some_and(|found| found == suffix));
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

fn text(path: &Path) -> io::Result<Option<String>> {
    let file = match Handle::open(path) {
        Ok(file) => file,
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(cause) => return Err(cause),
    };
    let mut bytes = Vec::new();
    if file.take(LARGEST as u64 + 1).read_to_end(&mut bytes)? > LARGEST {
        return Err(io::Error::other("it is larger than 16 MiB"));
    }
    String::from_utf8(bytes).map(Some).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Whether there is nothing at `path`.
pub(super) fn is_absent(path: &Path) -> bool {
    fs::symlink_metadata(path).is_err_and(|cause| cause.kind() == io::ErrorKind::NotFound)
}

/// Makes the file what `change` says: a new file with the old one's owner and mode, renamed over what a link at the path leads
/// to. An error if somebody else changed it since it was read.
pub fn apply(change: &Change) -> Result<()> {
    let target = fs::canonicalize(&change.path).unwrap_or_else(|_| change.path.clone());
    let Some(after) = &change.after else {
        let removed = unchanged(change).and_then(|()| fs::remove_file(&change.path));
        let is_made = change.before.as_ref().is_some_and(|before| before.starts_with(&format!("{OURS}{FOLDER_TOO}")));
        if let Some(folder) = change.path.parent().filter(|_| is_made && removed.is_ok()) {
            // What others put there meanwhile keeps it.
            let _ = fs::remove_dir(folder);
        }
        return removed.map_err(|cause| Error::io("remove", &change.path, cause));
    };
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(format!("{TRY}{}", std::process::id()));
    let fresh = target.with_file_name(name);
    let written = write(&fresh, &target, after).and_then(|()| {
        unchanged(change)?;
        fs::rename(&fresh, &target)?;
        target.parent().map_or(Ok(()), |folder| Handle::open(folder)?.sync_all())
    });
    written.map_err(|cause| {
        // What is left of a try must not stay; that it could not be removed either is no news.
        let _ = fs::remove_file(&fresh);
        Error::io("write", &change.path, cause)
    })
}

/// Removes what processes left beside the file that were killed while they changed it. For callers that know that nobody else is
/// at it: one who is would fail.
pub fn forget_tries(path: &Path) -> Result<()> {
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let start = format!("{}{TRY}", target.file_name().unwrap_or_default().to_string_lossy());
    let folder = target.parent().unwrap_or(Path::new("/"));
    let forget = || -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&start) {
                fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    };
    forget().map_err(|cause| Error::io("tidy", folder, cause))
}

fn unchanged(change: &Change) -> io::Result<()> {
    match text(&change.path)? == change.before {
        true => Ok(()),
        false => Err(io::Error::other("somebody else changed it at the same time")),
    }
}

fn write(fresh: &Path, target: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = target.parent() {
        DirBuilder::new().recursive(true).mode(0o755).create(folder)?;
    }
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh);
    let mut file = create().or_else(|cause| match cause.kind() {
        // What a process of the same number left behind when it was killed.
        io::ErrorKind::AlreadyExists => fs::remove_file(fresh).and_then(|()| create()),
        _ => Err(cause),
    })?;
    file.write_all(text.as_bytes())?;
    let mode = match fs::metadata(target) {
        Ok(old) => {
            let ours = file.metadata()?;
            if (ours.uid(), ours.gid()) != (old.uid(), old.gid()) {
                fchown(&file, Some(old.uid()), Some(old.gid()))?;
            }
            old.mode() & 0o7777
        }
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => 0o644,
        Err(cause) => return Err(cause),
    };
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}
