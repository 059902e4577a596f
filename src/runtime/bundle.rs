//! The bundle: reading its config.json, and putting another in its place all at once or not at all.
//!
//! The only writer on the container-start path.

#![allow(clippy::disallowed_methods, reason = "reads and replaces config.json")]

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process;

use crate::error::{Error, Result};
use crate::host::folder::Names;
use crate::oci::{LARGEST, TOO_LARGE};

/// More calls than this were not killed before one that was not.
const MOST_LEFT: usize = 1 << 10;

/// A config.json that was read, with what is needed to replace it.
#[derive(Debug)]
pub struct Bundle {
    path: PathBuf,
    /// The file itself, where the bundle holds a link to it.
    target: PathBuf,
    text: Text,
    found: fs::Metadata,
}

/// The text of a configuration.
#[derive(Debug)]
enum Text {
    Exact(String),
    /// Bytes that were no UTF-8 are replaced: good enough to see what is asked, not to write.
    Lossy(String),
}

impl Bundle {
    /// Reads the configuration at `path`; `None` if there is none.
    pub fn read(path: &Path) -> Result<Option<Self>> {
        let failed = |cause| Error::io("read", path, cause);
        // Before it is opened: whoever writes into a pipe would lose what the low-level runtime is to read.
        let found = match fs::metadata(path) {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found.map_err(failed)?,
        };
        if !found.is_file() {
            return Err(spec_error(path, "not a regular file"));
        }
        if found.len() > LARGEST {
            return Err(spec_error(path, TOO_LARGE));
        }
        // It may be another one by now. O_NONBLOCK, or a pipe in its place would hold us up.
        let open = |path: &Path, flags| OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | flags).open(path);
        let (opened, target) = match open(path, libc::O_NOFOLLOW) {
            Err(cause) if cause.raw_os_error() == Some(libc::ELOOP) => {
                let target = fs::canonicalize(path).map_err(failed)?;
                (open(&target, libc::O_NOFOLLOW), target)
            }
            opened => (opened, path.to_owned()),
        };
        let mut file = match opened {
            Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(failed)?,
        };
        let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default() + 1);
        (&mut file).take(LARGEST).read_to_end(&mut bytes).map_err(failed)?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => Text::Exact(text),
            Err(not_utf8) => Text::Lossy(String::from_utf8_lossy(not_utf8.as_bytes()).into_owned()),
        };
        Ok(Some(Bundle { path: path.to_owned(), target, text, found }))
    }

    /// Whether a pipe is at `path`, which only one can read.
    pub fn is_pipe(path: &Path) -> bool {
        fs::metadata(path).is_ok_and(|found| found.file_type().is_fifo())
    }

    /// Where the configuration is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its text.
    pub fn text(&self) -> &str {
        match &self.text {
            Text::Exact(text) | Text::Lossy(text) => text,
        }
    }

    /// Puts `text` in the configuration's place: a new file with the old one's owner and mode, renamed over it. Whatever
    /// happens on the way, the old file or the new one is there, whole.
    pub fn replace(&self, text: &str) -> Result<()> {
        if let Text::Lossy(_) = self.text {
            return Err(spec_error(&self.path, "cannot be edited safely: it is not valid UTF-8"));
        }
        let failed = |cause| Error::io("replace", &self.path, cause);
        let unfinished = self.unfinished();
        // Only tidiness: what cannot be listed can still be written, or tells why not.
        let _ = self.sweep(&unfinished);
        let mut name = unfinished;
        name.push(process::id().to_string());
        let fresh = self.target.with_file_name(name);
        let written = self.write(&fresh, text).and_then(|()| {
            if self.has_changed()? {
                return Err(io::Error::other("somebody else wrote it at the same time"));
            }
            fs::rename(&fresh, &self.target)
        });
        written.map_err(|cause| {
            // What is left of a try must not stay; that it could not be removed either is no news.
            let _ = fs::remove_file(&fresh);
            failed(cause)
        })
    }

    /// Puts a file that all can read in `folder`, the bundle's directory, in place of one of that name, and returns its path. It is
    /// renamed when it is whole; the owner is that of the configuration.
    pub fn put(&self, folder: &Path, name: &str, bytes: &[u8]) -> Result<String> {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let failed = |cause| Error::io("write", &folder.join(name), cause);
        // Low-level runtimes differ in what a relative source is relative to.
        let folder = fs::canonicalize(folder).map_err(failed)?;
        let path = folder.join(name);
        let text = path.to_str().ok_or_else(|| failed(io::Error::other("its path is not UTF-8")))?.to_owned();
        // The next start of the bundle finds by this name what one that was killed has left.
        let fresh = folder.join(format!("{name}.new"));
        let write = || {
            match fs::remove_file(&fresh) {
                Err(cause) if cause.kind() != io::ErrorKind::NotFound => return Err(cause),
                _ => {}
            }
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
            file.write_all(bytes)?;
            self.give(&file)?;
            file.set_permissions(fs::Permissions::from_mode(0o644))?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|cause| {
            // What is left of a try must not stay; that it could not be removed either is no news.
            let _ = fs::remove_file(&fresh);
            failed(cause)
        })?;
        Ok(text)
    }

    /// How the names of what is not yet whole begin; the number of a process follows.
    fn unfinished(&self) -> OsString {
        let mut name = self.target.file_name().unwrap_or_default().to_owned();
        name.push(".gpu-runc-");
        name
    }

    /// Removes what calls for this bundle left behind that were killed. One that is still at work finds its own gone when it is
    /// to be renamed, and fails whole: engines make one call at a time.
    fn sweep(&self, unfinished: &OsStr) -> io::Result<()> {
        let folder = self.target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let Some(unfinished) = unfinished.to_str() else { return Ok(()) };
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_DIRECTORY).open(folder)?;
        let left = Names::read(&opened.into(), MOST_LEFT, |name, _| name.starts_with(unfinished))?;
        left.iter().try_for_each(|(name, _)| fs::remove_file(folder.join(name)))
    }

    fn write(&self, fresh: &Path, text: &str) -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(fresh)?;
        file.write_all(text.as_bytes())?;
        self.dress(&file)
    }

    fn dress(&self, file: &File) -> io::Result<()> {
        self.give(file)?;
        file.set_permissions(fs::Permissions::from_mode(self.found.mode() & 0o7777))
    }

    /// Gives the file to the configuration's owner.
    fn give(&self, file: &File) -> io::Result<()> {
        let ours = file.metadata()?;
        if (ours.uid(), ours.gid()) != (self.found.uid(), self.found.gid()) {
            fchown(file, Some(self.found.uid()), Some(self.found.gid()))?;
        }
        Ok(())
    }

    fn has_changed(&self) -> io::Result<bool> {
        let now = fs::metadata(&self.target)?;
        let state = |file: &fs::Metadata| (file.dev(), file.ino(), file.len(), file.mtime(), file.mtime_nsec());
        Ok(state(&now) != state(&self.found))
    }
}

fn spec_error(path: &Path, message: &str) -> Error {
    Error::Spec { path: path.to_owned(), message: message.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_somebody_else_wrote_meanwhile_is_not_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("config.json");
        let read = || Bundle::read(&path).unwrap().unwrap();
        fs::write(&path, "{}").unwrap();
        let bundle = read();
        fs::write(&path, r#"{"theirs":1}"#).unwrap();
        let error = bundle.replace(r#"{"ours":1}"#).unwrap_err().to_string();
        assert!(error.contains("config.json: somebody else wrote it at the same time"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"theirs":1}"#);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left over");
        read().replace(r#"{"ours":1}"#).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), r#"{"ours":1}"#);
    }
}
