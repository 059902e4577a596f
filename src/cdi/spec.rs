//! The CDI spec document as values: what a file says once it is read, and what generators make.
//!
//! Member names are exact and unknown members are errors, as in the Go reference library; `null` stands for an absent list or
//! object, never for an entry of one. Source: CDI SPEC.md 1.1.0, specs-go/config.go.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::fault;
use super::name::Kind;

/// One CDI file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Spec {
    /// The version of the CDI specification that the file is written to.
    pub cdi_version: String,
    /// `vendor/class`, which all devices of the file share.
    pub kind: Kind,
    /// Facts about the file; never copied to a container. Since 0.6.0.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What a container can ask for by name; at least one.
    #[serde(default, deserialize_with = "objects")]
    pub devices: Vec<Device>,
    /// Made once for any of the devices, before the device's own edits.
    #[serde(default, deserialize_with = "object", skip_serializing_if = "ContainerEdits::is_empty")]
    pub container_edits: ContainerEdits,
}

impl Spec {
    /// A spec without devices.
    pub fn new(cdi_version: String, kind: Kind) -> Self {
        let (annotations, devices, container_edits) = Default::default();
        Spec { cdi_version, kind, annotations, devices, container_edits }
    }
}

/// One device of a CDI file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// The part of the qualified name after `=`.
    pub name: String,
    /// Facts about the device; never copied to a container. Since 0.6.0.
    #[serde(default, deserialize_with = "unique", skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// What the container gets; not empty.
    #[serde(default, deserialize_with = "object")]
    pub container_edits: ContainerEdits,
}

/// What is to be changed in a container so that it can use a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ContainerEdits {
    /// `NAME=value` entries.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Device nodes.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub device_nodes: Vec<DeviceNode>,
    /// Host network interfaces to move into the container. Since 1.1.0.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub net_devices: Vec<NetDevice>,
    /// OCI lifecycle hooks.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub hooks: Vec<Hook>,
    /// Mounts.
    #[serde(default, deserialize_with = "objects", skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<Mount>,
    /// Cache and memory bandwidth class. Since 0.7.0. An empty object counts as present.
    #[serde(default, deserialize_with = "optional_object", skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// Groups of the container's process beside its own. Since 0.7.0.
    #[serde(default, deserialize_with = "all_unquoted", skip_serializing_if = "Vec::is_empty")]
    pub additional_gids: Vec<u32>,
}

impl ContainerEdits {
    /// Whether there is nothing to change. `intelRdt: {}` and `additionalGids: [0]` are something.
    pub fn is_empty(&self) -> bool {
        self == &Self::default()
    }

    /// Adds `other` after what is here: lists are concatenated, a later `intelRdt` replaces an earlier one as a whole.
    pub fn append(&mut self, other: Self) {
        // Destructured, so that the compiler reports a new field that is not appended.
        let ContainerEdits { env, device_nodes, net_devices, hooks, mounts, intel_rdt, additional_gids } = other;
        self.env.extend(env);
        self.device_nodes.extend(device_nodes);
        self.net_devices.extend(net_devices);
        self.hooks.extend(hooks);
        self.mounts.extend(mounts);
        self.intel_rdt = intel_rdt.or(self.intel_rdt.take());
        self.additional_gids.extend(additional_gids);
    }
}

/// A device node in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct DeviceNode {
    /// Its path in the container.
    pub path: String,
    /// Its path on the host where that differs; empty counts as absent. Since 0.5.0.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub host_path: String,
    /// `b`, `c`, `u`, `p`, or empty for the host node's.
    #[serde(default, rename = "type", deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub node_type: String,
    /// The device number's major half; 0 stands for the host node's numbers.
    #[serde(default, deserialize_with = "unquoted", skip_serializing_if = "is_zero")]
    pub major: i64,
    /// The device number's minor half.
    #[serde(default, deserialize_with = "unquoted", skip_serializing_if = "is_zero")]
    pub minor: i64,
    /// Permission bits.
    #[serde(default, deserialize_with = "optional_unquoted", skip_serializing_if = "Option::is_none")]
    pub file_mode: Option<u32>,
    /// Cgroup access: letters of `rwm`, the word `none`, or empty for `rwm`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub permissions: String,
    /// Owner.
    #[serde(default, deserialize_with = "optional_unquoted", skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// Group.
    #[serde(default, deserialize_with = "optional_unquoted", skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// Set where the host does not have the device node. Not a part of CDI: no file holds it.
    #[serde(skip)]
    pub missing: Option<Missing>,
}

/// A device node that is described by its major:minor and that the host does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Missing {
    /// Whether the container cannot do without the device node.
    pub is_required: bool,
    /// Who owns the device node once the driver's own tool makes it: uid and gid. `None` where no loaded driver wants it made.
    pub owner: Option<(u32, u32)>,
}

impl DeviceNode {
    /// Whether it says all that is needed to make the node.
    pub fn is_whole(&self) -> bool {
        !self.node_type.is_empty() && (self.major != 0 || self.node_type == "p")
    }

    /// The path to look at on the host.
    pub fn on_host(&self) -> &str {
        if self.host_path.is_empty() { &self.path } else { &self.host_path }
    }
}

/// A mount into the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Mount {
    /// What is mounted.
    pub host_path: String,
    /// Where.
    pub container_path: String,
    /// Mount options as the OCI runtime specification has them.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// The file system type; empty for a bind by its options. Since 0.4.0.
    #[serde(default, rename = "type", deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub mount_type: String,
}

/// An OCI lifecycle hook.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hook {
    /// Which list it goes to: `prestart`, `createRuntime`, `createContainer`, `startContainer`, `poststart`, `poststop`.
    pub hook_name: String,
    /// The program.
    pub path: String,
    /// Its arguments, the program name first.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<String>,
    /// Its environment.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Seconds until it is given up.
    #[serde(default, deserialize_with = "optional_unquoted", skip_serializing_if = "Option::is_none")]
    pub timeout: Option<i64>,
}

impl Hook {
    /// One that runs `path` in the container's namespaces, before its root is entered. Its environment is its own: one without
    /// would be the low-level runtime's, or the container's (CVE-2025-23266).
    pub fn in_container(path: &str, args: Vec<String>) -> Self {
        Hook {
            hook_name: "createContainer".to_owned(),
            path: path.to_owned(),
            args,
            env: vec!["PATH=/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            timeout: None,
        }
    }
}

/// A host network interface and its name in the container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NetDevice {
    /// Its name on the host.
    pub host_interface_name: String,
    /// Its name in the container.
    pub name: String,
}

/// Intel resource director technology: a class of service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IntelRdt {
    /// The class.
    #[serde(default, rename = "closID", deserialize_with = "or_default", skip_serializing_if = "String::is_empty")]
    pub clos_id: String,
    /// L3 cache schema.
    #[serde(
        default,
        rename = "l3CacheSchema",
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub l3_cache_schema: String,
    /// Memory bandwidth schema.
    #[serde(
        default,
        rename = "memBwSchema",
        deserialize_with = "or_default",
        skip_serializing_if = "String::is_empty"
    )]
    pub mem_bw_schema: String,
    /// Schemata lines. Since 1.1.0; an empty list counts as present.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schemata: Option<Vec<String>>,
    /// Whether monitoring is on. Since 1.1.0.
    #[serde(default, rename = "enableMonitoring", deserialize_with = "unquoted", skip_serializing_if = "is_false")]
    pub enable_monitoring: bool,
}

/// `null` reads as the default.
fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    Option::deserialize(from).map(Option::unwrap_or_default)
}

/// A value that is written without quotes. The YAML reader converts `"0640"` for a field that is a number, the Go library refuses
/// it: such a spec would work with gpu-runc and with no other engine.
struct Unquoted<T>(T);

trait Scalar {
    /// What an error says was expected.
    const EXPECTED: &'static str;
}

impl Scalar for i64 {
    const EXPECTED: &'static str = "a number without quotes";
}

impl Scalar for u32 {
    const EXPECTED: &'static str = i64::EXPECTED;
}

impl Scalar for bool {
    const EXPECTED: &'static str = "true or false without quotes";
}

impl<'de, T: Scalar + Deserialize<'de>> Deserialize<'de> for Unquoted<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Value<T>(PhantomData<T>);

        impl<'de, T: Scalar + Deserialize<'de>> Visitor<'de> for Value<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::EXPECTED)
            }

            fn visit_bool<E: Error>(self, value: bool) -> Result<T, E> {
                T::deserialize(value.into_deserializer())
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<T, E> {
                T::deserialize(value.into_deserializer())
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<T, E> {
                T::deserialize(value.into_deserializer())
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<T, E> {
                T::deserialize(value.into_deserializer())
            }
        }
        from.deserialize_any(Value(PhantomData)).map(Unquoted)
    }
}

fn optional_unquoted<'de, D: Deserializer<'de>, T: Scalar + Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Unquoted<T>>::deserialize(from)?.map(|Unquoted(value)| value))
}

/// `null` reads as zero, or as `false`.
fn unquoted<'de, D: Deserializer<'de>, T: Scalar + Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    optional_unquoted(from).map(Option::unwrap_or_default)
}

/// `null` reads as the empty list.
fn all_unquoted<'de, D: Deserializer<'de>, T: Scalar + Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let list: Vec<Unquoted<T>> = or_default(from)?;
    Ok(list.into_iter().map(|Unquoted(value)| value).collect())
}

/// What is written as an object. A derived reader would also take a list, for the members in their order.
#[derive(Debug, Default)]
pub(super) struct Object<T>(pub(super) T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Members<T> {
            type Value = T;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, from: A) -> Result<T, A::Error> {
                T::deserialize(MapAccessDeserializer::new(from))
            }
        }
        from.deserialize_map(Members(PhantomData)).map(Object)
    }
}

fn optional_object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Ok(Option::<Object<T>>::deserialize(from)?.map(|Object(value)| value))
}

fn object<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(from: D) -> Result<T, D::Error> {
    optional_object(from).map(Option::unwrap_or_default)
}

/// A list of objects; `null` reads as the empty one.
pub(super) fn objects<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Vec<T>, D::Error> {
    let list: Vec<Object<T>> = or_default(from)?;
    Ok(list.into_iter().map(|Object(value)| value).collect())
}

/// A map of strings, `null` for the empty one. A key that is there twice is an error, as it is for the other members.
pub(super) fn unique<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    struct Unique;

    impl<'de> Visitor<'de> for Unique {
        type Value = BTreeMap<String, String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a map of strings")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_none<E>(self) -> Result<Self::Value, E> {
            Ok(BTreeMap::new())
        }

        fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
            from.deserialize_map(self)
        }

        fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<Self::Value, A::Error> {
            let mut map = BTreeMap::new();
            while let Some((key, value)) = from.next_entry::<String, String>()? {
                if map.contains_key(&key) {
                    return Err(A::Error::custom(fault::already_set(&key)));
                }
                map.insert(key, value);
            }
            Ok(map)
        }
    }
    from.deserialize_option(Unique)
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_whole_with_its_type_and_numbers() {
        for (node_type, major, expected) in
            [("c", 195, true), ("b", 8, true), ("p", 0, true), ("", 195, false), ("c", 0, false), ("", 0, false)]
        {
            let node = DeviceNode { node_type: node_type.to_owned(), major, ..DeviceNode::default() };
            assert_eq!(node.is_whole(), expected, "{node_type} {major}");
        }
    }
}
