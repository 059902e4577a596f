//! The registry: which device is described where, after all spec directories were read.
//!
//! A value that does not change by looking things up. Reading never fails as a whole: what cannot be used is a [`Problem`], and
//! everything else can still be found. Source: CDI pkg/cdi, cache and spec-dirs.

mod devices;

pub use devices::NamedDevice;

use std::borrow::Cow;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::fault::Fault;
use super::file::SpecDir;
use super::name::{Kind, QualifiedName};
use super::outline::Wants;
use super::spec::{ContainerEdits, Spec};
use super::{text, validate};
use crate::error::{Error, Escaped};
use crate::trust::Reader;

/// What the spec directories say.
#[derive(Debug, Default)]
pub struct Registry {
    files: Vec<File>,
    kinds: Vec<Kind>,
    problems: Vec<Problem>,
}

/// A file of which something is wanted.
#[derive(Debug)]
struct File {
    path: PathBuf,
    /// A higher one hides devices of the same name in a lower one. 0 is for what was added in memory.
    rank: usize,
    /// With the devices that are wanted, in the order of their names.
    spec: Spec,
}

/// Which file of a registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileId(usize);

/// A part of a file: what it says of all of its devices, or of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Part {
    /// Which file.
    pub file: FileId,
    /// Which of its devices.
    device: Option<usize>,
}

/// Why a file or directory, or a device in it, cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file or directory.
    pub path: PathBuf,
    /// The line, counted from 1, where one can be named.
    pub line: Option<usize>,
    /// The field, what is wrong with it and what would be right.
    pub message: String,
}

/// What a name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lookup {
    /// One device, described there.
    Found(Part),
    /// Several files of one directory describe it, and none of a higher one.
    Conflict(Vec<PathBuf>),
    /// No device.
    Absent,
}

impl FileId {
    /// What the file says of all of its devices.
    pub fn of_all_devices(self) -> Part {
        Part { file: self, device: None }
    }
}

impl Registry {
    /// Reads `dirs`, the last of which has the highest priority, as far as `wants` says that a device of a kind is wanted. Other
    /// devices will not be found. What is judged of what is not wanted: see the [module](super).
    pub fn load(dirs: &[PathBuf], wants: Wants<'_>) -> Self {
        Self::load_where(dirs, wants, None)
    }

    /// As [`Registry::load`], where every device that is wanted has one of `names`: files and devices without any of them are not
    /// looked at, so that what is installed costs little more than its reading.
    pub fn load_named(dirs: &[PathBuf], wants: Wants<'_>, names: &[Cow<'_, str>]) -> Self {
        Self::load_where(dirs, wants, Some(names))
    }

    fn load_where(dirs: &[PathBuf], wants: Wants<'_>, names: Option<&[Cow<'_, str>]>) -> Self {
        let mut registry = Registry::default();
        let reader = Reader::current();
        let mut buffer = Vec::new();
        for (index, dir) in dirs.iter().enumerate() {
            if let Err(message) = registry.scan(dir, index + 1, reader, &mut buffer, wants, names) {
                registry.note(Problem { path: dir.clone(), line: None, message });
            }
        }
        registry.note_conflicts();
        registry
    }

    /// Reads all of all files in `dirs`, as the Go library does.
    pub fn load_all(dirs: &[PathBuf]) -> Self {
        Self::load(dirs, &|_, _| true)
    }

    /// Adds a spec that was made in memory; `origin` stands for its path. Its devices are found where no file describes them.
    pub fn add(&mut self, mut spec: Spec, origin: &str) {
        let path = PathBuf::from(origin);
        let problems = validate::validate(&spec);
        if problems.is_empty() {
            spec.devices.sort_by(|a, b| a.name.cmp(&b.name));
            self.know(&spec.kind);
            self.files.push(File { path, rank: 0, spec });
        } else {
            for message in problems {
                self.note(Problem { path: path.clone(), line: None, message });
            }
        }
    }

    /// Looks a device up.
    pub fn find(&self, name: &QualifiedName) -> Lookup {
        match *self.describing(name.kind(), name.device()) {
            [] => Lookup::Absent,
            [file] => match self.device(file, name.device()) {
                device @ Some(_) => Lookup::Found(Part { file, device }),
                None => Lookup::Absent,
            },
            ref files => Lookup::Conflict(files.iter().map(|file| self.path(*file).to_owned()).collect()),
        }
    }

    /// Takes the file at `path` out, as if it described nothing.
    pub fn forget(&mut self, path: &Path) {
        for file in self.files.iter_mut().filter(|file| file.path == path) {
            file.spec.devices.clear();
            file.spec.container_edits = ContainerEdits::default();
        }
    }

    /// Whether `file` was made in memory, and cannot be out of date.
    pub fn is_made_in_memory(&self, file: FileId) -> bool {
        self.rank(file) == 0
    }

    /// Whether some file describes a device, or several do in conflict.
    pub fn describes(&self, name: &QualifiedName) -> bool {
        !self.describing(name.kind(), name.device()).is_empty()
    }

    /// The edits that `part` has.
    pub fn edits(&self, part: Part) -> Option<&ContainerEdits> {
        let spec = self.spec(part.file)?;
        match part.device {
            Some(device) => spec.devices.get(device).map(|device| &device.container_edits),
            None => Some(&spec.container_edits),
        }
    }

    /// The edits that `part` has, to be completed, or to be taken out by who needs the registry no more.
    pub fn edits_mut(&mut self, part: Part) -> Option<&mut ContainerEdits> {
        let spec = &mut self.files.get_mut(part.file.0)?.spec;
        match part.device {
            Some(device) => spec.devices.get_mut(device).map(|device| &mut device.container_edits),
            None => Some(&mut spec.container_edits),
        }
    }

    /// Where `file` is.
    pub fn path(&self, file: FileId) -> &Path {
        self.files.get(file.0).map_or(Path::new(""), |file| &file.path)
    }

    /// What `file` says, without devices that are not wanted.
    pub fn spec(&self, file: FileId) -> Option<&Spec> {
        self.files.get(file.0).map(|file| &file.spec)
    }

    /// All files that hold something wanted, the lowest priority first.
    pub fn files(&self) -> impl Iterator<Item = FileId> {
        let mut files: Vec<FileId> = (0..self.files.len()).map(FileId).collect();
        files.sort_by_key(|file| self.rank(*file));
        files.into_iter()
    }

    /// Those of `kind`.
    pub fn files_of(&self, kind: &Kind) -> Vec<FileId> {
        let is_of_it = |spec: &Spec| spec.kind == *kind && !spec.devices.is_empty();
        self.files().filter(|file| self.spec(*file).is_some_and(is_of_it)).collect()
    }

    /// The devices of `kind` that are wanted and can be had: numbers in the order of their values, and PCI addresses last, in theirs.
    pub fn names(&self, kind: &Kind) -> Vec<&str> {
        let of_kind = self.files.iter().filter(|file| file.spec.kind == *kind);
        let mut names: Vec<&str> =
            of_kind.flat_map(|file| &file.spec.devices).map(|device| device.name.as_str()).collect();
        names.sort_by(|a, b| natural(a, b));
        names.dedup();
        names.retain(|name| self.describing(kind, name).len() == 1);
        names
    }

    /// The kinds of all files that could be read, wanted or not.
    pub fn kinds(&self) -> Vec<&Kind> {
        self.kinds.iter().collect()
    }

    /// All that cannot be used, in the order of reading.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// Reads one directory. The error says why nothing in it is used.
    fn scan(
        &mut self,
        dir: &Path,
        rank: usize,
        reader: Reader,
        buffer: &mut Vec<u8>,
        wants: Wants<'_>,
        names: Option<&[Cow<'_, str>]>,
    ) -> Result<(), String> {
        let Some(dir) = SpecDir::open(dir, reader)? else { return Ok(()) };
        for entry in dir.entries(buffer)? {
            let read = match dir.file(&entry, buffer) {
                Ok(None) => continue,
                Ok(Some(mut file)) => text::of_file(&mut file, wants, names),
                Err(message) => Err(vec![Fault::of_the_whole(message)]),
            };
            match read {
                Ok(None) => {}
                Ok(Some(mut spec)) => {
                    self.know(&spec.kind);
                    if !spec.devices.is_empty() {
                        spec.devices.sort_by(|a, b| a.name.cmp(&b.name));
                        self.files.push(File { path: dir.path_of(&entry), rank, spec });
                    }
                }
                Err(faults) => {
                    for Fault { line, message } in faults {
                        let message = format!("failed to load CDI Spec: {message}");
                        self.note(Problem { path: dir.path_of(&entry), line, message });
                    }
                }
            }
        }
        Ok(())
    }

    fn know(&mut self, kind: &Kind) {
        if let Err(place) = self.kinds.binary_search(kind) {
            self.kinds.insert(place, kind.clone());
        }
    }

    /// A directory that is listed twice has its problems once.
    fn note(&mut self, problem: Problem) {
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }

    /// Each file that clashes with another of its directory has a problem, also where a higher directory settles the matter.
    fn note_conflicts(&mut self) {
        let mut described: BTreeMap<(usize, &Kind, &str), Vec<&Path>> = BTreeMap::new();
        for file in &self.files {
            for device in &file.spec.devices {
                described.entry((file.rank, &file.spec.kind, &device.name)).or_default().push(&file.path);
            }
        }
        let mut clashes: BTreeMap<(&Kind, Vec<&Path>), Vec<&str>> = BTreeMap::new();
        for ((_, kind, name), paths) in described.into_iter().filter(|(_, paths)| paths.len() > 1) {
            clashes.entry((kind, paths)).or_default().push(name);
        }
        let problems: Vec<Problem> =
            clashes.iter().flat_map(|((kind, paths), names)| clash(kind, paths, names)).collect();
        problems.into_iter().for_each(|problem| self.note(problem));
    }

    /// The files of the highest rank that describe a device. More than one is a conflict, which hides lower ones too.
    fn describing(&self, kind: &Kind, device: &str) -> Vec<FileId> {
        let describes = |file: &FileId| {
            self.spec(*file).is_some_and(|spec| spec.kind == *kind) && self.device(*file, device).is_some()
        };
        let files: Vec<FileId> = (0..self.files.len()).map(FileId).filter(describes).collect();
        let highest = files.iter().map(|file| self.rank(*file)).max();
        files.into_iter().filter(|file| Some(self.rank(*file)) == highest).collect()
    }

    /// Which of the devices of `file` is called `device`.
    fn device(&self, file: FileId, device: &str) -> Option<usize> {
        let devices = &self.files.get(file.0)?.spec.devices;
        devices.binary_search_by(|candidate| candidate.name.as_str().cmp(device)).ok()
    }

    fn rank(&self, file: FileId) -> usize {
        self.files.get(file.0).map_or(0, |file| file.rank)
    }
}

impl From<Problem> for Error {
    fn from(Problem { path, line, message }: Problem) -> Self {
        Error::Cdi { path, line, message }
    }
}

/// The problem that each of `paths` has because all of them describe the devices `names`.
fn clash(kind: &Kind, paths: &[&Path], names: &[&str]) -> Vec<Problem> {
    let first = names.first().copied().unwrap_or_default();
    let more = if names.len() > 1 { format!(" and {} more", names.len() - 1) } else { String::new() };
    let files: Vec<_> = paths.iter().map(|path| format!("\"{}\"", Escaped::path(path))).collect();
    let files = files.join(", ");
    let message = format!(
        "conflicting device \"{kind}={first}\"{more} (specs {files}): describe a device in one file of a directory only"
    );
    paths.iter().map(|path| Problem { path: path.to_path_buf(), line: None, message: message.clone() }).collect()
}

/// Orders texts with their numbers by value: `gpu2` before `gpu10`. PCI addresses come after all others.
fn natural(a: &str, b: &str) -> Ordering {
    match (is_pci_address(a), is_pci_address(b)) {
        // Digits in base 16, as many in each: the order of the texts is that of the values.
        (true, true) => return a.to_ascii_lowercase().cmp(&b.to_ascii_lowercase()).then_with(|| a.cmp(b)),
        (false, false) => {}
        (a, b) => return a.cmp(&b),
    }
    let (mut a, mut b) = (a, b);
    loop {
        let ((text_a, number_a, rest_a), (text_b, number_b, rest_b)) = (split_number(a), split_number(b));
        let order = text_a
            .cmp(text_b)
            .then_with(|| by_value(number_a).cmp(&by_value(number_b)))
            .then_with(|| number_a.cmp(number_b));
        if order.is_ne() || (rest_a.is_empty() && rest_b.is_empty()) {
            return order.then_with(|| rest_a.cmp(rest_b));
        }
        (a, b) = (rest_a, rest_b);
    }
}

/// Whether `name` is `dddd:bb:dd.f`.
fn is_pci_address(name: &str) -> bool {
    const SHAPE: &[u8] = b"xxxx:xx:xx.x";
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'x' { byte.is_ascii_hexdigit() } else { byte == *shape };
    name.len() == SHAPE.len() && name.bytes().zip(SHAPE).all(fits)
}

/// Digits in the order of their values, however many there are.
fn by_value(digits: &str) -> (usize, &str) {
    let significant = digits.trim_start_matches('0');
    (significant.len(), significant)
}

/// Splits a text before and after its first number.
fn split_number(text: &str) -> (&str, &str, &str) {
    let start = text.find(|c: char| c.is_ascii_digit()).unwrap_or(text.len());
    let (before, rest) = text.split_at(start);
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (number, rest) = rest.split_at(end);
    (before, number, rest)
}

#[cfg(test)]
mod tests;
