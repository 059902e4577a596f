//! What the engines have in common and how their command lines differ: one grammar per family, one value per engine.
//!
//! Knows nothing of what is being tested.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use super::session::{Outcome, Running, Session};
use super::version::Version;

/// The image that every engine has.
pub(crate) const IMAGE: &str = "docker.io/library/gpu-runc-test:1";
/// The program under test.
pub(crate) const GPU_RUNC: &str = env!("CARGO_BIN_EXE_gpu-runc");
/// The program that tells engines of it.
pub(crate) const CTK: &str = env!("CARGO_BIN_EXE_gpu-ctk");

/// A family of command lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Grammar {
    /// The low-level runtimes' own: a bundle is written here.
    Oci,
    /// ctr's.
    Ctr,
    /// Docker's, which podman and nerdctl speak as well.
    Docker,
}

/// One way in which a container can ask for GPUs, or the terminal that it asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ask {
    Env(&'static str),
    Annotation(&'static str, &'static str),
    /// The engine's own flag.
    Gpus(&'static str),
    /// A CDI device that the engine itself finds.
    Device(&'static str),
    Terminal,
}

/// Which runtime the engine is told to use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    Plain,
    GpuRunc,
}

/// What can be done to a container that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Verb {
    Status,
    Kill(&'static str),
    Pause,
    Resume,
    /// Starts it again after it has ended; only Docker's grammar has the word.
    Start,
    /// Gives it another share of the processor: the runtime makes all of its rules anew.
    Update,
    Delete,
}

/// An engine, ready to run containers.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) version: Version,
    pub(crate) session: Session,
    /// The runtime that gpu-runc becomes.
    pub(crate) low_level: String,
    pub(crate) grammar: Grammar,
    /// Its client and the options before the verb.
    pub(crate) client: Vec<String>,
    /// Further options of `run`.
    pub(crate) run_options: Vec<String>,
    /// The name of the plain low-level runtime to this engine, and that of gpu-runc.
    pub(crate) runtimes: (String, String),
    pub(crate) annotations: bool,
    /// How the engine's own `--gpus` asks for the second GPU, where it has one that reaches the runtime.
    pub(crate) gpus_flag: Option<&'static str>,
    /// Whether it reads CDI files itself.
    pub(crate) has_cdi: bool,
    /// The exit code of its client when the runtime refuses to create a container.
    pub(crate) refusal: i32,
    pub(crate) containers: AtomicU32,
}

/// A container that was given a name.
#[derive(Debug)]
pub(crate) struct Container<'a> {
    pub(crate) engine: &'a Engine,
    pub(crate) name: String,
    through: Through,
}

impl Engine {
    /// The name of the next container.
    pub(crate) fn container(&self, through: Through) -> Container<'_> {
        let name = format!("c{}", self.containers.fetch_add(1, Ordering::Relaxed));
        Container { engine: self, name, through }
    }

    /// Runs a script in a new container, in the foreground.
    pub(crate) fn run(&self, through: Through, asks: &[Ask], script: &str) -> Outcome {
        let container = self.container(through);
        let outcome = container.spawn(asks, script).wait();
        container.without_its_name(outcome)
    }

    /// gpu-runc's configuration from now on: the made-up host's, and `more` after it.
    pub(crate) fn configure(&self, more: &str) {
        self.write_configuration("cdi", &format!("[inject]\ngenerate = \"never\"\n{more}"));
    }

    /// gpu-runc's configuration from now on: no CDI file, but the machine in the scratch folder `root`.
    pub(crate) fn configure_machine(&self, root: &str) {
        let root = self.session.scratch.text(root);
        self.write_configuration("no-cdi", &format!("[host]\nroot = {root:?}\n"));
    }

    fn write_configuration(&self, cdi: &str, more: &str) {
        let scratch = &self.session.scratch;
        let (log, cdi, low_level) = (scratch.text("gpu-runc.log"), scratch.text(cdi), &self.low_level);
        let base = format!(
            "runtimes = [{low_level:?}]\n[log]\nsyslog = false\nfile = {log:?}\n[cdi]\nspec-dirs = [{cdi:?}]\n{more}"
        );
        scratch.write("gpu-runc/config.toml", &base);
    }
}

impl Container<'_> {
    /// Starts it in the foreground; on a terminal of our own if it is to have one.
    pub(crate) fn spawn(&self, asks: &[Ask], script: &str) -> Running {
        let line = match self.engine.grammar {
            Grammar::Oci => self.oci(&format!("run --bundle {} {}", self.bundle(asks, script), self.name)),
            _ => self.run_line("--rm", asks, script),
        };
        if !asks.iter().any(|ask| matches!(ask, Ask::Terminal)) {
            return self.engine.session.spawn(&line);
        }
        let quoted: Vec<_> = line.iter().map(|word| format!("'{}'", word.replace('\'', r"'\''"))).collect();
        let on_terminal = ["script", "--quiet", "--return", "--command", &quoted.join(" "), "/dev/null"];
        self.engine.session.spawn(&on_terminal.map(str::to_owned))
    }

    /// Starts it in the background. What it prints is nobody's; ctr catches some of it before it leaves.
    pub(crate) fn start(&self, asks: &[Ask], script: &str) -> Outcome {
        let outcome = match self.engine.grammar {
            Grammar::Oci => {
                let bundle = self.bundle(asks, script);
                let created = self.call(&self.oci(&format!("create --bundle {bundle} {}", self.name)));
                if created.code == 0 { self.call(&self.oci(&format!("start {}", self.name))) } else { created }
            }
            _ => self.call(&self.run_line("--detach", asks, script)),
        };
        Outcome { stdout: String::new(), ..outcome }
    }

    /// Starts it in the background with further options of Docker's `run`.
    pub(crate) fn start_with(&self, options: &[&str], script: &str) -> Outcome {
        let options: Vec<&str> = ["--detach", "--name", &self.name].iter().chain(options).copied().collect();
        self.call(&self.line(&options, IMAGE, script))
    }

    /// Docker's `run` of a script in an image, with these options beside those that this engine takes here.
    pub(crate) fn line(&self, options: &[&str], image: &str, script: &str) -> Vec<String> {
        let mut line = self.client(&format!("run --cgroup-parent {}", self.engine.session.cgroup()));
        line.extend(self.engine.run_options.iter().map(|word| word.replace("{runtime}", self.runtime())));
        line.extend(options.iter().chain(&[image, "sh", "-c", script]).map(|&word| word.to_owned()));
        line
    }

    /// Runs a script in it.
    pub(crate) fn exec(&self, script: &str) -> Outcome {
        let mut line = match self.engine.grammar {
            Grammar::Oci => self.oci(&format!("exec {}", self.name)),
            Grammar::Ctr => {
                let exec_id = self.engine.containers.fetch_add(1, Ordering::Relaxed);
                self.client(&format!("task exec --exec-id e{exec_id} {}", self.name))
            }
            Grammar::Docker => self.client(&format!("exec {}", self.name)),
        };
        line.extend(["sh", "-c", script].map(str::to_owned));
        self.without_its_name(self.call(&line))
    }

    /// Does something to it.
    pub(crate) fn tell(&self, verb: Verb) -> Outcome {
        let id = &self.name;
        let line = match (self.engine.grammar, verb) {
            (Grammar::Oci, Verb::Status) => self.oci(&format!("state {id}")),
            (Grammar::Oci, Verb::Kill(signal)) => self.oci(&format!("kill {id} {signal}")),
            (Grammar::Oci, Verb::Pause) => self.oci(&format!("pause {id}")),
            (Grammar::Oci, Verb::Resume) => self.oci(&format!("resume {id}")),
            (Grammar::Oci, Verb::Update) => self.oci(&format!("update --cpu-share 512 {id}")),
            (Grammar::Oci, Verb::Delete) => self.oci(&format!("delete {id}")),
            (Grammar::Ctr, Verb::Status) => self.client("task list"),
            (Grammar::Ctr, Verb::Kill(signal)) => self.client(&format!("task kill --signal {signal} {id}")),
            (Grammar::Ctr, Verb::Pause) => self.client(&format!("task pause {id}")),
            (Grammar::Ctr, Verb::Resume) => self.client(&format!("task resume {id}")),
            // containerd's own client has no such word.
            (Grammar::Ctr, Verb::Update) => self.client("version"),
            (Grammar::Oci | Grammar::Ctr, Verb::Start) => unreachable!("what has ended is gone"),
            (Grammar::Ctr, Verb::Delete) => self.client(&format!("task delete {id}")),
            (Grammar::Docker, Verb::Status) => self.client(&format!("inspect --format {{{{.State.Status}}}} {id}")),
            (Grammar::Docker, Verb::Kill(signal)) => self.client(&format!("kill --signal {signal} {id}")),
            (Grammar::Docker, Verb::Pause) => self.client(&format!("pause {id}")),
            (Grammar::Docker, Verb::Resume) => self.client(&format!("unpause {id}")),
            (Grammar::Docker, Verb::Start) => self.client(&format!("start {id}")),
            (Grammar::Docker, Verb::Update) => self.client(&format!("update --cpu-shares 512 {id}")),
            (Grammar::Docker, Verb::Delete) => self.client(&format!("rm {id}")),
        };
        self.without_its_name(self.call(&line))
    }

    /// `running`, `paused`, `stopped`, or nothing when it is not known.
    pub(crate) fn status(&self) -> &'static str {
        let said = self.tell(Verb::Status).stdout.to_lowercase().replace("exited", "stopped");
        let is_own = |line: &&str| self.engine.grammar != Grammar::Ctr || line.starts_with("name ");
        let own: String = said.lines().filter(is_own).collect();
        ["running", "paused", "stopped"].into_iter().find(|status| own.contains(status)).unwrap_or_default()
    }

    fn call(&self, argv: &[String]) -> Outcome {
        self.engine.session.run(argv)
    }

    fn runtime(&self) -> &str {
        let (plain, gpu_runc) = &self.engine.runtimes;
        if self.through == Through::Plain { plain } else { gpu_runc }
    }

    fn oci(&self, rest: &str) -> Vec<String> {
        let root = self.engine.session.scratch.text("runtime-root");
        let line = format!("{} --root {root} {rest}", self.runtime());
        line.split(' ').map(str::to_owned).collect()
    }

    /// The client's command line. podman's runtime is an option before the verb.
    pub(super) fn client(&self, rest: &str) -> Vec<String> {
        let client = self.engine.client.iter().map(|word| word.replace("{runtime}", self.runtime()));
        client.chain(rest.split(' ').map(str::to_owned)).collect()
    }

    fn run_line(&self, mode: &str, asks: &[Ask], script: &str) -> Vec<String> {
        let (engine, name, cgroup) = (self.engine, &self.name, self.engine.session.cgroup());
        let mut line = self.client(&match engine.grammar {
            Grammar::Ctr => format!("run {mode} --runc-binary {} --cgroup {cgroup}/{name}", self.runtime()),
            _ => format!("run {mode} --name {name} --hostname test --cgroup-parent {cgroup}"),
        });
        line.extend(engine.run_options.iter().map(|word| word.replace("{runtime}", self.runtime())));
        for ask in asks {
            line.extend(match ask {
                Ask::Env(variable) => vec!["--env".to_owned(), (*variable).to_owned()],
                Ask::Annotation(key, value) => vec!["--annotation".to_owned(), format!("{key}={value}")],
                Ask::Gpus(value) => vec!["--gpus".to_owned(), (*value).to_owned()],
                Ask::Device(name) => vec!["--device".to_owned(), (*name).to_owned()],
                Ask::Terminal => vec!["--tty".to_owned()],
            });
        }
        line.push(IMAGE.to_owned());
        line.extend((engine.grammar == Grammar::Ctr).then(|| name.clone()));
        line.extend(["sh", "-c", script].map(str::to_owned));
        line
    }

    /// Writes a bundle as containerd would, and returns its path.
    fn bundle(&self, asks: &[Ask], script: &str) -> String {
        let scratch = &self.engine.session.scratch;
        let cgroup = format!("{}/{}", self.engine.session.cgroup(), self.name);
        let document = config_json(&scratch.text("rootfs"), &cgroup, asks, script);
        let bundle = format!("bundles/{}", self.name);
        let written = scratch.write(&format!("{bundle}/written.json"), &format!("{document:#}\n"));
        fs::hard_link(written, scratch.path(&bundle).join("config.json")).unwrap();
        scratch.text(&bundle)
    }

    /// Whether the bundle's config.json is another file than the one that was written.
    pub(crate) fn config_json_was_replaced(&self) -> bool {
        let inode = |name: &str| {
            fs::metadata(self.engine.session.scratch.path(&format!("bundles/{}/{name}", self.name))).unwrap().ino()
        };
        inode("config.json") != inode("written.json")
    }

    /// So that what two containers say can be compared. Docker and podman print an id of their own.
    fn without_its_name(&self, mut outcome: Outcome) -> Outcome {
        let is_id = |word: &str| word == self.name || word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let words = outcome.stdout.split_inclusive(char::is_whitespace).map(|word| match word.trim_end() {
            id if is_id(id) => word.replace(id, "name"),
            _ => word.to_owned(),
        });
        outcome.stdout = words.collect();
        outcome
    }
}

fn config_json(rootfs: &str, cgroup: &str, asks: &[Ask], script: &str) -> Value {
    let mut env = vec!["PATH=/bin"];
    let mut annotations = serde_json::Map::new();
    let mut terminal = false;
    for ask in asks {
        match ask {
            Ask::Env(variable) => env.push(variable),
            Ask::Annotation(key, value) => drop(annotations.insert((*key).to_owned(), json!(value))),
            Ask::Gpus(_) | Ask::Device(_) => unreachable!("a bundle has no flags"),
            Ask::Terminal => terminal = true,
        }
    }
    let capabilities = json!(["CAP_MKNOD", "CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"]);
    let namespaces = ["pid", "ipc", "uts", "mount", "network"].map(|kind| json!({ "type": kind }));
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "terminal": terminal,
            "user": { "uid": 0, "gid": 0 },
            "args": ["sh", "-c", script],
            "env": env,
            "cwd": "/",
            "capabilities": { "bounding": capabilities, "effective": capabilities, "permitted": capabilities },
            "noNewPrivileges": true,
        },
        "root": { "path": rootfs },
        "hostname": "test",
        "annotations": annotations,
        "mounts": [
            { "destination": "/proc", "type": "proc", "source": "proc" },
            { "destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["nosuid", "mode=755", "size=65536k"] },
            { "destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["nosuid", "noexec", "newinstance"] },
            { "destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["nosuid", "noexec", "nodev", "ro"] },
        ],
        "linux": {
            "cgroupsPath": cgroup,
            "namespaces": namespaces,
            "resources": { "devices": [{ "allow": false, "access": "rwm" }] },
        },
    })
}
