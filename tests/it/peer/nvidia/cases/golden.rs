//! The bundles of tests/bundles, as far as they can be asked of the peer.

use std::fs;
use std::path::Path;

use super::Case;
use super::Expect::{self, Alike, OursRefuses, PeerRefuses, Refusal, Told};
use crate::peer::bundle::Container;

/// All of them but those whose document is no JSON, and those with a policy of their own.
pub(super) fn all() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bundles");
    let mut bundles: Vec<_> = fs::read_dir(folder).unwrap().map(|bundle| bundle.unwrap().path()).collect();
    bundles.sort();
    bundles.iter().filter_map(|bundle| read(bundle)).collect()
}

/// Two members of one name, which a value of JSON cannot have.
const NOT_A_VALUE: &str = "duplicate-member";

/// What is expected of those that are not simply alike.
fn expected(name: &str) -> Option<Expect> {
    Some(match name {
        "annotation-beats-env" => Told("our annotation", "nvidia.com/gpu=1"),
        "annotation-count" => Told("our annotation", "nvidia.com/gpu=0,nvidia.com/gpu=1"),
        "annotation-compose" | "no-process-and-no-linux" => Told("our annotation", "nvidia.com/gpu=0"),
        "annotation-driver" => Told("our annotation", "amd.com/gpu=0"),
        "annotation-malformed" => OursRefuses("our annotation, malformed"),
        "annotation-cdi-malformed" => OursRefuses("names that are not qualified"),
        "env-in-another-case" | "member-in-another-case" => OursRefuses("members in another case"),
        "env-none" => PeerRefuses("none without a device of that name"),
        "env-of-any-vendor" => Told("other variables", "amd.com/gpu=1"),
        "env-the-same-device-twice" => Told("a device twice", "nvidia.com/gpu=0"),
        "env-two-vendors" => Told("vendors add up", "nvidia.com/gpu=0,amd.com/gpu=0,amd.com/gpu=1"),
        "every-field-of-runtime-spec-1.3" => PeerRefuses("unknown members"),
        "every-kind-of-edit" => PeerRefuses("devices without access"),
        "hook-of-old-nerdctl" => Told("hooks of old nerdctl", "nvidia.com/gpu=1"),
        _ => return None,
    })
}

fn read(bundle: &Path) -> Option<Case> {
    let name = bundle.file_name().unwrap().to_str().unwrap();
    let config = serde_json::from_slice(&fs::read(bundle.join("config.json")).unwrap()).ok()?;
    let files = fs::read_dir(bundle.join("cdi")).into_iter().flatten().map(|file| file.unwrap().path());
    let cdi = files.map(|file| {
        let name = file.file_name().unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&file).unwrap())
    });
    let container = Container { config, cdi: cdi.collect(), may_ask_by_env: true, verb: "create" };
    let is_refused = bundle.join("expected.error").exists();
    let expect = expected(name).unwrap_or(if is_refused { Refusal } else { Alike });
    let has_policy = bundle.join("gpu-runc.toml").exists();
    (!has_policy && name != NOT_A_VALUE).then(|| Case { name: format!("tests/bundles/{name}"), container, expect })
}
