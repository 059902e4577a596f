//! What engines' configuration files say of their runtimes: which of them is gpu-runc.
//!
//! Pure: reads text that was read before. Sources: containerd docs/cri/config.md, Docker's daemon.json, crio.conf(5),
//! containers.conf(5).

use std::path::Path;

use serde_json::Value;

use crate::error::{Error, Escaped, Result};

/// How an engine names its runtimes. Paths lead through tables, one member a step.
#[derive(Debug)]
pub(super) struct Layout {
    pub format: Format,
    /// Where the table of runtimes can be, by the versions of the file.
    pub runtimes: &'static [&'static [&'static str]],
    /// Where in a runtime its program is. Nothing: the runtime is a list of paths, of which the first that is there counts.
    pub program: &'static [&'static str],
    /// Where the name of the default runtime can be.
    pub default: &'static [&'static [&'static str]],
    /// How it says who drives cgroups.
    pub cgroups: Cgroups,
    /// Parts of the engine that are off, and those of them without which runtimes mean nothing.
    pub off: Option<(&'static str, &'static [&'static str])>,
    /// Where further files are named.
    pub imports: Option<&'static str>,
}

/// How an engine says who drives cgroups.
#[derive(Debug, Clone, Copy)]
pub(super) enum Cgroups {
    /// By a switch of each runtime that leaves them to systemd. Off where it is absent.
    Switch(&'static [&'static str]),
    /// By a word. systemd where it is absent and systemd runs.
    Word(&'static [&'static str]),
    /// By a word of a list that begins so. systemd where it is absent, systemd runs and cgroups are of version 2.
    Listed(&'static str, &'static str),
}

/// What a file is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Json,
    Toml,
}

/// A runtime of an engine that is gpu-runc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Registered {
    /// What the engine calls it.
    pub name: String,
    /// Its program.
    pub program: String,
    /// Whether containers that name no runtime get it.
    pub is_default: bool,
    /// Whether another runtime of the engine leaves cgroups to systemd, and this one does not.
    pub differs_in_cgroups: bool,
}

impl Format {
    /// The document in `text`, which is that of the file at `path`. The error names the line.
    pub(super) fn read(self, text: &str, path: &Path) -> Result<Value> {
        let read = match self {
            Format::Json if text.trim().is_empty() => return Ok(Value::Null),
            Format::Json => serde_json::from_str(text).map_err(|fault| (Some(fault.line()), fault.to_string())),
            Format::Toml => toml::from_str(text).map_err(|fault: toml::de::Error| {
                let before = fault.span().and_then(|span| text.get(..span.start));
                (before.map(|before| before.matches('\n').count() + 1), fault.message().to_owned())
            }),
        };
        read.map_err(|(line, message)| {
            // JSON's reader repeats the line in its words.
            let message = message.split(" at line ").next().unwrap_or_default();
            Error::Config { path: path.to_owned(), line, message: Escaped::name(message.trim_end()).to_string() }
        })
    }
}

impl Layout {
    /// The runtimes of `documents`, in the order in which an engine reads them, that are gpu-runc.
    pub(super) fn registered(&self, documents: &[Value]) -> Vec<Registered> {
        let default = documents.iter().filter_map(|document| self.default_of(document)).next_back();
        let all = || documents.iter().flat_map(|document| self.runtimes_of(document));
        let is_usual = all().any(|(_, runtime)| self.leaves_to_systemd(runtime));
        let mut registered = Vec::new();
        for (name, runtime) in all() {
            if let Some(program) = self.program_of(name, runtime).filter(|program| is_ours(program)) {
                registered.retain(|earlier: &Registered| earlier.name != *name);
                registered.push(Registered {
                    name: name.clone(),
                    program: program.to_owned(),
                    is_default: default == Some(name),
                    differs_in_cgroups: is_usual && !self.leaves_to_systemd(runtime),
                });
            }
        }
        registered
    }

    /// Who drives cgroups: `systemd` or `cgroupfs`.
    pub(super) fn cgroup_driver<'a>(&self, documents: &'a [Value], has_systemd: bool, is_second: bool) -> &'a str {
        let default = |is_systemds| if is_systemds { "systemd" } else { "cgroupfs" };
        match self.cgroups {
            Cgroups::Switch(_) => {
                let mut runtimes = documents.iter().flat_map(|document| self.runtimes_of(document));
                let is_on = runtimes.any(|(_, runtime)| self.leaves_to_systemd(runtime));
                if is_on { "systemd" } else { "cgroupfs" }
            }
            Cgroups::Word(path) => {
                let mut words = documents.iter().filter_map(|document| at(document, path)?.as_str());
                words.next_back().unwrap_or(default(has_systemd))
            }
            Cgroups::Listed(list, prefix) => {
                let listed = documents.iter().filter_map(|document| document.get(list)?.as_array()).flatten();
                listed
                    .filter_map(|word| word.as_str()?.strip_prefix(prefix))
                    .next_back()
                    .unwrap_or(default(has_systemd && is_second))
            }
        }
    }

    fn leaves_to_systemd(&self, runtime: &Value) -> bool {
        let Cgroups::Switch(path) = self.cgroups else { return false };
        at(runtime, path).and_then(Value::as_bool).unwrap_or_default()
    }

    /// Whether the engine has its part off that would use runtimes.
    pub(super) fn is_off(&self, documents: &[Value]) -> bool {
        let Some((list, parts)) = self.off else { return false };
        let listed = documents.iter().filter_map(|document| document.get(list)?.as_array()).flatten();
        listed.filter_map(Value::as_str).any(|part| parts.contains(&part))
    }

    /// The patterns of further files that `document` names.
    pub(super) fn imports<'a>(&self, document: &'a Value) -> Vec<&'a str> {
        let imports = self.imports.and_then(|member| document.get(member)?.as_array());
        imports.into_iter().flatten().filter_map(Value::as_str).collect()
    }

    fn runtimes_of<'a>(&self, document: &'a Value) -> Vec<(&'a String, &'a Value)> {
        let tables = self.runtimes.iter().filter_map(|path| at(document, path)?.as_object());
        tables.flatten().collect()
    }

    fn default_of<'a>(&self, document: &'a Value) -> Option<&'a str> {
        self.default.iter().find_map(|path| at(document, path)?.as_str())
    }

    fn program_of<'a>(&self, name: &'a str, runtime: &'a Value) -> Option<&'a str> {
        if self.program.is_empty() {
            return runtime.as_array()?.iter().filter_map(Value::as_str).find(|program| is_ours(program));
        }
        match at(runtime, self.program).and_then(Value::as_str) {
            // The engine looks for a program of the runtime's name.
            None | Some("") => Some(name),
            program => program,
        }
    }
}

fn at<'a>(value: &'a Value, path: &[&str]) -> Option<&'a Value> {
    path.iter().try_fold(value, |value, member| value.get(member))
}

fn is_ours(program: &str) -> bool {
    program.rsplit('/').next() == Some("gpu-runc")
}

#[cfg(test)]
mod tests {
    use super::super::engines::ENGINES;
    use super::*;

    fn registered(engine: &str, texts: &[&str]) -> Vec<(String, bool, bool)> {
        let layout = &ENGINES.iter().find(|known| known.name == engine).unwrap().layout;
        let documents: Vec<Value> =
            texts.iter().map(|text| layout.format.read(text, Path::new("/c")).unwrap()).collect();
        let shown = |found: Registered| (found.name, found.is_default, found.differs_in_cgroups);
        layout.registered(&documents).into_iter().map(shown).collect()
    }

    #[test]
    fn each_engine_names_its_runtimes_in_its_own_way() {
        for (engine, texts, expected) in [
            ("docker", &["{}"][..], None),
            ("docker", &[""], None),
            (
                "docker",
                &[r#"{"runtimes":{"g":{"path":"/usr/bin/gpu-runc"},"n":{"path":"nvidia-container-runtime"}}}"#],
                Some(("g", false, false)),
            ),
            ("docker", &[r#"{"runtimes":{"g":{"path":"gpu-runc"}},"default-runtime":"g"}"#], Some(("g", true, false))),
            ("containerd", &["version = 2\n"], None),
            (
                "containerd",
                &[
                    "[plugins.\"io.containerd.grpc.v1.cri\".containerd.runtimes.g.options]\nBinaryName = \"/usr/local/bin/gpu-runc\"\n",
                ],
                Some(("g", false, false)),
            ),
            (
                "containerd",
                &[
                    "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.runc.options]\nSystemdCgroup = true\n",
                    "[plugins.\"io.containerd.cri.v1.runtime\".containerd.runtimes.g.options]\nBinaryName = \"/b/gpu-runc\"\n",
                ],
                Some(("g", false, true)),
            ),
            (
                "containerd",
                &[
                    "[plugins.cri.containerd]\ndefault_runtime_name = \"g\"\n[plugins.cri.containerd.runtimes.g.options]\nBinaryName = \"/b/gpu-runc\"\nSystemdCgroup = true\n",
                ],
                Some(("g", true, false)),
            ),
            ("cri-o", &["[crio.runtime.runtimes.gpu-runc]\nruntime_path = \"\"\n"], Some(("gpu-runc", false, false))),
            (
                "cri-o",
                &[
                    "[crio.runtime]\ndefault_runtime = \"crun\"\n",
                    "[crio.runtime]\ndefault_runtime = \"g\"\n[crio.runtime.runtimes.g]\nruntime_path = \"/b/gpu-runc\"\n",
                ],
                Some(("g", true, false)),
            ),
            ("podman", &["[engine.runtimes]\ng = [\"/a/x\", \"/b/gpu-runc\"]\n"], Some(("g", false, false))),
            ("podman", &["[engine]\nruntime = \"crun\"\n"], None),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(name, a, b)| (name.to_owned(), a, b)).collect();
            assert_eq!(registered(engine, texts), expected, "{engine} {texts:?}");
        }
    }

    #[test]
    fn cgroups_are_driven_by_whom_the_engine_says() {
        for (engine, text, has_systemd, expected) in [
            ("docker", "{}", true, "systemd"),
            ("docker", "{}", false, "cgroupfs"),
            ("docker", r#"{"exec-opts":["native.cgroupdriver=cgroupfs"]}"#, true, "cgroupfs"),
            ("podman", "[engine]\ncgroup_manager = \"cgroupfs\"\n", true, "cgroupfs"),
            ("cri-o", "", true, "systemd"),
            ("containerd", "", true, "cgroupfs"),
            ("containerd", "[plugins.cri.containerd.runtimes.runc.options]\nSystemdCgroup = true\n", true, "systemd"),
        ] {
            let layout = &ENGINES.iter().find(|known| known.name == engine).unwrap().layout;
            let document = layout.format.read(text, Path::new("/c")).unwrap();
            assert_eq!(layout.cgroup_driver(&[document], has_systemd, true), expected, "{engine} {text}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_line() {
        for (format, text, part) in
            [(Format::Json, "{\n\"a\": }", "/c:2: expected value"), (Format::Toml, "a = 1\nb = \n", "/c:2: ")]
        {
            let fault = format.read(text, Path::new("/c")).unwrap_err().to_string();
            assert!(fault.starts_with(part) && !fault.contains('\n'), "{fault}");
        }
    }

    #[test]
    fn an_engine_can_have_its_part_for_kubernetes_off() {
        let layout = &ENGINES.iter().find(|known| known.name == "containerd").unwrap().layout;
        for (text, expected) in [("disabled_plugins = [\"cri\"]", true), ("disabled_plugins = []", false), ("", false)]
        {
            assert_eq!(layout.is_off(&[layout.format.read(text, Path::new("/c")).unwrap()]), expected, "{text}");
        }
    }
}
