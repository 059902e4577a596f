//! What is meant to differ from NVIDIA's runtime, and why. Versions: nvidia-container-toolkit 1.20, CDI library 1.1.0.

mod rewrites;

use serde_json::Value;

use crate::peer::bundle::Outcome;
use crate::peer::difference::{Intended, Kind, gives_no_node};
use crate::peer::written::untouched;

/// In the order in which they are made.
pub(crate) const INTENDED: &[Intended] = &[
    Intended {
        name: "a device twice",
        why: "a device that is named twice is one device; the peer makes a device \"none\" of the second",
        kind: Kind::Asking(|theirs, _| is_refused(theirs, "unresolvable CDI devices nvidia.com/gpu=none")),
    },
    Intended {
        name: "ranges",
        why: "\"0-1\" is short for \"0,1\", as it is for other vendors",
        kind: Kind::Asking(|theirs, _| is_refused(theirs, "unresolvable CDI devices nvidia.com/gpu=0-1")),
    },
    Intended {
        name: "other variables",
        why: "each vendor has its variable, and there is one for all; the peer knows NVIDIA's, or those that it is told of",
        kind: Kind::Asking(gives_no_node),
    },
    Intended {
        name: "vendors add up",
        why: "what is asked of one vendor does not undo what is asked of another",
        kind: Kind::Asking(gives_one_vendors),
    },
    Intended {
        name: "our annotation",
        why: "it is for engines that hand on no other wish",
        kind: Kind::Asking(|theirs, before| theirs.is_ok() && before["annotations"]["gpu-runc/gpus"].is_string()),
    },
    Intended {
        name: "our annotation, malformed",
        why: "whoever writes it means something by it",
        kind: Kind::OursRefuses("annotation \"gpu-runc/gpus="),
    },
    Intended {
        name: "hooks of old nerdctl",
        why: "what a hook of the old toolkit was to give is given, and the hook, which would want that toolkit, is taken out",
        kind: Kind::Asking(gives_no_node),
    },
    Intended {
        name: "run",
        why: "BuildKit starts containers with it",
        kind: Kind::Asking(|theirs, before| theirs.as_ref() == Ok(before)),
    },
    Intended {
        name: "members in another case",
        why: "the low-level runtime might read one and we the other",
        kind: Kind::OursRefuses("is spelled differently from"),
    },
    Intended {
        name: "names that are not qualified",
        why: "annotations of CDI hold qualified names and nothing else (CDI pkg/cdi/annotations.go)",
        kind: Kind::OursRefuses("invalid CDI device name \"0\""),
    },
    Intended {
        name: "mounts that name nothing",
        why: "a container does not start without a device that it was meant to have",
        kind: Kind::OursRefuses("names no CDI device"),
    },
    Intended {
        name: "files that are out of date",
        why: "the low-level runtime would fail at the mount, with words that name no file",
        kind: Kind::OursRefuses("is out of date"),
    },
    Intended {
        name: "none without a device of that name",
        why: "a container that wants the driver and no device gets what the files have for all devices",
        kind: Kind::PeerRefuses("unresolvable CDI devices nvidia.com/gpu=none"),
    },
    Intended {
        name: "classes of one letter",
        why: "CDI's grammar has them; the library of the peer stops at them (CDI pkg/parser, before 1.1.1)",
        kind: Kind::PeerRefuses("slice bounds out of range"),
    },
    Intended {
        name: "devices without access",
        why: "CDI has them since 1.1.1",
        kind: Kind::PeerRefuses("unresolvable CDI devices"),
    },
    Intended {
        name: "unknown members",
        why: "a document of a later specification is for the low-level runtime to judge",
        kind: Kind::PeerRefuses("json: unknown field"),
    },
    Intended {
        name: "variables without a value",
        why: "the low-level runtime takes them",
        kind: Kind::PeerRefuses("invalid environment variable: LONELY"),
    },
    Intended {
        name: "a sandbox",
        why: "a pod's pause container runs no program that could use a device",
        kind: Kind::Rewrite(rewrites::sandbox),
    },
    Intended {
        name: "images of an old CUDA",
        why: "an image that says which CUDA it has asks for nothing by that; engines give it no GPU either",
        kind: Kind::Rewrite(rewrites::old_images),
    },
    Intended {
        name: "hooks that give nothing",
        why: "CRI-O and podman put the old toolkit's hook on every container; where nothing is asked it is none of our business",
        kind: Kind::Rewrite(rewrites::hooks_of_nothing),
    },
    Intended {
        name: "hooks taken out",
        why: "the hook that containerd's client runs for old nerdctl is the old toolkit's as well",
        kind: Kind::Rewrite(rewrites::hooks_taken_out),
    },
    Intended {
        name: "untouched members",
        why: "what nobody asked to change stays as it was written: empty members, zeros, and members that are not known",
        kind: Kind::Rewrite(untouched),
    },
    Intended {
        name: "nodes that are there",
        why: "what an engine has put there already stays where it is",
        kind: Kind::Rewrite(rewrites::nodes_that_are_there),
    },
    Intended {
        name: "variables once",
        why: "of a variable that is there twice runc takes the last and other programs the first",
        kind: Kind::Rewrite(rewrites::variables_once),
    },
    Intended {
        name: "numbers looked at",
        why: "a file that was written before the driver was loaded again has numbers that are another driver's by now",
        kind: Kind::Rewrite(rewrites::numbers),
    },
    Intended {
        name: "places once",
        why: "of several entries at one place the low-level runtime would not take ours",
        kind: Kind::Rewrite(rewrites::places_once),
    },
    Intended {
        name: "links to nodes",
        why: "nothing can be made in /dev from outside; a link to a device node is another node",
        kind: Kind::Rewrite(rewrites::links_to_nodes),
    },
    Intended {
        name: "hooks done before",
        why: "what the driver's hooks do is in the root before the container starts, and no process of ours is in it",
        kind: Kind::Rewrite(rewrites::hooks_done),
    },
    Intended {
        name: "hooks once",
        why: "two devices that bring the same hook do not want it run twice",
        kind: Kind::Rewrite(rewrites::hooks_once),
    },
    Intended {
        name: "rules once",
        why: "a rule that is in force already, or of a node that is not there in the end, says nothing",
        kind: Kind::Rewrite(rewrites::rules_once),
    },
    Intended {
        name: "mounts in their order",
        why: "a person's mounts stay in the order in which they were written, and none hides another that it did not",
        kind: Kind::Rewrite(rewrites::mounts_in_order),
    },
];

fn is_refused(theirs: &Outcome, part: &str) -> bool {
    theirs.as_ref().is_err_and(|message| message.contains(part))
}

/// Whether no more than one vendor's devices are given, where the cases ask for two.
fn gives_one_vendors(theirs: &Outcome, _: &Value) -> bool {
    theirs.as_ref().is_ok_and(|document| {
        let text = document.to_string();
        let has_nvidia = text.contains("\"/dev/nvidia");
        !has_nvidia || !(text.contains("\"/dev/dri/") || text.contains("\"NPU="))
    })
}
