//! Rank 2: mounts of `/dev/null` below a device plugin's folder, one for every device. A pod cannot forge them.
//!
//! Finds and splits. The mounts stay in config.json, as they do with the vendor's own toolkit.

use crate::cdi::QualifiedName;
use crate::error::{Escaped, Result};
use crate::vendor::Vendor;

use super::Source;
use super::gathering::{Gathering, Wish};
use super::visible::{self, List};

/// Takes in what mounts ask for.
pub(super) fn gather(gathering: &mut Gathering<'_>) -> Result<()> {
    let view = gathering.view;
    if view.mounts.iter().all(|mount| mount.source != "/dev/null") {
        return Ok(());
    }
    let folders: Vec<&str> = gathering.vendors.iter().filter_map(|vendor| vendor.device_mounts).collect();
    for vendor in gathering.vendors.iter() {
        let Some(folder) = vendor.device_mounts else { continue };
        let nulls = view.mounts.iter().filter(|mount| mount.source == "/dev/null");
        let devices: Vec<&str> = nulls.filter_map(|mount| device_below(folder, &folders, &mount.destination)).collect();
        ask(gathering, vendor, folder, &devices)?;
    }
    Ok(())
}

fn ask(gathering: &mut Gathering<'_>, vendor: &'static Vendor, folder: &'static str, devices: &[&str]) -> Result<()> {
    let list = list(folder, devices);
    gathering.ask(Wish { source: Source::Mounts(folder), vendors: vec![vendor], stand_ins: Vec::new(), list })?;
    Ok(())
}

/// The device that a mount at `destination` names. `None` for a mount that is elsewhere, be it below one of the other `folders`,
/// some of which are inside of this one.
fn device_below<'a>(folder: &str, folders: &[&str], destination: &'a str) -> Option<&'a str> {
    let below = |folder: &str| destination.strip_prefix(folder)?.strip_prefix('/').map(|rest| rest.trim_matches('/'));
    let device = below(folder).filter(|device| !device.is_empty())?;
    let is_others = folders.iter().any(|other| {
        other.len() > folder.len() && other.starts_with(folder) && below(other).is_some_and(|device| !device.is_empty())
    });
    (!is_others).then_some(device)
}

fn list(folder: &str, devices: &[&str]) -> std::result::Result<List, String> {
    let (mut items, mut qualified) = (Vec::new(), Vec::new());
    for &device in devices {
        match device.strip_prefix("cdi/") {
            Some(name) => qualified.push(qualified_name(name).map_err(|reason| {
                format!("the mount at {} names no CDI device: {reason}", Escaped::quoted(&format!("{folder}/{device}")))
            })?),
            None => items.push(device),
        }
    }
    let mut list = visible::from_items(items)?;
    list.names.append(&mut qualified);
    Ok(list)
}

/// `vendor/class=device`, or `vendor/class/device` where an engine does not take the equals sign in a path.
fn qualified_name(path: &str) -> std::result::Result<QualifiedName, String> {
    match path.splitn(3, '/').collect::<Vec<_>>().as_slice() {
        [vendor, class, device] if !class.contains('=') => format!("{vendor}/{class}={device}").parse(),
        _ => path.parse(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Selection;
    use super::*;

    const FOLDER: &str = "/run/acme-devices";

    #[test]
    fn a_mount_names_a_device_by_its_place_below_the_folder() {
        for (destination, device) in [
            ("/run/acme-devices/0", Some("0")),
            ("/run/acme-devices//GPU-1f/", Some("GPU-1f")),
            ("/run/acme-devices/GPU0-MIG0/0/1", Some("GPU0-MIG0/0/1")),
            ("/run/acme-devices/imex/0", None),
            ("/run/acme-devices/imex", Some("imex")),
            ("/run/acme-devices", None),
            ("/run/acme-devices/", None),
            ("/run/acme-devices-old/0", None),
            ("/mnt/run/acme-devices/0", None),
            ("0", None),
        ] {
            assert_eq!(device_below(FOLDER, &[FOLDER, "/run/acme-devices/imex"], destination), device, "{destination}");
        }
    }

    #[test]
    fn devices_are_ids_or_spelt_out_cdi_names() {
        let devices = ["0", "1", "0", "cdi/acme.example/npu/7", "GPU0-MIG0/0/1", "cdi/acme.example/npu=a"];
        let list = list(FOLDER, &devices).unwrap();
        assert_eq!(list.selection, Some(Selection::Ids(vec!["0".into(), "1".into(), "GPU0-MIG0/0/1".into()])));
        let names: Vec<_> = list.names.iter().map(ToString::to_string).collect();
        assert_eq!(names, ["acme.example/npu=7", "acme.example/npu=a"]);
    }

    #[test]
    fn a_malformed_cdi_name_is_an_error_that_names_the_mount() {
        for device in
            ["cdi/x", "cdi/acme.example/npu", "cdi/acme.example/npu/a/b", "cdi/acme.example/npu=", "cdi/a/b=c/d"]
        {
            let error = list(FOLDER, &["0", device]).unwrap_err();
            let start = format!("the mount at \"/run/acme-devices/{device}\" names no CDI device: ");
            assert!(error.starts_with(&start), "{error}");
        }
    }
}
