//! The vendors that one start knows: the rows of this program, and those that the configuration describes.
//!
//! Looks them up by the words that people use; what a row says is for others to act on.

use super::{Role, VENDORS, Vendor, described};
use crate::cdi::Kind;
use crate::config;
use crate::error::Result;

/// All vendors, in the order in which they are considered for a wish that names none.
#[derive(Debug, Clone, Copy)]
pub struct Vendors(&'static [&'static Vendor]);

impl Vendors {
    /// The rows of this program.
    pub const fn known() -> Self {
        Vendors(VENDORS)
    }

    /// Those, and the ones that a configuration describes, which stay in memory until the program ends. An error if two use the
    /// same word.
    pub fn with(described: &[config::Vendor]) -> Result<Self> {
        if described.is_empty() {
            return Ok(Self::known());
        }
        let mut vendors = Self::known();
        for row in described {
            let vendor: &'static Vendor = Box::leak(Box::new(described::vendor(row, vendors)?));
            vendors = Vendors(Vec::leak([vendors.0, &[vendor]].concat()));
        }
        Ok(vendors)
    }

    /// All of them.
    pub fn iter(self) -> impl Iterator<Item = &'static Vendor> + Clone {
        self.0.iter().copied()
    }

    /// Those that a wish is for that names none.
    pub fn accelerators(self) -> Vec<&'static Vendor> {
        self.iter().filter(|vendor| vendor.role == Role::Accelerator && !vendor.is_management()).collect()
    }

    /// The vendor of a `driver=`.
    pub fn by_name(self, driver: &str) -> Option<&'static Vendor> {
        self.iter().find(|vendor| vendor.name == driver)
    }

    /// The vendor whose devices are of this kind. `None` for kinds that only CDI files know of.
    pub fn by_kind(self, kind: &Kind) -> Option<&'static Vendor> {
        let is_it = |known: &&str| known.split_once('/') == Some((kind.vendor(), kind.class()));
        self.iter().find(|vendor| vendor.kinds.iter().any(is_it))
    }

    /// Whether devices of this kind reach beyond a container's own: those of a row that says so, and of any kind whose name does. CDI
    /// specs on disk have kinds that no row has, such as the channels of NVIDIA's compute domains.
    pub fn is_management(self, kind: &Kind) -> bool {
        self.by_kind(kind).is_some_and(Vendor::is_management)
            || names_management(kind.vendor())
            || names_management(kind.class())
    }

    /// The vendor of Docker Swarm's generic resource `resource`, by a word of its name, else by the look of all its `ids`.
    pub fn by_swarm_resource(self, resource: &str, ids: &str) -> Option<&'static Vendor> {
        let named = |vendor: &Vendor| {
            let mut words = resource.split(|c: char| !c.is_ascii_alphanumeric());
            words.any(|word| vendor.swarm.words.iter().any(|known| starts_with_ignoring_case(word, known)))
        };
        let listed = |vendor: &Vendor| {
            let mut ids = ids.split(',').map(str::trim);
            ids.all(|id| vendor.swarm.ids.iter().any(|prefix| id.starts_with(prefix)))
        };
        let mut vendors = self.iter();
        vendors.clone().find(|vendor| named(vendor)).or_else(|| vendors.find(|vendor| listed(vendor)))
    }

    /// The vendors whose images obey a variable that is another vendor's, in order.
    pub fn borrowers(self, variable: &str) -> Vec<&'static Vendor> {
        self.iter().filter(|vendor| vendor.borrowed.contains(&variable)).collect()
    }

    /// Whether an environment variable of this name asks for some vendor's devices.
    pub fn names_variable(self, name: &str) -> bool {
        self.iter().flat_map(|vendor| vendor.visible).any(|variable| variable.name == name)
    }
}

/// Whether a kind, or a part of one, has a word in it for what reaches beyond a container's own devices.
pub(super) fn names_management(kind: &str) -> bool {
    const WORDS: [&str; 2] = ["management", "compute-domain"];
    let kind = kind.to_ascii_lowercase();
    WORDS.iter().any(|word| kind.contains(word))
}

fn starts_with_ignoring_case(word: &str, capitals: &str) -> bool {
    word.get(..capitals.len()).is_some_and(|start| start.eq_ignore_ascii_case(capitals))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_row_is_well_formed_and_no_two_rows_claim_the_same_words() {
        let (mut names, mut kinds, mut variables) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for vendor in Vendors::known().iter() {
            assert!(names.insert(vendor.name), "{} twice", vendor.name);
            assert!(!vendor.kinds.is_empty(), "{} has no kind of its own", vendor.name);
            assert_eq!(Vendors::known().by_name(vendor.name), Some(vendor));
            for kind in vendor.kinds {
                assert!(kinds.insert(*kind), "{kind} twice");
                assert_eq!(Vendors::known().by_kind(&kind.parse().unwrap()), Some(vendor));
            }
            for variable in vendor.visible {
                // What controls a companion's devices is asked for together with them.
                let is_shared = vendor.beside.is_some() && vendor.is_management();
                assert!(variables.insert(variable.name) != is_shared, "{} twice", variable.name);
                assert!(Vendors::known().names_variable(variable.name), "{} is not found", variable.name);
            }
        }
        for vendor in Vendors::known().iter() {
            for variable in vendor.borrowed {
                let owner = VENDORS.iter().position(|other| other.visible.iter().any(|v| v.name == *variable));
                let borrower = VENDORS.iter().position(|other| *other == vendor);
                assert!(owner.is_some() && owner < borrower, "{}: {variable} is no earlier vendor's", vendor.name);
            }
        }
        assert_eq!(Vendors::known().by_kind(&"acme.example/npu".parse().unwrap()), None);
    }

    #[test]
    fn what_reaches_beyond_a_containers_own_devices_is_told_by_row_and_by_name() {
        for (kind, expected) in [
            ("management.nvidia.com/gpu", true),
            ("management.nvidia.com/nvswitch", true),
            ("nvidia.com/imex-channel", true),
            ("k8s.compute-domain.nvidia.com/channel", true),
            ("k8s.Compute-Domain.nvidia.com/channel", true),
            ("acme.example/npu-management", true),
            ("nvidia.com/nvswitch", false),
            ("nvidia.com/gpu", false),
            ("acme.example/compute", false),
        ] {
            assert_eq!(Vendors::known().is_management(&kind.parse().unwrap()), expected, "{kind}");
        }
    }

    #[test]
    fn companions_belong_to_an_accelerator() {
        for vendor in VENDORS {
            let owner = vendor.beside.map(|owner| owner.role);
            assert!(owner.is_none_or(|role| role == Role::Accelerator), "{}", vendor.name);
            assert!(vendor.role != Role::Companion || owner.is_some(), "{}", vendor.name);
        }
    }

    #[test]
    fn recipes_name_whole_paths_and_known_placeholders() {
        for (vendor, recipe) in
            VENDORS.iter().flat_map(|vendor| vendor.recipes.iter().map(move |recipe| (vendor, recipe)))
        {
            let name = vendor.name;
            assert!(recipe.shared.iter().all(|node| node.path.starts_with("/dev/")), "{name}");
            assert!(recipe.env.iter().all(|variable| variable.contains('=')), "{name}");
            let Some(driver) = recipe.driver else { continue };
            let marks = driver.libraries.into_iter().flat_map(|libraries| libraries.marks);
            assert!(marks.into_iter().all(|mark| mark.contains(".so.{version}")), "{name}");
            for files in driver.files {
                for folder in files.search.iter().chain(&files.at) {
                    assert!(folder.starts_with('/') || folder.starts_with('{'), "{name}: {folder}");
                }
                for text in files.search.iter().chain(files.names).filter(|text| text.contains('{')) {
                    let known = ["{version}", "{release}", "{firmware}", "{libraries}"];
                    assert!(known.iter().any(|placeholder| text.contains(placeholder)), "{name}: {text}");
                }
                let classes =
                    vendor.classes.map(|classes| [classes.known, classes.default].concat()).unwrap_or_default();
                assert!(
                    files.classes.iter().all(|class| classes.contains(class)) || vendor.classes.is_none(),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn one_variable_is_shared_and_its_owner_comes_first() {
        let names: Vec<_> =
            Vendors::known().borrowers("NVIDIA_VISIBLE_DEVICES").iter().map(|vendor| vendor.name).collect();
        assert_eq!(names, ["hygon", "t-head"]);
        assert_eq!(Vendors::known().borrowers("AMD_VISIBLE_DEVICES"), Vec::<&Vendor>::new());
    }

    #[test]
    fn swarm_resources_are_told_apart_by_their_words_then_by_their_values() {
        for (resource, ids, vendor) in [
            ("NVIDIA-GPU", "0", Some("nvidia")),
            ("nvidia_gpu", "0,1", Some("nvidia")),
            ("AMDGPU", "3", Some("amd")),
            ("AMD_GPU", "GPU-1f", Some("amd")),
            ("GPU", "GPU-1f, GPU-2e", Some("nvidia")),
            ("GPU", "MIG-1f", Some("nvidia")),
            ("GPU", "0x8c1f,0X77aa", Some("amd")),
            ("GPU", "GPU-1f,0x8c1f", None),
            ("GPU", "2", None),
            ("RAMDISK", "0", None),
            ("APPLES", "granny", None),
            ("é", "0", None),
        ] {
            assert_eq!(
                Vendors::known().by_swarm_resource(resource, ids).map(|vendor| vendor.name),
                vendor,
                "{resource}={ids}"
            );
        }
    }

    #[test]
    fn ids_have_one_spelling_per_vendor() {
        for (vendor, written, canonical) in [
            ("amd", "0xABCDEF", "0xabcdef"),
            ("amd", "0X00ab", "0xab"),
            ("amd", "GPU-c027d079faca2939", "0xc027d079faca2939"),
            ("amd", "GPU-x", "GPU-x"),
            ("amd", "00e1AA5f0c2b9d31", "0xe1aa5f0c2b9d31"),
            ("amd", "0x0", "0x0"),
            ("amd", "12345678", "12345678"),
            ("amd", "123456789", "0x123456789"),
            ("amd", "0x", "0x"),
            ("amd", "0xé", "0xé"),
            ("amd", "0x11112222333344445", "0x11112222333344445"),
            ("amd", "0000:03:00.0", "0000:03:00.0"),
            ("ascend", "Ascend910-3", "3"),
            ("ascend", "Ascend310P-12", "12"),
            ("ascend", "npu-7", "7"),
            ("ascend", "npu-", "npu-"),
            ("ascend", "Ascend910-x", "Ascend910-x"),
            ("ascend", "davinci-3", "davinci-3"),
            ("nvidia", "GPU-AB12", "GPU-AB12"),
            ("nvidia", "MIG-GPU-1f/3/0", "MIG-GPU-1f/3/0"),
        ] {
            let vendor = Vendors::known().by_name(vendor).unwrap();
            assert_eq!((vendor.canonical)(written), canonical, "{} {written}", vendor.name);
            assert_eq!((vendor.canonical)(canonical), canonical, "{} {canonical} again", vendor.name);
        }
    }
}
