//! PCI functions, as sysfs has them.
//!
//! Knows no vendor. Source: the kernel's Documentation/ABI/testing/sysfs-bus-pci.

use std::path::{Path, PathBuf};

use super::Host;
use crate::error::Result;

const DEVICES: &str = "/sys/bus/pci/devices";
const DRIVERS: &str = "/sys/bus/pci/drivers";

/// The folder of the function at `address`. sysfs has addresses in lower case with four digits of the domain, or more where it
/// has more.
pub fn folder(address: &str) -> PathBuf {
    Path::new(DEVICES).join(address)
}

/// The addresses of the functions that are bound to `driver`, in order.
pub fn bound_to(host: &Host, driver: &str) -> Result<Vec<String>> {
    addresses(host, &Path::new(DRIVERS).join(driver))
}

/// The addresses of all functions, in order.
pub fn all(host: &Host) -> Result<Vec<String>> {
    addresses(host, Path::new(DEVICES))
}

fn addresses(host: &Host, folder: &Path) -> Result<Vec<String>> {
    let entries = host.list(folder, is_address)?;
    let mut addresses: Vec<String> = entries.unwrap_or_default().into_iter().collect();
    sort(&mut addresses);
    Ok(addresses)
}

/// Whether `name` is a PCI address. Folders of drivers hold more than addresses: `bind`, `module`, subfolders of a bus of their own.
pub fn is_address(name: &str) -> bool {
    let parts: Vec<&str> = name.split([':', '.']).collect();
    parts.len() == 4 && parts.iter().all(|part| u32::from_str_radix(part, 16).is_ok())
}

/// The number in a file of a function's folder, such as `vendor`: hexadecimal with `0x`, or decimal.
pub fn number(host: &Host, folder: &Path, file: &str) -> Result<Option<u64>> {
    let text = host.read(&folder.join(file))?;
    Ok(text.and_then(|text| match text.trim().strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.trim().parse().ok(),
    }))
}

/// The PCI functions from the host bridge down to the function at `address`, both included: `pci0000:00`, `0000:00:01.0`, ….
/// Empty where sysfs does not have it.
pub fn ancestry(host: &Host, address: &str) -> Vec<String> {
    let link = nix::fcntl::readlink(&*host.real(&folder(address)));
    let path = link.map(|link| link.to_string_lossy().into_owned()).unwrap_or_default();
    path.split('/').skip_while(|part| !part.starts_with("pci")).map(str::to_owned).collect()
}

/// The PCI address of the device that has the character device of this number, where sysfs says so.
pub fn address_of_node(host: &Host, (major, minor): (u32, u32)) -> Option<String> {
    let link = host.real(Path::new("/sys/dev/char")).join(format!("{major}:{minor}/device"));
    let target = nix::fcntl::readlink(&link).ok()?.to_string_lossy().into_owned();
    let name = target.rsplit('/').next()?;
    is_address(name).then(|| name.to_owned())
}

/// Puts addresses in the order of their numbers. What is no address comes last.
pub fn sort(addresses: &mut [String]) {
    addresses.sort_by_cached_key(|address| position(address));
}

fn position(address: &str) -> Vec<u32> {
    address.split([':', '.']).map(|part| u32::from_str_radix(part, 16).unwrap_or(u32::MAX)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_ordered_by_their_numbers() {
        let mut addresses = ["10000:01:00.0", "0000:9b:00.0", "0000:1a:00.0", "0001:00:00.0"].map(str::to_owned);
        sort(&mut addresses);
        assert_eq!(addresses, ["0000:1a:00.0", "0000:9b:00.0", "0001:00:00.0", "10000:01:00.0"]);
    }

    #[test]
    fn the_ancestry_of_a_function_is_where_its_link_leads() {
        let root = tempfile::tempdir().unwrap();
        let devices = root.path().join("sys/bus/pci/devices");
        std::fs::create_dir_all(devices.join("0000:0a:00.0")).unwrap();
        let target = "../../../devices/pci0000:00/0000:00:01.0/0000:01:00.0";
        std::os::unix::fs::symlink(target, devices.join("0000:01:00.0")).unwrap();
        let host = Host::open(root.path()).unwrap();
        assert_eq!(ancestry(&host, "0000:01:00.0"), ["pci0000:00", "0000:00:01.0", "0000:01:00.0"]);
        for address in ["0000:0a:00.0", "0000:ff:00.0", ""] {
            assert_eq!(ancestry(&host, address), [""; 0], "{address}");
        }
        let node = root.path().join("sys/dev/char/226:128");
        std::fs::create_dir_all(&node).unwrap();
        std::os::unix::fs::symlink("../../../0000:01:00.0", node.join("device")).unwrap();
        assert_eq!(address_of_node(&host, (226, 128)).as_deref(), Some("0000:01:00.0"));
        assert_eq!(address_of_node(&host, (226, 129)), None);
    }

    #[test]
    fn a_drivers_folder_holds_more_than_addresses() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("sys/bus/pci/drivers/acme");
        for name in ["0000:9b:00.0", "10000:1a:00.1", "module", "bind", "pci:v1"] {
            std::fs::create_dir_all(folder.join(name)).unwrap();
        }
        std::fs::write(folder.join("0000:9b:00.0/vendor"), "0x10de\n").unwrap();
        std::fs::write(folder.join("0000:9b:00.0/module_id"), "7\n").unwrap();
        let host = Host::open(root.path()).unwrap();
        assert_eq!(bound_to(&host, "acme").unwrap(), ["0000:9b:00.0", "10000:1a:00.1"]);
        assert_eq!(bound_to(&host, "absent").unwrap(), Vec::<String>::new());
        let function = Path::new("/sys/bus/pci/drivers/acme/0000:9b:00.0");
        for (file, value) in [("vendor", Some(0x10de)), ("module_id", Some(7)), ("absent", None)] {
            assert_eq!(number(&host, function, file).unwrap(), value, "{file}");
        }
    }
}
