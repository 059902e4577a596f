//! What is fuzzed: a body for every reader of what others write, and the texts that it begins with.
//!
//! The same bodies run under cargo-fuzz and, on texts from a fixed seed, in the test suite. A body says what must hold by
//! panicking where it does not, and has no other outcome: whatever the bytes are, it comes to an end.

mod cdi;
mod compose;
mod engines;
mod formats;
mod requests;
mod seeds;
mod settings;
mod start;

use std::path::Path;

/// One reader under test.
pub(crate) struct Target {
    /// Its name, to cargo-fuzz too.
    pub(crate) name: &'static str,
    /// What must hold for any bytes.
    pub(crate) body: fn(&[u8]),
    /// Inputs that get far, from the repository at this path.
    pub(crate) seeds: fn(&Path) -> Vec<Vec<u8>>,
    /// What its texts are made of.
    pub(crate) words: &'static [&'static str],
}

const JSON: &[&str] =
    &["{", "}", "[", "]", ",", ":", "\"", "null", "true", "1e400", "\\u0000", "\\ud800", "\\udc00", "-0.0", "{}"];
const YAML: &[&str] = &[
    "- ", ": ", "&a ", "*a", "<<: *a\n", "!reset ", "|\n", ">-\n", "---\n", "? ", "#", "'", "\"", "{", "}", "[", "]",
    "~",
];
const TOML: &[&str] = &[
    "[",
    "]",
    "[[",
    "]]",
    " = ",
    "\"",
    "'''",
    "\"\"\"",
    "{",
    "}",
    ".",
    "#",
    "imports = [\"/x/*.toml\"]\n",
    "version = 2\n",
    "version = 3\n",
    " # added by gpu-ctk\n",
    " # set by gpu-ctk, was ",
    "# >>> gpu-runc",
    "# <<< gpu-runc",
];
const ASKS: &[&str] = &[
    "all",
    "none",
    "void",
    "0",
    "1",
    "0-3",
    "0:1",
    "GPU-1f",
    "MIG-GPU-1f/0/0",
    ",",
    "=",
    "\"",
    "device=",
    "driver=nvidia",
    "driver=amd",
    "driver=cdi",
    "count=",
    "-1",
    "nvidia.com/gpu=0",
    "\n",
    "4294967295",
    "9223372036854775808",
    "0x1f",
    "@gpu-runc/gpus=",
    "@cdi.k8s.io/a=",
    "[{\"driver\":\"nvidia\",\"count\":1}]",
    "/var/run/nvidia-container-devices/",
    "NVIDIA_VISIBLE_DEVICES=",
    "GPU_VISIBLE_DEVICES=",
    "NVIDIA_REQUIRE_CUDA=cuda>=12.4 driver>=470,driver<471",
    "DOCKER_RESOURCE_GPU=",
    "NVIDIA_DRIVER_CAPABILITIES=",
];

/// Every reader of what others write.
pub(crate) const TARGETS: &[Target] = &[
    Target {
        name: "argv",
        body: start::argv,
        seeds: seeds::argv,
        words: &["\n", "--", "-b", "=", "--bundle", "--log", "create", "run"],
    },
    Target { name: "document", body: start::document, seeds: seeds::documents, words: JSON },
    Target { name: "apply", body: start::apply, seeds: seeds::edits, words: JSON },
    Target { name: "cdi_json", body: cdi::file, seeds: seeds::cdi_json, words: JSON },
    Target { name: "cdi_yaml", body: cdi::file, seeds: seeds::cdi_yaml, words: YAML },
    Target {
        name: "names",
        body: cdi::names,
        seeds: seeds::names,
        words: &["=", "/", ",", ".", "nvidia.com/gpu=0", "-", ":"],
    },
    Target { name: "gpus", body: requests::gpus, seeds: seeds::gpus, words: ASKS },
    Target { name: "variables", body: requests::variables, seeds: seeds::variables, words: ASKS },
    Target { name: "container", body: requests::container, seeds: seeds::containers, words: ASKS },
    Target { name: "docker", body: engines::docker, seeds: seeds::daemon_json, words: JSON },
    Target { name: "containerd", body: engines::containerd, seeds: seeds::containerd, words: TOML },
    Target { name: "drop_ins", body: engines::drop_ins, seeds: seeds::containerd, words: TOML },
    Target { name: "compose", body: compose::file, seeds: seeds::compose, words: YAML },
    Target { name: "config", body: settings::ours, seeds: seeds::config, words: TOML },
    Target { name: "import", body: settings::nvidias, seeds: seeds::nvidias, words: TOML },
    Target {
        name: "hook",
        body: formats::hook,
        seeds: seeds::hooks,
        words: &["\n", "--link", "::", "--mode", "0", "--path", "/", "="],
    },
    Target {
        name: "ldcache",
        body: formats::ldcache,
        seeds: seeds::ldcache,
        words: &["\0", "\u{1}", "lib", ".so.1", "/"],
    },
    Target { name: "elf", body: formats::elf, seeds: seeds::elf, words: &["\0", "\u{1}", "\u{7f}ELF"] },
    Target { name: "pattern", body: formats::pattern, seeds: seeds::patterns, words: &["*", "\n", "a", "**"] },
];

/// The names that the target `variables` picks from.
pub(crate) fn variables() -> Vec<String> {
    requests::names()
}

/// The target called `name`.
pub(crate) fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Bytes that are text, as every reader of text is given it.
fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}
