//! What is in packaging/kubernetes: it parses, says the same twice, and names what the programs know.

mod template;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;
use gpu_runc::cli::Cli;
use serde_json::{Value, json};
use template::render;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/kubernetes")
}

/// The documents of a text.
fn documents(text: &str) -> Vec<Value> {
    let parts =
        text.split("\n---\n").filter(|part| part.lines().any(|line| !line.is_empty() && !line.starts_with('#')));
    parts.map(|part| serde_saphyr::from_str(part).unwrap_or_else(|error| panic!("{error}\n{part}"))).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(folder().join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn manifest(name: &str) -> Value {
    let mut documents = documents(&read(&format!("manifests/{name}.yaml")));
    assert_eq!(documents.len(), 1, "{name}");
    documents.remove(0)
}

fn values() -> Value {
    documents(&read("chart/values.yaml")).remove(0)
}

/// The chart's documents, in the order of their templates' names.
fn chart(values: &Value) -> Vec<Value> {
    let app_version = &documents(&read("chart/Chart.yaml"))[0]["appVersion"];
    let scope = json!({
        "Values": values,
        "Chart": { "AppVersion": app_version },
        "Release": { "Name": "gpu-runc", "Namespace": "gpu-runc" },
    });
    let names = ["daemonset", "runtimeclass", "serviceaccount"];
    names.iter().flat_map(|name| documents(&render(&read(&format!("chart/templates/{name}.yaml")), &scope))).collect()
}

fn container(daemonset: &Value) -> &Value {
    &daemonset["spec"]["template"]["spec"]["containers"][0]
}

fn words(list: &Value) -> Vec<&str> {
    list.as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

/// The same arguments in another order are the same.
fn sorted(mut daemonset: Value) -> Value {
    let container = &mut daemonset["spec"]["template"]["spec"]["containers"][0];
    for pointer in ["/args", "/startupProbe/exec/command", "/readinessProbe/exec/command"] {
        let list = container.pointer_mut(pointer).unwrap().as_array_mut().unwrap();
        list.sort_by_key(ToString::to_string);
    }
    daemonset
}

#[test]
fn the_chart_says_what_the_manifests_say() {
    let [daemonset, runtime_class, account] = chart(&values()).try_into().unwrap();
    assert_eq!(sorted(daemonset), sorted(manifest("daemonset")));
    assert_eq!((runtime_class, account), (manifest("runtimeclass"), manifest("serviceaccount")));
    let mut removing = values();
    removing["action"] = json!("uninstall");
    let [daemonset, account] = chart(&removing).try_into().unwrap();
    assert_eq!(sorted(daemonset), sorted(manifest("uninstall")));
    assert_eq!(account, manifest("serviceaccount"), "pods can have the runtime no more");
}

#[test]
fn every_command_line_is_one_that_the_program_takes() {
    let mut all = values();
    for (key, value) in [
        ("engine", json!("containerd")),
        ("restart", json!("signal")),
        ("hostPID", json!(true)),
        ("setAsDefault", json!(true)),
        ("podAnnotations", json!(true)),
        ("tolerations", json!([])),
        ("maxUnavailable", json!("10%")),
        ("image", json!({"repository": "mine", "tag": "2", "pullPolicy": "Always", "pullSecrets": [{"name": "s"}]})),
        ("runtimeClass", json!({"name": "mine", "scheduling": {"nodeSelector": {"a": "b"}}})),
    ] {
        assert!(!all[key].is_null(), "{key} is no value of the chart");
        all[key] = value;
    }
    let with_all = chart(&all);
    assert_eq!(
        with_all[1],
        json!({"apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": {"name": "mine"},
                                   "handler": "mine", "scheduling": {"nodeSelector": {"a": "b"}}})
    );
    assert_eq!(container(&with_all[0])["image"], "mine:2");
    assert_eq!(with_all[0]["spec"]["template"]["spec"]["hostPID"], true);
    for daemonset in [&with_all[0], &chart(&values())[0], &manifest("daemonset"), &manifest("uninstall")] {
        let container = container(daemonset);
        let [program, probe @ ..] = &words(&container["readinessProbe"]["exec"]["command"])[..] else { panic!() };
        assert!(read("Dockerfile").contains("COPY gpu-runc gpu-ctk /\n") && *program == "/gpu-ctk");
        for line in [words(&container["args"]).as_slice(), probe] {
            let parsed = Cli::try_parse_from([&["gpu-ctk"], line].concat());
            assert!(parsed.is_ok(), "{line:?}: {}", parsed.unwrap_err());
        }
        let wishes = |line: &[&str]| -> Vec<String> {
            let is_wish = |word: &&&str| {
                ["--prefix", "--engine", "--set-", "--pod-", "--runtime-name"].iter().any(|wish| word.starts_with(wish))
            };
            line.iter().filter(is_wish).map(ToString::to_string).collect()
        };
        assert_eq!(wishes(&words(&container["args"])), wishes(probe), "what is asked for is what is looked for");
    }
}

#[test]
fn names_versions_and_paths_are_those_of_the_programs() {
    let version = env!("CARGO_PKG_VERSION");
    let chart = &documents(&read("chart/Chart.yaml"))[0];
    assert_eq!((chart["appVersion"].as_str(), chart["version"].as_str()), (Some(version), Some(version)));
    let daemonset = manifest("daemonset");
    assert_eq!(container(&daemonset)["image"], format!("localhost/gpu-runc:{version}"));
    assert_eq!(container(&manifest("uninstall"))["image"], container(&daemonset)["image"]);
    let spec = &daemonset["spec"];
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    let mount = &container(&daemonset)["volumeMounts"][0];
    assert_eq!(mount["name"], spec["template"]["spec"]["volumes"][0]["name"]);
    assert!(
        words(&container(&daemonset)["args"])
            .contains(&format!("--host-root={}", mount["mountPath"].as_str().unwrap()).as_str())
    );
    let kustomization = manifest("kustomization");
    for name in words(&kustomization["resources"]) {
        let resource = manifest(name.trim_end_matches(".yaml"));
        assert!(!resource["metadata"]["name"].is_null(), "{name}");
    }
    assert!(include_str!("../../src/runtime/journal.rs").contains("\"grant container={container} {grant}\""));
    assert!(
        read("README.md").contains("\n    grant container=ID devices=")
            && read("README.md").contains("/^grant container=/")
    );
    let label = "feature.node.kubernetes.io/gpu-runc";
    assert!(include_str!("../../src/node/steps.rs").contains(&format!("\"{label}\"")));
    for name in ["manifests/runtimeclass.yaml", "chart/values.yaml", "examples/annotation.yaml", "README.md"] {
        assert!(read(name).contains(&format!("{label}.ready")), "{name}");
    }
}

#[test]
fn the_installer_has_no_rights_in_the_cluster() {
    for name in ["namespace", "serviceaccount", "runtimeclass", "daemonset", "uninstall"] {
        let kind = manifest(name)["kind"].as_str().unwrap().to_owned();
        assert!(!kind.contains("Role"), "{name} has a {kind}");
    }
    assert_eq!(manifest("serviceaccount")["automountServiceAccountToken"], false);
    assert_eq!(manifest("daemonset")["spec"]["template"]["spec"]["automountServiceAccountToken"], false);
}

#[test]
fn the_examples_name_the_runtime_class_and_parse() {
    let class = manifest("runtimeclass")["metadata"]["name"].clone();
    let mut pods = 0;
    for entry in fs::read_dir(folder().join("examples")).unwrap() {
        let path = entry.unwrap().path();
        let is_default = path.ends_with("default-runtime.yaml");
        for document in documents(&fs::read_to_string(&path).unwrap()) {
            assert!(
                document["apiVersion"].is_string() && document["metadata"]["name"].is_string(),
                "{}",
                path.display()
            );
            if document["kind"] == "Pod" {
                pods += 1;
                let named = &document["spec"]["runtimeClassName"];
                assert!(if is_default { named.is_null() } else { *named == class }, "{}", path.display());
            }
        }
    }
    assert_eq!(pods, 5);
}
