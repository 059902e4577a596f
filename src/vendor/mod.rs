//! Vendors as rows of data: the only place where their names appear.
//!
//! To add one, write a `pub(super) static` row in its family's file and name it in [`VENDORS`]. A vendor that needs nothing but
//! CDI files needs no row at all: `vendor/class=device` names work without one. A row is what lets people ask in the vendor's
//! own words: its environment variable, `driver=` in a `--gpus` value.

use std::borrow::Cow;

use crate::cdi::Kind;

mod amd;
mod ascend;
mod habana;
mod hygon;
mod intel;
mod nvidia;
mod others;
pub mod recipe;

use recipe::Recipe;

/// What is known of one vendor.
#[derive(Debug)]
pub struct Vendor {
    /// The word that names it in `driver=` and in messages.
    pub name: &'static str,
    /// CDI kinds of its devices. The first is the vendor's own (where it has published none, the name of its Kubernetes
    /// resource), the others are what other projects' files call the same devices.
    pub kinds: &'static [&'static str],
    /// Environment variables that list devices; the first one that is set counts.
    pub visible: &'static [Variable],
    /// Variables of another vendor that this one's images obey too. It is considered after that vendor.
    pub borrowed: &'static [&'static str],
    /// What the value `none` asks for.
    pub none: NoneMeans,
    /// How Docker Swarm's variables for generic resources are told to be this vendor's.
    pub swarm: Swarm,
    /// The folder below which the vendor's device plugin mounts `/dev/null`, once for every device.
    pub device_mounts: Option<&'static str>,
    /// The hooks that engines left for its old toolkit.
    pub legacy: Option<LegacyHooks>,
    /// The one spelling of an id that people spell in several ways. What is no such id comes back as written.
    pub canonical: fn(&str) -> Cow<'_, str>,
    /// How its devices are described where no CDI file does. `None`: only CDI files can.
    pub recipe: Option<&'static Recipe>,
}

/// An environment variable that lists devices.
#[derive(Debug)]
pub struct Variable {
    /// Its name. Ends in `S`, as [`names_variable`] relies on.
    pub name: &'static str,
    /// What tells its values from indices, put before each: the `3` of a list of modules is the device called `module-3`.
    pub prefix: &'static str,
}

/// What the value `none` of a vendor's variable asks for. `void` and an empty value ask for nothing everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoneMeans {
    /// Nothing.
    Nothing,
    /// The driver's files without a device.
    DriverOnly,
}

/// How a `DOCKER_RESOURCE_…` variable is told to be a vendor's. The administrator of the swarm chooses the rest of its name, and
/// it may as well count apples.
#[derive(Debug)]
pub struct Swarm {
    /// A word of the resource's name that begins so, in capitals.
    pub words: &'static [&'static str],
    /// How every id of its value begins.
    pub ids: &'static [&'static str],
}

/// The hooks that engines left in config.json for a vendor's old toolkit.
#[derive(Debug)]
pub struct LegacyHooks {
    /// Programs that read the container's environment, as Docker's `--gpus` starts them.
    pub programs: &'static [&'static str],
    /// The program that gets the devices as an argument, started through containerd's `oci-hook` by old nerdctl and ctr.
    pub cli: &'static str,
}

impl PartialEq for Vendor {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Vendor {}

impl Variable {
    const fn ids(name: &'static str) -> Self {
        Variable { name, prefix: "" }
    }
}

/// What a row says when it does not say otherwise.
const PLAIN: Vendor = Vendor {
    name: "",
    kinds: &[],
    visible: &[],
    borrowed: &[],
    none: NoneMeans::Nothing,
    swarm: Swarm { words: &[], ids: &[] },
    device_mounts: None,
    legacy: None,
    canonical: |id| Cow::Borrowed(id),
    recipe: None,
};

/// Every vendor, in the order in which they are considered for a wish that names none.
pub static VENDORS: &[&Vendor] = &[
    &nvidia::NVIDIA,
    &amd::AMD,
    &intel::GPU,
    &habana::HABANA,
    &ascend::ASCEND,
    &hygon::HCU,
    &hygon::VHCU,
    &others::ILUVATAR,
    &others::MTHREADS,
    &others::METAX,
    &others::CAMBRICON,
    &others::T_HEAD,
    &others::KUNLUNXIN,
    &others::ENFLAME,
    &others::BIREN,
    &others::REBELLIONS,
    &others::FURIOSA,
    &others::NEURON,
    &intel::NPU,
];

/// The vendor of a `driver=`.
pub fn by_name(driver: &str) -> Option<&'static Vendor> {
    VENDORS.iter().copied().find(|vendor| vendor.name == driver)
}

/// The vendor whose devices are of this kind. `None` for kinds that only CDI files know of.
pub fn by_kind(kind: &Kind) -> Option<&'static Vendor> {
    let is_it = |known: &&str| known.split_once('/') == Some((kind.vendor(), kind.class()));
    VENDORS.iter().copied().find(|vendor| vendor.kinds.iter().any(is_it))
}

/// The vendor of Docker Swarm's generic resource `resource`, by a word of its name, else by the look of all its `ids`.
pub fn by_swarm_resource(resource: &str, ids: &str) -> Option<&'static Vendor> {
    let named = |vendor: &Vendor| {
        let mut words = resource.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| vendor.swarm.words.iter().any(|known| starts_with_ignoring_case(word, known)))
    };
    let listed = |vendor: &Vendor| {
        let mut ids = ids.split(',').map(str::trim);
        ids.all(|id| vendor.swarm.ids.iter().any(|prefix| id.starts_with(prefix)))
    };
    let mut vendors = VENDORS.iter().copied();
    vendors.clone().find(|vendor| named(vendor)).or_else(|| vendors.find(|vendor| listed(vendor)))
}

/// The vendors whose images obey a variable that is another vendor's, in order.
pub fn borrowers(variable: &str) -> Vec<&'static Vendor> {
    VENDORS.iter().copied().filter(|vendor| vendor.borrowed.contains(&variable)).collect()
}

/// Whether an environment variable of this name lists some vendor's devices. The last letter alone answers for almost every
/// variable that is there for something else.
pub fn names_variable(name: &str) -> bool {
    name.ends_with('S') && VENDORS.iter().flat_map(|vendor| vendor.visible).any(|variable| variable.name == name)
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
        for vendor in VENDORS {
            assert!(names.insert(vendor.name), "{} twice", vendor.name);
            assert!(!vendor.kinds.is_empty(), "{} has no kind of its own", vendor.name);
            assert_eq!(by_name(vendor.name), Some(*vendor));
            for kind in vendor.kinds {
                assert!(kinds.insert(*kind), "{kind} twice");
                assert_eq!(by_kind(&kind.parse().unwrap()), Some(*vendor));
            }
            for variable in vendor.visible {
                assert!(variables.insert(variable.name), "{} twice", variable.name);
                assert!(names_variable(variable.name), "{}: see Variable::name", variable.name);
            }
        }
        for vendor in VENDORS {
            for variable in vendor.borrowed {
                let owner = VENDORS.iter().position(|other| other.visible.iter().any(|v| v.name == *variable));
                let borrower = VENDORS.iter().position(|other| other == vendor);
                assert!(owner.is_some() && owner < borrower, "{}: {variable} is no earlier vendor's", vendor.name);
            }
        }
        assert_eq!(by_kind(&"acme.example/npu".parse().unwrap()), None);
    }

    #[test]
    fn recipes_name_whole_paths_and_known_placeholders() {
        for (vendor, recipe) in VENDORS.iter().filter_map(|vendor| Some((vendor.name, vendor.recipe?))) {
            assert!(recipe.shared.iter().all(|node| node.path.starts_with("/dev/")), "{vendor}");
            assert!(recipe.env.iter().all(|variable| variable.contains('=')), "{vendor}");
            let Some(driver) = recipe.driver else { continue };
            assert!(driver.marks.iter().all(|mark| mark.contains(".so.{version}")), "{vendor}");
            for files in driver.files {
                let folders = files.search.iter().chain(&files.at);
                for folder in folders {
                    assert!(folder.starts_with('/') || *folder == "{firmware}", "{vendor}: {folder}");
                }
                for text in files.search.iter().chain(files.names).filter(|text| text.contains('{')) {
                    let known = ["{version}", "{release}", "{firmware}"];
                    assert!(known.iter().any(|placeholder| text.contains(placeholder)), "{vendor}: {text}");
                }
            }
        }
    }

    #[test]
    fn one_variable_is_shared_and_its_owner_comes_first() {
        let names: Vec<_> = borrowers("NVIDIA_VISIBLE_DEVICES").iter().map(|vendor| vendor.name).collect();
        assert_eq!(names, ["hygon", "t-head"]);
        assert_eq!(borrowers("AMD_VISIBLE_DEVICES"), Vec::<&Vendor>::new());
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
            assert_eq!(by_swarm_resource(resource, ids).map(|vendor| vendor.name), vendor, "{resource}={ids}");
        }
    }

    #[test]
    fn ids_have_one_spelling_per_vendor() {
        for (vendor, written, canonical) in [
            ("amd", "0xABCDEF", "0xabcdef"),
            ("amd", "0X00ab", "0xab"),
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
            let vendor = by_name(vendor).unwrap();
            assert_eq!((vendor.canonical)(written), canonical, "{} {written}", vendor.name);
            assert_eq!((vendor.canonical)(canonical), canonical, "{} {canonical} again", vendor.name);
        }
    }
}
