//! What gpu-runc is made of: its configuration, its program, the low-level runtime that it becomes.
//!
//! Judges what [`Environment`](super::Environment) and the machine say.

use std::path::Path;

use super::{Finding, Subject, engines, runc, versions};
use crate::config::VARIABLE;
use crate::error::{Escaped, Result};
use crate::host::Host;

const PROGRAM: &str = "gpu-runc";

/// The configuration file.
pub(super) fn configuration(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str = "with a configuration that cannot be used, no container that asks for a GPU starts";
    let path = Escaped::path(&subject.environment.config);
    // The file is where this process finds it, whatever the machine is that it speaks of.
    let is_there = Host::open(Path::new("/"))?.find(&subject.environment.config)?.is_some();
    if let Some(fault) = &subject.environment.config_fault {
        let mend = if is_there { "mend or remove" } else { "write" };
        let fix = format!("{mend} {path}, or unset {VARIABLE}; what follows goes by the defaults");
        return Ok(vec![Finding::fail(fault, WHY, fix)]);
    }
    Ok(vec![match is_there {
        true => Finding::pass(path.to_string(), WHY),
        false => Finding::pass(format!("{path} is not there, so the defaults hold"), WHY),
    }])
}

/// The program that engines start.
pub(super) fn wrapper(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str = "engines start it in place of the low-level runtime";
    const FIX: &str = "install it as /usr/bin/gpu-runc or /usr/local/bin/gpu-runc";
    Ok(vec![match subject.program(PROGRAM)? {
        Some(path) => Finding::pass(Escaped::path(&path).to_string(), WHY),
        None if engines::is_any_there(subject)? => Finding::warn("it is not on the PATH", WHY, FIX),
        None => Finding::skip("it is not on the PATH", WHY, FIX),
    }])
}

/// The low-level runtime.
pub(super) fn low_level(subject: &Subject<'_>) -> Result<Vec<Finding>> {
    const WHY: &str = "gpu-runc becomes it once the container has its devices";
    const INSTALL: &str = "install runc or crun, or name one as \"runtimes\" in the configuration";
    let path = match &subject.environment.runtime {
        Ok(path) => path,
        Err(why) if engines::is_any_there(subject)? => return Ok(vec![Finding::fail(why, WHY, INSTALL)]),
        Err(_) => return Ok(vec![Finding::skip("there is none", WHY, INSTALL)]),
    };
    if path.file_name().is_some_and(|name| name == PROGRAM) {
        let what = format!("{} is gpu-runc itself", Escaped::path(path));
        return Ok(vec![Finding::fail(what, WHY, "name runc or crun as \"runtimes\" in the configuration")]);
    }
    let has_systemd = subject.has_systemd()?;
    // Found as gpu-runc itself finds it, and so not below another root.
    let of = |path: &Path| {
        let said = (subject.ask)(path, &["--version"]);
        let is_runc = path.file_name().is_some_and(|name| name == "runc");
        let flaws = said.as_deref().map(runc::vulnerabilities).unwrap_or_default().into_iter().filter(|_| is_runc);
        let flaws: Vec<_> = flaws.map(|(what, why, fix)| Finding::warn(what, why, fix)).collect();
        (judged(path, said.map(|text| versions::parse(&text)), has_systemd, WHY), flaws)
    };
    let (first, mut flaws) = of(path);
    let mut findings = vec![first];
    if let Ok(podmans) = subject.environment.podmans_runtime.as_ref()
        && podmans != path
        && subject.program("podman")?.is_some()
    {
        let (finding, of_podmans) = of(podmans);
        findings.push(Finding { what: format!("{}, for podman", finding.what), ..finding });
        flaws.extend(of_podmans);
    }
    findings.append(&mut flaws);
    Ok(findings)
}

fn judged(
    path: &Path,
    version: std::result::Result<Option<versions::Version>, String>,
    has_systemd: bool,
    why: &'static str,
) -> Finding {
    const LOSES_RULES: &[u32] = &[1, 1, 7];
    let is_runc = path.file_name().is_some_and(|name| name == "runc");
    match version {
        Err(fault) => Finding::fail(fault, why, "install it anew, and look whether it runs on this machine"),
        Ok(None) => Finding::pass(Escaped::path(path).to_string(), why),
        Ok(Some(version)) if is_runc && has_systemd && version.is_below(LOSES_RULES) => Finding::warn(
            format!("{}, version {version}", Escaped::path(path)),
            "with systemd, runc 1.1.3 to 1.1.6 leaves out the rule of a device that has no link in /dev/char; runc#3708",
            "install runc 1.1.7 or newer",
        ),
        Ok(Some(version)) => Finding::pass(format!("{}, version {version}", Escaped::path(path)), why),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Level;
    use super::*;

    #[test]
    fn the_low_level_runtime_is_judged_by_its_version_where_systemd_makes_it_matter() {
        for (path, said, has_systemd, level) in [
            ("/usr/sbin/runc", Ok("runc version 1.1.5"), true, Level::Warn),
            ("/usr/sbin/runc", Ok("runc version 1.1.5"), false, Level::Pass),
            ("/usr/sbin/runc", Ok("runc version 1.3.0"), true, Level::Pass),
            ("/usr/bin/crun", Ok("crun version 1.0"), true, Level::Pass),
            ("/usr/bin/youki", Ok("no number"), true, Level::Pass),
            ("/usr/sbin/runc", Err("/usr/sbin/runc: it failed"), true, Level::Fail),
        ] {
            let said = said.map(versions::parse).map_err(str::to_owned);
            assert_eq!(judged(Path::new(path), said, has_systemd, "").level, level, "{path}");
        }
    }
}
