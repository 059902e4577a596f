//! Devices that need no code of their own to be found: PCI functions by their driver, and numbered nodes.

use std::path::Path;

use super::Machine;
use crate::error::Result;
use crate::host::{Host, drm, pci};
use crate::vendor::recipe::{Device, Functions, Hardware, Identity, Node, Numbered, SysfsNodes};

/// The functions that `rule` tells of, as devices.
pub(super) fn functions(rule: &Functions, host: &Host) -> Result<Vec<Device>> {
    let mut addresses = Vec::new();
    for driver in rule.drivers {
        addresses.extend(pci::bound_to(host, driver)?);
    }
    pci::sort(&mut addresses);
    let mut devices: Vec<Device> = Vec::new();
    for address in addresses {
        if let Some(device) = function(rule, &address, devices.len(), host)? {
            devices.push(device);
        }
    }
    Ok(devices)
}

fn function(rule: &Functions, address: &str, index: usize, host: &Host) -> Result<Option<Device>> {
    let folder = pci::folder(address);
    if !is_of(&rule.hardware, &folder, host)? {
        return Ok(None);
    }
    if rule.leaves_out_split && pci::number(host, &folder, "sriov_numvfs")?.is_some_and(|parts| parts > 0) {
        return Ok(None);
    }
    let mut nodes = Vec::new();
    let mut numbers = Vec::new();
    for rule in rule.nodes {
        for number in entries(rule, &folder, host)? {
            let paths = rule.paths.iter().map(|path| path.replace("{}", &number));
            for path in paths {
                // Some programs open a node by the place where it is plugged in.
                let by_path = (rule.folder == "drm").then(|| drm::by_path(address, &path));
                nodes.extend(by_path.map(|place| Node { place, ..Node::at(path.clone()) }));
                nodes.push(Node::at(path));
            }
            numbers.push((rule.prefix, number));
        }
    }
    let is_complete = rule.nodes.first().is_some_and(|first| numbers.iter().any(|(prefix, _)| *prefix == first.prefix));
    if !is_complete {
        return Ok(None);
    }
    let value = |placeholder: &str| -> Result<Option<String>> {
        Ok(match placeholder {
            "index" => Some(index.to_string()),
            "address" => Some(address.to_owned()),
            "dashed" => Some(address.replace([':', '.'], "-")),
            _ => match numbers.iter().find(|(prefix, _)| *prefix == placeholder) {
                Some((_, number)) => Some(number.clone()),
                None => host.read(&folder.join(placeholder))?.map(|text| text.trim().to_owned()),
            },
        })
    };
    let mut names = Vec::new();
    for template in rule.names {
        names.extend(filled(template, &value)?);
    }
    let unique_id = value("unique_id")?;
    let index = names.first().cloned().unwrap_or_default();
    let identity = Identity { index, unique_id, address: Some(address.to_owned()), ..Identity::default() };
    Ok(Some(Device { names, nodes, identity, ..Device::default() }))
}

/// The numbers of the entries that `rule` tells of, in order. Where its folder is a link, the one of the folder that it leads to.
fn entries(rule: &SysfsNodes, function: &Path, host: &Host) -> Result<Vec<String>> {
    let number = |name: &str| {
        let number = name.strip_prefix(rule.prefix)?;
        number.parse::<u32>().ok().map(|_| number.to_owned())
    };
    let folder = function.join(rule.folder);
    if rule.prefix.is_empty() {
        let target = host.find(&folder)?.and_then(|found| number(found.path.file_name()?.to_str()?));
        return Ok(target.into_iter().collect());
    }
    let entries = host.list(&folder, |name| number(name).is_some())?.unwrap_or_default();
    let mut numbers: Vec<String> = entries.iter().filter_map(|entry| number(entry)).collect();
    numbers.sort_by_key(|number| number.parse::<u32>().ok());
    Ok(numbers)
}

/// `template` with the values of its placeholders, or nothing if one of them has none.
fn filled(template: &str, value: &dyn Fn(&str) -> Result<Option<String>>) -> Result<Option<String>> {
    let mut pieces = template.split('{');
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (placeholder, rest) = piece.split_once('}').unwrap_or((piece, ""));
        match value(placeholder)? {
            Some(value) if !value.is_empty() => text.extend([&value, rest]),
            _ => return Ok(None),
        }
    }
    Ok(Some(text))
}

/// The nodes that `rule` tells of, as devices.
pub(super) fn numbered(rule: &Numbered, machine: Machine<'_>) -> Result<Vec<Device>> {
    let host = machine.host;
    let configured = Some(&machine.roots.dev_root).filter(|root| !root.as_os_str().is_empty());
    let configured = configured.map(|root| host.below(root)).transpose()?.flatten();
    let dev = configured.as_ref().unwrap_or(host);
    let Some((before, after)) = rule.path.split_once("{}") else {
        let is_there = dev.find(Path::new(rule.path))?.is_some();
        return if is_there { Ok(vec![numbered_device(rule, "0", dev)?]) } else { Ok(Vec::new()) };
    };
    let (folder, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let number = |name: &str| name.strip_prefix(prefix)?.strip_suffix(after)?.parse::<u32>().ok();
    let entries = dev.list(Path::new(folder), |name| number(name).is_some())?.unwrap_or_default();
    let mut numbers: Vec<u32> = entries.iter().filter_map(|entry| number(entry)).collect();
    numbers.sort_unstable();
    if numbers.is_empty() || !has_hardware(rule.hardware.as_ref(), host)? {
        return Ok(Vec::new());
    }
    numbers.iter().map(|number| numbered_device(rule, &number.to_string(), dev)).collect()
}

fn numbered_device(rule: &Numbered, number: &str, dev: &Host) -> Result<Device> {
    let mut nodes = vec![Node::at(rule.path.replace("{}", number))];
    for path in rule.more.iter().map(|path| path.replace("{}", number)) {
        nodes.extend(dev.matching(Path::new(&path))?.into_iter().map(|path| Node::at(path.to_string_lossy().into())));
    }
    let names = rule.names.iter().map(|name| name.replace("{}", number)).collect();
    let identity = Identity { index: number.to_owned(), ..Identity::default() };
    Ok(Device { names, nodes, identity, ..Device::default() })
}

/// Names of nodes are nobody's: another vendor's driver may use them too.
fn has_hardware(hardware: Option<&Hardware>, host: &Host) -> Result<bool> {
    let Some(hardware) = hardware else { return Ok(true) };
    for address in pci::all(host)? {
        if is_of(hardware, &pci::folder(&address), host)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_of(hardware: &Hardware, function: &Path, host: &Host) -> Result<bool> {
    let is_device = |id: u64| hardware.devices.iter().any(|&device| id == u64::from(device));
    Ok(pci::number(host, function, "vendor")? == Some(hardware.vendor.into())
        && (hardware.devices.is_empty() || pci::number(host, function, "device")?.is_some_and(is_device)))
}
