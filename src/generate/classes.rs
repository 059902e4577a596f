//! Which classes of a driver's files a container needs.
//!
//! A value that was decided before; what the classes are called is in the vendor's row.

use crate::vendor::Vendor;

/// The classes that were chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Chosen<'a> {
    /// The vendor makes no difference: all files.
    All,
    /// Those of its row that stand for no choice.
    Default(&'static [&'static str]),
    /// These.
    These(&'a [String]),
}

impl<'a> Chosen<'a> {
    /// What a container chose of the files of `vendor`'s driver; `None` where it did not choose.
    pub fn new(vendor: &Vendor, chosen: Option<&'a [String]>) -> Self {
        match (vendor.classes, chosen) {
            (None, _) => Chosen::All,
            (Some(classes), None) => Chosen::Default(classes.default),
            (Some(_), Some(chosen)) => Chosen::These(chosen),
        }
    }

    /// Whether what belongs to `classes`, or to all where there are none, is needed.
    pub(super) fn needs(&self, classes: &[&str]) -> bool {
        *self == Chosen::All || classes.is_empty() || self.names().any(|chosen| classes.contains(&chosen))
    }

    /// Whether one of `classes` was chosen.
    pub(super) fn requests(&self, classes: &[&str]) -> bool {
        !classes.is_empty() && self.needs(classes)
    }

    /// Whether no file of the driver is wanted, not even what belongs to no class.
    pub(super) fn is_nothing(&self) -> bool {
        *self == Chosen::These(&[])
    }

    /// The classes by name, where there is a choice.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let (fixed, own): (&[&str], &[String]) = match self {
            Chosen::All => (&[], &[]),
            Chosen::Default(names) => (names, &[]),
            Chosen::These(names) => (&[], names),
        };
        fixed.iter().copied().chain(own.iter().map(String::as_str))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_belongs_to_no_class_goes_with_any() {
        let compute = ["compute".to_owned()];
        for (chosen, classes, needed) in [
            (Chosen::All, ["graphics"].as_slice(), true),
            (Chosen::Default(&["compute"]), &["compute", "video"], true),
            (Chosen::Default(&["compute"]), &["video"], false),
            (Chosen::These(&compute), &["compute"], true),
            (Chosen::These(&compute), &["video"], false),
            (Chosen::These(&compute), &[], true),
            (Chosen::These(&[]), &["compute"], false),
            (Chosen::These(&[]), &[], true),
        ] {
            assert_eq!(chosen.needs(classes), needed, "{chosen:?} {classes:?}");
            assert_eq!(chosen.requests(classes), needed && !classes.is_empty(), "{chosen:?} {classes:?}");
        }
    }
}
