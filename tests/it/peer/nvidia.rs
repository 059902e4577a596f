//! NVIDIA's runtime in mode `cdi`: every way to ask that it knows, every kind of edit, and documents of many shapes.

mod cases;
mod generated;
mod intended;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::Value;

use super::bundle::{Bundle, Outcome};
use super::difference::{Intended, Kind, Sight, compare};
use super::peer;
use cases::{Case, Expect};
use intended::INTENDED;

/// What a container asks for where the peer has to be told outright. It goes before all else there.
const TOLD: &str = "cdi.k8s.io/told";

/// One comparison: what it needed of the list goes to `used`; the error says what differs.
fn check(case: &Case, program: &Path, used: &mut BTreeSet<&'static str>) -> Result<(), String> {
    let (bundle, ours) = Bundle::ours(&case.container);
    let (theirs_in, theirs) = Bundle::nvidia(&case.container, program, false);
    match (&case.expect, ours, theirs) {
        (Expect::Alike, Ok(ours), Ok(theirs)) => same(&bundle, &ours, theirs_in.placeless(&theirs), case, used),
        (Expect::Refusal, Err(ours), Err(theirs)) => {
            println!("{}: both refuse\n    ours   {ours}\n    theirs {}", case.name, first(&theirs));
            Ok(())
        }
        (Expect::Told(name, devices), Ok(ours), theirs) => {
            let Kind::Asking(holds) = kind(name) else { return Err(format!("{name:?} is no difference in asking")) };
            let theirs = theirs.map(|document| theirs_in.placeless(&document));
            if !holds(&theirs, &theirs_in.placeless(&theirs_in.before)) {
                return Err(format!("{name:?} does not say what the peer does: {}", shown(&theirs)));
            }
            used.insert(name);
            let (told, outcome) = Bundle::nvidia(&case.told(TOLD, devices), program, false);
            same(&bundle, &ours, untold(told.placeless(&outcome?), &bundle.before), case, used)
        }
        (Expect::PeerRefuses(name), Ok(ours), Err(theirs)) => {
            let Kind::PeerRefuses(part) = kind(name) else { return Err(format!("{name:?} is no refusal of theirs")) };
            if !theirs.contains(part) {
                return Err(format!("the peer says {theirs}"));
            }
            used.insert(name);
            println!("{}: {}\n    theirs {}", case.name, why(name), first(&theirs));
            // Where it can be made to go on, what it then does is compared, too.
            match Bundle::nvidia(&case.container, program, true) {
                (lenient, Ok(theirs)) => same(&bundle, &ours, lenient.placeless(&theirs), case, used),
                (_, Err(_)) => Ok(()),
            }
        }
        (Expect::OursRefuses(name), Err(ours), Ok(_)) => {
            let Kind::OursRefuses(part) = kind(name) else { return Err(format!("{name:?} is no refusal of ours")) };
            used.insert(name);
            println!("{}: {}\n    ours   {ours}", case.name, why(name));
            if ours.contains(part) { Ok(()) } else { Err(format!("gpu-runc says {ours}")) }
        }
        (_, ours, theirs) => Err(format!("ours {}\n    theirs {}", shown(&ours), shown(&theirs))),
    }
}

fn same(
    bundle: &Bundle,
    ours: &Value,
    theirs: Value,
    case: &Case,
    used: &mut BTreeSet<&'static str>,
) -> Result<(), String> {
    let mut links = Vec::new();
    links_below(&bundle.scratch.path("bundle/rootfs"), "", &mut links);
    let edits = case.edits();
    let (before, ours) = (bundle.placeless(&bundle.before), bundle.placeless(ours));
    let sight = Sight { before: &before, ours: &ours, edits: &edits, links: &links };
    let found = compare(theirs, &sight, INTENDED, used);
    if found.is_empty() { Ok(()) } else { Err(found.join("\n  ")) }
}

/// The document without what the peer was told.
fn untold(mut document: Value, before: &Value) -> Value {
    if let Some(annotations) = document["annotations"].as_object_mut() {
        annotations.remove(TOLD);
    }
    if before.get("annotations").is_none() {
        document.as_object_mut().unwrap().remove("annotations");
    }
    document
}

fn links_below(root: &Path, place: &str, links: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(root.join(place.trim_start_matches('/'))).unwrap().map(Result::unwrap) {
        let place = format!("{place}/{}", entry.file_name().to_str().unwrap());
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            links_below(root, &place, links);
        } else if kind.is_symlink() {
            links.push((place, fs::read_link(entry.path()).unwrap().to_str().unwrap().to_owned()));
        }
    }
}

/// A program that stops in the middle says a lot.
fn first(message: &str) -> &str {
    message.lines().next().unwrap_or_default()
}

fn kind(name: &str) -> &'static Kind {
    &entry(name).kind
}

fn why(name: &str) -> &'static str {
    entry(name).why
}

fn entry(name: &str) -> &'static Intended {
    INTENDED.iter().find(|entry| entry.name == name).unwrap_or_else(|| panic!("{name:?} is not in the list"))
}

fn shown(outcome: &Outcome) -> String {
    outcome.as_ref().map_or_else(|error| format!("refuses: {error}"), |document| format!("makes {document}"))
}

#[test]
fn the_same_bundle_becomes_what_nvidias_runtime_makes_of_it_but_for_what_is_meant_to_differ() {
    let Some(program) = peer("nvidia-container-runtime", "NVIDIA's runtime beside ours") else { return };
    let cases = cases::all();
    let mut used = BTreeSet::new();
    let failures: Vec<String> = cases
        .iter()
        .filter_map(|case| Some(format!("{}:\n  {}", case.name, check(case, &program, &mut used).err()?)))
        .collect();
    assert!(failures.is_empty(), "{} of {} differ:\n{}", failures.len(), cases.len(), failures.join("\n"));
    let unused: Vec<_> = INTENDED.iter().map(|entry| entry.name).filter(|name| !used.contains(name)).collect();
    assert!(unused.is_empty(), "no case needs {unused:?}: these are no differences");
    println!("{} cases, {} intended differences", cases.len(), INTENDED.len());
}
