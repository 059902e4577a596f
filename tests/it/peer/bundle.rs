//! One container as two runtimes see it: a bundle, CDI files, and what becomes of its config.json.
//!
//! Knows how each runtime is configured alike; judges nothing.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::scratch::Scratch;

/// What stands for the scratch folder in configurations and CDI files.
const HERE: &str = "HERE";

/// What became of a config.json, or what the runtime said.
pub(crate) type Outcome = Result<Value, String>;

/// A container that is to be made.
#[derive(Debug, Clone)]
pub(crate) struct Container {
    /// Its config.json.
    pub config: Value,
    /// CDI files: name and text.
    pub cdi: Vec<(String, String)>,
    /// Whether an unprivileged container may ask by its environment.
    pub may_ask_by_env: bool,
    /// The low-level runtime's command.
    pub verb: &'static str,
}

/// The container's bundle, and all that is beside it.
#[derive(Debug)]
pub(crate) struct Bundle {
    pub scratch: Scratch,
    /// config.json before.
    pub before: Value,
}

impl Bundle {
    /// Makes the bundle of `container` anew.
    pub(crate) fn new(container: &Container) -> Self {
        let scratch = Scratch::new();
        let here = scratch.text("");
        let here = |text: &str| text.replace(HERE, here.trim_end_matches('/'));
        for folder in ["cdi", "bundle/rootfs/dev", "bundle/rootfs/usr/lib"] {
            fs::create_dir_all(scratch.path(folder)).unwrap();
        }
        for file in ["a", "b", "libcuda.so.1.1"] {
            scratch.write(&format!("driver/{file}"), "");
        }
        for (name, text) in &container.cdi {
            scratch.write(&format!("cdi/{name}"), &here(text));
        }
        let before = here(&container.config.to_string());
        scratch.write("bundle/config.json", &before);
        Bundle { before: serde_json::from_str(&before).unwrap(), scratch }
    }

    /// What gpu-runc makes of `container`. A file that says the same afterwards is the very same file.
    pub(crate) fn ours(container: &Container) -> (Self, Outcome) {
        let bundle = Bundle::new(container);
        let env = if container.may_ask_by_env { "always" } else { "privileged" };
        let config = format!(
            "runtimes = [\"/bin/true\"]\n[log]\nsyslog = false\n[cdi]\nspec-dirs = [{:?}]\n[inject]\ngenerate = \"never\"\n[policy]\nenv = {env:?}\n",
            bundle.scratch.path("cdi")
        );
        bundle.scratch.write("gpu-runc.toml", &config);
        let text = bundle.scratch.read("bundle/config.json");
        let program = Path::new(env!("CARGO_BIN_EXE_gpu-runc"));
        let outcome = bundle.run(program, ("GPU_RUNC_CONFIG", "gpu-runc.toml"), container.verb);
        if outcome.as_ref().map_or(true, |after| *after == bundle.before) {
            assert_eq!(bundle.scratch.read("bundle/config.json"), text, "the file is rewritten for nothing");
        }
        (bundle, outcome)
    }

    /// What NVIDIA's runtime at `program` makes of `container`; `lenient` lets it pass over members that it does not know.
    pub(crate) fn nvidia(container: &Container, program: &Path, lenient: bool) -> (Self, Outcome) {
        let bundle = Bundle::new(container);
        let config = format!(
            "accept-nvidia-visible-devices-as-volume-mounts = true\n\
             accept-nvidia-visible-devices-envvar-when-unprivileged = {}\n\
             swarm-resource = \"DOCKER_RESOURCE_NVIDIA-GPU\"\n\
             [features]\nallow-unknown-oci-spec-fields = {lenient}\n\
             [nvidia-container-runtime]\nruntimes = [\"/bin/true\"]\nmode = \"cdi\"\n\
             [nvidia-container-runtime.modes.cdi]\nspec-dirs = [{:?}]\n",
            container.may_ask_by_env,
            bundle.scratch.path("cdi")
        );
        bundle.scratch.write("peer.toml", &config);
        let outcome = bundle.run(program, ("NVIDIA_CTK_CONFIG_FILE_PATH", "peer.toml"), container.verb);
        (bundle, outcome)
    }

    /// Runs `program`, whose configuration the variable names, on the bundle.
    fn run(&self, program: &Path, (variable, config): (&str, &str), verb: &str) -> Outcome {
        let bundle = self.scratch.path("bundle");
        let mut command = Command::new(program);
        command.env(variable, self.scratch.path(config)).current_dir(self.scratch.path(""));
        let output = command.args([verb, "--bundle"]).arg(bundle).arg("c").output().unwrap();
        match output.status.success() {
            true => Ok(serde_json::from_str(&self.scratch.read("bundle/config.json")).unwrap()),
            false => Err(String::from_utf8_lossy(&output.stderr).trim().replace(&self.scratch.text(""), "HERE/")),
        }
    }

    /// `value`, in which nothing says where the bundle is: two runtimes have one each.
    pub(crate) fn placeless(&self, value: &Value) -> Value {
        serde_json::from_str(&value.to_string().replace(self.scratch.text("").trim_end_matches('/'), HERE)).unwrap()
    }
}

/// A container of an engine: an environment, the mounts that all have, and the rule that no device may be used.
pub(crate) fn config(env: &[&str]) -> Value {
    let env: Vec<&str> = ["PATH=/usr/bin:/bin", "HOME=/root"].iter().chain(env).copied().collect();
    json!({
        "ociVersion": "1.0.2",
        "process": {"user": {"uid": 0, "gid": 0}, "args": ["sh"], "env": env, "cwd": "/"},
        "root": {"path": "rootfs"},
        "hostname": "c",
        "mounts": [{"destination": "/proc", "type": "proc", "source": "proc"}],
        "linux": {"resources": {"devices": [{"allow": false, "access": "rwm"}]}, "namespaces": [{"type": "mount"}]},
    })
}

/// `config`, in which the members of `patch` are set.
pub(crate) fn with(mut config: Value, patch: &Value) -> Value {
    fn merge(to: &mut Value, from: &Value) {
        match (to, from) {
            (Value::Object(to), Value::Object(from)) => {
                from.iter().for_each(|(name, value)| merge(to.entry(name).or_insert(Value::Null), value));
            }
            (to, from) => *to = from.clone(),
        }
    }
    merge(&mut config, patch);
    config
}
