//! Intended differences: what makes a peer's document, or its answer, ours; and holding two documents against each other.

use std::collections::BTreeSet;

use serde_json::Value;

use super::bundle::Outcome;

/// One difference that is meant to be.
pub(crate) struct Intended {
    /// By which cases name it.
    pub name: &'static str,
    /// Why it is so.
    pub why: &'static str,
    pub kind: Kind,
}

/// What it is in.
pub(crate) enum Kind {
    /// In the document: this makes the peer's ours, looking at nothing but what it must. False if it finds nothing to do.
    Rewrite(fn(&mut Value, &Sight<'_>) -> bool),
    /// In what counts as asking for what: the peer gives the same once it is told the names outright. This holds for what it does
    /// when it is not told.
    Asking(fn(&Outcome, &Value) -> bool),
    /// The peer refuses the container, with a message that has this part.
    PeerRefuses(&'static str),
    /// gpu-runc refuses the container, with a message that has this part.
    OursRefuses(&'static str),
}

/// What a rewrite may look at.
pub(crate) struct Sight<'a> {
    /// config.json before.
    pub before: &'a Value,
    /// What gpu-runc made of it.
    pub ours: &'a Value,
    /// The container edits in the CDI files.
    pub edits: &'a [Value],
    /// The links in the container's root that gpu-runc made: place and target.
    pub links: &'a [(String, String)],
}

impl Sight<'_> {
    /// The members called `list` of all edits.
    pub(crate) fn edited<'a>(&'a self, list: &'a str) -> impl Iterator<Item = &'a Value> {
        self.edits.iter().filter_map(move |edits| edits[list].as_array()).flatten()
    }
}

/// Whether the container has the device nodes that it had, and no other.
pub(crate) fn gives_no_node(theirs: &Outcome, before: &Value) -> bool {
    theirs.as_ref().is_ok_and(|theirs| theirs.pointer("/linux/devices") == before.pointer("/linux/devices"))
}

/// Makes `theirs` ours by the rewrites of `intended`, noting in `used` which were needed. Returns what still differs.
pub(crate) fn compare(
    mut theirs: Value,
    sight: &Sight<'_>,
    intended: &[Intended],
    used: &mut BTreeSet<&'static str>,
) -> Vec<String> {
    for difference in intended {
        if let Kind::Rewrite(rewrite) = difference.kind
            && theirs != *sight.ours
            && rewrite(&mut theirs, sight)
        {
            used.insert(difference.name);
        }
    }
    let mut found = Vec::new();
    differences("", sight.ours, &theirs, &mut found);
    found
}

/// Adds to `found` where two documents differ. Arrays are compared whole.
fn differences(at: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(our), Value::Object(their)) => {
            let names: BTreeSet<&String> = our.keys().chain(their.keys()).collect();
            for name in names {
                let member = |object: &serde_json::Map<String, Value>| object.get(name).cloned();
                match (member(our), member(their)) {
                    (Some(our), Some(their)) => differences(&format!("{at}/{name}"), &our, &their, found),
                    (our, their) => found.push(format!("at {at}/{name}: ours {}, theirs {}", text(our), text(their))),
                }
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("at {at}:\n    ours   {ours}\n    theirs {theirs}")),
    }
}

fn text(value: Option<Value>) -> String {
    value.map_or("has none".to_owned(), |value| value.to_string())
}
