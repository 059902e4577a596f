//! The manual pages and the completions of packaging/, held against what they are about.
//!
//! gpu-ctk's are made from its definitions, and `BLESS=1` writes them anew; the others are written by hand, and name what they must.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use clap::{Command, CommandFactory};
use clap_complete::{Shell, generate};
use clap_mangen::Man;
use gpu_runc::cli::Cli;
use gpu_runc::config::Config;
use gpu_runc::vendor::Vendors;
use gpu_runc::vendor::hooks::DriverHooks;

use crate::scratch::{Scratch, program_on_path, skip, succeed};

fn packaging() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging")
}

/// The text of a page, with hyphens and without the words for fonts.
fn page(name: &str) -> String {
    let text = fs::read_to_string(packaging().join("man").join(name)).unwrap();
    ["\\fB", "\\fI", "\\fR", "\\&"].into_iter().fold(text.replace("\\-", "-"), |text, mark| text.replace(mark, ""))
}

/// The commands without commands of their own, in the order of the help.
fn leaves(command: &Command) -> Vec<Command> {
    match command.get_subcommands().collect::<Vec<_>>() {
        inner if inner.is_empty() => vec![command.clone()],
        inner => inner.into_iter().flat_map(leaves).collect(),
    }
}

/// One page with all commands: a section for each, in which the usual sections are one step lower.
fn manual() -> String {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let of = |render: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>| {
        let mut text = Vec::new();
        render(&mut text).unwrap();
        String::from_utf8(text).unwrap()
    };
    // What roff defines for itself is said once, by the title.
    let without_definitions = |text: String| text.lines().skip(2).map(|line| format!("{line}\n")).collect::<String>();
    let whole = Man::new(root.clone()).manual("gpu-runc");
    let mut text = of(&|w| whole.render_title(w));
    for part in [
        of(&|w| whole.render_name_section(w)),
        of(&|w| whole.render_synopsis_section(w)),
        of(&|w| whole.render_extra_section(w)).replace("EXTRA", "DESCRIPTION"),
    ] {
        text += &without_definitions(part);
    }
    for leaf in leaves(&root) {
        let name = leaf.get_bin_name().unwrap().to_owned();
        let hidden = leaf.mut_args(|arg| match arg.get_id().as_str() {
            "help" | "version" => arg.hide(true),
            _ => arg,
        });
        let man = Man::new(hidden);
        text += &format!(".SH \"{}\"\n", name.to_uppercase().replace('-', "\\-"));
        for part in [
            of(&|w| man.render_description_section(w)),
            of(&|w| man.render_synopsis_section(w)),
            of(&|w| man.render_options_section(w)),
        ] {
            text += &without_definitions(part).replace(".SH DESCRIPTION\n", "").replace(".SH ", ".SS ");
        }
    }
    text + ".SH \"SEE ALSO\"\n\\fBgpu\\-runc\\fR(8), \\fBgpu\\-runc\\-config\\fR(5)\n"
}

fn completions(shell: Shell) -> String {
    let mut text = Vec::new();
    generate(shell, &mut Cli::command(), "gpu-ctk", &mut text);
    // clap_complete 4.6 takes the hyphen of a program's name for a step to a subcommand, in one of two places.
    String::from_utf8(text).unwrap().replace("gpu__subcmd__ctk", "gpu__ctk")
}

#[test]
fn what_is_made_from_the_definitions_of_gpu_ctk_is_up_to_date() {
    let mut stale = Vec::new();
    for (name, text) in [
        ("man/gpu-ctk.1", manual()),
        ("completions/gpu-ctk.bash", completions(Shell::Bash)),
        ("completions/gpu-ctk.zsh", completions(Shell::Zsh)),
        ("completions/gpu-ctk.fish", completions(Shell::Fish)),
    ] {
        let path = packaging().join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&path, &text).unwrap();
        }
        if fs::read_to_string(&path).unwrap_or_default() != text {
            stale.push(name);
        }
    }
    assert!(stale.is_empty(), "{stale:?} are out of date: BLESS=1 cargo test --test it manual");
}

#[test]
fn bash_completes_commands_and_their_options() {
    if program_on_path("bash").is_none() {
        return skip("manual::bash_completes_commands_and_their_options", "there is no bash");
    }
    let scratch = Scratch::new();
    let file = scratch.write("gpu-ctk.bash", &completions(Shell::Bash));
    let completed = |line: &str| {
        let words: Vec<_> = line.split(' ').collect();
        let [.., before, last] = words[..] else { unreachable!() };
        let script = format!(
            ". {}; COMP_WORDS=({line}) COMP_CWORD={}; _gpu__ctk gpu-ctk {last} {before}; echo ${{COMPREPLY[*]}}",
            file.display(),
            words.len() - 1
        );
        let printed = succeed(process::Command::new("bash").args(["-c", &script]));
        printed.trim().to_owned()
    };
    for (line, expected) in [
        ("gpu-ctk do", "doctor"),
        ("gpu-ctk cdi g", "generate"),
        ("gpu-ctk cdi validate --spec", "--spec-dir"),
        ("gpu-ctk runtime configure --engine do", "docker"),
    ] {
        assert_eq!(completed(line), expected, "{line}");
    }
}

/// The keys of the configuration, each with its table and the default: `log.level`, `level = "info"`.
fn keys() -> Vec<(String, String)> {
    let mut table = String::new();
    let mut keys = Vec::new();
    for line in Config::default_text().lines() {
        let line = line.trim_start_matches("# ").split("  #").next().unwrap_or_default().trim_end();
        if let Some(name) = line.strip_prefix('[') {
            table = name.trim_matches(['[', ']']).to_owned() + ".";
        } else if let Some((key, _)) = line.split_once(" = ").filter(|_| !line.starts_with('#')) {
            keys.push((format!("{table}{key}"), line.to_owned()));
        }
    }
    keys
}

#[test]
fn every_key_of_the_configuration_is_in_its_manual_with_its_default() {
    let (manual, keys) = (page("gpu-runc-config.5"), keys());
    assert!(keys.len() >= 22, "{keys:?}");
    let lacks = |(name, line): &&(String, String)| {
        let value = line.split_once(" = ").map_or("", |(_, value)| value);
        !match name.starts_with("vendor.") {
            true => manual.contains(&format!("\n{name}\n")),
            false => manual.contains(&format!("\n{name} = {value}\n")),
        }
    };
    let missing: Vec<_> = keys.iter().filter(lacks).collect();
    assert!(missing.is_empty(), "packaging/man/gpu-runc-config.5 does not name {missing:#?}");
}

#[test]
fn every_key_of_the_configuration_is_in_the_readme_with_its_default() {
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    let missing: Vec<_> = keys().into_iter().filter(|(_, line)| !readme.contains(&format!("\n{line}"))).collect();
    assert!(missing.is_empty(), "README.md does not name {missing:#?}");
}

#[test]
fn every_variable_that_asks_and_every_name_of_the_hook_is_in_the_manual() {
    let manual = page("gpu-runc.8");
    let known = Vendors::known();
    let variables = known.iter().flat_map(|vendor| vendor.visible.iter().map(|variable| variable.name));
    let hooks = DriverHooks::programs(known).chain(["gpu-runc-hook"]);
    let others = [gpu_runc::config::VARIABLE, gpu_runc::config::PATH, "GPU_VISIBLE_DEVICES", "gpu-runc/gpus"];
    let missing: Vec<_> = variables.chain(hooks).chain(others).filter(|name| !manual.contains(name)).collect();
    assert!(missing.is_empty(), "packaging/man/gpu-runc.8 does not name {missing:?}");
}
