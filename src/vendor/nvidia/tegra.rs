//! NVIDIA's integrated GPUs (Jetson): described by lists that come with the driver, one line for each node, folder, library and
//! link.
//!
//! Source: the CSV files of JetPack, `/etc/nvidia-container-runtime/host-files-for-container.d`.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::host::Host;
use crate::host::shelter::Sheltered;
use crate::vendor::recipe::{Access, Device, File, Identity, Node, Wanted};

const LISTS: &str = "/etc/nvidia-container-runtime/host-files-for-container.d";
/// The lists that count for every container; the others are for older releases of JetPack.
const BASE: [&str; 3] = ["devices.csv", "drivers.csv", "l4t.csv"];
const RELEASE: &str = "/etc/nv_tegra_release";
const FAMILY: &str = "/sys/devices/soc0/family";

/// The integrated GPU, as the device of index 0.
pub(super) fn devices(host: &Host, _: Wanted<'_>) -> Result<Vec<Device>> {
    if !is_tegra(host)? {
        return Ok(Vec::new());
    }
    let mut device = Device {
        names: vec!["0".to_owned()],
        identity: Identity { index: "0".to_owned(), ..Identity::default() },
        ..Device::default()
    };
    for list in BASE {
        let text = host.read(&Path::new(LISTS).join(list))?.unwrap_or_default();
        for (what, path) in text.lines().filter_map(line) {
            for path in host.matching(path)? {
                add(host, what, &path, &mut device)?;
            }
        }
    }
    if host.find(Path::new(RELEASE))?.is_some() {
        add(host, What::File, Path::new(RELEASE), &mut device)?;
    }
    Ok(Some(device).filter(|device| !device.nodes.is_empty()).into_iter().collect())
}

fn is_tegra(host: &Host) -> Result<bool> {
    let family = host.read(Path::new(FAMILY))?.unwrap_or_default().to_ascii_lowercase();
    Ok(family.starts_with("tegra") || host.find(Path::new(RELEASE))?.is_some())
}

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    Node,
    /// Of any kind: a folder, a library, or what a link leads to, which is put in the link's place.
    File,
}

/// Reads `dev, /dev/nvmap`. What is neither that nor another kind of line that is known gives nothing.
fn line(text: &str) -> Option<(What, &Path)> {
    let (what, path) = text.split_once(',')?;
    let what = match what.trim() {
        "dev" => What::Node,
        "dir" | "lib" | "sym" => What::File,
        _ => return None,
    };
    let path = Path::new(path.trim());
    path.is_absolute().then_some((what, path))
}

/// Adds what is at `path`, if it is there: the lists are for every machine of a family.
fn add(host: &Host, what: What, path: &Path, device: &mut Device) -> Result<()> {
    let text = |path: PathBuf| path.to_string_lossy().into_owned();
    if let Sheltered::Found(found) = host.find_sheltered(path)? {
        match what {
            What::Node => device.nodes.push(Node::at(text(path.to_owned()))),
            What::File => {
                let file =
                    File { path: text(host.named(&found.path)), place: text(path.to_owned()), access: Access::Tree };
                device.files.push(file);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "makes the machine that is looked at")]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_and_others_passed_over() {
        for (text, expected) in [
            ("dev, /dev/nvmap", Some((What::Node, "/dev/nvmap"))),
            ("lib,/usr/lib/libx.so", Some((What::File, "/usr/lib/libx.so"))),
            (" sym , /etc/x ", Some((What::File, "/etc/x"))),
            ("dir, /usr/share/x", Some((What::File, "/usr/share/x"))),
            ("dev, nvmap", None),
            ("new, /dev/x", None),
            ("# dev, /dev/x", None),
            ("", None),
        ] {
            assert_eq!(line(text), expected.map(|(what, path)| (what, Path::new(path))), "{text}");
        }
    }

    #[test]
    fn what_the_lists_name_and_the_machine_has_is_the_device() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        let host = Host::open(root.path()).unwrap();
        put(
            "etc/nvidia-container-runtime/host-files-for-container.d/devices.csv",
            "dev, /dev/dri/card*\ndev, /dev/nvmap\n",
        );
        put(
            "etc/nvidia-container-runtime/host-files-for-container.d/drivers.csv",
            "lib, /usr/lib/libx.so.1\nsym, /usr/lib/libx.so\n",
        );
        for name in ["dev/dri/card0", "dev/dri/card1", "usr/lib/libx.so.1"] {
            put(name, "");
        }
        std::os::unix::fs::symlink("libx.so.1", root.path().join("usr/lib/libx.so")).unwrap();
        assert_eq!(devices(&host, &|_| true).unwrap(), [], "lists alone make no Tegra");
        put("sys/devices/soc0/family", "Tegra\n");
        let [device] = devices(&host, &|_| true).unwrap().try_into().unwrap();
        let nodes: Vec<_> = device.nodes.iter().map(|node| node.path.as_str()).collect();
        assert_eq!(nodes, ["/dev/dri/card0", "/dev/dri/card1"]);
        let files: Vec<_> = device.files.iter().map(|file| (file.path.as_str(), file.place.as_str())).collect();
        assert_eq!(files, [("/usr/lib/libx.so.1", "/usr/lib/libx.so.1"), ("/usr/lib/libx.so.1", "/usr/lib/libx.so")]);
    }
}
