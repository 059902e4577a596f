//! NVIDIA's GPUs under Windows' Subsystem for Linux: one node for all of them, and a driver that Windows brings.
//!
//! Windows mounts its drivers below `/usr/lib/wsl`; the folder with the CUDA library is NVIDIA's.

use std::path::Path;

use crate::error::Result;
use crate::host::Host;
use crate::host::pattern::Pattern;
use crate::vendor::recipe::{Access, Device, File, Identity, Node, Wanted};

const NODE: &str = "/dev/dxg";
const LIBRARY: &str = "/usr/lib/wsl/lib/libdxcore.so";
const STORE: &str = "/usr/lib/wsl/drivers";
const MARK: &str = "libcuda.so.1.1";
/// Programs in a container look for these in one place, wherever the driver has them.
const PLACES: [(&str, &str); 1] = [("nvidia-smi", "/usr/bin/nvidia-smi")];

/// All GPUs, which there is no telling apart: the index 0 is all of them.
pub(super) fn devices(host: &Host, _: Wanted<'_>) -> Result<Vec<Device>> {
    if host.find(Path::new(NODE))?.is_none() || host.find(Path::new(LIBRARY))?.is_none() {
        return Ok(Vec::new());
    }
    let mut files = Vec::new();
    for entry in host.list(Path::new(STORE), |_| true)?.unwrap_or_default() {
        let folder = Path::new(STORE).join(entry);
        if host.find(&folder.join(MARK))?.is_some() {
            files.extend(driver(host, &folder)?);
        }
    }
    if files.is_empty() {
        return Ok(Vec::new());
    }
    files.push(file(LIBRARY, LIBRARY));
    let identity = Identity { index: "0".to_owned(), ..Identity::default() };
    Ok(vec![Device { names: vec!["0".to_owned()], nodes: vec![Node::at(NODE.to_owned())], files, identity }])
}

/// The files of a driver, each library also under the name that programs are linked to.
fn driver(host: &Host, folder: &Path) -> Result<Vec<File>> {
    let patterns = ["*.so", "*.so.*", "*.bin", "*.dll", "nvidia-smi"].map(Pattern::new);
    let entries = host.list(folder, |name| patterns.iter().any(|pattern| pattern.matches(name)))?.unwrap_or_default();
    let mut files = Vec::new();
    for entry in entries {
        let path = folder.join(&entry).to_string_lossy().into_owned();
        files.extend(PLACES.iter().filter(|(name, _)| *name == entry).map(|(_, place)| file(&path, place)));
        files.extend(linked_name(&entry).map(|name| file(&path, &folder.join(name).to_string_lossy())));
        files.push(file(&path, &path));
    }
    Ok(files)
}

/// `libx.so.1` for `libx.so.1.1`.
fn linked_name(name: &str) -> Option<String> {
    let (stem, version) = name.split_once(".so.")?;
    let (major, _) = version.split_once('.')?;
    Some(format!("{stem}.so.{major}"))
}

fn file(path: &str, place: &str) -> File {
    File { path: path.to_owned(), place: place.to_owned(), access: Access::Read }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes the machine that is looked at")]
mod tests {
    use super::*;

    #[test]
    fn the_folder_with_the_cuda_library_is_nvidias() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        };
        let host = Host::open(root.path()).unwrap();
        let places = || {
            let devices = devices(&host, &|_| true).unwrap();
            devices.into_iter().flat_map(|device| device.files).map(|file| file.place).collect::<Vec<_>>()
        };
        put("dev/dxg");
        put("usr/lib/wsl/drivers/iigd_1f/libigdgmm.so");
        put("usr/lib/wsl/lib/libdxcore.so");
        assert_eq!(places(), Vec::<String>::new(), "another vendor's driver");
        for name in ["libcuda.so.1.1", "nvidia-smi", "nvcubins.bin", "nv.inf"] {
            put(&format!("usr/lib/wsl/drivers/nv_1f/{name}"));
        }
        let folder = "/usr/lib/wsl/drivers/nv_1f";
        let expected = [
            format!("{folder}/libcuda.so.1"),
            format!("{folder}/libcuda.so.1.1"),
            format!("{folder}/nvcubins.bin"),
            "/usr/bin/nvidia-smi".to_owned(),
            format!("{folder}/nvidia-smi"),
            "/usr/lib/wsl/lib/libdxcore.so".to_owned(),
        ];
        assert_eq!(places(), expected);
    }
}
