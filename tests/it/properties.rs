//! The fuzz targets of tests/fuzz as properties: each body on its seeds and on texts made of them, the same in every run.
//!
//! `GPU_RUNC_SEEDS=DIR` writes the seeds to a folder for each target, for hack/fuzz.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::time::{Duration, Instant};

#[path = "../fuzz/src/targets/mod.rs"]
mod targets;

use targets::{TARGETS, Target};

/// How many texts each target gets beside its seeds.
const ROUNDS: usize = 1_500;
/// No input of this size takes a millisecond; a machine with much else to do gets a thousand times as long.
const LONGEST: Duration = Duration::from_secs(2);
/// Inputs do not grow beyond this.
const LARGEST: usize = 16 * 1024;

/// Chance, the same in every run (xorshift64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(sides.max(1)).unwrap()).unwrap()
    }

    fn part<'a>(&mut self, of: &'a [u8]) -> &'a [u8] {
        let start = self.roll(of.len() + 1);
        let length = self.roll((of.len() - start).min(64) + 1);
        &of[start..start + length]
    }
}

/// Breaks an input in a few places.
fn mutated(dice: &mut Dice, seeds: &[Vec<u8>], words: &[&str]) -> Vec<u8> {
    let mut input = seeds[dice.roll(seeds.len())].clone();
    for _ in 0..=dice.roll(4) {
        let at = dice.roll(input.len() + 1);
        let end = at + dice.roll((input.len() - at).min(32) + 1);
        let word = words[dice.roll(words.len())].as_bytes();
        match dice.roll(9) {
            0 => drop(input.splice(at..at, word.iter().copied())),
            1 => drop(input.splice(at..end, word.iter().copied())),
            2 => drop(input.drain(at..end)),
            3 => input.truncate(at),
            4 => drop(input.splice(at..at, word.repeat(dice.roll(300)))),
            5 => {
                let other = &seeds[dice.roll(seeds.len())];
                let other = dice.part(other).to_vec();
                drop(input.splice(at..end, other));
            }
            6 => {
                let own = dice.part(&input).to_vec();
                drop(input.splice(at..at, own));
            }
            7 if at < input.len() => input[at] ^= 1 << dice.roll(8),
            _ if at < input.len() => input[at] = [0, 1, 0x7f, 0x80, 0xff][dice.roll(5)],
            _ => {}
        }
    }
    input.truncate(LARGEST);
    input
}

/// Runs the body on one input; a panic is told with the input that led to it.
fn check(target: &Target, input: &[u8]) {
    let begun = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| (target.body)(input)));
    assert!(outcome.is_ok(), "{}: {}", target.name, input.escape_ascii());
    assert!(begun.elapsed() < LONGEST, "{}: {:?}: {}", target.name, begun.elapsed(), input.escape_ascii());
}

fn holds(name: &str) {
    let target = targets::find(name).unwrap();
    let seeds = (target.seeds)(Path::new(env!("CARGO_MANIFEST_DIR")));
    seeds.iter().for_each(|seed| check(target, seed));
    let mut dice = Dice(0x6770_7572_756e_6300 | 1);
    for _ in 0..ROUNDS {
        check(target, &mutated(&mut dice, &seeds, target.words));
    }
}

/// A test for each target, so that they run side by side and each is told by its name.
macro_rules! properties {
    ($($name:ident)*) => {
        $(#[test] fn $name() { holds(stringify!($name)); })*

        #[test]
        fn every_target_is_a_property() {
            assert_eq!([$(stringify!($name)),*].to_vec(), TARGETS.iter().map(|target| target.name).collect::<Vec<_>>());
        }
    };
}

properties! {
    argv document apply cdi_json cdi_yaml names gpus variables container docker containerd drop_ins compose config import
    hook ldcache elf pattern
}

#[test]
fn seeds_are_many_and_can_be_written_out() {
    let folder = std::env::var_os("GPU_RUNC_SEEDS");
    for target in TARGETS {
        let seeds = (target.seeds)(Path::new(env!("CARGO_MANIFEST_DIR")));
        assert!(!seeds.is_empty(), "{}", target.name);
        let Some(folder) = folder.as_ref().map(|folder| Path::new(folder).join(target.name)) else { continue };
        fs::create_dir_all(&folder).unwrap();
        for (number, seed) in seeds.iter().enumerate() {
            fs::write(folder.join(format!("seed-{number}")), seed).unwrap();
        }
    }
}

#[test]
fn every_variable_that_the_table_of_vendors_names_is_fuzzed() {
    let names = targets::variables();
    // The first byte of an input picks one.
    assert!(names.len() <= 256, "{}", names.len());
    for name in [
        "GPU_VISIBLE_DEVICES",
        "NVIDIA_VISIBLE_DEVICES",
        "NVIDIA_DRIVER_CAPABILITIES",
        "NVIDIA_REQUIRE_CUDA",
        "NVIDIA_REQUIRE_DRIVER",
        "NVIDIA_DISABLE_REQUIRE",
        "CUDA_VERSION",
        "MTHREADS_DRIVER_CAPABILITIES",
        "ASCEND_RUNTIME_MOUNTS",
        "ASCEND_RUNTIME_OPTIONS",
        "DOCKER_RESOURCE_NVIDIA_GPU",
    ] {
        assert!(names.iter().any(|known| known == name), "{name} is not in {names:?}");
    }
}

#[test]
fn every_target_can_be_fuzzed() {
    let fuzz = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).unwrap();
    for target in TARGETS {
        let path = format!("fuzz_targets/{}.rs", target.name);
        assert!(manifest.contains(&format!("path = \"{path}\"")), "{path} is not in the manifest");
        assert!(fs::read_to_string(fuzz.join(&path)).unwrap().contains(&format!("\"{}\"", target.name)), "{path}");
    }
}
