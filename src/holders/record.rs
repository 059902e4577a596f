//! Records of a table: a container that gpu-runc gave devices, and a container whose state was read before.
//!
//! Pure: lines in, values out, and back.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::line::{Fields, push_number, push_text};
use super::process::Process;
use crate::request::Lease;

/// The numbers of a character device, major and minor.
pub type Number = (u32, u32);

/// The longest line that is read or written: the paths of a container, and a thousand devices.
pub(super) const LONGEST: usize = 256 * 1024;

/// A container that gpu-runc gave devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// When, in seconds since 1970. Only for people: clocks jump.
    pub since: u64,
    /// The process that decided, which became the low-level runtime.
    pub by: Process,
    /// The PID namespace of that process.
    pub namespace: u64,
    /// Which container.
    pub container: Container,
    /// Its bundle.
    pub bundle: String,
    /// Whether others can get its devices.
    pub lease: Lease,
    /// Who requested them.
    pub source: String,
    /// The devices.
    pub devices: Vec<Held>,
}

/// A container of a low-level runtime.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Container {
    /// The directory of the runtime's states.
    pub root: String,
    /// The container's id.
    pub id: String,
}

/// A device that a container holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Its names, of which the first one is qualified: `nvidia.com/gpu=0`, then a UUID, a PCI address.
    pub names: Vec<String>,
    /// Its device nodes.
    pub nodes: Vec<Number>,
}

/// A container as its runtime's state describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Which container.
    pub container: Container,
    /// The inode of the directory that holds its state: another container of the same id has another one.
    pub inode: u64,
    /// Its init.
    pub init: Process,
    /// The device nodes that it has.
    pub nodes: BTreeSet<Number>,
    /// Whether it can use every device of the host.
    pub is_privileged: bool,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Grant(Grant),
    Seen(Seen),
}

impl Record {
    /// Reads a line. `None` for what is no record.
    pub(super) fn parse(line: &str) -> Option<Self> {
        let mut fields = Fields::of(line);
        let record = match fields.word()? {
            "grant" => Record::Grant(grant(&mut fields)?),
            "seen" => Record::Seen(seen(&mut fields)?),
            _ => return None,
        };
        fields.is_at_end().then_some(record)
    }
}

fn grant(fields: &mut Fields<'_>) -> Option<Grant> {
    Some(Grant {
        since: fields.number()?,
        by: Process { pid: fields.number()?, start: fields.number()? },
        namespace: fields.number()?,
        container: container(fields)?,
        bundle: fields.text()?.into_owned(),
        lease: match fields.word()? {
            "shared" => Lease::Shared,
            "exclusive" => Lease::Exclusive,
            _ => return None,
        },
        source: fields.text()?.into_owned(),
        devices: fields.word()?.split(' ').filter(|word| !word.is_empty()).map(held).collect::<Option<_>>()?,
    })
}

fn seen(fields: &mut Fields<'_>) -> Option<Seen> {
    let (inode, init) = (fields.number()?, Process { pid: fields.number()?, start: fields.number()? });
    let container = container(fields)?;
    let nodes = fields.word()?;
    let is_privileged = nodes == "*";
    let nodes = if is_privileged { BTreeSet::new() } else { numbers(nodes)?.into_iter().collect() };
    Some(Seen { container, inode, init, nodes, is_privileged })
}

fn container(fields: &mut Fields<'_>) -> Option<Container> {
    Some(Container { root: fields.text()?.into_owned(), id: fields.text()?.into_owned() })
}

/// `nvidia.com/gpu=0=GPU-1f@195:0,195:255`.
fn held(word: &str) -> Option<Held> {
    let (names, nodes) = word.split_once('@')?;
    let mut names = names.split('=');
    let qualified = format!("{}={}", names.next()?, names.next()?);
    let names = std::iter::once(qualified).chain(names.map(str::to_owned)).collect();
    Some(Held { names, nodes: numbers(nodes)? })
}

fn numbers(list: &str) -> Option<Vec<Number>> {
    let number = |pair: &str| {
        let (major, minor) = pair.split_once(':')?;
        Some((Fields::of(major).number()?, Fields::of(minor).number()?))
    };
    list.split(',').filter(|pair| !pair.is_empty()).map(number).collect()
}

impl Grant {
    /// The record's line, without its end.
    pub(super) fn line(&self) -> String {
        let mut line = String::from("grant");
        push_number(&mut line, self.since);
        push_process(&mut line, self.by);
        push_number(&mut line, self.namespace);
        push_container(&mut line, &self.container);
        push_text(&mut line, &self.bundle);
        push_text(&mut line, self.lease.word());
        push_text(&mut line, &self.source);
        line.push('\t');
        for (n, device) in self.devices.iter().enumerate() {
            line.push_str(if n > 0 { " " } else { "" });
            line.push_str(&device.names.join("="));
            line.push('@');
            push_numbers(&mut line, &device.nodes);
        }
        line
    }
}

impl Seen {
    /// The record's line, without its end.
    pub(super) fn line(&self) -> String {
        let mut line = String::from("seen");
        push_number(&mut line, self.inode);
        push_process(&mut line, self.init);
        push_container(&mut line, &self.container);
        line.push('\t');
        match self.is_privileged {
            true => line.push('*'),
            false => push_numbers(&mut line, &self.nodes),
        }
        line
    }
}

fn push_process(line: &mut String, process: Process) {
    push_number(line, process.pid.into());
    push_number(line, process.start);
}

fn push_container(line: &mut String, container: &Container) {
    push_text(line, &container.root);
    push_text(line, &container.id);
}

fn push_numbers<'a>(line: &mut String, numbers: impl IntoIterator<Item = &'a Number>) {
    for (n, (major, minor)) in numbers.into_iter().enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(line, "{}{major}:{minor}", if n > 0 { "," } else { "" });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container() -> Container {
        Container { root: "/run/docker/runtime-runc/moby".into(), id: "3f\t2a".into() }
    }

    #[test]
    fn records_come_back_as_they_were() {
        let held = |names: &[&str], nodes: &[Number]| Held {
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            nodes: nodes.to_vec(),
        };
        let grant = Grant {
            since: 1_796_000_000,
            by: Process { pid: 4711, start: 356_556 },
            namespace: 4_026_531_836,
            container: container(),
            bundle: "/run/b\n".into(),
            lease: Lease::Exclusive,
            source: "annotation \"gpu-runc/gpus=1\"".into(),
            devices: vec![held(&["nvidia.com/gpu=0", "GPU-1f", "0000:1b:00.0"], &[(195, 0)]), held(&["a.b/c=d"], &[])],
        };
        let line = grant.line();
        assert_eq!(Record::parse(&line), Some(Record::Grant(grant.clone())), "{line}");
        assert_eq!(line.lines().count(), 1);
        let none = Grant { devices: vec![], lease: Lease::Shared, ..grant };
        assert_eq!(Record::parse(&none.line()), Some(Record::Grant(none)));
        for (nodes, is_privileged) in [(vec![(195, 0), (226, 128)], false), (vec![], false), (vec![], true)] {
            let (init, nodes) = (Process { pid: 1, start: 2 }, nodes.into_iter().collect());
            let seen = Seen { container: container(), inode: 77, init, nodes, is_privileged };
            assert_eq!(Record::parse(&seen.line()), Some(Record::Seen(seen)));
        }
    }

    #[test]
    fn what_is_no_record_is_none() {
        let good = "grant\t1\t2\t3\t4\t/run/runc\tc\t/b\tshared\ts\ta.b/c=d@1:2";
        assert!(Record::parse(good).is_some());
        for (from, to) in [
            ("grant", "lease"),
            ("\t1\t", "\t-1\t"),
            ("\t2\t", "\t4294967296\t"),
            ("\t2\t", "\t\t"),
            ("shared", "Shared"),
            ("a.b/c=d@1:2", "a.b/c=d"),
            ("a.b/c=d@1:2", "a.b/c@1:2"),
            ("1:2", "1"),
            ("1:2", "1:x"),
            ("1:2", "1:2\t"),
            ("/b\t", ""),
            ("/b", "\\"),
        ] {
            assert_eq!(Record::parse(&good.replacen(from, to, 1)), None, "{from} -> {to}");
        }
        for line in ["", "grant", "seen\t1\t2\t3\tr\tc", "seen\t1\t2\t3\tr\tc\t**"] {
            assert_eq!(Record::parse(line), None, "{line:?}");
        }
    }
}
