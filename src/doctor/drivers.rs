//! Which hardware has a driver that is loaded whole.
//!
//! Walks the vendors' rows and the machine's PCI functions; what the rows say of a vendor is not known here.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Devices, Finding, Subject, counted, first_of, unknown};
use crate::error::{Escaped, Result};
use crate::generate::{Item, Missing, Wholeness, wholeness};
use crate::host::pci;
use crate::vendor::Vendor;

const WHY: &str = "the host's driver is the one thing that gpu-runc needs";

/// A finding for every vendor that has devices, hardware, or a driver here.
pub(super) fn look(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut findings: Vec<Finding> = subject.devices.iter().filter_map(|devices| of_vendor(devices, subject)).collect();
    for (vendor, version) in idle(subject)? {
        findings.push(Finding::warn(
            format!("{}: version {} is loaded and has no device", vendor.name, Escaped::name(&version)),
            "a driver finds no device where the hardware is broken, or given to a virtual machine",
            format!("dmesg | grep -i {}", vendor.name),
        ));
    }
    findings.extend(without_driver(subject)?);
    findings.extend(unknown::look(subject)?);
    if findings.is_empty() {
        findings.push(Finding::skip(
            "this machine has no GPU or other accelerator that is known here",
            WHY,
            "plug one in and install its driver; a vendor that gpu-runc does not know needs a CDI file, or a [[vendor]] in the \
             configuration",
        ));
    }
    Ok(findings)
}

fn of_vendor(Devices { vendor, items, spec }: &Devices, subject: &Subject<'_>) -> Option<Finding> {
    let name = vendor.name;
    let fault = items.as_ref().err().or(spec.as_ref().err());
    if let Some(fault) = fault {
        const BROKEN: &str = "no container gets these devices until this is mended";
        return Some(Finding::fail(
            format!("{name}: {fault}"),
            BROKEN,
            "install the driver anew, or restart the machine",
        ));
    }
    let items = items.as_ref().ok()?;
    let version = items.iter().find_map(|item: &Item| item.driver.as_deref());
    let version = version.map(|version| format!(", driver {}", Escaped::name(version))).unwrap_or_default();
    let what = format!("{name}: {}{version}", counted(items.len(), "device"));
    let whole = spec.as_ref().ok().and_then(Option::as_ref).map(|spec| wholeness(vendor, spec, subject.host));
    Some(match whole {
        Some(Err(error)) => Finding::unreadable(&error),
        Some(Ok(Some(whole))) if !whole.missing.is_empty() => half(&what, &whole),
        Some(Ok(Some(whole))) if !whole.absent.is_empty() => {
            Finding::pass(format!("{what}; not installed: {}", whole.absent.join(", ")), WHY)
        }
        _ => Finding::pass(what, WHY),
    })
}

/// A driver that lacks libraries which those that are installed need.
fn half(what: &str, whole: &Wholeness) -> Finding {
    let missing = |Missing { classes, library, needed_by }: &Missing| {
        let classes = if classes.is_empty() { "all classes".to_owned() } else { classes.join(", ") };
        let needed_by =
            if needed_by.is_empty() { String::new() } else { format!(" ({} needs it)", Escaped::name(needed_by)) };
        format!("{classes}: {} is missing{needed_by}", Escaped::name(library))
    };
    let listed: Vec<String> = whole.missing.iter().map(missing).collect();
    let libraries: Vec<String> =
        whole.missing.iter().map(|missing| Escaped::name(&missing.library).to_string()).collect();
    Finding::warn(
        format!("{what}; {}", listed.join("; ")),
        "a program that loads the driver fails where a library is missing; programs of other classes work",
        format!(
            "install {}, from the packages or the installer of this very version of the driver",
            libraries.join(", ")
        ),
    )
}

/// Vendors whose driver is loaded and has no device, with the driver's version.
fn idle(subject: &Subject<'_>) -> Result<Vec<(&'static Vendor, String)>> {
    let mut idle = Vec::new();
    let has_devices = |vendor| subject.devices.iter().any(|devices| devices.vendor == vendor);
    for vendor in subject.vendors.accelerators().into_iter().filter(|vendor| !has_devices(*vendor)) {
        let readers = vendor.recipes.iter().filter_map(|recipe| recipe.driver?.version);
        for read in readers {
            idle.extend(read(subject.host)?.map(|version| (vendor, version)));
        }
    }
    idle.dedup();
    Ok(idle)
}

/// What hardware without its driver has in common.
type Lost = (&'static str, Option<String>);

/// Functions that are some vendor's hardware and none of its devices.
fn without_driver(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    let mut lost: BTreeMap<Lost, (&'static Vendor, Vec<String>)> = BTreeMap::new();
    for address in pci::all(subject.host)? {
        if let Some(vendor) = unclaimed(&address, subject)? {
            let driver = subject.host.find(&pci::folder(&address).join("driver"))?;
            let driver = driver.and_then(|driver| driver.path.file_name()?.to_str().map(str::to_owned));
            lost.entry((vendor.name, driver)).or_insert((vendor, Vec::new())).1.push(address);
        }
    }
    Ok(lost.into_iter().map(|((_, driver), (vendor, addresses))| judged(vendor, driver, &addresses)).collect())
}

/// Whose hardware the function is, if that vendor could give it to containers and does not.
fn unclaimed(address: &str, subject: &Subject<'_>) -> Result<Option<&'static Vendor>> {
    let folder = pci::folder(address);
    let number = |file: &str| pci::number(subject.host, &folder, file);
    let Some(class) = number("class")?.map(|class| class >> 8).filter(|class| is_accelerator(*class)) else {
        return Ok(None);
    };
    let (vendor, device) = (number("vendor")?, number("device")?);
    let is_its = |known: &&Vendor| {
        let mut hardware = known.hardware();
        let is_of = hardware.any(|hardware| {
            let is_device =
                hardware.devices.is_empty() || hardware.devices.iter().any(|id| device == Some((*id).into()));
            vendor == Some(hardware.vendor.into()) && is_device
        });
        is_of && (class != VGA || known.draws())
    };
    let owners: Vec<&Vendor> = subject.vendors.accelerators().into_iter().filter(is_its).collect();
    let Some(first) = owners.first() else { return Ok(None) };
    let is_split = number("sriov_numvfs")?.is_some_and(|parts| parts > 0);
    let items = || {
        let of_owners = subject.devices.iter().filter(|devices| owners.contains(&devices.vendor));
        of_owners.flat_map(|devices| devices.items.iter().flatten())
    };
    let is_claimed = items().any(|item| item.identity.address.as_deref().is_none_or(|at| at == address));
    Ok((!is_split && !is_claimed).then_some(first))
}

const VGA: u64 = 0x0300;

/// Classes of PCI functions: display controllers, processing accelerators, co-processors.
fn is_accelerator(class: u64) -> bool {
    class >> 8 == 0x03 || class >> 8 == 0x12 || class == 0x0b40
}

fn judged(vendor: &Vendor, driver: Option<String>, addresses: &[String]) -> Finding {
    let (name, which) = (vendor.name, first_of(addresses));
    let own = vendor.drivers().next();
    match driver {
        None => {
            let load = own.map_or_else(String::new, |driver| format!("; where it is installed: modprobe {driver}"));
            let fix = format!("install the driver of {name}{load}");
            Finding::fail(format!("{name}: {which} has no driver"), WHY, fix)
        }
        Some(driver) if vendor.drivers().any(|own| own == driver) => Finding::fail(
            format!("{name}: {which} is bound to {driver}, which makes no device of it"),
            "the driver could not start the hardware",
            format!("dmesg | grep -i {driver}"),
        ),
        Some(driver) => {
            let address = addresses.first().map_or("", String::as_str);
            let unbind = Path::new("/sys/bus/pci/drivers").join(&driver).join("unbind");
            let load = own.map_or_else(|| format!("load the driver of {name}"), |own| format!("modprobe {own}"));
            Finding::warn(
                format!("{name}: {which} is bound to {driver}"),
                "what another driver has, such as one for virtual machines, containers cannot get",
                format!("echo {address} > {} && {load}", Escaped::path(&unbind)),
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;
    use crate::vendor::Vendors;

    #[test]
    fn hardware_is_judged_by_the_driver_that_it_is_bound_to() {
        let vendor = Vendors::known().by_name("nvidia").unwrap();
        let addresses = ["0000:1b:00.0", "0000:43:00.0"].map(str::to_owned);
        for (driver, level, part) in [
            (None, Level::Fail, "install the driver of nvidia; where it is installed: modprobe nvidia"),
            (Some("nvidia"), Level::Fail, "dmesg | grep -i nvidia"),
            (
                Some("vfio-pci"),
                Level::Warn,
                "echo 0000:1b:00.0 > /sys/bus/pci/drivers/vfio-pci/unbind && modprobe nvidia",
            ),
        ] {
            let finding = judged(vendor, driver.map(str::to_owned), &addresses);
            assert_eq!(finding.level, level, "{driver:?}");
            assert_eq!(finding.fix.as_deref(), Some(part));
            assert!(finding.what.starts_with("nvidia: 0000:1b:00.0 and 1 more "), "{}", finding.what);
        }
    }

    #[test]
    fn sound_and_networks_are_no_accelerators() {
        for (class, expected) in [
            (0x0300, true),
            (0x0302, true),
            (0x0380, true),
            (0x1200, true),
            (0x0b40, true),
            (0x0403, false),
            (0x0200, false),
        ] {
            assert_eq!(is_accelerator(class), expected, "{class:04x}");
        }
    }
}
