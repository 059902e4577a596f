//! `[policy]` of the configuration file: who may ask.
//!
//! Only what the keys are called and may hold; applying them is the work of the request.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{DockerGpus, PATH};
use crate::error::Escaped;

/// `[policy]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Policy {
    /// Whose environment variables may ask.
    pub env: Who,
    /// Who may have devices that reach beyond the container's own: MIG's configuration, IMEX channels, the control node of NVSwitches,
    /// and every CDI kind that says so by its name.
    pub management: Who,
    /// Whether annotations may ask.
    pub annotations: bool,
    /// Prefixes of the annotations that hold qualified CDI names.
    pub annotation_prefixes: Vec<String>,
    /// Whether mounts below `/var/run/nvidia-container-devices` may ask.
    pub mounts: bool,
    /// What becomes of a container whose request the policy refuses.
    pub refused: Refused,
    /// Who can lease devices exclusively. Containers of pods never can.
    pub exclusive: Exclusive,
    /// What holds for pods in place of the above.
    pub pods: Pods,
    /// Whose devices a hook of Docker's `--gpus` asks for: `inject.docker-gpus`.
    #[serde(skip)]
    pub docker_gpus: DockerGpus,
    /// The file that says so, or that could: refusals name it.
    #[serde(skip)]
    pub file: PathBuf,
}

/// `[policy.pods]`: what holds, in place of `[policy]`'s keys of the same names, for containers of Kubernetes pods. Whoever may
/// create a pod writes its environment, and often its annotations: there they are no word of the cluster's.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pods {
    /// Whose environment variables may ask.
    pub env: Who,
    /// Whether annotations may ask.
    pub annotations: bool,
    /// What becomes of a container whose request the policy refuses.
    pub refused: Refused,
    /// The namespaces of pods for which `[policy]` holds as for any other container; `*` is all of them, as long as nobody says that the
    /// cluster has several tenants.
    pub namespaces: Vec<String>,
}

/// Which containers may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Who {
    /// Every one.
    Always,
    /// Those with `CAP_SYS_ADMIN` and without a user namespace.
    Privileged,
    /// None.
    Never,
}

/// What becomes of a container whose request the policy refuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Refused {
    /// It starts without; a line in the log.
    Warn,
    /// It does not start if devices were named to gpu-runc. An image's `all` is passed over, with a line in the log, and so are
    /// CDI annotations, on which engines with CDI of their own have acted.
    Explicit,
    /// It does not start.
    Error,
}

/// Who can lease devices exclusively.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Exclusive {
    /// Annotations, which engines take from the command line and from compose files. An image's environment cannot.
    Annotations,
    /// Every source.
    Always,
    /// Containers with `CAP_SYS_ADMIN`.
    Privileged,
    /// None.
    Never,
}

impl Default for Policy {
    fn default() -> Self {
        Policy {
            env: Who::Always,
            management: Who::Privileged,
            annotations: true,
            annotation_prefixes: vec!["cdi.k8s.io/".to_owned()],
            mounts: true,
            refused: Refused::Warn,
            exclusive: Exclusive::Annotations,
            pods: Pods::default(),
            docker_gpus: DockerGpus::Any,
            file: PATH.into(),
        }
    }
}

impl Default for Pods {
    fn default() -> Self {
        Pods { env: Who::Never, annotations: false, refused: Refused::Explicit, namespaces: vec!["*".to_owned()] }
    }
}

impl Policy {
    /// What is wrong beyond the words that a key may hold: the key, and what would be right.
    pub(super) fn fault(&self) -> Option<(&'static str, String)> {
        if self.annotation_prefixes.iter().any(String::is_empty) {
            let message =
                "policy.annotation-prefixes holds \"\", which would take every annotation for a list of devices";
            return Some(("policy.annotation-prefixes", message.to_owned()));
        }
        let wrong = self.pods.namespaces.iter().find(|name| *name != "*" && !is_label(name))?;
        let message = format!(
            "policy.pods.namespaces holds {}, which no namespace is called; write whole names, or \"*\" for all",
            Escaped::quoted(wrong)
        );
        Some(("policy.pods.namespaces", message))
    }
}

/// Whether Kubernetes would take it for a name of a namespace.
fn is_label(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}
