//! Who may ask: the one place where the policy of the configuration is applied to a request.
//!
//! Pure. Says nothing about which devices may be had.

use crate::config::{Exclusive, Pods, Policy, Refused, Who};
use crate::error::Escaped;
use crate::oci::view::View;

use super::{ANNOTATION as GPUS, Source};

/// Annotations of managers that let an image's environment through to where an engine's word would be: a hook beside it may
/// come from a folder of hooks that are put on every container.
const MANAGED: [&str; 3] = ["io.kubernetes.cri.", "io.kubernetes.cri-o.", "io.container.manager"];

/// The rules that hold for one container.
#[derive(Debug)]
pub(super) struct Rules<'a> {
    view: &'a View<'a>,
    policy: &'a Policy,
    /// Where it is in a pod that has no exemption, and the namespaces that the pod is said to be in and that are not listed.
    pods: Option<(&'a Pods, Vec<&'a str>)>,
}

impl<'a> Rules<'a> {
    /// The rules of `policy` for the container of `view`.
    pub(super) fn of(view: &'a View<'a>, policy: &'a Policy) -> Self {
        let is_listed = |namespace: &str| policy.pods.namespaces.iter().any(|listed| listed == namespace);
        let not_exempt = |said: Vec<&'a str>| {
            let is_known = !said.is_empty();
            let unlisted: Vec<_> = said.into_iter().filter(|said| !is_listed(said)).collect();
            let is_exempt = is_listed("*") || is_known && unlisted.is_empty();
            (!is_exempt).then_some((&policy.pods, unlisted))
        };
        Rules { view, policy, pods: view.pod_namespaces().and_then(not_exempt) }
    }

    /// Whether `source` may ask on behalf of this container. The error is the rule that refuses and where to change it.
    ///
    /// A legacy hook is the word of the engine that put it there, and may always ask, but for the containers of [`MANAGED`].
    pub(super) fn may_ask(&self, source: &Source) -> Result<(), String> {
        let off = |key: &str| format!("{key} is false in {}", Escaped::path(&self.policy.file));
        match (source, &self.pods) {
            (Source::CommandLine, _) => Ok(()),
            (Source::Mounts(_), _) if self.policy.mounts => Ok(()),
            (Source::Mounts(_), _) => Err(off("policy.mounts")),
            (Source::Annotation(..), None) if self.policy.annotations => Ok(()),
            (Source::Annotation(..), None) => Err(off("policy.annotations")),
            (Source::Annotation(..), Some((pods, _))) if pods.annotations => Ok(()),
            (Source::Annotation(..), Some(_)) => Err(self.for_pods(&off("policy.pods.annotations"))),
            (Source::LegacyHook(_), _) if !is_managed(self.view) => Ok(()),
            (Source::LegacyHook(_) | Source::Env(..), None) => self.allows(self.policy.env, "policy.env"),
            (Source::LegacyHook(_) | Source::Env(..), Some((pods, _))) => {
                self.allows(pods.env, "policy.pods.env").map_err(|rule| self.for_pods(&rule))
            }
        }
    }

    /// Whether `source` may lease devices exclusively for this container. The error is as above. In a cluster the scheduler
    /// decides who shares what, and it does not know of leases.
    pub(super) fn may_lease(&self, source: &Source) -> Result<(), String> {
        let file = Escaped::path(&self.policy.file);
        if self.view.pod_namespaces().is_some() {
            return Err("lease=exclusive is not for pods, whose devices the scheduler assigns".to_owned());
        }
        let rule = |word: &str, what: &str| format!(r#"policy.exclusive is "{word}" in {file}, {what}"#);
        match self.policy.exclusive {
            Exclusive::Always => Ok(()),
            Exclusive::Annotations if matches!(source, Source::Annotation(..) | Source::CommandLine) => Ok(()),
            Exclusive::Annotations => Err(rule("annotations", "which leaves lease=exclusive to annotations")),
            Exclusive::Privileged if self.view.privileged => Ok(()),
            Exclusive::Privileged => Err(rule("privileged", "and the container lacks CAP_SYS_ADMIN")),
            Exclusive::Never => Err(rule("never", "which allows no lease=exclusive")),
        }
    }

    /// Whether this container may have devices that reach beyond its own. The error is as above. Nobody's word but the
    /// container's privilege counts: who may split or watch all GPUs of a machine can as well do without asking.
    pub(super) fn may_manage(&self) -> Result<(), String> {
        self.allows(self.policy.management, "policy.management")
    }

    /// Whether a container that was refused what `source` asks does not start. `names_devices`: it asks for these and no others,
    /// which nobody does by accident.
    pub(super) fn is_fatal(&self, source: &Source, names_devices: bool) -> bool {
        match self.pods.as_ref().map_or(self.policy.refused, |(pods, _)| pods.refused) {
            Refused::Warn => false,
            Refused::Error => true,
            Refused::Explicit => match source {
                Source::Annotation(key, _) => key == GPUS,
                _ => names_devices,
            },
        }
    }

    fn allows(&self, who: Who, key: &str) -> Result<(), String> {
        let file = Escaped::path(&self.policy.file);
        match who {
            Who::Always => Ok(()),
            Who::Privileged if self.view.privileged => Ok(()),
            Who::Privileged => {
                Err(format!(r#"{key} is "privileged" in {file} and the container lacks CAP_SYS_ADMIN on the host"#))
            }
            Who::Never => Err(format!(r#"{key} is "never" in {file}"#)),
        }
    }

    /// A rule for pods, and why it holds for this one.
    fn for_pods(&self, rule: &str) -> String {
        let said = self.pods.iter().flat_map(|(_, said)| said).map(|namespace| Escaped::quoted(namespace).to_string());
        match said.collect::<Vec<_>>().join(" and ") {
            none if none.is_empty() => format!("{rule}, and the pod's namespace is not known"),
            namespaces => format!("{rule}, and policy.pods.namespaces does not list {namespaces}"),
        }
    }
}

/// Whether a manager is known to have let the image's environment through.
pub(super) fn is_managed(view: &View<'_>) -> bool {
    view.has_kubepods_cgroup
        || view.annotations.iter().any(|(key, _)| MANAGED.iter().any(|manager| key.starts_with(manager)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_has_its_switch() {
        let (always, privileged, never) = (Who::Always, Who::Privileged, Who::Never);
        let env = Source::Env("AMD_VISIBLE_DEVICES".into(), "0".into());
        let annotation = Source::Annotation("gpu-runc/gpus".into(), "all".into());
        let hook = Source::LegacyHook("nvidia-container-runtime-hook".into());
        let mounts = Source::Mounts("/var/run/nvidia-container-devices");
        for (source, rule, capable, manager, refused) in [
            (&env, always, false, "", ""),
            (&env, privileged, true, "", ""),
            (
                &env,
                privileged,
                false,
                "",
                r#"policy.env is "privileged" in /etc/gpu-runc/config.toml and the container lacks CAP_SYS_ADMIN on the host"#,
            ),
            (&env, never, true, "", r#"policy.env is "never" in /etc/gpu-runc/config.toml"#),
            (&hook, never, false, "", ""),
            (&hook, never, false, "acme.example/x", ""),
            (&hook, never, false, "io.container.manager", r#"policy.env is "never" in /etc/gpu-runc/config.toml"#),
            (&hook, always, false, "io.container.manager", ""),
            (&hook, privileged, true, "io.container.manager", ""),
            (&mounts, never, false, "io.kubernetes.cri.container-type", ""),
            (&annotation, never, false, "", ""),
            (&mounts, never, false, "", ""),
        ] {
            let view = View {
                annotations: vec![(manager.into(), "container".into())],
                privileged: capable,
                ..View::default()
            };
            let policy = Policy { env: rule, ..Policy::default() };
            assert_eq!(
                Rules::of(&view, &policy).may_ask(source).err().unwrap_or_default(),
                refused,
                "{source} {rule:?} {manager}"
            );
        }
        let off = Policy { annotations: false, mounts: false, ..Policy::default() };
        for (source, refused) in [
            (&annotation, "policy.annotations is false in /etc/gpu-runc/config.toml"),
            (&mounts, "policy.mounts is false in /etc/gpu-runc/config.toml"),
        ] {
            assert_eq!(Rules::of(&View::default(), &off).may_ask(source).unwrap_err(), refused);
        }
    }

    #[test]
    fn a_pod_that_only_its_cgroup_tells_of_is_of_no_listed_namespace() {
        let env = Source::Env("AMD_VISIBLE_DEVICES".into(), "0".into());
        let hook = Source::LegacyHook("nvidia-container-runtime-hook".into());
        let label = ("io.kubernetes.pod.namespace".into(), "ml".into());
        for (listed, refused) in [
            ("ml", "policy.pods.env is \"never\" in /etc/gpu-runc/config.toml, and the pod's namespace is not known"),
            ("*", ""),
        ] {
            let view = View { has_kubepods_cgroup: true, annotations: vec![label.clone()], ..View::default() };
            let policy =
                Policy { pods: Pods { namespaces: vec![listed.to_owned()], ..Pods::default() }, ..Policy::default() };
            for source in [&env, &hook] {
                assert_eq!(Rules::of(&view, &policy).may_ask(source).err().unwrap_or_default(), refused, "{source}");
            }
        }
    }

    #[test]
    fn a_lease_is_exclusive_where_the_policy_lets_the_source_say_so() {
        use Exclusive::{Always, Annotations, Never, Privileged};
        let env = Source::Env("GPU_VISIBLE_DEVICES".into(), "count=1".into());
        let annotation = Source::Annotation("gpu-runc/gpus".into(), "1".into());
        let pod = "io.kubernetes.cri.container-type";
        for (source, rule, privileged, manager, refused) in [
            (&annotation, Annotations, false, "", ""),
            (
                &env,
                Annotations,
                true,
                "",
                r#"policy.exclusive is "annotations" in /etc/gpu-runc/config.toml, which leaves"#,
            ),
            (&env, Always, false, "", ""),
            (&env, Privileged, true, "", ""),
            (
                &annotation,
                Privileged,
                false,
                "",
                r#"policy.exclusive is "privileged" in /etc/gpu-runc/config.toml, and the"#,
            ),
            (
                &annotation,
                Never,
                true,
                "",
                r#"policy.exclusive is "never" in /etc/gpu-runc/config.toml, which allows no"#,
            ),
            (&annotation, Always, true, pod, "lease=exclusive is not for pods"),
        ] {
            let annotations = vec![(manager.into(), "container".into())];
            let view = View { annotations, privileged, ..View::default() };
            let policy = Policy { exclusive: rule, ..Policy::default() };
            let told = Rules::of(&view, &policy).may_lease(source).err().unwrap_or_default();
            assert!(told.starts_with(refused) && told.is_empty() == refused.is_empty(), "{source} {rule:?}: {told}");
        }
    }

    #[test]
    fn a_pods_own_words_do_not_count_unless_its_namespace_is_listed() {
        const NEVER: &str = r#"policy.pods.env is "never" in /etc/gpu-runc/config.toml, "#;
        let env = Source::Env("AMD_VISIBLE_DEVICES".into(), "0".into());
        let annotation = Source::Annotation("gpu-runc/gpus".into(), "all".into());
        let hook = Source::LegacyHook("nvidia-container-runtime-hook".into());
        let (containerd, crio) = ("io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType");
        let (sandbox, label) = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace");
        let unlisted = |rule: &str, which: &str| format!("{rule}and policy.pods.namespaces does not list {which}");
        for (engine, said, listed, rule) in [
            (containerd, vec![(sandbox, "team-a")], vec![], unlisted(NEVER, r#""team-a""#)),
            (containerd, vec![(sandbox, "team-a")], vec!["ml"], unlisted(NEVER, r#""team-a""#)),
            (containerd, vec![(sandbox, "ml")], vec!["dev", "ml"], String::new()),
            (containerd, vec![], vec!["ml"], format!("{NEVER}and the pod's namespace is not known")),
            (containerd, vec![], vec!["*"], String::new()),
            (crio, vec![(label, "ml")], vec!["ml"], String::new()),
            (crio, vec![(label, "team-a")], vec!["*"], String::new()),
            // What a pod's author writes beside the engine's word.
            (crio, vec![(sandbox, "ml"), (label, "team-a")], vec!["ml"], unlisted(NEVER, r#""team-a""#)),
            (containerd, vec![(sandbox, "team-a"), (label, "ml")], vec!["ml"], unlisted(NEVER, r#""team-a""#)),
        ] {
            let annotations = [(engine, "container")].into_iter().chain(said.clone());
            let view =
                View { annotations: annotations.map(|(k, v)| (k.into(), v.into())).collect(), ..View::default() };
            let namespaces = listed.iter().map(|name| (*name).to_owned()).collect();
            let policy = Policy { pods: Pods { namespaces, ..Pods::default() }, ..Policy::default() };
            let rules = Rules::of(&view, &policy);
            assert_eq!(rules.may_ask(&env).err().unwrap_or_default(), rule, "{said:?} {listed:?}");
            assert_eq!(rules.may_ask(&hook).err().unwrap_or_default(), rule, "{said:?} {listed:?}");
            let off = rule.replace(r#"policy.pods.env is "never""#, "policy.pods.annotations is false");
            assert_eq!(rules.may_ask(&annotation).err().unwrap_or_default(), off, "{said:?} {listed:?}");
            let pods = Pods { annotations: true, ..policy.pods.clone() };
            let policy = Policy { pods, ..Policy::default() };
            assert_eq!(Rules::of(&view, &policy).may_ask(&annotation), Ok(()), "{said:?} {listed:?}");
        }
    }
}
