//! Whether the directory of an installation, and all that lead to it, are root's alone.
//!
//! Reads only.

use std::path::Path;

use super::disk;
use crate::error::{Error, Escaped, Result};
use crate::trust::Reader;

/// Refuses a home that anybody but root could replace, in whole or by one of the directories that lead to it: engines run the programs
/// in it as root.
pub(super) fn check(home: &Path) -> Result<()> {
    let reader = Reader::current();
    for named in home.ancestors() {
        // A link on the way is judged by the directory that it is in, and what it leads to by all that lead there.
        for path in disk::real(named)?.ancestors().chain([named]) {
            if let Some(fault) = disk::stat(path)?.and_then(|stat| reader.distrusts_folder(path, &stat)) {
                let path = Escaped::path(path);
                return Err(Error::Usage(format!(
                    "--prefix: engines would run programs below {path} as root, and {fault}; or choose another"
                )));
            }
        }
    }
    Ok(())
}
