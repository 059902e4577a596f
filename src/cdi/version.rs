//! Versions of the CDI specification: which are known, and which one a spec needs.
//!
//! Pure. Writers declare the lowest version that holds what they write, because older engines refuse files of newer versions.
//! Source: CDI specs-go/version.go.

use std::fmt;

use super::name::Kind;
use super::spec::{ContainerEdits, Device, Spec};
use crate::error::Escaped;

/// A released version of the CDI specification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u8,
    minor: u8,
}

/// Versions that a file may declare. The first two are known so that the error can say what is needed instead.
const KNOWN: [Version; 10] = [
    Version::new(0, 1),
    Version::new(0, 2),
    Version::LOWEST,
    Version::new(0, 4),
    Version::new(0, 5),
    Version::new(0, 6),
    Version::new(0, 7),
    Version::new(0, 8),
    Version::new(1, 0),
    Version::HIGHEST,
];

/// The version that a part of a spec needs, and why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Need {
    version: Version,
    because: &'static str,
}

impl Version {
    /// The lowest version that is accepted.
    pub const LOWEST: Version = Version::new(0, 3);
    /// The highest version that is understood.
    pub const HIGHEST: Version = Version::new(1, 1);

    const fn new(major: u8, minor: u8) -> Self {
        Version { major, minor }
    }

    /// Reads a declared version: the exact text, or with one `v` before it. `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        KNOWN.into_iter().find(|version| version.to_string() == text)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.0", self.major, self.minor)
    }
}

impl Need {
    const NOTHING: Need = Need { version: Version::LOWEST, because: "it is the lowest that is accepted" };

    /// The greater of two needs.
    pub(super) fn or(self, other: Self) -> Self {
        if other.version > self.version { other } else { self }
    }

    /// What `kind` needs.
    pub(super) fn of_kind(kind: &Kind) -> Self {
        Self::first([(kind.class().contains('.'), 6, "the class has a dot")])
    }

    /// What annotations need, on the spec or on a device.
    pub(super) fn of_annotations(any: bool) -> Self {
        Self::first([(any, 6, "there are annotations")])
    }

    /// What a device's name needs.
    pub(super) fn of_device_name(name: &str) -> Self {
        Self::first([(name.starts_with(|c: char| c.is_ascii_digit()), 5, "a device's name begins with a digit")])
    }

    /// What edits need.
    pub(super) fn of_edits(edits: &ContainerEdits) -> Self {
        // Destructured, so that the compiler reports a new field whose version is not considered.
        let ContainerEdits { env: _, device_nodes, net_devices, hooks: _, mounts, intel_rdt, additional_gids } = edits;
        let rdt = intel_rdt.as_ref();
        let newest = if rdt.is_some_and(|rdt| rdt.schemata.is_some()) {
            Some("intelRdt has schemata")
        } else if rdt.is_some_and(|rdt| rdt.enable_monitoring) {
            Some("intelRdt has enableMonitoring")
        } else {
            (!net_devices.is_empty()).then_some("there are netDevices")
        };
        if let Some(because) = newest {
            return Need { version: Version::HIGHEST, because };
        }
        Self::first([
            (rdt.is_some(), 7, "there is an intelRdt"),
            (!additional_gids.is_empty(), 7, "there are additionalGids"),
            (device_nodes.iter().any(|node| !node.host_path.is_empty()), 5, "a device node has a hostPath"),
            (mounts.iter().any(|mount| !mount.mount_type.is_empty()), 4, "a mount has a type"),
        ])
    }

    /// What a device needs.
    pub(super) fn of_device(device: &Device) -> Self {
        Self::of_device_name(&device.name)
            .or(Self::of_annotations(!device.annotations.is_empty()))
            .or(Self::of_edits(&device.container_edits))
    }

    /// What a whole spec needs.
    pub(super) fn of_spec(spec: &Spec) -> Self {
        let whole = Self::of_kind(&spec.kind)
            .or(Self::of_annotations(!spec.annotations.is_empty()))
            .or(Self::of_edits(&spec.container_edits));
        spec.devices.iter().fold(whole, |need, device| need.or(Self::of_device(device)))
    }

    /// What is wrong with `declared` as the version of a spec that has this need.
    pub(super) fn check(self, declared: &str) -> Result<(), String> {
        let Some(version) = Version::parse(declared) else {
            let (lowest, highest) = (Version::LOWEST, Version::HIGHEST);
            let declared = Escaped::quoted(declared);
            return Err(format!("cdiVersion: invalid version {declared}, expected one of {lowest} to {highest}"));
        };
        if version >= self.version {
            return Ok(());
        }
        let Need { version: needed, because } = self;
        Err(format!("cdiVersion: the spec version must be at least v{needed}, not {version}: {because}"))
    }

    /// The need of the first row that applies; rows come with the highest 0.x version first.
    fn first<const N: usize>(rows: [(bool, u8, &'static str); N]) -> Self {
        let found = rows.into_iter().find(|(applies, ..)| *applies);
        found.map_or(Self::NOTHING, |(_, minor, because)| Need { version: Version::new(0, minor), because })
    }
}

/// The lowest version that holds all of `spec`.
pub fn minimum_version(spec: &Spec) -> Version {
    Need::of_spec(spec).version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_needs_of_one_version_the_first_is_told() {
        let need = |because| Need { version: Version::new(0, 6), because };
        assert_eq!(need("a").or(need("b")).because, "a");
    }

    #[test]
    fn a_version_is_known_exactly_with_at_most_one_leading_v() {
        for text in ["0.3.0", "v0.3.0", "1.1.0", "v0.8.0"] {
            assert!(Version::parse(text).is_some(), "{text}");
        }
        for text in ["", "v", "vv1.0.0", "1.2.0", "1.0.1", "0.6", "01.1.0", "1.1.0 ", "V1.0.0"] {
            assert_eq!(Version::parse(text), None, "{text}");
        }
    }

    #[test]
    fn every_member_that_came_later_raises_the_version() {
        for (members, needed) in [
            (r#""env":["A=1"]"#, "0.3.0"),
            (r#""mounts":[{"hostPath":"/h","containerPath":"/c"}]"#, "0.3.0"),
            (r#""mounts":[{"hostPath":"/h","containerPath":"/c","type":""}]"#, "0.3.0"),
            (r#""mounts":[{"hostPath":"/h","containerPath":"/c","type":"bind"}]"#, "0.4.0"),
            (r#""deviceNodes":[{"path":"/d","hostPath":""}]"#, "0.3.0"),
            (r#""deviceNodes":[{"path":"/d","hostPath":"/h"}]"#, "0.5.0"),
            (r#""deviceNodes":[{"path":"/d","permissions":"none"}]"#, "0.3.0"),
            (r#""additionalGids":[]"#, "0.3.0"),
            (r#""additionalGids":[0]"#, "0.7.0"),
            (r#""intelRdt":null"#, "0.3.0"),
            (r#""intelRdt":{}"#, "0.7.0"),
            (r#""intelRdt":{"enableMonitoring":false}"#, "0.7.0"),
            (r#""intelRdt":{"enableMonitoring":true}"#, "1.1.0"),
            (r#""intelRdt":{"schemata":null}"#, "0.7.0"),
            (r#""intelRdt":{"schemata":[]}"#, "1.1.0"),
            (r#""netDevices":[]"#, "0.3.0"),
            (r#""netDevices":[{"hostInterfaceName":"ib0","name":"net1"}]"#, "1.1.0"),
        ] {
            let edits: ContainerEdits = serde_json::from_str(&format!("{{{members}}}")).unwrap();
            assert_eq!(Need::of_edits(&edits).version.to_string(), needed, "{members}");
        }
        assert_eq!(Need::of_kind(&"a.b/c".parse().unwrap()).version.to_string(), "0.3.0");
        assert_eq!(Need::of_kind(&"a/b.c".parse().unwrap()).version.to_string(), "0.6.0");
    }
}
