//! `gpu-ctk doctor`: what is wrong with this machine, one line each, with the command that mends it.
//!
//! Asks and prints; what is judged, is judged in [`crate::doctor`].

use std::ffi::OsStr;
use std::fmt::Write;
use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use serde_json::{Value, json};

use super::output::{self, document};
use crate::config::Config;
use crate::configure::{Engine, Scope, detect, gpus, loaded, names};
use crate::doctor::{self, Check, Environment, Finding, Level, Subject};
use crate::error::{Escaped, Result};
use crate::generate::Machine;
use crate::host::Host;
use crate::program;
use crate::vendor::Vendors;

/// The longest that a program is waited for. Waking eight GPUs takes some seconds.
const PATIENCE: Duration = Duration::from_secs(10);

/// How findings are shown.
#[derive(Debug, clap::Args)]
pub(super) struct Doctor {
    /// Show also why each thing matters that is as it should be
    #[arg(short, long, conflicts_with = "json")]
    verbose: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

type Found = (&'static Check, Finding);

impl Doctor {
    /// Prints the findings. Exit status 1 if any is a failure. A configuration that cannot be used is a finding, and the
    /// defaults take its place.
    pub(super) fn run(&self, loaded: Result<Config>) -> Result<ExitCode> {
        let (config, vendors, fault) = usable(loaded);
        let host = Host::open(&config.host.root)?;
        let subject = Subject {
            host: &host,
            config: &config,
            vendors,
            environment: &Environment::current(&config, fault),
            devices: &doctor::devices(Machine { host: &host, roots: &config.host }, vendors),
            ask: &|program: &Path, args: &[&str]| program::answer(program, args, PATIENCE),
            docker: &|scope| docker(scope, vendors).filter(|_| config.host.root == Path::new("/")),
        };
        let found = doctor::examine(&subject);
        let failed = found.iter().any(|(_, finding)| finding.level == Level::Fail);
        match self.json {
            true => output::json(&json!(found.iter().map(as_json).collect::<Vec<_>>()))?,
            false => document(&as_text(&found, self.verbose, is_coloured()))?,
        }
        Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// The Docker daemon of `scope` that runs.
fn docker(scope: Scope, vendors: Vendors) -> Option<doctor::Docker> {
    let config = detect::config(Engine::Docker, scope);
    let info = loaded::docker_info(&loaded::socket(scope, &config).ok()?).ok()?;
    // Any name of the runtime may have been set up.
    let runtimes = info.get("Runtimes").and_then(Value::as_object).into_iter().flatten();
    let has_newer_names =
        runtimes.into_iter().any(|(name, _)| gpus::needs_restart(&config, scope, name, vendors).unwrap_or_default());
    Some(doctor::Docker { path: names::running_path(scope, &config), has_newer_names, info })
}

/// The configuration with the vendors that it describes, or the defaults and what is wrong with it.
fn usable(loaded: Result<Config>) -> (Config, Vendors, Option<String>) {
    let with_vendors = |config: Config| Ok((Vendors::with(&config.vendor)?, config));
    match loaded.and_then(with_vendors) {
        Ok((vendors, config)) => (config, vendors, None),
        Err(fault) => (Config::default(), Vendors::known(), Some(fault.to_string())),
    }
}

#[allow(clippy::disallowed_methods, reason = "the two variables that say how to print")]
fn is_coloured() -> bool {
    let (no_color, term) = (std::env::var_os("NO_COLOR"), std::env::var_os("TERM"));
    std::io::stdout().is_terminal() && takes_colours(no_color.as_deref(), term.as_deref())
}

/// Source: no-color.org; terminfo(5) has no colours for a terminal that is dumb.
fn takes_colours(no_color: Option<&OsStr>, term: Option<&OsStr>) -> bool {
    no_color.is_none_or(OsStr::is_empty) && term.is_none_or(|term| term != "dumb")
}

fn as_json((check, finding): &Found) -> Value {
    json!({
        "id": check.id, "level": word(finding.level), "title": check.title,
        "what": finding.what, "why": finding.why, "fix": finding.fix,
    })
}

fn as_text(found: &[Found], is_verbose: bool, is_coloured: bool) -> String {
    let width = found.iter().map(|(check, _)| check.title.len()).max().unwrap_or_default();
    let mut text = String::new();
    for (check, Finding { level, what, why, fix }) in found {
        let word = painted(*level, is_coloured);
        // Writing to a text does not fail.
        let _ = writeln!(text, "{word}  {:width$}  {}", check.title, Escaped::message(what));
        let is_told = *level >= Level::Warn || is_verbose;
        let lines = [("why", Some(*why).filter(|_| is_told)), (fix_word(*level), fix.as_deref())];
        for (name, line) in lines.iter().filter_map(|(name, line)| Some((name, (*line)?))) {
            let _ = writeln!(text, "      {:width$}    {name}: {}", "", Escaped::message(&line));
        }
    }
    let count = |level| found.iter().filter(|(_, finding)| finding.level == level).count();
    let counts =
        [Level::Pass, Level::Warn, Level::Fail, Level::Skip].map(|level| format!("{} {}", count(level), word(level)));
    text + &counts.join(", ") + "\n"
}

fn fix_word(level: Level) -> &'static str {
    if level == Level::Skip { "first" } else { "fix" }
}

fn word(level: Level) -> &'static str {
    match level {
        Level::Pass => "PASS",
        Level::Skip => "SKIP",
        Level::Warn => "WARN",
        Level::Fail => "FAIL",
    }
}

fn painted(level: Level, is_coloured: bool) -> String {
    let colour = match level {
        Level::Pass => 32,
        Level::Skip => 2,
        Level::Warn => 33,
        Level::Fail => 31,
    };
    if is_coloured { format!("\u{1b}[{colour}m{}\u{1b}[0m", word(level)) } else { word(level).to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_colours_unless_it_or_its_user_wants_none() {
        for (no_color, term, expected) in [
            (None, None, true),
            (Some(""), Some("xterm"), true),
            (Some("1"), Some("xterm"), false),
            (None, Some("dumb"), false),
        ] {
            assert_eq!(
                takes_colours(no_color.map(OsStr::new), term.map(OsStr::new)),
                expected,
                "{no_color:?} {term:?}"
            );
        }
    }

    #[test]
    fn lines_are_aligned_and_only_what_is_wrong_says_why() {
        let finding = |level, fix: Option<&str>| Finding {
            level,
            what: "what".to_owned(),
            why: "because",
            fix: fix.map(str::to_owned),
        };
        let [first, second, ..] = doctor::CHECKS else { panic!("there are checks") };
        let found = [
            (first, finding(Level::Pass, None)),
            (second, finding(Level::Fail, Some("mend it"))),
            (second, finding(Level::Skip, Some("begin"))),
        ];
        let expected = "PASS  configuration  what\nFAIL  gpu-runc       what\n                       why: because\n                       \
                        fix: mend it\nSKIP  gpu-runc       what\n                       first: begin\n\
                        1 PASS, 0 WARN, 1 FAIL, 1 SKIP\n";
        assert_eq!(as_text(&found, false, false), expected);
        assert_eq!(as_text(&found, true, false).matches("why: because").count(), 3);
        assert!(as_text(&found, false, true).starts_with("\u{1b}[32mPASS\u{1b}[0m  configuration"));
    }
}
