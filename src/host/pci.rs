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

/// Folders of drivers hold more than addresses: `bind`, `module`, subfolders of a bus of their own.
fn is_address(name: &str) -> bool {
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
