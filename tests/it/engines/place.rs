//! Where an engine's programs are: on PATH, and in each folder that `GPU_RUNC_ENGINES` lists (`/one:/another`), so that several
//! versions of an engine can be tried on one machine.
//!
//! Knows no engine. What is not in such a folder is taken from PATH.

use std::env;
use std::fmt;
use std::path::PathBuf;

use crate::scratch::program_on_path;

/// PATH, or a folder before it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place(Option<PathBuf>);

impl Place {
    /// PATH, and each folder of `GPU_RUNC_ENGINES` that has `program`.
    pub(crate) fn all(program: &str) -> Vec<Place> {
        let listed = env::var_os("GPU_RUNC_ENGINES").unwrap_or_default();
        let has = |folder: &PathBuf| folder.is_absolute() && folder.join(program).is_file();
        let folders = env::split_paths(&listed).filter(has).map(|folder| Place(Some(folder)));
        [Place(None)].into_iter().chain(folders).collect()
    }

    /// The first that has `program`.
    pub(crate) fn of(program: &str) -> Option<Place> {
        Self::all(program).into_iter().find(|place| place.program(program).is_some())
    }

    /// Whether it is what every machine has. What all versions have in common is tried at length only there.
    pub(crate) fn is_path(&self) -> bool {
        self.0.is_none()
    }

    /// The absolute path of a program.
    pub(crate) fn program(&self, name: &str) -> Option<PathBuf> {
        let here = self.0.as_ref().map(|folder| folder.join(name)).filter(|file| file.is_file());
        here.or_else(|| program_on_path(name))
    }

    /// The value of PATH by which its programs come first.
    pub(crate) fn path(&self) -> String {
        let path = env::var("PATH").unwrap_or_default();
        self.0.as_ref().map_or_else(|| path.clone(), |folder| format!("{}:{path}", folder.display()))
    }

    /// A test's name, with the folder if it is one.
    pub(crate) fn named(&self, test: &str) -> String {
        format!("{test}{self}")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_ref().map_or(Ok(()), |folder| write!(f, " in {}", folder.display()))
    }
}
