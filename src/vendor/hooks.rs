//! What a vendor's row says of the work that its own tool has hooks do in containers.
//!
//! Data and its shapes; the work itself is done in [`crate::rootfs`], the recognizing of hooks in a CDI file too.

use super::Vendors;

/// The work that a vendor's tool leaves to hooks.
#[derive(Debug)]
pub struct DriverHooks {
    /// The programs that do it, by their names, and the word that each wants before the name of a hook.
    pub programs: &'static [(&'static str, Option<&'static str>)],
    /// Where images bring libraries of a newer driver.
    pub compat: Compat,
    /// The file that tells the driver's libraries which devices a container has.
    pub profile: Profile,
    /// The driver's parameters, of which one lets its libraries make nodes of all devices.
    pub params: Params,
}

/// An image's own libraries of the driver, for programs that want a newer one than the machine has.
#[derive(Debug)]
pub struct Compat {
    /// Their folder in the image, unless a hook names another.
    pub folder: &'static str,
    /// How the name of the library begins that is looked at; its version follows.
    pub library: &'static str,
    /// How the names of the driver's libraries begin: an image's folder may hold others.
    pub names: &'static [&'static str],
    /// The section of its note.
    pub section: &'static str,
    /// Whose note it is.
    pub owner: &'static str,
}

/// A file for the driver's libraries.
#[derive(Debug)]
pub struct Profile {
    /// How the paths of device nodes begin that count; a number follows.
    pub nodes: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// What is in it, for these devices, a bit for each number.
    pub text: fn(u64) -> String,
}

/// A file of the kernel with a line that is shown to containers in other words.
#[derive(Debug)]
pub struct Params {
    /// Where it is.
    pub path: &'static str,
    /// The line.
    pub line: &'static str,
    /// What it is to be.
    pub instead: &'static str,
    /// The folder of the kernel with an entry for every device of the driver: a container that has all of them could make no more.
    pub devices: &'static str,
}

impl DriverHooks {
    /// The row of the program that a hook is called as, and the arguments from the hook's name on. `None` for a program that
    /// is no vendor's. `argv` begins with the program, by name or path.
    pub fn of<S: AsRef<str>>(argv: &[S], vendors: Vendors) -> Option<(&'static DriverHooks, &[S])> {
        let (program, rest) = argv.split_first()?;
        let program = program.as_ref().rsplit('/').next()?;
        let rows = vendors.iter().filter_map(|vendor| vendor.hooks);
        rows.flat_map(|row| row.programs.iter().map(move |known| (row, known))).find_map(|(row, (name, word))| {
            let rest = match word {
                None => rest,
                Some(word) => rest.split_first().filter(|(first, _)| first.as_ref() == *word)?.1,
            };
            (*name == program).then_some((row, rest))
        })
    }

    /// The names of all such programs.
    pub fn programs(vendors: Vendors) -> impl Iterator<Item = &'static str> {
        vendors.iter().filter_map(|vendor| vendor.hooks).flat_map(|row| row.programs).map(|(name, _)| *name)
    }
}

impl PartialEq for DriverHooks {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for DriverHooks {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_known_by_its_name() {
        for (argv, rest) in [
            (&["nvidia-cdi-hook", "chmod"][..], Some(&["chmod"][..])),
            (&["/usr/bin/nvidia-cdi-hook"], Some(&[])),
            (&["/usr/bin/nvidia-ctk", "hook", "chmod", "--mode"], Some(&["chmod", "--mode"])),
            (&["nvidia-ctk", "chmod"], None),
            (&["nvidia-ctk"], None),
            (&["nvidia-cdi-hook2", "chmod"], None),
            (&[""], None),
            (&[], None),
        ] {
            let found = DriverHooks::of(argv, Vendors::known()).map(|(_, rest)| rest);
            assert_eq!(found, rest, "{argv:?}");
        }
    }
}
