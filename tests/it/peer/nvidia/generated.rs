//! Files that gpu-ctk writes for the fake hosts, given to containers by NVIDIA's runtime and by ours.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use gpu_runc::cdi;
use serde_json::{Value, json};

use super::intended::INTENDED;
use crate::hosts;
use crate::peer::bundle::{Outcome, config, with};
use crate::peer::difference::{Sight, compare};
use crate::peer::{inside, peer};
use crate::scratch::{program_on_path, skip};

/// What NVIDIA's runtime, in the root that is the host, makes of `config`.
fn theirs(root: &Path, config: &Value) -> Outcome {
    hosts::put(root, "bundle/config.json", &config.to_string());
    hosts::put(
        root,
        "peer.toml",
        "[nvidia-container-runtime]\nruntimes = [\"/bin/runc\"]\nmode = \"cdi\"\n[nvidia-container-runtime.modes.cdi]\nspec-dirs = [\"/cdi\"]\n",
    );
    let mut command = inside::command(root, &["nvidia-container-runtime", "create", "--bundle", "/bundle", "c"]);
    let output = command.env("NVIDIA_CTK_CONFIG_FILE_PATH", "/peer.toml").output().unwrap();
    match output.status.success() {
        true => Ok(serde_json::from_str(&fs::read_to_string(root.join("bundle/config.json")).unwrap()).unwrap()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}

#[test]
fn what_ours_describes_is_given_alike_by_nvidias_runtime() {
    let test = "files of ours through NVIDIA's runtime";
    let Some(program) = peer("nvidia-container-runtime", test) else { return };
    let Some(busybox) = program_on_path("busybox").filter(|_| nix::unistd::geteuid().is_root()) else {
        return skip(test, "needs root and busybox");
    };
    let mut failures = Vec::new();
    let mut hosts_with_devices = 0;
    for name in fs::read_dir(hosts::folder()).unwrap().map(|host| host.unwrap().file_name().into_string().unwrap()) {
        let Some(host) = hosts::make(&[&name]) else { return };
        let root = host.path();
        // A hook of the file stays one in both.
        hosts::configure(root, "[inject]\nhooks = \"keep\"\n");
        if !hosts::ctk(root, &["cdi", "generate"]).status.success() {
            assert_eq!(name, "none", "it has devices");
            continue;
        }
        inside::put(root, &program, &busybox);
        for file in
            fs::read_dir(root.join("cdi")).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap())
        {
            hosts_with_devices += 1;
            let spec = cdi::parse(&file).unwrap();
            let last = spec.devices.last().unwrap();
            let device = spec.devices.iter().find(|device| device.name == "all").unwrap_or(last);
            let wish = json!({"annotations": {"cdi.k8s.io/x": format!("{}={}", spec.kind, device.name)}});
            let before = with(config(&["A=b"]), &wish);
            let (ours, theirs) = match (hosts::start(root, &before), theirs(root, &before)) {
                (Ok(ours), Ok(theirs)) => (ours, theirs),
                (ours, theirs) => panic!("{name}: ours {ours:?}\n    theirs {theirs:?}"),
            };
            let text = ours.to_string().replace(root.to_str().unwrap(), "");
            let ours: Value = serde_json::from_str(&text).unwrap();
            let parsed: Value = serde_json::from_str(&file).unwrap();
            let devices = parsed["devices"].as_array().unwrap().iter();
            let edits: Vec<Value> =
                devices.chain([&parsed]).map(|part| part["containerEdits"].clone()).filter(Value::is_object).collect();
            let sight = Sight { before: &before, ours: &ours, edits: &edits, links: &[] };
            let found = compare(theirs, &sight, INTENDED, &mut BTreeSet::new());
            if !found.is_empty() {
                failures.push(format!("{name}, {}={}:\n  {}", spec.kind, device.name, found.join("\n  ")));
            }
        }
    }
    assert!(failures.is_empty(), "{} differ:\n{}", failures.len(), failures.join("\n"));
    assert!(hosts_with_devices > 15, "{hosts_with_devices}");
}
