//! critest, the suite of the CRI's authors, with runc as the handler and with gpu-runc: each of its tests ends alike.
//!
//! Its own images cannot be pulled here. A registry of the session's gives it busybox for each of them, so that some of its tests
//! fail: with runc as well.

use std::collections::BTreeMap;
use std::thread;

use serde_json::Value;

use super::super::engine::IMAGE;
use super::super::place::Place;
use super::super::{engine_for_test, host, installation};
use super::{Node, connected};
use crate::scratch::{program_on_path, skip};

/// What is about images, the network and streams: the runtime has no part in it, and it takes minutes.
const SKIPPED: &str = "benchmark|[Ii]mage|Networking|Streaming|port-forward|DNS|NRI";
/// How many of its tests pass at least, so that two runs that fail alike are not taken for success.
const ENOUGH: usize = 40;

#[test]
fn critest_ends_with_gpu_runc_as_with_runc() {
    let Some(critest) = Place::of("critest").and_then(|place| place.program("critest")) else {
        return skip("engines::critest", "critest not on PATH or in GPU_RUNC_ENGINES (hack/engines cri-tools)");
    };
    for place in Place::all("containerd") {
        let test = place.named("engines::critest");
        if program_on_path("python3").is_none() {
            return skip(&test, "python3 not on PATH (apt-get install python3)");
        }
        let Some(engine) = engine_for_test(&test, &place, &installation::CRI) else { continue };
        let node = connected(engine, false);
        host::describe(&node.engine.session.scratch);
        node.engine.configure("");
        serve_images(&node);
        let critest = critest.display().to_string();
        let (node, critest) = (&node, &critest);
        let [plain, ours] = thread::scope(|scope| {
            let runs = ["runc", "gpu-runc"].map(|handler| scope.spawn(move || ends(node, critest, handler, None)));
            runs.map(|run| run.join().unwrap())
        });
        let differing: Vec<&String> =
            ours.keys().filter(|name| ended(ours.get(*name)) != ended(plain.get(*name))).collect();
        // A busy machine makes a test late now and then: what differs is tried once more, alone.
        let again = differing.into_iter().filter(|name| {
            let [plain, ours] = ["runc", "gpu-runc"].map(|handler| ends(node, critest, handler, Some(name)));
            ended(plain.get(*name)) != ended(ours.get(*name))
        });
        let differing: Vec<_> = again.map(|name| (name, &plain[name], &ours[name])).collect();
        assert!(differing.is_empty(), "{test}: with runc and with gpu-runc: {differing:#?}");
        let passed = ours.values().filter(|state| *state == "passed").count();
        let ran = ours.values().filter(|state| *state != "skipped").count();
        eprintln!("{test}: {ran} tests ran, {passed} passed, alike with runc and gpu-runc");
        assert!(passed >= ENOUGH, "{test}: only {passed} tests passed: {ours:#?}");
    }
}

/// `passed`, `failed` or `skipped`, without what it says of a failure: that has names and times in it.
fn ended(state: Option<&String>) -> Option<&str> {
    state.map(|state| state.split(':').next().unwrap_or_default())
}

fn serve_images(node: &Node) {
    let session = &node.engine.session;
    session.spawn(&["ip", "link", "set", "lo", "up"].map(str::to_owned)).wait();
    let script = session.scratch.write("registry.py", include_str!("registry.py")).display().to_string();
    session.spawn(&["python3", &script, &session.scratch.text("image"), "5000"].map(str::to_owned));
}

/// How each of critest's tests ends with a handler, or the one of this name: `passed`, `skipped`, or `failed: …`.
fn ends(node: &Node, critest: &str, handler: &str, only: Option<&str>) -> BTreeMap<String, String> {
    let scratch = &node.engine.session.scratch;
    let socket = format!("unix://{}", scratch.text("containerd.sock"));
    let name = format!("critest-{handler}.json");
    let report = scratch.text(&name);
    let images = scratch
        .write("critest-images.yaml", &format!("defaultTestContainerImage: {IMAGE}\nwebServerTestImage: {IMAGE}\n"));
    let focus = only.map(|name| format!("--ginkgo.focus={}", regex_of(name)));
    let line = [
        "timeout",
        "400",
        critest,
        &format!("--runtime-endpoint={socket}"),
        &format!("--image-endpoint={socket}"),
        &format!("--runtime-handler={handler}"),
        &format!("--test-images-file={}", images.display()),
        "--registry-prefix=localhost:5000",
        &format!("--ginkgo.json-report={report}"),
        &format!("--ginkgo.skip={SKIPPED}"),
        "--ginkgo.no-color",
    ];
    let line: Vec<String> = line.into_iter().map(str::to_owned).chain(focus).collect();
    let outcome = node.engine.session.spawn(&line).wait();
    let Ok(suites) = serde_json::from_str::<Value>(&scratch.read(&name)) else {
        panic!("{handler}: no report: {outcome:?}");
    };
    std::fs::remove_file(&report).unwrap();
    let specs = suites[0]["SpecReports"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let name = |spec: &Value| {
        let containers = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten().map(text);
        containers.chain([text(&spec["LeafNodeText"])]).collect::<Vec<_>>().join(" ")
    };
    let state = |spec: &Value| match text(&spec["State"]) {
        failed if failed == "failed" => format!("{failed}: {}", text(&spec["Failure"]["Message"])),
        state => state,
    };
    specs.filter(|spec| spec["LeafNodeType"] == "It").map(|spec| (name(spec), state(spec))).collect()
}

/// A regular expression that only this text fits.
fn regex_of(name: &str) -> String {
    name.chars().flat_map(|c| [Some('\\').filter(|_| !c.is_alphanumeric() && c != ' '), Some(c)]).flatten().collect()
}
