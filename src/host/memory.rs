//! What large directories said, remembered in `/run/gpu-runc/directories` for later starts: a library directory has thousands of
//! names, of which a driver has fifty.
//!
//! The directory is root's, and gone with the boot. A record is used while the directory's device, inode, size and times are
//! those that it had when it was read. One that changed less than two seconds before it was read is not recorded, because the
//! next change may have the same time. Whatever is wrong with a record, or with writing one, costs speed and nothing else.

use std::fmt::Write as _;
use std::fs::{DirBuilder, OpenOptions, remove_file, rename};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::sys::stat::FileStat;

use super::folder::Names;

/// Below this size a directory is read as fast as a record of it.
const LEAST: i64 = 16 << 10;
/// The most that is read of a record: far more names than a driver has.
const LARGEST: u64 = 1 << 20;
/// How long a directory must have been unchanged.
const SETTLED: Duration = Duration::from_secs(2);
/// A record that was begun this long ago, and is not there yet, was begun by a start that was killed.
const ABANDONED: Duration = Duration::from_secs(10);
const END: &str = ".\n";

/// What a directory was like when it was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct State {
    /// Device and inode, by which two names of one directory are told.
    pub id: (u64, u64),
    size: i64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// The place of the records.
#[derive(Debug, Clone)]
pub(super) struct Memory(PathBuf);

/// A directory, and what was looked for in it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Key {
    file: String,
    header: String,
    state: State,
}

impl State {
    /// What the directory with this status is like.
    pub fn of(stat: &FileStat) -> Self {
        State {
            id: (stat.st_dev, stat.st_ino),
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        }
    }

    /// Whether another change could not have the same times.
    fn is_settled(self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.modified.max(self.changed);
        let (Ok(seconds), Ok(nanoseconds)) = (u64::try_from(seconds), u32::try_from(nanoseconds)) else { return false };
        let last = SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds));
        last.is_some_and(|last| now.duration_since(last).is_ok_and(|age| age > SETTLED))
    }
}

impl Key {
    /// The key of what `what` names of the directory at `path`. `None` for a directory that is not worth a record.
    pub(super) fn new(path: &Path, what: &str, state: State) -> Option<Self> {
        let file: String = path.to_str()?.replace('/', "-");
        let header = format!("gpu-runc {} {what:?} {path:?}\n{state:?}\n", env!("CARGO_PKG_VERSION"));
        (state.size >= LEAST && file.len() < 200).then_some(Key { file, header, state })
    }
}

impl Memory {
    /// Records below the host's `/run`, which this process finds at `run`. `None` for a user who is not root.
    pub(super) fn at(run: &Path) -> Option<Self> {
        nix::unistd::geteuid().is_root().then(|| Memory(run.join("gpu-runc/directories")))
    }

    /// The names of an earlier start, where they still hold.
    pub(super) fn recall(&self, key: &Key) -> Option<Names> {
        match self.read(key) {
            Ok(names) => names,
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                log::debug!("a record of a directory in {} is ignored: {error}", self.0.display());
                None
            }
        }
    }

    /// Records `names`, which were read from `began` on.
    pub(super) fn keep(&self, key: &Key, names: &Names, began: SystemTime) {
        if !key.state.is_settled(began) {
            return;
        }
        if let Err(error) = self.write(key, names) {
            log::debug!("a directory is not recorded in {}: {error}", self.0.display());
        }
    }

    fn read(&self, key: &Key) -> io::Result<Option<Names>> {
        let mut options = OpenOptions::new();
        let options = options.read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY);
        let mut file = options.open(self.0.join(&key.file))?;
        let found = file.metadata()?;
        // Only root writes records; what others could have written is not trusted.
        if !found.is_file() || found.uid() != 0 || found.mode() & 0o022 != 0 || found.len() > LARGEST {
            return Err(io::Error::other("it is not root's own file"));
        }
        // A record is never written in place, so its size is all of it.
        let mut bytes = vec![0; usize::try_from(found.len()).unwrap_or_default()];
        file.read_exact(&mut bytes)?;
        Ok(std::str::from_utf8(&bytes).ok().and_then(|text| parsed(text, &key.header)))
    }

    fn write(&self, key: &Key, names: &Names) -> io::Result<()> {
        let mut text = key.header.clone();
        for (name, is_link) in names.iter() {
            // A name with a line break cannot be recorded, and no library has one.
            if name.contains('\n') {
                return Ok(());
            }
            let _ = writeln!(text, "{}{name}", if is_link { 'l' } else { 'f' });
        }
        text.push_str(END);
        if text.len() as u64 > LARGEST {
            return Ok(());
        }
        DirBuilder::new().recursive(true).mode(0o755).create(&self.0)?;
        let (new, place) = (self.0.join(format!("{}.new", key.file)), self.0.join(&key.file));
        let written = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&new).and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            rename(&new, &place)
        });
        if let Err(error) = &written {
            // The file of a start that runs at the same time is left alone.
            let is_own = error.kind() != io::ErrorKind::AlreadyExists;
            let is_abandoned = || {
                let age = std::fs::symlink_metadata(&new).ok()?.modified().ok()?.elapsed().ok()?;
                Some(age > ABANDONED)
            };
            if is_own || is_abandoned() == Some(true) {
                remove_file(&new)?;
            }
        }
        written
    }
}

/// The names of a record. `None` for one of another directory or time, and for one that is not whole.
fn parsed(text: &str, header: &str) -> Option<Names> {
    let lines = text.strip_prefix(header)?.strip_suffix(END)?;
    let mut names = Names::default();
    for line in lines.split_terminator('\n') {
        let (name, is_link) = match (line.strip_prefix('l'), line.strip_prefix('f')) {
            (Some(name), _) => (name, true),
            (_, Some(name)) => (name, false),
            _ => return None,
        };
        // A name that leads elsewhere is not one of a directory.
        if name.is_empty() || name.contains('/') || matches!(name, "." | "..") {
            return None;
        }
        names.push(name, is_link);
    }
    Some(names)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn key(size: i64, changed: i64) -> Option<Key> {
        let state = State { id: (1, 2), size, modified: (5, 0), changed: (changed, 7) };
        Key::new(Path::new("/usr/lib"), "what", state)
    }

    fn names() -> Names {
        let mut names = Names::default();
        names.push("libx.so.7", false);
        names.push("libx.so.1", true);
        names
    }

    fn listed(names: Option<&Names>) -> Vec<(String, bool)> {
        names.into_iter().flat_map(Names::iter).map(|(name, is_link)| (name.to_owned(), is_link)).collect()
    }

    #[test]
    fn a_directory_is_recalled_as_long_as_it_is_unchanged() {
        let run = tempfile::tempdir().unwrap();
        let Some(memory) = Memory::at(run.path()) else { return };
        let (before, now) = (key(LEAST, 9).unwrap(), SystemTime::now());
        assert_eq!(listed(memory.recall(&before).as_ref()), []);
        memory.keep(&before, &names(), now);
        assert_eq!(
            listed(memory.recall(&before).as_ref()),
            [("libx.so.7".to_owned(), false), ("libx.so.1".to_owned(), true)]
        );
        assert_eq!(listed(memory.recall(&key(LEAST, 10).unwrap()).as_ref()), [], "it changed");
        assert_eq!(key(LEAST - 1, 9), None, "it is small");
        assert_eq!(fs::read_dir(&memory.0).unwrap().count(), 1, "nothing is left beside the record");
    }

    #[test]
    fn a_directory_that_may_change_within_its_time_is_not_recorded() {
        let run = tempfile::tempdir().unwrap();
        let Some(memory) = Memory::at(run.path()) else { return };
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        for (changed, expected) in [(97, true), (98, false), (100, false), (1000, false)] {
            let key = key(LEAST, changed).unwrap();
            memory.keep(&key, &names(), now);
            assert_eq!(memory.recall(&key).is_some(), expected, "{changed}");
        }
    }

    #[test]
    fn damaged_and_foreign_records_are_ignored() {
        let run = tempfile::tempdir().unwrap();
        let Some(memory) = Memory::at(run.path()) else { return };
        let key = key(LEAST, 9).unwrap();
        memory.keep(&key, &names(), SystemTime::now());
        let file = memory.0.join(&key.file);
        let whole = fs::read_to_string(&file).unwrap();
        for length in 0..whole.len() {
            fs::write(&file, whole.get(..length).unwrap()).unwrap();
            assert!(memory.recall(&key).is_none(), "{length}");
        }
        for line in ["l../../etc/shadow\n", "l..\n", "l\n", "x\n", "\n"] {
            fs::write(&file, whole.replace("llibx", &format!("{line}llibx"))).unwrap();
            assert!(memory.recall(&key).is_none(), "{line}");
        }
        fs::write(&file, &whole).unwrap();
        assert!(memory.recall(&key).is_some());
        fs::set_permissions(&file, fs::Permissions::from_mode(0o666)).unwrap();
        assert!(memory.recall(&key).is_none(), "others can write it");
        fs::rename(&file, run.path().join("elsewhere")).unwrap();
        symlink(run.path().join("elsewhere"), &file).unwrap();
        assert!(memory.recall(&key).is_none(), "a link");
        fs::remove_file(&file).unwrap();
        fs::create_dir(&file).unwrap();
        assert!(memory.recall(&key).is_none(), "a directory");
        memory.keep(&key, &names(), SystemTime::now());
    }

    #[test]
    fn a_record_that_another_start_writes_is_left_to_it_and_one_of_a_killed_start_goes() {
        let run = tempfile::tempdir().unwrap();
        let Some(memory) = Memory::at(run.path()) else { return };
        let key = key(LEAST, 9).unwrap();
        fs::create_dir_all(&memory.0).unwrap();
        let new = memory.0.join(format!("{}.new", key.file));
        let file = fs::File::create(&new).unwrap();
        memory.keep(&key, &names(), SystemTime::now());
        assert!(new.exists() && memory.recall(&key).is_none());
        file.set_modified(SystemTime::now() - ABANDONED * 2).unwrap();
        memory.keep(&key, &names(), SystemTime::now());
        assert!(!new.exists());
        memory.keep(&key, &names(), SystemTime::now());
        assert!(memory.recall(&key).is_some());
    }
}
