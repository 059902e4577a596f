//! The configuration as the text of a file: every key, with what it means and which values it takes.
//!
//! Pure. The defaults are printed by the same function as any other configuration, so that the two cannot differ.

use std::fmt::Write;

use serde::Serialize;
use serde_json::Value as Json;

use super::{Config, PATH, VARIABLE, Vendor};

/// Where the explanations begin.
const COLUMN: usize = 37;

impl Config {
    /// The text of a file that means this configuration.
    pub fn to_text(&self) -> String {
        let Config { runtimes, log, cdi, host, policy, inject, vendor } = self;
        let mut text = String::new();
        line(
            &mut text,
            "runtimes",
            runtimes,
            "the first that is found; [] is runc, else crun, and crun first for podman",
        );

        section(&mut text, "log", "never the engine's log");
        line(&mut text, "level", &log.level, "off, error, warn, info, debug");
        line(&mut text, "syslog", &log.syslog, "every grant is a line there");
        line(&mut text, "file", &log.file, "a file of its own, absolute; \"\" for none");

        section(&mut text, "cdi", "Container Device Interface");
        line(&mut text, "spec-dirs", &cdi.spec_dirs, "where CDI files are; the last one counts most");

        section(&mut text, "host", "the machine that is looked at");
        line(&mut text, "root", &host.root, "its root");
        line(
            &mut text,
            "driver-root",
            &host.driver_root,
            "where the driver's files are; \"\" is root, else a driver container's",
        );
        line(&mut text, "dev-root", &host.dev_root, "where device nodes are; \"\" is the driver root, else root");

        section(&mut text, "policy", "who may ask");
        line(&mut text, "env", &policy.env, "whose variables may: always, privileged (CAP_SYS_ADMIN), never");
        line(
            &mut text,
            "management",
            &policy.management,
            "who may have IMEX channels, MIG's configuration and monitor: the same",
        );
        line(&mut text, "annotations", &policy.annotations, "whether annotations may");
        line(&mut text, "annotation-prefixes", &policy.annotation_prefixes, "of those that hold qualified CDI names");
        line(&mut text, "mounts", &policy.mounts, "whether mounts of a device plugin may");
        line(
            &mut text,
            "refused",
            &policy.refused,
            "who is refused starts without: warn; or not: error; or not if devices were named: explicit",
        );
        line(
            &mut text,
            "exclusive",
            &policy.exclusive,
            "who can use lease=exclusive: annotations, always, privileged, never; pods never",
        );

        let pods = &policy.pods;
        section(&mut text, "policy.pods", "in place of those, for containers of Kubernetes pods");
        line(&mut text, "env", &pods.env, "whose variables may ask; device plugins ask by mounts or CDI");
        line(&mut text, "annotations", &pods.annotations, "whether annotations may; CRI-O lets everybody's through");
        line(&mut text, "refused", &pods.refused, "the same words; an image's \"all\" is not explicit");
        line(
            &mut text,
            "namespaces",
            &pods.namespaces,
            "whose pods [policy] holds for after all; [] for clusters of several tenants",
        );

        section(&mut text, "inject", "what is done for those who ask");
        line(
            &mut text,
            "generate",
            &inject.generate,
            "describe devices in memory: missing (what no file has), never, always",
        );
        line(
            &mut text,
            "hooks",
            &inject.hooks,
            "of vendors' CDI files: native (their work is done from outside), keep (they run as written)",
        );
        line(
            &mut text,
            "params",
            &inject.params,
            "keep containers with CAP_MKNOD from making other GPUs' nodes, by the one hook",
        );
        line(
            &mut text,
            "docker-gpus",
            &inject.docker_gpus,
            "Docker's --gpus: any (the host's own vendor where it has no NVIDIA GPU), nvidia",
        );
        line(
            &mut text,
            "pick",
            &inject.pick,
            "which devices a count takes: least (that the fewest containers hold), first (lowest index)",
        );

        for row in vendor {
            describe(&mut text, row);
        }
        text
    }

    /// The text of the documented default file, with an example of what has no default.
    pub fn default_text() -> String {
        let mut example = String::new();
        describe(
            &mut example,
            &Vendor {
                name: "acme".to_owned(),
                kind: "acme.example/npu".to_owned(),
                devices: "/dev/acme/npu*".to_owned(),
                nodes: vec!["/dev/acme/control".to_owned()],
                env: vec!["ACME=1".to_owned()],
                mounts: vec!["/opt/acme".to_owned()],
                visible: "ACME_VISIBLE_DEVICES".to_owned(),
            },
        );
        let example: Vec<_> = example.trim_start().lines().map(|line| format!("# {line}\n")).collect();
        let text = Config::default().to_text();
        let place = format!("# {PATH} need not be there; a file that {VARIABLE} names must.");
        format!(
            "{place}\n\n{text}\n# A vendor that is not known yet, whose devices are numbered nodes:\n#\n{}",
            example.concat()
        )
    }
}

fn describe(text: &mut String, row: &Vendor) {
    section(text, "[vendor]", "one whose devices are numbered nodes");
    line(text, "name", &row.name, "the word for driver=");
    line(text, "kind", &row.kind, "the CDI kind of its devices");
    line(text, "devices", &row.devices, "a device for each; * is its number");
    line(text, "nodes", &row.nodes, "go with any of them, as far as they are there");
    line(text, "env", &row.env, "variables that go with them");
    line(text, "mounts", &row.mounts, "files and folders that go with them, read-only");
    line(text, "visible", &row.visible, "the variable that asks; \"\" for none");
}

fn section(text: &mut String, name: &str, about: &str) {
    // Writing to a string cannot fail.
    let _ = writeln!(text, "\n{:COLUMN$}# {about}", format!("[{name}]"));
}

fn line(text: &mut String, key: &str, value: &impl Serialize, about: &str) {
    let value = serde_json::to_value(value).unwrap_or_default();
    let setting = format!("{key} = {}", toml(&value));
    let width = COLUMN.max(setting.chars().count() + 2);
    let _ = writeln!(text, "{setting:width$}# {about}");
}

/// Strings, booleans and lists of them are written alike in JSON and TOML, but for one character.
fn toml(value: &Json) -> String {
    match value {
        Json::Array(items) => format!("[{}]", items.iter().map(toml).collect::<Vec<_>>().join(", ")),
        scalar => scalar.to_string().replace('\u{7f}', "\\u007f"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::super::{DockerGpus, Exclusive, Generate, Hooks, Inject, Level, Picked, Pods, Refused, Who};
    use super::*;

    fn parsed(text: &str) -> Config {
        Config::parse(text, Path::new("c.toml")).unwrap()
    }

    #[test]
    fn the_printed_defaults_are_the_defaults() {
        let text = Config::default_text();
        assert_eq!(parsed(&text), Config::default());
        let with_example = text.split_once("nodes:\n#\n").unwrap().1.replace("# [[", "[[").replace("\n# ", "\n");
        assert_eq!(parsed(&with_example).vendor[0].devices, "/dev/acme/npu*", "the example is one");
        assert!(text.lines().all(|line| line.chars().count() <= 130), "{text}");
    }

    #[test]
    fn what_is_printed_means_what_was_read() {
        let runtimes = vec!["/opt/\"runc\"\\\u{7f}\u{1}ü".to_owned()];
        let mut config = Config { runtimes, ..Config::default() };
        config.log.level = Level::Off;
        config.log.syslog = false;
        config.log.file = "/var/log/a b".into();
        config.cdi.spec_dirs = vec![];
        config.host.driver_root = "/run/driver".into();
        (config.policy.env, config.policy.management) = (Who::Never, Who::Always);
        config.policy.annotations = false;
        config.policy.refused = Refused::Error;
        config.policy.exclusive = Exclusive::Never;
        let namespaces = vec!["ml".to_owned(), "*".to_owned()];
        config.policy.pods = Pods { env: Who::Privileged, annotations: true, refused: Refused::Warn, namespaces };
        let (docker_gpus, pick) = (DockerGpus::Nvidia, Picked::First);
        config.inject = Inject { generate: Generate::Always, hooks: Hooks::Keep, params: false, docker_gpus, pick };
        config.policy.docker_gpus = docker_gpus;
        config.vendor = vec![Vendor { name: "acme".into(), env: vec!["A=b".into()], ..Vendor::default() }];
        assert_eq!(parsed(&config.to_text()), config);
    }
}
