//! Who may ask: the one place where the policy of the configuration is applied to a request.
//!
//! Pure. Says nothing about which devices may be had.

use crate::config::{PATH, Policy, Who};
use crate::oci::view::View;

use super::Source;

/// Annotations of managers that let an image's environment through to where an engine's word would be: a hook beside it may
/// come from a folder of hooks that are put on every container.
const MANAGED: [&str; 3] = ["io.kubernetes.cri.", "io.kubernetes.cri-o.", "io.container.manager"];

/// Whether `source` may ask on behalf of this container. The error is the rule that refuses and where to change it.
///
/// A legacy hook is the word of the engine that put it there, and may always ask, but for the containers of [`MANAGED`].
pub(super) fn may_ask(source: &Source, view: &View<'_>, policy: &Policy) -> Result<(), String> {
    let switched = |on: bool, key: &str| if on { Ok(()) } else { Err(format!("{key} is false in {PATH}")) };
    match source {
        Source::Annotation(..) => switched(policy.annotations, "policy.annotations"),
        Source::Mounts(_) => switched(policy.mounts, "policy.mounts"),
        Source::CommandLine => Ok(()),
        Source::LegacyHook(_) if !is_managed(view) => Ok(()),
        Source::LegacyHook(_) | Source::Env(..) => match policy.env {
            Who::Always => Ok(()),
            Who::Privileged if view.privileged => Ok(()),
            Who::Privileged => {
                Err(format!(r#"policy.env is "privileged" in {PATH} and the container lacks CAP_SYS_ADMIN"#))
            }
            Who::Never => Err(format!(r#"policy.env is "never" in {PATH}"#)),
        },
    }
}

/// Whether this container may have devices that reach beyond its own. The error is as above. Nobody's word but the container's
/// privilege counts: who may split or watch all GPUs of a machine can as well do without asking.
pub(super) fn may_manage(view: &View<'_>, policy: &Policy) -> Result<(), String> {
    match policy.management {
        Who::Always => Ok(()),
        Who::Privileged if view.privileged => Ok(()),
        Who::Privileged => {
            Err(format!(r#"policy.management is "privileged" in {PATH} and the container lacks CAP_SYS_ADMIN"#))
        }
        Who::Never => Err(format!(r#"policy.management is "never" in {PATH}"#)),
    }
}

fn is_managed(view: &View<'_>) -> bool {
    view.annotations.iter().any(|(key, _)| MANAGED.iter().any(|manager| key.starts_with(manager)))
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
                r#"policy.env is "privileged" in /etc/gpu-runc/config.toml and the container lacks CAP_SYS_ADMIN"#,
            ),
            (&env, never, true, "", r#"policy.env is "never" in /etc/gpu-runc/config.toml"#),
            (&hook, never, false, "", ""),
            (&hook, never, false, "acme.example/x", ""),
            (
                &hook,
                never,
                false,
                "io.kubernetes.cri.container-type",
                r#"policy.env is "never" in /etc/gpu-runc/config.toml"#,
            ),
            (
                &hook,
                never,
                false,
                "io.kubernetes.cri-o.ContainerType",
                r#"policy.env is "never" in /etc/gpu-runc/config.toml"#,
            ),
            (&hook, never, false, "io.container.manager", r#"policy.env is "never" in /etc/gpu-runc/config.toml"#),
            (&hook, always, false, "io.kubernetes.cri.container-type", ""),
            (&hook, privileged, true, "io.kubernetes.cri.container-type", ""),
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
                may_ask(source, &view, &policy).err().unwrap_or_default(),
                refused,
                "{source} {rule:?} {manager}"
            );
        }
        let off = Policy { annotations: false, mounts: false, ..Policy::default() };
        for (source, refused) in [
            (&annotation, "policy.annotations is false in /etc/gpu-runc/config.toml"),
            (&mounts, "policy.mounts is false in /etc/gpu-runc/config.toml"),
        ] {
            assert_eq!(may_ask(source, &View::default(), &off).unwrap_err(), refused);
        }
    }
}
