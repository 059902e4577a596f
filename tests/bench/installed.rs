//! What is measured: which version of which program on which machine, and how much of it is installed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};

/// How a program's version is asked for, and what comes with it.
struct Known {
    name: &'static str,
    /// A program beside it, or itself, and the argument.
    version: (&'static str, &'static str),
    /// The programs of the same packages that its work needs, or that make and list what it reads.
    companions: &'static [&'static str],
}

const KNOWN: [Known; 4] = [
    // Asked itself, a wrapper answers with what the runtime behind it says.
    Known { name: "gpu-runc", version: ("gpu-ctk", "--version"), companions: &["gpu-ctk"] },
    Known {
        name: "nvidia-container-runtime",
        version: ("nvidia-container-runtime", "--version"),
        companions: &["nvidia-container-runtime-hook", "nvidia-container-cli", "nvidia-cdi-hook", "nvidia-ctk"],
    },
    Known { name: "nvidia-cdi-hook", version: ("nvidia-cdi-hook", "--version"), companions: &[] },
    Known { name: "amd-container-runtime", version: ("amd-ctk", "version"), companions: &["amd-ctk"] },
];

/// A program as it is installed.
pub(crate) struct Installed {
    name: String,
    version: String,
    /// The size of the program and of those of its companions that are in its folder, whose names are in `counted`. Libraries,
    /// configuration and manual pages are not counted.
    bytes: u64,
    counted: Vec<&'static str>,
}

impl Installed {
    pub(crate) fn look_at(program: &Path) -> Self {
        let name = program.file_name().unwrap_or_default().display().to_string();
        let beside = |name: &str| program.with_file_name(name);
        let known = KNOWN.iter().find(|known| known.name == name);
        let (asked, argument) = known.map_or((program.to_owned(), "--version"), |known| {
            let (asked, argument) = known.version;
            (beside(asked), argument)
        });
        let mut version = first_line(Command::new(asked).arg(argument)).unwrap_or_else(|| "unknown".to_owned());
        // Which of the builds of one version it is, only who built it knows.
        if let (true, Ok(revision)) = (name == "gpu-runc", std::env::var("GPU_RUNC_BENCH_REVISION")) {
            version += &format!(" ({revision})");
        }
        let mut seen = Vec::new();
        let mut bytes = 0;
        // One file under two names is there once.
        let mut count = |file: PathBuf| {
            let Ok(found) = fs::metadata(file) else { return false };
            let is_new = !seen.contains(&(found.dev(), found.ino()));
            if is_new {
                seen.push((found.dev(), found.ino()));
                bytes += found.len();
            }
            is_new
        };
        count(program.to_owned());
        let companions = known.map_or(&[][..], |known| known.companions);
        let counted = companions.iter().copied().filter(|companion| count(beside(companion))).collect();
        Installed { name, version, bytes, counted }
    }

    pub(crate) fn print(&self) {
        let with = if self.counted.is_empty() { String::new() } else { format!(", with {}", self.counted.join(", ")) };
        println!("    {:<44} {:>9.1} MB    {}{with}", self.name, self.bytes as f64 / 1e6, self.version);
    }

    pub(crate) fn report(&self) -> Value {
        json!({"program": self.name, "version": self.version, "installed_bytes": self.bytes, "counted_with_it": self.counted})
    }
}

/// The first line that a program prints, without the `Version:` that some put before.
fn first_line(command: &mut Command) -> Option<String> {
    let output =
        command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok().filter(|output| output.status.success())?;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().next()?.trim();
    Some(line.strip_prefix("Version: ").unwrap_or(line).to_owned())
}

/// The first file called `name` on PATH, or where root's programs are.
pub(crate) fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var("PATH").unwrap_or_default() + ":/usr/sbin:/sbin";
    path.split(':').map(|folder| Path::new(folder).join(name)).find(|file| file.is_file())
}

/// The day, in UTC.
pub(crate) fn today() -> String {
    time::OffsetDateTime::now_utc().date().to_string()
}

/// What the numbers were measured on.
pub(crate) fn machine() -> String {
    let read = |path| fs::read_to_string(path).unwrap_or_default();
    let cpu = read("/proc/cpuinfo")
        .lines()
        .find_map(|line| Some(line.strip_prefix("model name")?.trim_start_matches([' ', '\t', ':']).to_owned()));
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let release = read("/proc/sys/kernel/osrelease");
    let version = release.trim().split('-').next().unwrap_or_default();
    format!("{}, {cores} cores, Linux {version}", cpu.unwrap_or_default())
}
