//! Processes timed in pairs: the program in front of the do-nothing runtime, and that runtime alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::cases::Case;

/// Rounds before those that count.
const WARM_UP: usize = 20;

/// A wrapper that is measured.
pub(crate) enum Program {
    /// One that only becomes the runtime: what no wrapper can be faster than on this machine.
    Floor(PathBuf),
    Ours(PathBuf),
    Peer(PathBuf),
}

/// What a wrapper adds to one call.
pub(crate) struct Cost {
    pub(crate) added_ms: f64,
    pub(crate) low_ms: f64,
    pub(crate) high_ms: f64,
    pub(crate) direct_ms: f64,
    pub(crate) syscalls: Option<usize>,
    pub(crate) peak_kb: Option<usize>,
}

impl Program {
    pub(crate) fn path(&self) -> &Path {
        match self {
            Program::Floor(path) | Program::Ours(path) | Program::Peer(path) => path,
        }
    }

    /// Where the call of `case` finds the program: in the root that the case brings, or where it was built.
    fn in_case(&self, case: &Case, bundle: &Path) -> PathBuf {
        place(self.path(), case, bundle)
    }

    pub(crate) fn name(&self) -> String {
        self.path().file_name().unwrap_or_default().display().to_string()
    }

    /// The call of `case`, behind the words of `prefix`.
    fn command(&self, prefix: &[&str], case: &Case, bundle: &Path) -> Command {
        let (variable, file) = match self {
            Program::Floor(_) | Program::Ours(_) => ("GPU_RUNC_CONFIG", "gpu-runc.toml"),
            Program::Peer(_) => ("NVIDIA_CTK_CONFIG_FILE_PATH", "peer.toml"),
        };
        let mut command = command(prefix, &self.in_case(case, bundle), case, bundle);
        command.env(variable, if case.is_root { Path::new("/").join(file) } else { bundle.join(file) });
        if let Program::Peer(_) = self {
            // AMD's has no setting for it: what is called runc there is the do-nothing runtime.
            let path = std::env::var_os("PATH").unwrap_or_default();
            let folders = std::iter::once(bundle.join("path")).chain(std::env::split_paths(&path));
            command.env("PATH", std::env::join_paths(folders).expect("folders of PATH"));
        }
        command
    }
}

/// Copies a program into the root that a case brings.
fn place(program: &Path, case: &Case, bundle: &Path) -> PathBuf {
    if !case.is_root {
        return program.to_owned();
    }
    let inside = Path::new("/").join(program.file_name().expect("a program"));
    let copy = bundle.join(inside.strip_prefix("/").expect("an absolute path"));
    if !copy.exists() {
        fs::copy(program, copy).expect("a program in the root");
    }
    inside
}

/// The call of `case`, in the root that it brings, if it does: both of a pair pay for that.
fn command(prefix: &[&str], program: &Path, case: &Case, bundle: &Path) -> Command {
    let text = |path: &Path| path.to_str().expect("a path that is text").to_owned();
    let seen = if case.is_root { "/".to_owned() } else { text(bundle) };
    let enter = if case.is_root { vec!["chroot".to_owned(), text(bundle)] } else { Vec::new() };
    let args = case.args.iter().map(|arg| arg.replace("BUNDLE", &seen));
    let words = prefix.iter().map(|word| (*word).to_owned());
    let mut words = words.chain(enter).chain([text(program)]).chain(args);
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// Builds the do-nothing runtime.
pub(crate) fn stand_in(folder: &Path) -> PathBuf {
    build(folder, "stand-in", "fn main() {}")
}

/// Builds the wrapper that only becomes `stand_in`.
pub(crate) fn floor(folder: &Path, stand_in: &Path) -> Program {
    let exec = format!("std::process::Command::new({stand_in:?}).args(std::env::args_os().skip(1)).exec()");
    let source = format!("use std::os::unix::process::CommandExt; fn main() {{ drop({exec}) }}");
    Program::Floor(build(folder, "exec-only", &source))
}

/// A static program, so that its own start is short and steady.
fn build(folder: &Path, name: &str, text: &str) -> PathBuf {
    let (source, program) = (folder.join(format!("{name}.rs")), folder.join(name));
    fs::write(&source, text).expect("a program's source");
    let rustc = || Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let flags = [
        "--edition=2024",
        "--crate-name=program",
        "-O",
        "-Cpanic=abort",
        "-Cstrip=symbols",
        "-Ctarget-feature=+crt-static",
    ];
    let builds = |target: &[&str]| {
        let mut command = rustc();
        command.args(flags).args(target).arg("-o").args([&program, &source]).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    };
    assert!(builds(&["--target", "x86_64-unknown-linux-musl"]) || builds(&[]), "rustc builds {name}");
    program
}

/// Measures `pairs` pairs of `case` for each of `programs`. What else the machine does in a round is borne by all: in each every
/// program has its pair, and each round begins with another one.
pub(crate) fn compare(programs: &[&Program], stand_in: &Path, case: &Case, bundle: &Path, pairs: usize) -> Vec<Cost> {
    let mut times = vec![(Vec::with_capacity(pairs), Vec::with_capacity(pairs)); programs.len()];
    for round in 0..pairs + WARM_UP {
        for turn in 0..programs.len() {
            let which = (round + turn) % programs.len();
            case.reset(bundle);
            let alone = timed(&mut command(&[], &place(stand_in, case, bundle), case, bundle));
            let wrapped = timed(&mut programs[which].command(&[], case, bundle));
            if round >= WARM_UP {
                let (direct, added) = &mut times[which];
                direct.push(alone.as_secs_f64() * 1e3);
                added.push((wrapped.as_secs_f64() - alone.as_secs_f64()) * 1e3);
            }
        }
    }
    let cost = |(program, (mut direct, mut added)): (&&Program, (Vec<f64>, Vec<f64>))| {
        direct.sort_by(f64::total_cmp);
        added.sort_by(f64::total_cmp);
        Cost {
            added_ms: added[pairs / 2],
            low_ms: added[pairs / 10],
            high_ms: added[pairs * 9 / 10],
            direct_ms: direct[pairs / 2],
            syscalls: syscalls(program, case, bundle),
            peak_kb: peak_kb(program, case, bundle),
        }
    };
    programs.iter().zip(times).map(cost).collect()
}

/// How long the command takes, which has to succeed.
pub(crate) fn timed(command: &mut Command) -> Duration {
    let start = Instant::now();
    let status = command.status().expect("the program starts");
    let took = start.elapsed();
    assert!(status.success(), "{command:?} failed");
    took
}

/// System calls until the low-level runtime is started, counted by strace where it is installed.
fn syscalls(program: &Program, case: &Case, bundle: &Path) -> Option<usize> {
    case.reset(bundle);
    let trace = bundle.join("trace");
    let mut command = program.command(&["strace", "-f", "-o", trace.to_str()?], case, bundle);
    command.stderr(Stdio::null()).status().ok().filter(|status| status.success())?;
    let text = fs::read_to_string(trace).ok()?;
    let calls = || text.lines().filter(|line| line.contains('(') && !line.contains("resumed>"));
    let starts: Vec<usize> =
        calls().enumerate().filter(|(_, line)| line.contains("execve(")).map(|(at, _)| at).collect();
    // From after our own start to the execve that becomes the runtime.
    let [.., ours, runtime] = starts[..] else { return None };
    Some(runtime - ours)
}

/// The largest resident size before the low-level runtime is started: strace holds that call up while we look. What the kernel
/// reports of a finished process would be the largest of all programs that it ever was, ours included.
fn peak_kb(program: &Program, case: &Case, bundle: &Path) -> Option<usize> {
    case.reset(bundle);
    let trace = bundle.join("trace");
    let hold = format!("inject=execve:when={}:delay_enter=400000", if case.is_root { 2 } else { 1 });
    let hold = ["strace", "-f", "-o", trace.to_str()?, "-e", "trace=execve", "-e", &hold];
    let mut tracer = program.command(&hold, case, bundle).stderr(Stdio::null()).spawn().ok()?;
    std::thread::sleep(Duration::from_millis(250));
    let pid = fs::read_to_string(&trace).ok().and_then(|text| Some(text.split_whitespace().next()?.to_owned()));
    let status = pid.and_then(|pid| fs::read_to_string(format!("/proc/{pid}/status")).ok());
    tracer.wait().ok()?;
    status?.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().trim_end_matches(" kB").parse().ok())
}
