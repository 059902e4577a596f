//! Rank 3: hooks that an engine left for a vendor's old toolkit. They are taken out, and what they were to do becomes a request.
//!
//! Finds and splits. A hook that would give no device is none of our business: podman and CRI-O put it on every container.

use std::borrow::Cow;

use crate::config::DockerGpus;
use crate::error::Result;
use crate::oci::view::HookView;
use crate::vendor::{LegacyHooks, Vendor};

use super::gathering::{Gathering, Wish};
use super::policy::is_managed;
use super::{Source, env, visible};

/// The lists that engines put such hooks in.
const STAGES: [&str; 2] = ["prestart", "createRuntime"];

/// Takes in what hooks ask for, and has them taken out, also where a higher source speaks for their vendor.
pub(super) fn gather(gathering: &mut Gathering<'_>) -> Result<()> {
    let view = gathering.view;
    for hook in view.hooks.iter().filter(|hook| STAGES.contains(&&*hook.stage)) {
        for vendor in gathering.vendors.iter() {
            let Some(wish) = vendor.legacy.as_ref().and_then(|legacy| read(hook, vendor, legacy, gathering)) else {
                continue;
            };
            env::claim(gathering);
            if gathering.has_answered(vendor) || gathering.ask(wish)? {
                gathering.replace_hook(hook);
            }
        }
    }
    Ok(())
}

/// What a hook is to give, if it is one of this vendor's.
fn read(hook: &HookView<'_>, vendor: &'static Vendor, legacy: &LegacyHooks, gathering: &Gathering<'_>) -> Option<Wish> {
    let program = file_name(&hook.path);
    let mut stand_ins = Vec::new();
    let (program, list) = if legacy.programs.contains(&program) {
        let variable = vendor.visible.first()?;
        // Docker has one hook for every `--gpus`, which names no vendor. A manager's folder of hooks repeats the image's variable.
        if gathering.policy.docker_gpus == DockerGpus::Any && !is_managed(gathering.view) {
            stand_ins = gathering.vendors.accelerators();
            stand_ins.retain(|other| *other != vendor);
        }
        (program, env::list(vendor, variable, gathering.view.env(variable.name).unwrap_or_default()))
    } else {
        (legacy.cli, visible::parse(device_argument(&hook.args, legacy.cli)?))
    };
    let source = Source::LegacyHook(program.to_owned());
    Some(Wish { source, vendors: vec![vendor], stand_ins, list })
}

/// The devices in `containerd oci-hook -- /usr/bin/<cli> … configure --device=0,1 …`.
fn device_argument<'a>(args: &'a [Cow<'_, str>], cli: &str) -> Option<&'a str> {
    let mut args = args.iter().map(|arg| &**arg).skip_while(|arg| *arg != "oci-hook").skip(1);
    let starts_cli = args.next()? == "--" && file_name(args.next()?) == cli;
    let mut settings = args.skip_while(|arg| *arg != "configure");
    if starts_cli { settings.find_map(|arg| arg.strip_prefix("--device=")) } else { None }
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_devices_of_old_nerdctl_and_ctr_are_in_the_arguments() {
        let cli = "acme-container-cli";
        for (args, devices) in [
            (
                "containerd oci-hook -- /usr/bin/acme-container-cli --load-kmods configure --device=all --utility",
                Some("all"),
            ),
            (
                "/x/containerd oci-hook -- acme-container-cli configure --device=0,1 --pid={{pid}} {{rootfs}}",
                Some("0,1"),
            ),
            ("containerd oci-hook -- /usr/bin/acme-container-cli configure --utility", None),
            ("containerd oci-hook -- /usr/bin/acme-container-cli --device=0", None),
            ("containerd oci-hook -- /usr/bin/other configure --device=0", None),
            ("containerd oci-hook /usr/bin/acme-container-cli configure --device=0", None),
            ("nerdctl internal oci-hook createRuntime", None),
            ("oci-hook", None),
            ("", None),
        ] {
            let args: Vec<Cow<'_, str>> = args.split(' ').map(Cow::from).collect();
            assert_eq!(device_argument(&args, cli), devices, "{args:?}");
        }
    }
}
