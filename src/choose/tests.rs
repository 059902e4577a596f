//! Tables and properties of the choice.

use super::link::Place;
use super::*;

const LEAST: Rules = Rules { lease: Lease::Shared, pick: Pick::Least, near: Near::None };

/// Devices in shorthand, one a word: the number of holders, then `x` leased exclusively, `t` taken, `m` another model, `o` open,
/// `n` near the CPUs.
fn candidates(text: &str) -> Vec<Candidate> {
    let candidate = |word: &str| {
        let digits = word.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        Candidate {
            holders: digits.parse().unwrap(),
            is_leased: word.contains('x'),
            is_taken: word.contains('t'),
            fits: !word.contains('m'),
            is_open: word.contains('o'),
            is_near_cpus: word.contains('n'),
        }
    };
    text.split(' ').filter(|word| !word.is_empty()).map(candidate).collect()
}

fn chosen(text: &str, count: usize, rules: Rules, links: &dyn Fn(usize, usize) -> Link) -> String {
    match choose(&candidates(text), count, rules, links) {
        Ok(chosen) => chosen.iter().map(ToString::to_string).collect::<Vec<_>>().join(","),
        Err(Shortage { available, existing }) => format!("{available} of {existing}"),
    }
}

fn unconnected(_: usize, _: usize) -> Link {
    Link::System
}

#[test]
fn the_least_held_devices_come_first() {
    let exclusive = Rules { lease: Lease::Exclusive, ..LEAST };
    let first = Rules { pick: Pick::First, ..LEAST };
    let idle = Rules { pick: Pick::Idle, ..LEAST };
    let cpus = Rules { near: Near::Cpus, ..LEAST };
    for (what, devices, count, rules, expected) in [
        ("an idle machine", "0 0 0 0", 2, LEAST, "0,1"),
        ("none", "0 0", 0, LEAST, ""),
        ("all", "0 0", 2, LEAST, "0,1"),
        ("more than there are", "0 0", 3, LEAST, "2 of 2"),
        ("no device", "", 1, LEAST, "0 of 0"),
        ("the first is held", "1 0 0", 1, LEAST, "1"),
        ("all are held", "2 1 2", 1, LEAST, "1"),
        ("equally held", "1 1 1", 2, LEAST, "0,1"),
        ("a free one before held ones", "1 1 0", 2, LEAST, "0,2"),
        ("leased by another", "1x 5 6", 1, LEAST, "1"),
        ("all leased by others", "1x 1x", 1, LEAST, "0 of 2"),
        ("exclusive on an idle machine", "0 0", 1, exclusive, "0"),
        ("exclusive takes what nobody holds", "1 0", 1, exclusive, "1"),
        ("exclusive does not share", "1 0", 2, exclusive, "1 of 2"),
        ("first shares though another is free", "3 0", 1, first, "0"),
        ("first does not break a lease", "1x 2", 1, first, "1"),
        ("taken by the same request", "0t 0", 1, LEAST, "1"),
        ("all taken by the same request", "0t", 1, LEAST, "0 of 0"),
        ("another model", "0m 3", 1, LEAST, "1"),
        ("only another model", "0m 0m", 1, LEAST, "0 of 0"),
        ("an idle one", "0o 0", 1, idle, "1"),
        ("idle is second to holders", "0o 1", 1, idle, "0"),
        ("none is idle", "0o 0o", 1, idle, "0"),
        ("near the CPUs", "0 0 0n", 1, cpus, "2"),
        ("near the CPUs is second to holders", "0 1n", 1, cpus, "0"),
        ("near the CPUs and one more", "0 0 0n", 2, cpus, "0,2"),
    ] {
        assert_eq!(chosen(devices, count, rules, &unconnected), expected, "{what}");
    }
}

/// Eight devices, two below each switch, four on each node.
fn pairs(a: usize, b: usize) -> Link {
    match (a / 2 == b / 2, a / 4 == b / 4) {
        (true, _) => Link::Switch,
        (_, true) => Link::Node,
        _ => Link::System,
    }
}

#[test]
fn a_group_is_well_connected_and_leaves_the_rest_so() {
    let near = Rules { near: Near::Gpus, ..LEAST };
    let free = "0 0 0 0 0 0 0 0";
    // Two hives, which are not in the order of the indices.
    let hives = |a: usize, b: usize| if a % 2 == b % 2 { Link::Direct } else { Link::System };
    // Device 5 says that a link to device 0 is direct; device 0 does not.
    let asymmetric = |a: usize, b: usize| if (a, b) == (5, 0) { Link::Direct } else { pairs(a, b) };
    let lost = |a: usize, b: usize| if a == 0 || b == 0 { Link::System } else { pairs(a, b) };
    let nvswitch = |_: usize, _: usize| Link::Direct;
    type Links<'a> = &'a dyn Fn(usize, usize) -> Link;
    for (what, devices, count, links, expected) in [
        ("a pair", free, 2, &pairs as Links<'_>, "0,1"),
        ("a pair where half of the first is held", "1 0 0 0 0 0 0 0", 2, &pairs, "2,3"),
        ("one leaves whole pairs whole", "1 0 0 0 0 0 0 0", 1, &pairs, "1"),
        ("four on one node", free, 4, &pairs, "0,1,2,3"),
        ("four on the node that has them", "1 0 0 0 0 0 0 0", 4, &pairs, "4,5,6,7"),
        ("three leave a pair whole", free, 3, &pairs, "0,1,2"),
        ("with what is certain", "0 1 1 1 1 1 1 1", 2, &pairs, "0,1"),
        ("with what is certain, far from it", "1 1 1 1 1 1 1 0", 2, &pairs, "6,7"),
        ("all", free, 8, &pairs, "0,1,2,3,4,5,6,7"),
        ("a hive", free, 4, &hives, "0,2,4,6"),
        ("the other hive, where one is lost", "1x 0 0 0 0 0 0 0", 4, &hives, "1,3,5,7"),
        ("more than a hive", free, 5, &hives, "0,1,2,4,6"),
        ("a link that one side has", free, 2, &asymmetric, "0,1"),
        ("a lost device", free, 2, &lost, "2,3"),
        ("all with all", free, 3, &nvswitch, "0,1,2"),
        ("unknown", free, 3, &unconnected, "0,1,2"),
    ] {
        assert_eq!(chosen(devices, count, near, links), expected, "{what}");
    }
    let many = ["0"; 64].join(" ");
    assert_eq!(
        chosen(&many, 8, near, &|a, b| if a / 8 == b / 8 { Link::Direct } else { Link::System }),
        "0,1,2,3,4,5,6,7"
    );
    let held = format!("1 {}", ["0"; 63].join(" "));
    assert_eq!(
        chosen(&held, 8, near, &|a, b| if a / 8 == b / 8 { Link::Direct } else { Link::System }),
        "8,9,10,11,12,13,14,15"
    );
}

#[test]
fn rules_come_from_the_options_the_count_and_the_configuration() {
    let of = |options: Options, count| Rules::of(&options, count, Pick::Least);
    let plain = Options::default();
    assert_eq!(of(plain.clone(), 1), LEAST);
    assert_eq!(of(plain.clone(), 2), Rules { near: Near::Gpus, ..LEAST });
    assert_eq!(of(Options { near: Some(Near::Cpus), ..plain.clone() }, 2), Rules { near: Near::Cpus, ..LEAST });
    assert_eq!(of(Options { pick: Some(Pick::First), ..plain.clone() }, 2), Rules { pick: Pick::First, ..LEAST });
    assert_eq!(Rules::of(&plain, 2, Pick::First), Rules { pick: Pick::First, ..LEAST });
    let lease = Lease::Exclusive;
    assert_eq!(of(Options { lease, ..plain }, 1), Rules { lease, ..LEAST });
}

/// Numbers without a pattern, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

#[test]
fn whatever_the_machine_nobody_shares_a_lease_and_nobody_gets_more_than_the_count() {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    for round in 0..4000 {
        let devices: Vec<Candidate> = (0..random.below(10))
            .map(|_| {
                let holders = random.below(3);
                Candidate {
                    holders,
                    is_leased: holders == 1 && random.below(3) == 0,
                    is_taken: random.below(8) == 0,
                    fits: random.below(8) > 0,
                    is_open: random.below(2) == 0,
                    is_near_cpus: random.below(2) == 0,
                }
            })
            .collect();
        let count = random.below(6);
        let rules = Rules {
            lease: [Lease::Shared, Lease::Exclusive][random.below(2)],
            pick: [Pick::Least, Pick::First, Pick::Idle][random.below(3)],
            near: [Near::None, Near::Cpus, Near::Gpus][random.below(3)],
        };
        let seed = random.below(1 << 20);
        let all = [Link::System, Link::Node, Link::HostBridge, Link::Switches, Link::Switch, Link::Direct, Link::Same];
        let links = |a: usize, b: usize| all[(seed ^ (a * 31 + b * 17)) % all.len()];
        let chosen = choose(&devices, count, rules, &links);
        assert_eq!(chosen, choose(&devices, count, rules, &links), "round {round}: deterministic");
        match chosen {
            Ok(chosen) => {
                assert_eq!(chosen.len(), count, "round {round}");
                assert!(chosen.windows(2).all(|two| two[0] < two[1]), "round {round}: each once, in order");
                for index in chosen {
                    let device = &devices[index];
                    assert!(device.fits && !device.is_taken && !device.is_leased, "round {round}");
                    assert!(rules.lease == Lease::Shared || device.holders == 0, "round {round}");
                }
            }
            Err(Shortage { available, existing }) => {
                assert!(available < count && available <= existing && existing <= devices.len(), "round {round}");
            }
        }
    }
}

/// As a queue of containers does it: each gets what the ones before left.
#[test]
fn exclusive_leases_never_overlap_however_many_ask() {
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for _ in 0..200 {
        let mut devices = vec![Candidate { fits: true, ..Candidate::default() }; 8];
        for _ in 0..16 {
            let lease = [Lease::Shared, Lease::Exclusive][random.below(2)];
            let rules = Rules { lease, pick: Pick::Least, near: Near::Gpus };
            let Ok(chosen) = choose(&devices, 1 + random.below(3), rules, &pairs) else { continue };
            for index in chosen {
                assert!(!devices[index].is_leased);
                assert!(lease == Lease::Shared || devices[index].holders == 0);
                devices[index].holders += 1;
                devices[index].is_leased = lease == Lease::Exclusive;
            }
        }
    }
}

#[test]
fn the_topology_of_an_eight_gpu_machine_gives_its_switch_pairs() {
    let place = |gpu: usize| Place {
        path: [
            "pci",
            &format!("root{}", gpu / 4),
            &format!("up{}", gpu / 2),
            &format!("down{gpu}"),
            &format!("gpu{gpu}"),
        ]
        .map(str::to_owned)
        .to_vec(),
        numa: Some(gpu as u64 / 4),
        hive: None,
    };
    let links = |a: usize, b: usize| Link::between(&place(a), &place(b));
    let near = Rules { near: Near::Gpus, ..LEAST };
    assert_eq!(chosen("0 0 0 0 0 0 0 0", 2, near, &links), "0,1");
    assert_eq!(chosen("1 0 0 0 0 0 0 0", 2, near, &links), "2,3");
    assert_eq!(chosen("1 0 0 1 0 0 0 0", 2, near, &links), "4,5");
}
