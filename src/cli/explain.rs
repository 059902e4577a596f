//! `gpu-ctk explain`: a container's request followed through every step, without starting it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use nix::unistd::geteuid;
use serde_json::{Value, json};

use super::output::{self, answer};
use super::patch;
use crate::config::Config;
use crate::configure::Scope;
use crate::error::{Error, Escaped, Result};
use crate::host::Host;
use crate::messages::{self, Message};
use crate::oci::Spec;
use crate::request::{Ask, Refusal, Request, Selection, Want};
use crate::runtime::bundle::Bundle;
use crate::runtime::sharing::Sharing;
use crate::runtime::{Granted, access, decide, deliver, edited, low_level};
use crate::vendor::Vendors;

/// The container to explain.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("container").required(true).multiple(true).args(["bundle", "env", "annotations", "error"])))]
pub(super) struct Explain {
    /// A bundle, or its config.json
    #[arg(long, value_name = "DIR", conflicts_with_all = ["env", "annotations"])]
    bundle: Option<PathBuf>,
    /// An environment variable of a container that has no bundle yet
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// An annotation of a container that has no bundle yet
    #[arg(long = "annotation", value_name = "KEY=VALUE", value_parser = pair)]
    annotations: Vec<(String, String)>,
    /// What an engine printed: print the cause, and the command that fixes it
    #[arg(long, value_name = "TEXT", conflicts_with_all = ["bundle", "env", "annotations", "system", "user"])]
    error: Option<String>,
    /// As the system's engine would start it, which is root's
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// As a rootless engine of this user would start it: also checks who can open the device nodes
    #[arg(long)]
    user: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

fn pair(text: &str) -> std::result::Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("expected NAME=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// What each step said.
struct Story {
    /// Whose engine would start it.
    scope: Scope,
    request: Option<Request>,
    /// What is granted and the text of the new document, if it changes.
    outcome: Result<(Granted, Option<String>)>,
    /// Why each device of a count was chosen or not.
    reasons: Vec<String>,
}

impl Explain {
    /// Prints the story. Exit status 1 if the container would not start.
    pub(super) fn run(&self, config: &Config) -> Result<ExitCode> {
        if let Some(text) = &self.error {
            return self.message(text);
        }
        let bundle = self.bundle.as_deref().map(read).transpose()?;
        let (text, path) = match &bundle {
            Some(bundle) => (bundle.text().to_owned(), bundle.path()),
            None => (self.imagined(), Path::new("config.json")),
        };
        let spec = Spec::parse(&text, path)?;
        let vendors = Vendors::with(&config.vendor)?;
        let scope = match (self.system, self.user) {
            (true, _) => Scope::System,
            (_, true) => Scope::User,
            _ => Scope::of_caller(),
        };
        let story = follow(&spec, config, vendors, scope);
        let diff = match &story.outcome {
            Ok((_, Some(after))) => unified(&text, after),
            _ => String::new(),
        };
        match self.json {
            true => output::json(&story.to_json(&diff))?,
            false => answer(&story.to_text(&diff))?,
        }
        Ok(if story.outcome.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// Prints what is known of a message. Exit status 1 if nothing is.
    fn message(&self, text: &str) -> Result<ExitCode> {
        let Some(found) = messages::find(text) else {
            let message = "no message that is known is in this text; gpu-ctk doctor finds what is wrong without one";
            return Err(Error::Usage(message.to_owned()));
        };
        let Message { says, by, cause, fix } = found;
        answer(&match self.json {
            true => format!("{:#}\n", json!({"message": says.join(" … "), "by": by, "cause": cause, "fix": fix})),
            false => format!("{} (printed by {by})\n  cause: {cause}\n  fix: {fix}\n", says.join(" … ")),
        })?;
        Ok(ExitCode::SUCCESS)
    }

    /// The smallest container that asks what the arguments say.
    fn imagined(&self) -> String {
        let env: Vec<String> = self.env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let annotations: serde_json::Map<String, Value> =
            self.annotations.iter().map(|(key, value)| (key.clone(), value.as_str().into())).collect();
        json!({
            "annotations": annotations,
            "ociVersion": "1.0.2",
            "process": {"args": ["sh"], "cwd": "/", "env": env, "user": {"gid": 0, "uid": 0}},
            "root": {"path": "rootfs"},
        })
        .to_string()
    }
}

fn read(bundle: &Path) -> Result<Bundle> {
    let direct = bundle.file_name().is_some_and(|name| name == "config.json");
    let path = if direct { bundle.to_owned() } else { bundle.join("config.json") };
    let absent =
        || Error::Usage(format!("{}: not found; --bundle takes a folder with a config.json", Escaped::path(&path)));
    Bundle::read(&path)?.ok_or_else(absent)
}

fn follow(spec: &Spec<'_>, config: &Config, vendors: Vendors, scope: Scope) -> Story {
    let view = spec.view();
    match Request::from_spec(&view, &config.policy, vendors) {
        Ok(Some(request)) => {
            let mut reasons = Vec::new();
            let outcome = Host::open(&config.host.root).and_then(|host| {
                let mut sharing = Sharing::look(config, &host, Some(spec)).read();
                let granted = decide(spec, &view, &request, config, vendors, &host, &mut sharing);
                reasons = sharing.reasons;
                let mut granted = granted?;
                if scope == Scope::User {
                    let keeps_groups = low_level::keeps_groups(&view);
                    granted.notes.extend(access::check(&granted.edits.device_nodes, keeps_groups, None, &host)?);
                }
                let routes = deliver(spec, &view, &mut granted, &host, geteuid().is_root())?;
                let text = edited(spec, &request, &granted, &routes)?;
                Ok((granted, text))
            });
            Story { scope, outcome, request: Some(request), reasons }
        }
        Ok(None) => Story { scope, request: None, outcome: Ok((Granted::default(), None)), reasons: Vec::new() },
        Err(error) => Story { scope, request: None, outcome: Err(error), reasons: Vec::new() },
    }
}

impl Story {
    fn asks(&self) -> &[Ask] {
        self.request.as_ref().map_or(&[], |request| &request.asks)
    }

    fn refusals(&self) -> &[Refusal] {
        self.request.as_ref().map_or(&[], |request| &request.refusals)
    }

    fn to_text(&self, diff: &str) -> String {
        let mut lines = Vec::new();
        let mut section = |title: &str, items: Vec<String>, none: &str| {
            lines.push(title.to_owned());
            if items.is_empty() {
                lines.push(format!("  {none}"));
            }
            lines.extend(items.into_iter().map(|item| format!("  {item}")));
        };
        let scope = match self.scope {
            Scope::System => "system: root's engine starts it",
            Scope::User => "user: a rootless engine of this user starts it",
        };
        section("scope", vec![scope.to_owned()], "");
        section(
            "asked",
            self.asks().iter().map(|ask| format!("{} by {}", wish(&ask.want), ask.source)).collect(),
            "nothing",
        );
        let refused = self.refusals().iter().map(|refusal| format!("refuses {refusal}")).collect();
        section("policy", refused, if self.asks().is_empty() { "has nothing to judge" } else { "allows it" });
        if !self.reasons.is_empty() {
            section("candidates", self.reasons.clone(), "");
        }
        match &self.outcome {
            Err(error) => section("error, the container would not start", vec![error.to_string()], ""),
            Ok((granted, _)) => {
                let devices = |grant: &crate::resolve::Grant| {
                    let files: Vec<_> = grant.files.iter().map(|file| Escaped::path(file).to_string()).collect();
                    let files = files.join(", ");
                    grant.devices.iter().map(|device| format!("{device} from {files}")).collect::<Vec<_>>()
                };
                section("granted", granted.grants.iter().flat_map(devices).collect(), "nothing");
                if !granted.notes.is_empty() {
                    section("notes", granted.notes.clone(), "");
                }
                if !granted.work.is_nothing() {
                    section("in the container's root", granted.work.lines(), "");
                }
                section("changes", diff.lines().map(str::to_owned).collect(), "none, config.json is not touched");
            }
        }
        lines.join("\n") + "\n"
    }

    fn to_json(&self, diff: &str) -> Value {
        let asked = |ask: &Ask| json!({"source": ask.source.to_string(), "want": wish(&ask.want)});
        let refused = |refusal: &Refusal| json!({"source": refusal.source.to_string(), "rule": refusal.rule});
        let mut story = json!({
            "scope": self.scope.to_string(),
            "asked": self.asks().iter().map(asked).collect::<Vec<_>>(),
            "refused": self.refusals().iter().map(refused).collect::<Vec<_>>(),
            "candidates": self.reasons,
        });
        let outcome = match &self.outcome {
            Err(error) => json!({"error": error.to_string()}),
            Ok((granted, _)) => {
                let shown = |grant: &crate::resolve::Grant| {
                    json!({
                        "devices": grant.devices.iter().map(ToString::to_string).collect::<Vec<_>>(),
                        "files": grant.files.iter().map(|file| file.to_string_lossy()).collect::<Vec<_>>(), "source": grant.source.to_string(),
                    })
                };
                json!({
                    "granted": granted.grants.iter().map(shown).collect::<Vec<_>>(),
                    "notes": granted.notes, "edits": granted.edits, "inRoot": granted.work.lines(), "diff": diff,
                })
            }
        };
        if let (Some(story), Value::Object(outcome)) = (story.as_object_mut(), outcome) {
            story.extend(outcome);
        }
        story
    }
}

/// A wish in a person's words.
fn wish(want: &Want) -> String {
    let (vendors, selection) = match want {
        Want::Names(names) => return names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Want::Devices { vendors, selection, .. } => (vendors, selection),
    };
    let vendor = match vendors.as_slice() {
        [vendor] => vendor.name.to_owned(),
        several if several.len() > 3 => "any vendor".to_owned(),
        several => several.iter().map(|vendor| vendor.name).collect::<Vec<_>>().join(" or "),
    };
    match selection {
        Selection::All => format!("all devices of {vendor}"),
        Selection::Count(count) => format!("{count} of {vendor}"),
        Selection::Ids(ids) => format!("{} of {vendor}", ids.join(", ")),
        Selection::DriverOnly => format!("no device, but the driver's files of {vendor}"),
    }
}

/// The difference between two documents, both laid out one member a line so that a person can read it.
fn unified(before: &str, after: &str) -> String {
    patch::unified(&laid_out(before), &laid_out(after), ("config.json", "config.json, edited"))
}

/// White space is all that this changes: numbers and escapes stay as written.
fn laid_out(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    for c in text.chars() {
        if in_string {
            out.push(c);
            in_string = c != '"' || escaped;
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => in_string = true,
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                if !out.ends_with(['{', '[']) {
                    line(&mut out, depth);
                }
            }
            c if c.is_whitespace() => continue,
            _ => {}
        }
        if out.ends_with(['{', '[']) && !matches!(c, '}' | ']') {
            let inner = if matches!(c, '{' | '[') { depth - 1 } else { depth };
            line(&mut out, inner);
        }
        out.push(c);
        match c {
            ',' => line(&mut out, depth),
            ':' => out.push(' '),
            _ => {}
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_laid_out_without_changing_a_value() {
        for (text, lines) in [
            ("{}", "{}\n"),
            (r#"{"a":1e3,"b":[]}"#, "{\n  \"a\": 1e3,\n  \"b\": []\n}\n"),
            (r#"{"a":[{"b":"{\"x\\"}]}"#, "{\n  \"a\": [\n    {\n      \"b\": \"{\\\"x\\\\\"\n    }\n  ]\n}\n"),
            ("[ 1 ,\n 2 ]", "[\n  1,\n  2\n]\n"),
        ] {
            assert_eq!(laid_out(text), lines);
        }
    }
}
