//! What containers ask with: `--gpus` values, variables, and all sources together.

use std::borrow::Cow;

use gpu_runc::cdi::{ContainerEdits, Device, Registry, Spec};
use gpu_runc::config::{Policy, Who};
use gpu_runc::oci::view::{HookView, MountView, View};
use gpu_runc::request::{ANNOTATION, Request, Selection, Want};
use gpu_runc::resolve::{Wanted, resolve};
use gpu_runc::vendor::Vendors;

use super::text;

/// A value of `--gpus`, or the list of a compose file.
pub(super) fn gpus(data: &[u8]) {
    let Some(text) = text(data) else { return };
    holds(&View { annotations: vec![(ANNOTATION.into(), text.into())], ..View::default() });
    holds(&View { annotations: vec![("cdi.k8s.io/x".into(), text.into())], ..View::default() });
}

/// A value of one of the variables that ask for devices, or that say how. The first byte picks which.
pub(super) fn variables(data: &[u8]) {
    let Some((first, value)) = data.split_first() else { return };
    let Some(value) = text(value) else { return };
    let names = names();
    let name = &names[usize::from(*first) % names.len()];
    let env = vec!["NVIDIA_VISIBLE_DEVICES=0".into(), format!("{name}={value}").into()];
    holds(&View { env, ..View::default() });
}

/// Every variable that means something in the environment of a container: our own, and those that the rows of vendors name.
pub(super) fn names() -> Vec<String> {
    const SWARM: &str = "DOCKER_RESOURCE_";
    let mut names = vec!["GPU_VISIBLE_DEVICES".to_owned(), format!("{SWARM}GPU")];
    for vendor in Vendors::known().iter() {
        names.extend(vendor.visible.iter().map(|variable| variable.name.to_owned()));
        names.extend(vendor.swarm.words.iter().map(|word| format!("{SWARM}{word}_GPU")));
        if let Some(rule) = vendor.classes {
            names.push(rule.variable.to_owned());
            names.extend(rule.none.map(|(variable, _)| variable.to_owned()));
        }
        if let Some(rule) = vendor.requirements {
            let (variable, _, condition) = rule.legacy;
            names.extend([rule.off, variable, condition, rule.except].map(Into::into));
            // They end as their author likes.
            names.extend(["DRIVER", "x"].map(|end| format!("{}{end}", rule.prefix)));
        }
    }
    names
}

/// A container in lines: `NAME=value` is a variable, `@key=value` an annotation, `/path` a mount of `/dev/null` there,
/// `#arguments` a prestart hook.
pub(super) fn container(data: &[u8]) {
    let Some(text) = text(data) else { return };
    let mut view = View::default();
    for line in text.lines() {
        match line.split_at_checked(1) {
            Some(("@", annotation)) => {
                let (key, value) = annotation.split_once('=').unwrap_or((annotation, ""));
                view.annotations.push((key.into(), value.into()));
            }
            Some(("#", arguments)) => {
                let args: Vec<Cow<'_, str>> = arguments.split(' ').map(Cow::from).collect();
                let path = args.first().cloned().unwrap_or_default();
                view.hooks.push(HookView { stage: "prestart".into(), index: view.hooks.len(), path, args });
            }
            Some(("/", _)) => view.mounts.push(MountView {
                destination: line.into(),
                source: "/dev/null".into(),
                ..MountView::default()
            }),
            _ => view.env.push(line.into()),
        }
    }
    view.privileged = view.env.len() % 2 == 1;
    holds(&view);
}

/// A wish is understood in the same way each time, stays small, and is found or explained.
fn holds(view: &View<'_>) {
    let vendors = Vendors::known();
    for env in [Who::Always, Who::Privileged, Who::Never] {
        let policy = Policy { env, ..Policy::default() };
        let request = match Request::from_spec(view, &policy, vendors) {
            Ok(Some(request)) => request,
            Ok(None) => continue,
            Err(error) => {
                let message = error.to_string();
                assert!(
                    !message.contains(['\n', '\u{1b}']) && message.len() < 16 * 1024,
                    "{} bytes: {message}",
                    message.len()
                );
                continue;
            }
        };
        assert_eq!(Request::from_spec(view, &policy, vendors).expect("once more").as_ref(), Some(&request));
        for ask in &request.asks {
            let most = match &ask.want {
                Want::Names(names) => names.len(),
                Want::Devices { vendors, answered, selection } => {
                    assert!(!vendors.is_empty() && answered.len() < vendors.len(), "{ask:?}");
                    if let Selection::Ids(ids) = selection { ids.len() } else { 0 }
                }
            };
            assert!(most <= 1024, "{most} devices");
            assert!(!ask.source.to_string().contains('\n'));
        }
        for requirements in &request.requirements {
            let _ = requirements.check(&[("cuda", "12.2".to_owned()), ("driver", "535.129.03".to_owned())]);
        }
        let mut registry = registry();
        match resolve(&request, &registry, &mut gpu_runc::resolve::first) {
            Ok(resolution) => {
                let granted = resolution.edits(&mut registry);
                for node in &granted.device_nodes {
                    let (kind, name) = node.path.trim_start_matches("/dev/").rsplit_once('/').expect("made so");
                    let kind = kind.parse().expect("made so");
                    assert!(Wanted::of(&request).has(&kind, name), "{} was not asked for", node.path);
                }
            }
            Err(missing) => {
                let message = missing.explained(&registry, &["/etc/cdi".into()], Vec::new(), vendors).to_string();
                assert!(message.contains("unresolvable CDI devices") && !message.contains('\n'), "{message}");
            }
        }
    }
}

/// Two devices and `all` of two vendors; each node's path says whose it is.
fn registry() -> Registry {
    let mut registry = Registry::default();
    for kind in ["nvidia.com/gpu", "amd.com/gpu"] {
        let mut spec = Spec::new("0.5.0".to_owned(), kind.parse().expect("a kind"));
        for name in ["0", "1", "all"] {
            let node = gpu_runc::cdi::DeviceNode { path: format!("/dev/{kind}/{name}"), ..Default::default() };
            let container_edits = ContainerEdits { device_nodes: vec![node], ..ContainerEdits::default() };
            spec.devices.push(Device { name: name.to_owned(), annotations: Default::default(), container_edits });
        }
        registry.add(spec, kind);
    }
    registry
}
