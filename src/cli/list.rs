//! `gpu-ctk list`: the devices of this machine, whoever made them.

use std::process::ExitCode;

use serde_json::json;

use super::output::{self, answer};
use super::{ps, vendors};
use crate::config::Config;
use crate::error::Result;
use crate::generate::{self, Item, Machine};
use crate::host::Host;
use crate::vendor::Vendors;

/// Which devices, and how they are shown.
#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only this vendor's
    #[arg(long, value_name = "NAME")]
    vendor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl List {
    /// Prints the devices. Exit status 1 if some vendor's could not be read, which is said on stderr.
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        let host = Host::open(&config.host.root)?;
        let machine = Machine { host: &host, roots: &config.host };
        let known = Vendors::with(&config.vendor)?;
        let vendors = match &self.vendor {
            None => known.accelerators(),
            Some(name) => vec![vendors::named(name, known)?],
        };
        let (mut items, mut is_whole) = (Vec::new(), true);
        for vendor in vendors {
            match generate::inventory(vendor, machine) {
                Ok(found) => items.extend(found),
                Err(error) => {
                    is_whole = false;
                    output::note(&format_args!("{}: {error}", vendor.name));
                }
            }
        }
        let holders = ps::counts(&items, &host);
        match self.json {
            true => output::json(&json!(items.iter().zip(&holders).map(as_json).collect::<Vec<_>>()))?,
            false => answer(&table(&items, &holders, self.vendor.as_deref().unwrap_or("any vendor")))?,
        }
        Ok(if is_whole { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn as_json((item, holders): (&Item, &usize)) -> serde_json::Value {
    json!({
        "vendor": item.vendor.name, "kind": item.vendor.kinds.first(), "index": item.identity.index,
        "names": item.names, "model": item.identity.model, "uniqueId": item.identity.unique_id,
        "pciAddress": item.identity.address, "numaNode": item.numa, "partition": item.partition,
        "nodes": item.nodes, "driver": item.driver, "holders": holders,
    })
}

const TITLES: [&str; 10] = ["VENDOR", "INDEX", "MODEL", "ID", "PCI", "NUMA", "PARTITION", "DRIVER", "HOLDERS", "NODES"];

/// One line a device, in columns. `whose` they are is for where there are none.
fn table(items: &[Item], holders: &[usize], whose: &str) -> String {
    if items.is_empty() {
        return format!("this host has no device of {whose}; is the driver loaded?\n");
    }
    let rows = std::iter::once(TITLES.map(str::to_owned)).chain(items.iter().zip(holders).map(row));
    let rows: Vec<[String; 10]> = rows.collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..TITLES.len()).filter_map(width).collect();
    let line = |row: &[String; 10]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

fn row((item, holders): (&Item, &usize)) -> [String; 10] {
    let text = |text: Option<&str>| text.filter(|text| !text.is_empty()).unwrap_or("-").to_owned();
    let is_part = item.identity.instance.is_some();
    [
        item.vendor.name.to_owned(),
        item.identity.index.clone(),
        text(item.identity.model.as_deref()),
        text(item.identity.unique_id.as_deref().filter(|_| !is_part)),
        text(item.identity.address.as_deref()),
        text(item.numa.map(|node| node.to_string()).as_deref()),
        text(item.partition.as_deref()),
        text(item.driver.as_deref()),
        holders.to_string(),
        text(Some(&item.nodes.join(" "))),
    ]
}
